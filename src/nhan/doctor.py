"""What this machine and workspace have and lack, each with the fix."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from nhan import __version__
from nhan.catalog.schema import samples
from nhan.errors import NhanError, NotFound
from nhan.storage import Store
from nhan.workspace import Workspace, find_root

# extra -> one package that only it brings, and what it is for
EXTRAS = {
    "train": ("torch", "training, export and synthetic lines"),
    "classes": ("transformers", "classes of pictures by pretrained backbones"),
    "streamlit": ("streamlit", "the Streamlit page: nhan streamlit"),
    "kubeflow": ("kfp", "rounds on Kubeflow Pipelines: export pipeline, loop run --on kubeflow"),
    "tune": ("optuna", "search for better training options: nhan tune"),
    "comet": ("comet_ml", "experiment log in Comet: track = 'comet'"),
    "tensorboard": ("tensorboard", "experiment log for TensorBoard: track = 'tensorboard'"),
    "labelstudio": ("httpx", "labelling in Label Studio: nhan labelstudio"),
    "postgres": ("psycopg", "a catalogue on PostgreSQL"),
}
_LOW_DISK_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        state: `ok`; `missing` an optional part that is not installed; `warning`; `error`.
    """

    name: str
    state: Literal["ok", "missing", "warning", "error"]
    message: str
    hint: str = ""

    def to_json(self) -> dict[str, str]:
        """Plain values."""
        return {key: str(value) for key, value in asdict(self).items()}


def examine(directory: str | Path | None = None) -> list[Check]:
    """Look at Python, the extras, and the workspace if there is one; changes nothing that stays."""
    return [*_machine(), *_extras(), *_workspace(directory)]


def _machine() -> list[Check]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    where = f"{platform.system()} {platform.machine()}, {cores} cores"
    checks = [
        Check("nhan", "ok", __version__),
        Check("python", "ok", f"{sys.version.split()[0]} on {where}"),
        Check("onnxruntime", "ok", version("onnxruntime")),
    ]
    free = shutil.disk_usage(Path.cwd()).free
    state: Literal["ok", "warning"] = "ok" if free > _LOW_DISK_BYTES else "warning"
    checks.append(Check("disk", state, f"{free / 1024**3:.1f} GiB free here", "make room"))
    return checks


def _extras() -> list[Check]:
    checks = []
    for extra, (package, purpose) in EXTRAS.items():
        if find_spec(package) is None:
            hint = f"pip install 'nhan[{extra}]'"
            checks.append(Check(extra, "missing", f"not installed: {purpose}", hint))
        else:
            checks.append(Check(extra, "ok", f"{package} {_version(package)}: {purpose}"))
    return checks


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(unknown version)"


def _workspace(directory: str | Path | None) -> list[Check]:
    try:
        root = find_root(directory)
    except NotFound as error:
        return [Check("workspace", "missing", error.message, error.hint)]
    try:
        workspace = Workspace.open(root)
    except NhanError as error:
        return [Check("workspace", "error", error.message, error.hint)]
    with workspace:
        return [
            Check("workspace", "ok", str(root)),
            _catalog(workspace),
            *_objects(workspace),
        ]


def _catalog(workspace: Workspace) -> Check:
    try:
        with workspace.catalog.read() as connection:
            count = connection.scalar(sa.select(sa.func.count()).select_from(samples))
    except NhanError as error:
        return Check("catalogue", "error", error.message, error.hint)
    return Check("catalogue", "ok", f"{workspace.catalog.dialect}, {count:,} samples")


def _objects(workspace: Workspace) -> list[Check]:
    try:
        store = workspace.store
    except NhanError as error:
        return [Check("objects", "error", error.message, error.hint)]
    return try_storage(store)


def try_storage(store: Store) -> list[Check]:
    """Try list, write, read, create-only and delete on a store, with an object of our own."""
    path = f"doctor/{uuid.uuid4().hex}"
    steps: dict[str, Callable[[], object]] = {
        "list": lambda: next(store.list("doctor"), None),
        "write": lambda: store.put(path, b"nhan"),
        "read": lambda: store.read(path) == b"nhan",
        "create-only": lambda: not store.put_once(path, b"again"),
        "delete": lambda: store.delete(path),
    }
    done: list[str] = []
    for name, step in steps.items():
        try:
            agreed = step() is not False
        except NhanError as error:
            return [Check("objects", "error", f"{name}: {error.message}", error.hint)]
        if not agreed:
            message = f"{name} did not do what it promises in {store.place}"
            return [Check("objects", "error", message, "use a store with atomic create-only puts")]
        done.append(name)
    return [Check("objects", "ok", f"{store.place}: {', '.join(done)}")]
