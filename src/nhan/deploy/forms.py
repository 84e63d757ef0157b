"""The one table of what `nhan export` writes; a form's module is imported when it is asked for.

A model's form takes `write(workspace, package, out)`, a pipeline's and a workspace's form
`write(workspace, out)`; both return the files they wrote, and refuse before they write.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from nhan.errors import UserError
from nhan.models.package import Package
from nhan.workspace import Workspace

PIPELINE = "pipeline"


@dataclass(frozen=True)
class Form:
    """One form.

    Attributes:
        module: has the function `write`.
        about: one line of help.
    """

    module: str
    about: str


MODEL_FORMS = {
    "onnx": Form("nhan.deploy.onnx", "the package as it is: model.onnx, nhan.json, card"),
    "torchscript": Form("nhan.deploy.torchscript", "the network for PyTorch, proven"),
    "torchserve": Form("nhan.deploy.torchserve", "a TorchServe archive, NAME.mar"),
    "kserve": Form("nhan.deploy.kserve", "manifests of an InferenceService and what it needs"),
    "compose": Form("nhan.deploy.compose", "compose.yaml with every engine, health and limits"),
    "grafana": Form("nhan.deploy.grafana", "Grafana dashboards, Prometheus rules and scraping"),
}
PIPELINE_FORMS: dict[str, Form] = {
    "kubeflow": Form("nhan.deploy.kubeflow", "a pipeline of Kubeflow Pipelines 2, FILE.yaml"),
    "trainer": Form("nhan.deploy.trainer", "a TrainJob of Kubeflow Trainer, FILE.yaml"),
    "katib": Form("nhan.deploy.katib", "a search of Katib, FILE.yaml"),
}


def write_model(workspace: Workspace, package: Package, form: str, out: Path) -> list[Path]:
    """Write a model in a form.

    Args:
        workspace: its settings shape what is written.
        package: the model version.
        form: a key of `MODEL_FORMS`.
        out: a folder that is empty or does not exist.

    Raises:
        UserError: no such form, or something is in the way.
        ExportRefused: the export does not agree with the network.
    """
    write: Callable[[Workspace, Package, Path], list[Path]] = _find(MODEL_FORMS, form)
    return write(workspace, package, out)


def write_pipeline(workspace: Workspace, form: str, out: Path) -> list[Path]:
    """Write the loop's steps in a form.

    Raises:
        UserError: no such form, or something is in the way.
    """
    write: Callable[[Workspace, Path], list[Path]] = _find(PIPELINE_FORMS, form)
    return write(workspace, out)


def _find(forms: dict[str, Form], form: str) -> Callable[..., list[Path]]:
    if form not in forms:
        if form in PIPELINE_FORMS:
            raise UserError(
                f"{form} is a form of the loop's steps, not of a model",
                hint=f"nhan export {PIPELINE} --as {form} --out FILE.yaml",
            )
        if form in MODEL_FORMS:
            raise UserError(
                f"{form} is a form of a model, not of the loop's steps",
                hint=f"nhan export MODEL --as {form} --out FOLDER",
            )
        raise UserError(f"no export form {form!r}", hint=f"forms: {', '.join(forms)}")
    found: Callable[..., list[Path]] = import_module(forms[form].module).write
    return found


def empty_folder(out: Path) -> Path:
    """Make the folder that a form writes into.

    Raises:
        UserError: it holds something already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is in the way", hint="name a folder that does not exist yet")
    out.mkdir(parents=True, exist_ok=True)
    return out


def new_file(out: Path) -> Path:
    """A YAML file that a form writes, its folder made.

    Raises:
        UserError: it exists, or has another ending.
    """
    if out.suffix not in (".yaml", ".yml"):
        raise UserError(f"{out} is no name for a manifest", hint="end it in .yaml")
    if out.exists():
        raise UserError(f"{out} is in the way", hint="name a file that does not exist yet")
    out.parent.mkdir(parents=True, exist_ok=True)
    return out
