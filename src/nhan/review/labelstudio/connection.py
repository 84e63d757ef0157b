"""What a workspace remembers of Label Studio: which project labels a task, and how far we read.

Both are small objects in the store, so that every machine of a workspace sees them. The project is
written by `setup`; the mark moves forward after a pull has written all it read, so that one that
was killed reads a little twice and misses nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from nhan.errors import NotFound, StorageError
from nhan.review.labelstudio.config import Fields
from nhan.storage import Store

_Kept = TypeVar("_Kept", bound=BaseModel)

# A change may be stamped a while before others can see it: a bulk action is one transaction.
_LATE = timedelta(seconds=60)


class Connection(BaseModel):
    """The project that labels a task.

    Attributes:
        address: Label Studio's.
        project: its number there.
        title: as people know it.
        config: the labelling interface when it was last looked at.
        webhook: number of our webhook there; None where it is not allowed.
        backend: number of the connection to our models; None where there is none.
    """

    model_config = ConfigDict(frozen=True)

    task: str
    address: str
    project: int
    title: str
    config: str
    webhook: int | None = None
    backend: int | None = None

    @property
    def key(self) -> str:
        """As the table of tasks names the project."""
        return f"{self.address}#{self.project}"

    @property
    def fields(self) -> Fields:
        """Where its annotations keep the label."""
        return Fields.of(self.config)


class Mark(BaseModel):
    """How far a project was read.

    Attributes:
        project: the connection's key; a mark of another project counts for nothing.
        newest: the latest change there was when reading began, by Label Studio's clock.
        seen: when we first saw that one, by ours.
        since: changes from here on are still to be read; None: all of them.
        swept: when every task was last looked at, by our clock; None before the first time.
    """

    model_config = ConfigDict(frozen=True)

    project: str
    newest: datetime | None = None
    seen: datetime | None = None
    since: datetime | None = None
    swept: datetime | None = None

    def move(self, newest: datetime | None, began: datetime, *, swept: bool) -> Mark:
        """The mark after a pull that has read everything.

        Args:
            newest: the latest change when the pull began.
            began: when that was, by our clock.
            swept: it looked at every task.
        """
        if newest is None:
            return self.model_copy(update={"swept": began if swept else self.swept})
        seen = self.seen if self.seen is not None and newest == self.newest else began
        # What comes late comes soon: once nothing changed for so long, nothing is read twice.
        late = timedelta(0) if began - seen >= _LATE and newest == self.newest else _LATE
        return Mark(
            project=self.project,
            newest=newest,
            seen=seen,
            since=newest - late,
            swept=began if swept else self.swept,
        )


def save_connection(store: Store, connection: Connection) -> None:
    """Remember the project of a task."""
    _save(store, f"labelstudio/{connection.task}/project.json", connection)


def load_connection(store: Store, task: str) -> Connection:
    """The project of a task.

    Raises:
        NotFound: none was set up.
    """
    found = _load(store, f"labelstudio/{task}/project.json", Connection)
    if found is None:
        raise NotFound(
            f"no Label Studio project is set up for {task}",
            hint=f"nhan labelstudio setup --task {task}",
        )
    return found


def save_mark(store: Store, task: str, mark: Mark) -> None:
    """Remember how far a project was read."""
    _save(store, f"labelstudio/{task}/mark.json", mark)


def load_mark(store: Store, connection: Connection) -> Mark:
    """How far the project was read; an empty mark before the first time."""
    found = _load(store, f"labelstudio/{connection.task}/mark.json", Mark)
    if found is None or found.project != connection.key:
        return Mark(project=connection.key)
    return found


def moment_text(moment: datetime) -> str:
    """A moment as Label Studio's filters want it: UTC, microseconds, Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_moment(text: Any) -> datetime | None:
    """A moment as Label Studio writes it; None where it writes none."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _save(store: Store, path: str, document: BaseModel) -> None:
    store.put(path, document.model_dump_json(indent=1).encode())


def _load(store: Store, path: str, kind: type[_Kept]) -> _Kept | None:
    try:
        return kind.model_validate_json(store.read(path))
    except NotFound:
        return None
    except ValidationError as error:
        raise StorageError(
            f"{path} in {store.place} is damaged: {error.errors()[0]['msg']}",
            hint="nhan labelstudio setup writes it anew",
        ) from error
