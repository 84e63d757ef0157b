"""Pictures of blocks, light or dark, sharp or blurred."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter


def picture(number: int, *, light: int = 200, blur: float = 0.0) -> bytes:
    cells = np.random.default_rng(number).integers(0, light, (4, 24), dtype=np.uint8)
    image = Image.fromarray(cells).resize((96, 16), Image.Resampling.NEAREST)
    if blur:
        image = image.filter(ImageFilter.GaussianBlur(blur))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
