from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from nhan.errors import Conflict, UserError
from nhan.synth import Recipe, line, write_folder


def test_a_folder_holds_pictures_and_labels(tmp_path: Path, recipe: Recipe) -> None:
    seen: list[tuple[int, int]] = []
    report = write_folder(
        tmp_path / "new", 12, seed=5, recipe=recipe, progress=lambda *done: seen.append(done)
    )
    labels = json.loads((tmp_path / "new/labels.json").read_text("utf-8"))
    assert (report.lines, report.made, sum(report.kinds.values())) == (12, 12, 12)
    assert seen[-1] == (12, 12)
    for index, (file, text) in enumerate(labels.items()):
        made = line(5, index, recipe=recipe)
        picture = cv2.imread(str(tmp_path / "new" / file))
        assert text == made.text
        assert np.array_equal(picture[..., ::-1], made.image)


def test_asking_for_more_adds_and_keeps_what_is_there(tmp_path: Path, recipe: Recipe) -> None:
    write_folder(tmp_path / "a", 4, seed=1, recipe=recipe)
    old = (tmp_path / "a/00000/00000002.png").stat().st_mtime_ns
    report = write_folder(tmp_path / "a", 9, seed=1, recipe=recipe)
    assert (report.lines, report.made) == (9, 5)
    assert (tmp_path / "a/00000/00000002.png").stat().st_mtime_ns == old
    write_folder(tmp_path / "b", 9, seed=1, recipe=recipe)
    assert (tmp_path / "a/labels.json").read_bytes() == (tmp_path / "b/labels.json").read_bytes()


def test_an_interrupted_call_is_finished_by_the_next(tmp_path: Path, recipe: Recipe) -> None:
    root = tmp_path / "cut"
    write_folder(root, 8, seed=2, recipe=recipe)
    whole = (root / "labels.json").read_bytes()
    (root / "labels.json").unlink()
    journal = (root / "lines.jsonl").read_text("utf-8").splitlines(keepends=True)
    (root / "lines.jsonl").write_text("".join(journal[:5]) + journal[5][:9], "utf-8")
    (root / "00000/00000003.png").unlink()
    report = write_folder(root, 8, seed=2, recipe=recipe)
    assert report.made == 5
    assert (root / "labels.json").read_bytes() == whole
    assert len((root / "lines.jsonl").read_text("utf-8").splitlines()) == 8


def test_foreign_folders_and_other_seeds_are_refused(tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("dear")
    with pytest.raises(Conflict):
        write_folder(tmp_path / "mine", 1, recipe=recipe)
    write_folder(tmp_path / "lines", 1, seed=1, recipe=recipe)
    with pytest.raises(Conflict):
        write_folder(tmp_path / "lines", 2, seed=2, recipe=recipe)
    with pytest.raises(UserError):
        write_folder(tmp_path / "less", -1, recipe=recipe)
