"""The console is tested on the toy server of the serving tests."""

from __future__ import annotations

from serving.conftest import (
    error_of,
    serving,
    toy_files,
    toy_package,
    toy_picture,
    toy_spec,
)

__all__ = ["error_of", "serving", "toy_files", "toy_package", "toy_picture", "toy_spec"]
