"""nhan models."""

from __future__ import annotations

from typing import Any

import typer
from rich.table import Table

from nhan.cli.console import print_json, stdout
from nhan.evaluation.inventory import ModelEntry, inventory
from nhan.evaluation.record import metric_label
from nhan.workspace import Workspace


def command(
    model: str = typer.Argument("", metavar="[MODEL]", help="One model; without it, all."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """List models with their versions, scores, champion and promotion log.

    Example: nhan models vi-line
    """
    with Workspace.open() as workspace:
        found = inventory(workspace.store, model)
    if as_json:
        print_json([entry.to_dict() for entry in found])
        return
    if not found:
        typer.echo("no models yet; train one: nhan train DATASET")
    for entry in found:
        _show(entry, log=bool(model))


def _show(entry: ModelEntry, *, log: bool) -> None:
    table = Table(title=entry.name, title_justify="left", box=None, pad_edge=False)
    for heading in ("", "version", "made", "dataset", "answers with", "scored on", "result"):
        table.add_column(heading)
    for version in entry.versions:
        first, *more = version.scores or [{}]
        mark = "champion" if version.version == entry.champion else ""
        facts = (str(version.version), version.created[:16], version.dataset, version.serve)
        table.add_row(mark, *facts, *_score(first))
        for score in more:
            table.add_row("", "", "", "", "", *_score(score))
    stdout.print(table)
    if log:
        stdout.print()
        for number, promotion in enumerate(entry.log, start=1):
            words = (promotion.verdict or {}).get("words", "")
            said = "; ".join(filter(None, (promotion.because, words)))
            by = f" by {promotion.by}" if promotion.by else ""
            stdout.print(
                f"{number:>4}  {promotion.at[:19]}  {promotion.action} {promotion.version}{by}"
                + (f": {said}" if said else ""),
                markup=False,
            )


def _score(score: dict[str, Any]) -> tuple[str, str]:
    if not score:
        return "", "not evaluated"
    result = (
        f"{metric_label(score['metric'])} {score['value']:.4f} "
        f"({score['low']:.4f} to {score['high']:.4f}, {score['samples']:,} samples)"
    )
    return f"{score['dataset']} {score['split']}", result
