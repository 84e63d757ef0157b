"""Which letter sequences are Vietnamese syllables: an onset, a rime and a tone that fit.

A word with Vietnamese marks that is no syllable (`nghưỉ`) is almost surely a misread one. Words
without marks may be names, codes or other languages, so nothing follows from them.
"""

from __future__ import annotations

import re
from functools import cache

from nhan.tasks.text.alphabet import TONES, Letter, compose, decompose

_ONSETS = "b c ch d đ g gh gi h k kh l m n ng ngh nh p ph qu r s t th tr v x"

# Written rimes without tones, by their first letter.
_RIMES = (
    "a ac ach ai am an ang anh ao ap at au ay ăc ăm ăn ăng ăp ăt âc âm ân âng âp ât âu ây "
    "e ec em en eng eo ep et ê êch êm ên ênh êp êt êu "
    "i ia ich iêc iêm iên iêng iêp iêt iêu im in inh ip it iu "
    "o oa oac oach oai oam oan oang oanh oao oap oat oay oăc oăm oăn oăng oăt oe oem oen oeo oet "
    "oc oi om on ong ooc oong op ot ô ôc ôi ôm ôn ông ôp ôt ơ ơi ơm ơn ơp ơt "
    "u ua uân uâng uât uây uc uê uêch uênh ui um un ung uơ uôc uôi uôm uôn uông uôt up ut "
    "uy uya uych uyên uyêt uynh uyt uyu uyn uyp "
    "ư ưa ưc ưi ưm ưn ưng ưt ưu ươc ươi ươm ươn ương ươp ươt ươu "
    "y yêm yên yêng yêt yêu "
    "ăk"  # of place names: Đắk Lắk
)

# What follows `qu`, which already writes the glide (quan, not quoan).
_AFTER_QU = (
    "a ac ach ai am an ang anh ao at au ay ăc ăm ăn ăng ăp ăt âc âm ân âng ât ây e en eo et "
    "ê êch ên ênh êt êu i ich in inh it ôc ơ ơi ơn y ych yên yêt ynh yt"
)

# `gì` and its kin are written with one i.
_AFTER_G = ["i", "im", "in", "ip", "ich", "iêc", "iêng"]

_FRONT = "iêey"


def is_syllable(word: str) -> bool:
    """Whether a word, in any case, is a possible Vietnamese syllable.

    Args:
        word: NFC letters without spaces or punctuation.
    """
    return word.lower() in _syllables()


def misspelled(text: str) -> list[str]:
    """The words with Vietnamese marks that are no syllables, in order of appearance.

    Abbreviations (HĐND) are passed over.
    """
    return [
        word
        for word in _WORD.findall(text)
        if has_marks(word) and not is_syllable(word) and not _is_abbreviation(word)
    ]


def has_marks(word: str) -> bool:
    """Whether a vowel mark, a tone or đ is written in the word."""
    return any(decompose(char).base != char for char in word)


def _is_abbreviation(word: str) -> bool:
    return word.isupper() and not any(decompose(char).base in "AEIOUY" for char in word)


_WORD = re.compile(r"[^\W\d_]+")


@cache
def _syllables() -> frozenset[str]:
    return frozenset(
        onset + toned
        for onset in ["", *_ONSETS.split()]
        for rime in _rimes(onset)
        for toned in _toned(rime)
    )


def _rimes(onset: str) -> list[str]:
    if onset == "qu":
        return _AFTER_QU.split()
    front = [rime for rime in _RIMES.split() if rime[0] in _FRONT]
    back = [rime for rime in _RIMES.split() if rime[0] not in _FRONT]
    if onset == "":
        return front + back
    if onset in {"c", "ng"}:
        return back
    if onset == "g":
        return back + _AFTER_G
    if onset == "gi":
        return back + [rime for rime in front if rime[0] in "eê"]
    # After a consonant y stands alone (`kỹ`); yê is written iê.
    after_consonant = [rime for rime in front if rime == "y" or rime[0] != "y"]
    return after_consonant if onset in {"k", "gh", "ngh"} else back + after_consonant


def _toned(rime: str) -> list[str]:
    # A syllable that ends in a stop has one of two tones.
    stopped = rime.endswith(("c", "k", "p", "t", "ch"))
    tones = ["acute", "dot"] if stopped else list(TONES)
    return [_write(rime, place, tone) for tone in tones for place in _places(rime)]


def _places(rime: str) -> list[int]:
    """Where the tone is written: on the marked vowel; else by both habits of oa, oe, uy."""
    vowels = [index for index, char in enumerate(rime) if decompose(char).base in "aeiouy"]
    marked = [index for index in vowels if decompose(rime[index]).mark]
    if marked:
        return [marked[-1]]
    if len(vowels) == 1:
        return vowels
    if len(vowels) == 3 or vowels[-1] < len(rime) - 1:
        return [vowels[1]]
    return [0, 1] if rime in {"oa", "oe", "uy"} else [0]


def _write(rime: str, place: int, tone: str) -> str:
    letter = decompose(rime[place])
    return rime[:place] + compose(Letter(letter.base, letter.mark, tone)) + rime[place + 1 :]
