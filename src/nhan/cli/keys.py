"""nhan keys."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import typer

from nhan.cli.console import print_json
from nhan.serving import keys
from nhan.workspace import Workspace

app = typer.Typer(
    help="Keys for the server: hashed at rest, shown once.\n\n"
    "Example: nhan keys add kiosk --scope predict",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


@app.command()
def add(
    name: str = typer.Argument(help="Whose key it is."),
    scope: list[str] = typer.Option(
        ["predict"], help=f"What it may do: {', '.join(keys.SCOPES)}; repeat it for several."
    ),
) -> None:
    """Make a key and print it; it cannot be shown again.

    Example: nhan keys add kiosk --scope predict --scope correct
    """
    key, secret = keys.add_key(_file(), name, scope)
    typer.echo(f"{key.id}: {', '.join(key.scopes)}", err=True)
    typer.echo(secret)


@app.command("list")
def list_(as_json: bool = typer.Option(False, "--json", help="One JSON document.")) -> None:
    """List the keys; their secrets are not kept.

    Example: nhan keys list
    """
    held = keys.load_keyring(_file()).keys
    if as_json:
        print_json([{"id": key.id, "name": key.name, "scopes": key.scopes,
                     "created": key.created, "expires": key.expires} for key in held])  # fmt: skip
        return
    for key in held:
        until = f"until {key.expires}" if key.expires else ""
        typer.echo(f"{key.id}  {key.name}  {', '.join(key.scopes)}  {until}".rstrip())


@app.command()
def rotate(
    key_id: str = typer.Argument(metavar="ID", help="As `nhan keys list` shows it."),
    overlap_h: float = typer.Option(24.0, help="How long the old key stays valid, hours."),
) -> None:
    """Make a successor of a key; both are valid for a while.

    Example: nhan keys rotate 3f2a90c1 --overlap-h 48
    """
    _, secret = keys.rotate_key(_file(), key_id, overlap=timedelta(hours=overlap_h))
    typer.echo(secret)


@app.command()
def revoke(
    key_id: str = typer.Argument(metavar="ID", help="As `nhan keys list` shows it."),
) -> None:
    """Forget a key. A running server forgets it at SIGHUP.

    Example: nhan keys revoke 3f2a90c1
    """
    typer.echo(f"revoked {keys.revoke_key(_file(), key_id).id}", err=True)


def _file() -> Path:
    workspace = Workspace.open()
    return workspace.root / workspace.settings.serve.keys
