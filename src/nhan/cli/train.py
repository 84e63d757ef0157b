"""nhan train."""

from __future__ import annotations

from pathlib import Path

import typer

from nhan.cli.console import print_json, stderr
from nhan.cli.who import who
from nhan.errors import Interrupted, MissingExtra, UserError
from nhan.pipeline.announce import announce_by_hand
from nhan.training.threads import wait_briefly
from nhan.workspace import Workspace


def command(
    dataset: str = typer.Argument("", metavar="DATASET[@V]", help="Without @V its newest version."),
    model: str = typer.Option("", metavar="NAME", help="Name of the model [the dataset's]."),
    config: Path | None = typer.Option(None, metavar="FILE", help="A TOML file of options."),
    devices: int = typer.Option(
        0, min=0, metavar="N", help="GPUs, or CPU processes, that share every batch [1]."
    ),
    settings: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="One option over the file's; repeat it."
    ),
    start: str = typer.Option(
        "", "--from", metavar="MODEL", help="Begin from MODEL[@V], vi-line, a run or a file."
    ),
    run: str = typer.Option("", metavar="RUN", help="Id of the new run [made up]."),
    resume: str = typer.Option("", metavar="RUN", help="Go on with an interrupted run."),
    int8: bool = typer.Option(False, "--int8", help="Also make an int8 model, if it loses little."),
    out: Path | None = typer.Option(
        None, metavar="DIR", help="Train on made samples only, into this folder; no dataset."
    ),
    dev: list[Path] = typer.Option(
        [], metavar="DIR", help="With --out: a folder with labels.json to score, never to learn."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the new version as JSON."),
) -> None:
    """Train a model on a dataset version; prints MODEL@VERSION.

    Example: nhan train lines --model reader --from vi-line --set length.epochs=10
    """
    wait_briefly()  # before torch starts its threads
    try:
        from nhan.training.config import load_config
    except ModuleNotFoundError as error:
        raise MissingExtra("training", "train") from error
    more = [f"machine.devices={devices}"] if devices else []
    chosen = load_config(config, [*settings, *more])
    if out is not None:
        from nhan.training.group import launched
        from nhan.training.streamed import train_stream

        if (count := chosen.machine.devices) > 1 and not launched():
            raise UserError(
                f"--out trains in one process, and {count} devices are asked for",
                hint=f"torchrun --nproc-per-node {count} -m nhan train --out {out} …",
            )

        going_on = (out / "config.json").exists()
        train_stream(chosen, out, resume=going_on, dev=dev, show=not as_json, console=stderr)
        if as_json:
            print_json({"out": str(out)})
        else:
            typer.echo(out)
        return
    if not dataset and not resume:
        raise UserError("no dataset to train on", hint="nhan train DATASET   or   --resume RUN")
    from nhan.pipeline.make_model import make_model, resume_model

    def say(words: str) -> None:
        stderr.print(words, style="dim", markup=False)

    with Workspace.open() as workspace:
        try:
            if resume:
                if config is not None or settings:
                    say(f"{resume} goes on with the settings it began with, not with those given")
                package = resume_model(
                    workspace, resume, model=model, show=not as_json, say=say, console=stderr
                )
            else:
                package = make_model(
                    workspace,
                    dataset,
                    chosen,
                    model=model,
                    start=start,
                    int8=int8,
                    run=run,
                    show=not as_json,
                    say=say,
                    console=stderr,
                )
        except KeyboardInterrupt as error:  # the same command would begin another run
            known = resume or run
            raise Interrupted(
                f"nhan train --resume {known}"
                if known
                else "nhan train --resume RUN, as named above"
            ) from error
    from nhan.training.group import current

    if not current().first:  # the first of several processes speaks for all
        return
    with Workspace.open() as workspace:
        spec = package.spec
        announce_by_hand(
            workspace,
            "run",
            say,
            by=who(),
            candidate=package.ref,
            run=spec.run,
            dataset=spec.dataset,
        )
    if as_json:
        print_json(
            {"model": package.spec.name, "version": package.spec.version, "run": package.spec.run}
        )
    else:
        typer.echo(package.ref)
