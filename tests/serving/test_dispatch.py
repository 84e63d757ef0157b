"""The queue: order, bounds, deadlines, departed clients, lanes that die."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from nhan.errors import DeadlinePassed, JobFailed, NotReady, QueueFull
from nhan.serving.engine.dispatch import Departed, Dispatcher, QueueLimits
from nhan.serving.engine.outcome import Outcome, pack_error, unpack_error


def outcome(value: str) -> Outcome:
    return Outcome(value, 0.5, b'"text":"x"', 1, 2, 3, 4, 5, 0.5)


@dataclass(eq=False)
class FakeLane:
    """Answers when told to."""

    owner: Dispatcher
    name: str = "fake"
    can_go_wide: bool = False
    lost: bool = False
    given: list[tuple[int, bytes, bool]] = field(default_factory=list)
    killed: bool = False

    def submit(self, ticket, key, picture, *, wide):
        self.given.append((ticket, picture, wide))

    def answer(self):
        ticket, picture, _ = self.given.pop(0)
        self.owner.lane_done(self, ticket, outcome(picture.decode()))

    async def load(self, key, folder): ...

    def unload(self, key): ...

    def kill(self):
        self.killed = True
        self.owner.lane_lost(self, "killed")


class Case:
    """A dispatcher with fake lanes; `ask` starts a request."""

    def __init__(self, lanes=1, **limits):
        self.refused = []
        self.lost = []
        self.dispatcher = Dispatcher(
            QueueLimits(**limits),
            on_refused=self.refused.append,
            on_lost=lambda *what: self.lost.append(what),
        )
        self.lanes = [FakeLane(self.dispatcher, str(number)) for number in range(lanes)]
        for lane in self.lanes:
            self.dispatcher.attach(lane)

    def ask(self, name, **options):
        return asyncio.ensure_future(self.dispatcher.run("m@1", name.encode(), **options))


def test_answers_go_to_those_who_asked_in_order():
    async def scenario():
        case = Case(lanes=2)
        asked = [case.ask(str(number)) for number in range(9)]
        await asyncio.sleep(0)
        while not all(one.done() for one in asked):
            for lane in case.lanes:
                if lane.given:
                    lane.answer()
            await asyncio.sleep(0)
        return [one.result()[0].value for one in asked]

    assert asyncio.run(scenario()) == [str(number) for number in range(9)]


def test_a_lane_holds_one_picture_ahead_and_no_more():
    async def scenario():
        case = Case(lanes=1)
        for number in range(5):
            case.ask(str(number))
        await asyncio.sleep(0)
        return len(case.lanes[0].given), case.dispatcher.waiting, case.dispatcher.running

    assert asyncio.run(scenario()) == (2, 4, 1)


def test_only_a_lone_picture_goes_wide():
    async def scenario():
        case = Case(lanes=2)
        case.lanes[1].can_go_wide = True
        first = case.ask("first")
        await asyncio.sleep(0)
        second = case.ask("second")
        await asyncio.sleep(0)
        wide = {picture: wide for lane in case.lanes for _, picture, wide in lane.given}
        for lane in case.lanes:
            lane.answer()
        await asyncio.gather(first, second)
        return wide

    assert asyncio.run(scenario()) == {b"first": True, b"second": False}


def test_a_full_queue_refuses_and_says_when_to_come_back():
    async def scenario():
        case = Case(pictures=3)
        for number in range(5):
            case.ask(str(number))
        await asyncio.sleep(0)
        with pytest.raises(QueueFull) as refused:
            await case.ask("too many")
        return refused.value.retry_after_s, case.refused

    retry_after_s, reasons = asyncio.run(scenario())
    assert retry_after_s >= 1
    assert reasons == ["queue_full"]


def test_bytes_that_wait_are_bounded_too():
    async def scenario():
        case = Case(megabytes=1)
        for _ in range(3):
            case.ask("x" * 600_000)
        await asyncio.sleep(0)
        with pytest.raises(QueueFull):
            await case.ask("x" * 600_000)

    asyncio.run(scenario())


def test_who_would_wait_past_the_deadline_is_refused_at_once():
    async def scenario():
        case = Case(deadline_s=5)
        case.dispatcher._service_s = 1.0
        asked = [case.ask(str(number)) for number in range(9)]
        await asyncio.sleep(0)
        return sum(one.done() and isinstance(one.exception(), QueueFull) for one in asked)

    assert asyncio.run(scenario()) == 2


def test_a_deadline_that_passes_is_told():
    async def scenario():
        case = Case()
        with pytest.raises(DeadlinePassed):
            await case.ask("slow", deadline_s=0.05)
        return case.refused

    assert asyncio.run(scenario()) == ["deadline"]


def test_work_of_departed_clients_is_dropped():
    async def scenario():
        case = Case()
        stays = [case.ask("a"), case.ask("b")]
        leaves = case.ask("c", gone=lambda: True)
        cancelled = case.ask("d")
        last = case.ask("e")
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.sleep(0)
        worked = []
        while not last.done():
            worked.append(case.lanes[0].given[0][1].decode())
            case.lanes[0].answer()
            await asyncio.sleep(0)
        with pytest.raises(Departed):
            await leaves
        await asyncio.gather(*stays)
        return worked

    assert asyncio.run(scenario()) == ["a", "b", "e"]


def test_pictures_of_a_dead_lane_are_answered_by_another_in_order():
    async def scenario():
        case = Case(lanes=2)
        asked = [case.ask(name) for name in "abcdef"]
        await asyncio.sleep(0)
        dead, alive = case.lanes
        case.dispatcher.lane_lost(dead, "killed by SIGKILL")
        while not all(one.done() for one in asked):
            alive.answer()
            await asyncio.sleep(0)
        return [one.result()[0].value for one in asked], case.lost

    values, lost = asyncio.run(scenario())
    assert values == list("abcdef")
    assert lost[0][:2] == ("0", "killed by SIGKILL")
    assert len(lost[0][2]) == 64, "the hash of the picture it died on"


def test_a_picture_that_brings_two_lanes_down_is_blamed():
    async def scenario():
        case = Case(lanes=3)
        poison = case.ask("poison")
        await asyncio.sleep(0)
        for _ in range(2):
            (victim,) = [lane for lane in case.lanes if lane.given]
            victim.given.clear()
            case.dispatcher.lane_lost(victim, "killed")
            await asyncio.sleep(0)
        with pytest.raises(JobFailed):
            await poison
        return len(case.dispatcher.lanes)

    assert asyncio.run(scenario()) == 1


def test_a_lane_that_is_stuck_is_killed_and_the_next_picture_goes_on():
    async def scenario():
        case = Case(lanes=2, work_s=0.05)
        stuck = case.ask("stuck")
        await asyncio.sleep(0)
        (victim,) = [lane for lane in case.lanes if lane.given]
        with pytest.raises(DeadlinePassed):
            await stuck
        return victim.killed, len(case.dispatcher.lanes)

    assert asyncio.run(scenario()) == (True, 1)


def test_nobody_to_answer():
    async def scenario():
        with pytest.raises(NotReady):
            await Case(lanes=0).ask("x")

    asyncio.run(scenario())


def test_outcomes_and_errors_travel_whole():
    sent = Outcome("đường", 0.25, b'"text":"\xc4\x91"', 1.5, 2.5, 3.5, 640, 48, 0.5)
    assert Outcome.unpack(sent.pack()) == sent
    ours = unpack_error(pack_error(QueueFull("full", hint="wait")))
    assert (type(ours), ours.message, ours.hint) == (QueueFull, "full", "wait")
    other = unpack_error(pack_error(ZeroDivisionError("oops")))
    assert (other.status, other.message) == (500, "ZeroDivisionError: oops")
