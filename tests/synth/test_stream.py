from __future__ import annotations

import unicodedata
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import nhan.synth
from nhan.synth import RECIPES, LineStream, Recipe, line
from nhan.synth.recipe import KINDS


def test_what_is_public() -> None:
    assert set(nhan.synth.__all__) == {
        "DEFAULT",
        "RECIPES",
        "FolderReport",
        "Line",
        "LineStream",
        "Recipe",
        "line",
        "load_recipe",
        "write_folder",
    }


def test_a_line_depends_on_seed_and_index_alone(recipe: Recipe) -> None:
    forward = [line(7, index, recipe=recipe) for index in range(24)]
    backward = [line(7, index, recipe=recipe) for index in reversed(range(24))][::-1]
    for first, second in zip(forward, backward, strict=True):
        assert np.array_equal(first.image, second.image)
        assert (first.text, first.kind, first.font) == (second.text, second.kind, second.font)
    assert len({made.text for made in forward}) > 20
    assert line(8, 0, recipe=recipe).text != forward[0].text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("difficulty", [0.0, 1.0])
def test_pictures_keep_to_the_recipe(recipe: Recipe, kind: str, difficulty: float) -> None:
    chosen = recipe.with_(kinds={kind: 1}, difficulty=difficulty, max_width=900)
    for index in range(25):
        made = line(1, index, recipe=chosen)
        assert made.kind == kind
        assert made.image.dtype == np.uint8
        height, width, channels = made.image.shape
        assert channels == 3
        assert 8 <= height <= 320
        assert 4 <= width <= 1500
        assert made.text == unicodedata.normalize("NFC", made.text)
        # Something is written: the picture is not one flat colour.
        assert made.image.astype(int).std() > 2


def test_clean_lines_are_dark_on_light_or_light_on_dark_without_noise(recipe: Recipe) -> None:
    clean = RECIPES["clean"].with_(fonts=recipe.fonts)
    for index in range(30):
        pixels = line(0, index, recipe=clean).image.reshape(-1, 3)
        ground = Counter(map(tuple, pixels.tolist())).most_common(1)[0]
        assert ground[1] > 0.4 * len(pixels)


def test_all_kinds_come_in_their_shares(recipe: Recipe) -> None:
    chosen = recipe.with_(kinds={"print": 3, "short": 1})
    kinds = Counter(line(2, index, recipe=chosen).kind for index in range(200))
    assert set(kinds) == {"print", "short"}
    assert 125 < kinds["print"] < 175


def test_a_stream_goes_on_where_it_stopped(recipe: Recipe) -> None:
    stream = LineStream(3, recipe)
    first = [made.text for made in islice(stream, 5)]
    rest = [made.text for made in islice(LineStream(3, recipe, start=stream.index), 5)]
    assert stream.index == 5
    assert first + rest == [line(3, index, recipe=recipe).text for index in range(10)]


def test_workers_make_the_same_lines(recipe: Recipe) -> None:
    alone = [line(4, index, recipe=recipe) for index in range(40)]
    stream = iter(LineStream(4, recipe, processes=1))
    together = list(islice(stream, 40))
    stream.close()
    for first, second in zip(alone, together, strict=True):
        assert first.text == second.text
        assert np.array_equal(first.image, second.image)


def test_fonts_of_a_recipe_are_the_only_ones_used(dejavu: Path) -> None:
    serif = Recipe(fonts=str(dejavu), fonts_only=("DejaVuSerif",))
    assert {line(0, i, recipe=serif).font[:11] for i in range(40)} == {"DejaVuSerif"}
