"""Lines as a folder that `nhan import` reads: pictures, labels.json, and how they came to be.

DIRECTORY/synth.json     seed and recipe; marks the folder as ours
DIRECTORY/lines.jsonl    one row a line: file, text, kind, font; written as pictures are finished
DIRECTORY/labels.json    {file: text}, NFC, UTF-8; appears whole when all lines are there
DIRECTORY/00000/00000017.png
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import cv2

from nhan.errors import Conflict, UserError
from nhan.synth.recipe import DEFAULT, Recipe
from nhan.synth.stream import Line, LineStream

_BATCH = 256  # pictures between two notes of progress on disk
_SHARD = 1000  # pictures a subfolder
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]  # four times faster than the default, a tenth larger


@dataclass(frozen=True)
class FolderReport:
    """What `write_folder` did.

    Attributes:
        directory: where.
        lines: pictures now in the folder.
        made: of them, made in this call; the rest were there already.
        seconds: this call took.
        kinds: pictures by look.
        fonts: pictures by font file name.
    """

    directory: Path
    lines: int
    made: int
    seconds: float
    kinds: dict[str, int]
    fonts: dict[str, int]


def write_folder(
    directory: str | Path,
    lines: int,
    *,
    seed: int = 0,
    recipe: Recipe = DEFAULT,
    processes: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> FolderReport:
    """Write lines 0 to `lines` of a stream; go on where an interrupted call stopped.

    Args:
        directory: made if missing. With the same seed and recipe as before, only what is missing is
            made, so asking for more lines later adds to a folder.
        lines: how many pictures the folder shall hold.
        seed: of the stream.
        recipe: what to make.
        processes: workers, see `LineStream`.
        progress: called with (pictures there, pictures wanted) after every batch.

    Raises:
        Conflict: the folder holds something else, or lines of another seed or recipe.
        UserError: `lines` is negative, or no usable font was found.
    """
    if lines < 0:
        raise UserError(f"cannot write {lines} lines", hint="ask for 0 or more")
    began = time.monotonic()
    root = Path(directory)
    _claim(root, seed, recipe)
    rows = _finished(root / "lines.jsonl")[:lines]
    there = len(rows)
    # What a crash left behind the last whole row is written anew.
    _replace(root / "lines.jsonl", "".join(_row(row) for row in rows))
    stream = iter(LineStream(seed, recipe, start=there, processes=processes))
    with closing(stream), (root / "lines.jsonl").open("a", encoding="utf-8") as journal:
        while len(rows) < lines:
            batch = islice(stream, min(_BATCH, lines - len(rows)))
            rows += _write_batch(root, batch, len(rows), journal)
            if progress:
                progress(len(rows), lines)
    labels = {row["file"]: row["text"] for row in rows}
    _replace(root / "labels.json", json.dumps(labels, ensure_ascii=False, indent=0) + "\n")
    return FolderReport(
        root,
        len(rows),
        len(rows) - there,
        time.monotonic() - began,
        dict(Counter(row["kind"] for row in rows).most_common()),
        dict(Counter(row["font"] for row in rows).most_common()),
    )


def _claim(root: Path, seed: int, recipe: Recipe) -> None:
    mark = root / "synth.json"
    wanted = {"format": 1, "seed": seed, "recipe": recipe.model_dump(mode="json")}
    if mark.is_file():
        if json.loads(mark.read_text("utf-8")) != wanted:
            raise Conflict(
                f"{root} holds lines of another seed or recipe",
                hint="choose another folder, or the seed and recipe that its synth.json names",
            )
        return
    if root.is_dir() and any(root.iterdir()):
        raise Conflict(f"{root} is not empty", hint="choose a new or empty folder")
    root.mkdir(parents=True, exist_ok=True)
    _replace(mark, json.dumps(wanted, ensure_ascii=False, indent=2) + "\n")


def _finished(journal: Path) -> list[dict[str, Any]]:
    if not journal.is_file():
        return []
    rows = []
    for text in journal.read_text("utf-8", errors="replace").splitlines():
        try:
            row = json.loads(text)
        except json.JSONDecodeError:
            break  # a half-written last row; its picture is made again
        if not (journal.parent / row["file"]).is_file():
            break
        rows.append(row)
    return rows


def _write_batch(
    root: Path, batch: Iterator[Line], start: int, journal: TextIO
) -> list[dict[str, Any]]:
    rows = []
    for index, line in enumerate(batch, start):
        file = f"{index // _SHARD:05}/{index:08}.png"
        path = root / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(cv2.imencode(".png", line.image[..., ::-1], _PNG)[1].tobytes())
        rows.append({"file": file, "text": line.text, "kind": line.kind, "font": line.font})
    journal.write("".join(_row(row) for row in rows))
    journal.flush()
    os.fsync(journal.fileno())
    return rows


def _row(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, "utf-8")
    partial.replace(path)
