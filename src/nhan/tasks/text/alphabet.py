"""The Vietnamese letter: a base letter, a vowel mark and a tone.

``ặ`` is the base ``a``, the mark ``breve`` and the tone ``dot``. Readers mistake the three parts
for different reasons (shape, a small stroke, a smaller one above it), so errors are told apart by
part. The tables are built from the rules of the alphabet, not typed in: 12 vowels, 6 tones, đ.
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

# Combining characters by part, in the order that grammars list them.
MARKS = {"breve": "\u0306", "circumflex": "\u0302", "horn": "\u031b"}
TONES = {
    "level": "",
    "grave": "\u0300",
    "acute": "\u0301",
    "hook": "\u0309",
    "tilde": "\u0303",
    "dot": "\u0323",
}

_VOWELS = [
    *((base, "") for base in "aeiouy"),
    ("a", "breve"),
    *((base, "circumflex") for base in "aeo"),
    *((base, "horn") for base in "ou"),
]


class Letter(NamedTuple):
    """One letter taken apart.

    Attributes:
        base: the letter without marks, case kept; any other character is its own base.
        mark: `""`, `breve`, `circumflex`, `horn` or `stroke` (the bar of đ).
        tone: a key of `TONES`; `level` where nothing is written.
    """

    base: str
    mark: str = ""
    tone: str = "level"


def _letters() -> dict[str, Letter]:
    table = {"đ": Letter("d", "stroke"), "Đ": Letter("D", "stroke")}
    for base, mark in _VOWELS:
        for tone, stroke in TONES.items():
            stacked = base + MARKS.get(mark, "") + stroke
            lower = unicodedata.normalize("NFC", stacked)
            table[lower] = Letter(base, mark, tone)
            table[lower.upper()] = Letter(base.upper(), mark, tone)
    return table


_PARTS: dict[str, Letter] = _letters()
_WHOLE: dict[Letter, str] = {letter: char for char, letter in _PARTS.items()}

# The 134 letters that ASCII lacks, lower case then upper case, each in code point order.
ACCENTED = "".join(
    sorted(
        (char for char, letter in _PARTS.items() if char != letter.base),
        key=lambda char: (char.isupper(), char),
    )
)


def decompose(char: str) -> Letter:
    """Take one NFC character apart.

    Args:
        char: a single code point.

    Returns:
        Its parts; a character that is no Vietnamese vowel or đ is its own base at level tone.
    """
    return _PARTS.get(char) or Letter(char)


def compose(letter: Letter) -> str:
    """Put the parts together again: the inverse of `decompose`.

    Raises:
        KeyError: no Vietnamese letter has these parts (a tilde on a consonant).
    """
    if not letter.mark and letter.tone == "level":
        return letter.base
    return _WHOLE[letter]


_BARE = str.maketrans({char: letter.base for char, letter in _PARTS.items()})


def strip_marks(text: str) -> str:
    """The text without vowel marks, tones and the bar of đ: `Đường` gives `Duong`.

    For searching and for scoring only; labels keep their marks.

    Args:
        text: NFC.
    """
    return text.translate(_BARE)
