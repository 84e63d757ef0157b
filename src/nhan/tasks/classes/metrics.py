"""How well classes are told: over all samples, class by class, and what is taken for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from nhan.tasks.base import Confusion

# With more classes a table of precision and recall is no longer read, and records grow large; the
# slices by class still tell each one's error rate.
MAX_LISTED = 40
# Top-k is asked for these k.
TOP = (3, 5)


def score(truths: Sequence[str], answers: Sequence[str]) -> dict[str, float]:
    """Every metric that the answers alone decide.

    Args:
        truths: classes as labelled.
        answers: classes as answered, in the same order; '' is no answer.

    Returns:
        `error` = 1 - accuracy, `accuracy`, `macro_f1`, `macro_precision`, `macro_recall`, all
        0..1; and `precision of X`, `recall of X` for each class X where there are not over
        `MAX_LISTED`. Macro figures are means over the classes that occur among the truths, so a
        class that is missing from a small test set does not count as failed.
    """
    right, told, there = _counts(truths, answers)
    classes = sorted(there)
    precision = {name: _share(right[name], told[name]) for name in classes}
    recall = {name: _share(right[name], there[name]) for name in classes}
    f1 = {name: _share(2 * right[name], told[name] + there[name]) for name in classes}
    accuracy = _share(right.total(), len(truths))
    scores = {
        "error": 1 - accuracy if truths else 0.0,
        "accuracy": accuracy,
        "macro_f1": _mean(f1),
        "macro_precision": _mean(precision),
        "macro_recall": _mean(recall),
    }
    if len(classes) <= MAX_LISTED:
        for name in classes:
            scores[f"precision of {name}"] = precision[name]
            scores[f"recall of {name}"] = recall[name]
    return scores


def support(metric: str, truths: Sequence[str], answers: Sequence[str]) -> int:
    """How many samples a metric of `score` rests on: `precision of X` on the answers X only."""
    kind, _, name = metric.partition(" of ")
    if kind == "precision" and name:
        return sum(answer == name for answer in answers)
    if kind == "recall" and name:
        return sum(truth == name for truth in truths)
    return len(truths)


def confusions(truths: Sequence[str], answers: Sequence[str]) -> dict[str, list[Confusion]]:
    """Wrong answers by pair, most frequent first, under `classes`."""
    wrong = Counter(
        (truth, answer) for truth, answer in zip(truths, answers, strict=True) if truth != answer
    )
    ordered = sorted(wrong.items(), key=lambda item: (-item[1], item[0]))
    return {"classes": [Confusion(truth, answer, count) for (truth, answer), count in ordered]}


def ranks(truth: str, labels: Mapping[str, float]) -> dict[str, float]:
    """Whether the truth is among the k best answers: `top_3_error` and `top_5_error`, 0 or 1.

    Args:
        truth: the class as labelled.
        labels: classes and scores, high to low; top-k that would take in half of them or more is
            left out, because it says little.
    """
    order = list(labels)
    return {f"top_{k}_error": float(truth not in order[:k]) for k in TOP if 2 * k < len(order)}


def kappa(first: Sequence[str], second: Sequence[str]) -> float:
    """How far two people agree beyond chance: 1 always, 0 as if they guessed, below 0 less.

    Where both gave one and the same class throughout, chance alone explains everything and the
    figure is undefined; it is given as 1.

    Source: Cohen 1960, A coefficient of agreement for nominal scales.
    """
    samples = len(first)
    if not samples:
        return 0.0
    same = sum(a == b for a, b in zip(first, second, strict=True)) / samples
    one, other = Counter(first), Counter(second)
    chance = sum(count * other[name] for name, count in one.items()) / samples**2
    return 1.0 if chance == 1.0 else (same - chance) / (1 - chance)


def _counts(
    truths: Sequence[str], answers: Sequence[str]
) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Right answers, answers and truths of each class."""
    right = Counter(truth for truth, answer in zip(truths, answers, strict=True) if truth == answer)
    return right, Counter(answers), Counter(truths)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _mean(values: Mapping[str, float]) -> float:
    return sum(values.values()) / len(values) if values else 0.0
