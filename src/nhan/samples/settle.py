"""What becomes of a record whose picture may be known already: one rule, without the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from nhan.catalog import State
from nhan.catalog.samples import GivenLabel, Picture, Sample
from nhan.samples.record import Record, Vote

Outcome = Literal["added", "known", "voted", "relabelled", "conflict", "set_aside"]

# A label ends these; `rejected` stays, because somebody said the picture itself is no good.
_WAITING = (State.NEW, State.QUEUED, State.DRAFT, State.SKIPPED)


@dataclass(frozen=True)
class Settled:
    """What happened to a sample.

    Attributes:
        outcome: `added` a new sample; `known` nothing new; `voted` a further opinion;
            `relabelled` another label stands now; `conflict` the source disagrees and its label is
            kept as a vote only; `set_aside` a known sample was rejected.
        before: the label that stood.
        after: the label that the source gives.
    """

    outcome: Outcome
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class Normalised:
    """A record's labels, normalised by the task: the one that stands and the others."""

    label: GivenLabel | None
    others: tuple[GivenLabel, ...]


def given_label(vote: Vote, value: str) -> GivenLabel:
    """A vote with its normalised value."""
    return GivenLabel(
        value=value,
        given=vote.value if vote.value != value else None,
        origin=vote.origin,
        given_by=vote.given_by,
        external_id=vote.external_id,
        given_at=vote.given_at or datetime.now(UTC),
    )


def new_sample(record: Record, sha256: str, picture: Picture) -> Sample:
    """A sample for a picture never seen before; `settle` gives it its labels."""
    return Sample(
        sha256=sha256,
        name=record.name,
        source=record.source,
        group=record.group,
        split_asked=record.split,
        state=record.state,
        reason=record.reason,
        picture=picture,
    )


def settle(
    sample: Sample, record: Record, labels: Normalised, *, fresh: bool, relabel: bool = False
) -> Settled:
    """Give a sample the labels of a record and decide which one stands.

    Args:
        sample: changed in place.
        record: where the labels come from.
        labels: its labels, normalised.
        fresh: the sample was made from this very record.
        relabel: the source wins over a label that stands.
    """
    heard = [_hear(sample, label) for label in (*labels.others, labels.label) if label is not None]
    if not fresh:
        _fill(sample, record)
    if fresh:
        if labels.label is not None:
            _stand(sample, labels.label)
        return Settled("added")
    if record.state == State.REJECTED:
        return _reject(sample, record)
    if labels.label is None:
        return Settled("voted" if any(heard) else "known")
    return _weigh(sample, record, labels.label, news=any(heard), relabel=relabel)


def _weigh(
    sample: Sample, record: Record, label: GivenLabel, *, news: bool, relabel: bool
) -> Settled:
    """A known picture comes with a label."""
    before = sample.label
    if before is not None and before.value == label.value and sample.state not in _WAITING:
        return Settled("voted" if news else "known")
    newer = before is None or label.given_at > before.given_at
    if not (news or relabel or (record.ground_truth and newer)):
        # It was heard and outweighed before; an import that is repeated must not undo a review.
        return Settled("known")
    if sample.state == State.REJECTED:
        return Settled("voted" if news else "known")
    if before is None or sample.state in _WAITING:
        _stand(sample, label)
        return Settled("relabelled", before.value if before else "", label.value)
    corrected = newer and label.external_id != "" and _source_of(label) == _source_of(before)
    if record.ground_truth or corrected or relabel:
        _stand(sample, label)
        return Settled("relabelled", before.value, label.value)
    return Settled("conflict", before.value, label.value)


def _source_of(label: GivenLabel) -> tuple[str, str]:
    """Two labels with the same source are one label and its correction."""
    return label.origin, label.external_id


def _reject(sample: Sample, record: Record) -> Settled:
    if sample.state in (State.REJECTED, State.ACCEPTED):  # a review outweighs an annotator
        return Settled("known")
    sample.state, sample.reason, sample.changed = State.REJECTED, record.reason, True
    return Settled("set_aside", sample.label.value if sample.label else "")


def _hear(sample: Sample, label: GivenLabel) -> bool:
    """Keep a label; whether it was new."""
    if label.key in sample.labels:
        return False
    sample.labels[label.key] = label
    return True


def _stand(sample: Sample, label: GivenLabel) -> None:
    sample.label = sample.labels[label.key]
    sample.state, sample.reason, sample.changed = State.LABELLED, "", True


def _fill(sample: Sample, record: Record) -> None:
    """What the catalogue did not know, unless a freeze has relied on not knowing it."""
    if sample.split:
        return
    if record.group and not sample.group:
        sample.group, sample.changed = record.group, True
    if record.split and not sample.split_asked:
        sample.split_asked, sample.changed = record.split, True
