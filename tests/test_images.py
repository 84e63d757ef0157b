"""Pictures at the door: every kind is read right, and what cannot be read is refused by name."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from nhan.errors import BadPicture, NhanError, PictureTooLarge, UnsupportedPicture
from nhan.images import (
    PictureLimits,
    announced_size,
    content_hash,
    decode,
    encode_png,
    perceptual_hash,
    probe,
    refuse_early,
    thumbnail,
)


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def scene(mode: str = "RGB") -> Image.Image:
    """Left half red, right half blue, a white corner at the top left."""
    image = Image.new("RGB", (40, 20), (255, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.rectangle((20, 0, 39, 19), fill=(0, 0, 255))
    draw.rectangle((0, 0, 9, 9), fill=(255, 255, 255))
    return image.convert(mode)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("TIFF", {}),
        ("GIF", {}),
    ],
)
def test_every_format_gives_the_same_upright_rgb(kind: str, options: dict[str, object]) -> None:
    rgb = decode(encode(scene(), kind, **options))
    assert rgb.shape == (20, 40, 3)
    assert rgb.dtype == np.uint8
    assert np.abs(rgb.astype(int) - np.asarray(scene()).astype(int)).mean() < 3
    assert probe(encode(scene(), kind, **options)).format == kind


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = scene()
    # The transposition that a camera did, so that the tag undoes it.
    stored = {
        1: lambda im: im,
        2: lambda im: im.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: lambda im: im.transpose(Image.Transpose.ROTATE_180),
        4: lambda im: im.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: lambda im: im.transpose(Image.Transpose.TRANSPOSE),
        6: lambda im: im.transpose(Image.Transpose.ROTATE_90),
        7: lambda im: im.transpose(Image.Transpose.TRANSVERSE),
        8: lambda im: im.transpose(Image.Transpose.ROTATE_270),
    }[orientation](upright)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind, options in (("JPEG", {"quality": 95, "subsampling": 0}), ("PNG", {}), ("TIFF", {})):
        rgb = decode(encode(stored, kind, exif=exif.tobytes(), **options))
        assert rgb.shape == (20, 40, 3), kind
        assert np.abs(rgb.astype(int) - np.asarray(upright).astype(int)).mean() < 3, kind


def test_one_bit_and_grey_and_palette() -> None:
    black = Image.new("1", (8, 8), 1)
    black.putpixel((3, 4), 0)
    rgb = decode(encode(black))
    assert rgb[4, 3].tolist() == [0, 0, 0]
    assert rgb[0, 0].tolist() == [255, 255, 255]
    assert decode(encode(Image.new("L", (4, 4), 90)))[0, 0].tolist() == [90, 90, 90]
    palette = scene().quantize(4)
    assert np.abs(decode(encode(palette)).astype(int) - np.asarray(scene())).max() <= 2


def test_alpha_is_laid_over_white() -> None:
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.putpixel((1, 1), (0, 0, 0, 255))
    image.putpixel((2, 2), (0, 0, 0, 128))
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True})):
        rgb = decode(encode(image, kind, **options))
        assert rgb[0, 0].tolist() == [255, 255, 255], kind
        assert rgb[1, 1].tolist() == [0, 0, 0], kind
        assert 125 <= rgb[2, 2, 0] <= 130, kind
    grey = Image.new("LA", (4, 4), (0, 0))
    assert decode(encode(grey))[0, 0].tolist() == [255, 255, 255]


def test_a_transparent_palette_colour_is_white_paper() -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30, 0, 0, 0] + [0] * 762)
    image.putpixel((1, 1), 1)
    rgb = decode(encode(image, transparency=0))
    assert rgb[0, 0].tolist() == [255, 255, 255]
    assert rgb[1, 1].tolist() == [0, 0, 0]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_neither_inverted_nor_refused(kind: str) -> None:
    image = Image.new("CMYK", (16, 16), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 8, 16))
    rgb = decode(encode(image, kind))
    assert rgb[8, 12].min() > 240  # no ink: paper
    assert rgb[8, 3].max() < 20  # black ink


def png_16_bit(values: np.ndarray) -> bytes:
    """A 16-bit PNG by hand, grey (H, W) or colour (H, W, 3); Pillow writes the former only."""
    height, width = values.shape[:2]
    colour = 2 if values.ndim == 3 else 0
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    rgb = decode(png_16_bit(ramp))
    assert np.abs(rgb[..., 0].astype(int).ravel() - np.arange(256)).max() <= 1
    tiff = Image.fromarray(ramp)
    assert tiff.mode == "I;16"
    again = decode(encode(tiff, "TIFF"))
    assert np.abs(again[..., 0].astype(int).ravel() - np.arange(256)).max() <= 1


def test_a_dark_16_bit_grey_stays_dark() -> None:
    """Values that all fit into 8 bits are still 16-bit values."""
    rgb = decode(png_16_bit(np.full((8, 8), 200, dtype=np.uint16)))
    assert rgb.max() <= 1


def test_16_bit_colour_is_scaled() -> None:
    values = np.zeros((4, 4, 3), dtype=np.uint16)
    values[..., 0] = 65535
    values[..., 1] = 32768
    assert np.abs(decode(png_16_bit(values))[0, 0].astype(int) - [255, 128, 0]).max() <= 1


def test_float_pictures_are_scaled() -> None:
    image = Image.fromarray(np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4))
    rgb = decode(encode(image, "TIFF"))
    assert rgb[0, 0, 0] == 0
    assert rgb[3, 3, 0] == 255


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "WEBP"):
        data = encode(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
        assert decode(data)[4, 4, 0] > 200, kind


def test_empty_truncated_and_foreign_bytes_are_told_apart() -> None:
    with pytest.raises(BadPicture, match="empty"):
        decode(b"")
    with pytest.raises(UnsupportedPicture, match="no picture of a type we read"):
        decode(b"%PDF-1.7 hello")
    for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF"):
        data = encode(scene(), kind)
        with pytest.raises(BadPicture):
            decode(data[: len(data) // 2])
    with pytest.raises(BadPicture, match="begins like PNG"):
        decode(b"\x89PNG\r\n\x1a\n")


def test_limits_are_told_before_decoding() -> None:
    data = encode(Image.new("1", (3000, 3000)))
    with pytest.raises(PictureTooLarge, match=r"3,000 × 3,000"):
        decode(data, PictureLimits(max_pixels=1_000_000))
    with pytest.raises(PictureTooLarge, match="bytes"):
        decode(data, PictureLimits(max_bytes=10))
    bomb = bytearray(png_16_bit(np.zeros((1, 1), dtype=np.uint16)))
    bomb[16:24] = struct.pack(">II", 20_000, 20_000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
    with pytest.raises(PictureTooLarge):
        decode(bytes(bomb))


MAGICS = [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"GIF89a", b"II*\0"]
SAVED = [
    ("PNG", {}),
    ("JPEG", {}),
    ("JPEG", {"progressive": True, "comment": b"x" * 5000, "exif": b"Exif\0\0" + bytes(60_000)}),
    ("WEBP", {"lossless": True}),
    ("WEBP", {}),
    ("WEBP", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0", "quality": 20}),
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw", "big_tiff": False}),
    ("GIF", {}),
]


@given(st.sampled_from(SAVED), st.integers(1, 400), st.integers(1, 300))
def test_a_header_announces_the_size_that_is_decoded(saved, width: int, height: int) -> None:
    kind, options = saved
    data = encode(Image.new("L" if kind == "GIF" else "RGB", (width, height)), kind, **options)
    assert announced_size(data) == (width, height)
    assert decode(data).shape == (height, width, 3)
    refuse_early(data, PictureLimits(max_pixels=width * height))
    with pytest.raises(PictureTooLarge):
        refuse_early(data, PictureLimits(max_pixels=width * height - 1))


@given(st.binary(max_size=300), st.sampled_from([*MAGICS, b"RIFF0000WEBPVP8X", b"MM\0*"]))
def test_what_is_refused_early_would_be_refused_by_the_decoder(data: bytes, magic: bytes) -> None:
    limits = PictureLimits(max_pixels=1000)
    try:
        refuse_early(magic + data, limits)
    except NhanError:
        with pytest.raises(NhanError):
            decode(magic + data, limits)


def test_broken_exif_does_not_lose_the_picture() -> None:
    data = encode(scene(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01" * 40)
    assert decode(data).shape == (20, 40, 3)


@given(st.binary(max_size=200), st.sampled_from(MAGICS))
def test_hostile_bytes_raise_only_errors_of_ours(data: bytes, magic: bytes) -> None:
    with contextlib.suppress(NhanError):
        decode(magic + data)


def test_png_survives_a_round_trip() -> None:
    rgb = np.asarray(scene())
    assert (decode(encode_png(rgb)) == rgb).all()


def test_content_hash_is_sha256() -> None:
    assert content_hash(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_near_pictures_have_near_hashes_and_thumbnails(draw_line) -> None:
    line = decode(draw_line("phong 101, tang 1"))
    other = decode(draw_line("0903 555 123 Nguyen"))
    again = decode(encode(Image.fromarray(line), "JPEG", quality=60))

    def apart(a: np.ndarray, b: np.ndarray) -> int:
        return (perceptual_hash(a) ^ perceptual_hash(b)).bit_count()

    assert apart(line, again) <= 3 < apart(line, other)
    assert len(thumbnail(line)) == len(thumbnail(np.asarray(scene()))) == 512
    assert perceptual_hash(line) < 2**64
