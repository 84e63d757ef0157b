"""A workspace in one file, and a workspace from that file, on whatever engines.

The file is a TAR: first what waits to be taken in; then the catalogue, table by table as JSON
lines, read in one transaction; then every other object; last an index with the SHA-256 of each. So
an upload that is taken in meanwhile is in the inbox of the file, or in its catalogue, or in both,
which the next intake finds. Other objects are written once and never changed, so a catalogue that
was read before them finds all of its own. A file without its index was cut short and is refused.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from nhan import __version__
from nhan.catalog import Catalog
from nhan.catalog.schema import metadata
from nhan.errors import BadRequest, Conflict, NotFound
from nhan.settings import FILE_NAME, load_settings
from nhan.uploads.record import INBOX
from nhan.workspace import Workspace

_FORMAT = 1
_INDEX = "index.json"
_ROWS_AT_ONCE = 1000
_SIGNING_KEY = "signing.key"

Progress = Callable[[int], None]


@dataclass(frozen=True)
class BackupReport:
    """What a backup holds.

    Attributes:
        rows: of all tables.
        objects: how many.
        size: of the objects, bytes.
    """

    rows: int
    objects: int
    size: int


def back_up(
    workspace: Workspace, file: Path, *, progress: Progress = lambda _: None
) -> BackupReport:
    """Write a workspace into a file; it appears whole or not at all.

    Args:
        workspace: may be in use meanwhile.
        file: must not exist.
        progress: told the number of members written.

    Raises:
        Conflict: the file exists.
        StorageError: the store or the catalogue is out of reach.
    """
    if file.exists():
        raise Conflict(f"{file} exists", hint="name another file; a backup overwrites nothing")
    part = file.with_name(f".{file.name}.{os.getpid()}")
    index: dict[str, str] = {}
    rows = 0
    try:
        with part.open("xb") as target, tarfile.open(fileobj=target, mode="w") as archive:
            part.chmod(0o600)  # it holds what users sent

            def add(name: str, data: bytes) -> None:
                index[name] = hashlib.sha256(data).hexdigest()
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(data), 0o600
                archive.addfile(member, io.BytesIO(data))
                progress(len(index))

            def add_objects(prefix: str) -> Iterator[int]:
                """The sizes of what was added."""
                for path in workspace.store.list(prefix):
                    if (name := f"objects/{path}") in index:
                        continue
                    try:
                        data = workspace.store.read(path)
                    except NotFound:
                        continue  # taken in or erased since it was listed
                    add(name, data)
                    yield len(data)

            sizes = list(add_objects(INBOX))
            for table, number, chunk in _dump(workspace.catalog):
                rows += len(chunk)
                text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in chunk)
                add(f"catalog/{table}/{number:06d}.jsonl", text.encode())
            for name in _files(workspace):
                if (workspace.root / name).exists():
                    add(f"workspace/{name}", (workspace.root / name).read_bytes())
            sizes += add_objects("")
            facts = {
                "format": _FORMAT,
                "nhan": __version__,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "sha256": index.copy(),
            }
            add(_INDEX, json.dumps(facts).encode())
            archive.close()
            target.flush()
            os.fsync(target.fileno())
        _publish(part, file)
    finally:
        part.unlink(missing_ok=True)
    return BackupReport(rows, len(sizes), sum(sizes))


def _files(workspace: Workspace) -> list[str]:
    """Those of the workspace's own folder; what is still in its spool stays with its server."""
    keys = Path(workspace.settings.serve.keys)
    outside = keys.is_absolute() or ".." in keys.parts
    return [FILE_NAME, _SIGNING_KEY, *([] if outside else [keys.as_posix()])]


def _publish(part: Path, file: Path) -> None:
    try:
        os.link(part, file)
    except FileExistsError as error:
        raise Conflict(f"{file} exists", hint="name another file") from error
    except OSError:  # no file has two names there: sticks and some network folders
        part.rename(file)


def restore(
    file: Path,
    directory: Path,
    *,
    objects: str | None = None,
    catalog: str | None = None,
    progress: Progress = lambda _: None,
) -> BackupReport:
    """Make a workspace of a backup.

    Args:
        file: written by `back_up`.
        directory: where the workspace goes; must not be one.
        objects: another object store than the one it came from; must be empty.
        catalog: another catalogue; must be empty.
        progress: told the number of members read.

    Raises:
        NotFound: no such file.
        BadRequest: it is no backup, was cut short, or is damaged.
        Conflict: the folder, store or catalogue holds something already.

    Whatever goes wrong, and wherever it is killed, the folder is no workspace before it is whole.
    """
    if not file.is_file():
        raise NotFound(f"no file {file}", hint="nhan backup FILE writes one")
    index = _read_index(file)
    if (directory / FILE_NAME).exists():
        raise Conflict(f"{directory} is a workspace already", hint="name another folder")
    made = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".restore-", dir=directory) as beside:
            settings = Path(beside) / FILE_NAME
            settings.write_text(_settings(file, objects, catalog), encoding="utf-8")
            root = directory.resolve()
            with Workspace(root, load_settings(settings.parent)) as workspace:
                _must_be_empty(workspace)
                report = _fill(workspace, file, index, progress)
            settings.rename(root / FILE_NAME)
    except BaseException:
        if made:  # all that is in it is of this restore, and would stand in the way of the next
            shutil.rmtree(directory, ignore_errors=True)
        raise
    return report


def _must_be_empty(workspace: Workspace) -> None:
    if next(iter(workspace.store.list("")), None) is not None:
        raise Conflict(f"{workspace.store.place} is not empty", hint="another store: --objects URL")
    with workspace.catalog.read() as connection:
        for table in metadata.sorted_tables:
            if connection.execute(sa.select(table).limit(1)).first() is not None:
                raise Conflict("the catalogue is not empty", hint="another one: --catalog URL")


def _fill(
    workspace: Workspace, file: Path, index: dict[str, str], progress: Progress
) -> BackupReport:
    rows = objects = size = done = 0
    with workspace.catalog.write() as connection:
        for name, data in _members(file):
            if name == _INDEX:
                continue
            if hashlib.sha256(data).hexdigest() != index.get(name):
                raise BadRequest(f"{file}: {name} is damaged", hint="use another backup")
            kind, _, rest = name.partition("/")
            if kind == "catalog":
                rows += _insert(connection, rest.partition("/")[0], data)
            elif kind == "objects":
                workspace.store.put(rest, data)
                objects, size = objects + 1, size + len(data)
            elif kind == "workspace" and rest in _files(workspace) and rest != FILE_NAME:
                target = workspace.root / rest
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
                target.chmod(0o600)
            done += 1
            progress(done)
        _go_on_counting(connection)
    return BackupReport(rows, objects, size)


def _dump(catalog: Catalog) -> Iterator[tuple[str, int, list[dict[str, Any]]]]:
    """Every table in pages, parents before children, in one transaction."""
    with catalog.read() as connection:
        for table in metadata.sorted_tables:
            # What refers to rows of its own table, as an undo does, comes after them.
            query = sa.select(table).order_by(*table.primary_key.columns)
            # On PostgreSQL, in pages from the server: a table need not fit into memory.
            result = connection.execution_options(stream_results=True).execute(query).mappings()
            for number, page in enumerate(result.partitions(_ROWS_AT_ONCE)):
                yield table.name, number, [_plain(table, row) for row in page]


def _plain(table: sa.Table, row: sa.RowMapping) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for column in table.columns:
        value = row[column]
        if isinstance(value, bytes):
            value = base64.b64encode(value).decode()
        elif isinstance(value, datetime):
            value = value.isoformat()
        made[column.name] = value
    return made


def _insert(connection: sa.Connection, name: str, data: bytes) -> int:
    table = metadata.tables.get(name)
    if table is None:
        raise BadRequest(
            f"the backup has a table {name!r} that this version does not know",
            hint="restore it with the version that wrote it, or a newer one",
        )
    # Not `splitlines`: a label may hold what Unicode calls a line's end, too.
    lines = data.decode().split("\n")
    rows = [_typed(table, json.loads(line)) for line in lines if line]
    if rows:
        connection.execute(table.insert(), rows)
    return len(rows)


def _typed(table: sa.Table, row: dict[str, Any]) -> dict[str, Any]:
    for column in table.columns:
        value = row.get(column.name)
        if value is None:
            continue
        if isinstance(column.type, sa.LargeBinary):
            row[column.name] = base64.b64decode(value)
        elif isinstance(column.type, sa.DateTime | sa.TypeDecorator):
            row[column.name] = datetime.fromisoformat(value)
    return row


def _go_on_counting(connection: sa.Connection) -> None:
    """PostgreSQL numbers rows from a counter that knows nothing of inserted numbers."""
    if connection.dialect.name != "postgresql":
        return
    for table in metadata.sorted_tables:
        column = table.autoincrement_column
        if column is not None:
            connection.execute(
                sa.text(
                    f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column.name}'), "  # noqa: S608
                    f"greatest((SELECT max({column.name}) FROM {table.name}), 1))"
                )
            )


def _members(file: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(file) as archive:
            for member in archive:
                content = archive.extractfile(member)
                if content is None or ".." in Path(member.name).parts or member.name[0] == "/":
                    raise BadRequest(
                        f"{file}: {member.name!r} has no place in a backup",
                        hint="name a file that nhan backup wrote",
                    )
                yield member.name, content.read()
    except tarfile.TarError as error:
        said = str(error).partition(":\n")[0]  # more lines tell each compression that was tried
        raise BadRequest(
            f"{file} is no backup, or was cut short: {said}",
            hint="name a file that nhan backup wrote, copied whole",
        ) from error


def _read_index(file: Path) -> dict[str, str]:
    """The hashes of all members; reads the whole file, so that nothing is begun in vain."""
    for name, data in _members(file):
        if name == _INDEX:
            facts = json.loads(data)
            if facts.get("format") != _FORMAT:
                raise BadRequest(
                    f"{file} is of format {facts.get('format')!r}", hint="upgrade nhan"
                )
            index: dict[str, str] = facts["sha256"]
            return index
    raise BadRequest(f"{file} is no backup, or was cut short", hint="nhan backup FILE writes one")


def _settings(file: Path, objects: str | None, catalog: str | None) -> str:
    """The settings of a backup, other stores put in their place."""
    text = next(
        (data.decode() for name, data in _members(file) if name == f"workspace/{FILE_NAME}"), ""
    )
    for key, value in (("objects", objects), ("catalog", catalog)):
        if value is None:
            continue
        line = f"{key} = {json.dumps(value)}"
        escaped = line.replace("\\", r"\\")
        set_already = rf"^#?[ \t]*{key}[ \t]*=.*$"
        text, found = re.subn(set_already, escaped, text, count=1, flags=re.MULTILINE)
        if not found:
            below = rf"\g<0>\n{escaped}"
            text, found = re.subn(r"^\[storage\].*$", below, text, count=1, flags=re.MULTILINE)
        if not found:
            text += f"\n[storage]\n{line}\n"
    return text
