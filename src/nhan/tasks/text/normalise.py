"""The one rule for what a text label looks like when stored, learned and compared.

`normalise_text` never touches tone marks, đ, letter case or the place of a tone (HÒA and HOÀ are
different labels, because the picture shows which). A common default elsewhere (NFKD, then ASCII)
turns `Đường` into `uong`.
"""

from __future__ import annotations

import re
import unicodedata

from nhan.errors import BadLabel
from nhan.tasks.text.alphabet import Letter, compose, decompose
from nhan.tasks.text.check_words import say

# Characters without ink (zero width, direction, emoji style): nobody can read them off a picture
# and they come from copying and from input methods, so they are dropped. (The label doctor reports
# them.)
ZERO_WIDTH = (
    "\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufe0e\ufe0f\ufeff"
)
_NO_INK = str.maketrans(dict.fromkeys(ZERO_WIDTH))

# Circumflex or breve typed after the tone. Unicode's canonical order keeps the two apart (both
# sit above the letter), so NFC alone leaves `e + acute + circumflex` unequal to ế.
_TONE_BEFORE_MARK = re.compile("([\u0300\u0301\u0303\u0309])([\u0302\u0306])")


def normalise_text(text: str) -> str:
    """Bring a label to its one stored form.

    NFC, also for marks typed tone first; every run of white space (no-break spaces, tabs and line
    breaks included: a line picture holds one line, and labelling tools leave a break at the end)
    becomes one space; none at the ends; characters without ink go.

    Args:
        text: any string, as typed or imported.

    Returns:
        A non-empty NFC string without control characters. Normalising it again changes nothing.

    Raises:
        BadLabel: a control character or half of a surrogate pair, or nothing is left.
    """
    spaced = " ".join(text.translate(_NO_INK).split())
    for position, char in enumerate(spaced):
        if unicodedata.category(char) in {"Cc", "Cs"}:
            raise BadLabel(
                say("label.control", char=f"U+{ord(char):04X}", position=position),
                hint=say("label.control.hint"),
            )
    if not spaced:
        raise BadLabel(say("label.empty", text=text), hint=say("label.empty.hint"))
    return compose_text(spaced)


def compose_text(text: str) -> str:
    """NFC, with a vowel mark typed after its tone put back before it."""
    if text.isascii():
        return text
    if _TONE_BEFORE_MARK.search(decomposed := unicodedata.normalize("NFD", text)):
        decomposed = _TONE_BEFORE_MARK.sub(r"\2\1", decomposed)
        return unicodedata.normalize("NFC", decomposed)
    return unicodedata.normalize("NFC", text)


# Open syllables in oa, oe, uy, the only ones where both habits are taught. In `quý` the u belongs
# to the consonant, so the tone has one place.
_OPEN_PAIR = re.compile(
    r"(?<![qQ])([oòóỏõọuùúủũụ])([aàáảãạeèéẻẽẹyỳýỷỹỵ])(?![^\W\d_])", re.IGNORECASE
)
_PAIRS = {"oa", "oe", "uy"}


def fold_tone_placement(text: str) -> str:
    """Write both habits of placing a tone (hòa, hoà) the same way, tone on the second vowel.

    For scoring and searching only.

    Args:
        text: NFC.
    """
    return _OPEN_PAIR.sub(_tone_on_second, text)


def _tone_on_second(match: re.Match[str]) -> str:
    first, second = decompose(match[1]), decompose(match[2])
    if (first.base + second.base).lower() not in _PAIRS:
        return match[0]
    if first.tone == "level" or second.tone != "level":
        return match[0]
    return first.base + compose(Letter(second.base, "", first.tone))
