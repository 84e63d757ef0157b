"""The confusion matrix as a picture: every answer, right ones too.

An SVG like those of `charts`, with no script and every name escaped, but as wide as its classes
ask for; the page lets a phone scroll it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from nhan.evaluation.words import both

# Characters of a name beside the grid; the cells' titles have it whole.
_LONGEST_NAME = 20
# Names up to this long stand upright above their columns; longer ones lean.
_UPRIGHT = 3
# Room for "answer →" and "nhãn đúng ↓" beside the first column.
_AXIS_WORDS_PX = 92


def answer_grid(names: Sequence[str], counts: Mapping[tuple[str, str], int]) -> Markup:
    """Every truth (rows) against every answer (columns), right answers on the diagonal.

    A cell is the darker, the larger its share of its row, so that a class of few samples shows as
    clearly as one of many. At the right end of a row stands its recall, below a column its
    precision.

    Args:
        names: in the order of rows and columns; answers that are not among them are left out.
        counts: by truth and answer.
    """
    side = 46 if len(names) <= 8 else 38 if len(names) <= 16 else 30
    longest = max((len(_cut(name)) for name in names), default=1)
    left = max(_AXIS_WORDS_PX, 24 + int(7.2 * longest))
    top = 44 + (int(5.0 * longest) if longest > _UPRIGHT else 0)
    width, height = left + side * len(names) + 62, top + side * len(names) + 30
    rows = {name: sum(n for (truth, _), n in counts.items() if truth == name) for name in names}
    columns = {name: sum(n for (_, said), n in counts.items() if said == name) for name in names}
    parts = [_grid_axes(left, top)]
    for row, truth in enumerate(names):
        y = top + row * side
        parts.append(_text("tick", left - 8, y + side / 2 + 4, _cut(truth), anchor="end"))
        for column, answer in enumerate(names):
            count = counts.get((truth, answer), 0)
            parts.append(_grid_cell(left + column * side, y, side, truth, answer, count, rows))
        share = _share(counts.get((truth, truth), 0), rows[truth])
        parts.append(_text("share", left + side * len(names) + 8, y + side / 2 + 4, share))
    for column, answer in enumerate(names):
        x = left + (column + 0.5) * side
        if longest > _UPRIGHT:
            parts.append(
                Markup(
                    '<text class="tick" transform="translate({:.1f} {}) rotate(-45)">{}</text>'
                ).format(x, top - 8, _cut(answer))
            )
        else:
            parts.append(_text("tick", x, top - 8, _cut(answer), anchor="middle"))
        share = _share(counts.get((answer, answer), 0), columns[answer])
        parts.append(_text("share", x, height - 12, share, anchor="middle"))
    return Markup(
        '<svg class="answers" viewBox="0 0 {w} {h}" style="width:{w}px;max-width:none" '
        'role="img" aria-label="confusion">{}</svg>'
    ).format(Markup("").join(parts), w=width, h=height)


def _grid_axes(left: int, top: int) -> Markup:
    """What runs down and what runs across, and what the figures at the ends of both are."""
    words = (("axis", left - 8, top - 8, "truth", "↓"), ("axis", left - 8, top - 24, "answer", "→"))
    return Markup("").join(
        Markup('<text class="{}" x="{}" y="{}" text-anchor="end">{} {}</text>').format(
            kind, x, y, both(word, tag="tspan"), arrow
        )
        for kind, x, y, word, arrow in words
    )


def _grid_cell(
    x: float, y: float, side: int, truth: str, answer: str, count: int, rows: Mapping[str, int]
) -> Markup:
    share = count / rows[truth] if count else 0.0
    # The root lifts rare confusions out of the paper's colour.
    shade = 0.12 + 0.88 * math.sqrt(share) if count else 0.0
    cell = Markup(
        '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{s}" height="{s}" rx="3" '
        'style="--shade:{:.2f}"><title>{} → {}: {}</title></rect>'
    ).format(
        ("hit" if truth == answer else "cell") if count else "none",
        x + 1,
        y + 1,
        shade,
        truth,
        answer or "∅",
        count,
        s=side - 2,
    )
    if not count:
        return cell
    kind = "count on" if shade > 0.55 else "count"
    return cell + _text(kind, x + side / 2, y + side / 2 + 4, str(count), anchor="middle")


def _text(kind: str, x: float, y: float, text: str, *, anchor: str = "start") -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        kind, x, y, anchor, text
    )


def _share(part: int, whole: int) -> str:
    """Whole per cent, so that both languages read it; never 100 unless all are."""
    if not whole:
        return "–"
    percent = 100 if part == whole else min(99, round(100 * part / whole))
    return f"{percent} %"


def _cut(name: str) -> str:
    shown = name or "∅"
    return shown if len(shown) <= _LONGEST_NAME else shown[: _LONGEST_NAME - 1] + "…"
