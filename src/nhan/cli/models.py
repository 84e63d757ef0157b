"""nhan models."""

from __future__ import annotations

from typing import Any

import typer

from nhan.cli.console import print_json
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
    champion = f"champion {entry.champion}" if entry.champion else "no champion yet"
    typer.echo(f"{entry.name}: {champion}")
    for version in entry.versions:
        mark = "*" if version.version == entry.champion else " "
        facts = (version.created[:16], version.serve, f"trained on {version.dataset or 'unknown'}")
        typer.echo(f"{mark}{version.version:>4}  {'  '.join(facts)}")
        for score in version.scores:
            typer.echo(f"{'':>7}{_score(score)}")
        if not version.scores:
            typer.echo(f"{'':>7}not evaluated: nhan evaluate {entry.name}@{version.version}")
    if log and entry.log:
        typer.echo("promotion log")
    for number, promotion in enumerate(entry.log if log else (), start=1):
        by = f" by {promotion.by}" if promotion.by else ""
        typer.echo(f"{number:>5}  {promotion.at[:16]}  {promotion.action} {promotion.version}{by}")
        for said in (promotion.because, (promotion.verdict or {}).get("words", "")):
            if said:
                typer.echo(f"{'':>7}{said}")


def _score(score: dict[str, Any]) -> str:
    return (
        f"{metric_label(score['metric'])} {score['value']:.4f} "
        f"({score['low']:.4f} to {score['high']:.4f}, {score['samples']:,} samples) "
        f"on {score['dataset']} {score['split']}"
    )
