"""The reader that comes with Nhãn: its package's files lie in this folder."""

from __future__ import annotations

from pathlib import Path

from nhan.models.package import SPEC_FILE, Package


def bundled_package() -> Package | None:
    """The bundled reader; None where this installation comes without one.

    Raises:
        BadPackage: its `nhan.json` is damaged.
    """
    folder = Path(__file__).parent
    return Package.from_folder(folder) if (folder / SPEC_FILE).exists() else None
