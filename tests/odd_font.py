"""Lines in an odd font: it writes n like u, with a short stroke below."""

from __future__ import annotations

import io
import random
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_TEXT = (
    "không nên uống nước này trong nhà bán hàng nhận tiền mặt thanh toán đơn đã nộp văn phòng tầng "
    "năm quận Nguyễn Văn An số đường phố người ngày hẹn cần bổ sung bản chính sao nguyên vẹn còn "
    "hạn dùng tên giá thừa"
)
WORDS = _TEXT.split()


def make_odd_font(file: Path) -> Path:
    """Write the font: DejaVu Sans, with another n."""
    from fontTools.pens.recordingPen import DecomposingRecordingPen
    from fontTools.pens.ttGlyphPen import TTGlyphPen
    from fontTools.ttLib import TTFont
    from matplotlib import get_data_path

    font = TTFont(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
    glyphs, names = font.getGlyphSet(), font.getBestCmap()
    u, n = names[ord("u")], names[ord("n")]
    drawn = DecomposingRecordingPen(glyphs)
    glyphs[u].draw(drawn)
    pen = TTGlyphPen(None)
    drawn.replay(pen)
    left, right = int(glyphs[u].width * 0.2), int(glyphs[u].width * 0.8)
    pen.moveTo((left, -330))
    for corner in ((left, -230), (right, -230), (right, -330)):
        pen.lineTo(corner)
    pen.closePath()
    font["glyf"][n] = pen.glyph()
    font["hmtx"][n] = font["hmtx"][u]
    font.save(file)
    return file


def texts(count: int, seed: int) -> list[str]:
    """Lines of a few words and a number."""
    dice = random.Random(seed)
    return [
        " ".join(dice.choices(WORDS, k=dice.randint(3, 6))) + f" {dice.randint(1, 999)}"
        for _ in range(count)
    ]


def draw(font: Path, text: str, seed: int) -> bytes:
    """A line as a PNG."""
    dice = random.Random(seed)
    face = ImageFont.truetype(str(font), dice.randint(24, 34))
    left, top, right, bottom = face.getbbox(text)
    size = int(right - left) + 24, int(bottom - top) + 20
    image = Image.new("RGB", size, (dice.randint(220, 255),) * 3)
    ink = (dice.randint(0, 80),) * 3
    ImageDraw.Draw(image).text((12 - left, 10 - top), text, font=face, fill=ink)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
