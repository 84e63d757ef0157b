"""One object prepares every picture, in training, evaluation and serving alike.

Its numbers are saved with the weights in `nhan.json` under `prepare`, in full, so that others can
prepare a picture without this code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nhan.errors import SettingsError
from nhan.tasks.base import RGB
from nhan.tasks.preparation import FILTERS, FIXED, as_picture, check_filters, known_numbers


@dataclass(frozen=True)
class Preparation:
    """Brings a picture to a square; nothing is ever squeezed.

    Attributes:
        size: side of the square, pixels.
        fit: `crop` takes the central square, `letterbox` shows the whole picture on a ground of
            the mean colour.
        keep: with `crop`, the side of the central square over the picture's shorter side.
        mean: of red, green and blue, 0..1, subtracted.
        std: of red, green and blue, divided by.
        shrink: Pillow's filter for shrinking.
        enlarge: Pillow's filter for enlarging.
        reducing_gap: pictures over twice this factor too large are first reduced by boxes
            (Pillow's `reducing_gap`), which bounds the time for huge ones.

    Raises:
        SettingsError: a number makes no sense.
    """

    size: int = 64
    fit: str = "crop"
    keep: float = 1.0
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.25, 0.25, 0.25)
    shrink: str = "bicubic"
    enlarge: str = "bilinear"
    reducing_gap: float = 2.0

    def __post_init__(self) -> None:
        if not 8 <= self.size <= 1024:
            raise SettingsError(f"prepare.size is {self.size}", hint="use 8 to 1024 pixels")
        if self.fit not in ("crop", "letterbox"):
            raise SettingsError(f"prepare.fit is {self.fit!r}", hint="use crop or letterbox")
        if not 0.1 <= self.keep <= 1:
            raise SettingsError(f"prepare.keep is {self.keep}", hint="use 0.1 to 1")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3 or (name == "std" and min(values) <= 0):
                raise SettingsError(
                    f"prepare.{name} is {values}", hint="three numbers, those of std above 0"
                )
        check_filters(shrink=self.shrink, enlarge=self.enlarge)

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> Preparation:
        """Read what `to_dict` wrote.

        Raises:
            SettingsError: a key is unknown, so this version would prepare pictures differently.
        """
        given = known_numbers(cls, numbers)
        for name in ("mean", "std"):
            if name in given:
                given[name] = tuple(float(value) for value in given[name])
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """Every number, and the facts that are the same for all: for `nhan.json`."""
        values = {**FIXED, **asdict(self)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    def prepare(self, rgb: RGB) -> RGB:
        """Bring one picture to the square.

        Args:
            rgb: uint8 (H, W, 3), at least one pixel.

        Returns:
            uint8 (size, size, 3). The same input always gives the same output.

        Raises:
            ValueError: not a picture of that shape and type.
        """
        picture = as_picture(rgb)
        return self._crop(picture) if self.fit == "crop" else self._letterbox(picture)

    def to_input(self, prepared: RGB) -> NDArray[np.float32]:
        """Prepared pictures as numbers: float32 (…, 3, size, size), RGB, (x/255 - mean) / std.

        Args:
            prepared: uint8 (…, size, size, 3); one picture, or several in a row.
        """
        mean, std = np.array(self.mean), np.array(self.std)
        scale = (1 / (255 * std)).astype(np.float32)[:, None, None]
        shift = (-mean / std).astype(np.float32)[:, None, None]
        planes = np.ascontiguousarray(np.moveaxis(prepared, -1, -3)).astype(np.float32)
        planes *= scale
        planes += shift
        return planes

    def _crop(self, picture: Image.Image) -> RGB:
        side = max(1.0, min(picture.size) * self.keep)
        left, top = (picture.width - side) / 2, (picture.height - side) / 2
        box = (left, top, left + side, top + side)
        return np.asarray(self._resize(picture, (self.size, self.size), box, side))

    def _letterbox(self, picture: Image.Image) -> RGB:
        longest = max(picture.size)
        width, height = (max(1, round(x * self.size / longest)) for x in picture.size)
        box = (0.0, 0.0, float(picture.width), float(picture.height))
        scaled = self._resize(picture, (width, height), box, longest)
        canvas = np.empty((self.size, self.size, 3), np.uint8)
        # The mean colour is zero to the network: nothing to see there.
        canvas[:] = np.clip(np.array(self.mean) * 255, 0, 255).round()
        top, left = (self.size - height) // 2, (self.size - width) // 2
        canvas[top : top + height, left : left + width] = np.asarray(scaled)
        return canvas

    def _resize(
        self,
        picture: Image.Image,
        size: tuple[int, int],
        box: tuple[float, float, float, float],
        side: float,
    ) -> Image.Image:
        name = self.shrink if side > self.size else self.enlarge
        return picture.resize(size, FILTERS[name], box=box, reducing_gap=self.reducing_gap)
