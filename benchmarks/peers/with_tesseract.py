"""Tesseract in this process, as plain as it comes and with the cleaning that helps it most.

Needs `pip install tesserocr` and the Debian packages libtesseract-dev, libleptonica-dev and
tesseract-ocr-vie.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import tesserocr
from PIL import Image

from nhan.images import RGB, decode

# Tesseract was trained on lines about this high; smaller ones are enlarged.
_LEAST_HEIGHT = 48
# Paper that Tesseract likes around a line.
_MARGIN = 10
# Illumination is what is left when everything smaller than this share of the height is closed.
_BACKGROUND = 1.5


class Tesseract:
    """Reads encoded pictures of one line.

    Args:
        languages: of its data, e.g. `vie` or `vie+eng`.
        cleaned: even out background and contrast, enlarge to 48 px, and where page mode 7 (one
            line) finds nothing, try 13 (raw line).
    """

    def __init__(self, languages: str = "vie", *, cleaned: bool = False) -> None:
        self._api = tesserocr.PyTessBaseAPI(
            path=_data(), lang=languages, psm=tesserocr.PSM.SINGLE_LINE
        )
        self._cleaned = cleaned

    def read(self, picture: bytes) -> str:
        """The text of one line, white space at the ends and line breaks taken away."""
        rgb = decode(picture)
        if not self._cleaned:
            return self._text(Image.fromarray(rgb))
        image = Image.fromarray(clean(rgb))
        text = self._text(image)
        if text:
            return text
        self._api.SetPageSegMode(tesserocr.PSM.RAW_LINE)
        try:
            return self._text(image)
        finally:
            self._api.SetPageSegMode(tesserocr.PSM.SINGLE_LINE)

    def _text(self, image: Image.Image) -> str:
        self._api.SetImage(image)
        return " ".join(self._api.GetUTF8Text().split())


def clean(rgb: RGB) -> RGB:
    """Grey with an even, light background and strong ink: uint8 (H, W)."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if grey.shape[0] < _LEAST_HEIGHT:
        factor = _LEAST_HEIGHT / grey.shape[0]
        grey = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    if np.median(grey) < 110:
        grey = 255 - grey
    side = int(grey.shape[0] * _BACKGROUND) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (side, side))
    paper = cv2.GaussianBlur(cv2.morphologyEx(grey, cv2.MORPH_CLOSE, kernel), (0, 0), side / 6)
    flat = np.clip(grey.astype(np.float32) / np.maximum(paper, 1) * 255, 0, 255)
    dark, light = np.percentile(flat, [1, 90])
    stretched = np.clip((flat - dark) * (255 / max(light - dark, 1)), 0, 255).astype(np.uint8)
    return cv2.copyMakeBorder(
        stretched, *([_MARGIN] * 4), borderType=cv2.BORDER_CONSTANT, value=255
    )


def _data() -> str:
    """Where the language data lies: the wheel of tesserocr does not know Debian's folder."""
    found = sorted(Path("/usr/share/tesseract-ocr").glob("*/tessdata"))
    return f"{found[-1]}/" if found else ""
