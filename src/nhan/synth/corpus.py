"""The Vietnamese texts that come with the package.

Sources and licences: `data/NOTICE.md`; made by `recipes/corpus.py`.
"""

from __future__ import annotations

import lzma
import unicodedata
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from nhan.synth.dice import Dice

_DATA = files("nhan.synth") / "data"


@cache
def sentences() -> tuple[str, ...]:
    """Single sentences and short strings, 8 to 400 characters, NFC."""
    rows = lzma.decompress((_DATA / "sentences.txt.xz").read_bytes()).decode("utf-8").split("\n")
    return tuple(rows) + phrases() * 12


@cache
def phrases() -> tuple[str, ...]:
    """Verses, proverbs and everyday sentences that software never says."""
    text = (_DATA / "phrases.txt").read_text("utf-8")
    return tuple(unicodedata.normalize("NFC", row) for row in text.splitlines() if row)


@cache
def syllables() -> tuple[str, ...]:
    """The written syllables of Vietnamese, about 6,600, as the spelling dictionary lists them."""
    return tuple(
        lzma.decompress((_DATA / "syllables.txt.xz").read_bytes()).decode("utf-8").split("\n")
    )


@cache
def syllables_with() -> Mapping[str, tuple[str, ...]]:
    """For each lower-case character, the syllables that hold it."""
    table: dict[str, list[str]] = {}
    for syllable in syllables():
        for char in dict.fromkeys(syllable.lower()):
            table.setdefault(char, []).append(syllable.lower())
    return {char: tuple(found) for char, found in table.items()}


@cache
def names() -> Mapping[str, tuple[str, ...]]:
    """Lists by section: province, district, surname, goods, … ."""
    table: dict[str, tuple[str, ...]] = {}
    section = ""
    for row in unicodedata.normalize("NFC", (_DATA / "names.txt").read_text("utf-8")).splitlines():
        if row.startswith("["):
            section = row.strip("[]")
        elif row and not row.startswith("#"):
            table[section] = tuple(item for item in row.split(", ") if item)
    return table


def passage(dice: Dice, length: int) -> str:
    """A run of words of about `length` characters, from anywhere in a sentence."""
    text = dice.pick(sentences())
    while len(text) < length * 0.8 and dice.chance(0.8):
        text += " " + dice.pick(sentences())
    if len(text) <= length:
        return text
    words = text.split(" ")
    start = dice.randrange(len(words)) if dice.chance(0.7) else 0
    taken: list[str] = []
    room = length
    for word in words[start:]:
        room -= len(word) + 1
        if room < 0 and taken:
            break
        taken.append(word)
    return " ".join(taken)
