from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import toy_run

from nhan.errors import SettingsError
from nhan.images import decode
from nhan.tasks.text.prepare import Preparation
from nhan.training.prepared import Prepared, folder_rows, prepared

PREPARATION = Preparation(height=24)


def prepare(rows: Iterator[toy_run.ToyRow], cache: Path, **changes: object) -> Prepared:
    preparation = changes.pop("preparation", PREPARATION)
    assert isinstance(preparation, Preparation)
    return prepared(
        rows,
        key=["toy", changes.pop("version", "1")],
        prepare=preparation.prepare,
        preparation=preparation.to_dict(),
        cache=cache,
    )


def rows() -> list[toy_run.ToyRow]:
    return [toy_run.row(label) for label in ("abc", "a", "ab 12")]


def unread() -> Iterator[toy_run.ToyRow]:
    raise AssertionError("the cache should have been used")
    yield


def test_pictures_come_back_as_preparation_makes_them(tmp_path: Path) -> None:
    made = prepare(iter(rows()), tmp_path)
    assert made.labels == ["abc", "a", "ab 12"]
    for index, row in enumerate(rows()):
        picture, label = made[index]
        assert np.array_equal(picture, PREPARATION.prepare(decode(row.image)))
        assert label == row.label
        assert made.width(index) == picture.shape[1]


def test_the_same_content_is_prepared_once(tmp_path: Path) -> None:
    prepare(iter(rows()), tmp_path)
    assert prepare(unread(), tmp_path).labels == ["abc", "a", "ab 12"]


def test_another_version_or_preparation_is_prepared_anew(tmp_path: Path) -> None:
    prepare(iter(rows()), tmp_path)
    other = Preparation(height=32)
    assert prepare(iter(rows()[:1]), tmp_path, version="2").labels == ["abc"]
    assert prepare(iter(rows()), tmp_path, preparation=other)[0][0].shape[0] == 32


def test_unreadable_pictures_are_named_not_lost_in_silence(tmp_path: Path) -> None:
    broken = toy_run.ToyRow(b"no picture", "x", "f" * 64)
    made = prepare(iter([*rows(), broken]), tmp_path)
    assert len(made) == 3
    assert [name for name, _ in made.left_out] == ["f" * 64]


def test_a_preparation_that_dies_leaves_nothing_that_counts(tmp_path: Path) -> None:
    def dying() -> Iterator[toy_run.ToyRow]:
        yield from rows()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(dying(), tmp_path)
    assert len(prepare(iter(rows()), tmp_path)) == 3


def test_an_empty_split_is_empty(tmp_path: Path) -> None:
    assert len(prepare(iter([]), tmp_path)) == 0


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"labels\.json"):
        list(folder_rows(tmp_path))
