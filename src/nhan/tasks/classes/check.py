"""The label doctor's look at classes: one label at a time, and all of them together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nhan.errors import BadLabel
from nhan.tasks.base import Finding
from nhan.tasks.classes.check_words import say
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
                say("class.mended", label=label, name=name),
                say("class.mended.hint"),
            )
        )
    if min(width, height) < TINY_PX:
        found.append(
            Finding(
                "tiny_picture",
                "warning",
                say("class.tiny", width=width, height=height, least=TINY_PX),
                say("class.tiny.hint"),
            )
        )
    if max(width, height) > ELONGATED * min(width, height):
        found.append(
            Finding(
                "elongated_picture",
                "warning",
                say("class.elongated", width=width, height=height),
                say("class.elongated.hint"),
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
            say("class.one", name=next(iter(counts))),
            say("class.one.hint"),
        )
    ]


def _too_few(counts: Mapping[str, int]) -> list[Finding]:
    found = []
    for code, severity, low, high, words in (
        ("class_too_small", "error", 0, TOO_FEW, "class.too_few"),
        ("class_small", "warning", TOO_FEW, FEW, "class.few"),
    ):
        small = {name: count for name, count in counts.items() if low <= count < high}
        if small:
            shown = [f"{name!r} ({count})" for name, count in sorted(small.items())]
            found.append(
                Finding(
                    code,
                    "error" if severity == "error" else "warning",
                    say(words, small=len(small), all=len(counts), least=high, **_listed(shown)),
                    say("class.few.hint"),
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
            say(
                "class.imbalance",
                largest=largest,
                most=counts[largest],
                share=share,
                smallest=smallest,
                least=counts[smallest],
            ),
            say("class.imbalance.hint"),
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
            say("class.alike", **_listed(map(repr, same))),
            say("class.alike.hint"),
        )
        for same in grouped.values()
        if len(same) > 1
    ]


def _listed(shown: Iterable[str]) -> dict[str, Any]:
    """The facts of a sentence that lists names: the first few, and how many more."""
    names = list(shown)
    rest = len(names) - _SHOWN
    return {"names": names[:_SHOWN], "more": say("class.more", rest=rest) if rest > 0 else ""}
