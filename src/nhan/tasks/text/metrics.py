"""How wrong the answers are.

Every function takes two sequences of the same length, truths and answers, NFC, and gives a rate
over the whole set: the sum of errors over the sum of lengths (corpus level), so a long line weighs
more than a short one and one bad short line cannot swing the figure. 0 is perfect; a rate may
exceed 1 where answers are longer than truths.

Edge cases are the same everywhere: an empty truth adds nothing to the length and every character
read there is an error; with nothing to read at all, a rate is the number of errors (0 when nothing
was read either), so it stays finite. Sequences of different length are a programming error
(`ValueError`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from nhan.tasks.base import Confusion
from nhan.tasks.text.alignment import Edit, edits
from nhan.tasks.text.alphabet import decompose, strip_marks
from nhan.tasks.text.normalise import fold_tone_placement


def character_errors(truth: str, answer: str) -> tuple[int, int]:
    """One line's share of the CER: (Levenshtein distance, length of the truth), in code points."""
    return int(Levenshtein.distance(truth, answer)), len(truth)


def word_errors(truth: str, answer: str) -> tuple[int, int]:
    """One line's share of the WER: (Levenshtein distance over words, words of the truth).

    Words are what white space separates; punctuation belongs to its word.
    """
    true_words = truth.split()
    return int(Levenshtein.distance(true_words, answer.split())), len(true_words)


def _rate(
    truths: Sequence[str], answers: Sequence[str], share: Callable[[str, str], tuple[int, int]]
) -> float:
    errors = weight = 0
    for truth, answer in zip(truths, answers, strict=True):
        line_errors, line_weight = share(truth, answer)
        errors += line_errors
        weight += line_weight
    return errors / max(weight, 1)


def cer(truths: Sequence[str], answers: Sequence[str]) -> float:
    """Character error rate: sum of edit distances / sum of truth lengths.

    Spaces and punctuation count; `hoà` for `hòa` is two errors of three.
    """
    return _rate(truths, answers, character_errors)


def wer(truths: Sequence[str], answers: Sequence[str]) -> float:
    """Word error rate: sum of word edit distances / sum of words in the truths."""
    return _rate(truths, answers, word_errors)


def exact(truths: Sequence[str], answers: Sequence[str]) -> float:
    """The share of lines read without a single error, 0..1; 0 for no lines at all."""
    pairs = list(zip(truths, answers, strict=True))
    return sum(truth == answer for truth, answer in pairs) / max(len(pairs), 1)


def cer_ignoring_case(truths: Sequence[str], answers: Sequence[str]) -> float:
    """CER after `str.lower` on both sides."""
    return _rate(truths, answers, lambda t, a: character_errors(t.lower(), a.lower()))


def cer_ignoring_marks(truths: Sequence[str], answers: Sequence[str]) -> float:
    """CER after vowel marks, tones and the bar of đ are taken off both sides."""
    return _rate(truths, answers, lambda t, a: character_errors(strip_marks(t), strip_marks(a)))


def cer_ignoring_tone_placement(truths: Sequence[str], answers: Sequence[str]) -> float:
    """CER with `hòa` and `hoà` taken for the same.

    A line's errors are the fewer of those with and without folding both sides, because folding one
    misread syllable and not the other would add an error.
    """

    def share(truth: str, answer: str) -> tuple[int, int]:
        errors, length = character_errors(truth, answer)
        folded, _ = character_errors(fold_tone_placement(truth), fold_tone_placement(answer))
        return min(errors, folded), length

    return _rate(truths, answers, share)


@dataclass(frozen=True)
class ErrorSplit:
    """The CER in three parts that add up to it.

    Attributes:
        letter: errors / length for gaps and wrong base letters (a wrong case is one).
        mark: the base is right, the vowel mark (or the bar of đ) wrong, the tone either way.
        tone: base and mark are right, the tone alone is wrong.
    """

    letter: float
    mark: float
    tone: float


def split_cer(truths: Sequence[str], answers: Sequence[str]) -> ErrorSplit:
    """Split the CER by which part of the letter is wrong.

    letter + mark + tone = CER. Each edit of a shortest alignment counts once, as the first of the
    three that differs; ties between alignments go to pairs of the same base letter.
    """
    counts = Counter(_part(edit) for edit in _all_edits(truths, answers))
    length = max(sum(map(len, truths)), 1)
    return ErrorSplit(counts["letter"] / length, counts["mark"] / length, counts["tone"] / length)


def _all_edits(truths: Sequence[str], answers: Sequence[str]) -> list[Edit]:
    pairs = zip(truths, answers, strict=True)
    return [edit for truth, answer in pairs for edit in edits(truth, answer)]


def _part(edit: Edit) -> str:
    true, read = decompose(edit.truth), decompose(edit.answer)
    if true.base != read.base:
        return "letter"
    return "mark" if true.mark != read.mark else "tone"


def confusions(truths: Sequence[str], answers: Sequence[str]) -> dict[str, list[Confusion]]:
    """What was taken for what, most frequent first.

    Returns:
        `characters`: every edit, gaps as empty strings; `letters`: base letters only; `marks` and
        `tones`: by name (`circumflex`, `dot`; `none` for no mark), where the base letter is right.
        A letter with both its mark and its tone wrong is in both of the last two.
    """
    tables: dict[str, Counter[tuple[str, str]]] = {
        kind: Counter() for kind in ("characters", "letters", "marks", "tones")
    }
    for edit in _all_edits(truths, answers):
        true, read = decompose(edit.truth), decompose(edit.answer)
        tables["characters"][edit] += 1
        if true.base != read.base:
            tables["letters"][true.base, read.base] += 1
            continue
        if true.mark != read.mark:
            tables["marks"][true.mark or "none", read.mark or "none"] += 1
        if true.tone != read.tone:
            tables["tones"][true.tone, read.tone] += 1
    return {kind: _ordered(table) for kind, table in tables.items()}


def _ordered(table: Counter[tuple[str, str]]) -> list[Confusion]:
    ordered = sorted(table.items(), key=lambda item: (-item[1], item[0]))
    return [Confusion(truth, answer, count) for (truth, answer), count in ordered]
