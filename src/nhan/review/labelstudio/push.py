"""Samples to Label Studio: what is there is looked at first, and only the rest is sent.

The project itself says which tasks there are (each carries its picture's SHA-256), so a push that
was killed, or a second one, makes no task twice. A sample is claimed in the catalogue before its
task is made; of two pushes at once each sends its own share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nhan.catalog import State
from nhan.catalog.events import log_events
from nhan.catalog.labelstudio import (
    Candidate,
    Link,
    Said,
    all_links,
    claim,
    count_claims,
    find_candidates,
    find_samples,
    give_up,
    give_up_old_claims,
    record_tasks,
)
from nhan.catalog.samples import lock_writers
from nhan.catalog.tallies import count_unasked
from nhan.errors import NhanError, NotFound
from nhan.review.labelstudio.client import Json, LabelStudio
from nhan.review.labelstudio.config import Fields
from nhan.review.labelstudio.connection import Connection
from nhan.review.labelstudio.links import Links, hash_in
from nhan.review.labelstudio.report import PushReport
from nhan.review.labelstudio.suggest import Suggester
from nhan.samples.record import Skip
from nhan.workspace import Workspace

# Tasks of one request: a killed push costs at most so many readings.
_BATCH = 100
# What is waiting for a person.
WAITING = (State.NEW, State.QUEUED)
_OPEN = (*WAITING, State.DRAFT)

Progress = Callable[[int, int | None], None]


@dataclass
class _There:
    """A task as the survey finds it."""

    number: int
    data: Json
    predictions: list[Json]


def push(
    workspace: Workspace,
    client: LabelStudio,
    connection: Connection,
    links: Links,
    *,
    suggester: Suggester | None,
    states: Sequence[State] = WAITING,
    limit: int | None = None,
    survey: bool = True,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> PushReport:
    """Send the samples that wait, most useful first, and freshen the tasks that are there.

    Args:
        workspace: whose samples.
        client: Label Studio.
        connection: the project.
        links: make the pictures' addresses.
        suggester: fills the tasks in; None sends them empty.
        states: which samples are sent.
        limit: at most so many new tasks.
        survey: first go through the tasks that are there; without it, only new ones are sent.
        dry_run: look and count, change nothing.
        progress: called with the samples done and their number.

    Raises:
        NhanError: Label Studio is away, refuses, or lost the project; what was sent is recorded.
    """
    work = _Push(workspace, client, connection, links, suggester, dry_run)
    if survey:
        work.survey()
    work.send(states, limit, progress)
    return work.finish()


class _Push:
    def __init__(
        self,
        workspace: Workspace,
        client: LabelStudio,
        connection: Connection,
        links: Links,
        suggester: Suggester | None,
        dry_run: bool,
    ) -> None:
        self._workspace = workspace
        self._client = client
        self._connection = connection
        self._links = links
        self._suggester = suggester
        self._dry_run = dry_run
        project = client.project(connection.project)
        self._fields = Fields.of(str(project.get("label_config", "")))
        self._overlap = int(project.get("maximum_annotations") or 1)
        self._shown = str(project.get("model_version") or "")
        self.report = PushReport(connection.key, dry_run, model=suggester.ref if suggester else "")
        self._unfit: set[str] = set()

    def survey(self) -> None:
        """Go through the project's tasks: record the unrecorded, freshen the stale."""
        with self._workspace.catalog.read() as catalog:
            known = {link.sha256: link for link in all_links(catalog, self._connection.key)}
        missing = {link.task_id for link in known.values()}
        for page in self._pages():
            missing -= {one.number for one in page}
            self.report.there += len(page)
            by_hash: dict[str, _There] = {}
            for one in page:
                by_hash.setdefault(_hash_of(one, self._fields), one)
            by_hash.pop("", None)
            self._adopt({sha256: one for sha256, one in by_hash.items() if sha256 not in known})
            ours = [
                (known[sha256], one)
                for sha256, one in by_hash.items()
                if sha256 in known and known[sha256].task_id == one.number
            ]
            self._relink(ours)
            self._refresh(
                {link.sample_id: (link, one) for link, one in ours if link.state in _OPEN}
            )
        self.report.gone = len(missing)

    def send(self, states: Sequence[State], limit: int | None, progress: Progress | None) -> None:
        """Make the tasks that are wanting."""
        key, catalog = self._connection.key, self._workspace.catalog
        if not self._dry_run:
            with catalog.write() as connection:
                lock_writers(connection)
                give_up_old_claims(connection, key)
        with catalog.read() as connection:
            found = find_candidates(
                connection, self._connection.task, key, states=states, limit=None
            )
            self.report.claimed = count_claims(connection, key)
            if State.NEW in states:
                self.report.withheld = count_unasked(connection, self._connection.task)
        wanted = found if limit is None else found[:limit]
        self.report.waiting = len(found) - len(wanted)
        done = 0
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            self._send(batch)
            done += len(batch)
            if progress is not None:
                progress(done, len(wanted))

    def finish(self) -> PushReport:
        """Note in the log that the push ended, if it did anything."""
        if self._unfit:
            names = ", ".join(sorted(self._unfit)[:5])
            self.report.skipped = [
                replace(one, message=f"{one.message} ({names})") if one.code == "unknown_class"
                else one
                for one in self.report.skipped
            ]  # fmt: skip
        if self.report.changed and not self._dry_run:
            with self._workspace.catalog.write() as connection:
                said = self.report.to_json().items()
                counts = {name: value for name, value in said if isinstance(value, str | int)}
                log_events(connection, [{"kind": "labelstudio.push", "data": counts}])
        return self.report

    def _pages(self) -> Iterator[list[_There]]:
        after = 0
        while True:
            page = self._client.tasks(
                self._connection.project,
                after=after,
                size=_BATCH * 2,
                fields="id,data,predictions",
            )
            if not page:
                return
            after = int(page[-1]["id"])
            yield [
                _There(int(one["id"]), one.get("data") or {}, one.get("predictions") or [])
                for one in page
            ]

    def _show_champion(self) -> None:
        """Label Studio fills a task in with the predictions of the version its project names.

        It takes no name that no prediction has, so this follows the first of them.
        """
        assert self._suggester is not None, "somebody made the prediction"
        if self._shown != self._suggester.ref:
            self._shown = self._suggester.ref
            self._client.update_project(self._connection.project, model_version=self._shown)

    def _adopt(self, stray: dict[str, _There]) -> None:
        """Record tasks that show samples of ours and are in nobody's record."""
        if not stray:
            return
        with self._workspace.catalog.read() as connection:
            ours = find_samples(connection, self._connection.task, stray)
        sent = {
            number: (stray[sha256].number, _version_in(stray[sha256]))
            for sha256, (number, _) in ours.items()
        }
        self.report.adopted += len(sent)
        if not self._dry_run:
            self._record(sent)

    def _relink(self, ours: list[tuple[Link, _There]]) -> None:
        """Sign the addresses anew that have used up half their time, or lead elsewhere."""
        key = self._fields.picture
        for link, one in ours:
            if self._links.is_fresh(one.data.get(key), link.sha256):
                continue
            if not self._dry_run:
                address = self._links.to(link.sha256, link.path)
                try:
                    self._client.update_task(one.number, {**one.data, key: address})
                except NotFound:
                    continue  # deleted since it was listed; the next pull settles it
            self.report.relinked += 1

    def _refresh(self, open_tasks: dict[int, tuple[Link, _There]]) -> None:
        """Bring the pre-annotations of open tasks to the champion."""
        if self._suggester is None:
            return
        ref = self._suggester.ref
        stale = {
            number: (link, one)
            for number, (link, one) in open_tasks.items()
            if all(made.get("model_version") != ref for made in one.predictions)
        }
        if self._dry_run or not stale:
            self.report.refreshed += len(stale)
            return
        said, _ = self._answers({number: link for number, (link, _) in stale.items()})
        new, gone = [], set()
        for number, answer in said.items():
            _, one = stale[number]
            made = self._prediction(answer)
            ours = [old for old in one.predictions if _is_ours(old)]
            if ours:  # changed in its place: never two of ours, never none
                latest = max(ours, key=lambda old: int(old["id"]))
                try:
                    self._client.update_prediction(int(latest["id"]), **made)
                except NotFound:  # as above
                    gone.add(number)
            else:
                new.append({"task": one.number, **made})
        if new:
            self._client.import_predictions(self._connection.project, new)
        said = {number: answer for number, answer in said.items() if number not in gone}
        self.report.refreshed += len(said)
        self._record({number: (stale[number][1].number, ref) for number in said})
        if said:
            self._show_champion()

    def _send(self, batch: list[Candidate]) -> None:
        for one in batch:
            if one.opinions > self._overlap:
                message = f"{one.opinions} people are to label it, the project asks {self._overlap}"
                hint = f"nhan labelstudio setup --opinions {one.opinions}"
                self.report.skipped.append(Skip(one.name, "needs_more_people", message, hint))
        batch = [one for one in batch if one.opinions <= self._overlap]
        if self._dry_run:
            self.report.pushed += len(batch)
            return
        key, catalog = self._connection.key, self._workspace.catalog
        said, silent = self._answers({one.id: one for one in batch})
        batch = [one for one in batch if one.id not in silent]
        with catalog.write() as connection:
            lock_writers(connection)
            ours = claim(connection, key, [one.id for one in batch])
        batch = [one for one in batch if one.id in ours]
        if not batch:
            return
        try:
            numbers = self._client.import_tasks(
                self._connection.project, [self._task(one, said.get(one.id)) for one in batch]
            )
        except NhanError:
            # It may have been carried out all the same; the next survey finds such tasks.
            with catalog.write() as connection:
                give_up(connection, key, ours)
            raise
        ref = self._suggester.ref if self._suggester else ""
        self._record(
            {
                one.id: (number, ref if one.id in said else "")
                for one, number in zip(batch, numbers, strict=True)
            }
        )
        self.report.pushed += len(batch)
        self.report.suggested += sum(one.id in said for one in batch)
        if any(one.id in said for one in batch):
            self._show_champion()

    def _answers(self, asked: dict[int, Any]) -> tuple[dict[int, Said], dict[int, str]]:
        """The champion's answers that the interface can hold, and pictures nobody can read."""
        if self._suggester is None:
            return {}, {}
        said, silent = self._suggester.answers(asked)
        names = {number: getattr(one, "name", one.sha256) for number, one in asked.items()}
        for number, reason in silent.items():
            self.report.skipped.append(Skip(names[number], "unreadable_picture", reason))
        for number in [number for number, one in said.items() if not self._fields.holds(one.value)]:
            self._unfit.add(said.pop(number).value)
            message = "sent without a suggestion: the interface does not offer the class"
            hint = "nhan labelstudio setup adds classes that are new"
            self.report.skipped.append(Skip(names[number], "unknown_class", message, hint))
        for number in [number for number, one in said.items() if not one.value.strip()]:
            del said[number]  # nothing read: nothing to begin from
        return said, silent

    def _task(self, one: Candidate, said: Said | None) -> Json:
        predictions = [self._prediction(said)] if said is not None else []
        if one.correction is not None and self._fields.holds(one.correction[0]):
            value, who = one.correction
            made = {"model_version": f"correction by {who or 'a user'}", "score": None}
            predictions.append({**made, "result": self._fields.result(value)})
        data = {
            self._fields.picture: self._links.to(one.sha256, one.path),
            "sha256": one.sha256,
            "sample": one.id,
            "name": one.name,
            "source": one.source,
            "priority": round(one.priority, 4),
            "correction": one.correction[0] if one.correction else "",
        }
        return {"data": data, "predictions": predictions}

    def _prediction(self, said: Said) -> Json:
        assert self._suggester is not None, "an answer has somebody who gave it"
        return {
            "model_version": self._suggester.ref,
            "score": round(said.confidence, 4),
            "result": self._fields.result(said.value),
        }

    def _record(self, sent: dict[int, tuple[int, str]]) -> None:
        with self._workspace.catalog.write() as connection:
            lock_writers(connection)
            record_tasks(connection, self._connection.key, sent)


def _hash_of(one: _There, fields: Fields) -> str:
    said = one.data.get("sha256")
    return said if isinstance(said, str) else hash_in(str(one.data.get(fields.picture) or ""))


def _is_ours(prediction: Json) -> bool:
    """Made by a model version; corrections of users stay beside it."""
    return "@" in str(prediction.get("model_version") or "") and not str(
        prediction["model_version"]
    ).startswith("correction by ")


def _version_in(one: _There) -> str:
    return next((str(made["model_version"]) for made in one.predictions if _is_ours(made)), "")
