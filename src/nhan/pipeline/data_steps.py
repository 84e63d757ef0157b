"""The steps of a round that end in a dataset version: intake, pull, audit, freeze."""

from __future__ import annotations

from collections.abc import Sequence

from nhan.datasets.audit import audit
from nhan.datasets.findings import AuditReport
from nhan.datasets.freeze import freeze
from nhan.datasets.read import open_dataset
from nhan.errors import NotFound
from nhan.pipeline.cache import forget, key_of, labelled_content, remember, remembered
from nhan.pipeline.step import Outcome, Work
from nhan.uploads.intake import take_in

# Kinds of findings that are named in a refusal.
_NAMED = 3


def take_uploads(work: Work) -> Outcome:
    """Collected uploads and corrections into the catalogue."""
    report = take_in(work.workspace)
    outputs = report.to_json()
    if not report.taken and not report.new_corrections:
        return Outcome("skipped", "nothing has come in since the last time", outputs)
    words = f"{report.taken} uploads and {report.new_corrections} corrections taken in"
    if report.refused:
        words += f"; {len(report.refused)} set aside, the first because {report.refused[0][1]}"
    return Outcome("ran", words, outputs)


def pull_labels(work: Work) -> Outcome:
    """New labels from Label Studio, where it is set up."""
    del work
    return Outcome("skipped", "Label Studio is not set up")


def look_over(work: Work) -> Outcome:
    """The label doctor: what must be fixed keeps a round from training on it."""
    workspace, task = work.workspace, work.plan.task
    key = key_of(task, labelled_content(workspace, task, votes=True))
    known = None if work.plan.again else remembered(workspace.store, "audit", key)
    if known is not None:
        outputs = known["outputs"]
        if outputs["errors"] and workspace.settings.loop.audit == "refuse":
            return Outcome("refused", _refusal(outputs), outputs, key)
        because = f"no sample or label has changed since round {known['round']}"
        return Outcome("skipped", because, outputs, key)
    report = audit(workspace, task)
    outputs = {"samples": report.samples, "errors": report.errors, "found": _found(report)}
    remember(workspace.store, "audit", key, work.plan.number, outputs)
    if report.errors and workspace.settings.loop.audit == "refuse":
        return Outcome("refused", _refusal(outputs), outputs, key)
    words = f"{report.errors} that must be fixed" if report.errors else "nothing must be fixed"
    return Outcome("ran", f"{report.samples} samples looked over, {words}", outputs, key)


def _found(report: AuditReport) -> list[str]:
    return [
        f"{finding.count} × {finding.code}: {finding.examples[0].message}"
        for finding in report.findings
        if finding.severity == "error"
    ]


def _refusal(outputs: dict[str, object]) -> str:
    found = outputs["found"]
    assert isinstance(found, Sequence)
    shown = "; ".join(str(one) for one in found[:_NAMED])
    return f"{outputs['errors']} things must be fixed before training (nhan audit): {shown}"


def freeze_samples(work: Work) -> Outcome:
    """Freeze what may be learned from into a dataset version."""
    workspace, plan = work.workspace, work.plan
    content = labelled_content(workspace, plan.task)
    key = key_of(plan.dataset, plan.task, content)
    known = None if plan.again else remembered(workspace.store, "freeze", key)
    if known is not None:
        try:
            newest = open_dataset(workspace.store, plan.dataset)
        except NotFound:
            newest = None
        if newest is not None and newest.ref == known["outputs"]["dataset"]:
            because = f"no sample or label has changed since round {known['round']}"
            return Outcome("skipped", f"{because}: {newest.ref}", known["outputs"], key)
        forget(workspace.store, "freeze", key)
    before = _newest(work)
    report = freeze(workspace, plan.dataset, plan.task)
    dataset = report.dataset
    outputs = {"dataset": dataset.ref, "rows": dataset.count(), "splits": dataset.splits}
    # Freezing fixes the splits of new samples, so what the next round finds is read again.
    key = key_of(plan.dataset, plan.task, labelled_content(workspace, plan.task))
    remember(workspace.store, "freeze", key, plan.number, outputs)
    splits = ", ".join(f"{split} {count}" for split, count in dataset.splits.items())
    if before == dataset.ref:
        return Outcome("skipped", f"the same content is {dataset.ref} already", outputs, key)
    words = [f"{dataset.ref}: {splits}", *report.warnings]
    return Outcome("ran", "; ".join(words), outputs, key)


def _newest(work: Work) -> str:
    try:
        return open_dataset(work.workspace.store, work.plan.dataset).ref
    except NotFound:
        return ""
