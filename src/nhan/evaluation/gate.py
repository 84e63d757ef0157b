"""The gate: may this candidate replace the champion?

A pure function of two records on the same frozen test set. It says no unless it can show that the
candidate is better, and says everything in words with the numbers beside them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from nhan.evaluation.gate_words import GATE_WORDS
from nhan.evaluation.intervals import ROUNDING, Difference, paired_difference
from nhan.evaluation.record import Evaluation
from nhan.evaluation.sentences import make
from nhan.sentences import Sentence
from nhan.settings import GateSettings

_say = partial(make, GATE_WORDS)


@dataclass(frozen=True)
class Verdict:
    """What the gate decided.

    Attributes:
        passed: whether the candidate may answer.
        words: the decision and its reasons in one sentence; pages say it in their language.
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
        """What the promotion log keeps; `said` is for pages in other languages."""
        kept = asdict(self)
        kept["reasons"] = list(self.reasons)
        kept["said"] = {
            name: said.to_json()
            for name, said in (("words", self.words), ("hint", self.hint))
            if isinstance(said, Sentence)
        }
        return kept


def reasons_of(words: str) -> str:
    """The reasons of a refusal, without the word that it is one."""
    if isinstance(words, Sentence) and words.code == "gate.refused":
        return _say("gate.reasons", **words.facts)
    return words.removeprefix("refused: ")


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
            [_say("gate.empty", split=candidate.split, dataset=candidate.dataset)],
            {},
            _say("gate.import_more"),
        )
    if champion is None:
        return _first(candidate, rules)
    if misfit := _misfit(candidate, champion):
        return _refused([misfit], {}, _say("gate.evaluate_both", dataset=candidate.dataset))
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
    evidence = _say(
        "gate.evidence",
        difference=difference.value,
        low=difference.low,
        high=difference.high,
        where=_where(candidate),
    )
    reasons = [
        *_not_better(candidate, champion, difference, rules, evidence),
        *(_fall_in_words(fall, rules) for fall in fallen),
        *_seen(candidate),
    ]
    if reasons:
        return _refused(reasons, numbers, _say("gate.what_now"))
    words = _say(
        "gate.passed",
        metric=candidate.metric,
        mine=candidate.primary.value,
        theirs=champion.primary.value,
        evidence=evidence,
        least=rules.min_slice_samples,
        tolerance=rules.slice_tolerance,
    )
    return Verdict(True, words, numbers=numbers)


def _first(candidate: Evaluation, rules: GateSettings) -> Verdict:
    value = candidate.primary.value
    numbers = {
        "metric": candidate.metric,
        "candidate": value,
        "samples": candidate.samples,
        "dataset": candidate.dataset,
        "split": candidate.split,
        "max_error": rules.max_error,
    }
    found = {"metric": candidate.metric, "mine": value, "most": rules.max_error}
    found["where"] = _where(candidate)
    reasons = []
    if value > rules.max_error + ROUNDING:
        reasons.append(_say("gate.first_too_bad", **found))
    reasons += _seen(candidate)
    if reasons:
        return _refused(reasons, numbers, _say("gate.what_now"))
    return Verdict(True, _say("gate.first_passed", **found), numbers=numbers)


def _misfit(candidate: Evaluation, champion: Evaluation) -> Sentence | None:
    """Why the two records cannot be compared; None when they can."""
    if (candidate.task, candidate.metric) != (champion.task, champion.metric):
        return _say(
            "gate.other_metric",
            metric=candidate.metric,
            task=candidate.task,
            their_metric=champion.metric,
            their_task=champion.task,
        )
    if candidate.content != champion.content:
        return _say(
            "gate.other_test",
            dataset=candidate.dataset,
            samples=candidate.samples,
            their_dataset=champion.dataset,
            their_samples=champion.samples,
        )
    return None


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
    evidence: Sentence,
) -> list[Sentence]:
    mine, theirs = candidate.primary.value, champion.primary.value
    found = {"metric": candidate.metric, "mine": mine, "theirs": theirs, "evidence": evidence}
    if abs(mine - theirs) <= ROUNDING:
        return [_say("gate.tie", **found)]
    if mine > theirs:
        return [_say("gate.not_below", **found)]
    if theirs - mine < rules.margin - ROUNDING:
        return [_say("gate.below_margin", margin=rules.margin, **found)]
    if difference.better < rules.certainty:
        return [_say("gate.luck", better=difference.better, certainty=rules.certainty, **found)]
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


def _fall_in_words(fall: dict[str, Any], rules: GateSettings) -> Sentence:
    # Kinds of characters have names in every language; classes and sources are what people call
    # them.
    kind = "characters" if fall["dimension"] == "characters" else "slice"
    return _say(
        f"gate.{kind}_fell",
        dimension=fall["dimension"],
        slice=fall["slice"],
        before=fall["champion"],
        after=fall["candidate"],
        tolerance=rules.slice_tolerance,
        samples=fall["samples"],
    )


def _seen(candidate: Evaluation) -> list[Sentence]:
    if not candidate.seen:
        return []
    return [_say("gate.seen", seen=candidate.seen, samples=candidate.samples)]


def _refused(reasons: list[Sentence], numbers: dict[str, Any], hint: Sentence) -> Verdict:
    words = _say("gate.refused", reasons=reasons)
    return Verdict(False, words, tuple(reasons), numbers, hint)


def _where(evaluation: Evaluation) -> Sentence:
    return _say(
        "gate.where",
        samples=evaluation.samples,
        dataset=evaluation.dataset,
        split=evaluation.split,
    )
