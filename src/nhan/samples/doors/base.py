"""What a door is, and how the layout of a source is told from its content."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Protocol

from nhan.errors import BadSource
from nhan.samples.media import Media, walk_pictures
from nhan.samples.record import Record, Skip

# Name -> import path, in the order in which they are asked. The first that claims a source has it.
DOORS = {
    "labels-json": "nhan.samples.doors.labels_json:LabelsJson",
    "label-studio": "nhan.samples.doors.label_studio:LabelStudio",
    "parquet": "nhan.samples.doors.parquet:ParquetFiles",
    "tab-list": "nhan.samples.doors.tab_list:TabList",
    "csv": "nhan.samples.doors.csv_table:CsvTable",
    "class-folders": "nhan.samples.doors.class_folders:ClassFolders",
}

SPLITS = ("train", "validation", "test")
_SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
# Folders that say where pictures lie, not what they are; so do numbers (`00012/`).
_PLAIN_FOLDERS = {"images", "image", "imgs", "img", "pictures", "data", ".", "/"}
_NOT_SLICES = _SPLIT_WORDS.keys() | _PLAIN_FOLDERS


@dataclass(frozen=True)
class Reading:
    """How a source is to be read, where its content does not say.

    Attributes:
        split: every sample asks for this split.
        source_name: the slice of every sample; by default its first sub-folder.
        media: further folders or bucket URLs where pictures may be.
        picture_column: column (or key of an export's `data`) with the picture.
        label_column: column (or field of the labelling interface) with the label.
        group_pattern: a regular expression searched in each name; its first group, or the whole
            match, is the document that must stay in one split.
        layout: a key of `DOORS`, when detection is not wanted.
        choices: the task's labels are chosen from a list, so where a source has both texts and
            choices, the choices are the labels.
    """

    split: str = ""
    source_name: str = ""
    media: tuple[str, ...] = ()
    picture_column: str = ""
    label_column: str = ""
    group_pattern: str = ""
    layout: str = ""
    choices: bool = False

    def __post_init__(self) -> None:
        if self.split and self.split not in SPLITS:
            raise BadSource(f"no split {self.split!r}", hint=f"splits: {', '.join(SPLITS)}")
        if self.layout and self.layout not in DOORS:
            raise BadSource(f"no layout {self.layout!r}", hint=f"layouts: {', '.join(DOORS)}")
        try:
            re.compile(self.group_pattern)
        except re.error as error:
            raise BadSource(
                f"the group pattern {self.group_pattern!r} is no regular expression: {error}",
                hint=r"for instance --group '(doc\d+)_'",
            ) from error

    def split_of(self, *hints: str) -> str:
        """The split asked for by option, else by the first hint (a column, a path) that tells."""
        return self.split or next(filter(None, map(split_in, hints)), "")

    def source_of(self, name: str, default: str) -> str:
        """The slice: by option, else the first telling sub-folder of the name, else `default`."""
        if self.source_name:
            return self.source_name
        for part in PurePosixPath(name.replace("\\", "/")).parts[:-1]:
            if not (part.isdigit() or part.lower() in _NOT_SLICES):
                return part
        return default

    def group_of(self, name: str) -> str:
        """The document a name belongs to by the pattern; '' without a match."""
        match = re.search(self.group_pattern, name) if self.group_pattern else None
        if match is None:
            return ""
        return next((part for part in match.groups() if part), match[0])


@dataclass(frozen=True)
class Opened:
    """A source, opened: what it holds and how many items, if that is known beforehand."""

    items: Iterator[Record | Skip]
    total: int | None = None


class Door(Protocol):
    """A reader of one layout.

    Attributes:
        layout: one line for error messages: what it looks for.
        folder_is_label: it takes folder names for labels, which only some tasks want.
    """

    layout: str
    folder_is_label: bool

    def claims(self, source: Path) -> bool:
        """Whether the source has this layout; looks at its beginning only."""

    def open(self, source: Path, reading: Reading, media: Media) -> Opened:
        """Read it.

        Raises:
            BadSource: it is malformed as a whole; faults of single items are `Skip`s.
        """


def load_door(name: str) -> Door:
    """A door by its name in `DOORS`."""
    module, _, attribute = DOORS[name].partition(":")
    door: Door = getattr(import_module(module), attribute)()
    return door


def find_door(source: Path, *, folder_is_label: bool, layout: str = "") -> tuple[str, Door]:
    """The first door that claims a source.

    Args:
        source: file or folder.
        folder_is_label: the task takes folder names for labels.
        layout: a key of `DOORS` to use without asking.

    Raises:
        BadSource: missing, or of no layout we know; the hint lists what was looked for.
    """
    if not source.exists():
        raise BadSource(f"there is no {source}", hint="name a folder or a file")
    if layout:
        door = load_door(layout)
        # A folder of class folders is taken at its word; other doors would open a folder as a file.
        wanted = door.folder_is_label or door.claims(source) or _claims_at_last(door, source)
        if source.is_dir() and not wanted:
            raise BadSource(f"{source} is no {layout}", hint=f"looked for: {door.layout}")
        return layout, door
    for name in DOORS:
        door = load_door(name)
        if (folder_is_label or not door.folder_is_label) and door.claims(source):
            return name, door
        if not folder_is_label and door.folder_is_label and door.claims(source):
            raise BadSource(
                f"{source} holds folders of pictures and no labels",
                hint="folder names are labels for `--task classes`; other tasks need a "
                "labels.json {file: label}, a tab list, a CSV, Parquet or an export beside them",
            )
    doors = {name: load_door(name) for name in DOORS}
    for name, door in doors.items():
        if _claims_at_last(door, source):
            return name, door
    looked = "; ".join(door.layout for door in doors.values())
    raise BadSource(f"{source} has no layout we know", hint=f"looked for: {looked}")


def _claims_at_last(door: Door, source: Path) -> bool:
    """Doors that know a vaguer sign of theirs have `claims_at_last`."""
    asked: Callable[[Path], bool] | None = getattr(door, "claims_at_last", None)
    return asked is not None and asked(source)


def split_in(text: str) -> str:
    """The split that a word or a folder of a path names; '' for none."""
    word = text.strip().lower()
    if word in _SPLIT_WORDS:
        return _SPLIT_WORDS[word]
    for part in reversed(PurePosixPath(word.replace("\\", "/")).parts[:-1]):
        if part in _SPLIT_WORDS:
            return _SPLIT_WORDS[part]
    return ""


def split_in_file_name(path: Path) -> str:
    """The split that a list's file name tells: `train_annotation.txt`, `rec_gt_val.txt`."""
    words = re.split(r"[^a-z]+", path.stem.lower())
    return next((_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS), "")


def unlabelled(folder: Path, seen: set[str], what: str) -> Iterator[Skip]:
    """A skip for each picture below a folder that its label file does not name.

    Args:
        folder: what is looked through.
        seen: the files that were named, links followed.
        what: the label file, for the message.
    """
    for path in walk_pictures(folder):
        if str(path.resolve() if path.is_symlink() else path) not in seen:
            name = path.relative_to(folder.resolve()).as_posix()
            yield Skip(name, "no_label", f"{what} does not name {name}", "add its label")


def beginning(path: Path, size: int = 4096) -> bytes:
    """The first bytes of a file; empty for a folder."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(size)


def text_beginning(path: Path) -> str:
    """The first lines of a text file; '' for what is no text."""
    head = beginning(path)
    if b"\0" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return ""
    return head.decode(encoding_of(path), errors="ignore").lstrip("\ufeff")


def encoding_of(path: Path) -> str:
    """UTF-8, or UTF-16 where its mark says so (as spreadsheets save "Unicode text")."""
    head = beginning(path, 2)
    return "utf-16" if head in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def not_utf8(path: Path, error: UnicodeDecodeError) -> BadSource:
    """The complaint about a text file in another encoding."""
    return BadSource(
        f"{path} is not UTF-8 (byte {error.object[error.start]:#04x})",
        hint="save it as UTF-8, e.g. iconv -f WINDOWS-1258 -t UTF-8",
    )
