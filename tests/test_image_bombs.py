"""Files that keep a decoder busy or fill its memory are told apart from real ones undecoded."""

from __future__ import annotations

import contextlib
import io
import struct
import time
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from nhan.errors import BadPicture, NhanError, PictureTooLarge, UnsupportedPicture
from nhan.images import PictureLimits, check_structure, decode, is_intricate, refuse_early
from nhan.images.whole import check_whole
from pace import keeps_within

LIMITS = PictureLimits()


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def small(kind: str, **options: object) -> bytes:
    return encode(Image.new("P" if kind == "GIF" else "RGB", (60, 30)), kind, **options)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_with(*chunks: bytes, at: int = 33) -> bytes:
    """A PNG with more chunks, behind its header or, with `at` -12, before its end."""
    data = small("PNG")
    return data[:at] + b"".join(chunks) + data[at:]


def comment(size: int) -> bytes:
    return chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(size), 9))


def jpeg_with(inserted: bytes) -> bytes:
    data = small("JPEG")
    return data[:2] + inserted + data[2:]


def gif_with(inserted: bytes) -> bytes:
    data = small("GIF")
    at = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    return data[:at] + inserted + data[at:]


def tiff(width: int, height: int, tile: tuple[int, int] | None = None, more: int = 0) -> bytes:
    """A TIFF's header and directory, without pixels."""
    tags = {256: width, 257: height, 258: 8, 259: 8, 262: 1, 277: 1}
    if tile:
        tags |= {322: tile[0], 323: tile[1], 324: 8, 325: 0}
    tags |= {40_000 + number: 0 for number in range(more)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def big_tiff(width: int, height: int) -> bytes:
    entries = b"".join(
        struct.pack(">HHQII", tag, 4, 1, value, 0) for tag, value in ((256, width), (257, height))
    )
    return b"MM\0+" + struct.pack(">HHQQ", 8, 0, 16, 2) + entries + bytes(8)


def run_length_bmp(data: bytes) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, 3000, 1600, 1, 8, 1, len(data), 0, 0, 256, 0)
    start = 14 + len(head) + 1024
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + head + bytes(1024) + data


BOMBS: dict[str, Callable[[], bytes]] = {
    "one large comment": lambda: png_with(comment(100_000_000)),
    "many comments": lambda: png_with(*[comment(900_000)] * 60),
    "comments behind the pixels": lambda: png_with(*[comment(900_000)] * 60, at=-12),
    "many tiny comments": lambda: png_with(*[comment(1)] * 9_000),
    "international text": lambda: png_with(
        chunk(b"iTXt", b"Comment\0\1\0vi\0Lo\0" + zlib.compress(bytes(50_000_000), 9))
    ),
    "colour profile": lambda: png_with(
        chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(50_000_000), 9))
    ),
    "unknown chunks": lambda: png_with(chunk(b"abCd", b"") * 800_000),
    "empty pieces of pixels": lambda: png_with(chunk(b"IDAT", b"") * 800_000),
    "fill bytes": lambda: jpeg_with(b"\xff" * 9_900_000),
    "junk between segments": lambda: jpeg_with(b"\xff\xfe\0\2" + bytes(9_900_000)),
    "escaped bytes": lambda: jpeg_with(b"\xff\0" * 4_900_000),
    "tiny segments": lambda: jpeg_with(b"\xff\xfe\0\2" * 2_400_000),
    "pieces of a GIF's comment": lambda: gif_with(b"!\xfe" + b"\1c" * 4_500_000 + b"\0"),
    "empty extensions": lambda: gif_with(b"!\xfe\0" * 3_000_000),
    "junk between a GIF's blocks": lambda: gif_with(bytes(9_000_000)),
    "a giant tile": lambda: tiff(10, 10, (16_000, 16_000)),
    "a large directory": lambda: tiff(10, 10, more=4_000),
    "run lengths": lambda: run_length_bmp(b"\1\5" * 4_800_000),
}


def at_the_door(data: bytes) -> None:
    """As the server does, which leaves to another thread what is intricate."""
    refuse_early(data, LIMITS)
    if is_intricate(data):
        check_structure(data)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_told_within_milliseconds(name: str) -> None:
    data = BOMBS[name]()
    assert len(data) <= LIMITS.max_bytes

    def refuse() -> None:
        with pytest.raises(BadPicture, match=r"more than any real one|run lengths"):
            at_the_door(data)

    assert keeps_within(0.03, refuse, clock=time.thread_time)
    with pytest.raises(BadPicture):
        decode(data)


@pytest.mark.parametrize("name", BOMBS)
def test_at_a_glance_is_at_a_glance(name: str) -> None:
    """What runs on the event loop."""
    data = BOMBS[name]()

    def glance() -> None:
        with contextlib.suppress(NhanError):
            refuse_early(data, LIMITS)
        is_intricate(data)

    assert keeps_within(0.005, glance, clock=time.thread_time)


def test_very_many_scans_are_told() -> None:
    data = encode(Image.new("L", (300, 300)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    decode(data[:-2] + data[last:-2] * 5 + data[-2:])
    bomb = data[:-2] + data[last:-2] * 500 + data[-2:]
    assert is_intricate(bomb)
    with pytest.raises(BadPicture, match="scans"):
        decode(bomb)


def test_the_size_is_told_where_the_header_hides_it() -> None:
    frame = struct.pack("<HHHHB", 0, 0, 20_000, 20_000, 0)
    giants = [
        b"GIF89a"
        + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0)
        + bytes(6)
        + b","
        + frame
        + b"\2\2L\1\0;",
        jpeg_with(b"\xff" * 100 + b"\xff\xc0" + struct.pack(">HBHHB", 8, 8, 20_000, 20_000, 0)),
        big_tiff(20_000, 20_000),
    ]
    for data in giants:
        with pytest.raises(PictureTooLarge):
            refuse_early(data, LIMITS)


def rich_pictures() -> list[bytes]:
    """What cameras, editors and browsers write."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "ghi chú " * 5_000, zip=True)
    text.add_itxt("XML:com.adobe.xmp", "<x/>" * 10_000, zip=True)
    text.add_text("plain", "x" * 300_000)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo = Image.effect_noise((1500, 1500), 90).convert("RGB")
    icc = b"!\xff\x0bICCRGBG1012" + (b"\xff" + bytes(255)) * 2_000 + b"\0"
    return [
        small("PNG", pnginfo=text, icc_profile=profile),
        encode(photo, "PNG"),
        encode(photo, "JPEG", icc_profile=profile + bytes(500_000), comment=b"x" * 60_000),
        encode(photo, "JPEG", progressive=True, quality=95),
        encode(photo, "TIFF", compression="tiff_lzw"),
        encode(photo, "WEBP", icc_profile=profile, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"),
        gif_with(b"!\xfe" + (b"\xff" + b"c" * 255) * 500 + b"\0"),
        gif_with(icc),
        png_with(*[chunk(b"tEXt", b"k\0v")] * 500) + bytes(1_000_000),
    ]


def test_real_pictures_pass_however_much_they_carry() -> None:
    for data in rich_pictures():
        refuse_early(data, LIMITS)
        check_structure(data)
        assert decode(data).ndim == 3


def test_usual_pictures_are_not_looked_at_twice() -> None:
    for kind in ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"):
        assert not is_intricate(small(kind)), kind
    assert not is_intricate(small("JPEG", progressive=True))


@given(st.binary(max_size=300), st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP"]))
def test_damaged_files_only_raise_errors_of_ours(noise: bytes, kind: str) -> None:
    data = small(kind)
    for damaged in (data[:20] + noise + data[20:], data[: len(noise)] + noise, data[:-1] + noise):
        is_intricate(damaged)
        with contextlib.suppress(NhanError):
            refuse_early(damaged, LIMITS)
        with contextlib.suppress(NhanError):
            check_structure(damaged)


def test_a_large_deep_picture_needs_little_more_than_its_pixels() -> None:
    """Scaled in bands: whole, its float64 copies took 24 bytes a pixel, several times over."""
    import tracemalloc

    data = encode(Image.fromarray(np.full((2000, 2000), 40_000, np.uint16)), "TIFF")
    tracemalloc.start()
    rgb = decode(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rgb[0, 0, 0] == round(40_000 / 257)
    assert peak < 40_000_000


def overlapping_exif(entries: int, size: int) -> bytes:
    """A directory whose entries all have the same bytes for their values."""
    at = 8 + 2 + 12 * entries + 4
    head = b"MM\0*\0\0\0\x08" + struct.pack(">H", entries)
    listed = (struct.pack(">HHII", 40_000 + number, 7, size, at) for number in range(entries))
    return b"Exif\0\0" + head + b"".join(listed) + bytes(4 + size)


@pytest.mark.parametrize(
    ("kind", "entries", "size"), [("WEBP", 3_000, 300_000), ("JPEG", 2_700, 32_000)]
)
def test_overlapping_values_of_exif_take_no_memory(kind: str, entries: int, size: int) -> None:
    """Pillow before 13 copied each."""
    import tracemalloc

    data = small(kind, exif=overlapping_exif(entries, size))
    tracemalloc.start()
    assert decode(data).shape == (30, 60, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_photo_with_other_pictures_behind_it_is_a_jpeg(orientation: int) -> None:
    """Phones append depth maps and previews; Pillow then calls the format MPO."""
    from nhan.images import probe

    exif = Image.Exif()
    exif[0x0112] = orientation
    more = [Image.new("RGB", (30, 20), "blue")]
    data = encode(
        Image.new("RGB", (60, 30), "red"), "MPO", save_all=True, append_images=more, exif=exif
    )
    assert probe(data).extension == "jpg"
    assert decode(data).shape == ((30, 60, 3) if orientation == 1 else (60, 30, 3))


def test_a_broken_rest_of_the_exif_does_not_lose_the_orientation() -> None:
    entry = struct.pack(">HHI2sH", 0x0112, 3, 1, struct.pack(">H", 6), 0)
    odd = struct.pack(">HHII", 0x8769, 4, 1, 0xFFFFFFF0)
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 2) + entry + odd + bytes(4)
    assert decode(small("JPEG", exif=exif)).shape == (60, 30, 3)


def noisy(kind: str, mode: str, **options: object) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (40, 61, 3), dtype=np.uint8)
    return encode(Image.fromarray(noise).convert(mode), kind, **options)


KINDS = [
    ("PNG", "RGB", {}),
    ("PNG", "1", {}),
    ("PNG", "LA", {}),
    ("JPEG", "RGB", {}),
    ("JPEG", "L", {"progressive": True}),
    ("WEBP", "RGB", {}),
    ("WEBP", "RGBA", {"lossless": True}),
    ("BMP", "RGB", {}),
    ("BMP", "1", {}),
    ("GIF", "P", {}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
]


@pytest.mark.parametrize(("kind", "mode", "options"), KINDS)
def test_a_cut_file_is_told_undecoded_and_never_one_that_can_be_read(
    kind: str, mode: str, options: dict[str, object]
) -> None:
    """The decoder itself says what can be read: Pillow, without our checks before it."""
    data = noisy(kind, mode, **options)
    told = 0
    ends = [*range(20, len(data), max(1, len(data) // 60)), *range(len(data) - 30, len(data))]
    for end in ends:
        try:
            check_whole(data[:end])
        except BadPicture:
            told += 1
            with pytest.raises((OSError, SyntaxError)), Image.open(io.BytesIO(data[:end])) as cut:
                cut.load()
    check_whole(data)
    assert told > len(ends) * 0.6


@pytest.mark.parametrize(
    "data",
    [
        small("PNG")[:16] + struct.pack(">II", 8000, 4000) + small("PNG")[24:],
        small("BMP")[:18] + struct.pack("<ii", 4000, 4000) + small("BMP")[26:],
    ],
    ids=["png", "bmp"],
)
def test_a_header_that_promises_more_than_the_file_can_hold(data: bytes) -> None:
    with pytest.raises(BadPicture, match="truncated or damaged"):
        refuse_early(data, LIMITS)


def test_a_wave_file_is_no_damaged_picture() -> None:
    with pytest.raises(UnsupportedPicture):
        decode(b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + bytes(28))
