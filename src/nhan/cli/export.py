"""nhan export."""

from __future__ import annotations

from pathlib import Path

import typer

from nhan.deploy.forms import MODEL_FORMS, PIPELINE, PIPELINE_FORMS, write_model, write_pipeline
from nhan.models.predict import choose
from nhan.workspace import Workspace

_FORMS = ", ".join([*MODEL_FORMS, *PIPELINE_FORMS])


def command(
    model: str = typer.Argument(
        metavar="MODEL[@V]|pipeline",
        help="Without @V: the champion, or newest. `pipeline`: the loop's steps.",
    ),
    form: str = typer.Option(..., "--as", metavar="FORM", help=f"One of: {_FORMS}."),
    out: Path = typer.Option(..., metavar="PATH", help="Folder (or file) to write."),
) -> None:
    """Write a model, or the steps of the loop, in another system's form.

    Example: nhan export vi-line@7 --as onnx --out vi-line-7
    """
    with Workspace.open() as workspace:
        if model == PIPELINE:
            written = write_pipeline(workspace, form, out)
        else:
            package = choose(workspace, model)
            written = write_model(workspace, package, form, out)
            typer.echo(f"{package.ref} as {form}:", err=True)
    for path in written:
        typer.echo(str(path))
