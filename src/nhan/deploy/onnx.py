"""A model package as it is: readable by anything that reads ONNX and JSON."""

from __future__ import annotations

import json
from pathlib import Path

from nhan.models.package import SPEC_FILE, Package
from nhan.workspace import Workspace

MODEL = "model.onnx"


def write(workspace: Workspace, package: Package, out: Path) -> list[Path]:
    """Copy the package, its hashes checked on the way.

    Whoever gets the folder finds `model.onnx` in it: where the package has none, as the bundled
    reader that carries int8 alone, the file that answers is given that name.
    """
    del workspace
    folder = package.copy_to(out)
    if MODEL not in package.spec.files:
        _rename(folder, package.spec.to_dict())
    return sorted(path for path in folder.iterdir() if path.is_file())


def _rename(folder: Path, spec: dict[str, object]) -> None:
    answering, files = str(spec["serve"]), spec["files"]
    assert isinstance(files, dict), "a package's description names its files"
    files[MODEL] = files.pop(answering)
    (folder / answering).rename(folder / MODEL)
    text = json.dumps(spec | {"serve": MODEL}, ensure_ascii=False, indent=1)
    (folder / SPEC_FILE).write_text(text, encoding="utf-8")
