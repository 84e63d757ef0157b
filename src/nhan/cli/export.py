"""nhan export."""

from __future__ import annotations

from pathlib import Path

import typer

from nhan.errors import UserError
from nhan.models.predict import choose
from nhan.workspace import Workspace

FORMS = ("onnx",)


def command(
    model: str = typer.Argument(metavar="MODEL[@V]", help="Without @V: the champion, or newest."),
    form: str = typer.Option(..., "--as", metavar="FORM", help=f"One of: {', '.join(FORMS)}."),
    out: Path = typer.Option(..., metavar="DIR", help="Folder to write."),
) -> None:
    """Write a model in another system's form.

    Example: nhan export vi-line@7 --as onnx --out vi-line-7
    """
    if form not in FORMS:
        raise UserError(f"no export form {form!r}", hint=f"forms: {', '.join(FORMS)}")
    with Workspace.open() as workspace:
        package = choose(workspace, model)
        written = package.copy_to(out)
    typer.echo(f"{package.ref} written to {written}")
