"""Which character of the answer stands for which character of the truth."""

from __future__ import annotations

from collections.abc import Iterator
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
    found: list[Edit] = []
    for left, right in _differing_stretches(truth, answer):
        if not left or not right:
            found += [Edit(char, "") for char in left] or [Edit("", char) for char in right]
        elif len(left) * len(right) > _MAX_CELLS:
            found += _any_shortest(left, right)
        else:
            found += _likest_shortest(left, right)
    return found


# So many equal characters in a row are no chance: what stands before and after them is aligned
# apart, which keeps the tables small. The whole stays a shortest alignment.
_ANCHOR = 4

# Beyond this many cells the table in Python takes longer than a second; any shortest alignment
# is good enough for a text that differs over a thousand characters.
_MAX_CELLS = 1_000_000


def _differing_stretches(truth: str, answer: str) -> Iterator[tuple[str, str]]:
    i = j = 0
    for op in Levenshtein.opcodes(truth, answer):
        at_end = op.src_end == len(truth) and op.dest_end == len(answer)
        at_start = op.src_start == 0 and op.dest_start == 0
        if op.tag != "equal":
            continue
        if op.src_end - op.src_start >= _ANCHOR or at_start or at_end:
            yield truth[i : op.src_start], answer[j : op.dest_start]
            i, j = op.src_end, op.dest_end
    yield truth[i:], answer[j:]


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
