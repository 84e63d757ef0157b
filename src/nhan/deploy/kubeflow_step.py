"""What runs in a pod of Kubeflow: one step of a round, its record told to the pipeline.

The pipeline only says which step is next. What a step did, or why it was skipped, is decided and
written down by `nhan.pipeline.rounds`, exactly as on one machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from nhan.errors import NhanError
from nhan.pipeline import rounds
from nhan.pipeline.plan import make_plan
from nhan.pipeline.reasons import reason_of
from nhan.pipeline.step import Record
from nhan.pipeline.steps import STEPS
from nhan.settings import FILE_NAME
from nhan.workspace import Workspace

T = TypeVar("T")

# Where the image keeps its workspace; a pod's is empty, its stores are named by variables.
_FOLDER = "/workspace"


def begin(dataset: str, model: str, because: str, *, again: bool, key: str) -> int:
    """Begin a round, or find the one that the same run of the pipeline began; its number."""
    with _workspace() as workspace:
        plan = make_plan(
            workspace,
            dataset=dataset,
            model=model,
            reason=reason_of(because),
            by="kubeflow",
            again=again,
            key=key,
        )
        return _told(lambda: rounds.begin_round(workspace, plan)).plan.number


def do(name: str, number: int) -> Record:
    """Do one step of a round; the last one ends the round."""
    with _workspace() as workspace:
        record = _told(lambda: rounds.run_step(workspace, number, name, say=_say))
        if name == list(STEPS)[-1]:
            _told(lambda: rounds.finish_round(workspace, number))
        return record


def metadata_of(record: Record) -> dict[str, Any]:
    """A step's outcome as an artifact's metadata: texts, numbers and truths only."""
    flat = {"step": record.step, "state": record.state, "because": record.because}
    if record.key:
        flat["key"] = record.key
    return {**flat, **_flat(record.outputs)}


def uri_of(record: Record) -> str:
    """Where what a step made is kept: a dataset's or model's folder in the object store."""
    with _workspace() as workspace:
        for output, folder in (("candidate", "models"), ("dataset", "datasets")):
            name, _, version = str(record.outputs.get(output) or "").partition("@")
            if name and version:
                return f"{workspace.store.url}/{folder}/{name}/{version}"
    return ""


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(values, dict):
        return {
            k: v
            for key, value in values.items()
            for k, v in _flat(value, f"{prefix}{key}.").items()
        }
    name = prefix.rstrip(".")
    if isinstance(values, bool | int | float | str):
        return {name: values}
    return {} if values is None else {name: str(values)}


def _workspace() -> Workspace:
    root = Path(os.environ.get("NHAN_WORKSPACE") or _FOLDER)
    if not (root / FILE_NAME).exists():
        Workspace.init(root).close()
    return Workspace.open(root)


def _told(act: Callable[[], T]) -> T:
    """Do something; a failure ends the pod with the two lines that the command line prints."""
    try:
        return act()
    except NhanError as error:
        hint = f"\nhint: {error.hint}" if error.hint else ""
        raise SystemExit(f"error: {error.message}{hint}") from error


def _say(words: str) -> None:
    print(words, flush=True)  # noqa: T201  a pod's log
