"""Clearing away, from the first look to the last: the plain function behind `nhan gc`."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from nhan.catalog.events import log_event
from nhan.catalog.reviews import drop_holds, lock_handout
from nhan.gc.leftovers import Leftovers
from nhan.gc.objects import Objects
from nhan.gc.references import References
from nhan.gc.report import KINDS, Age, Found, GcReport, Progress
from nhan.workspace import Workspace

GRACE = timedelta(hours=24)
CACHES = timedelta(days=30)
_THREADS = min(8, 2 * (os.cpu_count() or 1))


def collect_garbage(
    workspace: Workspace,
    *,
    grace: timedelta = GRACE,
    caches: timedelta = CACHES,
    checkpoints: bool = False,
    dry_run: bool = False,
    progress: Progress = lambda _: None,
) -> GcReport:
    """Remove what nothing refers to and nobody is at work on.

    Servers, intakes, imports, freezes, trainings and other calls of this may go on meanwhile.
    Published models, dataset versions, promotion logs, events, labels, uploads and runs that can
    be gone on with are never touched.

    Args:
        workspace: where; files of processes on other machines are cleared there.
        grace: what is younger stays. Pictures that come in again are renewed once an hour, so
            less than two hours are for workspaces that nobody uses.
        caches: prepared pictures and features used since then stay.
        checkpoints: also remove what only going on with a published run would need.
        dry_run: look and report, change nothing.
        progress: told what is being looked at.

    Raises:
        StorageError: object store or catalogue are out of reach; what was done stays done.
    """
    now = datetime.now(UTC)
    age = Age(now, now - grace, now - caches)
    report = GcReport(dry_run=dry_run)
    leftovers = Leftovers(workspace, age, report)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="gc") as pool:
        references = References(workspace, pool)
        objects = Objects(workspace.store, references, pool, age, report)
        for what, step in (
            ("what was set aside", objects.finish_earlier),
            ("pictures", objects.pictures),
            ("datasets", objects.datasets),
            ("half-written files", objects.doctors),
            ("runs", lambda: leftovers.runs(checkpoints=checkpoints)),
            ("caches", leftovers.caches),
            ("half-written files", leftovers.temporaries),
            ("folders", leftovers.folders),
            ("holds", lambda: _holds(workspace, age, report)),
        ):
            progress(what)
            step()
    if not dry_run and (report.found or report.put_back):
        counts = {kind: count for kind in KINDS if (count := report.count(kind))}
        with workspace.catalog.write() as connection:
            log_event(connection, "gc", bytes=report.freed, aside=report.aside, counts=counts)
    return report


def _holds(workspace: Workspace, age: Age, report: GcReport) -> None:
    if report.dry_run:
        with workspace.catalog.read() as connection:
            gone = drop_holds(connection, age.before, dry_run=True)
    else:
        with workspace.catalog.write() as connection:
            lock_handout(connection)
            gone = drop_holds(connection, age.before)
    report.found += [Found("hold", f"sample {sample} of {who}", 0) for sample, who in gone]
