"""A workspace: settings, objects and catalogue, opened once and passed inward."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from nhan.errors import Conflict, NotFound
from nhan.images import PictureLimits
from nhan.settings import FILE_NAME, Settings, default_file, load_settings
from nhan.storage import Store, open_store

if TYPE_CHECKING:
    from nhan.catalog import Catalog


@dataclass
class Workspace:
    """Where a project lives.

    Store and catalogue are opened when first asked for: serving needs the store only.

    Attributes:
        root: the local folder with `nhan.toml`.
        settings: file and environment, merged and checked.
    """

    root: Path
    settings: Settings

    @classmethod
    def open(cls, directory: str | Path | None = None) -> Workspace:
        """Open the given workspace, else NHAN_WORKSPACE, else the nearest `nhan.toml` upward.

        Raises:
            NotFound: there is none.
            SettingsError: its settings are wrong.
        """
        root = find_root(directory)
        return cls(root, load_settings(root))

    @classmethod
    def init(
        cls, directory: str | Path, *, objects: str | None = None, catalog: str | None = None
    ) -> Workspace:
        """Make a workspace: the folder, a commented `nhan.toml`, the catalogue's schema.

        Raises:
            Conflict: there is one already.
            SettingsError, StorageError: a wrong or unreachable address; nothing is left behind.
        """
        root = Path(directory).resolve()
        file = root / FILE_NAME
        if file.exists():
            raise Conflict(
                f"{root} is a workspace already", hint="use it, or choose another folder"
            )
        objects_folder = root / (objects or "objects")
        made = [one for one in (objects_folder, root) if not one.exists()]
        root.mkdir(parents=True, exist_ok=True)
        text = default_file()
        for key, value in (("objects", objects), ("catalog", catalog)):
            if value is not None:
                text = _set(text, key, value)
        temporary = file.with_name(f".{FILE_NAME}.{os.getpid()}")
        try:
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, file)
            workspace = cls(root, load_settings(root))
            workspace.store.exists(FILE_NAME)
            workspace.catalog  # noqa: B018  opening it makes the schema
        except Exception:
            file.unlink(missing_ok=True)
            temporary.unlink(missing_ok=True)
            for folder in made:
                with suppress(OSError):  # it is not empty, or was never made
                    folder.rmdir()
            raise
        return workspace

    @cached_property
    def store(self) -> Store:
        """The object store."""
        url = self.settings.storage.objects
        return open_store(url if "://" in url else self.root / url)

    @cached_property
    def catalog(self) -> Catalog:
        """The catalogue, its schema up to date."""
        # Imported only now: SQLAlchemy takes half a second, and serving never opens a catalogue.
        from nhan.catalog import open_catalog

        return open_catalog(self.settings.storage.catalog, directory=self.root)

    @property
    def picture_limits(self) -> PictureLimits:
        """What one picture may cost."""
        images = self.settings.images
        return PictureLimits(images.max_bytes, images.max_pixels)

    def close(self) -> None:
        """Give the catalogue's connections back."""
        if "catalog" in self.__dict__:
            self.catalog.close()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def find_root(directory: str | Path | None = None) -> Path:
    """The folder of the workspace that is meant.

    Raises:
        NotFound: no `nhan.toml` where it was asked for, or anywhere upward.
    """
    asked = directory or os.environ.get("NHAN_WORKSPACE")
    if asked:
        root = Path(asked).resolve()
        if not (root / FILE_NAME).exists():
            raise NotFound(f"{root} is no workspace (no {FILE_NAME})", hint=f"nhan init {asked}")
        return root
    here = Path.cwd().resolve()
    for candidate in (here, *here.parents):
        if (candidate / FILE_NAME).exists():
            return candidate
    raise NotFound(
        f"no {FILE_NAME} in {here} or above",
        hint="make a workspace with `nhan init DIR`, or name one with --workspace DIR",
    )


def _set(text: str, key: str, value: str) -> str:
    """Put a value in place of its commented default."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.startswith(f"# {key} = "):
            comment = line.rsplit("  # ", 1)[-1]
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            lines[number] = f'{key} = "{escaped}"  # {comment}'
            return "\n".join(lines) + "\n"
    raise AssertionError(f"no setting {key}")
