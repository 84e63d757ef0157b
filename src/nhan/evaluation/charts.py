"""Small SVG charts for the report: no script, no outside request, colours from the page's style.

Every chart is drawn for about 400 px, so a phone shows it one to one and a wide page sets several
side by side. Text goes through `Markup.format`, which escapes it. Numbers on the axes are whole
where they can be, because the page is read in two languages with two decimal marks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from nhan.evaluation.record import ConfusionCount
from nhan.evaluation.reliability import Bin
from nhan.evaluation.words import both

_WIDTH, _HEIGHT = 400, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 14, 40

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """One curve: its name and its points, x ascending."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class _Frame:
    """Maps data to pixels within the axes."""

    x_max: float
    y_max: float
    height: int = _HEIGHT

    def x(self, value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * value / (self.x_max or 1)

    def y(self, value: float) -> float:
        return self.bottom - (self.bottom - _TOP) * min(value / (self.y_max or 1), 1.0)

    @property
    def bottom(self) -> float:
        return self.height - _BOTTOM


def learning_curve(lines: Sequence[Line], *, percent: bool) -> Markup:
    """Curves over samples seen, from zero; the lowest point of the first line is marked.

    Args:
        lines: at most four are told apart.
        percent: the values are rates, shown as per cent.
    """
    values = [y for line in lines for _, y in line.points]
    # A first value far above the rest (an untrained network) would flatten all that follows.
    top = _nice(min(max(values), 4 * float(np.median(values)) or max(values)))
    frame = _Frame(_nice(max(x for line in lines for x, _ in line.points)), top)
    parts = [_y_axis(frame, percent=percent), _x_axis(frame, _thousands)]
    for number, line in enumerate(lines[:4]):
        path = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in line.points)
        parts.append(Markup('<polyline class="line s{}" points="{}"/>').format(number, path))
        # Names stand at the right above one another; a legend below would move on a phone.
        parts.append(
            Markup('<text class="name s{}" x="{}" y="{}" text-anchor="end">{}</text>').format(
                number, _WIDTH - _RIGHT, _TOP + 12 + 15 * number, line.name
            )
        )
    best_x, best_y = min(lines[0].points, key=lambda point: point[1])
    parts.append(
        Markup('<circle class="best" cx="{:.1f}" cy="{:.1f}" r="4.5"/>').format(
            frame.x(best_x), frame.y(best_y)
        )
    )
    return _svg(parts, frame.height, ", ".join(line.name for line in lines))


def reliability_diagram(bins: Sequence[Bin]) -> Markup:
    """Share right against confidence; on the diagonal confidence means what it says."""
    frame = _Frame(1.0, 1.0, height=320)
    parts = [
        _y_axis(frame, percent=True),
        _x_axis(frame, _percent),
        Markup('<path class="ideal" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>').format(
            frame.x(0), frame.y(0), frame.x(1), frame.y(1)
        ),
    ]
    most = max((b.count for b in bins), default=0) or 1
    for b in bins:
        if not b.count:
            continue
        x, y = frame.x(b.confidence), frame.y(b.right)
        parts.append(
            Markup(
                '<path class="gap" d="M{x:.1f} {y:.1f}V{ideal:.1f}"/>'
                '<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}">'
                "<title>{low:.0f}-{high:.0f} %: {right:.0f} % / {count}</title></circle>"
            ).format(
                x=x,
                y=y,
                ideal=frame.y(b.confidence),
                r=4 + 9 * math.sqrt(b.count / most),
                low=b.low * 100,
                high=b.high * 100,
                right=b.right * 100,
                count=b.count,
            )
        )
    return _svg(parts, frame.height, "reliability")


def confidence_histogram(confidences: Sequence[float], right: Sequence[bool]) -> Markup:
    """How many answers had which confidence, right ones below, wrong ones on top."""
    edges = np.linspace(0, 1, 21)
    c, r = np.clip(confidences, 0, 1), np.asarray(right, bool)
    good, _ = np.histogram(c[r], edges)
    bad, _ = np.histogram(c[~r], edges)
    top = _nice(max(4.0, float((good + bad).max(initial=0))))
    frame = _Frame(1.0, top + top % 4, height=320)  # four whole steps
    parts = [_y_axis(frame, percent=False), _x_axis(frame, _percent)]
    for low, ok, wrong in zip(edges[:-1], good, bad, strict=True):
        x, width = frame.x(float(low)) + 1, (_WIDTH - _LEFT - _RIGHT) / 20 - 2
        ok_top, top = frame.y(float(ok)), frame.y(float(ok + wrong))
        for kind, y, height in (("ok", ok_top, frame.bottom - ok_top), ("bad", top, ok_top - top)):
            if height > 0:
                parts.append(
                    Markup(
                        '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
                    ).format(kind, x, y, width, height)
                )
    return _svg(parts, frame.height, "confidence")


def error_by_length(lengths: Sequence[float], rates: Sequence[float]) -> Markup:
    """Every sample's error rate against its length, and the mean of each stretch of lengths."""
    frame = _Frame(_nice(max(lengths)), 1.0)
    parts = [_y_axis(frame, percent=True), _x_axis(frame, lambda value: f"{value:.0f}")]
    # More dots than this are a blot, and the file need not hold them.
    step = max(1, len(lengths) // 1500)
    jitter = np.random.default_rng(0).uniform(-0.35, 0.35, len(lengths))
    dots = "".join(
        f"M{frame.x(length + shift):.1f} {frame.y(rate):.1f}h0"
        for length, rate, shift in zip(
            lengths[::step], rates[::step], jitter[::step].tolist(), strict=True
        )
    )
    parts.append(Markup('<path class="cloud" d="{}"/>').format(dots))
    trend = [(frame.x(x), frame.y(y)) for x, y in _means(lengths, rates)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in trend)
    parts.append(Markup('<polyline class="line s0" points="{}"/>').format(path))
    return _svg(parts, frame.height, "error by length")


def confusion_matrix(counts: Sequence[ConfusionCount]) -> Markup:
    """Truth (rows) against answer (columns), for a handful of names; darker is more often."""
    names = sorted({c.truth for c in counts} | {c.answer for c in counts})
    table = {(c.truth, c.answer): c.count for c in counts}
    most = max(table.values())
    left, top = 92, 70
    cell = (_WIDTH - left - 4) / len(names)
    parts = []
    for row, truth in enumerate(names):
        y = top + row * min(cell, 40)
        middle = y + min(cell, 40) / 2
        parts.append(
            Markup('<text class="tick" x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(
                left - 8, middle + 4, _name(truth)
            )
        )
        for column, answer in enumerate(names):
            count = table.get((truth, answer), 0)
            shade = 0.12 + 0.88 * math.sqrt(count / most) if count else 0
            x = left + column * cell
            parts.append(
                Markup(
                    '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" '
                    'rx="3" style="--shade:{:.2f}"/>'
                ).format(
                    "self" if truth == answer else "cell",
                    x + 1,
                    y + 1,
                    cell - 2,
                    min(cell, 40) - 2,
                    shade,
                )
            )
            if count:
                parts.append(
                    Markup(
                        '<text class="count{}" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>'
                    ).format(" on" if shade > 0.55 else "", x + cell / 2, middle + 4, count)
                )
    for column, answer in enumerate(names):
        x = left + (column + 0.5) * cell
        parts.append(
            Markup(
                '<text class="tick" transform="translate({:.1f} {}) rotate(-38)">{}</text>'
            ).format(x - 4, top - 7, _name(answer))
        )
    return _svg(parts, int(top + len(names) * min(cell, 40)) + 4, "confusion")


def _name(name: str) -> Markup:
    return both(name, tag="tspan") if name else Markup("∅")


def _means(lengths: Sequence[float], rates: Sequence[float]) -> list[Point]:
    """Weighted means over up to ten stretches that hold equally many samples."""
    order = np.argsort(lengths, kind="stable")
    x, y = np.asarray(lengths, np.float64)[order], np.asarray(rates, np.float64)[order]
    groups = max(1, min(10, len(x) // 15))
    return [
        (float(x[part].mean()), float((y[part] * x[part]).sum() / max(x[part].sum(), 1)))
        for part in np.array_split(np.arange(len(x)), groups)
    ]


def _nice(value: float) -> float:
    """The next round number at or above a value whose quarters are round as well."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    steps = (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10)
    return next(step * power for step in steps if step * power >= value * 0.9999)


def _y_axis(frame: _Frame, *, percent: bool) -> Markup:
    parts = []
    for step in range(5):
        value = frame.y_max * step / 4
        label = _percent(value) if percent else _thousands(value)
        parts.append(
            Markup(
                '<path class="grid" d="M{} {y:.1f}H{}"/>'
                '<text class="tick" x="{}" y="{:.1f}" text-anchor="end">{}</text>'
            ).format(
                _LEFT,
                _WIDTH - _RIGHT,
                _LEFT - 6,
                frame.y(value) + 4,
                label,
                y=frame.y(value),
            )
        )
    return Markup("").join(parts)


def _x_axis(frame: _Frame, label: Callable[[float], str]) -> Markup:
    return Markup("").join(
        Markup('<text class="tick" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
            frame.x(frame.x_max * step / 4),
            frame.bottom + 18,
            "middle" if step < 4 else "end",  # the last would stick out
            label(frame.x_max * step / 4),
        )
        for step in range(5)
    )


def _percent(value: float) -> str:
    shown = value * 100
    return f"{shown:.0f} %" if abs(shown - round(shown)) < 0.05 else f"{shown:.1f} %"


def _thousands(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:.3g}M"
    return f"{value / 1e3:.3g}k" if value >= 1e4 else f"{value:.3g}"


def _svg(parts: Sequence[Markup], height: int, label: str) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, height, label, Markup("").join(parts)
    )
