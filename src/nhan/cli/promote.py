"""nhan promote."""

from __future__ import annotations

import typer

from nhan.cli.console import print_json, stderr
from nhan.cli.who import who
from nhan.errors import GateRefused
from nhan.evaluation.promotion import promote
from nhan.pipeline.announce import announce_by_hand
from nhan.workspace import Workspace


def command(
    model: str = typer.Argument(metavar="MODEL@V", help="The version; without @V the newest."),
    because: str = typer.Option("", help="Why; kept in the promotion log."),
    force: bool = typer.Option(False, "--force", help="Whatever the gate says; needs --because."),
    as_json: bool = typer.Option(
        False, "--json", help="Print the log entry, or the refusal, as JSON."
    ),
) -> None:
    """Make a version the champion, if the gate finds it better. Refused: exit 1, with the reason.

    Example: nhan promote vi-line@7 --because "reads the new receipts"
    """

    def say(words: str) -> None:
        stderr.print(words, style="dim", markup=False)

    by = who()
    with Workspace.open() as workspace:
        try:
            promoted = promote(workspace, model, because=because, by=by, force=force, say=say)
        except GateRefused as error:
            announce_by_hand(workspace, "refused", say, by=by, candidate=model, words=error.message)
            if as_json:
                print_json(error.to_json())
            raise
        champion = f"{model.partition('@')[0]}@{promoted.promotion.version}"
        announce_by_hand(workspace, "promoted", say, by=by, champion=champion, because=because)
    entry = promoted.promotion
    if as_json:
        print_json({"number": promoted.number, **entry.model_dump()})
        return
    name = model.partition("@")[0]
    before = f", after version {entry.previous}" if entry.previous else ""
    typer.echo((entry.verdict or {}).get("words", ""))
    typer.echo(f"{name}@{entry.version} is the champion{before} (log entry {promoted.number})")
