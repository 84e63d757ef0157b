"""nhan restore."""

from __future__ import annotations

from pathlib import Path

import typer

from nhan.backup import restore
from nhan.cli.console import counting


def command(
    file: Path = typer.Argument(help="Written by nhan backup."),
    directory: Path = typer.Argument(metavar="DIR", help="Where the workspace goes."),
    objects: str = typer.Option("", metavar="URL", help="Another object store, empty."),
    catalog: str = typer.Option("", metavar="URL", help="Another catalogue, empty."),
) -> None:
    """Make a workspace of a backup, on the same engines or others.

    Example: nhan restore shop.nhan shop-2 --catalog postgresql://db/nhan
    """
    with counting("restore") as tell:
        report = restore(
            file,
            directory,
            objects=objects or None,
            catalog=catalog or None,
            progress=tell,
        )
    typer.echo(f"{directory}: {report.rows:,} rows, {report.objects:,} objects")
