"""nhan backup."""

from __future__ import annotations

from pathlib import Path

import typer

from nhan.backup import back_up
from nhan.cli.console import counting
from nhan.workspace import Workspace


def command(file: Path = typer.Argument(help="The file to write; must not exist.")) -> None:
    """Write the workspace into one file: catalogue, objects, settings, keys.

    The server may run meanwhile; what its spool still holds is not in the file.

    Example: nhan backup shop.nhan
    """
    with Workspace.open() as workspace, counting("backup") as tell:
        report = back_up(workspace, file, progress=tell)
    typer.echo(
        f"{file}: {report.rows:,} rows, {report.objects:,} objects, {report.size / 1e6:.1f} MB"
    )
