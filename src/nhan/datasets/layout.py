"""Where a dataset version lies and how it is written; the one place that knows.

datasets/NAME/VERSION/data-train-00000.parquet …   the rows
datasets/NAME/VERSION/manifest.json                written last: no manifest, no version
datasets/NAME/log/000001.json                      which version was frozen when
"""

from __future__ import annotations

import json
import re

import pyarrow as pa

from nhan.errors import UserError

FORMAT = 1
SPLITS = ("train", "validation", "test")
VERSION_LENGTH = 12
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

COLUMNS = {
    "image": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    "label": pa.string(),
    "split": pa.string(),
    "sha256": pa.string(),
    "source": pa.string(),
    "group": pa.string(),
    "width": pa.int32(),
    "height": pa.int32(),
    "sample": pa.int64(),
}
# What the columns are to Hugging Face `datasets`; `image` shows as pictures there.
_FEATURES = {
    name: {"_type": "Image"} if name == "image" else {"dtype": str(kind), "_type": "Value"}
    for name, kind in COLUMNS.items()
}
SCHEMA = pa.schema(
    list(COLUMNS.items()), metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})}
)


def check_name(name: str) -> str:
    """The name itself, if it can be a dataset's.

    Raises:
        UserError: it holds characters that do not belong in a path, or is reserved.
    """
    if not _NAME.fullmatch(name) or name.endswith(".") or name == "log":
        raise UserError(
            f"{name!r} cannot be the name of a dataset",
            hint="letters, digits, '.', '_' and '-'; for instance vi-lines",
        )
    return name


def folder(name: str, version: str) -> str:
    """The folder of a version."""
    return f"datasets/{name}/{version}"


def manifest_path(name: str, version: str) -> str:
    """The object that makes a version visible."""
    return f"{folder(name, version)}/manifest.json"


def log_prefix(name: str) -> str:
    """The numbered log of a dataset's versions."""
    return f"datasets/{name}/log"


def shard_path(name: str, version: str, split: str, number: int) -> str:
    """One file of rows."""
    return f"{folder(name, version)}/data-{split}-{number:05d}.parquet"
