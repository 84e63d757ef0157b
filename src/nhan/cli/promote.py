"""nhan promote."""

from __future__ import annotations

import typer

from nhan.cli.console import print_json, stderr
from nhan.cli.who import who
from nhan.evaluation.promotion import promote
from nhan.workspace import Workspace


def command(
    model: str = typer.Argument(metavar="MODEL@V", help="The version; without @V the newest."),
    because: str = typer.Option("", help="Why; kept in the promotion log."),
    force: bool = typer.Option(False, "--force", help="Whatever the gate says; needs --because."),
    as_json: bool = typer.Option(False, "--json", help="Print the log entry as JSON."),
) -> None:
    """Make a version the champion, if the gate finds it better. Refused: exit 1, with the reason.

    Example: nhan promote vi-line@7 --because "reads the new receipts"
    """
    with Workspace.open() as workspace:
        promoted = promote(
            workspace,
            model,
            because=because,
            by=who(),
            force=force,
            say=lambda words: stderr.print(words, style="dim", markup=False),
        )
    entry = promoted.promotion
    if as_json:
        print_json({"number": promoted.number, **entry.model_dump()})
        return
    name = model.partition("@")[0]
    before = f", after version {entry.previous}" if entry.previous else ""
    typer.echo((entry.verdict or {}).get("words", ""))
    typer.echo(f"{name}@{entry.version} is the champion{before} (log entry {promoted.number})")
