"""nhan serve."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from nhan.errors import NotFound, SettingsError
from nhan.settings import FILE_NAME, Settings, load_settings
from nhan.workspace import find_root

if TYPE_CHECKING:
    from fastapi import FastAPI

    from nhan.serving.context import Context


def command(
    host: str = typer.Option("", help="Main address; others than loopback need keys."),
    port: int | None = typer.Option(
        None, min=0, max=65535, help="Main port; 0 picks a free one. [serve.port, 8000]"
    ),
    root_path: str = typer.Option("", help="Path under which a proxy shows it, e.g. /nhan."),
    admin_host: str = typer.Option("", help="Admin address. [serve.admin_host, 127.0.0.1]"),
    admin_port: int | None = typer.Option(
        None, min=0, max=65535, help="Admin port. [serve.admin_port, 8001]"
    ),
    workers: int | None = typer.Option(
        None, min=0, help="Inference workers; 0 is one per core. [serve.workers, 0]"
    ),
    model: str = typer.Option(
        "", help="The model that /predict asks by default; not ready without it."
    ),
    grace: float | None = typer.Option(
        None, min=0, help="Seconds to finish at a shutdown. [serve.grace_s, 25]"
    ),
    allow_url_hosts: list[str] = typer.Option(
        [], help="Host that image_url may name; repeat it, or '*' for any public address."
    ),
) -> None:
    """Answer over HTTP with the champions of the workspace, or with the bundled reader.

    Example: nhan serve --port 8000   and then   curl -F file=@line.png localhost:8000/predict
    """
    given = {
        "host": host or None,
        "port": port,
        "root_path": root_path or None,
        "admin_host": admin_host or None,
        "admin_port": admin_port,
        "workers": workers,
        "model": model or None,
        "grace_s": grace,
        "url_hosts": allow_url_hosts or None,
    }
    try:
        root: Path | None = find_root()
    except NotFound:
        if os.environ.get("NHAN_WORKSPACE"):
            raise  # one that was named must exist; without one the bundled reader answers
        root = None

    raise typer.Exit(serve(root, make_reload(root, given)))


def make_reload(root: Path | None, given: Mapping[str, object]) -> Callable[[], Settings]:
    """What reads the settings, at the start and at every SIGHUP.

    Args:
        root: the workspace, or None.
        given: settings of the server from the command line, over all others; None is not given.

    Returns:
        A function that raises `SettingsError` where they are malformed or, with a workspace, gone:
        its defaults would lift keys and limits. The addresses stay those it read first, because
        they are listened on and say who needs a key.
    """
    over = {name: value for name, value in given.items() if value is not None}

    def reload() -> Settings:
        if root is not None and not (root / FILE_NAME).exists():
            raise SettingsError(
                f"{root / FILE_NAME} is gone", hint="is the workspace still where it was?"
            )
        settings = load_settings(root)
        settings.serve = settings.serve.model_copy(update=over)
        for name in ("host", "port", "admin_host", "admin_port"):
            over.setdefault(name, getattr(settings.serve, name))
        return settings

    return reload


def serve(root: Path | None, read_settings: Callable[[], Settings]) -> int:
    """Serve until a signal ends it; returns the exit code.

    Args:
        root: the workspace, or None to serve the bundled reader alone.
        read_settings: the settings of the workspace, the command line's over them; called at the
            start and at every SIGHUP.

    Raises:
        SettingsError: an address cannot be listened on, or needs keys.
        StorageError: the folder of the workspace's objects cannot be made.
    """
    # Imported here, so that `nhan serve --help` needs nothing of it.
    from nhan.serving.supervisor import Supervisor
    from nhan.storage import make_folder

    def announce(main: str, admin: str) -> None:
        typer.echo(f"Nhãn answers at {main}   try: curl -F file=@line.png {main}/predict", err=True)
        typer.echo(f"admin address {admin}", err=True)

    def furnish(app: FastAPI, context: Context) -> None:
        from nhan.web.mount import furnish as add_console  # in the front process only

        add_console(app, context)

    settings = read_settings()
    if root is not None:
        make_folder(settings.storage.objects, root)
    return Supervisor(
        root, settings, reload=read_settings, announce=announce, furnish=furnish
    ).run()
