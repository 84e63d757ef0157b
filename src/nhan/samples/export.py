"""Giving samples out again, in the layouts that `nhan.samples.doors` reads.

What goes in is either written or listed with a reason; if the counts do not agree, nothing is
left behind under the target's name.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from nhan.catalog import TRAINABLE, State
from nhan.catalog.samples import SampleRow, read_rows
from nhan.errors import Conflict, JobFailed, NotFound, UserError
from nhan.samples.record import Skip
from nhan.workspace import Workspace

_GROUP_ROWS = 200
_SCHEMA = pa.schema(
    [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))]
    + [(name, pa.string()) for name in ("label", "split", "sha256", "source", "group")],
    metadata={
        "huggingface": json.dumps(
            {
                "info": {
                    "features": {"image": {"_type": "Image"}}
                    | {
                        name: {"dtype": "string", "_type": "Value"}
                        for name in ("label", "split", "sha256", "source", "group")
                    }
                }
            }
        )
    },
)

Progress = Callable[[int, int | None], None]


@dataclass
class ExportReport:
    """What an export did.

    Attributes:
        read: samples asked for.
        written: of them in the target.
        skipped: the others, each with its reason.
    """

    target: str
    form: str
    read: int = 0
    written: int = 0
    skipped: list[Skip] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "target": self.target,
            "form": self.form,
            "read": self.read,
            "written": self.written,
            "skipped": len(self.skipped),
            "skipped_by_reason": dict(Counter(item.code for item in self.skipped)),
            "skipped_items": [item.to_json() for item in self.skipped],
        }


class Form(Protocol):
    """Writes one layout into a folder.

    Attributes:
        count: samples written.
    """

    count: int

    def refuses(self, row: SampleRow) -> str:
        """Why the layout cannot hold this sample; '' when it can."""

    def add(self, row: SampleRow, name: str, data: bytes) -> None:
        """Write one sample; `name` is its picture's path below the folder."""

    def close(self) -> None:
        """Write what is left."""


def export_samples(
    workspace: Workspace,
    target: str | Path,
    *,
    form: str,
    task: str = "text",
    states: Sequence[State] = TRAINABLE,
    progress: Progress | None = None,
) -> ExportReport:
    """Write the samples of a task into a new folder.

    Args:
        workspace: whose samples.
        target: folder to make; must not exist, or be empty.
        form: a key of `FORMS`.
        task: whose labels.
        states: only samples in these.
        progress: called with the samples done.

    Raises:
        UserError: no such form, or the target is the folder one is in.
        Conflict: the target holds something already.
        JobFailed: samples were lost between reading and writing.
    """
    if form not in FORMS:
        raise UserError(f"no export form {form!r}", hint=f"forms: {', '.join(FORMS)}")
    folder = Path(target)
    if folder.exists() and folder.samefile(Path.cwd()):
        # It is made beside its place and put there whole, which would leave a terminal nowhere.
        raise UserError(f"{folder} is the folder you are in", hint="name a new folder")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(f"{folder} holds something already", hint="name a new folder")
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        report = _write(workspace, partial, str(target), form, task, states, progress)
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return report


def _write(
    workspace: Workspace,
    folder: Path,
    target: str,
    form: str,
    task: str,
    states: Sequence[State],
    progress: Progress | None,
) -> ExportReport:
    report = ExportReport(target, form)
    writer = FORMS[form](folder)
    names = _Names()
    for row in read_rows(workspace.catalog, task, states=states):
        report.read += 1
        reason = ("no_label", "it has no label") if row.label is None else None
        if reason is None and (refusal := writer.refuses(row)):
            reason = ("not_writable", refusal)
        if reason is None:
            try:
                writer.add(row, names.of(row), workspace.store.read(row.path))
                report.written += 1
            except NotFound as error:
                reason = ("missing_picture", error.message)
        if reason is not None:
            report.skipped.append(Skip(row.name, *reason))
        if progress is not None and report.read % 100 == 0:
            progress(report.read, None)
    writer.close()
    if report.read != report.written + len(report.skipped) or writer.count != report.written:
        raise JobFailed(
            f"{report.read} samples read, {writer.count} written, {len(report.skipped)} skipped",
            hint="nothing was left in the target; report this",
        )
    return report


class _Names:
    """A path for each picture: slice and original name where they are safe and free."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, row: SampleRow) -> str:
        extension = PurePosixPath(row.path).suffix
        source = _safe(row.source) or "samples"
        stem = _safe(PurePosixPath(row.name.replace("\\", "/")).stem) or row.sha256[:16]
        name = f"{source}/{stem}{extension}"
        if name.lower() in self._taken:  # two files on some systems, one on others
            name = f"{source}/{stem}-{row.sha256[:12]}{extension}"
        self._taken.add(name.lower())
        return name


def _safe(text: str) -> str:
    """A file name that is one on every system."""
    return re.sub(r"[^\w.-]+", "_", text, flags=re.UNICODE).strip("._")[:80]


class _Folder(ABC):
    """Pictures as files; subclasses write the labels beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0

    def refuses(self, row: SampleRow) -> str:
        del row
        return ""

    def add(self, row: SampleRow, name: str, data: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.note(row, name)
        self.count += 1

    @abstractmethod
    def note(self, row: SampleRow, name: str) -> None:
        """Keep the label of a picture that was written under this name."""

    @abstractmethod
    def close(self) -> None:
        """Write what is left."""


class LabelsJsonForm(_Folder):
    """`labels.json` = {file: label}."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._labels: dict[str, str] = {}

    def note(self, row: SampleRow, name: str) -> None:
        self._labels[name] = row.label or ""

    def close(self) -> None:
        text = json.dumps(self._labels, ensure_ascii=False, indent=1)
        (self.folder / "labels.json").write_text(text + "\n", encoding="utf-8")


class CsvForm(_Folder):
    """`labels.csv` with picture, label, split, source, group."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._file: TextIO = (folder / "labels.csv").open("w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file)
        self._rows.writerow(["picture", "label", "split", "source", "group"])

    def note(self, row: SampleRow, name: str) -> None:
        self._rows.writerow([name, row.label, row.split or row.split_asked, row.source, row.group])

    def close(self) -> None:
        self._file.close()


class VietOcrForm(_Folder):
    """`annotation.txt` with path, tab, text."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._file: TextIO = (folder / "annotation.txt").open("w", encoding="utf-8", newline="")

    def refuses(self, row: SampleRow) -> str:
        broken = [char for char in "\t\r\n" if char in (row.label or "")]
        return f"the label holds {broken[0]!r}, which a tab list cannot" if broken else ""

    def note(self, row: SampleRow, name: str) -> None:
        self._file.write(f"{name}\t{row.label}\n")

    def close(self) -> None:
        self._file.close()


class LabelStudioForm(_Folder):
    """`tasks.json` as Label Studio exports and imports it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._tasks: list[dict[str, Any]] = []

    def note(self, row: SampleRow, name: str) -> None:
        result = {
            "id": row.sha256[:10],
            "from_name": "text",
            "to_name": "image",
            "type": "textarea",
            "value": {"text": [row.label]},
        }
        data = {"image": name, "source": row.source, "group": row.group}
        if row.split or row.split_asked:
            data["split"] = row.split or row.split_asked
        annotation = {"id": row.id, "result": [result], "was_cancelled": False}
        self._tasks.append({"id": row.id, "data": data, "annotations": [annotation]})

    def close(self) -> None:
        text = json.dumps(self._tasks, ensure_ascii=False, indent=1)
        (self.folder / "tasks.json").write_text(text + "\n", encoding="utf-8")


class ParquetForm:
    """`data.parquet`, readable by Hugging Face `datasets`; a group of rows in memory."""

    def __init__(self, folder: Path) -> None:
        self.count = 0
        self._writer = pq.ParquetWriter(folder / "data.parquet", _SCHEMA)
        self._rows: list[dict[str, Any]] = []

    def refuses(self, row: SampleRow) -> str:
        del row
        return ""

    def add(self, row: SampleRow, name: str, data: bytes) -> None:
        self._rows.append(
            {
                "image": {"bytes": data, "path": name},
                "label": row.label,
                "split": row.split or row.split_asked,
                "sha256": row.sha256,
                "source": row.source,
                "group": row.group,
            }
        )
        self.count += 1
        if len(self._rows) >= _GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=_SCHEMA))
            self._rows = []


FORMS: dict[str, Callable[[Path], Form]] = {
    "labels-json": LabelsJsonForm,
    "csv": CsvForm,
    "parquet": ParquetForm,
    "label-studio": LabelStudioForm,
    "vietocr": VietOcrForm,
}
