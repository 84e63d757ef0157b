"""From a reference in a list or an export to a file, and never to a file outside.

Lists and exports come from other people: `../../etc/passwd` in one of them must not become a
sample. Every file found is inside the source's folder or a media folder the user named, after
symbolic links are followed.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from nhan.errors import BadPicture, PictureTooLarge
from nhan.samples.record import Unresolved
from nhan.storage import Store, open_store

PICTURE_ENDINGS = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif"}
)
_BUCKETS = ("s3", "s3a", "gs", "az", "abfs", "abfss")
# Label Studio puts eight hexadecimal digits before the name of an uploaded file.
_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")


class FilePicture:
    """Reads one file, refusing what is over the limit before reading it."""

    __slots__ = ("_max_bytes", "path")

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes

    def __call__(self) -> bytes:
        """The file's bytes.

        Raises:
            PictureTooLarge: more bytes than a picture may have.
            BadPicture: it vanished or may not be read.
        """
        try:
            size = self.path.stat().st_size
            if size > self._max_bytes:
                raise PictureTooLarge(
                    f"the file has {size:,} bytes; the limit is {self._max_bytes:,}",
                    hint="make it smaller or raise images.max_bytes",
                )
            return self.path.read_bytes()
        except OSError as error:
            raise BadPicture(
                f"the file cannot be read: {error.strerror or error}",
                hint="look at the file, and at the rights to it",
            ) from error


class Media:
    """The folders and buckets that pictures may come from.

    Args:
        folder: where relative references start.
        extra: further folders, or bucket URLs (`s3://bucket/prefix`), named by the user.
        store: the workspace's own store; references into its bucket are read through it.
        max_bytes: what one picture may have.
    """

    def __init__(
        self, folder: Path, extra: tuple[str, ...], store: Store | None, max_bytes: int
    ) -> None:
        remote = [place for place in extra if urlsplit(place).scheme in _BUCKETS]
        local = [Path(place).resolve() for place in extra if place not in remote]
        self.roots = [folder.resolve(), *local]
        self._stores = [open_store(place) for place in remote]
        if store is not None and urlsplit(store.url).scheme in _BUCKETS:
            self._stores.append(store)
        self._max_bytes = max_bytes

    def at(self, path: Path) -> FilePicture:
        """A picture whose path the door found by itself."""
        return FilePicture(path, self._max_bytes)

    def exact(self, reference: str) -> FilePicture:
        """The file a list names, relative to one of the roots (or to `images/` below it).

        Raises:
            Unresolved: `outside_source` or `missing_picture`.
        """
        path = PurePosixPath(reference.replace("\\", "/"))
        if (found := self._below_roots(path)) is not None:
            return self.at(found)
        if path.is_absolute() or ".." in path.parts:
            raise Unresolved(
                "outside_source",
                f"{reference!r} leads outside {self.roots[0]}",
                "name the folder of the pictures with --media FOLDER",
            )
        # Lists are often written relative to the folder above their own.
        for start in range(1, len(path.parts) - 1):
            for shorter in _spellings(PurePosixPath(*path.parts[start:])):
                if (found := _inside(self.roots[0] / shorter, self.roots)) is not None:
                    return self.at(found)
        if any((root / path).is_file() for root in self.roots):
            raise Unresolved(
                "outside_source",
                f"{reference!r} is a link that leads outside {self.roots[0]}",
                "name the folder it leads to with --media FOLDER",
            )
        raise Unresolved(
            "missing_picture",
            f"no file {reference!r} in {', '.join(map(str, self.roots))}",
            "name the folder of the pictures with --media FOLDER",
        )

    def within(self, reference: str, picture: FilePicture) -> str:
        """What a list's reference says of its picture: not the folders above the source."""
        if not PurePosixPath(reference.replace("\\", "/")).is_absolute():
            return reference
        root = next(root for root in self.roots if picture.path.is_relative_to(root))
        return picture.path.relative_to(root).as_posix()

    def named(self, reference: str) -> Callable[[], bytes]:
        """The picture an export refers to: by path, by name, or in a bucket.

        Label Studio writes `/data/upload/PROJECT/HEX-name.png` for uploaded files,
        `/data/local-files/?d=…` for files of the server, and URLs of buckets.

        Raises:
            Unresolved: `outside_source`, `missing_picture`, `ambiguous_picture`, `not_fetched`.
        """
        parts = urlsplit(reference.replace("\\", "/") if "://" not in reference else reference)
        if parts.scheme in _BUCKETS and (stored := self._in_bucket(parts.netloc, parts.path)):
            return stored
        path = unquote(parts.path)
        if "local-files" in path and "d" in parse_qs(parts.query):
            path = parse_qs(parts.query)["d"][0]
        relative = PurePosixPath(path.lstrip("/"))
        if ".." in relative.parts:
            raise Unresolved(
                "outside_source", f"{reference!r} leads outside {self.roots[0]}", "mend the export"
            )
        if (found := self._by_suffix(relative)) is not None:
            return self.at(found)
        if parts.scheme in ("http", "https", *_BUCKETS):
            raise Unresolved(
                "not_fetched",
                f"{_without_query(reference)!r} is not on this machine, and nothing is fetched",
                "download the pictures and name their folder with --media FOLDER"
                if parts.scheme.startswith("http")
                else f"--media {parts.scheme}://{parts.netloc}, or a folder with the pictures",
            )
        raise Unresolved(
            "missing_picture",
            f"no file {reference!r} by path or name in {', '.join(map(str, self.roots))}",
            "name the folder of the pictures with --media FOLDER",
        )

    def _in_bucket(self, bucket: str, key: str) -> Callable[[], bytes] | None:
        for store in self._stores:
            own = urlsplit(store.url)
            prefix = own.path.strip("/")
            wanted = key.strip("/")
            if own.netloc == bucket and (not prefix or wanted.startswith(prefix + "/")):
                inner = wanted[len(prefix) :].lstrip("/")
                return lambda store=store, inner=inner: _from_store(store, inner, self._max_bytes)  # type: ignore[misc]
        return None

    def _by_suffix(self, path: PurePosixPath) -> Path | None:
        """The longest tail of the path that is a file below a root; a bare name must be unique."""
        for start in range(max(1, len(path.parts))):
            if (found := self._below_roots(PurePosixPath(*path.parts[start:]))) is not None:
                return found
        composed = unicodedata.normalize("NFC", path.name)
        for name in (composed, _UPLOAD_PREFIX.sub("", composed)):
            places = self._by_name.get(name, [])
            if len(places) == 1:
                return places[0]
            if places:
                raise Unresolved(
                    "ambiguous_picture",
                    f"{len(places)} files are named {name!r}: {places[0]}, {places[1]} …",
                    "narrow --media to the folder that is meant",
                )
        return None

    def _below_roots(self, path: PurePosixPath) -> Path | None:
        for spelled in _spellings(path):
            for root in self.roots:
                for candidate in (root / spelled, root / "images" / spelled):
                    if (found := _inside(candidate, self.roots)) is not None:
                        return found
        return None

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        names: dict[str, list[Path]] = {}
        for root in dict.fromkeys(self.roots):
            for path in walk_pictures(root):
                names.setdefault(unicodedata.normalize("NFC", path.name), []).append(path)
        return names


def walk_pictures(folder: Path) -> Iterator[Path]:
    """All picture files below a folder, in sorted order; no pipes, no links that lead outside."""
    root = folder.resolve()
    for place, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not _is_litter(name))
        for name in sorted(files):
            if Path(name).suffix.lower() in PICTURE_ENDINGS and not _is_litter(name):
                path = Path(place, name)
                if path.is_file() and (not path.is_symlink() or _inside(path, [root])):
                    yield path


def _spellings(path: PurePosixPath) -> list[PurePosixPath]:
    """A path as it is written, and with its accents composed and decomposed.

    macOS decomposes names, and Linux takes the two for different files.
    """
    text = str(path)
    if text.isascii():
        return [path]
    forms = (unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))
    return [PurePosixPath(one) for one in dict.fromkeys((text, *forms))]


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _inside(path: Path, roots: list[Path]) -> Path | None:
    """The file itself, links followed, if it is a regular one within a root."""
    try:
        real = path.resolve()
        if real.is_file() and any(real.is_relative_to(root) for root in roots):
            return real
    except (OSError, ValueError, RuntimeError):  # name too long, NUL byte, loop of links
        return None
    return None


def _from_store(store: Store, path: str, max_bytes: int) -> bytes:
    size = store.size(path)
    if size is None:
        raise BadPicture(
            f"no object {path} in {store.place}", hint="look at the address, and at --media"
        )
    if size > max_bytes:
        raise PictureTooLarge(
            f"the object has {size:,} bytes; the limit is {max_bytes:,}",
            hint="scale it down or raise images.max_bytes",
        )
    return store.read(path)


def _without_query(reference: str) -> str:
    """A signed link's query is a key; it must not land in a report."""
    return reference.partition("?")[0]
