"""How commands speak: results on stdout, progress on stderr, JSON alone when asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

# No line of a table in a pipe is cut.
_WIDE = 100_000

# Progress and remarks never mix into what a pipe reads.
stderr = Console(stderr=True, highlight=False)
stdout = Console(highlight=False, soft_wrap=True)


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    json.dump(document, sys.stdout, ensure_ascii=False, indent=2, default=_plain)
    sys.stdout.write("\n")


def _plain(value: object) -> str:
    """Moments as RFC 3339 writes them, as over HTTP."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def shorten(text: str, most: int = 240) -> str:
    """A line that a person reads, its middle left out where it is long: both ends say most."""
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end - 3]} … {text[-end:]}"


def print_table(table: Table) -> None:
    """A table on stdout: as wide as a terminal, as wide as it needs in a pipe or a file.

    What stands in its cells was written by users: square brackets are no markup there.
    """
    # `print` takes a width only below its console's, which is 80 where there is no terminal.
    console = stdout if stdout.is_terminal else Console(highlight=False, width=_WIDE)
    console.print(table, markup=False, crop=False)


@contextmanager
def progress(title: str, *, quiet: bool = False) -> Iterator[Progress]:
    """A progress display on stderr, with count, speed and time left."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=stderr,
        disable=quiet or not stderr.is_terminal,
        transient=False,
    ) as display:
        display.console.print(title) if display.disable is False and title else None
        yield display


@contextmanager
def counting(what: str, *, quiet: bool = False) -> Iterator[Callable[..., None]]:
    """A progress display of one count; gives whom to tell what is done, and of how much."""
    with progress("", quiet=quiet) as display:
        bar = display.add_task(what, total=None)

        def tell(done: int, total: int | None = None) -> None:
            display.update(bar, completed=done, total=total)

        yield tell
