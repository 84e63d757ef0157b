"""A model as a TorchServe archive: TorchScript, what describes it, and a handler of a few lines.

A `.mar` is a ZIP file with `MAR-INF/MANIFEST.json`; it is written here, in the form of
torch-model-archiver, so that neither it nor TorchServe is needed to make one.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

from nhan import __version__
from nhan.deploy.forms import empty_folder
from nhan.deploy.torchscript import to_script
from nhan.deploy.torchserve_handler import ABOUT, NETWORK, SPEC
from nhan.models.package import Package
from nhan.workspace import Workspace

HANDLER = "handler.py"
# The release of torch-model-archiver whose form this is.
_ARCHIVER = "0.12.0"
# The earliest moment that a ZIP file can name: equal models give equal archives.
_MOMENT = (1980, 1, 1, 0, 0, 0)
_HANDLER = '''"""Answers with {reference}, prepared and decoded by the installed package nhan."""

from nhan.deploy.torchserve_handler import PictureHandler


class Handler(PictureHandler):
    """TorchServe takes the one class that this file defines."""
'''
# Requests that TorchServe hands over at once, and how long it waits for them. Each picture runs
# alone, so a batch saves only the way to the worker.
_BATCH, _DELAY_MS = 8, 5
_RESPONSE_TIMEOUT_S = 60


def write(workspace: Workspace, package: Package, out: Path) -> list[Path]:
    """Write `NAME.mar` and a `config.properties` that serves it on loopback addresses.

    Raises:
        ExportRefused: the TorchScript file does not say what the model says.
        UserError: the folder holds something, or the package carries no weights.
    """
    data = archive(workspace, package)
    folder = empty_folder(out)
    mar = folder / f"{package.spec.name}.mar"
    mar.write_bytes(data)
    config = folder / "config.properties"
    config.write_text(properties(workspace, package), encoding="utf-8")
    return [mar, config]


def archive(workspace: Workspace, package: Package) -> bytes:
    """The `.mar` file; the same package and samples give the same bytes.

    Raises:
        ExportRefused, UserError, MissingExtra: as `to_script`.
    """
    script = to_script(workspace, package)
    limits = workspace.picture_limits
    about = {
        "nhan": __version__,
        **script.to_dict(),
        "max_bytes": limits.max_bytes,
        "max_pixels": limits.max_pixels,
    }
    manifest = {
        "createdOn": package.spec.created,
        "runtime": "python",
        "model": {
            "modelName": package.spec.name,
            "serializedFile": NETWORK,
            "handler": HANDLER,
            "modelVersion": str(package.spec.version),
        },
        "archiverVersion": _ARCHIVER,
    }
    files = {
        "MAR-INF/MANIFEST.json": _json(manifest),
        HANDLER: _HANDLER.format(reference=package.ref).encode(),
        NETWORK: script.model,
        SPEC: _json(package.spec.to_dict()),
        ABOUT: _json(about),
    }
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _MOMENT)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            zipped.writestr(entry, data)
    return written.getvalue()


def properties(workspace: Workspace, package: Package) -> str:
    """TorchServe's `config.properties`: loopback addresses, one worker a core."""
    workers = workspace.settings.serve.workers or os.cpu_count() or 1
    model = {
        package.spec.name: {
            str(package.spec.version): {
                "defaultVersion": True,
                "marName": f"{package.spec.name}.mar",
                "minWorkers": workers,
                "maxWorkers": workers,
                "batchSize": _BATCH,
                "maxBatchDelay": _DELAY_MS,
                "responseTimeout": _RESPONSE_TIMEOUT_S,
            }
        }
    }
    # Base64 takes a third more than the bytes it stands for.
    largest = workspace.picture_limits.max_bytes * 4 // 3 + 65_536
    return "\n".join(
        [
            f"# {package.ref}, written by nhan {__version__}",
            "inference_address=http://127.0.0.1:8080",
            "management_address=http://127.0.0.1:8081",
            "metrics_address=http://127.0.0.1:8082",
            f"max_request_size={largest}",
            f"load_models={package.spec.name}.mar",
            f"models={json.dumps(model)}",
            "",
        ]
    )


def _json(values: dict[str, Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, indent=1).encode()
