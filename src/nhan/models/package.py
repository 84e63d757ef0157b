"""A model package: a folder that is complete and readable without this code.

`nhan.json` describes it: which file answers, how a picture is prepared, how the outputs are read,
and the hash of every file. It is written last, so a folder that has one is whole, and one that has
none does not exist for anybody. No pickles: only the endings in `ENDINGS` are ever read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nhan import __version__
from nhan.errors import Conflict, NhanError, NotFound, UserError
from nhan.models.card import render_card
from nhan.storage import Store, open_store

# Raised when an old reader could misread a new package.
FORMAT = 1

SPEC_FILE = "nhan.json"
CARD_FILE = "card.md"
CLAIM_FILE = "claim.json"
ENDINGS = (".onnx", ".json", ".md", ".safetensors")

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class BadPackage(NhanError):
    """A model folder is damaged, incomplete, or written by a newer version."""

    code = "bad_package"


class FileFacts(BaseModel):
    """What a file of a package must be: its SHA-256 in hexadecimal and its length in bytes."""

    model_config = ConfigDict(frozen=True)

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class Spec(BaseModel):
    """What `nhan.json` says.

    Only what every task shares is named here; a task keeps its own keys beside them (`prepare`,
    `outputs`, `calibration`), and they are carried through untouched.

    Attributes:
        format: `FORMAT` of the writer.
        serve: the file that answers.
        run: the training it comes from; empty for a model built by hand.
        dataset: `NAME@VERSION` it was trained on.
        files: every file but this one and the card, which later evaluations add to.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    format: int
    name: str
    version: int = Field(ge=1)
    task: str
    created: str
    run: str = ""
    dataset: str = ""
    nhan: str = ""
    serve: str = "model.onnx"
    files: dict[str, FileFacts]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, the task's own keys included."""
        return self.model_dump(mode="json")


@dataclass(frozen=True)
class Package:
    """One model version, in an object store or a local folder.

    Attributes:
        store: where its files are.
        path: the folder within the store; empty for the store's top.
        spec: `nhan.json`, validated.
    """

    store: Store
    path: str
    spec: Spec

    @classmethod
    def open(cls, store: Store, path: str) -> Package:
        """Read a package's `nhan.json`; its files are checked when they are read.

        Raises:
            NotFound: there is no package at this path, or not yet.
            BadPackage: `nhan.json` is malformed or newer than this version understands.
        """
        file = _join(path, SPEC_FILE)
        try:
            data = store.read(file)
        except NotFound as error:
            raise NotFound(
                f"no model package at {path or store.place} (no {SPEC_FILE})",
                hint="`nhan models` lists the models there are",
            ) from error
        return cls(store, path, _parse(data, f"{store.place}/{file}"))

    @classmethod
    def from_folder(cls, folder: str | Path) -> Package:
        """Open a package in a local folder.

        Raises:
            NotFound, BadPackage: as `open`.
        """
        if not Path(folder).is_dir():
            raise NotFound(f"no folder {folder}", hint="name a folder with a nhan.json")
        return cls.open(open_store(Path(folder)), "")

    @property
    def ref(self) -> str:
        """`NAME@VERSION`."""
        return f"{self.spec.name}@{self.spec.version}"

    def read(self, name: str) -> bytes:
        """One file's bytes, checked against `nhan.json`.

        Raises:
            BadPackage: not a file of this package, missing, or not the bytes that were published.
        """
        facts = self.spec.files.get(name)
        if facts is None:
            raise BadPackage(
                f"{self.ref} has no file {name}", hint=f"files: {', '.join(self.spec.files)}"
            )
        try:
            data = self.store.read(_join(self.path, name))
        except NotFound as error:
            raise BadPackage(
                f"{self.ref} is incomplete: {name} is missing from {self.store.place}/{self.path}",
                hint="restore it from a backup, or roll back to another version",
            ) from error
        if _facts(data) != facts:
            raise BadPackage(
                f"{self.ref} is damaged: {name} has {len(data):,} bytes that are not those "
                f"published ({facts.bytes:,} bytes, SHA-256 {facts.sha256[:12]}…)",
                hint="restore it from a backup, or roll back to another version",
            )
        return data

    def card(self) -> str:
        """The model card in Markdown; empty when there is none."""
        try:
            return self.store.read(_join(self.path, CARD_FILE)).decode()
        except NotFound:
            return ""

    def verify(self) -> None:
        """Read every file and compare it with what was published.

        Raises:
            BadPackage: the first file at fault.
        """
        for name in self.spec.files:
            self.read(name)

    def copy_to(self, folder: str | Path) -> Path:
        """Copy the package, checked, into a local folder; `nhan.json` comes last.

        Raises:
            Conflict: the folder holds another package.
            BadPackage: a file is missing or damaged.
        """
        target = Path(folder)
        if (target / SPEC_FILE).exists() and Package.from_folder(target).spec != self.spec:
            raise Conflict(
                f"{target} holds another model package", hint="choose an empty or new folder"
            )
        files = {name: self.read(name) for name in self.spec.files}
        if card := self.card():
            files[CARD_FILE] = card.encode()
        store = open_store(target)
        for name, data in files.items():
            store.put(name, data)
        store.put(SPEC_FILE, _to_json(self.spec.to_dict()))
        return target


def publish(
    store: Store, name: str, files: Mapping[str, bytes], spec: Mapping[str, Any], *, run: str
) -> Package:
    """Publish files as the next version of a model.

    A version number is claimed create-only, the files are uploaded and `nhan.json` is written
    last, so a publish that is killed leaves nothing anybody sees and its number to the same run:
    called again, it finishes. What a run has once published stands: publishing from it again
    returns that version as it is.

    Args:
        store: the workspace's objects.
        name: the model's name.
        files: file name to bytes, the one that `spec["serve"]` names among them.
        spec: the task's part of `nhan.json` (`task`, `dataset`, `serve`, `prepare`, `outputs`,
            `calibration`, `about` …); name, version, files, format and dates are filled in here.
        run: identifies who publishes; the training's run id.

    Returns:
        The published package.

    Raises:
        UserError: a name cannot be a model's or a file's, or the file that answers is missing.
    """
    check_name(name)
    _check_files(files, str(spec.get("serve", "model.onnx")))
    version = _claim(store, name, run)
    path = version_path(name, version)
    if store.exists(_join(path, SPEC_FILE)):
        return Package.open(store, path)
    full = _fill(spec, files, name=name, version=version, run=run)
    cards = {CARD_FILE: render_card(full.to_dict()).encode()}
    for file, data in {**cards, **files}.items():
        store.put(_join(path, file), data)
    # A power cut may not leave a version that is seen, and perhaps promoted, without its files.
    store.settle(*(_join(path, file) for file in (*cards, *files)))
    store.put_once(_join(path, SPEC_FILE), _to_json(full.to_dict()))
    store.settle(_join(path, SPEC_FILE))
    return Package.open(store, path)


def write_package(
    folder: str | Path,
    files: Mapping[str, bytes],
    spec: Mapping[str, Any],
    *,
    name: str,
    version: int = 1,
) -> Package:
    """Write a package into a local folder outside any registry, e.g. to bundle it.

    Raises:
        UserError: as `publish`.
    """
    check_name(name)
    _check_files(files, str(spec.get("serve", "model.onnx")))
    full = _fill(spec, files, name=name, version=version, run=str(spec.get("run", "")))
    store = open_store(Path(folder))
    for file, data in {CARD_FILE: render_card(full.to_dict()).encode(), **files}.items():
        store.put(file, data)
    store.put(SPEC_FILE, _to_json(full.to_dict()))
    return Package.from_folder(folder)


def version_path(name: str, version: int) -> str:
    """Where a version's folder is in the object store."""
    return f"models/{name}/{version}"


def is_name(name: str) -> bool:
    """Whether a model can be called so."""
    return _PLAIN_NAME.fullmatch(name) is not None


def check_name(name: str) -> str:
    """Return a model's name if it can be one.

    Raises:
        UserError: empty, over 64 characters, or with anything but ASCII letters, digits, `.-_`.
    """
    if not is_name(name):
        raise UserError(
            f"a model cannot be called {name!r}",
            hint="letters, digits, '.', '-' and '_', beginning with a letter or digit",
        )
    return name


def _claim(store: Store, name: str, run: str) -> int:
    """The version number of this run: the one it has, else the next free one."""
    claim = _to_json({"run": run, "at": datetime.now(UTC).isoformat(timespec="milliseconds")})
    taken = sorted(int(folder) for folder in store.folders(f"models/{name}") if folder.isdigit())
    for version in taken:
        if _claimed_by(store, name, version) == run:
            return version
    version = max(taken, default=0)
    while True:
        version += 1
        if store.put_once(_join(version_path(name, version), CLAIM_FILE), claim):
            return version
        if _claimed_by(store, name, version) == run:
            return version


def _claimed_by(store: Store, name: str, version: int) -> str | None:
    try:
        claim: dict[str, str] = json.loads(
            store.read(_join(version_path(name, version), CLAIM_FILE))
        )
    except NotFound:
        return None
    return claim.get("run")


def _fill(
    spec: Mapping[str, Any], files: Mapping[str, bytes], *, name: str, version: int, run: str
) -> Spec:
    shared = {
        "format": FORMAT,
        "name": name,
        "version": version,
        "task": spec.get("task", ""),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": run,
        "nhan": __version__,
        "files": {file: _facts(data) for file, data in sorted(files.items()) if file != CARD_FILE},
    }
    return Spec.model_validate({**spec, **shared})


def _check_files(files: Mapping[str, bytes], serve: str) -> None:
    for name in files:
        if not _PLAIN_NAME.fullmatch(name) or not name.endswith(ENDINGS):
            raise UserError(
                f"a model package cannot hold {name!r}",
                hint=f"plain file names ending in {', '.join(ENDINGS)}; never pickles",
            )
        if name in (SPEC_FILE, CLAIM_FILE):
            raise UserError(f"{name} is written by Nhãn itself", hint="use another file name")
    if serve not in files or not serve.endswith(".onnx"):
        raise UserError(
            f"the package would answer with {serve!r}, which is no ONNX file among its files",
            hint=f"files: {', '.join(sorted(files)) or 'none'}",
        )


def _parse(data: bytes, source: str) -> Spec:
    try:
        values = json.loads(data)
        number = values.get("format") if isinstance(values, dict) else None
        if isinstance(number, int) and number > FORMAT:
            raise BadPackage(
                f"{source} has format {number}; this version reads up to {FORMAT}",
                hint="upgrade nhan",
            )
        spec = Spec.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BadPackage(f"{source}: {where}: {first['msg'].lower()}") from error
    except ValueError as error:
        raise BadPackage(f"{source} is not JSON: {error}") from error
    wrong = [
        file
        for file in (spec.serve, *spec.files)
        if not _PLAIN_NAME.fullmatch(file) or not file.endswith(ENDINGS)
    ]
    if wrong or spec.serve not in spec.files:
        raise BadPackage(
            f"{source} names {(wrong or [spec.serve])[0]!r}, which is no file of a package",
            hint=f"plain names ending in {', '.join(ENDINGS)}, listed under files",
        )
    return spec


def _facts(data: bytes) -> FileFacts:
    return FileFacts(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def _to_json(values: Any) -> bytes:
    return json.dumps(values, ensure_ascii=False, indent=1, default=_plain).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
