"""The tasks that go round the loop; a third is one folder and one row here."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from nhan.errors import NotFound
from nhan.tasks.base import Task

TASKS = {
    "text": "nhan.tasks.text:TextTask",
    "classes": "nhan.tasks.classes:ClassesTask",
}


@cache
def get_task(name: str) -> Task:
    """Look a task up by name, importing it only now.

    Raises:
        NotFound: no such task; the hint lists those there are.
    """
    if name not in TASKS:
        raise NotFound(f"no task {name!r}", hint=f"tasks: {', '.join(sorted(TASKS))}")
    module, _, attribute = TASKS[name].partition(":")
    task: Task = getattr(import_module(module), attribute)()
    return task
