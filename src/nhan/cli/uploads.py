"""nhan uploads."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import typer
from rich.table import Table

from nhan.catalog import State
from nhan.catalog.uploads import UploadRow, list_uploads
from nhan.cli.console import counting, print_json, print_table, stderr
from nhan.errors import UserError
from nhan.uploads.erase import EraseReport
from nhan.uploads.intake import IntakeReport
from nhan.workspace import Workspace

app = typer.Typer(
    help="What users sent: take it in, list it, give it back, erase it.\n\n"
    "Example: nhan uploads intake",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)

_SHOWN = 20


@app.command()
def intake(
    limit: int = typer.Option(0, min=0, help="At most so many uploads; 0: all."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Count what waits, change nothing."),
    json: bool = typer.Option(False, "--json", help="One JSON document on stdout."),
) -> None:
    """Take what the server collected into the catalogue: samples, predictions, corrections.

    It may be interrupted, repeated, and run twice at once.

    Example: nhan uploads intake
    """
    from nhan.uploads.intake import take_in

    with Workspace.open() as workspace, counting("uploads", quiet=json) as tell:
        report = take_in(workspace, limit=limit or None, dry_run=dry_run, progress=tell)
    if json:
        print_json(report.to_json())
    else:
        _print_intake(report)


@app.command("list")
def list_(
    user: str = typer.Option("", metavar="U", help="Only those of this user."),
    state: str = typer.Option("", help="Only samples in this state: new, queued, labelled …"),
    limit: int = typer.Option(_SHOWN, min=1, help="At most so many, newest first."),
    json: bool = typer.Option(False, "--json", help="One JSON document on stdout."),
) -> None:
    """List uploads that were taken in, newest first.

    Example: nhan uploads list --user lan --limit 50
    """
    if state and state not in set(State):
        raise UserError(f"no state {state!r}", hint=f"states: {', '.join(State)}")
    with Workspace.open() as workspace:
        found = list_uploads(workspace.catalog, user=user or None, state=state, newest_first=True)
        rows = list(islice(found, limit))
    if json:
        print_json([_to_json(row) for row in rows])
        return
    if not rows:
        stderr.print("no such upload was taken in; nhan uploads intake takes in what waits")
        return
    table = Table("id", "at", "answer", "sure", "label", "state", "user", "model", box=None)
    table.columns[0].no_wrap = table.columns[3].no_wrap = True  # an id is there to be copied
    for row in rows:
        table.add_row(
            row.id, f"{row.at:%Y-%m-%d %H:%M}", row.value, f"{row.confidence:.2f}",
            row.label or "", row.state, row.user, f"{row.model}@{row.version}",
        )  # fmt: skip
    print_table(table)


@app.command()
def erase(
    user: str = typer.Option("", metavar="U", help="Everything of this user."),
    upload: str = typer.Option("", metavar="ID", help="One upload, by the id of its answer."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Report, change nothing."),
    json: bool = typer.Option(False, "--json", help="One JSON document on stdout."),
) -> None:
    """Erase uploads: pictures, answers, corrections, samples; there is no way back.

    Reports which dataset versions and models contained them; those do not change.

    Example: nhan uploads erase --user lan --dry-run
    """
    from nhan.uploads.erase import erase as erase_uploads

    with Workspace.open() as workspace:
        report = erase_uploads(workspace, user=user, upload=upload, dry_run=dry_run)
    if json:
        print_json(report.to_json())
    else:
        _print_erased(report)


@app.command()
def export(
    user: str = typer.Option(metavar="U", help="Whose uploads."),
    out: Path = typer.Option(metavar="DIR", help="A new folder."),
    json: bool = typer.Option(False, "--json", help="One JSON document on stdout."),
) -> None:
    """Write everything kept of one user: their pictures, what they corrected, uploads.json.

    Example: nhan uploads export --user lan --out lan/
    """
    from nhan.uploads.export import export_user

    with Workspace.open() as workspace:
        report = export_user(workspace, user, out)
    if json:
        print_json(report.to_json())
        return
    typer.echo(str(report.folder))
    stderr.print(f"{report.uploads} uploads, {report.missing} without their picture", markup=False)
    if report.corrections:
        stderr.print(f"{report.corrections} corrections of others' pictures", markup=False)


def _print_intake(report: IntakeReport) -> None:
    if report.dry_run:
        typer.echo(f"{report.waiting} objects wait in the inbox")
        return
    typer.echo(
        f"{report.taken} uploads taken in ({report.samples} new pictures, {report.queued} chosen "
        f"for review), {report.known} known, {report.new_corrections} corrections"
    )
    for outcome, count in sorted(report.corrections.items()):
        stderr.print(f"    {count} corrections: {outcome}", markup=False)
    for count, what in (
        (report.notes, "disagreements of candidates"),
        (report.erased, "dropped: they were erased"),
        (report.expired, "removed: older than uploads.keep_days and never labelled"),
        (report.waiting, "still wait"),
    ):
        if count:
            stderr.print(f"    {count} {what}", markup=False)
    for path, reason in report.refused[:_SHOWN]:
        stderr.print(f"! {path}: {reason}", markup=False)
    if len(report.refused) > _SHOWN:
        stderr.print(f"! … and {len(report.refused) - _SHOWN} more (--json lists all)")


def _print_erased(report: EraseReport) -> None:
    removed = report.removed
    done = "would be erased" if report.dry_run else "erased"
    typer.echo(
        f"{removed.uploads + report.waiting} uploads {done}, with {removed.samples} samples "
        f"and {removed.pictures} pictures"
    )
    if removed.kept:
        stderr.print(f"{removed.kept} samples stay: others sent the same picture", markup=False)
    if report.anonymous:
        stderr.print(f"{report.anonymous} corrections stay, without the name", markup=False)
    for ref, count in report.datasets.items():
        stderr.print(f"! dataset {ref} contains {count} of these pictures", markup=False)
    for ref in report.models:
        stderr.print(f"! model {ref} was trained on one of these datasets", markup=False)


def _to_json(row: UploadRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in UploadRow.__dataclass_fields__}
