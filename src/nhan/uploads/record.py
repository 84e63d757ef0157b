"""What is kept of an answered picture and of a correction, and under which names.

An id begins with its time (12 hexadecimal digits of milliseconds), so the day folder of everything
that belongs to a prediction follows from its id alone:

    images/ab/SHA.ext                                  original bytes, written once
    uploads/inbox/DATE/ID.json                         collected; intake has not seen it yet
    uploads/inbox/DATE/ID-CORRECTION.json              a correction that intake has not seen yet
    uploads/inbox/DATE/ID-disagreement.json            a candidate answered otherwise
    uploads/taken/DATE/ID.json                         in the catalogue
    uploads/refused/DATE/ID….json                      could not be taken in; says why
    uploads/corrections/DATE/ID/000001.json            every correction of a prediction, in order
    uploads/erased/SHA256.json                         a user or upload that was erased
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from nhan.errors import BadLabel, BadRequest
from nhan.names import one_spelling

INBOX = "uploads/inbox"
TAKEN = "uploads/taken"
REFUSED = "uploads/refused"
CORRECTIONS = "uploads/corrections"
ERASED = "uploads/erased"

# Longer ones are not names.
MAX_USER = 200
# Of what a line says, in UTF-8. With the longest name it just goes into an index of PostgreSQL.
MAX_LABEL_BYTES = 1500

_ID = re.compile(r"[0-9a-f]{28}")
_TIME_DIGITS = 12
# Ids of another millennium are made up, and some databases cannot store their time.
_LAST_MS = 7_258_118_400_000


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """One answered picture.

    Attributes:
        id: of the prediction.
        at: when it was answered.
        value: the text or class answered.
        confidence: calibrated, 0..1.
        sha256: of the original bytes; `path` is their object.
        size_bytes: of the picture.
        format: its file ending: `png`, `jpg` …
        user: who sent it, as the caller said; may be ''.
        consent: whether it may train; None where nobody said.
        sampled: the policy that chose it for review; '' for none.
        novelty: how unlike earlier pictures it is, 0..1.
        duration_ms: from arrival to answer.
        details: what the task adds: characters or class scores.
    """

    id: str
    at: datetime
    task: str
    model: str
    version: str
    value: str
    confidence: float
    sha256: str
    path: str
    size_bytes: int
    format: str
    user: str = ""
    consent: bool | None = None
    sampled: str = ""
    novelty: float = 0.0
    request_id: str = ""
    duration_ms: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)

    def to_bytes(self, details: bytes = b"") -> bytes:
        """The record's JSON.

        Args:
            details: in place of the attribute, as the members of a JSON object in UTF-8 without
                the braces: an answer's are JSON already, and most of the record.
        """
        facts = dump(
            {
                "id": self.id,
                "at": self.at.isoformat(timespec="milliseconds"),
                "task": self.task,
                "model": self.model,
                "version": self.version,
                "value": self.value,
                "confidence": self.confidence,
                "sha256": self.sha256,
                "path": self.path,
                "bytes": self.size_bytes,
                "format": self.format,
                "user": self.user,
                "consent": self.consent,
                "sampled": self.sampled,
                "novelty": self.novelty,
                "request_id": self.request_id,
                "duration_ms": self.duration_ms,
            }
        )
        members = details or dump(self.details)[1:-1]
        return b'%s,"details":{%s}}' % (facts[:-1], members)

    @classmethod
    def from_bytes(cls, data: bytes) -> UploadRecord:
        """The record that `to_bytes` wrote.

        Raises:
            BadRequest: it is none.
        """
        document = parse(data)
        document["size_bytes"] = document.pop("bytes", 0)
        try:
            document["at"] = _moment(document["at"])
            record = cls(**document)
            _check(record)
            _must(is_id(record.id), "id", record.id)
            json.dumps(record.details, allow_nan=False)  # which some databases do not take
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise BadRequest(f"no record of an upload: {error}") from error
        return record


@dataclass(frozen=True, slots=True)
class CorrectionRecord:
    """What somebody says an answer should have been.

    Attributes:
        id: made from prediction, label, giver and what it replaces, so that the same correction
            sent again is the same correction.
        prediction: the answer's id.
        label: normalised by the task where the task was known.
        given_by: the key's name or what the caller said; may be ''.
        replaces: the id of an earlier correction that this one takes back; may be ''.
        trusted: given with a key that may review.
    """

    id: str
    prediction: str
    label: str
    given_by: str
    at: datetime
    replaces: str = ""
    trusted: bool = False

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        return {
            "id": self.id,
            "prediction": self.prediction,
            "label": self.label,
            "given_by": self.given_by,
            "at": self.at.isoformat(timespec="microseconds"),
            "replaces": self.replaces,
            "trusted": self.trusted,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> CorrectionRecord:
        """The record that `to_json` gave.

        Raises:
            BadRequest: it is none.
        """
        try:
            record = cls(**{**document, "at": _moment(document["at"])})
            _check(record)
            _must(is_id(record.prediction), "prediction", record.prediction)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise BadRequest(f"no record of a correction: {error}") from error
        return record

    @classmethod
    def make(
        cls, prediction: str, label: str, given_by: str, *, replaces: str = "", trusted: bool
    ) -> CorrectionRecord:
        """A correction given now."""
        text = json.dumps([prediction, label, given_by, replaces], ensure_ascii=False)
        name = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:24]
        return cls(name, prediction, label, given_by, datetime.now(UTC), replaces, trusted)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A candidate that answered silently answered otherwise than the model that was heard."""

    prediction: str
    candidate: str
    answer: str
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def to_bytes(self) -> bytes:
        """The note's JSON."""
        return dump(
            {
                "prediction": self.prediction,
                "candidate": self.candidate,
                "answer": self.answer,
                "at": self.at.isoformat(timespec="milliseconds"),
            }
        )


def check_label(label: str) -> str:
    """Pass what may be a correction's label.

    Raises:
        BadLabel: it is too long.
    """
    size = len(label.encode("utf-8", "replace"))
    if size > MAX_LABEL_BYTES:
        raise BadLabel(
            f"the label has {len(label):,} characters, {size:,} bytes",
            hint=f"what the picture says, {MAX_LABEL_BYTES:,} bytes at most",
        )
    return label


def is_id(text: str) -> bool:
    """Whether this could be a prediction's id."""
    return _ID.fullmatch(text) is not None and int(text[:_TIME_DIGITS], 16) < _LAST_MS


def time_of(prediction: str) -> datetime:
    """When the prediction with this id was made."""
    return datetime.fromtimestamp(int(prediction[:_TIME_DIGITS], 16) / 1e3, UTC)


def day_of(prediction: str) -> str:
    """The day folder of everything that belongs to a prediction: `YYYY-MM-DD`, UTC."""
    return time_of(prediction).date().isoformat()


def inbox_path(prediction: str, part: str = "") -> str:
    """Where something collected waits for intake."""
    return _path(INBOX, prediction, part)


def taken_path(prediction: str) -> str:
    """Where the record of a prediction lies once it is in the catalogue."""
    return _path(TAKEN, prediction, "")


def corrections_prefix(prediction: str) -> str:
    """The numbered log of a prediction's corrections."""
    return f"{CORRECTIONS}/{day_of(prediction)}/{prediction}"


def erased_path(kind: str, name: str) -> str:
    """The note that a `user` or an `upload` was erased; it does not tell whose it was."""
    text = f"{kind} {one_spelling(name)}"
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return f"{ERASED}/{digest}.json"


def dump(document: dict[str, Any]) -> bytes:
    """JSON in UTF-8, in one line; halves of surrogate pairs become question marks."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def parse(data: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        BadRequest: it is none.
    """
    try:
        document = json.loads(data)
    except ValueError as error:
        raise BadRequest(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadRequest(f"not a JSON object: {str(document)[:60]}")
    return document


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return at.astimezone(UTC)


def _check(record: UploadRecord | CorrectionRecord) -> None:
    """Whether a record's values are what its attributes say: others may have written it.

    Raises:
        ValueError: one is not.
    """
    for name, kinds in _KINDS.items():
        value = getattr(record, name, None)
        if value is None and (name == "consent" or not hasattr(record, name)):
            continue
        right = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
        _must(right and (not isinstance(value, float) or math.isfinite(value)), name, value)
        if most := _NAMES.get(name):
            _must(0 < len(str(value)) <= most and str(value).isprintable(), name, value)


def _must(right: bool, name: str, value: object) -> None:
    if not right:
        raise ValueError(f"its {name} is {str(value)[:60]!r}")


_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(
        ("id", "task", "model", "version", "value", "sha256", "path", "format", "user", "sampled",
         "request_id", "prediction", "label", "given_by", "replaces"),
        (str,),
    ),
    **dict.fromkeys(("confidence", "novelty", "duration_ms"), (int, float)),
    **dict.fromkeys(("consent", "trusted"), (bool,)),
    "size_bytes": (int,),
    "details": (dict,),
}  # fmt: skip
# As long as the catalogue's columns.
_NAMES = {"id": 64, "task": 32, "model": 128, "version": 32, "sha256": 64, "path": 200}


def _path(folder: str, prediction: str, part: str) -> str:
    name = f"{prediction}-{part}" if part else prediction
    return f"{folder}/{day_of(prediction)}/{name}.json"
