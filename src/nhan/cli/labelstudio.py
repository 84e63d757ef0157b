"""nhan labelstudio."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import typer

from nhan.catalog import State
from nhan.cli.console import counting, print_json
from nhan.cli.labelstudio_words import print_pull, print_push, print_setup
from nhan.errors import MissingExtra, NhanError, SettingsError, UserError
from nhan.review.labelstudio.connection import Connection, load_connection
from nhan.review.labelstudio.links import Links, load_signer
from nhan.review.labelstudio.report import PullReport, PushReport
from nhan.workspace import Workspace

if TYPE_CHECKING:
    from nhan.review.labelstudio.client import LabelStudio
    from nhan.review.labelstudio.suggest import Suggester

app = typer.Typer(
    help="Label Studio, both ways: samples out with suggestions, labels back.\n\n"
    "The token stands in NHAN_LABELSTUDIO_TOKEN. docs/labelstudio.md goes from zero to a label.\n\n"
    "Example: nhan labelstudio setup --url http://127.0.0.1:8080 && nhan labelstudio push",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)

_TASK = typer.Option("text", metavar="TASK", help="Which labels: text, classes.")
_URL = typer.Option("", metavar="URL", help="Label Studio's address. [labelstudio.url]")
_MODEL = typer.Option("", metavar="NAME", help="The model that suggests; else the champion.")
_STATE = typer.Option(
    ["new", "queued"], metavar="STATE", help="Samples in these states are sent; repeat it."
)
_JSON = typer.Option(False, "--json", help="One JSON document on stdout.")
_DRY = typer.Option(False, "--dry-run", help="Look and count, change nothing.")


@app.command()
def setup(
    task: str = _TASK,
    url: str = _URL,
    title: str = typer.Option("", metavar="TEXT", help="Title of a new project."),
    project: int = typer.Option(
        0, metavar="N", help="Use this project, which is there already, as it is."
    ),
    name: list[str] = typer.Option(
        [], "--class", metavar="NAME", help="A class to offer, beside those known; repeat it."
    ),
    opinions: int = typer.Option(
        0, min=0, metavar="N", help="People who are to label each task; 0 leaves it (1)."
    ),
    live: bool = typer.Option(True, help="Connect our models, for tasks without a suggestion."),
    webhook: bool = typer.Option(True, help="Let Label Studio tell this server of changes."),
    as_json: bool = _JSON,
) -> None:
    """Make a project with the interface that fits the task; again: bring it up to date.

    Example: nhan labelstudio setup --url http://127.0.0.1:8080 --title "Receipts"
    """
    with _opened(task, url, known=False) as (workspace, client, _):
        from nhan.review.labelstudio.setup import set_up

        report = set_up(
            workspace,
            client,
            load_signer(workspace.root),
            _server_url(workspace),
            task=task,
            title=title,
            project=project or None,
            classes=name,
            opinions=opinions or None,
            live=live,
            webhook=webhook,
        )
    if as_json:
        print_json(report.to_json())
    else:
        print_setup(report)


@app.command()
def push(
    task: str = _TASK,
    url: str = _URL,
    model: str = _MODEL,
    suggest: bool = typer.Option(True, help="Fill tasks in with what the champion reads."),
    state: list[str] = _STATE,
    limit: int = typer.Option(0, min=0, metavar="N", help="At most so many new tasks; 0: all."),
    dry_run: bool = _DRY,
    as_json: bool = _JSON,
) -> None:
    """Send what waits to be labelled, most useful first; again: only what is new.

    Suggestions of an older champion are replaced, and links of pictures renewed.

    Example: nhan labelstudio push --limit 500 --dry-run
    """
    from nhan.review.labelstudio.suggest import find_package, open_suggester

    states = _states(state)
    with _opened(task, url) as (workspace, client, connection):
        from nhan.review.labelstudio.push import push as send

        suggester: Suggester | None = None
        if suggest:
            package = find_package(workspace, task, model)
            suggester = open_suggester(workspace, package) if package is not None else None
        what = "looking over" if dry_run else "pushing"
        with counting(what, quiet=as_json) as tell:
            report = send(
                workspace,
                client,
                connection,
                _links(workspace),
                suggester=suggester,
                states=states,
                limit=limit or None,
                dry_run=dry_run,
                progress=tell,
            )
    if as_json:
        print_json(report.to_json())
    else:
        print_push(report)


@app.command()
def pull(
    task: str = _TASK,
    url: str = _URL,
    full: bool = typer.Option(False, "--full", help="Read every task, not only what changed."),
    dry_run: bool = _DRY,
    as_json: bool = _JSON,
) -> None:
    """Take what was labelled, skipped, changed and deleted since the last time.

    Example: nhan labelstudio pull --dry-run
    """
    with _opened(task, url) as (workspace, client, connection):
        from nhan.review.labelstudio.pull import pull as take

        what = "looking over" if dry_run else "pulling"
        with counting(what, quiet=as_json) as tell:
            report = take(workspace, client, connection, full=full, dry_run=dry_run, progress=tell)
    if as_json:
        print_json(report.to_json())
    else:
        print_pull(report)


@app.command()
def watch(
    task: str = _TASK,
    url: str = _URL,
    model: str = _MODEL,
    suggest: bool = typer.Option(True, help="Fill tasks in with what the champion reads."),
    pushing: bool = typer.Option(True, "--push/--no-push", help="Also send what waits."),
    state: list[str] = _STATE,
    every: float = typer.Option(
        0.0, min=0.0, metavar="S", help="Seconds between looks. [labelstudio.poll_s, 30]"
    ),
) -> None:
    """Pull labels as they are given and push what comes to wait, until Ctrl-C.

    A running `nhan serve` takes Label Studio's webhooks and wakes the watch; without one it looks
    every --every seconds.

    Example: nhan labelstudio watch --every 60
    """
    states = _states(state)
    stop = threading.Event()
    with _opened(task, url) as (workspace, client, connection), _stopping(stop):
        from nhan.review.labelstudio.watch import Watch

        poll_s = every or workspace.settings.labelstudio.poll_s
        typer.echo(f"watching {connection.title!r}, Ctrl-C ends it", err=True)
        Watch(
            workspace,
            client,
            connection,
            _links(workspace),
            poll_s,
            stop,
            _tell,
            _complain,
            pushes=pushing,
            suggests=suggest,
            model=model,
            states=states,
        ).run()
        typer.echo("stopped; everything read so far is kept", err=True)


@contextmanager
def _opened(
    task: str, url: str, *, known: bool = True
) -> Iterator[tuple[Workspace, LabelStudio, Connection]]:
    """The workspace, Label Studio and, where it must be known already, the project."""
    try:
        from nhan.review.labelstudio.client import LabelStudio, clean_address
        from nhan.review.labelstudio.tokens import read_token
    except ModuleNotFoundError as error:
        if error.name != "httpx":
            raise
        raise MissingExtra("Label Studio", "labelstudio") from error
    from nhan.tasks import get_task

    get_task(task)
    with Workspace.open() as workspace:
        connection = load_connection(workspace.store, task) if known else None
        address = url or workspace.settings.labelstudio.url
        address = address or (connection.address if connection else "")
        if not address:
            raise SettingsError(
                "Label Studio's address is not known", hint="--url, or labelstudio.url in nhan.toml"
            )
        address = clean_address(address, "--url" if url else "labelstudio.url")
        if connection is not None and address != connection.address:
            raise SettingsError(
                f"the project was set up at {connection.address}, not at {address}",
                hint="nhan labelstudio setup makes one there",
            )
        with LabelStudio(address, read_token()) as client:
            # Only `setup` runs without a connection, and looks at none.
            yield (
                workspace,
                client,
                connection
                or Connection(task=task, address=address, project=0, title="", config=""),
            )


@contextmanager
def _stopping(stop: threading.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the watch at the next page; a second Ctrl-C at once."""

    def ask(number: int, frame: FrameType | None) -> None:
        del frame
        stop.set()
        signal.signal(number, signal.default_int_handler)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _links(workspace: Workspace) -> Links:
    settings = workspace.settings.labelstudio
    return Links(load_signer(workspace.root), _pictures_url(workspace), settings.link_days)


def _pictures_url(workspace: Workspace) -> str:
    from nhan.review.labelstudio.client import clean_address

    settings = workspace.settings
    given = settings.labelstudio.pictures_url
    if given:
        return clean_address(given, "labelstudio.pictures_url")
    host = settings.serve.host
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{settings.serve.port}{settings.serve.root_path}"


def _server_url(workspace: Workspace) -> str:
    from nhan.review.labelstudio.client import clean_address

    given = workspace.settings.labelstudio.server_url
    return clean_address(given, "labelstudio.server_url") if given else _pictures_url(workspace)


def _states(names: list[str]) -> list[State]:
    try:
        return [State(name) for name in names]
    except ValueError as error:
        states = ", ".join(state.value for state in State)
        raise UserError(f"no state {error.args[0].split()[0]}", hint=f"states: {states}") from error


def _tell(report: PullReport | PushReport) -> None:
    if isinstance(report, PushReport):
        print_push(report)
    else:
        print_pull(report)


def _complain(error: NhanError | None) -> None:
    if error is None:
        typer.echo("it answers again", err=True)
        return
    typer.echo(f"{error.message}; trying again until it answers", err=True)
