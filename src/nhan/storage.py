"""Objects: a folder, or an S3-compatible bucket, behind the same few operations.

A store knows paths and bytes. What is written where (design: `images/`, `datasets/`, `models/` …)
is decided by the modules above. Nothing half-written is ever visible under a final name: a local
put goes through a temporary file, an S3 put is atomic by protocol.

The one delicate promise is `put_once`: of any number of writers, on one machine or many, exactly
one succeeds. It rests on obstore's create mode, which is a hard link on a folder and
`If-None-Match: *` on S3. (obstore's compare-and-swap is missing on folders; create is on both.)
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotFoundError,
    NotSupportedError,
    PreconditionError,
)
from obstore.store import LocalStore, MemoryStore, from_url

from nhan.errors import NhanError, NotFound, SettingsError, StorageError

# obstore raises its own classes for some failures and Python's for others.
_ABSENT = (NotFoundError, FileNotFoundError)
_FAILURES = (BaseError, OSError)
# What to do about what the operating system says; and about everything else.
_HINTS = {
    "No space left": "make room, then run the same command again",
    "quota exceeded": "make room, then run the same command again",
}
_HINT = "check the address and the rights; `nhan doctor` tries each operation"
# A server that is away: long enough for a restart behind a load balancer, short enough to be told.
_RETRY: Any = {"max_retries": 5, "retry_timeout": timedelta(seconds=20)}
# A create that met another one at the same moment is told so, and tried again so often.
_UNDECIDED = "status code: 409"
_CONFLICTS = 20
_CONFLICT_PAUSE_S = 0.1
# What one request for a part of an object fetches; a round trip costs more than a megabyte.
_BUFFER = 1 << 20
_REMOTE_SCHEMES = ("s3", "s3a", "gs", "az", "abfs", "abfss")


@dataclass(frozen=True, slots=True)
class Entry:
    """One object as a listing shows it.

    Attributes:
        size: bytes.
        modified: when it was last written, by the store's own clock.
    """

    path: str
    size: int
    modified: datetime


class ObjectReader(Protocol):
    """What serving needs of a store: reading only."""

    def read(self, path: str) -> bytes: ...

    def exists(self, path: str) -> bool: ...

    def list(self, prefix: str) -> Iterator[str]: ...


class Store:
    """One object store; paths are `a/b/c` relative to its URL.

    Attributes:
        url: where it is, without credentials.
        folder: the local folder, or None when it is remote.
    """

    def __init__(self, url: str, backend: Any, *, folder: Path | None = None) -> None:
        self.url = url
        self.folder = folder
        self._backend = backend

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    @property
    def place(self) -> str:
        """Where it is, for people: a folder's path as it is called, else the URL."""
        return self.url if self.folder is None else str(self.folder)

    def put(self, path: str, data: bytes) -> None:
        """Write or replace an object.

        Raises:
            StorageError: the store is out of reach or refuses.
        """
        try:
            obstore.put(self._backend, path, data)
        except _FAILURES as error:
            raise self._failure("write", path, error) from error

    def put_once(self, path: str, data: bytes) -> bool:
        """Create an object if no one else has.

        Returns:
            True for the one writer that created it; False if it was there already (and untouched).

        Raises:
            StorageError: the store is out of reach, refuses, or cannot create atomically.
        """
        for _ in range(_CONFLICTS):
            try:
                obstore.put(self._backend, path, data, mode="create", use_multipart=False)
            except (AlreadyExistsError, PreconditionError) as error:
                # S3 answers 412 where the object exists, and 409 while another create or delete of
                # it is under way: then nobody knows yet, and S3 asks to try again.
                if _UNDECIDED not in str(error):
                    return False
                time.sleep(_CONFLICT_PAUSE_S)
            except NotSupportedError as error:
                raise StorageError(
                    f"{self.place} cannot create objects atomically ({error})",
                    hint="use an S3 server that honours If-None-Match, or a local folder",
                ) from error
            except _FAILURES as error:
                raise self._failure("create", path, error) from error
            else:
                return True
        raise StorageError(
            f"cannot create {path} in {self.place}: it is being written or deleted all the while",
            hint="try again in a moment",
        )

    def read(self, path: str) -> bytes:
        """Return an object's bytes.

        Raises:
            NotFound: there is no such object.
            StorageError: the store is out of reach or refuses.
        """
        try:
            return bytes(obstore.get(self._backend, path).bytes())
        except _ABSENT as error:
            raise NotFound(
                f"no object {path} in {self.place}", hint="nhan doctor storage looks the store over"
            ) from error
        except _FAILURES as error:
            raise self._failure("read", path, error) from error

    def put_file(self, path: str, file: Path) -> None:
        """Write or replace an object with a local file's content, in pieces, not through memory.

        Raises:
            StorageError: the store is out of reach or refuses.
        """
        try:
            obstore.put(self._backend, path, file)
        except _FAILURES as error:
            raise self._failure("write", path, error) from error

    def open(self, path: str) -> BinaryIO:
        """An object as a file that can be read and searched without loading it whole.

        Raises:
            NotFound: there is no such object.
            StorageError: the store is out of reach or refuses.
        """
        try:
            if self.folder is not None:
                return (self.folder / path).open("rb")
            return io.BufferedReader(_RemoteFile(obstore.open_reader(self._backend, path)), _BUFFER)
        except _ABSENT as error:
            raise NotFound(
                f"no object {path} in {self.place}", hint="nhan doctor storage looks the store over"
            ) from error
        except _FAILURES as error:
            raise self._failure("read", path, error) from error

    def exists(self, path: str) -> bool:
        """Whether an object stands under this very path."""
        return self.size(path) is not None

    def size(self, path: str) -> int | None:
        """An object's size in bytes, or None when there is none."""
        found = self.look(path)
        return None if found is None else found.size

    def modified(self, path: str) -> datetime | None:
        """When an object was last written, by the store's own clock; None when there is none."""
        found = self.look(path)
        return None if found is None else found.modified

    def look(self, path: str) -> Entry | None:
        """An object's size and time, or None when there is none."""
        try:
            found = obstore.head(self._backend, path)
        except _ABSENT:
            return None
        except _FAILURES as error:
            raise self._failure("look at", path, error) from error
        return Entry(path, int(found["size"]), found["last_modified"])

    def folders(self, prefix: str) -> list[str]:
        """The names directly below a prefix that have objects under them, sorted."""
        try:
            result = obstore.list_with_delimiter(self._backend, prefix=prefix.rstrip("/") or None)
        except _ABSENT:
            return []
        except _FAILURES as error:
            raise self._failure("list", prefix, error) from error
        return sorted(
            str(path).rstrip("/").rsplit("/", 1)[-1] for path in result["common_prefixes"]
        )

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the paths of all objects below a folder-like prefix, in no promised order."""
        for entry in self.entries(prefix):
            yield entry.path

    def entries(self, prefix: str) -> Iterator[Entry]:
        """As `list`, with sizes and times."""
        try:
            for batch in obstore.list(self._backend, prefix=prefix.rstrip("/") or None):
                for one in batch:
                    yield Entry(str(one["path"]), int(one["size"]), one["last_modified"])
        except _ABSENT:
            return
        except _FAILURES as error:
            raise self._failure("list", prefix, error) from error

    def move(self, path: str, target: str) -> bool:
        """Give an object another name, over whatever has that name.

        In a bucket it is a copy and a removal: killed between them, it leaves both.

        Returns:
            False when there is no such object.
        """
        try:
            obstore.rename(self._backend, path, target)
        except _ABSENT:
            return False
        except _FAILURES as error:
            raise self._failure("move", path, error) from error
        return True

    def delete(self, path: str) -> None:
        """Remove an object; removing what is not there is no error."""
        try:
            obstore.delete(self._backend, path)
        except _ABSENT:
            return
        except _FAILURES as error:
            raise self._failure("delete", path, error) from error

    def settle(self, *paths: str) -> None:
        """Wait until these objects would survive a power cut; a bucket sees to that by itself.

        Raises:
            StorageError: the disk refuses.
        """
        if self.folder is None:
            return
        written = [self.folder / path for path in paths]
        # A name survives with the folder it stands in, which may be as new as the file.
        folders = {folder for file in written for folder in file.parents}
        folders = {folder for folder in folders if folder.is_relative_to(self.folder)}
        for one in [*written, *sorted(folders, reverse=True)]:
            try:
                opened = os.open(one, os.O_RDONLY)
                try:
                    os.fsync(opened)
                finally:
                    os.close(opened)
            except OSError as error:
                raise self._failure("settle", str(one.relative_to(self.folder)), error) from error

    def _failure(self, verb: str, path: str, error: Exception) -> StorageError:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return StorageError(
            f"cannot {verb} {path} in {self.place}: {reason}",
            hint=next((hint for words, hint in _HINTS.items() if words in reason), _HINT),
        )


def make_folder(url: str, beside: Path = Path()) -> Path | None:
    """The folder of a store that is one, made if it is missing; None for any other store.

    Args:
        url: a folder path or a store's URL.
        beside: where a relative path begins.

    Raises:
        StorageError: it cannot be made.
    """
    scheme = urlsplit(url).scheme
    if scheme not in ("", "file"):
        return None
    folder = (beside / (unquote(urlsplit(url).path) if scheme == "file" else url)).resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot make {folder}: {error.strerror or error}",
            hint="storage.objects in nhan.toml; look at the path, and at the rights to it",
        ) from error
    return folder


def open_store(url: str | Path) -> Store:
    """Open a store by URL or folder path; a folder is made if it is missing.

    Credentials come from the engine's usual environment (for S3: `AWS_*`), never from here.

    Raises:
        SettingsError: the scheme is unknown or the URL carries a secret.
        StorageError: the folder cannot be made.
    """
    text = str(url)
    scheme = urlsplit(text).scheme
    if scheme == "memory":
        return Store("memory://", MemoryStore())
    if (folder := make_folder(text)) is not None:
        return Store(folder.as_uri(), LocalStore(folder), folder=folder)
    if scheme not in _REMOTE_SCHEMES:
        raise SettingsError(
            f"object store {text!r} has the unknown scheme {scheme!r}",
            hint=f"a folder path, file://, or one of {', '.join(_REMOTE_SCHEMES)}://",
        )
    if "@" in urlsplit(text).netloc:
        raise SettingsError(
            "an object store URL must not carry a key",
            hint="credentials come from the environment, for S3 from the usual AWS_* variables",
        )
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    options: dict[str, Any] = {"allow_http": True} if endpoint.startswith("http://") else {}
    config: dict[str, Any] = {"endpoint": endpoint} if endpoint and scheme.startswith("s3") else {}
    backend = from_url(text, client_options=cast(Any, options), retry_config=_RETRY, **config)
    return Store(text.rstrip("/"), backend)


class _RemoteFile(io.RawIOBase):
    """obstore's reader as the file object that Python's libraries expect."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = memoryview(self._reader.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._reader.seek(offset, whence))

    def tell(self) -> int:
        return int(self._reader.tell())


class NumberedLog:
    """A create-only log of numbered JSON entries, `PREFIX/000001.json` upward.

    It is the only way a champion changes. Two writers that append at once get two different
    numbers: the loser of a number re-reads the log and tries the next. An entry that was appended
    survives a power cut; one that was being appended may be left empty, and counts as none.

    Args:
        store: where it is.
        prefix: its folder.
        durable: whether an append waits for the disk; not needed where the same is kept elsewhere.
    """

    def __init__(self, store: Store, prefix: str, *, durable: bool = True) -> None:
        self._store = store
        self._prefix = prefix.rstrip("/")
        self._durable = durable

    def entries(self) -> list[tuple[int, dict[str, Any]]]:
        """All entries in order of their numbers.

        Raises:
            DamagedEntry: one is no JSON object.
        """
        read = ((number, self._read(number)) for number in self._numbers())
        return [(number, entry) for number, entry in read if entry is not None]

    def latest(self) -> tuple[int, dict[str, Any]] | None:
        """The entry with the highest number, or None for an empty log.

        Raises:
            DamagedEntry: it is no JSON object.
        """
        for number in reversed(self._numbers()):
            if (entry := self._read(number)) is not None:
                return number, entry
        return None

    def latest_number(self) -> int:
        """The highest number, 0 for an empty log; cheap enough to poll."""
        return max(self._numbers(), default=0)

    def append(self, entry: dict[str, Any], *, expected: int | None = None) -> int:
        """Add an entry and return its number.

        Args:
            entry: JSON-able; the time is added as `at` (UTC, ISO 8601).
            expected: append only if the log still ends at this entry; for decisions that are
                only right against the state they were made on.

        Raises:
            StaleLog: `expected` was given and the log has moved on.
        """
        number = self.latest_number() if expected is None else expected
        stamped = {"at": datetime.now(UTC).isoformat(timespec="microseconds"), **entry}
        data = json.dumps(stamped, ensure_ascii=False, indent=1).encode()
        while True:
            number += 1
            path = self._path(number)
            if self._store.put_once(path, data) or self._is_ours(path, data):
                if self._durable:
                    self._store.settle(path)
                return number
            if expected is not None and not self._was_left_empty(path):
                raise StaleLog(self._prefix, expected)

    def _is_ours(self, path: str, data: bytes) -> bool:
        """Whether what is there was created by us.

        Over a network, the answer to a create may be lost; asked again, the store says that there
        is one already.
        """
        return self._store.folder is None and self._store.read(path) == data

    def _was_left_empty(self, path: str) -> bool:
        try:
            return _is_empty(self._store.read(path))
        except NotFound:  # removed meanwhile
            return False

    def _numbers(self) -> list[int]:
        names = (path.rsplit("/", 1)[-1] for path in self._store.list(self._prefix))
        return sorted(
            int(name[:-5]) for name in names if name[:-5].isdigit() and name.endswith(".json")
        )

    def _path(self, number: int) -> str:
        return f"{self._prefix}/{number:06d}.json"

    def _read(self, number: int) -> dict[str, Any] | None:
        """An entry; None for what a power cut left of one."""
        path = self._path(number)
        data = self._store.read(path)
        if _is_empty(data):
            return None
        try:
            entry = json.loads(data)
        except ValueError:
            entry = None
        if not isinstance(entry, dict):
            raise DamagedEntry(
                f"{path} in {self._store.place} is damaged",
                hint="bring it back from a backup, or remove it if what it said may be undone",
            )
        return entry


def _is_empty(data: bytes) -> bool:
    """Whether nothing was written: a power cut leaves no bytes, or zeros in their place."""
    return not data.strip(b"\0")


class DamagedEntry(NhanError):
    """What stands in a log is no entry; the store itself answers."""

    code = "damaged_entry"


class StaleLog(StorageError):
    """The log moved on between reading and appending; decide again."""

    status = 409
    code = "conflict"

    def __init__(self, prefix: str, expected: int) -> None:
        super().__init__(
            f"{prefix} has an entry after {expected:06d} already",
            hint="somebody else was quicker; look at the log and try again",
        )
