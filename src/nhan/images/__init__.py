"""Pictures at the door: told by content, limited before decoding, always RGB and upright.

Every picture anywhere in Nhãn passes through `decode`, so training, evaluation and serving see
the same pixels: uint8 RGB, EXIF orientation applied, transparency laid over white, 16-bit scaled.

    limits      what a picture may cost, and how it is refused
    headers     the size that a header announces, by arithmetic on bytes
    whole       whether a file is all there
    structure   what could keep a decoder busy for seconds, told before one is opened
    decode      bytes to RGB
    alike       hashes: the same file, nearly the same picture
"""

from __future__ import annotations

from nhan.images.alike import content_hash, perceptual_hash, thumbnail
from nhan.images.decode import PictureInfo, decode, encode_png, probe
from nhan.images.headers import announced_size
from nhan.images.limits import EXTENSIONS, FORMATS, RGB, PictureLimits
from nhan.images.structure import check_structure, is_intricate, refuse_early

__all__ = [
    "EXTENSIONS",
    "FORMATS",
    "RGB",
    "PictureInfo",
    "PictureLimits",
    "announced_size",
    "check_structure",
    "content_hash",
    "decode",
    "encode_png",
    "is_intricate",
    "perceptual_hash",
    "probe",
    "refuse_early",
    "thumbnail",
]
