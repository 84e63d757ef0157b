"""Label Studio exports, JSON and JSON-MIN, as they really are."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nhan.errors import BadPicture, BadSource
from nhan.samples.doors.base import Opened, Reading, not_utf8, text_beginning
from nhan.samples.doors.label_studio.opinions import (
    Opinion,
    is_flat,
    is_picture_reference,
    read_opinions,
)
from nhan.samples.doors.label_studio.verdict import Fault, Field, judge
from nhan.samples.doors.labels_json import FILE_NAME as LABELS_JSON
from nhan.samples.media import FilePicture, Media
from nhan.samples.record import Record, Skip, Unresolved, said

# Keys of `data` that usually hold the picture, when several could.
_PICTURE_KEYS = ("image", "ocr", "captioning", "picture", "img", "url", "file")
_GROUP_KEYS = ("group", "document", "writer")


class LabelStudio:
    """A list of tasks with `data` and `annotations`, or the flat rows of JSON-MIN."""

    layout = "a Label Studio JSON or JSON-MIN export"
    folder_is_label = False

    def claims(self, source: Path) -> bool:
        return bool(_exports(source))

    def open(self, source: Path, reading: Reading, media: Media) -> Opened:
        exports = _exports(source) or [source]
        if len(exports) > 1:
            names = ", ".join(path.name for path in exports)
            raise BadSource(f"{source} holds several exports: {names}", hint="import one of them")
        tasks = _load(exports[0])
        folder = (source if source.is_dir() else source.parent).resolve()
        export = _Export(tasks, folder.name, reading, media)
        return Opened(export.items(), len(export))


@dataclass(frozen=True)
class _Task:
    """One task of either form.

    Attributes:
        where: what to call it in a complaint.
        data: its `data`, or the data-like keys of a JSON-MIN row.
        raw: the whole object.
        opinions: what people said of it.
    """

    where: str
    data: dict[str, Any]
    raw: dict[str, Any]
    opinions: list[Opinion]


def _exports(source: Path) -> list[Path]:
    if source.is_dir():
        found = (path for path in sorted(source.glob("*.json")) if path.name != LABELS_JSON)
        return [path for path in found if _is_export(path)]
    return [source] if _is_export(source) else []


def _is_export(path: Path) -> bool:
    return re.match(r"\s*\[\s*(\{|\])", text_beginning(path)) is not None


def _load(path: Path) -> list[dict[str, Any]]:
    try:
        tasks = json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise not_utf8(path, error) from error
    except json.JSONDecodeError as error:
        raise BadSource(
            f"{path} is not valid JSON: {error}", hint="export it again from Label Studio, as JSON"
        ) from error
    if not isinstance(tasks, list):
        raise BadSource(f"{path} is no list of tasks", hint=LabelStudio.layout)
    return [task if isinstance(task, dict) else {"value": task} for task in tasks]


class _Export:
    def __init__(
        self, tasks: list[dict[str, Any]], default: str, reading: Reading, media: Media
    ) -> None:
        self._reading = reading
        self._media = media
        self._default = default
        self._tasks = list(_tasks(tasks))
        opinions = [opinion for task in self._tasks for opinion in task.opinions]
        self._field = Field.of(opinions, reading.label_column, choices=reading.choices)

    def __len__(self) -> int:
        return len(self._tasks)

    def items(self) -> Iterator[Record | Skip]:
        """Every task as a record or a skip; references are resolved first, to see collisions."""
        pictures = [self._picture(task) for task in self._tasks]
        places: dict[Path, set[str]] = {}
        for reference, picture in pictures:
            if isinstance(picture, FilePicture):
                places.setdefault(picture.path, set()).add(reference)
        for task, (reference, picture) in zip(self._tasks, pictures, strict=True):
            if isinstance(picture, Skip):
                yield picture
            elif isinstance(picture, FilePicture) and len(places[picture.path]) > 1:
                yield Skip(
                    reference,
                    "ambiguous_picture",
                    f"{len(places[picture.path])} references of the export lead to {picture.path}",
                    "keep the folders of the pictures, or narrow --media",
                )
            else:
                yield self._record(task, reference, picture)

    def _picture(self, task: _Task) -> tuple[str, Callable[[], bytes] | Skip]:
        reference = _reference(task.data, self._reading.picture_column)
        if not reference:
            keys = ", ".join(task.data) or "nothing"
            message = f"{task.where} names no picture; its data holds {keys}"
            return "", Skip(task.where, "malformed_item", message, "--picture-column KEY")
        if reference.startswith("data:image/"):
            return task.where, _inline(reference)
        try:
            return reference, self._media.named(reference)
        except Unresolved as error:
            return reference, error.skip(f"{task.where} {reference.partition('?')[0]}")

    def _record(self, task: _Task, reference: str, picture: Callable[[], bytes]) -> Record | Skip:
        verdict = judge(task.opinions, self._field)
        if isinstance(verdict, Fault):
            name = f"{task.where} {reference.partition('?')[0]}"
            return Skip(name, verdict.code, verdict.message, verdict.hint)
        path = reference.partition("?d=")[2] or reference.partition("?")[0]
        path = re.sub(r"^[a-z0-9]+://[^/]*/|^/data/upload/\d+/|^/", "", path, flags=re.IGNORECASE)
        return Record(
            name=path,
            picture=picture,
            label=verdict.label,
            others=verdict.others,
            ground_truth=verdict.ground_truth,
            state=verdict.state,
            reason=verdict.reason,
            **self._facts(task, path),
        )

    def _facts(self, task: _Task, path: str) -> dict[str, str]:
        meta = task.raw.get("meta")
        facts: dict[str, Any] = {**(meta if isinstance(meta, dict) else {}), **task.data}
        reading = self._reading
        group = next(filter(None, (said(facts.get(key)) for key in _GROUP_KEYS)), "")
        return {
            "split": reading.split_of(said(facts.get("split")), path),
            "source": reading.source_name
            or said(facts.get("source"))
            or reading.source_of(path, self._default),
            "group": reading.group_of(path) or group,
        }


def _tasks(raw: list[dict[str, Any]]) -> Iterator[_Task]:
    """Both forms as one: JSON-MIN has a row for each annotation, so rows of a task are joined."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for number, task in enumerate(raw, start=1):
        known = task.get("id")
        where = f"task {known}" if known is not None else f"item {number}"
        if is_flat(task):
            rows.setdefault(where, []).append(task)
        else:
            data = task.get("data")
            opinions = read_opinions(task)
            yield _Task(where, data if isinstance(data, dict) else {}, task, opinions)
    for where, same in rows.items():
        opinions = [opinion for row in same for opinion in read_opinions(row)]
        yield _Task(where, same[0], same[0], opinions)


def _reference(data: dict[str, Any], asked: str) -> str:
    if asked:
        value = data.get(asked)
        return value if isinstance(value, str) else ""
    found = [
        key for key, value in data.items() if isinstance(value, str) and is_picture_reference(value)
    ]
    preferred = next((key for key in _PICTURE_KEYS if key in found), None)
    key = preferred or next(iter(found), None)
    return str(data[key]) if key is not None else ""


def _inline(reference: str) -> Callable[[], bytes]:
    def picture() -> bytes:
        try:
            return base64.b64decode(reference.partition(",")[2], validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadPicture(
                "the data: picture of the task is not base64", hint="export the task again"
            ) from error

    return picture
