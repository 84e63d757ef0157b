"""nhan doctor."""

from __future__ import annotations

import typer

from nhan.cli.console import print_json, stdout
from nhan.doctor import Check, examine
from nhan.errors import JobFailed
from nhan.settings import Settings, describe_settings

_MARKS = {
    "ok": "[green]✓[/]",
    "warning": "[yellow]![/]",
    "missing": "[dim]–[/]",
    "error": "[red]✗[/]",
}


def command(
    json: bool = typer.Option(False, "--json", help="One JSON document on stdout."),
    settings: bool = typer.Option(False, "--settings", help="List every setting and its meaning."),
) -> None:
    """Explain what this machine and this workspace have and lack; exit 1 if something is broken.

    Example: nhan doctor --workspace shop
    """
    if settings:
        for line in describe_settings(Settings):
            typer.echo(line)
        return
    checks = examine()
    if json:
        print_json({"checks": [check.to_json() for check in checks]})
    else:
        for check in checks:
            _print(check)
    broken = [check.name for check in checks if check.state == "error"]
    if broken:
        raise JobFailed(f"broken: {', '.join(broken)}", hint="each line above says what to do")


def _print(check: Check) -> None:
    stdout.print(f"{_MARKS[check.state]} {check.name:<14} {check.message}", markup=True)
    if check.hint and check.state != "ok":
        stdout.print(f"    → {check.hint}", markup=False)
