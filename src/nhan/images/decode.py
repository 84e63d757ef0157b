"""Bytes to RGB: the one decoder of everything that reads a picture."""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from nhan.errors import BadPicture, PictureTooLarge
from nhan.images.limits import (
    EXTENSIONS,
    FORMATS,
    RGB,
    PictureLimits,
    too_many_pixels,
    unidentified,
)
from nhan.images.structure import check_structure, refuse_early

_EXIF_ORIENTATION = 0x0112
# What undoes each orientation. Pillow's own `exif_transpose` also writes the EXIF anew, which
# fails where other parts of it are broken.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# A deep grey picture is scaled in bands, each about a megabyte of float64.
_BAND_PIXELS = 131_072


@dataclass(frozen=True)
class PictureInfo:
    """What a header says; width and height are those of the stored, unrotated raster."""

    format: str
    width: int
    height: int
    mode: str

    @property
    def extension(self) -> str:
        """The usual file ending, without the dot."""
        return EXTENSIONS[self.format]


def probe(data: bytes, limits: PictureLimits | None = None) -> PictureInfo:
    """Read a picture's header only.

    Raises:
        BadPicture: empty or unreadable.
        UnsupportedPicture: bytes of another format.
        PictureTooLarge: over `limits`.
    """
    with _open(data, limits or PictureLimits()) as image:
        # Pillow's name for a JPEG that other pictures follow, as phones write them.
        form = "JPEG" if image.format == "MPO" else image.format or ""
        return PictureInfo(form, image.width, image.height, image.mode)


def decode(data: bytes, limits: PictureLimits | None = None) -> RGB:
    """Decode a picture to upright RGB.

    Returns:
        uint8, shape (height, width, 3), range 0..255, RGB.

    Raises:
        BadPicture: empty, truncated or unreadable.
        UnsupportedPicture: bytes of another format.
        PictureTooLarge: over `limits`; told before any pixel is decoded.
    """
    with _open(data, limits or PictureLimits()) as image:
        try:
            image.load()
            return np.asarray(_to_rgb(_upright(image)), dtype=np.uint8)
        except (PictureTooLarge, MemoryError):
            raise
        except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, EOFError …
            raise BadPicture(
                f"the picture's {image.format} data cannot be read: {error}",
                hint="send the whole file, unchanged",
            ) from error


def encode_png(rgb: RGB) -> bytes:
    """PNG bytes of an RGB picture, uint8 (H, W, 3)."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _open(data: bytes, limits: PictureLimits) -> Image.Image:
    refuse_early(data, limits)
    check_structure(data)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise too_many_pixels(str(error), limits) from error
    except UnidentifiedImageError as error:
        raise unidentified(data) from error
    except Exception as error:  # a header parser fell over hostile bytes
        raise BadPicture(
            f"the picture's header cannot be read: {error}", hint="send the whole file, unchanged"
        ) from error
    if image.width * image.height > limits.max_pixels:
        size = f"{image.width:,} × {image.height:,} px"
        image.close()
        raise too_many_pixels(size, limits)
    if image.width < 1 or image.height < 1:
        image.close()
        raise BadPicture("the picture has no pixels", hint="send a picture that shows something")
    return image


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = _TURNS.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    except (SyntaxError, ValueError, TypeError, OSError, KeyError, struct.error):
        return image  # broken EXIF: the pixels are still good
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_to_rgb(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layered = image.convert("RGBA")
        paper = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        return Image.alpha_composite(paper, layered).convert("RGB")
    return image.convert("RGB")


def _deep_to_rgb(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit and float greys: Pillow's convert would clip them to white."""
    values = np.asarray(image)
    highest = float(np.nanmax(values, initial=0)) if values.size else 0.0
    if image.mode == "F":
        top = 1.0 if highest <= 1.0 else 255.0
    else:
        top = 65535.0 if highest > 255 or image.mode.startswith("I;16") else 255.0
    grey = np.empty(values.shape, np.uint8)
    rows = max(1, _BAND_PIXELS // max(1, values.shape[1]))
    for at in range(0, len(values), rows):
        grey[at : at + rows] = _scaled(values[at : at + rows], 255.0 / top)
    return Image.fromarray(grey).convert("RGB")


def _scaled(values: NDArray[np.generic], factor: float) -> NDArray[np.uint8]:
    scaled = np.nan_to_num(values.astype(np.float64)) * factor
    return np.clip(scaled, 0, 255).round().astype(np.uint8)


# A truncated file is an error here, never a half-grey picture.
ImageFile.LOAD_TRUNCATED_IMAGES = False

# Odd metadata is no reason to refuse good pixels, and our own limit replaces Pillow's remark on
# many. Once for the process: `warnings.catch_warnings` around each call is not safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")
