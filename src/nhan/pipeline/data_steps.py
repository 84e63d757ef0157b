"""The steps of a round that end in a dataset version: intake, pull, audit, freeze."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nhan.catalog import TRAINABLE
from nhan.catalog.samples import read_rows
from nhan.datasets.audit import audit
from nhan.datasets.findings import AuditReport
from nhan.datasets.freeze import freeze
from nhan.datasets.read import open_dataset
from nhan.errors import (
    DeadlinePassed,
    Forbidden,
    MissingExtra,
    NotFound,
    SettingsError,
    Unauthorized,
    UpstreamFailed,
)
from nhan.pipeline.cache import forget, key_of, labelled_content, remember, remembered
from nhan.pipeline.step import Outcome, Plan, Work
from nhan.pipeline.step_words import say
from nhan.review.labelstudio.connection import load_connection
from nhan.sentences import Sentence
from nhan.uploads.intake import take_in
from nhan.watching.fresh import FreshLabels
from nhan.workspace import Workspace

if TYPE_CHECKING:
    from nhan.review.labelstudio.report import PullReport

# Kinds of findings that are named in a refusal.
_NAMED = 3


def take_uploads(work: Work) -> Outcome:
    """Collected uploads and corrections into the catalogue."""
    report = take_in(work.workspace)
    outputs = report.to_json()
    if not report.taken and not report.new_corrections:
        return Outcome("skipped", say("intake.nothing"), outputs)
    parts = [say("intake.taken", uploads=report.taken, corrections=report.new_corrections)]
    if report.refused:
        why = report.refused[0][1]
        parts.append(say("intake.set_aside", refused=len(report.refused), why=why))
    return Outcome("ran", say("several", parts=parts), outputs)


def pull_labels(work: Work) -> Outcome:
    """New labels from Label Studio, where it is set up."""
    try:
        report = fetch_labels(work.workspace, work.plan.task)
    except (UpstreamFailed, DeadlinePassed, Unauthorized, Forbidden, SettingsError) as error:
        # What people labelled there comes with the next round; what is here need not wait for it.
        return Outcome("skipped", say("pull.away", why=error.message))
    if report is None:
        return Outcome("skipped", say("pull.none"))
    if not report.changed:
        because = say("pull.unchanged", project=report.project)
        return Outcome("skipped", because, report.to_json())
    because = say("pull.pulled", labels=report.labels, project=report.project)
    return Outcome("ran", because, report.to_json())


def fetch_labels(workspace: Workspace, task: str) -> PullReport | None:
    """Pull from the Label Studio project of a task; None where none is set up.

    Raises:
        MissingExtra: it is set up and its client is not installed.
        SettingsError: there is no token.
        NhanError: Label Studio is away or refuses.
    """
    try:
        connection = load_connection(workspace.store, task)
    except NotFound:
        return None
    try:
        from nhan.review.labelstudio.client import LabelStudio
        from nhan.review.labelstudio.pull import pull
        from nhan.review.labelstudio.tokens import read_token
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("nhan"):
            raise
        raise MissingExtra("Label Studio", "labelstudio") from error
    with LabelStudio(connection.address, read_token()) as client:
        return pull(workspace, client, connection)


def look_over(work: Work) -> Outcome:
    """The label doctor: what must be fixed keeps a round from training on it."""
    workspace, task = work.workspace, work.plan.task
    key = audit_key(workspace, task)
    known = None if work.plan.again else remembered(workspace.store, "audit", key)
    if known is not None:
        outputs = known["outputs"]
        if outputs["errors"] and workspace.settings.loop.audit == "refuse":
            return Outcome("refused", _refusal(outputs), outputs, key)
        return Outcome("skipped", say("audit.unchanged", round=known["round"]), outputs, key)
    report = audit(workspace, task)
    found = _found(report)
    outputs = {
        "samples": report.samples,
        "errors": report.errors,
        "found": found,
        "said": [one.to_json() for one in found],
    }
    remember(workspace.store, "audit", key, work.plan.number, outputs)
    if report.errors and workspace.settings.loop.audit == "refuse":
        return Outcome("refused", _refusal(outputs), outputs, key)
    code = "audit.faults" if report.errors else "audit.looked"
    because = say(code, samples=report.samples, errors=report.errors)
    return Outcome("ran", because, outputs, key)


def audit_key(workspace: Workspace, task: str) -> str:
    """Of everything that the label doctor reads."""
    return key_of("audit", task, labelled_content(workspace, task, votes=True))


def _found(report: AuditReport) -> list[Sentence]:
    return [
        say(
            "audit.kind",
            count=finding.count,
            # Logs name the code; a page, which knows the tables of all tasks, what it is called.
            kind=Sentence(finding.code, f"kind.{finding.code}"),
            message=finding.examples[0].message,
        )
        for finding in report.findings
        if finding.severity == "error"
    ]


def _refusal(outputs: dict[str, object]) -> Sentence:
    found = outputs.get("said") or outputs["found"]  # an older release kept English alone
    assert isinstance(found, Sequence)
    return say("audit.refused", errors=outputs["errors"], found=found[:_NAMED])


def freeze_samples(work: Work) -> Outcome:
    """Freeze what may be learned from into a dataset version."""
    workspace, plan = work.workspace, work.plan
    key = freeze_key(workspace, plan)
    known = None if plan.again else remembered(workspace.store, "freeze", key)
    if known is not None:
        try:
            newest = open_dataset(workspace.store, plan.dataset)
        except NotFound:
            newest = None
        if newest is not None and newest.ref == known["outputs"]["dataset"]:
            because = say("freeze.unchanged", round=known["round"], dataset=newest.ref)
            return Outcome("skipped", because, known["outputs"], key)
        forget(workspace.store, "freeze", key)
    if not _trainable(workspace, plan.task):
        return Outcome("refused", say("freeze.no_labels", task=plan.task))
    before = _newest(work)
    found = labelled_content(workspace, plan.task, splits=False)
    report = freeze(workspace, plan.dataset, plan.task)
    dataset = report.dataset
    left_out = FreshLabels(plan.dataset, plan.task).count(workspace)
    # Freezing fixes the splits of new samples, so what the next round finds is read again.
    key = freeze_key(workspace, plan)
    # Read last: a label that came meanwhile is not in the version, and is not known as if it were.
    came = labelled_content(workspace, plan.task, splits=False) != found
    outputs = {
        "dataset": dataset.ref,
        "rows": dataset.count(),
        "splits": dataset.splits,
        "left_out": 0 if came else left_out,
    }
    if not came:
        remember(workspace.store, "freeze", key, plan.number, outputs)
    if before == dataset.ref:
        return Outcome("skipped", say("freeze.same", dataset=dataset.ref), outputs, key)
    splits = [say("freeze.split", split=name, count=n) for name, n in dataset.splits.items()]
    frozen = say("freeze.frozen", dataset=dataset.ref, splits=splits)
    return Outcome("ran", say("several", parts=[frozen, *report.warnings]), outputs, key)


def _trainable(workspace: Workspace, task: str) -> bool:
    return any(row.may_train for row in read_rows(workspace.catalog, task, states=TRAINABLE))


def freeze_key(workspace: Workspace, plan: Plan) -> str:
    """Of everything that a dataset version would hold."""
    return key_of("freeze", plan.dataset, plan.task, labelled_content(workspace, plan.task))


def _newest(work: Work) -> str:
    try:
        return open_dataset(work.workspace.store, work.plan.dataset).ref
    except NotFound:
        return ""
