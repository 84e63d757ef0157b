"""Which of several opinions about one task stands.

The rule, and the reason for it (first-annotation-wins loses corrections; skipped tasks became the
label "" and were trained on):

1. A cancelled annotation is no label. A task with nothing else is `skipped`.
2. Ground truth stands above all; among several, and without any, the latest annotation stands.
3. If what stands says Bad beside the caption, the sample is `rejected`.
4. A picture has one class: where what stands chose several, there is no label to take.
5. Every other label is kept as a vote. Drafts are kept as drafts; predictions are no labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from nhan.catalog import State
from nhan.samples.doors.label_studio.opinions import Opinion, is_bad, is_quality
from nhan.samples.record import Vote

# Fields of a labelling interface that usually hold the label, when several could.
_LABEL_FIELDS = (
    "text",
    "label",
    "caption",
    "transcription",
    "transcript",
    "ocr",
    "answer",
    "class",
    "classes",
    "choice",
)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Field:
    """Where an export keeps its labels.

    Attributes:
        name: field of the labelling interface.
        is_choice: the label is a choice, not a text. For a task of texts only where an export has
            no texts at all: beside a caption, choices are a verdict on the picture. For a task of
            choices wherever there are any: beside a class, a text is a remark.
        ambiguous: fields that could all be meant; then no label is taken.
    """

    name: str = ""
    is_choice: bool = False
    ambiguous: tuple[str, ...] = ()

    @classmethod
    def of(cls, opinions: Iterable[Opinion], asked: str = "", *, choices: bool = False) -> Field:
        """Decide once, after a look at all opinions of an export.

        Args:
            opinions: of all tasks.
            asked: the field that the user named.
            choices: the task's labels are chosen from a list.
        """
        texts: set[str] = set()
        chosen_in: set[str] = set()
        verdicts: set[str] = set()
        flat = False
        for opinion in opinions:
            flat = flat or opinion.flat
            texts.update(opinion.texts)
            for name, chosen in opinion.choices.items():
                (verdicts if all(map(is_quality, chosen)) else chosen_in).add(name)
        if asked:
            is_choice = asked in chosen_in | verdicts
            return cls(asked, is_choice=is_choice and (choices or asked not in texts))
        if choices:
            # In JSON-MIN a class is a text, unless it happens to be called "good".
            others = texts & verdicts or texts if flat else verdicts
            names = sorted(chosen_in or others or verdicts or texts)
        else:
            names = sorted(texts or chosen_in or verdicts)
        preferred = next((name for name in _LABEL_FIELDS if name in names), None)
        if preferred is None and len(names) > 1:
            return cls(ambiguous=tuple(names))
        name = preferred or (names[0] if names else "")
        is_choice = name in chosen_in | verdicts if choices else not texts and bool(names)
        return cls(name, is_choice=is_choice)


@dataclass(frozen=True)
class Fault:
    """Why a labelled task yields no record: code, message, hint."""

    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Verdict:
    """What stands of a task: parts of a `Record`."""

    label: Vote | None = None
    others: tuple[Vote, ...] = ()
    ground_truth: bool = False
    state: State = State.NEW
    reason: str = ""


def judge(opinions: Sequence[Opinion], where: Field) -> Verdict | Fault:
    """Apply the rule at the top of this module to one task."""
    given = sorted((one for one in opinions if not one.cancelled and not one.draft), key=_rank)
    drafts = _votes((one for one in opinions if one.draft and not one.cancelled), where)
    if not given:
        return _unlabelled(opinions, drafts)
    if where.ambiguous:
        message = f"labels stand in several fields: {', '.join(where.ambiguous)}"
        return Fault("ambiguous_label", message, "choose one with --label-column FIELD")
    best = given[-1]
    others = (*_votes(given[:-1], where), *drafts)
    label = _vote(best, where)
    if bad := _bad_choice(best, where):
        kept = others if label is None else (*others, label)
        return Verdict(None, kept, state=State.REJECTED, reason=f"marked {bad} by {_who(best)}")
    if best.regions:
        return Fault(
            "labels_regions",
            "the annotation labels regions of the picture, not the picture",
            "cut the regions out and import the cuts",
        )
    if len(several := _chosen(best, where)) > 1:
        return Fault(
            "several_choices",
            f"the annotation that stands chose {len(several)}: {', '.join(several)}",
            'leave one in Label Studio; choice="single" of <Choices> allows no more',
        )
    if label is None:
        return Fault("no_label", "the annotation that stands has no label")
    return Verdict(label, others, best.ground_truth, State.LABELLED)


def _unlabelled(opinions: Sequence[Opinion], drafts: tuple[Vote, ...]) -> Verdict:
    if drafts:
        return Verdict(None, drafts, state=State.DRAFT, reason="a draft, not submitted")
    cancelled = [one for one in opinions if one.cancelled]
    if cancelled:
        return Verdict(state=State.SKIPPED, reason=f"skipped by {_who(cancelled[-1])}")
    return Verdict(state=State.NEW, reason="no annotation")


def _rank(opinion: Opinion) -> tuple[bool, datetime, int]:
    return opinion.ground_truth, opinion.given_at or _LONG_AGO, opinion.order


def _votes(opinions: Iterable[Opinion], where: Field) -> tuple[Vote, ...]:
    return tuple(vote for one in opinions if (vote := _vote(one, where)) is not None)


def _vote(opinion: Opinion, where: Field) -> Vote | None:
    if where.is_choice:
        chosen = _chosen(opinion, where)
        value = chosen[0] if len(chosen) == 1 else ""
    else:
        value = opinion.texts.get(where.name, "")
    if not value.strip() or opinion.regions:
        return None
    origin = "labelstudio-draft" if opinion.draft else "labelstudio"
    return Vote(value, opinion.given_by, opinion.external_id, opinion.given_at, origin)


def _chosen(opinion: Opinion, where: Field) -> list[str]:
    """The different choices of the label's field; a row of JSON-MIN has its one as a text."""
    if not where.is_choice:
        return []
    text = opinion.texts.get(where.name) if opinion.flat else None
    return list(dict.fromkeys(opinion.choices.get(where.name) or ([text] if text else [])))


def _bad_choice(opinion: Opinion, where: Field) -> str:
    """The choice beside the label that says the picture is no good; '' for none."""
    for name, chosen in opinion.choices.items():
        if not (where.is_choice and name == where.name):
            for choice in filter(is_bad, chosen):
                return choice
    return ""


def _who(opinion: Opinion) -> str:
    return opinion.given_by or "an annotator"
