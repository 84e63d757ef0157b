"""nhan doctor."""

from __future__ import annotations

import typer

from nhan.cli.console import print_json, stdout
from nhan.doctor import Check, examine, try_storage
from nhan.errors import JobFailed, UserError
from nhan.settings import Settings, describe_settings
from nhan.storage import open_store
from nhan.workspace import Workspace

_MARKS = {
    "ok": "[green]✓[/]",
    "warning": "[yellow]![/]",
    "missing": "[dim]–[/]",
    "error": "[red]✗[/]",
}


def command(
    part: str = typer.Argument("", metavar="[storage]", help="Look at this part alone."),
    url: str = typer.Argument(
        "", metavar="[URL]", help="A folder or s3://BUCKET/PREFIX; empty: the workspace's."
    ),
    json: bool = typer.Option(False, "--json", help="One JSON document on stdout."),
    settings: bool = typer.Option(False, "--settings", help="List every setting and its meaning."),
) -> None:
    """Explain what this machine and this workspace have and lack; exit 1 if something is broken.

    Example: nhan doctor --workspace shop

    Example: nhan doctor storage s3://pictures/shop   tries to list, write, read, create and delete
    """
    if settings:
        for line in describe_settings(Settings):
            typer.echo(line)
        return
    if part not in ("", "storage"):
        raise UserError(f"the doctor knows no part {part!r}", hint="nhan doctor [storage [URL]]")
    checks = _storage(url) if part else examine()
    if json:
        print_json({"checks": [check.to_json() for check in checks]})
    else:
        for check in checks:
            _print(check)
    broken = [check.name for check in checks if check.state == "error"]
    if broken:
        raise JobFailed(f"broken: {', '.join(broken)}", hint="each line above says what to do")


def _storage(url: str) -> list[Check]:
    if not url:
        with Workspace.open() as workspace:
            return try_storage(workspace.store)
    return try_storage(open_store(url))


def _print(check: Check) -> None:
    stdout.print(f"{_MARKS[check.state]} {check.name:<14} {check.message}", markup=True)
    if check.hint and check.state != "ok":
        stdout.print(f"    → {check.hint}", markup=False)
