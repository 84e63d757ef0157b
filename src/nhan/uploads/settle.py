"""What becomes of a sample when an upload, a correction or a note arrives: rules without stores."""

from __future__ import annotations

from typing import Literal

from nhan.catalog import TRAINABLE, State
from nhan.catalog.samples import GivenLabel, Picture, Sample
from nhan.uploads.record import CorrectionRecord, UploadRecord
from nhan.uploads.sampling import usefulness

SOURCE = "uploads"
ORIGIN = "correction"

Outcome = Literal["known", "stands", "queued", "agrees", "contradicts"]

_HIGHEST = 1.0


def new_sample(record: UploadRecord, picture: Picture, *, consent_needed: bool) -> Sample:
    """A sample for a picture that the catalogue has not seen."""
    return Sample(
        sha256=record.sha256,
        name=record.id,
        source=SOURCE,
        group="",
        split_asked="",
        state=State.QUEUED if record.sampled else State.NEW,
        priority=usefulness(record.confidence, record.novelty, record.sampled),
        may_train=may_train(record.consent, needed=consent_needed),
        picture=picture,
    )


def may_train(consent: bool | None, *, needed: bool) -> bool:
    """Whether a picture may train: what was said, else what the workspace assumes."""
    return not needed if consent is None else consent


def meet(sample: Sample, record: UploadRecord, *, refused: bool) -> None:
    """A picture that is known was sent again.

    One refusal is enough to keep an uploaded picture out of training, whatever others say of the
    same bytes. A picture that came in by another door is not the uploader's to withhold.

    Args:
        sample: changed in place.
        record: the new upload.
        refused: somebody who sent it earlier did not consent.
    """
    if sample.source == SOURCE:
        if record.consent is False and sample.may_train:
            sample.may_train, sample.changed = False, True
        if record.consent and not sample.may_train and not refused:
            sample.may_train, sample.changed = True, True
    if record.sampled:
        choose(sample, usefulness(record.confidence, record.novelty, record.sampled))


def choose(sample: Sample, priority: float) -> None:
    """Let people look at a sample, unless it has a label already."""
    if sample.state == State.NEW:
        sample.state, sample.changed = State.QUEUED, True
    if sample.priority < priority:
        sample.priority, sample.changed = priority, True


def correct(
    sample: Sample, correction: CorrectionRecord, label: GivenLabel, *, trusted: bool
) -> Outcome:
    """Give a sample the label of a correction and decide where it stands then.

    Args:
        sample: changed in place; the label is always kept.
        correction: where the label comes from.
        label: normalised by the task.
        trusted: it may stand without a review.

    Returns:
        `known` it was there; `stands` it is the label now; `queued` somebody will look at it;
        `agrees` the label that stands says the same; `contradicts` it says otherwise and stays,
        because somebody reviewed or imported it, or the same person said it later.
    """
    if label.key in sample.labels:
        return "known"
    sample.labels[label.key] = label
    standing = sample.label if sample.state in TRAINABLE else None
    if standing is not None and standing.value == label.value:
        return "agrees"
    if standing is not None and _said_before(correction, label, standing):
        return "contradicts"
    if sample.priority < _HIGHEST:
        sample.priority, sample.changed = _HIGHEST, True
    if standing is not None and standing.origin != ORIGIN:
        return "contradicts"
    if standing is not None and not _takes_back(correction, label, standing):
        sample.state, sample.changed = State.QUEUED, True  # two people disagree; a third decides
        return "queued"
    if sample.state == State.REJECTED:  # the picture itself is no good, whatever it says
        return "contradicts"
    if sample.state == State.DRAFT:  # somebody is at it, and sees the correction
        return "queued"
    sample.reason, sample.changed = "", True
    if trusted:
        sample.label, sample.state = label, State.LABELLED
        return "stands"
    sample.state = State.QUEUED
    return "queued"


def _said_before(correction: CorrectionRecord, label: GivenLabel, standing: GivenLabel) -> bool:
    """Whether it only arrives after what the same person said later."""
    return (
        standing.origin == ORIGIN
        and bool(label.given_by)
        and label.given_by == standing.given_by
        and label.given_at < standing.given_at
        and correction.replaces != standing.external_id
    )


def _takes_back(correction: CorrectionRecord, label: GivenLabel, standing: GivenLabel) -> bool:
    same_giver = bool(label.given_by) and label.given_by == standing.given_by
    return correction.replaces == standing.external_id or same_giver
