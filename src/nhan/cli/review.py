"""nhan review."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from nhan.cli.console import counting, print_json, print_table, stderr, stdout
from nhan.cli.who import who
from nhan.errors import JobFailed, UserError
from nhan.names import one_spelling
from nhan.review import disputes, queue
from nhan.review.decide import Action, Decided, Decision, decide
from nhan.review.progress import progress as progress_of
from nhan.workspace import Workspace

if TYPE_CHECKING:
    from nhan.review.item import Item

# Unreadable pictures that a person reads of; --json has all.
_LISTED = 10

app = typer.Typer(
    help="Look at what the model is least sure of, and say what it is.\n\n"
    "The console's page does the same with pictures: nhan serve, then /review.\n\n"
    "Example: nhan review rank && nhan review label",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)

_TASK = typer.Option("", metavar="TASK", help="Which labels; needed where there are several tasks.")
_REVIEWER = typer.Option(
    "", metavar="NAME", callback=one_spelling, help="Who reviews; default: who is logged in."
)
_JSON = typer.Option(False, "--json", help="One JSON document on stdout.")


@app.command("list")
def list_(
    task: str = _TASK,
    limit: int = typer.Option(20, min=1, max=queue.MAX_COUNT, help="At most so many."),
    json: bool = _JSON,
) -> None:
    """List the head of the queue, the most useful first; nothing is handed out.

    Example: nhan review list --limit 5
    """
    with Workspace.open() as workspace:
        _show_items(queue.peek(workspace, task, limit), json=json)


@app.command("next")
def next_(
    task: str = _TASK,
    reviewer: str = _REVIEWER,
    count: int = typer.Option(3, min=1, max=queue.MAX_COUNT, help="How many."),
    json: bool = _JSON,
) -> None:
    """Be handed the most useful samples; nobody else is given them for a while.

    Example: nhan review next --count 1 --json
    """
    with Workspace.open() as workspace:
        items = queue.next_items(workspace, task, reviewer or who(), count)
        _show_items(items, json=json)


@app.command()
def label(
    task: str = _TASK,
    reviewer: str = _REVIEWER,
    count: int = typer.Option(0, min=0, help="Stop after so many; 0: when none waits."),
) -> None:
    """Label from the keyboard: Enter accepts what is suggested, or type over it.

    Example: nhan review label --reviewer an
    """
    from nhan.cli.review_session import Session

    with Workspace.open() as workspace:
        done = Session(workspace, queue.choose_task(workspace, task), reviewer or who()).run(count)
    stderr.print(f"{done} done")


@app.command("decide")
def decide_(
    sample: int = typer.Argument(metavar="SAMPLE", help="Its number, as `nhan review list` shows."),
    label: str | None = typer.Option(None, metavar="TEXT", help="Accept this label."),
    skip: str = typer.Option("", metavar="REASON", help="Skip it: it never trains a model."),
    reject: str = typer.Option("", metavar="REASON", help="Reject the picture itself."),
    settle: bool = typer.Option(
        False, "--settle", help="End a dispute, with --label or by --skip, whatever others say."
    ),
    undo: bool = typer.Option(False, "--undo", help="Take your last decision on it back."),
    reviewer: str = _REVIEWER,
    json: bool = _JSON,
) -> None:
    """Decide on one sample; every label is kept, the newest stands.

    Example: nhan review decide 12 --label "phòng 101, tầng 1"
    """
    if sum((label is not None, bool(skip), bool(reject), undo)) != 1:
        raise UserError(
            "one thing can be decided at a time", hint="--label, --skip, --reject or --undo"
        )
    if settle and (reject or undo):
        raise UserError("a dispute ends with --label or --skip", hint="leave --settle out")
    identity, person = uuid.uuid4().hex, reviewer or who()
    with Workspace.open() as workspace:
        if undo:
            from nhan.review.undo import undo as take_back

            decided = take_back(workspace, identity, person, sample)
        else:
            action: Action = "skip" if skip else "reject" if reject else "accept"
            action = "adjudicate" if settle else action
            decided = decide(
                workspace, Decision(identity, sample, person, action, label, skip or reject)
            )
    _show_decided(decided, json=json)


@app.command("progress")
def progress_(task: str = _TASK, reviewer: str = _REVIEWER, json: bool = _JSON) -> None:
    """Say how much waits, what was done, and how fast each person goes.

    Example: nhan review progress
    """
    with Workspace.open() as workspace:
        found = progress_of(workspace, task, reviewer or who())
    if json:
        print_json(found.to_json())
        return
    stdout.print(f"{found.task}: {found.waiting} wait, {found.done_today} decisions today")
    stdout.print(f"{found.skipped} skipped, {found.disagreements} disagreements to settle")
    if found.people:
        table = Table("reviewer", "labelled", "skipped", "today", "an hour")
        for one in found.people:
            row = (one.done, one.skipped, one.today, f"{one.per_hour:g}")
            table.add_row(one.reviewer, *map(str, row))
        print_table(table)


@app.command()
def disagreements(task: str = _TASK, json: bool = _JSON) -> None:
    """List samples on which people differ, and how far any two agree.

    Example: nhan review disagreements; nhan review decide 12 --settle --label "tầng 1"
    """
    with Workspace.open() as workspace:
        found = disputes.list_disputes(workspace, task)
        pairs = disputes.agreement(workspace, task)
    if json:
        print_json(
            {
                "disagreements": [one.to_json() for one in found],
                "agreement": [one.to_json() for one in pairs],
            }
        )
        return
    for dispute in found:
        stdout.print(f"{dispute.sample}  {dispute.name}", markup=False)
        for opinion in dispute.opinions:
            said = opinion.value or f"({opinion.verdict.value}: {opinion.reason})"
            stdout.print(f"      {opinion.reviewer}: {said}", markup=False)
    for pair in pairs:
        figures = ", ".join(f"{name} {value:.4f}" for name, value in pair.figures.items())
        stdout.print(
            f"{pair.first} and {pair.second}: {pair.samples} samples, {figures}", markup=False
        )
    if not found and not pairs:
        stderr.print("nobody has labelled the same samples; nhan review double --share 0.1")


@app.command()
def double(
    share: float = typer.Option(0.1, help="Of the samples that nobody has begun, 0 to 1."),
    opinions: int = typer.Option(2, help="How many people label each, unseen by each other."),
    task: str = _TASK,
    dry_run: bool = typer.Option(False, "--dry-run", help="Count, change nothing."),
    json: bool = _JSON,
) -> None:
    """Have a share of what waits labelled by several people, to know how far they agree.

    Example: nhan review double --share 0.1
    """
    from nhan.review.double import double as want

    with Workspace.open() as workspace:
        count = want(workspace, task, share=share, opinions=opinions, dry_run=dry_run)
    if json:
        print_json({"samples": count, "opinions": opinions, "dry_run": dry_run})
    else:
        would = "would want" if dry_run else "want"
        stdout.print(f"{count} samples {would} {opinions} opinions")


@app.command()
def rank(
    model: str = typer.Option(
        "", metavar="MODEL[@V]", help="Without @V: the champion. Without it: the only model."
    ),
    labels: bool = typer.Option(
        True, help="Also look for wrong labels among those that nobody reviewed."
    ),
    limit: int = typer.Option(0, min=0, help="Ask about so many pictures at most; 0: all."),
    json: bool = _JSON,
) -> None:
    """Order the queue by what is learned from a look, after asking a model about what waits.

    It may be interrupted: the next one goes on.

    Example: nhan review rank --model vi-line
    """
    from nhan.models.predict import choose
    from nhan.models.predictor import Predictor
    from nhan.review.rank import rank as order

    with Workspace.open() as workspace:
        package = choose(workspace, model)
        predictor = Predictor.load(package, limits=workspace.picture_limits)
        with counting(f"asking {package.ref}", quiet=json) as tell:
            report = order(
                workspace,
                predictor,
                labels=labels,
                limit=limit or None,
                progress=tell,
            )
    if json:
        print_json(report.to_json())
    else:
        stdout.print(f"{report.waiting} wait, in the order of what is learned from them")
        stdout.print(f"{report.suspects} labels look wrong, and come first")
        stdout.print(f"{report.model} was asked about {report.asked} pictures")
        for name, reason in report.unreadable[:_LISTED]:
            stderr.print(f"unreadable: {name}: {reason}", markup=False)
    if report.unreadable and not report.asked and not report.waiting:
        raise JobFailed("no picture could be read", hint="nhan doctor")


def _show_items(items: list[Item], *, json: bool) -> None:
    if json:
        print_json([item.to_json() for item in items])
        return
    if not items:
        stderr.print("nothing waits")
        return
    table = Table("sample", "suggested", "sure", "from", "worth", "why")
    for item in items:
        said = item.suggestion
        sure = "" if said is None or said.confidence is None else f"{said.confidence:.2f}"
        row: tuple[Any, ...] = (
            item.sample,
            said.value if said else "",
            sure,
            said.source if said else "",
            f"{item.priority:.2f}",
            item.why,
        )
        table.add_row(*map(str, row))
    print_table(table)


def _show_decided(decided: Decided, *, json: bool) -> None:
    if json:
        print_json(decided.to_json())
        return
    label = f": {decided.label}" if decided.label is not None else ""
    stdout.print(f"{decided.sample} {decided.state.value}{label}", markup=False)
    if decided.disputed:
        stderr.print("opinions differ; nhan review disagreements")
