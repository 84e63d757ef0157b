"""What every task's preparation of pictures has in common.

A `Preparation` is a frozen dataclass of numbers that stand in `nhan.json` under `prepare`; these
are the facts and checks that are the same for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from PIL import Image

from nhan.errors import SettingsError
from nhan.tasks.base import RGB

# Pillow's filters by the names that stand in nhan.json.
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

# What every model has in common, written into nhan.json for readers without our code.
FIXED = {"colour": "RGB", "scale": "1/255", "layout": "NCHW", "aspect": "kept"}


def known_numbers(preparation: type, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a preparation in what its `to_dict` wrote.

    Args:
        preparation: the dataclass.
        numbers: `prepare` of a `nhan.json`, or of options that name some of them.

    Raises:
        SettingsError: a key is unknown or a fact is another, so this version would prepare pictures
            differently.
    """
    known = {field.name for field in fields(preparation)}
    given = {key: value for key, value in numbers.items() if key not in FIXED}
    if unknown := sorted(given.keys() - known):
        raise SettingsError(
            f"prepare holds unknown keys: {', '.join(unknown)}",
            hint=f"keys: {', '.join(sorted(known))}; a newer model needs a newer nhan",
        )
    for key, value in FIXED.items():
        if numbers.get(key, value) != value:
            raise SettingsError(
                f"prepare.{key} is {numbers[key]!r}, this nhan only does {value!r}",
                hint="the model was made by a newer nhan; upgrade nhan",
            )
    for field in fields(preparation):
        if field.name in given:
            _check_type(field.name, given[field.name], field.default)
    return given


def _check_type(name: str, value: Any, default: Any) -> None:
    """Refuse what is no number where a number is meant, before anything computes with it."""
    if isinstance(default, str):
        fits, wanted = isinstance(value, str), "a word"
    elif isinstance(default, tuple):
        fits = isinstance(value, list | tuple) and all(map(_is_number, value))
        wanted = f"{len(default)} numbers"
    elif isinstance(default, int) and not isinstance(default, bool):
        fits, wanted = _is_number(value) and isinstance(value, int), "a whole number"
    elif isinstance(default, float):
        fits, wanted = _is_number(value), "a number"
    else:
        return
    if not fits:
        shown = list(default) if isinstance(default, tuple) else default
        raise SettingsError(f"prepare.{name} is {value!r}", hint=f"{wanted}, such as {shown}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_filters(*, shrink: str, enlarge: str) -> None:
    """Refuse filters that Pillow does not have.

    Raises:
        SettingsError: it names the key.
    """
    for name, chosen in (("shrink", shrink), ("enlarge", enlarge)):
        if chosen not in FILTERS:
            raise SettingsError(
                f"prepare.{name} is {chosen!r}", hint=f"filters: {', '.join(FILTERS)}"
            )


def as_picture(rgb: RGB) -> Image.Image:
    """The pixels as Pillow takes them.

    Raises:
        ValueError: not uint8 (H, W, 3) with at least one pixel.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or rgb.size == 0:
        raise ValueError(f"expected uint8 (H, W, 3), got {rgb.dtype} {rgb.shape}")
    return Image.fromarray(rgb)
