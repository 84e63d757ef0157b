"""What setup, push and pull tell a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from nhan.cli.console import stdout
from nhan.review.labelstudio.report import PullReport, PushReport

if TYPE_CHECKING:
    from nhan.review.labelstudio.setup import SetupReport

# Lines of a list that a person reads; --json has all.
_LISTED = 10


def print_setup(report: SetupReport) -> None:
    connection = report.connection
    what = "made" if report.made else "brought up to date" if report.config_changed else "ready"
    stdout.print(
        f"project {connection.project} {connection.title!r} {what}: "
        f"{connection.address}/projects/{connection.project}",
        markup=False,
    )
    yes = {True: "connected", False: "none"}
    stdout.print(f"  webhook: {yes[connection.webhook is not None]}")
    stdout.print(f"  live suggestions: {yes[connection.backend is not None]}")
    for note in report.notes:
        typer.echo(f"  note: {note}", err=True)
    stdout.print("next: nhan labelstudio push")


def print_push(report: PushReport) -> None:
    would = "would be " if report.dry_run else ""
    model = f" with what {report.model} reads" if report.suggested else ""
    stdout.print(
        f"{report.pushed} tasks {would}pushed"
        + (f", {report.suggested} of them{model}" if report.suggested else "")
    )
    for count, what in (
        (report.there, "were there already"),
        (report.adopted, f"of an interrupted push {would}recorded"),
        (report.refreshed, f"suggestions {would}brought to {report.model}"),
        (report.relinked, f"links of pictures {would}renewed"),
        (report.gone, "are gone from the project: nhan labelstudio pull"),
        (report.waiting, "more are waiting (--limit)"),
        (report.withheld, "stay here: whoever sent them did not consent"),
        (report.claimed, "are claimed by another push; if that was killed, for three minutes more"),
    ):
        if count:
            stdout.print(f"  {count} {what}")
    _print_skipped(report)
    if report.dry_run:
        stdout.print("nothing was changed (--dry-run)")


def print_pull(report: PullReport) -> None:
    would = "would be " if report.dry_run else ""
    stdout.print(f"{report.read} tasks read, {report.labels} samples {would}labelled")
    words = {
        "labelled": f"{would}labelled",
        "relabelled": f"{would}relabelled",
        "voted": "further opinions",
        "conflict": "conflicts: a label from elsewhere stands, this one is kept as a vote",
        "disagreement": "on which annotators disagree",
        "skipped": f"{would}skipped by annotators",
        "rejected": f"{would}rejected by annotators",
        "withdrawn": "whose annotations were deleted wait again",
    }
    for outcome, what in words.items():
        if report.outcomes[outcome]:
            stdout.print(f"  {report.outcomes[outcome]} {what}")
    for count, what in (
        (report.begun, "drafts begun"),
        (report.dropped, "drafts given up"),
        (report.deleted, f"tasks deleted, {report.unlabelled} of them without a label"),
        (report.erased, f"tasks of samples that were erased here {would}deleted"),
        (report.unchanged, "unchanged"),
    ):
        if count:
            stdout.print(f"  {count} {what}")
    for line in report.changes[:_LISTED]:
        stdout.print(f"    {line}", markup=False)
    if len(report.changes) > _LISTED:
        stdout.print(f"    … and {len(report.changes) - _LISTED} more (--json lists them)")
    _print_skipped(report)
    if report.dry_run:
        stdout.print("nothing was changed (--dry-run)")


def _print_skipped(report: PushReport | PullReport) -> None:
    if not report.skipped:
        return
    stdout.print(f"  {len(report.skipped)} skipped:")
    for one in report.skipped[:_LISTED]:
        stdout.print(f"    {one.name}: {one.message}", markup=False)
    if len(report.skipped) > _LISTED:
        stdout.print(f"    … and {len(report.skipped) - _LISTED} more (--json lists them)")
    for hint in dict.fromkeys(one.hint for one in report.skipped if one.hint):
        stdout.print(f"    → {hint}", markup=False)
