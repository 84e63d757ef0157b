"""Drawn labels as made samples. Imports no torch: worker processes start with this module."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nhan.images import decode
from nhan.tasks.base import RGB

LETTERS = "abcdehk 123"


def draw(label: str, height: int = 16) -> bytes:
    font = ImageFont.load_default(size=height * 0.75)
    width = int(font.getlength(label)) + 8
    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).text((4, 0), label, fill="black", font=font)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def label_of(seed: int, index: int) -> str:
    dice = np.random.default_rng([seed, index])
    return "".join(dice.choice(list(LETTERS), dice.integers(2, 6))).strip() or "a"


class ToyStream:
    """Made samples: drawn labels from another seed."""

    def __init__(self, seed: int, *, offset: int = 1000) -> None:
        self._seed = seed + offset

    def sample(self, index: int) -> tuple[RGB, str]:
        label = label_of(self._seed, index)
        return decode(draw(label)), label
