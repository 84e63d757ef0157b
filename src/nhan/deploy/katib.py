"""A search for training options on a cluster, as an Experiment of Katib.

The space is the one that `nhan tune` searches. Each trial is one `nhan train` that prints its
numbers (`track = "print"`), which Katib's collector reads from the pod's log.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nhan.deploy.forms import new_file
from nhan.deploy.manifests import dns_name, to_yaml
from nhan.deploy.trainer import SHELL, resources, train_environment, train_words
from nhan.errors import MissingExtra
from nhan.settings import Settings
from nhan.tasks import get_task
from nhan.workspace import Workspace

_TRIALS, _AT_ONCE, _FAILURES = 20, 2, 5
_CONTAINER = "training"


def write(workspace: Workspace, out: Path) -> list[Path]:
    """Write the Experiment into a file.

    Raises:
        UserError: as `nhan.deploy.trainer.write`.
        NotFound: the dataset that `loop.dataset` names is not there.
        MissingExtra: the training options are not installed.
    """
    from nhan.datasets.read import open_dataset

    file = new_file(out)
    words = train_words(workspace.settings, model=_model(workspace.settings))
    task = open_dataset(workspace.store, workspace.settings.loop.dataset).task
    manifest = experiment(workspace.settings, words, get_task(task).primary)
    file.write_text(to_yaml(manifest, about="kubectl create -f this file."), encoding="utf-8")
    return [file]


def experiment(settings: Settings, words: list[str], metric: str) -> dict[str, Any]:
    """The manifest.

    Args:
        settings: of the workspace.
        words: what each trial runs, beside the searched options.
        metric: printed name of what is minimised.
    """
    try:
        from nhan.training.space import FROM_MODEL, FROM_SCRATCH
    except ModuleNotFoundError as error:
        raise MissingExtra("the search", "train") from error
    space = FROM_SCRATCH if settings.loop.start == "scratch" else FROM_MODEL
    names = {key: key.replace(".", "-").replace("_", "-") for key in space}
    sets = [
        word
        for key, name in names.items()
        for word in ("--set", f"{key}=${{trialParameters.{_camel(name)}}}")
    ]
    name = dns_name(settings.loop.model or settings.loop.dataset)[:40]
    return {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "Experiment",
        "metadata": {"generateName": f"nhan-{name}-", "namespace": settings.deploy.namespace},
        "spec": {
            "objective": {"type": "minimize", "objectiveMetricName": metric},
            "algorithm": {"algorithmName": "tpe"},
            "earlyStopping": {
                "algorithmName": "medianstop",
                "algorithmSettings": [{"name": "min_trials_required", "value": "4"}],
            },
            "maxTrialCount": _TRIALS,
            "parallelTrialCount": _AT_ONCE,
            "maxFailedTrialCount": _FAILURES,
            "parameters": [_parameter(names[key], axis) for key, axis in space.items()],
            "metricsCollectorSpec": {"collector": {"kind": "StdOut"}},
            "trialTemplate": {
                "primaryContainerName": _CONTAINER,
                "trialParameters": [
                    {"name": _camel(name), "description": key, "reference": name}
                    for key, name in names.items()
                ],
                "trialSpec": _trial(settings, [*words, "--set", "track=print", *sets]),
            },
        },
    }


def _model(settings: Settings) -> str:
    """What trials call their models: not what the champion is called, whose next they are not."""
    return f"{settings.loop.model or settings.loop.dataset.partition('@')[0]}-search"


def _parameter(name: str, axis: Any) -> dict[str, Any]:
    if axis.choices:
        listed = [str(choice) for choice in axis.choices]
        return {"name": name, "parameterType": "categorical", "feasibleSpace": {"list": listed}}
    feasible = {"min": str(axis.low), "max": str(axis.high)}
    if axis.log:
        feasible["distribution"] = "logUniform"
    kind = "int" if axis.whole else "double"
    return {"name": name, "parameterType": kind, "feasibleSpace": feasible}


def _trial(settings: Settings, words: list[str]) -> dict[str, Any]:
    account = settings.kubeflow.service_account
    container = {
        "name": _CONTAINER,
        "image": settings.deploy.train_image,
        "command": SHELL,
        "args": ["nhan", *words],
        "env": train_environment(settings),
        "resources": resources(settings),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {
            "backoffLimit": settings.kubeflow.retries,
            "template": {
                # Beside a proxy that goes on for ever the pod would never have ended.
                "metadata": {
                    "annotations": {"sidecar.istio.io/inject": "false"},
                    "labels": {"sidecar.istio.io/inject": "false"},
                },
                "spec": {
                    "restartPolicy": "Never",
                    **({"serviceAccountName": account} if account else {}),
                    "containers": [container],
                },
            },
        },
    }


def _camel(name: str) -> str:
    first, *rest = name.split("-")
    return first + "".join(part.title() for part in rest)
