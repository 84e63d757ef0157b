"""Near-duplicates: found among many, and not where pictures only look alike to a hash."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from nhan.datasets.near import Look, near_clusters
from nhan.images import decode, perceptual_hash, thumbnail
from pace import Stopwatch


def look(data: bytes, label: str = "") -> Look:
    rgb = decode(data)
    return Look(perceptual_hash(rgb), thumbnail(rgb), rgb.shape[1], rgb.shape[0], label)


def again(data: bytes, *, quality: int = 70, scale: float = 1.0) -> bytes:
    image = Image.fromarray(decode(data))
    image = image.resize((int(image.width * scale), int(image.height * scale)))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def test_the_same_line_saved_again_is_near(draw_line: Callable[..., bytes]) -> None:
    texts = ["phong 101, tang 1", "so 5 duong Lang", "0903 555 123", "Tong: 1.000.000"]
    originals = [draw_line(text) for text in texts]
    looks = [look(data, text) for data, text in zip(originals, texts, strict=True)]
    looks += [look(again(data), text) for data, text in zip(originals, texts, strict=True)]
    assert near_clusters(looks, bits=3) == [0, 1, 2, 3, 0, 1, 2, 3]


def test_lines_of_a_form_that_differ_in_a_digit_are_not(draw_line: Callable[..., bytes]) -> None:
    texts = [f"So 12{digit}, duong Tran Hung Dao, quan 1" for digit in range(10)]
    looks = [look(draw_line(text), text) for text in texts]
    near_hashes = sum((looks[0].phash ^ one.phash).bit_count() <= 3 for one in looks[1:])
    assert near_hashes > 0  # or the test says nothing
    assert near_clusters(looks, bits=3) == list(range(10))


def test_a_copy_with_another_label_is_near(draw_line: Callable[..., bytes]) -> None:
    """A copy that somebody labelled wrongly leaks as much as any other."""
    line = draw_line("So 123, duong Tran Hung Dao, quan 1")
    looks = [look(line, "Số 123"), look(again(line, quality=60), "Số 128")]
    assert near_clusters(looks, bits=3) == [0, 0]


def test_blank_looking_lines_of_one_label_are_told_apart_by_their_thumbnails() -> None:
    looks = []
    for column in range(8):  # one faint dot each, too little for the hash's cells
        rgb = np.full((32, 400, 3), 255, dtype=np.uint8)
        rgb[8:24, 20 + column * 45 : 26 + column * 45] = 0
        looks.append(Look(0, thumbnail(rgb), 400, 32, "."))
    assert near_clusters(looks, bits=3) == list(range(8))


def test_blank_pictures_are_near_each_other_only() -> None:
    blank = thumbnail(np.full((32, 400, 3), 250, dtype=np.uint8))
    inked = thumbnail(np.arange(400, dtype=np.uint8)[None, :, None].repeat(32, 0).repeat(3, 2))
    looks = [Look(0, blank, 400, 32, "x"), Look(0, blank, 400, 32, "x")]
    looks.append(Look(0, inked, 400, 32, "x"))
    assert near_clusters(looks, bits=3) == [0, 0, 2]


def test_another_shape_is_another_picture(draw_line: Callable[..., bytes]) -> None:
    one = look(draw_line("a"), "a")
    wide = Look(one.phash, one.thumbnail, one.width * 2, one.height, "a")
    assert near_clusters([one, wide], bits=3) == [0, 1]


@pytest.mark.parametrize("bits", [0, 1, 3, 8, 16])
def test_banding_finds_what_all_pairs_would(bits: int) -> None:
    rng = np.random.default_rng(bits)
    cells = rng.integers(0, 256, 512, dtype=np.uint8).tobytes()
    base = [int(value) for value in rng.integers(0, 2**63, 20)]
    hashes = []
    for value in base:
        for _ in range(4):
            flips = rng.choice(64, size=int(rng.integers(0, bits + 3)), replace=False)
            hashes.append(value ^ sum(1 << int(flip) for flip in flips))
    looks = [Look(value, cells, 100, 20, "x") for value in hashes]
    parents = list(range(len(hashes)))
    for a, first in enumerate(hashes):
        for b, second in enumerate(hashes[:a]):
            if (first ^ second).bit_count() <= bits:
                low, high = sorted((parents[a], parents[b]))
                parents = [low if parent == high else parent for parent in parents]
    assert near_clusters(looks, bits=bits) == parents


def test_twenty_thousand_pictures_take_seconds() -> None:
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 256, (20_000, 512), dtype=np.uint8)
    looks = [
        Look(int(value), cells[n].tobytes(), 100, 20, str(n % 50))
        for n, value in enumerate(rng.integers(0, 2**63, 20_000))
    ]
    looks += [Look(7, cells[0].tobytes(), 100, 20, "same") for _ in range(2_000)]
    watch = Stopwatch()
    clusters = near_clusters(looks, bits=3)
    assert watch.allows(30)
    assert set(clusters[20_000:]) == {20_000}
    assert clusters[:20_000] == list(range(20_000))


def test_nothing_and_one() -> None:
    assert near_clusters([], bits=3) == []
    assert near_clusters([Look(1, bytes(512), 1, 1, "")], bits=3) == [0]
