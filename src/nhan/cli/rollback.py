"""nhan rollback."""

from __future__ import annotations

import typer

from nhan.cli.console import print_json
from nhan.cli.who import who
from nhan.models.registry import Registry
from nhan.workspace import Workspace


def command(
    model: str = typer.Argument(metavar="MODEL", help="The model's name."),
    because: str = typer.Option("", help="Why; kept in the promotion log."),
    as_json: bool = typer.Option(False, "--json", help="Print the log entry as JSON."),
) -> None:
    """Bring the champion before this one back. Again: the one before that.

    Example: nhan rollback vi-line --because "misreads dates"
    """
    with Workspace.open() as workspace:
        entry = Registry(workspace.store).rollback(model, because=because, by=who())
    if as_json:
        print_json(entry.model_dump())
        return
    typer.echo(f"{model}@{entry.version} is the champion again, after version {entry.previous}")
