"""Annotations, drafts and JSON-MIN rows, in all the shapes they come in, as `Opinion`s."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nhan.samples.media import PICTURE_ENDINGS

_REFERENCE = re.compile(r"^(https?|s3a?|gs|az|abfss?)://|^/data/|^data:image/", re.IGNORECASE)
_BAD = frozenset(
    {
        "bad",
        "reject",
        "rejected",
        "unreadable",
        "not readable",
        "illegible",
        "unusable",
        "discard",
        "xấu",
        "hỏng",
        "kém",
        "loại",
        "không đọc được",
    }
)
_GOOD = frozenset(
    {"good", "ok", "okay", "fine", "accept", "accepted", "readable", "tốt", "đạt", "đọc được"}
)
# Columns of JSON-MIN that hold neither a text nor a choice of the annotation.
_BOOKKEEPING = frozenset(
    {
        "id",
        "inner_id",
        "annotator",
        "annotation_id",
        "created_at",
        "updated_at",
        "lead_time",
        "agreement",
        "project",
        "file_upload",
        "split",
        "subset",
        "source",
        "group",
        "document",
        "writer",
    }
)


@dataclass(frozen=True)
class Opinion:
    """What one person said of one task.

    Attributes:
        texts: caption by field of the labelling interface.
        choices: chosen options by field.
        regions: it labels regions of the picture, not the whole.
        cancelled: the annotator skipped the task.
        draft: not submitted.
        flat: from a row of JSON-MIN, where a single choice looks like a text.
        given_at: of the last change.
        order: position in the export; decides between equal moments.
    """

    texts: dict[str, str] = field(default_factory=dict)
    choices: dict[str, list[str]] = field(default_factory=dict)
    regions: bool = False
    cancelled: bool = False
    draft: bool = False
    flat: bool = False
    ground_truth: bool = False
    given_by: str = ""
    external_id: str = ""
    given_at: datetime | None = None
    order: int = 0


def is_flat(task: dict[str, Any]) -> bool:
    """A row of JSON-MIN rather than a task with annotations."""
    return not any(key in task for key in ("annotations", "completions", "data"))


def read_opinions(task: dict[str, Any]) -> list[Opinion]:
    """All annotations and drafts of a task object, or the one of a JSON-MIN row."""
    if is_flat(task):
        return [_from_row(task)]
    found = []
    # `completions` is what annotations were called before Label Studio 1.0.
    for draft, keys in ((False, ("annotations", "completions")), (True, ("drafts",))):
        for key in keys:
            listed = task.get(key)
            for number, one in enumerate(listed if isinstance(listed, list) else []):
                if isinstance(one, dict):  # some exports list mere ids
                    found.append(_from_annotation(one, number, draft=draft))
    return found


def is_picture_reference(value: str) -> bool:
    """A path or address of a picture, as the values of `data` are."""
    if _REFERENCE.match(value):
        return True
    return Path(value.partition("?")[0]).suffix.lower() in PICTURE_ENDINGS and "\n" not in value


def is_bad(choice: str) -> bool:
    """A choice that says the picture is no good."""
    return choice.strip().casefold() in _BAD


def is_quality(choice: str) -> bool:
    """A choice about the picture's quality, good or bad."""
    return is_bad(choice) or choice.strip().casefold() in _GOOD


def _from_annotation(one: dict[str, Any], number: int, *, draft: bool) -> Opinion:
    texts: dict[str, list[str]] = {}
    choices: dict[str, list[str]] = {}
    regions = False
    results = one.get("result")
    for result in results if isinstance(results, list) else []:
        value = result.get("value") if isinstance(result, dict) else None
        if not isinstance(value, dict):
            continue
        name = str(result.get("from_name") or "")
        regions = regions or ("x" in value and "width" in value)
        if "text" in value:
            texts.setdefault(name, []).extend(_strings(value["text"]))
        if "choices" in value:
            choices.setdefault(name, []).extend(_strings(value["choices"]))
    return Opinion(
        texts={name: "\n".join(lines) for name, lines in texts.items()},
        choices=choices,
        regions=regions,
        cancelled=bool(one.get("was_cancelled") or one.get("skipped")),
        draft=draft,
        ground_truth=bool(one.get("ground_truth") or one.get("honeypot")),
        given_by=_person(one.get("completed_by") or one.get("user")),
        external_id=str(one.get("id") or one.get("unique_id") or ""),
        given_at=_moment(one.get("updated_at") or one.get("created_at")),
        order=number,
    )


def _from_row(row: dict[str, Any]) -> Opinion:
    texts: dict[str, str] = {}
    choices: dict[str, list[str]] = {}
    for name, value in row.items():
        if name in _BOOKKEEPING:
            continue
        if isinstance(value, dict):
            if "choices" in value:
                choices[name] = _strings(value["choices"])
            elif "text" in value:
                texts[name] = "\n".join(_strings(value["text"]))
            continue
        lines = _strings(value)
        if lines and all(map(is_quality, lines)):
            choices[name] = lines
        elif lines and not is_picture_reference(lines[0]):
            texts[name] = "\n".join(lines)
    return Opinion(
        texts=texts,
        choices=choices,
        flat=True,
        given_by=_person(row.get("annotator")),
        external_id=str(row.get("annotation_id") or ""),
        given_at=_moment(row.get("updated_at") or row.get("created_at")),
    )


def _strings(value: Any) -> list[str]:
    """A text area gives a list, or a string where only one answer is allowed."""
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _person(value: Any) -> str:
    """A number, an address, or an object with either."""
    if isinstance(value, dict):
        value = value.get("email") or value.get("username") or value.get("id")
    return "" if value is None else str(value)


def _moment(value: Any) -> datetime | None:
    """ISO 8601, or seconds since 1970 in exports of long ago."""
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None
