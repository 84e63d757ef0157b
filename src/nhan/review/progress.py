"""How far the reviewing is, and how fast each person goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from nhan.catalog import decisions, reviews, tallies
from nhan.catalog.schema import State
from nhan.review.queue import choose_task
from nhan.workspace import Workspace

_HOUR = timedelta(hours=1)
# Who has decided nothing for so long was away; the pace does not count it.
_PAUSE = timedelta(minutes=2)
# Less work than that tells no pace: a few quick decisions would look like thousands an hour.
_SHORTEST = timedelta(minutes=1)


@dataclass(frozen=True)
class Person:
    """One reviewer's part.

    Attributes:
        done: samples answered with a label, ever.
        skipped: samples skipped or rejected, ever.
        today: decisions since midnight UTC.
        per_hour: pace over the last hour, pauses of over two minutes left out; 0 when idle, and
            until a minute of work can tell.
    """

    reviewer: str
    done: int
    skipped: int
    today: int
    per_hour: float


@dataclass(frozen=True)
class Progress:
    """How a task's queue stands.

    Attributes:
        waiting: samples that wait for somebody, labels under suspicion among them.
        done_today: decisions of all since midnight UTC, without those undone.
        done_by_me: the same, of one reviewer.
        per_hour: that reviewer's pace; see `Person`.
        skipped: samples skipped.
        disagreements: samples on which opinions differ.
        people: everybody who has reviewed.
    """

    task: str
    waiting: int
    done_today: int
    done_by_me: int
    per_hour: float
    skipped: int
    disagreements: int
    people: tuple[Person, ...]

    def to_json(self) -> dict[str, Any]:
        """As the review API gives it."""
        return asdict(self)


def progress(workspace: Workspace, task: str, reviewer: str = "") -> Progress:
    """How far the reviewing of a task is.

    Args:
        workspace: where.
        task: '' for the only one that has samples.
        reviewer: whose own figures are wanted; may be empty.

    Raises:
        NotFound, BadRequest: as `next_items`.
    """
    task = choose_task(workspace, task)
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    with workspace.catalog.read() as connection:
        counts = tallies.count_states(connection, task)
        waiting = sum(counts.get(state, 0) for state in reviews.WAITING)
        waiting += reviews.count_suspects(connection, task)
        waiting -= tallies.count_unasked(connection, task)
        times = decisions.decision_times(connection, task, min(midnight, now - _HOUR))
        by_reviewer = tallies.count_by_reviewer(connection, task)
        disputes = reviews.count_disputed(connection, task)
    people = []
    for name in dict.fromkeys(row[0] for row in by_reviewer):
        states = {state: count for who, state, count in by_reviewer if who == name}
        own = [at for who, at in times if who == name]
        people.append(
            Person(
                name,
                done=states.get("done", 0) + states.get("final", 0),
                skipped=states.get("skipped", 0) + states.get("rejected", 0),
                today=sum(at >= midnight for at in own),
                per_hour=pace([at for at in own if at >= now - _HOUR], now),
            )
        )
    me = next((person for person in people if person.reviewer == reviewer.strip()), None)
    return Progress(
        task=task,
        waiting=waiting - disputes,
        done_today=sum(at >= midnight for _, at in times),
        done_by_me=me.today if me else 0,
        per_hour=me.per_hour if me else 0.0,
        skipped=counts.get(State.SKIPPED, 0),
        disagreements=disputes,
        people=tuple(people),
    )


def pace(times: Sequence[datetime], now: datetime) -> float:
    """Decisions per hour of work.

    Args:
        times: of the decisions, ascending.
        now: the last pause counts too, so that the figure falls when somebody slows down.

    Returns:
        0 where the work between them spans less than a minute: nobody's pace can be told then.
    """
    if not times:
        return 0.0
    ends = [*times[1:], now]
    gaps = [end - start for start, end in zip(times, ends, strict=True)]
    worked = sum((gap for gap in gaps if gap <= _PAUSE), timedelta())
    steps = sum(gap <= _PAUSE for gap in gaps[:-1])
    return round(steps / (worked / _HOUR), 1) if worked >= _SHORTEST else 0.0
