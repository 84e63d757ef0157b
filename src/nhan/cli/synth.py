"""nhan synth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from nhan.cli.console import counting, print_json, stdout
from nhan.errors import MissingExtra


def command(
    directory: Path = typer.Argument(
        metavar="DIR", help="Folder to write; may exist if it is ours."
    ),
    lines: int = typer.Option(..., "--lines", metavar="N", min=0, help="Pictures in the folder."),
    seed: int = typer.Option(0, "--seed", metavar="S", min=0, help="Same seed, same lines."),
    recipe: str = typer.Option(
        "default", help="clean, degraded, photo, handwriting, short, default, or a TOML file."
    ),
    processes: int = typer.Option(0, min=0, help="Worker processes; 0: this one alone."),
    json: bool = typer.Option(False, "--json", help="One JSON document on stdout."),
) -> None:
    """Write a folder of synthetic Vietnamese line pictures with labels.json.

    Interrupted, the same command goes on; a larger --lines adds to the folder.

    Example: nhan synth lines --lines 2000 --seed 7 --recipe clean
    """
    try:
        from nhan.synth import load_recipe, write_folder
    except ModuleNotFoundError as error:
        raise MissingExtra("making lines", "train") from error
    chosen = load_recipe(recipe)
    with counting("lines", quiet=json) as tell:
        report = write_folder(
            directory,
            lines,
            seed=seed,
            recipe=chosen,
            processes=processes,
            progress=tell,
        )
    if json:
        print_json(_plain(report))
        return
    speed = f", {report.made / report.seconds:.0f} lines/s" if report.made else ""
    stdout.print(f"{report.lines} lines in {report.directory} ({report.made} made now{speed})")
    for name, count in sorted(report.kinds.items(), key=lambda item: -item[1]):
        stdout.print(f"  {name:<12} {count}")
    stdout.print(f"next: nhan import {directory}")


def _plain(report: Any) -> dict[str, Any]:
    return {
        "directory": str(report.directory),
        "lines": report.lines,
        "made": report.made,
        "seconds": round(report.seconds, 3),
        "kinds": report.kinds,
        "fonts": report.fonts,
    }
