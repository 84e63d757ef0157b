"""Answering without HTTP: plain values in, predictions out.

REST, the console, a cluster server and tests call this; none of them sees a lane or a queue.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nhan.errors import NhanError
from nhan.serving.engine.dispatch import Dispatcher
from nhan.serving.engine.outcome import Outcome
from nhan.serving.roster import Deployment, Roster
from nhan.serving.trials import Trials

# Silent answers under way at once; a candidate may cost memory, never a user's time.
_MAX_SILENT = 4


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer, traceable to the model version that gave it.

    Attributes:
        id: unique, and in order of time.
        task: the task of the model.
        model: its name.
        version: its version.
        outcome: the answer itself and what was measured on the way.
        queue_ms: from arrival until a lane began.
        duration_ms: from arrival to answer.
    """

    id: str
    task: str
    model: str
    version: str
    outcome: Outcome
    queue_ms: float
    duration_ms: float

    @property
    def value(self) -> str:
        """The text or the class."""
        return self.outcome.value

    @property
    def confidence(self) -> float:
        """Calibrated, 0..1."""
        return self.outcome.confidence

    @property
    def details(self) -> dict[str, Any]:
        """What the task adds: text and characters, or label and labels."""
        members: dict[str, Any] = json.loads(b"{" + self.outcome.details + b"}")
        return members

    def to_bytes(self) -> bytes:
        """The prediction's JSON, UTF-8."""
        # Names are plain ASCII (a package with another name cannot be published), so only the
        # task's own members need a JSON encoder, and the worker has run it.
        head = (
            f'{{"id":"{self.id}","task":"{self.task}","model":"{self.model}",'
            f'"version":"{self.version}",'
        )
        tail = f'"confidence":{self.confidence:.4f},"duration_ms":{self.duration_ms:.1f}}}'
        details = self.outcome.details + b"," if self.outcome.details else b""
        return head.encode() + details + tail.encode()

    def to_dict(self) -> dict[str, Any]:
        """The prediction as plain JSON values."""
        document: dict[str, Any] = json.loads(self.to_bytes())
        return document


class Service:
    """Answers pictures with the models of a roster.

    Args:
        roster: which models answer.
        dispatcher: who does the work.
        watch: called with every prediction given, e.g. to count it.
        differs: called with a prediction's id, the candidate and its answer where a silent answer
            is another one.
    """

    def __init__(
        self,
        roster: Roster,
        dispatcher: Dispatcher,
        *,
        watch: Callable[[Prediction], None] = lambda _: None,
        differs: Callable[[str, str, str], None] = lambda *_: None,
    ) -> None:
        self.roster = roster
        self.dispatcher = dispatcher
        self.trials = Trials()
        self.draining = False
        self._watch = watch
        self._differs = differs
        self._silent: set[asyncio.Task[None]] = set()

    @property
    def answers(self) -> bool:
        """Whether a picture sent now to a model that answers would be answered."""
        return bool(self.roster.champions and self.dispatcher.lanes) and not self.draining

    @property
    def ready(self) -> bool:
        """Whether a picture sent now would be answered, also where no model is named with it."""
        return self.answers and self.roster.has_default

    async def predict(
        self,
        picture: bytes,
        *,
        model: str = "",
        version: str = "",
        deadline_s: float | None = None,
        gone: Callable[[], bool] | None = None,
    ) -> Prediction:
        """Answer one picture.

        Args:
            picture: an encoded picture, as a user sent it.
            model: a model's name; may be empty where only one answers.
            version: a version that is loaded; the champion if empty.
            deadline_s: how long whoever asks will wait.
            gone: tells whether they have left; asked before work begins.

        Raises:
            NotFound: no such model or version.
            BadPicture, PictureTooLarge, UnsupportedPicture: the picture's fault.
            QueueFull, DeadlinePassed, NotReady: there is too much to do, or nobody to do it.
        """
        arrived = time.perf_counter()
        deployment = champion = self.roster.find(model, version)
        trials = self.trials
        if trials.canary and not version:
            deployment = trials.candidate_for(deployment.name, picture) or deployment
        deployment.in_flight += 1
        try:
            outcome, waited_s = await self.dispatcher.run(
                deployment.key, picture, deadline_s=deadline_s, gone=gone
            )
        finally:
            deployment.in_flight -= 1
        prediction = Prediction(
            new_id(),
            deployment.task,
            deployment.name,
            deployment.version,
            outcome,
            waited_s * 1e3,
            (time.perf_counter() - arrived) * 1e3,
        )
        _count(deployment)
        self._watch(prediction)
        # Beside a canary's answer there is no champion's to compare with.
        if trials.shadow and not version and deployment.key == champion.key:
            self._ask_silently(champion, prediction, picture)
        return prediction

    def _ask_silently(self, champion: Deployment, prediction: Prediction, picture: bytes) -> None:
        """Let the shadows answer too, but only while nobody waits for a lane."""
        for shadow in self.trials.shadows_of(prediction.model):
            if shadow.key == champion.key:
                continue  # promoted meanwhile: it would agree with itself
            if self.dispatcher.waiting == 0 and len(self._silent) < _MAX_SILENT:
                task = asyncio.create_task(self._compare(shadow, prediction, picture))
                self._silent.add(task)
                task.add_done_callback(self._silent.discard)

    async def _compare(self, shadow: Deployment, prediction: Prediction, picture: bytes) -> None:
        shadow.in_flight += 1
        try:
            outcome, _ = await self.dispatcher.run(shadow.key, picture)
        except NhanError:
            return
        finally:
            shadow.in_flight -= 1
        self.trials.compare(shadow, outcome.value, prediction.value, id_=prediction.id)
        if outcome.value != prediction.value:
            self._differs(prediction.id, shadow.key, outcome.value)

    async def predict_many(
        self,
        pictures: Sequence[bytes],
        *,
        model: str = "",
        version: str = "",
        deadline_s: float | None = None,
        gone: Callable[[], bool] | None = None,
    ) -> list[Prediction]:
        """Answer pictures, in order; each is read alone, so neighbours change nothing.

        Raises:
            NhanError: the first error in order; the other pictures' answers are dropped.
        """
        asked = [
            asyncio.ensure_future(
                self.predict(
                    picture, model=model, version=version, deadline_s=deadline_s, gone=gone
                )
            )
            for picture in pictures
        ]
        results = await asyncio.gather(*asked, return_exceptions=True)
        answers = []
        for number, result in enumerate(results):
            if isinstance(result, NhanError) and len(pictures) > 1:
                result.message = f"picture {number}: {result.message}"
            if isinstance(result, BaseException):
                raise result
            answers.append(result)
        return answers


def new_id() -> str:
    """An identifier that is unique and sorts by time: 12 hex digits of ms, 16 of chance."""
    if not _chance:
        drawn = os.urandom(8 * _DRAWN_AHEAD).hex()
        _chance.extend(drawn[at : at + 16] for at in range(0, len(drawn), 16))
    return f"{time.time_ns() // 1_000_000:012x}{_chance.pop()}"


# Two identifiers a request, and asking the kernel for each costs as much as finding the picture.
_DRAWN_AHEAD = 64
_chance: list[str] = []
# A child must not hand out what its parent hands out too.
os.register_at_fork(after_in_child=_chance.clear)


def _count(deployment: Deployment) -> None:
    deployment.answered += 1
    deployment.last_answer = time.time()
