"""nhan loop."""

from __future__ import annotations

import typer
from rich.table import Table

from nhan.cli.console import print_json, print_table, stderr, stdout
from nhan.cli.who import who
from nhan.errors import GateRefused, UserError
from nhan.pipeline import rounds
from nhan.pipeline.foresee import Expected, foresee
from nhan.pipeline.plan import make_plan
from nhan.pipeline.reasons import reason_of
from nhan.pipeline.rounds import Round
from nhan.pipeline.step import Record
from nhan.pipeline.steps import STEPS
from nhan.workspace import Workspace

app = typer.Typer(
    help="Rounds: what came back from use becomes the next version.\n\nExample: nhan loop run",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)

_MARKS = {"ran": "✓", "skipped": "·", "refused": "✗", "failed": "✗", "running": "…"}

# Longest wait for a round on a cluster: a day of training.
_WAIT_S = 86_400.0

_DATASET = typer.Option("", metavar="NAME", help="Dataset to freeze into. [loop.dataset]")
_MODEL = typer.Option("", metavar="NAME", help="Model to train. [loop.model]")
_JSON = typer.Option(False, "--json", help="One JSON document on stdout.")


@app.command()
def run(
    dataset: str = _DATASET,
    model: str = _MODEL,
    on: str = typer.Option("local", metavar="WHERE", help="local, or kubeflow (see docs/loop.md)."),
    because: str = typer.Option("on demand", help="Why; kept with the round."),
    new: bool = typer.Option(False, "--new", help="Abandon an interrupted round, begin another."),
    again: bool = typer.Option(False, "--again", help="Do everything, even if nothing changed."),
    cron: str = typer.Option("", metavar="TEXT", help="On kubeflow: by the clock, '0 2 * * *'."),
    wait: bool = typer.Option(False, "--wait", help="On kubeflow: wait for the run to end."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would be done, do nothing."),
    said: str = typer.Option("", "--said", hidden=True),  # `loop watch` passes its reason on
    as_json: bool = _JSON,
) -> None:
    """Do one round: intake, labels, audit, freeze, train, evaluate, gate, promote, verify.

    An interrupted round is gone on with. Exit 0 also where there was nothing to learn; 1 where
    the round was refused or failed.

    Example: nhan loop run --because "the new receipts"
    """
    if on not in ("local", "kubeflow"):
        raise UserError(f"rounds cannot run on {on!r}", hint="--on local, or --on kubeflow")
    if on == "kubeflow" and not dry_run:
        _submit(dataset, model, because, again=again, cron=cron, wait=wait, as_json=as_json)
        return
    if cron:
        raise UserError("--cron is for --on kubeflow", hint="here: loop.cron and nhan loop watch")
    with Workspace.open() as workspace:
        plan = make_plan(
            workspace,
            dataset=dataset,
            model=model,
            reason=reason_of(because, said),
            by=who(),
            again=again,
        )
        if dry_run:
            _print_expected(foresee(workspace, plan), as_json=as_json)
            return
        done = rounds.run_round(
            workspace, plan, new=new, say=_say, show=not as_json and stderr.is_terminal
        )
    if as_json:
        print_json(done.to_json())
    else:
        typer.echo(f"round {done.plan.number}: {done.outcome}: {done.because}")
    if done.outcome == "refused":
        raise typer.Exit(GateRefused.exit_code)


@app.command()
def watch(dataset: str = _DATASET, model: str = _MODEL) -> None:
    """Begin rounds by the clock, by new labels, by drift (settings [loop]), until stopped.

    Uploads are taken in, Label Studio is asked and webhooks are sent all the while. `kill -USR1`
    begins a round now. A watch that is started again goes on with an interrupted round, and makes
    up for what the clock missed as `loop.missed` says.

    Example: NHAN_LOOP__CRON="0 2 * * *" nhan loop watch
    """
    from nhan.pipeline.schedule import Watch

    with Workspace.open() as workspace:
        Watch(workspace, _say, dataset=dataset, model=model).run()


@app.command()
def begin(
    dataset: str = _DATASET,
    model: str = _MODEL,
    because: str = typer.Option("on demand", help="Why; kept with the round."),
    key: str = typer.Option("", metavar="KEY", help="The same key gives the same round again."),
    again: bool = typer.Option(False, "--again", help="Do everything, even if nothing changed."),
    as_json: bool = _JSON,
) -> None:
    """Begin a round whose steps are run one by one, by another scheduler; prints its number.

    Example: nhan loop begin --key "$RUN_ID"
    """
    with Workspace.open() as workspace:
        plan = make_plan(
            workspace,
            dataset=dataset,
            model=model,
            reason=reason_of(because),
            by=who(),
            again=again,
            key=key,
        )
        begun = rounds.begin_round(workspace, plan)
    if as_json:
        print_json(begun.to_json())
    else:
        typer.echo(begun.plan.number)


@app.command()
def step(
    name: str = typer.Argument(metavar="NAME", help=f"One of {', '.join(STEPS)}."),
    number: int = typer.Option(..., "--round", metavar="R", help="Of which round."),
    as_json: bool = _JSON,
) -> None:
    """Do one step of a round, unless it is done; the last one ends the round.

    Exit 0 also where it is skipped or refused: `state` says so, and the steps after it are skipped.

    Example: nhan loop step freeze --round 12
    """
    with Workspace.open() as workspace:
        record = rounds.run_step(workspace, number, name, say=_say, show=not as_json)
        if name == list(STEPS)[-1]:
            rounds.finish_round(workspace, number)
    if as_json:
        print_json(record.to_json())
    else:
        typer.echo(f"{record.state}: {record.because}")


@app.command("list")
def list_(
    limit: int = typer.Option(20, min=1, help="The newest so many."), as_json: bool = _JSON
) -> None:
    """The newest rounds, and how each ended.

    Example: nhan loop list
    """
    with Workspace.open() as workspace:
        found = rounds.list_rounds(workspace, limit=limit)
    if as_json:
        print_json([one.to_json() for one in found])
        return
    if not found:
        stderr.print("no round yet; nhan loop run does one")
        return
    table = Table("round", "begun", "why", "dataset → model", "outcome", box=None)
    for one in found:
        outcome = f"{one.outcome}: {one.because}" if one.outcome else f"open at {one.next_step}"
        about = f"{one.plan.dataset} → {one.plan.model}"
        table.add_row(str(one.plan.number), one.plan.at[:19], one.plan.reason, about, outcome)
    print_table(table)


@app.command()
def show(
    number: int = typer.Argument(0, metavar="[R]", help="Which round; without it the newest."),
    as_json: bool = _JSON,
) -> None:
    """Every step of a round: what it did, or why it was skipped or refused.

    Example: nhan loop show 12
    """
    with Workspace.open() as workspace:
        found = rounds.list_rounds(workspace, limit=1) if not number else []
        shown = found[0] if found else rounds.read_round(workspace, number or 1)
    if as_json:
        print_json(shown.to_json())
    else:
        _show(shown)


def _submit(
    dataset: str, model: str, because: str, *, again: bool, cron: str, wait: bool, as_json: bool
) -> None:
    from nhan.deploy.kubeflow_client import submit

    with Workspace.open() as workspace:
        done = submit(
            workspace,
            dataset=dataset,
            model=model,
            because=because,
            again=again,
            cron=cron,
            wait_s=_WAIT_S if wait else 0,
        )
    if as_json:
        print_json(done.to_json())
        return
    kind = "recurring run" if done.recurring else "run"
    fresh = "uploaded" if done.uploaded else "known there"
    typer.echo(f"{kind} {done.run} of version {done.version} ({fresh}) {done.state}".strip())


def _print_expected(expected: list[Expected], *, as_json: bool) -> None:
    if as_json:
        print_json([vars(one) for one in expected])
    for one in expected if not as_json else ():
        typer.echo(f"{one.step:<9} {one.does:<11} {one.because}")


def _show(shown: Round) -> None:
    plan = shown.plan
    stdout.print(
        f"round {plan.number}, {plan.dataset} → {plan.model}, begun {plan.at[:19]} by "
        f"{plan.by or '?'}: {plan.reason}",
        markup=False,
    )
    for name in STEPS:
        if name in shown.steps:
            stdout.print(_line(shown.steps[name]), markup=False)
    if shown.outcome:
        stdout.print(f"{shown.outcome}: {shown.because}", markup=False)
    else:
        stdout.print(f"open; `nhan loop run` goes on at {shown.next_step}", markup=False)


def _line(record: Record) -> str:
    return f"  {_MARKS[record.state]} {record.step:<9} {record.state:<8} {record.because}"


def _say(words: str) -> None:
    stderr.print(words, style="dim", markup=False)
