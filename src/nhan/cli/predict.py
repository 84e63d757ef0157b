"""nhan predict."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from nhan.cli.console import print_json
from nhan.errors import NotFound
from nhan.models.predict import choose, predict_files
from nhan.models.predictor import Predictor
from nhan.tasks import get_task
from nhan.workspace import Workspace


def command(
    sources: list[Path] = typer.Argument(metavar="FILE…", help="Pictures, or folders of them."),
    model: str = typer.Option(
        "", metavar="MODEL[@V]", help="Without @V: the champion. Without it: the only model."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print a JSON list of predictions."),
) -> None:
    """Answer for picture files and folders. What cannot be read is reported; then exit 1.

    Example: nhan predict scans/ --model vi-line
    """
    workspace = _workspace()
    package = choose(workspace, model)
    predictor = Predictor.load(package, limits=workspace.picture_limits if workspace else None)
    describe = get_task(package.spec.task).describe
    named = len(sources) > 1 or sources[0].is_dir()
    failed, hinted = False, ""
    documents = []
    for prediction in predict_files(predictor, sources):
        failed |= prediction.error is not None
        if as_json:
            documents.append(prediction.to_dict(package))
        elif prediction.error is not None:
            typer.echo(f"error: {prediction.file}: {prediction.error.message}", err=True)
            if (hint := prediction.error.hint) != hinted:  # of a row of the same faults, once
                typer.echo(f"hint: {hint}", err=True)
            hinted = hint
        elif prediction.answer is not None:
            shown = describe(prediction.answer)
            # Several lines are shown below the file's name, one beside it.
            join = "\n" if "\n" in shown else "\t"
            typer.echo((f"{prediction.file}{join}" if named else "") + shown)
    if as_json:
        print_json(documents)
    if failed:
        raise typer.Exit(1)


def _workspace() -> Workspace | None:
    """The workspace, if there is one: the bundled reader answers without.

    One that was asked for by name must exist.
    """
    try:
        return Workspace.open()
    except NotFound:
        if os.environ.get("NHAN_WORKSPACE"):
            raise
        return None
