"""What an annotator's word does to a sample: one rule, without database and network.

Whom to believe of several annotators is `nhan.samples.doors.label_studio.verdict`'s rule. This one
says what its verdict means for a sample that one person is to label (`shared` is about the
others) and that may have a history here:

1. A label that somebody else gave (an import, a review in the console) stays; the annotation is
   kept as a vote, and a contradiction is reported. Ground truth that is newer wins over all.
2. Over a label that came from Label Studio, or none, the verdict stands: another label, a skip, a
   rejection. What a reviewer accepted or rejected here is not undone by it.
3. Annotations that are deleted take the label with them; the sample waits again. The label remains
   among those given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nhan.catalog import State
from nhan.catalog.samples import GivenLabel, Sample
from nhan.samples.doors.label_studio.verdict import Verdict
from nhan.samples.settle import Normalised

ORIGIN = "labelstudio"
# Ends every reason given here, so that what was set here can be told from what was set elsewhere.
PLACE = " in Label Studio"

# Nobody needs to look at it any more; a labelled sample of high priority would be a suspect.
_SETTLED = 0.0

Outcome = Literal[
    "unchanged",
    "labelled",
    "relabelled",
    "voted",
    "conflict",
    "disagreement",
    "skipped",
    "rejected",
    "withdrawn",
]


@dataclass(frozen=True)
class Effect:
    """What happened to a sample.

    Attributes:
        outcome: `labelled` it has its first label; `relabelled` another one; `voted` a further
            opinion was heard; `conflict` a label from elsewhere stays; `disagreement` the people
            who were to label it differ; `skipped`, `rejected` set aside; `withdrawn` what was said
            is gone and the sample waits again.
        before: the label or state before.
        after: the one after; of a conflict, the label that was not taken.
    """

    outcome: Outcome
    before: str = ""
    after: str = ""


def apply(sample: Sample, verdict: Verdict, labels: Normalised) -> Effect:
    """Give a sample what Label Studio says of it.

    Args:
        sample: changed in place.
        verdict: of all annotations of its task.
        labels: the verdict's labels, normalised.
    """
    said = [one for one in (*labels.others, labels.label) if one is not None]
    news = sum(_hear(sample, one) for one in said) > 0
    accepted = sample.state == State.ACCEPTED
    if sample.label is not None and (accepted or sample.label.origin != ORIGIN):
        return _beside(sample, verdict, labels.label, news=news)
    if sample.state == State.REJECTED and not _is_ours(sample):
        return Effect("voted" if news else "unchanged")
    if labels.label is not None and verdict.state == State.LABELLED:
        return _stand(sample, labels.label, news=news)
    if verdict.state in (State.REJECTED, State.SKIPPED):
        outcome: Outcome = "rejected" if verdict.state == State.REJECTED else "skipped"
        return _set(sample, verdict.state, verdict.reason + PLACE, outcome)
    return _withdraw(sample, news=news)


def begin_draft(sample: Sample, who: str) -> bool:
    """Somebody has begun to label it and not submitted; whether that changed anything."""
    if sample.state not in (State.NEW, State.QUEUED) or sample.label is not None:
        return False
    sample.state, sample.changed = State.DRAFT, True
    sample.reason = f"begun by {who or 'an annotator'}{PLACE}"
    return True


def end_draft(sample: Sample) -> bool:
    """The draft is gone and nothing came of it; whether that changed anything."""
    if sample.state != State.DRAFT or not _is_ours(sample):
        return False
    sample.state, sample.reason, sample.changed = State.QUEUED, "", True
    return True


def lose_task(sample: Sample) -> bool:
    """Its task was deleted; whether that changed anything.

    A label that was given stays. One who deletes a task that has none does not want it labelled,
    so it is not sent again by itself.
    """
    if sample.label is not None or sample.state not in (State.NEW, State.QUEUED, State.DRAFT):
        return False
    sample.state, sample.changed = State.SKIPPED, True
    sample.reason = f"its task was deleted{PLACE}"
    return True


def _beside(sample: Sample, verdict: Verdict, label: GivenLabel | None, *, news: bool) -> Effect:
    """The sample has a label from elsewhere."""
    standing = sample.label
    assert standing is not None, "the caller looked"
    if label is None or label.value == standing.value:
        return Effect("voted" if news else "unchanged")
    if verdict.ground_truth and label.given_at > standing.given_at:
        return _stand(sample, label, news=True)
    return Effect("conflict" if news else "unchanged", standing.value, label.value)


def _stand(sample: Sample, label: GivenLabel, *, news: bool) -> Effect:
    before = sample.label
    kept = sample.labels[label.key]
    if before is kept and sample.state in (State.LABELLED, State.ACCEPTED):
        return Effect("voted" if news else "unchanged")
    same = before is not None and before.value == kept.value
    if same and sample.state == State.ACCEPTED:
        return Effect("voted" if news else "unchanged")
    sample.label, sample.state, sample.reason, sample.changed = kept, State.LABELLED, "", True
    sample.priority = _SETTLED
    if before is None:
        return Effect("labelled", "", kept.value)
    return Effect("voted" if same else "relabelled", before.value, kept.value)


def _set(sample: Sample, state: State, reason: str, outcome: Outcome) -> Effect:
    if sample.state == state and sample.reason == reason and sample.label is None:
        return Effect("unchanged")
    before = sample.label.value if sample.label else sample.state.value
    sample.state, sample.reason, sample.label, sample.changed = state, reason, None, True
    sample.priority = _SETTLED
    return Effect(outcome, before, reason)


def _withdraw(sample: Sample, *, news: bool) -> Effect:
    """Nothing that counts is said (any more)."""
    aside = sample.state in (State.SKIPPED, State.REJECTED) and _is_ours(sample)
    if sample.label is None and not aside:
        return Effect("voted" if news else "unchanged")
    before = sample.label.value if sample.label else sample.state.value
    sample.label, sample.state, sample.reason = None, State.QUEUED, ""
    sample.changed = True
    return Effect("withdrawn", before, "")


def _is_ours(sample: Sample) -> bool:
    """Its state was set here."""
    if sample.label is not None:
        return sample.label.origin == ORIGIN and sample.state == State.LABELLED
    return sample.reason.endswith(PLACE)


def _hear(sample: Sample, label: GivenLabel) -> bool:
    """Keep a label; whether it was new."""
    if label.key in sample.labels:
        return False
    sample.labels[label.key] = label
    return True
