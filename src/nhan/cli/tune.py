"""nhan tune."""

from __future__ import annotations

from pathlib import Path

import typer

from nhan.cli.console import print_json, stderr
from nhan.errors import MissingExtra
from nhan.training.threads import wait_briefly
from nhan.workspace import Workspace


def command(
    dataset: str = typer.Argument(metavar="DATASET[@V]", help="Without @V its newest version."),
    space: Path | None = typer.Option(
        None, metavar="FILE", help="A TOML file of what may vary [rate, decay, batches]."
    ),
    trials: int = typer.Option(20, min=1, help="Trainings in all, earlier sessions counted in."),
    minutes: float = typer.Option(0, min=0, help="Of this session; 0: no limit."),
    study: str = typer.Option("", metavar="NAME", help="Name of the search [the dataset's]."),
    config: Path | None = typer.Option(None, metavar="FILE", help="A TOML file of options."),
    settings: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="One option over the file's; repeat it."
    ),
    start: str = typer.Option(
        "", "--from", metavar="MODEL", help="Begin every trial from MODEL[@V], vi-line or a file."
    ),
    as_json: bool = typer.Option(False, "--json", help="One JSON document on stdout."),
) -> None:
    """Search for better training options; prints the config file of the best.

    Hopeless trials are cut short. Interrupted, the same command goes on.

    Example: nhan tune lines --trials 30 --minutes 120 --set length.epochs=5
    """
    wait_briefly()  # before torch starts its threads
    try:
        from nhan.pipeline.tune import tune
        from nhan.training.config import load_config
        from nhan.training.space import load_space
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("nhan"):
            raise
        raise MissingExtra("the search", "train") from error
    more = [f'start_from="{start}"'] if start else []
    chosen = load_config(config, ["track=off", *settings, *more])
    with Workspace.open() as workspace:
        found = tune(
            workspace,
            dataset,
            chosen,
            load_space(space, trained=bool(chosen.start_from)),
            study=study,
            trials=trials,
            minutes=minutes,
            show=not as_json,
            console=stderr,
        )
    if as_json:
        print_json(found.to_json())
    elif found.config is None:
        typer.echo("no trial has ended yet; the same command goes on")
    else:
        counted = f"{found.finished} trials ended, {found.pruned} cut short, {found.failed} failed"
        stderr.print(f"{found.metric} {found.best:.4f}; {counted}", style="dim", markup=False)
        typer.echo(found.config)
