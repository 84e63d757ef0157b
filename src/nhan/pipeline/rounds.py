"""Rounds: the steps one after another, written down, gone on with after a kill, one at a time.

Every round has a folder of objects: `round.json` (the plan, created once), one JSON per step, a
numbered log, and `ended.json` (created once) when it is over. A round without that one is open:
whoever asks for a round next goes on with it, at the step where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from nhan.errors import Conflict, NhanError, NotFound
from nhan.pipeline.lease import Lease, take_lease
from nhan.pipeline.notify import notify
from nhan.pipeline.step import DONE, Outcome, Plan, Record, Say, Work
from nhan.pipeline.step_words import say as told
from nhan.pipeline.steps import STEPS
from nhan.storage import NumberedLog, Store
from nhan.workspace import Workspace

_FOLDER = "rounds"
_PLAN, _END = "round.json", "ended.json"
# A runner asks again within minutes; nobody begins so many rounds meanwhile.
_KEYS_REMEMBERED = 10
# Done even where a step before refused: it looks at what is live, whoever that is.
_ALWAYS = ("watch",)


@dataclass(frozen=True)
class Round:
    """A round as it stands.

    Attributes:
        plan: what it is about.
        steps: those that began, by name.
        outcome: `promoted`, `refused`, `nothing new`, `failed` or `abandoned`; empty while open.
        because: the outcome in words.
        ended: UTC, ISO 8601; empty while open.
    """

    plan: Plan
    steps: Mapping[str, Record] = field(default_factory=dict)
    outcome: str = ""
    because: str = ""
    ended: str = ""

    @property
    def next_step(self) -> str:
        """The first step that is not done; empty when all are."""
        for name in STEPS:
            if name not in self.steps or self.steps[name].state not in DONE:
                return name
        return ""

    def to_json(self) -> dict[str, Any]:
        """For `--json` and the console."""
        return {
            **self.plan.to_json(),
            "outcome": self.outcome,
            "because": self.because,
            "ended": self.ended,
            "steps": [record.to_json() for record in self.steps.values()],
        }


def list_rounds(workspace: Workspace, *, limit: int = 20) -> list[Round]:
    """The newest rounds, the newest first."""
    numbers = _numbers(workspace.store)
    return [read_round(workspace, number) for number in reversed(numbers[-limit:])]


def read_round(workspace: Workspace, number: int) -> Round:
    """One round.

    Raises:
        NotFound: no such round.
    """
    store = workspace.store
    try:
        plan = Plan.from_json(json.loads(store.read(_path(number, _PLAN))))
    except NotFound as error:
        numbers = _numbers(store)
        hint = f"the newest is {numbers[-1]}" if numbers else "nhan loop run begins one"
        raise NotFound(f"no round {number}", hint=hint) from error
    steps = {}
    for name in STEPS:
        document = _read(store, _path(number, f"{name}.json"))
        if document is not None:
            steps[name] = Record.from_json(document)
    end = _read(store, _path(number, _END)) or {}
    return Round(plan, steps, end.get("outcome", ""), end.get("because", ""), end.get("at", ""))


def run_round(
    workspace: Workspace,
    plan: Plan,
    *,
    new: bool = False,
    say: Say,
    show: bool = False,
) -> Round:
    """Do one round from beginning to end, or go on with the one that was interrupted.

    Args:
        workspace: where.
        plan: of the new round; see `begin_round` for what happens where one is open.
        new: abandon an open round instead of going on with it.
        say: told what happens, in words.
        show: draw progress bars.

    Returns:
        The round, ended.

    Raises:
        Conflict: another process works on a round, or an open one has another plan.
        NhanError: a step failed; the round has ended so, and says why.
    """
    with take_lease(workspace.store, f"a round for {plan.model}") as lease:
        begun = begin_round(workspace, plan, new=new, lease=lease)
        number = begun.plan.number
        if begun.steps:
            say(f"round {number} goes on at {begun.next_step or 'its end'}")
        else:
            say(f"round {number}: {begun.plan.reason}")
        try:
            for name in STEPS:
                run_step(workspace, number, name, lease=lease, say=say, show=show)
        except NhanError as error:
            end_round(workspace, number, "failed", f"{name}: {error.message}")
            raise
        finally:
            _tell_others(workspace, say)
        return finish_round(workspace, number)


def begin_round(
    workspace: Workspace, plan: Plan, *, new: bool = False, lease: Lease | None = None
) -> Round:
    """Begin a round, or find the open one with which to go on.

    Args:
        workspace: where.
        plan: what it is about; its number and time are given here.
        new: abandon an open round instead of going on with it.
        lease: held by the caller; without one it is taken for as long as this lasts.

    Raises:
        Conflict: another process works on a round, or an open round is about something else.
    """
    if lease is None:
        with take_lease(workspace.store, f"a round for {plan.model}") as taken:
            return begin_round(workspace, plan, new=new, lease=taken)
    numbers = _numbers(workspace.store)
    if plan.key and (known := _asked_before(workspace, plan.key, numbers)) is not None:
        return known
    if numbers and (open_round := _open_round(workspace, numbers[-1])) is not None:
        if new:
            end_round(workspace, numbers[-1], "abandoned", f"for another one by {plan.by}")
        elif _alike(open_round.plan, plan):
            return open_round
        else:
            raise Conflict(
                f"round {numbers[-1]} ({open_round.plan.dataset} → {open_round.plan.model}) was "
                f"interrupted at {open_round.next_step}",
                hint="finish it with `nhan loop run`, or leave it with --new",
            )
    number = numbers[-1] + 1 if numbers else 1
    fixed = replace(plan, number=number, at=_now())
    if not workspace.store.put_once(_path(number, _PLAN), _json(fixed.to_json())):
        raise Conflict(f"round {number} was begun by somebody else", hint="try again")
    return Round(fixed)


def run_step(
    workspace: Workspace,
    number: int,
    name: str,
    *,
    lease: Lease | None = None,
    say: Say,
    show: bool = False,
) -> Record:
    """Do one step of a round, unless it is done.

    Args:
        workspace: where.
        number: of the round.
        name: of the step; those before it must be done.
        lease: held by the caller; without one it is taken for as long as the step lasts.
        say: told what happens, in words.
        show: draw progress bars.

    Raises:
        NotFound: no such round or step.
        Conflict: another process works on a round, this one has ended, or a step is missing.
        NhanError: what the step failed of; it may be tried again.
    """
    if lease is None:
        with take_lease(workspace.store, f"round {number}, {name}") as taken:
            return run_step(workspace, number, name, lease=taken, say=say, show=show)
    if name not in STEPS:
        raise NotFound(f"no step {name!r}", hint=f"steps: {', '.join(STEPS)}")
    found = read_round(workspace, number)
    done = found.steps.get(name)
    if done is not None and done.state in DONE:
        return done
    if found.outcome:
        raise Conflict(f"round {number} has ended: {found.outcome}", hint="begin another one")
    lease.check()
    book = _Book(workspace.store, number, name, say)
    outcome = _turned_away(found, name)
    if outcome is None:
        book.begin()
        work = Work(
            workspace,
            found.plan,
            {step: record.outputs for step, record in found.steps.items()},
            say,
            show,
        )
        try:
            outcome = STEPS[name][0](work)
        except NhanError as error:
            book.end(Outcome("failed", error.message), error.hint)
            raise
        except Exception as error:
            kind = type(error).__name__
            book.end(Outcome("failed", told("unexpected", kind=kind, why=str(error))))
            raise
    return book.end(outcome)


def finish_round(workspace: Workspace, number: int) -> Round:
    """End a round whose steps are all done.

    Raises:
        Conflict: some are not.
    """
    found = read_round(workspace, number)
    if found.next_step:
        raise Conflict(
            f"round {number} has not done {found.next_step} yet",
            hint=f"nhan loop step {found.next_step} --round {number}",
        )
    refusal = next((r for r in found.steps.values() if r.state == "refused"), None)
    if found.steps["promote"].outputs.get("champion"):
        end_round(workspace, number, "promoted", found.steps["promote"].because)
    elif refusal is not None:
        end_round(workspace, number, "refused", f"{refusal.step}: {refusal.because}")
    else:
        end_round(workspace, number, "nothing new", found.steps["train"].because)
    return read_round(workspace, number)


def end_round(workspace: Workspace, number: int, outcome: str, because: str) -> None:
    """Write that a round is over; the first word stands."""
    end = {"outcome": outcome, "because": because, "at": _now()}
    workspace.store.put_once(_path(number, _END), _json(end))


def _tell_others(workspace: Workspace, say: Say) -> None:
    """Send webhooks; those that cannot be sent now stay queued for the watch."""
    try:
        sent = notify(workspace)
    except NhanError as error:
        say(f"webhooks: {error.message}")
    else:
        if sent.failed:
            say(f"webhooks: {sent.failed} could not be delivered and are tried again")


def _turned_away(found: Round, name: str) -> Outcome | None:
    """Why a step is not even begun, if so.

    Raises:
        Conflict: a step before it is not done.
    """
    for earlier in STEPS:
        if earlier == name:
            return None
        record = found.steps.get(earlier)
        if record is None or record.state not in DONE:
            raise Conflict(
                f"{name} comes after {earlier}, which is not done",
                hint=f"nhan loop step {earlier} --round {found.plan.number}",
            )
        if record.state == "refused" and name not in _ALWAYS:
            return Outcome("skipped", told("refused_before", step=told(f"step.{earlier}")))
    return None


class _Book:
    """Writes down one step of one round."""

    def __init__(self, store: Store, number: int, step: str, say: Say) -> None:
        self._store = store
        self._path = _path(number, f"{step}.json")
        self._log = NumberedLog(store, _path(number, "log"))
        self._record = Record("running", told("begun"), step=step, began=_now())
        self._say = say

    def begin(self) -> None:
        self._write(self._record)

    def end(self, outcome: Outcome, hint: str = "") -> Record:
        record = Record(
            outcome.state,
            outcome.because,
            outcome.outputs,
            outcome.key,
            step=self._record.step,
            began=self._record.began,
            ended=_now(),
            hint=hint,
        )
        self._write(record)
        self._say(f"{record.step}: {record.state}: {record.because}")
        return record

    def _write(self, record: Record) -> None:
        self._store.put(self._path, _json(record.to_json()))
        self._log.append({"step": record.step, "state": record.state, "because": record.because})


def _asked_before(workspace: Workspace, key: str, numbers: list[int]) -> Round | None:
    """The round that was begun with this key: a runner that asks twice means the same round."""
    for number in reversed(numbers[-_KEYS_REMEMBERED:]):
        found = read_round(workspace, number)
        if found.plan.key == key:
            return found
    return None


def _open_round(workspace: Workspace, number: int) -> Round | None:
    """The round, if it can be gone on with; one with a failed step has ended."""
    found = read_round(workspace, number)
    if found.outcome:
        return None
    failed = next((r for r in found.steps.values() if r.state == "failed"), None)
    if failed is not None:
        end_round(workspace, number, "failed", f"{failed.step}: {failed.because}")
        return None
    return found


def _alike(one: Plan, other: Plan) -> bool:
    """Whether going on with one round does what another is meant to do."""
    return (one.dataset, one.task, one.model) == (other.dataset, other.task, other.model)


def _numbers(store: Store) -> list[int]:
    return sorted(int(name) for name in store.folders(_FOLDER) if name.isdigit())


def _path(number: int, name: str) -> str:
    return f"{_FOLDER}/{number:06d}/{name}"


def _read(store: Store, path: str) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = json.loads(store.read(path))
    except NotFound:
        return None
    return document


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
