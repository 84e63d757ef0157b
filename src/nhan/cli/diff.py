"""nhan diff."""

from __future__ import annotations

import typer

from nhan.cli.console import print_json, stdout
from nhan.datasets.diff import DatasetDiff, diff
from nhan.datasets.read import open_dataset
from nhan.errors import UserError
from nhan.workspace import Workspace

_LISTED = 10


def command(
    before: str = typer.Argument(metavar="NAME@A", help="Old version."),
    after: str = typer.Argument(metavar="NAME@B", help="New version."),
    json: bool = typer.Option(False, "--json", help="One JSON document on stdout, every change."),
) -> None:
    """Compare two dataset versions: added, removed, relabelled and moved samples.

    Example: nhan diff lines@3fa1 lines
    """
    with Workspace.open() as workspace:
        old, new = (open_dataset(workspace.store, name) for name in (before, after))
        if old.task != new.task:
            raise UserError(
                f"{old.ref} holds labels of {old.task!r}, {new.ref} of {new.task!r}",
                hint="compare versions of one task",
            )
        found = diff(old, new)
    if json:
        print_json(found.to_json())
    else:
        _print(found)


def _print(found: DatasetDiff) -> None:
    stdout.print(f"{found.before} → {found.after}", markup=False)
    for reference, splits in found.counts.items():
        listed = ", ".join(f"{split} {count}" for split, count in splits.items())
        stdout.print(f"  {reference}: {listed}", markup=False)
    if found.empty:
        stdout.print("  the same")
    for title, members in (("added", found.added), ("removed", found.removed)):
        lines = [f"{one.split}  {one.source}  {one.label}" for one in members]
        _list(title, lines)
    for title, changes in (("relabelled", found.relabelled), ("moved split", found.moved)):
        _list(title, [f"{one.source}  {one.before} → {one.after}" for one in changes])


def _list(title: str, lines: list[str]) -> None:
    if not lines:
        return
    stdout.print(f"  {len(lines)} {title}")
    for line in lines[:_LISTED]:
        stdout.print(f"    {line}", markup=False)
    if len(lines) > _LISTED:
        stdout.print(f"    … and {len(lines) - _LISTED} more (--json lists all)")
