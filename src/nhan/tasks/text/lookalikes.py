"""Characters that look like ones a Vietnamese reader writes, but are others.

They come from other keyboard layouts, from word processors and from copying. A reader cannot tell
them from the real ones, so learning both only confuses it.
"""

from __future__ import annotations

import unicodedata

from nhan.tasks.text.normalise import compose_text

_LOOKS_LIKE = {
    # Cyrillic and Greek letters whose print is a Latin letter's.
    **dict(zip("АВЕЅІЈКМНОРСТУХЗ", "ABESIJKMHOPCTYX3", strict=True)),
    **dict(zip("асеѕіјорухԁԛԝһ", "acesijopyxdqwh", strict=True)),
    **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX", strict=True)),
    **dict(zip("οικν", "oikv", strict=True)),
    # Icelandic and African letters typed for đ.
    **dict(zip("ÐƉðɖ", "ĐĐđđ", strict=True)),
    # Dashes and hyphens that print like the two of the charset.
    **dict.fromkeys("‐‑‒−⁃﹣", "-"),
    **dict.fromkeys("—―", "–"),
    # Quotes, primes and letters that print like quotes.
    **dict.fromkeys("ʼ′‛ʹ´", "’"),
    "ʻ": "‘",
    "″": "”",
    # Degree signs, dotless i, dots.
    **dict.fromkeys("º˚∘", "°"),
    "ı": "i",
    "․": ".",
    "‥": "..",
}

_LIGATURES = "ﬀﬁﬂﬃﬄﬅﬆ"


def plain(char: str) -> str:
    """The character (or few) that this one is taken for; the same one where there is none.

    Fullwidth letters and ligatures count as look-alikes of their parts. A raised digit (m²) does
    not: it can be told apart in the picture.
    """
    if char.isascii():
        return char
    if char in _LOOKS_LIKE:
        return _LOOKS_LIKE[char]
    kind = unicodedata.decomposition(char).partition(" ")[0]
    if kind in {"<wide>", "<narrow>", "<font>"} or char in _LIGATURES:
        return unicodedata.normalize("NFKC", char)
    return char


def look_alikes(text: str) -> dict[str, str]:
    """The look-alikes in a text and what each is taken for, in order of appearance."""
    return {char: real for char in text if (real := plain(char)) != char}


def without_look_alikes(text: str) -> str:
    """The text with every look-alike replaced: a suggestion for a person, never applied alone."""
    return compose_text("".join(map(plain, text)))


def decoded_twice(text: str) -> str:
    """What the text was before UTF-8 was read as a Western code page (`Ä‘Æ°á»ng` for `đường`).

    Returns:
        The repaired text, or an empty string where the text does not have that fault.
    """
    if text.isascii():
        return ""
    try:
        repaired = b"".join(map(_western_byte, text)).decode("utf-8")
    except UnicodeError:
        return ""
    return compose_text(repaired)


def _western_byte(char: str) -> bytes:
    # Browsers read the five bytes that Windows-1252 leaves open as control characters.
    try:
        return char.encode("cp1252")
    except UnicodeEncodeError:
        return char.encode("latin-1")
