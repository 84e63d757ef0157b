"""The two scores of the reading systems that came before, so that old reports can be compared.

Both are lenient or blunt; `nhan.tasks.text.metrics` holds the ones to decide by.
"""

from __future__ import annotations

from collections.abc import Sequence

from rapidfuzz.distance import LCSseq

from nhan.tasks.text.metrics import exact


def accuracy_by_char(truths: Sequence[str], answers: Sequence[str]) -> float:
    """The mean over lines of 2PR / (P + R), with P and R over matching blocks.

    P = M / len(answer), R = M / len(truth), so a line scores 2M / (len(truth) + len(answer)), where
    M is the greatest total size of matching blocks in the same order in both texts (the length of
    their longest common subsequence).

    The old score looked for the blocks greedily with Python's `difflib`: M depended on which text
    came first, and one wrong digit of 264 scored 0.75 or, the other way round, 0.15 by its junk
    rule, and 0.54 without it. On ordinary lines the two agree; where they do not, this one is
    higher.

    Returns:
        0..1, 1 is perfect; the same with truths and answers exchanged. Two empty texts score 1,
        one empty text scores 0; no lines at all score 0.
    """
    scores = [_blocks_score(truth, answer) for truth, answer in zip(truths, answers, strict=True)]
    return sum(scores) / max(len(scores), 1)


def _blocks_score(truth: str, answer: str) -> float:
    if truth == answer:
        return 1.0
    return 2 * int(LCSseq.similarity(truth, answer)) / (len(truth) + len(answer))


def accuracy_by_field(truths: Sequence[str], answers: Sequence[str]) -> float:
    """The share of lines (fields) read without a single error, 0..1; 0 for no lines at all."""
    return exact(truths, answers)
