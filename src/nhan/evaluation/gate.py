"""The gate: may this candidate replace the champion?

A pure function of two records on the same frozen test set. It says no unless it can show that the
candidate is better, and says everything in words with the numbers beside them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from nhan.evaluation.intervals import ROUNDING, Difference, paired_difference
from nhan.evaluation.record import Evaluation, metric_label
from nhan.settings import GateSettings


@dataclass(frozen=True)
class Verdict:
    """What the gate decided.

    Attributes:
        passed: whether the candidate may answer.
        words: the decision and its reasons in one sentence.
        reasons: why not, most important first; empty when passed.
        numbers: what was compared, JSON-able.
        hint: what to do about a refusal; empty when passed.
    """

    passed: bool
    words: str
    reasons: tuple[str, ...] = ()
    numbers: dict[str, Any] = field(default_factory=dict)
    hint: str = ""

    def to_dict(self) -> dict[str, Any]:
        """What the promotion log keeps."""
        kept = asdict(self)
        kept["reasons"] = list(self.reasons)
        return kept


def decide(candidate: Evaluation, champion: Evaluation | None, rules: GateSettings) -> Verdict:
    """Judge a candidate.

    It passes when, on the same test set, all of this holds; a tie is a refusal, the champion stays:

    - its error rate is lower than the champion's, by `rules.margin` at least;
    - that is not mere luck: so it is in a share `rules.certainty` of paired bootstrap resamples;
    - no slice of at least `rules.min_slice_samples` samples got worse by more than
      `rules.slice_tolerance`;
    - no test sample was in its training data.

    The first champion has nobody to beat: its error rate must not exceed `rules.max_error`.

    Args:
        candidate: its record.
        champion: the champion's record; None when there is no champion.
        rules: the workspace's `[gate]` settings.
    """
    if not candidate.samples:
        return _refused(
            [f"the {candidate.split} split of {candidate.dataset} is empty, so nothing is shown"],
            {},
            "import and freeze labelled samples for it",
        )
    if champion is None:
        return _first(candidate, rules)
    if misfit := _misfit(candidate, champion):
        return _refused(
            [misfit], {}, f"evaluate both on one: nhan evaluate MODEL@V {candidate.dataset}"
        )
    difference = _difference(candidate, champion, rules.margin)
    fallen = _fallen(candidate, champion, rules)
    numbers = {
        "metric": candidate.metric,
        "candidate": candidate.primary.value,
        "champion": champion.primary.value,
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "better": difference.better,
        "samples": candidate.samples,
        "dataset": candidate.dataset,
        "split": candidate.split,
        "fallen": fallen,
    }
    evidence = (
        f"(difference {_signed(difference.value)}, 95 % interval {_signed(difference.low)} to "
        f"{_signed(difference.high)}, {_where(candidate)})"
    )
    reasons = [
        *_not_better(candidate, champion, difference, rules, evidence),
        *(_fall_in_words(fall, rules) for fall in fallen),
        *_seen(candidate),
    ]
    if reasons:
        return _refused(reasons, numbers, _WHAT_NOW)
    name = metric_label(candidate.metric)
    return Verdict(
        True,
        f"passed: {name} {candidate.primary.value:.3f} is below the champion's "
        f"{champion.primary.value:.3f} {evidence}; no slice of {rules.min_slice_samples} samples "
        f"or more got worse by over {rules.slice_tolerance:g}",
        numbers=numbers,
    )


_WHAT_NOW = (
    "look at `nhan evaluate MODEL@V --report report.html`; train on more or better labels, "
    "or promote anyway with --force --because REASON"
)


def _first(candidate: Evaluation, rules: GateSettings) -> Verdict:
    name, value = metric_label(candidate.metric), candidate.primary.value
    numbers = {
        "metric": candidate.metric,
        "candidate": value,
        "samples": candidate.samples,
        "dataset": candidate.dataset,
        "split": candidate.split,
        "max_error": rules.max_error,
    }
    found = f"{name} {value:.3f} ({_where(candidate)})"
    reasons = []
    if value > rules.max_error + ROUNDING:
        reasons.append(
            f"{found} exceeds {rules.max_error:g}, the most a first champion may have "
            "(gate.max_error)"
        )
    reasons += _seen(candidate)
    if reasons:
        return _refused(reasons, numbers, _WHAT_NOW)
    words = f"passed: the first champion; {found} does not exceed {rules.max_error:g}"
    return Verdict(True, words, numbers=numbers)


def _misfit(candidate: Evaluation, champion: Evaluation) -> str:
    """Why the two records cannot be compared; empty when they can."""
    if (candidate.task, candidate.metric) != (champion.task, champion.metric):
        return (
            f"the candidate's {candidate.metric} of task {candidate.task} cannot be compared "
            f"with the champion's {champion.metric} of task {champion.task}"
        )
    if candidate.content != champion.content:
        return (
            f"the candidate was measured on {candidate.dataset} ({candidate.samples} samples) and "
            f"the champion on {champion.dataset} ({champion.samples} samples), which are "
            "different test sets"
        )
    return ""


def _difference(candidate: Evaluation, champion: Evaluation, margin: float) -> Difference:
    return paired_difference(
        [result.errors for result in candidate.results],
        [result.errors for result in champion.results],
        [result.weight for result in candidate.results],
        margin=margin,
    )


def _not_better(
    candidate: Evaluation,
    champion: Evaluation,
    difference: Difference,
    rules: GateSettings,
    evidence: str,
) -> list[str]:
    name = metric_label(candidate.metric)
    mine, theirs = candidate.primary.value, champion.primary.value
    if abs(mine - theirs) <= ROUNDING:
        return [f"{name} {mine:.3f} is exactly the champion's; a tie keeps the champion {evidence}"]
    if mine > theirs:
        return [f"{name} {mine:.3f} is not below the champion's {theirs:.3f} {evidence}"]
    if theirs - mine < rules.margin - ROUNDING:
        return [
            f"{name} {mine:.3f} is below the champion's {theirs:.3f} by less than the margin of "
            f"{rules.margin:g} {evidence}"
        ]
    if difference.better < rules.certainty:
        return [
            f"{name} {mine:.3f} is below the champion's {theirs:.3f}, but that may be luck: so it "
            f"is in {difference.better:.0%} of resamples, {rules.certainty:.0%} are asked for "
            f"{evidence}"
        ]
    return []


def _fallen(
    candidate: Evaluation, champion: Evaluation, rules: GateSettings
) -> list[dict[str, Any]]:
    """Slices that got worse by more than the tolerance, the worst first."""
    found = []
    for dimension, slices in champion.slices.items():
        for name, before in slices.items():
            after = candidate.slices.get(dimension, {}).get(name)
            if after is None or before.samples < rules.min_slice_samples:
                continue
            if after.value - before.value > rules.slice_tolerance + ROUNDING:
                found.append(
                    {
                        "dimension": dimension,
                        "slice": name,
                        "candidate": after.value,
                        "champion": before.value,
                        "samples": before.samples,
                    }
                )
    return sorted(found, key=lambda fall: fall["champion"] - fall["candidate"])


def _fall_in_words(fall: dict[str, Any], rules: GateSettings) -> str:
    return (
        f"{fall['dimension']} {fall['slice']} got worse, {fall['champion']:.3f} to "
        f"{fall['candidate']:.3f}, by more than {rules.slice_tolerance:g} "
        f"({_count(fall['samples'])})"
    )


def _seen(candidate: Evaluation) -> list[str]:
    if not candidate.seen:
        return []
    return [
        f"{candidate.seen} of the {_count(candidate.samples)} of the test were in the candidate's "
        "own training data, so its figure means nothing"
    ]


def _refused(reasons: list[str], numbers: dict[str, Any], hint: str) -> Verdict:
    return Verdict(False, "refused: " + "; also, ".join(reasons), tuple(reasons), numbers, hint)


def _where(evaluation: Evaluation) -> str:
    return f"{_count(evaluation.samples)} of {evaluation.dataset} {evaluation.split}"


def _count(samples: int) -> str:
    return f"{samples:,} sample{'s' if samples != 1 else ''}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−") if round(value, 3) else "0.000"
