"""nhan freeze."""

from __future__ import annotations

import typer

from nhan.cli.console import counting, print_json, stderr
from nhan.datasets.freeze import FreezeReport, freeze
from nhan.workspace import Workspace

_LISTED = 10


def command(
    name: str = typer.Argument(metavar="NAME", help="Of the dataset; versions share it."),
    task: str = typer.Option("text", metavar="TASK", help="Whose labels: text, classes."),
    source: list[str] = typer.Option(
        [], metavar="N", help="Only samples of this slice; repeatable."
    ),
    json: bool = typer.Option(False, "--json", help="One JSON document on stdout."),
) -> None:
    """Freeze the labelled samples into a dataset version and print NAME@VERSION.

    Splits never change once given, near-duplicates and document groups stay together, and the
    same content gives the same version.

    Example: nhan freeze lines
    """
    with Workspace.open() as workspace, counting("rows", quiet=json) as tell:
        report = freeze(workspace, name, task, sources=source, progress=tell)
    if json:
        print_json(report.to_json())
    else:
        _print(report)


def _print(report: FreezeReport) -> None:
    """The reference alone on stdout, for scripts; everything else is a remark."""
    dataset = report.dataset
    typer.echo(dataset.ref)
    splits = ", ".join(f"{split} {count}" for split, count in dataset.splits.items())
    what = "frozen before, nothing written" if report.existed else "frozen"
    stderr.print(f"{dataset.count()} rows {what}: {splits}", markup=False)
    for warning in report.warnings:
        stderr.print(f"! {warning}", markup=False)
    for held_out, reason in report.held_out[:_LISTED]:
        stderr.print(f"    {held_out}: {reason}", markup=False)
    if len(report.held_out) > _LISTED:
        stderr.print(f"    … and {len(report.held_out) - _LISTED} more (--json lists all)")
