"""Which character of the answer stands for which character of the truth."""

from __future__ import annotations

from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

from nhan.tasks.text.alphabet import decompose


class Edit(NamedTuple):
    """One difference; an empty string is a gap (inserted or missing character)."""

    truth: str
    answer: str


def edits(truth: str, answer: str) -> list[Edit]:
    """The differences of a shortest alignment.

    Where several alignments are equally short, one that pairs letters of the same base wins:
    `ban` read as `bán` is a wrong tone, whatever stands beside it.

    Args:
        truth: NFC.
        answer: NFC.

    Returns:
        As many edits as the Levenshtein distance, in reading order.
    """
    if truth == answer:
        return []
    start = _common_prefix(truth, answer)
    end = _common_prefix(truth[start:][::-1], answer[start:][::-1])
    left, right = truth[start : len(truth) - end], answer[start : len(answer) - end]
    if not left or not right:
        return [Edit(char, "") for char in left] or [Edit("", char) for char in right]
    if len(left) * len(right) > _MAX_CELLS:
        return _any_shortest(left, right)
    return _likest_shortest(left, right)


# Beyond this many cells the table in Python takes longer than a second; any shortest alignment
# is good enough for a text that differs over a thousand characters.
_MAX_CELLS = 1_000_000


def _common_prefix(left: str, right: str) -> int:
    for index, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return index
    return min(len(left), len(right))


def _any_shortest(truth: str, answer: str) -> list[Edit]:
    return [
        Edit(
            truth[op.src_pos] if op.tag != "insert" else "",
            answer[op.dest_pos] if op.tag != "delete" else "",
        )
        for op in Levenshtein.editops(truth, answer)
    ]


def _likest_shortest(truth: str, answer: str) -> list[Edit]:
    """Wagner and Fischer's table with a tie-break: unlike pairs and gaps cost a little more."""
    # The surcharges of a whole path stay below the price of one edit, so the path is shortest.
    edit = 2 * (len(truth) + len(answer)) + 1
    gap = edit + 1
    true_bases = [decompose(char).base for char in truth]
    read_bases = [decompose(char).base for char in answer]
    table = [[column * gap for column in range(len(answer) + 1)]]
    for i, (char, base) in enumerate(zip(truth, true_bases, strict=True)):
        above, row = table[-1], [(i + 1) * gap]
        for j, other in enumerate(answer):
            price = 0 if char == other else edit + (base != read_bases[j])
            row.append(min(above[j] + price, above[j + 1] + gap, row[j] + gap))
        table.append(row)
    return _walk_back(table, truth, answer, gap)


def _walk_back(table: list[list[int]], truth: str, answer: str, gap: int) -> list[Edit]:
    found = []
    i, j = len(truth), len(answer)
    while i or j:
        if i and table[i][j] == table[i - 1][j] + gap:
            i -= 1
            found.append(Edit(truth[i], ""))
        elif j and table[i][j] == table[i][j - 1] + gap:
            j -= 1
            found.append(Edit("", answer[j]))
        else:
            i, j = i - 1, j - 1
            if truth[i] != answer[j]:
                found.append(Edit(truth[i], answer[j]))
    return found[::-1]
