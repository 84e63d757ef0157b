"""One line of text for a picture: running language, fields, and letters made rare no more.

Each maker takes the dice and returns one line. `TEXTS` maps the names that recipes use to makers;
`text_of` draws one and finishes it (case, spelling, length, characters of the charset).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping

from nhan.synth import corpus
from nhan.synth.dice import Dice
from nhan.synth.fields import address, field, heading, locality, name, receipt, sign
from nhan.synth.numbers import code, digits, number, of, unmarked
from nhan.tasks.text.alphabet import ACCENTED
from nhan.tasks.text.charset import DEFAULT_CHARSET

_CHARSET = frozenset(DEFAULT_CHARSET)
# fmt: off
_INITIALS = ("b", "c", "ch", "d", "đ", "g", "gh", "gi", "h", "k", "kh", "l", "m", "n", "ng", "nh",
             "p", "ph", "qu", "r", "s", "t", "th", "tr", "v", "x")
# fmt: on


def sentence(dice: Dice) -> str:
    """Running text, cut anywhere, as lines of a page are."""
    text = corpus.passage(dice, dice.pick((20, 30, 40, 50, 60, 70, 80)))
    if dice.chance(0.1):
        pair = dice.pick(("“”", '""', "()", "‘’", "[]", "''", "“”", "()"))
        words = text.split(" ")
        start = dice.randrange(len(words))
        end = min(len(words) - 1, start + dice.randint(0, 4))
        words[start] = pair[0] + words[start]
        words[end] += pair[1]
        text = " ".join(words)
    if dice.chance(0.06):
        text += dice.pick((";", ":", "…", "...", " –", "!", "?", ",", " -", "-"))
    return text


def phrase(dice: Dice) -> str:
    """A few words of running text."""
    return corpus.passage(dice, dice.randint(4, 24))


def syllables(dice: Dice) -> str:
    """Random legal syllables, so that letters must be read and not guessed."""
    count = dice.randint(1, 9)
    return " ".join(_cased(dice, dice.pick(corpus.syllables())) for _ in range(count))


def _cased(dice: Dice, word: str) -> str:
    point = dice.random()
    return word if point < 0.6 else word.capitalize() if point < 0.85 else word.upper()


def rare(dice: Dice) -> str:
    """Syllables drawn by letter, each of the 134 accented letters equally often in both cases."""
    words = []
    for _ in range(dice.randint(1, 6)):
        letter = dice.pick(ACCENTED)
        lower = letter.lower()
        found = corpus.syllables_with().get(lower, ())
        if found and dice.chance(0.8):
            word = dice.pick(found)
        else:
            final = dice.pick(("", "", "n", "m", "ng", "i", "u", "t"))
            word = dice.pick(_INITIALS) + lower + final
        if letter.isupper():
            initial = word.startswith(lower)
            word = word.capitalize() if initial and dice.chance(0.5) else word.upper()
        words.append(word)
    return " ".join(words)


def english(dice: Dice) -> str:
    """Vietnamese with English words in it, or English alone."""
    words = corpus.passage(dice, dice.randint(6, 40)).split(" ") if dice.chance(0.6) else []
    for _ in range(dice.randint(1, 5)):
        word = of(dice, "english")
        word = dice.pick((word, word.title(), word.upper()))
        words.insert(dice.randint(0, len(words)), word)
    return " ".join(words)


def plain(dice: Dice) -> str:
    """Vietnamese written without its marks, as old printers and messages do."""
    return unmarked(dice.pick((receipt, address, name, phrase, field, sign))(dice))


TEXTS: Mapping[str, Callable[[Dice], str]] = {
    "sentence": sentence,
    "phrase": phrase,
    "syllables": syllables,
    "rare": rare,
    "address": address,
    "locality": locality,
    "name": name,
    "field": field,
    "receipt": receipt,
    "number": number,
    "sign": sign,
    "heading": heading,
    "english": english,
    "code": code,
    "unmarked": plain,
}

# What each look usually shows; recipes multiply these.
_HABITS = """
            print  scan  photo  receipt  card  scene  handwriting  short
sentence       40    45     48        0     0      0           15      0
phrase         10     8      8        0     0     10           10     16
syllables       6     4      4        0     0      0            5     10
rare            8     7      7        5     7      7            6     10
address         4     4      4        7    18      6           12      0
locality        1     1      1        1     3      0           26      2
name            3     4      3        3    14      3           12     12
field           6    10      8        0    40      0            7     10
receipt         2     0      3       62     0      0            0      0
number          4     5      4        8     6      6            6     24
sign            1     0      2        0     0     55            0      6
heading         3     6      5        0    12      6            1      0
english         5     3      3        5     0      8            0      5
code            3     3      2        4     3      0            1      8
unmarked        2     1      2        8     0      0            1      0
"""


def _habits() -> Mapping[str, Mapping[str, float]]:
    looks, *rows = (row.split() for row in _HABITS.strip().splitlines())
    return {
        look: {row[0]: float(row[column]) for row in rows}
        for column, look in enumerate(looks, start=1)
    }


HABITS = _habits()
_SHORT_CHARS = 16

# Where a tone stands in open syllables: on the first vowel (hòa, thúy) or the second (hoà, thuý).
_TONES = "\u0300\u0301\u0309\u0303\u0323"
_FIRST = re.compile(rf"(o)([{_TONES}])([ae])(?!\w)|(?<!q)(u)([{_TONES}])(y)(?!\w)", re.IGNORECASE)
_SECOND = re.compile(rf"(o)([ae])([{_TONES}])(?!\w)|(?<!q)(u)(y)([{_TONES}])(?!\w)", re.IGNORECASE)


def recase(dice: Dice, text: str) -> str:
    """Now and then all capitals or title case."""
    point = dice.random()
    if point < 0.07:
        return text.upper()
    if point < 0.11:
        return re.sub(r"\S+", lambda m: m[0][:1].upper() + m[0][1:], text)
    return text


def respelled(dice: Dice, text: str) -> str:
    """Now and then with the tones of hòa, khỏe, thúy where the other school puts them."""
    if not dice.chance(0.15):
        return text
    pattern = _FIRST if dice.chance(0.5) else _SECOND

    def swap(found: re.Match[str]) -> str:
        vowel, one, two = (part for part in found.groups() if part)
        return vowel + two + one

    return unicodedata.normalize("NFC", pattern.sub(swap, unicodedata.normalize("NFD", text)))


def shorten(dice: Dice, text: str, length: int) -> str:
    """Cut at a space to at most `length` characters; a single long word is cut inside."""
    if len(text) <= length:
        return text
    words = text.split(" ")
    start = dice.randrange(len(words)) if dice.chance(0.5) else 0
    kept = words[start]
    for word in words[start + 1 :]:
        if len(kept) + 1 + len(word) > length:
            break
        kept += " " + word
    return kept[:length].strip()


def text_of(dice: Dice, kind: str, weights: Mapping[str, float], max_chars: int) -> str:
    """One line of text for a look.

    Args:
        dice: of the line.
        kind: the look, a key of `HABITS`.
        weights: factors on the habit's shares by name of text; missing names count 1.
        max_chars: longest text.

    Returns:
        NFC text of charset characters, single spaces inside, none at the ends, never empty.
    """
    shares = {t: share * weights.get(t, 1.0) for t, share in HABITS[kind].items()}
    if not sum(shares.values()) > 0:
        shares = dict(weights)
    limit = min(max_chars, dice.randint(1, _SHORT_CHARS)) if kind == "short" else max_chars
    for _ in range(8):
        text = respelled(dice, recase(dice, TEXTS[dice.weighted(shares)](dice)))
        text = unicodedata.normalize("NFC", "".join(c for c in text if c in _CHARSET))
        text = shorten(dice, " ".join(text.split()), limit)
        if text:
            return text
    return digits(dice, min(4, limit))
