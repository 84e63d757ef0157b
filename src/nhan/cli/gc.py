"""nhan gc."""

from __future__ import annotations

from datetime import timedelta

import typer
from rich.table import Table

from nhan.cli.console import print_json, progress, stdout
from nhan.gc.report import KINDS, SET_ASIDE, GcReport
from nhan.gc.run import CACHES, GRACE, collect_garbage
from nhan.workspace import Workspace

_SHOWN = 20
_HOUR = timedelta(hours=1)


def command(
    dry_run: bool = typer.Option(False, "--dry-run", help="List what would go; change nothing."),
    older_than: float = typer.Option(
        GRACE / _HOUR,
        min=0,
        metavar="HOURS",
        help="Leave alone what is younger; under 2 only while nothing else runs.",
    ),
    caches: float = typer.Option(
        CACHES / timedelta(days=1), min=0, metavar="DAYS", help="Keep caches used since then."
    ),
    checkpoints: bool = typer.Option(
        False, "--checkpoints", help="Also drop what only resuming a published run would need."
    ),
    json: bool = typer.Option(False, "--json", help="One JSON document on stdout."),
) -> None:
    """Clear away what nothing refers to: forgotten pictures, half-written files, unused caches.

    Server, intake, freeze and training may run meanwhile. Pictures and unfinished datasets are set
    aside first; a later call puts back what is missed after all, and frees the rest. Models,
    dataset versions, logs, labels and uploads are never touched.

    Example: nhan gc --dry-run
    """
    with Workspace.open() as workspace, progress("", quiet=json) as display:
        bar = display.add_task("looking", total=None)

        def tell(what: str) -> None:
            display.update(bar, description=f"looking at {what}", advance=1)

        report = collect_garbage(
            workspace,
            grace=older_than * _HOUR,
            caches=timedelta(days=caches),
            checkpoints=checkpoints,
            dry_run=dry_run,
            progress=tell,
        )
    if json:
        print_json(report.to_json())
    else:
        _print(report)


def _print(report: GcReport) -> None:
    if not report.found and not report.put_back:
        typer.echo("nothing to clear away")
        return
    table = Table("count", "bytes", "what", box=None)
    for kind, what in KINDS.items():
        if count := report.count(kind):
            table.add_row(f"{count:,}", f"{report.size(kind):,}", what)
    stdout.print(table)
    for one in report.found[:_SHOWN] if report.dry_run else ():
        typer.echo(f"    {one.kind}: {one.path} ({one.size:,} bytes)")
    if report.dry_run and len(report.found) > _SHOWN:
        typer.echo(f"    … and {len(report.found) - _SHOWN:,} more (--json lists all)")
    if report.put_back:
        word = "would be put" if report.dry_run else "put"
        typer.echo(f"{len(report.put_back)} objects {word} back: something refers to them")
    word = "would be " if report.dry_run else ""
    typer.echo(f"{report.freed / 1e6:.1f} MB {word}freed")
    if any(report.count(kind) for kind in SET_ASIDE):
        typer.echo(f"{report.aside / 1e6:.1f} MB {word}set aside; a later `nhan gc` frees them")
