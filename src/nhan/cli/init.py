"""nhan init."""

from __future__ import annotations

from pathlib import Path

import typer

from nhan.workspace import Workspace


def command(
    directory: Path = typer.Argument(metavar="DIR", help="Folder to make; may exist."),
    objects: str = typer.Option(
        "", metavar="URL", help="Object store: folder or s3://bucket/prefix."
    ),
    catalog: str = typer.Option(
        "", metavar="URL", help="Catalogue: sqlite:///FILE or postgresql://…"
    ),
) -> None:
    """Make a workspace: a folder with settings, an object store and a catalogue.

    Example: nhan init shop --objects s3://shop/nhan --catalog postgresql://db/nhan
    """
    with Workspace.init(directory, objects=objects or None, catalog=catalog or None) as workspace:
        typer.echo(f"workspace {workspace.root}")
        typer.echo(f"objects   {workspace.store.place}")
        typer.echo(f"catalogue {workspace.catalog.place}")
        typer.echo(f"next: cd {directory} && nhan import PICTURES")
