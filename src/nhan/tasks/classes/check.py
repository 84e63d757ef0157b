"""The label doctor's look at classes: one label at a time, and all of them together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nhan.errors import BadLabel
from nhan.tasks.base import Finding
from nhan.tasks.classes.names import normalise_class
from nhan.tasks.text.alphabet import strip_marks

# Below this, even handwritten digits can no longer be told apart.
TINY_PX = 8
# The central square of a more elongated picture shows less than a quarter of it.
ELONGATED = 4
# A class with fewer samples has too few in the validation and test splits to say anything of it.
FEW = 20
# Fewer cannot even be in all three splits.
TOO_FEW = 3
# Where the largest class is so many times the smallest, always answering it begins to pay.
IMBALANCE = 10
# Names shown in one message.
_SHOWN = 8


def check_label(label: str, *, width: int, height: int) -> list[Finding]:
    """What is wrong with one label beside its picture's size in pixels; errors first."""
    try:
        name = normalise_class(label)
    except BadLabel as error:
        return [Finding("bad_class_name", "error", error.message, error.hint)]
    found = []
    if name != label:
        found.append(
            Finding(
                "class_name_mended",
                "info",
                f"{label!r} is stored as {name!r}",
                "nothing to do; the source may be mended too",
            )
        )
    if min(width, height) < TINY_PX:
        found.append(
            Finding(
                "tiny_picture",
                "warning",
                f"a picture of {width} × {height} px; hardly anything can be seen in under "
                f"{TINY_PX} px",
                "is it an icon or a failed download?",
            )
        )
    if max(width, height) > ELONGATED * min(width, height):
        found.append(
            Finding(
                "elongated_picture",
                "warning",
                f"a picture of {width} × {height} px; its central square shows less than a "
                "quarter of it",
                "crop it to what matters, or train with model.prepare.fit = 'letterbox'",
            )
        )
    return found


def check_counts(counts: Mapping[str, int]) -> list[Finding]:
    """What is wrong with a whole set of classes.

    Args:
        counts: normalised class names and how many samples each has.
    """
    if not counts:
        return []
    return [
        *_one_class(counts),
        *_too_few(counts),
        *_imbalance(counts),
        *_alike(counts),
    ]


def _one_class(counts: Mapping[str, int]) -> list[Finding]:
    if len(counts) > 1:
        return []
    return [
        Finding(
            "one_class",
            "error",
            f"all samples are of the one class {next(iter(counts))!r}",
            "there must be at least two classes to tell apart; add one, for instance 'other'",
        )
    ]


def _too_few(counts: Mapping[str, int]) -> list[Finding]:
    found = []
    for code, severity, low, high, why in (
        ("class_too_small", "error", 0, TOO_FEW, "too few to be learned, validated and tested"),
        ("class_small", "warning", TOO_FEW, FEW, "too few to say how well it is told"),
    ):
        small = {name: count for name, count in counts.items() if low <= count < high}
        if small:
            shown = [f"{name!r} ({count})" for name, count in sorted(small.items())]
            found.append(
                Finding(
                    code,
                    "error" if severity == "error" else "warning",
                    f"{len(small)} of {len(counts)} classes have under {high} samples, {why}: "
                    + _listed(shown),
                    "label more pictures of them, or join them to another class",
                )
            )
    return found


def _imbalance(counts: Mapping[str, int]) -> list[Finding]:
    largest = max(counts, key=lambda name: counts[name])
    smallest = min(counts, key=lambda name: counts[name])
    if counts[largest] < IMBALANCE * counts[smallest]:
        return []
    share = counts[largest] / sum(counts.values())
    return [
        Finding(
            "class_imbalance",
            "warning",
            f"{largest!r} has {counts[largest]} samples ({share:.0%} of all), {smallest!r} has "
            f"{counts[smallest]}",
            "label more of the small ones, or train with model.class_weights = 'balanced'",
        )
    ]


def _alike(names: Iterable[str]) -> list[Finding]:
    """Names that a person would take for one class spelled in several ways."""
    grouped: dict[str, list[str]] = {}
    for name in names:
        key = strip_marks(name).casefold().replace("_", " ").replace("-", " ")
        grouped.setdefault(" ".join(key.split()), []).append(name)
    return [
        Finding(
            "class_names_alike",
            "warning",
            f"these classes differ only in case, marks or dashes: {_listed(map(repr, same))}",
            "if they are one class, import them under one name",
        )
        for same in grouped.values()
        if len(same) > 1
    ]


def _listed(shown: Iterable[str]) -> str:
    words = list(shown)
    rest = len(words) - _SHOWN
    return ", ".join(words[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
