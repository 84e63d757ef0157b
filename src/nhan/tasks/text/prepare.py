"""From a picture of a line to what the network sees; the one object that does it.

Training, evaluation and serving use the same `Preparation`, and `nhan.json` holds all its numbers
under `prepare`. The baseline only scales to a fixed height; the robust steps are off unless a
model was trained with them on.
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
from nhan.tasks.text import contrast, margins


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How a picture of any size becomes one of the network's height.

    The aspect ratio is always kept. Lengths are pixels of the prepared picture.

    Attributes:
        height: rows of the prepared picture.
        min_width: narrower pictures are widened with their background colour, on the right.
        max_width: the widest piece the network reads at once.
        overlap: what two neighbouring pieces of a wider picture share.
        max_total_width: the widest prepared picture; one that would be wider (a line of 20,000
            pixels one pixel high) is scaled to this width and centred on its background colour.
        shrink: Pillow's filter for shrinking. Hamming is as sharp as bicubic at bilinear's price.
        enlarge: Pillow's filter for enlarging.
        reducing_gap: pictures over twice this factor too large are first reduced by boxes
            (Pillow's `reducing_gap`), which bounds the time for huge ones.
        trim_margins: cut away large empty stripes above and below the line.
        stretch_contrast: spread a faint picture over the whole range of brightness.
        invert_dark: turn light writing on a dark ground into dark on light.

    Raises:
        SettingsError: a number makes no sense.
    """

    height: int = 64
    min_width: int = 32
    max_width: int = 2560
    overlap: int = 256
    max_total_width: int = 16384
    shrink: str = "hamming"
    enlarge: str = "bilinear"
    reducing_gap: float = 2.0
    trim_margins: bool = False
    stretch_contrast: bool = False
    invert_dark: bool = False

    def __post_init__(self) -> None:
        if not 8 <= self.height <= 256:
            raise SettingsError(f"prepare.height is {self.height}", hint="use 8 to 256 pixels")
        if not 0 < self.overlap <= self.max_width // 2:
            raise SettingsError(
                f"prepare.overlap is {self.overlap} and max_width {self.max_width}",
                hint="the overlap is at least 1 and at most half of max_width",
            )
        if not 1 <= self.min_width <= self.max_width <= self.max_total_width:
            raise SettingsError(
                f"prepare widths are {self.min_width}, {self.max_width}, {self.max_total_width}",
                hint="1 <= min_width <= max_width <= max_total_width",
            )
        check_filters(shrink=self.shrink, enlarge=self.enlarge)

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> Preparation:
        """Read what `to_dict` wrote.

        Raises:
            SettingsError: a key is unknown, so this version would prepare pictures differently.
        """
        return cls(**known_numbers(cls, numbers))

    def to_dict(self) -> dict[str, Any]:
        """Every number, and the facts that are the same for all: for `nhan.json`."""
        return {**FIXED, **asdict(self)}

    def width(self, width: int, height: int) -> int:
        """The width that a picture of this size is prepared to, without `trim_margins`."""
        return max(self.min_width, self._scaled(width, height)[0])

    def prepare(self, rgb: RGB) -> RGB:
        """Bring one picture to the network's height.

        Args:
            rgb: uint8 (H, W, 3), at least one pixel.

        Returns:
            uint8 (height, width, 3), min_width <= width <= max_total_width. The same input always
            gives the same output.

        Raises:
            ValueError: not a picture of that shape and type.
        """
        picture = as_picture(rgb)
        line = self._scale(picture)
        if self.trim_margins and (rows := margins.inked_rows(contrast.grey(line))):
            top, bottom = (round(row * picture.height / line.height) for row in rows)
            if bottom > top:
                line = self._scale(picture.crop((0, top, picture.width, bottom)))
        if self.stretch_contrast or self.invert_dark:
            line = contrast.even_out(line, stretch=self.stretch_contrast, invert=self.invert_dark)
        return self._pad(np.asarray(line))

    def to_input(self, prepared: RGB) -> NDArray[np.float32]:
        """The prepared picture as numbers: float32 (3, height, width), RGB, 0..1."""
        planes = np.ascontiguousarray(prepared.transpose(2, 0, 1)).astype(np.float32)
        planes *= np.float32(1 / 255)
        return planes

    def windows(self, width: int) -> list[tuple[int, int]]:
        """The pieces that a prepared picture is read in.

        Returns:
            Pairs (start, end) in pixels. One pair where the picture fits; else all pieces but the
            last are exactly `max_width` wide and neighbours share exactly `overlap` pixels, so
            that the pieces can be put together again without knowing the picture's width.
        """
        step = self.max_width - self.overlap
        count = 1 + max(0, -(-(width - self.max_width) // step))
        return [(i * step, min(i * step + self.max_width, width)) for i in range(count)]

    def _scaled(self, width: int, height: int) -> tuple[int, int]:
        scaled = max(1, round(width * self.height / height))
        if scaled <= self.max_total_width:
            return scaled, self.height
        return self.max_total_width, max(1, round(height * self.max_total_width / width))

    def _scale(self, picture: Image.Image) -> Image.Image:
        size = self._scaled(picture.width, picture.height)
        if size == picture.size:
            return picture
        name = self.shrink if size[1] < picture.height else self.enlarge
        return picture.resize(size, FILTERS[name], reducing_gap=self.reducing_gap)

    def _pad(self, line: RGB) -> RGB:
        height, width, _ = line.shape
        if height == self.height and width >= self.min_width:
            return line
        canvas = np.empty((self.height, max(width, self.min_width), 3), np.uint8)
        # Most of a line is paper, so its median colour is the background.
        canvas[:] = np.median(line, axis=(0, 1))
        top = (self.height - height) // 2
        canvas[top : top + height, :width] = line
        return canvas
