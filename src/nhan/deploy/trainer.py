"""A training on a cluster, over one or several machines, as a TrainJob of Kubeflow Trainer 2.

Every process runs the same `nhan train` under torchrun, which tells it its place; they share every
batch, and the first publishes the model in the workspace's object store.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nhan.deploy.forms import new_file
from nhan.deploy.kserve import chosen_settings, environment
from nhan.deploy.manifests import dns_name, merged, plain, to_yaml
from nhan.errors import UserError
from nhan.settings import Settings
from nhan.workspace import Workspace

# The image's own entry point is passed over by a manifest's command; it makes the workspace.
_READY = '[ -e "$NHAN_WORKSPACE/nhan.toml" ] || nhan init "$NHAN_WORKSPACE" >&2; exec "$@"'
SHELL = ["sh", "-c", _READY, "nhan"]


def write(workspace: Workspace, out: Path) -> list[Path]:
    """Write the TrainJob into a file.

    Raises:
        UserError: the file exists, the objects are out of reach of pods, or `loop.dataset` is not
            set.
    """
    file = new_file(out)
    text = to_yaml(job(workspace.settings), about="kubectl create -f this file; each is one run.")
    file.write_text(text, encoding="utf-8")
    return [file]


def job(settings: Settings) -> dict[str, Any]:
    """The manifest."""
    chosen, deploy = settings.kubeflow, settings.deploy
    per_node = max(1, chosen.gpus)
    labels = {"app.kubernetes.io/name": "nhan"}
    if chosen.queue:
        labels["kueue.x-k8s.io/queue-name"] = chosen.queue
    words = train_words(settings)
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {
            "generateName": f"nhan-{dns_name(settings.loop.model or settings.loop.dataset)[:40]}-",
            "namespace": deploy.namespace,
            "labels": labels,
        },
        "spec": {
            "runtimeRef": {
                "apiGroup": "trainer.kubeflow.org",
                "kind": "ClusterTrainingRuntime",
                "name": "torch-distributed",
            },
            "trainer": {
                "image": deploy.train_image,
                "command": SHELL,
                "args": ["torchrun", "-m", "nhan", *words],
                "env": train_environment(settings),
                "numNodes": chosen.nodes,
                "numProcPerNode": per_node,
                "resourcesPerNode": resources(settings),
            },
        },
    }


def train_words(settings: Settings, *, model: str = "") -> list[str]:
    """The command that a pod runs, without `nhan`.

    Args:
        settings: of the workspace.
        model: what it trains; empty: `loop.model`.

    Raises:
        UserError: no dataset is named, or pods cannot reach the objects.
    """
    storage = settings.storage
    if "://" not in storage.objects or storage.objects.startswith("file:"):
        raise UserError(
            f"the objects of this workspace are in {storage.objects!r}, on this machine",
            hint="pods share a store: set storage.objects = 's3://BUCKET/PREFIX'",
        )
    if not settings.loop.dataset:
        raise UserError(
            "no dataset is named to train on", hint="set loop.dataset (and loop.model, loop.train)"
        )
    words = ["train", settings.loop.dataset]
    if name := model or settings.loop.model:
        words += ["--model", name]
    if settings.loop.start not in ("champion", "scratch"):
        words += ["--from", settings.loop.start]
    if settings.loop.int8:
        words.append("--int8")
    for option in settings.loop.train:
        words += ["--set", option]
    return words


def train_environment(settings: Settings) -> list[dict[str, Any]]:
    """A training pod's variables; secrets by reference."""
    variables = {**chosen_settings(settings), "NHAN_WORKSPACE": "/workspace"}
    return merged(plain(variables), environment(settings))


def resources(settings: Settings) -> dict[str, Any]:
    """What each machine gives."""
    chosen = settings.kubeflow
    amounts: dict[str, Any] = {"cpu": chosen.train_cpu, "memory": chosen.train_memory}
    if chosen.gpus:
        amounts[chosen.gpu] = chosen.gpus
    return {"requests": amounts, "limits": amounts}
