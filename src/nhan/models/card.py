"""The model card: what a version is, what it was made of, how well it does and where it fails.

Written when a version is published and again after every evaluation, from what `nhan.json` says;
a recipe, data counts, limits and licence come from its `about` table:

    about = {"data": {"train": 9000, …}, "recipe": {"epochs": 20, …}, "limits": ["…"],
             "licence": "…", "int8": "…"}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CardScore:
    """One line of the score table.

    Attributes:
        where: all of a test split, or one of its slices.
        metric: the metric's name.
        value, low, high: the rate and its 95 % interval.
        samples: how many samples it rests on.
    """

    where: str
    metric: str
    value: float
    low: float
    high: float
    samples: int


def render_card(spec: Mapping[str, Any], scores: Sequence[CardScore] = ()) -> str:
    """The card in Markdown.

    Args:
        spec: `nhan.json` as plain values.
        scores: what evaluations found; none before the first.
    """
    about: Mapping[str, Any] = spec.get("about") or {}
    sections = [
        f"# {spec['name']}, version {spec['version']}",
        f"A model of the task *{spec['task']}*, made {spec['created']} with nhan {spec['nhan']}.",
        "## Answers",
        f"The file that answers is `{spec['serve']}`. " + _calibration(spec.get("calibration")),
        *_table("## What it can say", spec.get("outputs")),
        "## Training data",
        f"Dataset `{spec.get('dataset') or 'unknown'}`, run `{spec.get('run') or 'none'}`.",
        *_table("", about.get("data")),
        *_table("## Recipe", about.get("recipe")),
        "## Scores",
        *_scores(scores),
    ]
    if about.get("int8"):
        sections += ["## int8", _text(about["int8"])]
    sections += ["## Limits", *_limits(about.get("limits"))]
    sections += ["## Licence", _text(about.get("licence") or "Not stated by whoever trained it.")]
    return "\n\n".join(section for section in sections if section) + "\n"


def _calibration(calibration: Mapping[str, Any] | None) -> str:
    method = (calibration or {}).get("method", "none")
    if method == "none":
        return "Its confidence is the network's own and not calibrated."
    numbers = ", ".join(
        f"{key} {value:.3g}" for key, value in (calibration or {}).items() if _is_number(value)
    )
    return f"Its confidence is calibrated by {method}" + (f" ({numbers})." if numbers else ".")


def _scores(scores: Sequence[CardScore]) -> list[str]:
    if not scores:
        return ["Not evaluated yet: `nhan evaluate` fills this in."]
    rows = [
        f"| {_cell(score.where)} | {_cell(score.metric)} | {score.value:.4f} "
        f"| {score.low:.4f} to {score.high:.4f} | {score.samples:,} |"
        for score in scores
    ]
    head = ["| where | metric | value | 95 % interval | samples |", "|---|---|---|---|---|"]
    return ["\n".join(head + rows)]


def _limits(limits: Sequence[str] | None) -> list[str]:
    known = limits or ["It is only known to work on pictures like those of its test split."]
    return ["\n".join(f"- {_text(limit)}" for limit in known)]


def _table(title: str, values: Any) -> list[str]:
    if not isinstance(values, Mapping) or not values:
        return []
    rows = [f"| {_cell(key)} | {_cell(_short(value))} |" for key, value in values.items()]
    return [title, "\n".join(["| | |", "|---|---|", *rows])]


def _short(value: Any) -> Any:
    if isinstance(value, str | bytes | bool) or not isinstance(value, Sequence):
        return value
    return ", ".join(str(item) for item in value)


def _cell(value: Any) -> str:
    """One table cell: a charset holds pipes, backticks and angle brackets."""
    text = _text(value)
    for mark in ("\\", "`", "|", "<", ">", "*", "_", "[", "]"):
        text = text.replace(mark, "\\" + mark)
    return text


def _text(value: Any) -> str:
    return " ".join(str(value).split())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
