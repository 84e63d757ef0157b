"""Features are computed once and found again by content."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from nhan.tasks.classes.features import compute_features  # noqa: E402
from nhan.tasks.classes.networks import ClassNetwork  # noqa: E402
from nhan.tasks.classes.prepare import Preparation  # noqa: E402

PREPARATION = Preparation(size=16)


class Counting(ClassNetwork):
    """Mean colours as features, and how many pictures were looked at."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__(3, 2)
        self.gain = torch.nn.Parameter(torch.tensor(gain))
        self.seen = 0

    def features(self, images):
        self.seen += len(images)
        return images.mean((2, 3)) * self.gain


class Pictures:
    def __init__(self, *seeds: int) -> None:
        self.seeds = seeds

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, index: int):
        rng = np.random.default_rng(self.seeds[index])
        return rng.integers(0, 256, (16, 16, 3), dtype=np.uint8), f"lớp {self.seeds[index] % 2}"


def run(network, pictures, cache, preparation=PREPARATION, trunk="t"):
    return compute_features(network, preparation, pictures, trunk=trunk, cache=cache)


def test_only_new_pictures_are_looked_at(tmp_path):
    network = Counting()
    first = run(network, Pictures(1, 2, 3, 2), tmp_path)
    assert network.seen == 3  # one of the four is there twice
    again = run(network, Pictures(3, 4, 1), tmp_path)
    assert network.seen == 4
    assert again.rows[0].tobytes() == first.rows[2].tobytes()
    assert again.labels == ["lớp 1", "lớp 0", "lớp 1"]
    assert run(network, Pictures(1, 2, 3, 4), tmp_path).rows.shape == (4, 3)
    assert network.seen == 4


def test_features_are_those_of_the_picture():
    pictures = Pictures(1, 2)
    rows = run(Counting(), pictures, None).rows
    for index in range(2):
        planes = PREPARATION.to_input(pictures[index][0])
        assert rows[index] == pytest.approx(planes.mean((1, 2)), abs=1e-5)


@pytest.mark.parametrize(
    ("gain", "size", "trunk"), [(2.0, 16, "t"), (1.0, 24, "t"), (1.0, 16, "other")]
)
def test_another_trunk_or_preparation_finds_nothing(tmp_path, gain, size, trunk):
    run(Counting(), Pictures(1, 2), tmp_path)
    network = Counting(gain)
    run(network, Pictures(1, 2), tmp_path, Preparation(size=size), trunk)
    assert network.seen == 2


def test_another_head_finds_them(tmp_path):
    run(Counting(), Pictures(1, 2), tmp_path)
    network = Counting()
    with torch.no_grad():
        network.head.weight += 1
    run(network, Pictures(1, 2), tmp_path)
    assert network.seen == 0


def test_features_stand_in_for_pictures():
    features = run(Counting(), Pictures(5), None)
    row, label = features[0]
    assert row.shape == (1, 1, 3)
    assert row.dtype == np.float32
    assert label == "lớp 1"


def test_an_empty_split_has_no_features(tmp_path):
    assert len(run(Counting(), Pictures(), tmp_path)) == 0


@pytest.mark.parametrize("left", [0, 10, 100])
def test_a_damaged_file_of_the_cache_is_computed_again(tmp_path, left, caplog):
    whole = run(Counting(), Pictures(1, 2), tmp_path).rows
    (file,) = tmp_path.rglob("*.npz")
    file.write_bytes(file.read_bytes()[:left])
    network = Counting()
    assert run(network, Pictures(1, 2), tmp_path).rows.tobytes() == whole.tobytes()
    assert network.seen == 2
    assert "damaged" in caplog.text
    again = Counting()
    run(again, Pictures(1, 2), tmp_path)
    assert again.seen == 0  # written anew in its place
