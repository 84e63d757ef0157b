"""Pictures at the door: told by content, limited before decoding, always RGB and upright.

Every picture anywhere in Nhãn passes through `decode`, so training, evaluation and serving see
the same pixels: uint8 RGB, EXIF orientation applied, transparency laid over white, 16-bit scaled.
"""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from nhan.errors import BadPicture, PictureTooLarge, UnsupportedPicture

# Formats by content. Pillow knows forty more, each a parser that hostile bytes could reach.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
EXTENSIONS = {
    "PNG": "png",
    "JPEG": "jpg",
    "WEBP": "webp",
    "BMP": "bmp",
    "TIFF": "tif",
    "GIF": "gif",
}
_EXIF_ORIENTATION = 0x0112
_MAGIC = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"RIFF": "WebP",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"GIF8": "GIF",
}
_BEGINNINGS = (*_MAGIC, b"II", b"MM")  # TIFF has rarer beginnings too

RGB = NDArray[np.uint8]


@dataclass(frozen=True)
class PictureLimits:
    """What a picture may cost.

    Attributes:
        max_bytes: encoded size.
        max_pixels: width × height, told from the header before any pixel is decoded.
    """

    max_bytes: int = 10_000_000
    max_pixels: int = 40_000_000


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


def content_hash(data: bytes) -> str:
    """SHA-256 of the original bytes, in hexadecimal: a picture's identity everywhere."""
    return hashlib.sha256(data).hexdigest()


def probe(data: bytes, limits: PictureLimits | None = None) -> PictureInfo:
    """Read a picture's header only.

    Raises:
        BadPicture: empty or unreadable.
        UnsupportedPicture: bytes of another format.
        PictureTooLarge: over `limits`.
    """
    with _open(data, limits or PictureLimits()) as image:
        return PictureInfo(image.format or "", image.width, image.height, image.mode)


def refuse_early(data: bytes, limits: PictureLimits) -> None:
    """Refuse what its first bytes already show to be no picture for us, within microseconds.

    For whoever must not be kept waiting by a decoder; what passes may still be refused by `decode`.

    Raises:
        BadPicture, UnsupportedPicture, PictureTooLarge: as `decode` would.
    """
    if not data:
        raise _empty()
    if len(data) > limits.max_bytes:
        raise _too_many_bytes(len(data), limits)
    if not data.startswith(_BEGINNINGS):
        raise _unidentified(data)
    width, height = announced_size(data)
    if width * height > limits.max_pixels:
        raise _too_many_pixels(f"{width:,} × {height:,} px", limits)


def announced_size(data: bytes) -> tuple[int, int]:
    """Width and height of the stored raster as the header has them; (0, 0) where it is not plain.

    A microsecond, where `probe` opens a decoder and takes forty; nothing but arithmetic on bytes.
    """
    try:
        for magic, size in _SIZES.items():
            if data.startswith(magic):
                return size(data)
    except (struct.error, IndexError):
        pass
    return 0, 0


def _png_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _gif_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _bmp_size(data: bytes) -> tuple[int, int]:
    (head,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if head == _OLDEST_BMP_HEAD else "<ii", data, 18)
    return width, abs(height)


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":  # the canvas: 24 bits each, less one
        width = int.from_bytes(data[24:27], "little")
        return width + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":  # 14 bits each, less one
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _jpeg_size(data: bytes) -> tuple[int, int]:
    at = 2
    for _ in range(_MAX_JPEG_SEGMENTS):
        while data[at + 1] == 0xFF:
            at += 1
        marker = data[at + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        if data[at] != 0xFF or marker == _JPEG_SCAN:
            break
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return 0, 0


def _tiff_size(data: bytes) -> tuple[int, int]:
    order = "<" if data[:1] == b"I" else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, at)
    sides = {256: 0, 257: 0}
    for number in range(min(entries, _MAX_TIFF_ENTRIES)):
        tag, kind = struct.unpack_from(order + "HH", data, at + 2 + 12 * number)
        if tag in sides:
            form = order + ("H" if kind == _TIFF_SHORT else "I")
            (sides[tag],) = struct.unpack_from(form, data, at + 10 + 12 * number)
    return sides[256], sides[257]


_OLDEST_BMP_HEAD = 12  # bytes; newer heads have 32-bit sides
_TIFF_SHORT = 3
_JPEG_SCAN = 0xDA
# Start of a frame, whatever its coding; the three left out are tables.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Nobody needs so many before the size is told, but a hostile file would make us walk for ever.
_MAX_JPEG_SEGMENTS, _MAX_TIFF_ENTRIES = 100, 100
_SIZES = {
    b"\x89PNG\r\n\x1a\n": _png_size,
    b"\xff\xd8\xff": _jpeg_size,
    b"RIFF": _webp_size,
    b"BM": _bmp_size,
    b"II*\0": _tiff_size,
    b"MM\0*": _tiff_size,
    b"GIF8": _gif_size,
}


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


def perceptual_hash(rgb: RGB) -> int:
    """64-bit difference hash: near-duplicates differ in few bits.

    The picture is shrunk to 9 × 8 grey cells and each cell compared with its right neighbour.
    Wide pictures (text lines) are shrunk to 33 × 2 cells instead, because 9 columns cannot tell
    two lines of a page apart.

    Source: N. Krawetz, "Kind of Like That" (2013), dHash.
    """
    height, width = rgb.shape[:2]
    columns, rows = (33, 2) if width > 3 * height else (9, 8)
    grey = Image.fromarray(rgb).convert("L").resize((columns, rows), Image.Resampling.BOX)
    cells = np.asarray(grey, dtype=np.int16)
    bits = (cells[:, 1:] > cells[:, :-1]).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def thumbnail(rgb: RGB) -> bytes:
    """512 grey cells, row by row: what confirms that two pictures of near hashes are one.

    32 × 16 cells, or 128 × 4 for wide pictures (text lines). Blank-looking lines and lines of a
    form collide in the 64 bits of `perceptual_hash`; they do not collide here.
    """
    height, width = rgb.shape[:2]
    size = (128, 4) if width > 3 * height else (32, 16)
    return Image.fromarray(rgb).convert("L").resize(size, Image.Resampling.BOX).tobytes()


def _open(data: bytes, limits: PictureLimits) -> Image.Image:
    if not data:
        raise _empty()
    if len(data) > limits.max_bytes:
        raise _too_many_bytes(len(data), limits)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(str(error), limits) from error
    except UnidentifiedImageError as error:
        raise _unidentified(data) from error
    except Exception as error:  # a header parser fell over hostile bytes
        raise BadPicture(f"the picture's header cannot be read: {error}") from error
    if image.width * image.height > limits.max_pixels:
        size = f"{image.width:,} × {image.height:,} px"
        image.close()
        raise _too_many_pixels(size, limits)
    if image.width < 1 or image.height < 1:
        image.close()
        raise BadPicture("the picture has no pixels")
    return image


def _empty() -> BadPicture:
    return BadPicture("the picture is empty (0 bytes)", hint="send the file's bytes")


def _too_many_bytes(size: int, limits: PictureLimits) -> PictureTooLarge:
    return PictureTooLarge(
        f"the picture has {size:,} bytes; the limit is {limits.max_bytes:,}",
        hint="send a smaller picture or raise images.max_bytes",
    )


def _too_many_pixels(size: str, limits: PictureLimits) -> PictureTooLarge:
    return PictureTooLarge(
        f"the picture has too many pixels ({size}); the limit is {limits.max_pixels:,}",
        hint="scale it down or raise images.max_pixels",
    )


def _unidentified(data: bytes) -> BadPicture:
    for magic, name in _MAGIC.items():
        if data.startswith(magic):
            return BadPicture(
                f"the picture begins like {name} but is truncated or damaged",
                hint="send the whole file, unchanged",
            )
    return UnsupportedPicture(
        "the data is no picture of a type we read", hint=f"send one of {', '.join(FORMATS)}"
    )


def _upright(image: Image.Image) -> Image.Image:
    try:
        turned = image.getexif().get(_EXIF_ORIENTATION, 1) not in (0, 1)
    except (SyntaxError, ValueError, TypeError, OSError, KeyError, struct.error):
        return image  # broken EXIF: the pixels are still good
    return ImageOps.exif_transpose(image) if turned else image


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
    values = np.asarray(image).astype(np.float64)
    if image.mode == "F":
        top = 1.0 if float(np.nanmax(values, initial=0.0)) <= 1.0 else 255.0
    else:
        top = 65535.0 if float(values.max(initial=0)) > 255 else 255.0
        top = 65535.0 if image.mode.startswith("I;16") else top
    scaled = np.clip(np.nan_to_num(values) * (255.0 / top), 0, 255).round().astype(np.uint8)
    return Image.fromarray(scaled).convert("RGB")


# A truncated file is an error here, never a half-grey picture.
ImageFile.LOAD_TRUNCATED_IMAGES = False

# Odd metadata is no reason to refuse good pixels, and our own limit replaces Pillow's remark on
# many. Once for the process: `warnings.catch_warnings` around each call is not safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")
