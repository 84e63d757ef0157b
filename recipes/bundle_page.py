"""What the bundled reader says of itself: its card, its sources, the numbers in the docs."""

from __future__ import annotations

import csv
import json
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from bundle_scores import held_out_families

from nhan.models.card import CardScore, render_card
from nhan.synth import Recipe, fonts

SOURCES = "sources.md"
PAGE, PLOT = "reader.md", "reader-reliability.svg"
_LICENCES = "fonts-licences.tsv"
_LIMITS = (
    "One line of text in a picture: it finds no lines on a page.",
    "Vietnamese and English letters, ASCII, – “ ” … ₫ ° and what else the charset lists; other "
    "scripts are read as look-alikes.",
    "Trained on made lines only. Handwriting is imitated from fonts and pen strokes, and real "
    "handwriting is read far worse than print.",
    "Text that runs upwards or is turned by 90° is not read.",
    "The dev pictures were looked at while the reader was developed, though never trained on: "
    "expect somewhat worse of pictures of your own, and measure with `nhan evaluate`.",
)


def about(facts: Mapping[str, Any], numbers: Mapping[str, Any]) -> dict[str, Any]:
    """The card's part of `nhan.json`."""
    config = facts["config"]
    optimizer, model = config["optimizer"], facts["options"]
    return {
        "data": {
            "made lines": f"{numbers['seen']:,}; nothing else was trained on",
            "recipe of the lines": json.dumps(config["data"]["made_options"], ensure_ascii=False),
            "fonts and texts": f"free licences only, listed in {SOURCES}",
            "held out": ", ".join(held_out_families()),
        },
        "recipe": {
            **({"began with": _before(numbers["before"])} if numbers["before"] else {}),
            "network": f"{model['network']} {json.dumps(model['options'])}",
            "parameters": f"{numbers['parameters']:,}",
            "optimiser": f"AdamW, rate {optimizer['lr']}, {optimizer['schedule']}, averaged "
            f"weights ({optimizer['ema']}), batches of {config['data']['batch_size']}",
            "time": f"{numbers['seconds'] / 3600:.1f} h, {config['machine']['precision']}",
            "seed": config["seed"],
        },
        "int8": numbers["int8"]["words"],
        "limits": list(_LIMITS),
        "licence": f"Apache-2.0, as Nhãn itself; the fonts and texts of the training stay under "
        f"theirs ({SOURCES}) and are not contained in the model.",
    }


def _before(stages: Sequence[Mapping[str, Any]]) -> str:
    """The trainings before the last one, in words."""
    return "; ".join(
        f"{stage['seen']:,} lines, rate {stage['lr']}, {stage['schedule']}" for stage in stages
    )


def card(spec: Mapping[str, Any], numbers: Mapping[str, Any]) -> str:
    """The model card in Markdown."""
    scores = [
        CardScore(f"{title}, {row['kind']}", metric, *row[metric], row["samples"])
        for title, part in numbers["tests"].items()
        for row in part["rows"]
        for metric in ("cer", "exact")
    ]
    parts = [render_card(spec, scores).rstrip(), "## Speed and size", _speed(numbers)]
    for title, part in numbers["tests"].items():
        parts += [f"## Confidence on {title}", _reliability(part["calibration"])]
    return "\n\n".join(parts) + "\n"


def score_table(numbers: Mapping[str, Any]) -> str:
    """All scores in per cent, with intervals, as a Markdown table."""
    lines = ["| test | kind | lines | CER % | exact lines % |", "|---|---|---:|---:|---:|"]
    for title, part in numbers["tests"].items():
        for row in part["rows"]:
            cer, exact = (_percent(row[metric]) for metric in ("cer", "exact"))
            lines.append(f"| {title} | {row['kind']} | {row['samples']} | {cer} | {exact} |")
    return "\n".join(lines)


def update(docs: Path, spec: Mapping[str, Any], numbers: Mapping[str, Any]) -> None:
    """Put the numbers between the marks of the docs' page, and draw its plot."""
    page = docs / PAGE
    if not page.exists():
        return
    parts = [
        f"Version {spec['version']}, after {numbers['seen']:,} made lines "
        f"({numbers['seconds'] / 3600:.1f} h).",
        score_table(numbers),
        _speed(numbers),
        numbers["int8"]["words"],
    ]
    for title, part in numbers["tests"].items():
        parts.append(f"Confidence on {title}: {_ece(part['calibration'])}.")
    text = page.read_text(encoding="utf-8")
    block = "<!-- numbers: recipes/bundle.py -->\n\n" + "\n\n".join(parts) + "\n\n<!-- end -->"
    found = re.compile(r"<!-- numbers: recipes/bundle.py -->.*?<!-- end -->", re.DOTALL)
    page.write_text(found.sub(lambda _: block, text), encoding="utf-8")
    plot = reliability_plot({k: v["calibration"] for k, v in numbers["tests"].items()})
    (docs / PLOT).write_text(plot, encoding="utf-8")


def sources(recipe: Recipe) -> str:
    """Every font package and text that the training drew from, with its licence."""
    rows: dict[tuple[str, str, str], int] = defaultdict(int)
    used = {face.name for face in fonts.find(recipe.fonts)}
    table = Path(recipe.fonts or os.environ["NHAN_FONTS"]) / _LICENCES
    without = tuple(recipe.fonts_without)
    with table.open(encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines, delimiter="\t"):
            name = Path(line["file"]).stem
            if name in used and not name.startswith(without):
                rows[line["package"], line["version"], line["licence"].strip(" ,")] += 1
    notice = files("nhan.synth").joinpath("data/NOTICE.md").read_text(encoding="utf-8")
    parts = [
        "# Fonts and texts that the bundled reader was trained with",
        "None of them is contained in the model. The pictures were drawn in these fonts "
        f"({sum(rows.values())} files), by `recipes/fonts.sh`:",
        "\n".join(
            [
                "| package | version | licence | files |",
                "|---|---|---|---:|",
                *(f"| {' | '.join(key)} | {count} |" for key, count in sorted(rows.items())),
            ]
        ),
        "The texts, by `recipes/corpus.py`:",
        notice[notice.index("| package") :].strip(),
    ]
    return "\n\n".join(parts) + "\n"


def reliability_plot(measured: Mapping[str, Mapping[str, Any]]) -> str:
    """How often answers of a confidence are right, as an SVG that stands alone."""
    side, left, top = 300, 46, 14
    colours = ("#0f766e", "#b45309", "#4338ca", "#be123c")

    def place(x: float, y: float) -> str:
        return f"{left + x * side:.1f},{top + (1 - y) * side:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + side + 220} '
        f'{top + side + 40}" font-family="sans-serif" font-size="12">',
        f'<rect width="{left + side + 220}" height="{top + side + 40}" fill="#fff"/>',
        f'<polyline points="{place(0, 0)} {place(1, 1)}" stroke="#999" stroke-dasharray="4"/>',
        f'<rect x="{left}" y="{top}" width="{side}" height="{side}" fill="none" stroke="#333"/>',
    ]
    for step in (0, 0.5, 1):
        x, y = place(step, step).split(",")
        parts.append(f'<text x="{x}" y="{top + side + 16}" text-anchor="middle">{step:g}</text>')
        parts.append(f'<text x="{left - 6}" y="{y}" text-anchor="end" dy="4">{step:g}</text>')
    parts.append(
        f'<text x="{left + side / 2}" y="{top + side + 32}" text-anchor="middle">confidence</text>'
        f'<text x="12" y="{top + side / 2}" transform="rotate(-90 12 {top + side / 2})" '
        'text-anchor="middle">share of lines read right</text>'
    )
    for index, (title, part) in enumerate(measured.items()):
        colour = colours[index % len(colours)]
        bins = [each for each in part["bins"] if each["count"]]
        points = " ".join(place(each["confidence"], each["right"]) for each in bins)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
        for each in bins:
            x, y = place(each["confidence"], each["right"]).split(",")
            radius = min(9.0, 1.5 + each["count"] ** 0.5 / 4)
            parts.append(f'<circle cx="{x}" cy="{y}" r="{radius:.1f}" fill="{colour}"/>')
        y_text = top + 16 + 20 * index
        parts.append(
            f'<text x="{left + side + 16}" y="{y_text}" fill="{colour}">{title}, '
            f"ECE {part['ece']:.3f}</text>"
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _speed(numbers: Mapping[str, Any]) -> str:
    speed, size = numbers["speed"], numbers["bytes"]
    listed = ", ".join(f"{name} {count / 1e6:.1f} MB" for name, count in size.items())
    return (
        f"One thread, from the file to the answer: median {speed['median_ms']:.1f} ms a line, "
        f"mean {speed['mean_ms']:.1f} ms, {speed['cpu_ms']:.1f} ms of CPU time. {listed}."
    )


def _reliability(measured: Mapping[str, Any]) -> str:
    rows = [
        f"| {each['low']:.1f} to {each['high']:.1f} | {each['count']} | {each['confidence']:.3f} "
        f"| {each['right']:.3f} |"
        for each in measured["bins"]
        if each["count"]
    ]
    head = ["| confidence | lines | mean confidence | share right |", "|---|---:|---:|---:|"]
    return f"Expected calibration error: {_ece(measured)}.\n\n" + "\n".join(head + rows)


def _ece(measured: Mapping[str, Any]) -> str:
    return (
        f"ECE {measured['ece']:.3f}, where {measured['ece_by_chance']:.3f} is to be expected of "
        "perfect confidence on so few lines"
    )


def _percent(rate: Sequence[float]) -> str:
    value, low, high = (100 * number for number in rate)
    return f"{value:.1f} ({low:.1f}–{high:.1f})"
