"""nhan streamlit."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import typer

from nhan.errors import MissingExtra, UserError
from nhan.serving.keys import is_loopback

_APP = Path(__file__).parents[1] / "web" / "streamlit_app.py"


def command(
    url: str = typer.Option(
        "", help="Main address of the server. [NHAN_URL, http://127.0.0.1:8000]"
    ),
    port: int = typer.Option(8501, help="Port of the page."),
    host: str = typer.Option("127.0.0.1", help="Address that the page listens on."),
) -> None:
    """Show the Streamlit page: a thin client of a server that runs elsewhere.

    On any other address than loopback everybody types a key of their own on the page.

    Example: nhan streamlit --url http://127.0.0.1:8000
    """
    if not is_loopback(host) and os.environ.get("NHAN_KEY"):
        raise UserError(
            f"everybody who reaches {host}:{port} would ask with the key in NHAN_KEY",
            hint="leave NHAN_KEY out: the page asks each person for a key",
        )
    if find_spec("streamlit") is None or find_spec("httpx") is None:
        raise MissingExtra("the Streamlit page", "streamlit")
    if url:
        os.environ["NHAN_URL"] = url
    options = {
        "server.address": host,
        "server.port": str(port),
        "server.headless": "true",
        "browser.gatherUsageStats": "false",  # nothing phones home
        "client.toolbarMode": "minimal",  # no button that deploys to somebody's cloud
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    command_line = [sys.executable, "-m", "streamlit", "run", str(_APP), *flags]
    os.execv(sys.executable, command_line)  # noqa: S606  this interpreter, no shell
