"""From a run's best weights to the files of a model package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from nhan.tasks import get_task
from nhan.tasks.learner import Learner
from nhan.training.checkpoint import Checkpoint, load_checkpoint, to_bytes
from nhan.training.export import export_onnx
from nhan.training.job import BEST, CURVE
from nhan.training.loader import Pictures
from nhan.training.quantise import int8_loss, to_int8
from nhan.training.train import (
    CONFIG,
    PREFLIGHT,
    Dataset,
    prepared_split,
    reference,
    run_facts,
    run_folder,
)
from nhan.workspace import Workspace

MODEL, MODEL_INT8 = "model.onnx", "model.int8.onnx"
WEIGHTS, METRICS = "weights.safetensors", "metrics.json"
# Options that are tables of their own; `nhan.json` and the run hold them in full.
_LONG = ("prepare", "trunk")
# int8 may cost this much of the primary metric, absolute, before it is thrown away.
INT8_MARGIN = 0.002


@dataclass(frozen=True)
class Product:
    """What a package is made of.

    Attributes:
        files: name to content: `model.onnx`, `weights.safetensors`, perhaps `model.int8.onnx`.
        spec: the task's part of `nhan.json`; `about` is for the card.
    """

    files: dict[str, bytes]
    spec: dict[str, Any]


def produce(
    best: Checkpoint,
    judged: Pictures,
    *,
    int8: bool = False,
    seen: Pictures | None = None,
    half: bool = False,
    split: str = "validation",
) -> Product:
    """Export weights and prove the export on real samples.

    Args:
        best: weights, with `task`, `options` and `vocabulary` among its facts, and perhaps
            `reading`: the task's keys of `nhan.json` that say how answers are found.
        judged: prepared samples that the export is compared, and int8 scored, on.
        int8: also make `model.int8.onnx`; it is left out where it loses over `INT8_MARGIN`.
        seen: prepared samples that set int8's ranges; by default `judged`.
        half: keep the weights in float16.
        split: whose samples `judged` are, for the card.

    Raises:
        ExportRefused: the exported model disagrees with the trained one.
    """
    task = get_task(best.facts["task"])
    learner = learner_of(best)
    model, agreement = export_onnx(learner, judged)
    facts = {key: best.facts[key] for key in ("task", "options", "vocabulary", "config")}
    facts["reading"] = reading = best.facts.get("reading", {})
    weights = Checkpoint(best.best_weights, facts)
    files = {MODEL: model, WEIGHTS: to_bytes(weights, half=half)}
    about: dict[str, Any] = {"export": agreement.to_dict()}
    serve = MODEL
    if int8:
        small = to_int8(learner, model, seen or judged)
        loss = int8_loss(learner, task, model, small, judged, margin=INT8_MARGIN, split=split)
        about["int8"] = loss.describe()
        if loss.kept:
            files[MODEL_INT8] = small
            serve = MODEL_INT8
    spec = {
        "task": best.facts["task"],
        "serve": serve,
        "prepare": learner.preparation(),
        "outputs": learner.outputs(),
        **reading,
        "calibration": {"method": "none"},
        "about": about,
    }
    return Product(files, spec)


def produce_run(workspace: Workspace, run: str, dataset: Dataset, *, int8: bool = False) -> Product:
    """The product of a finished run, its numbers and origin filled in.

    Raises:
        NotFound: no such run, or it has no best weights yet.
        ExportRefused: the exported model disagrees with the trained one.
    """
    facts = run_facts(workspace, run)
    folder = run_folder(workspace, run)
    best = load_checkpoint(folder / BEST)
    learner = learner_of(best)
    learned = prepared_split(workspace, dataset, "train", learner)
    judged = prepared_split(workspace, dataset, "validation", learner)
    of = ("validation", judged) if len(judged) else ("training", learned)
    product = produce(best, of[1], int8=int8, seen=learned, split=of[0])
    preflight = json.loads((folder / PREFLIGHT).read_text("utf-8"))
    curve = [json.loads(line) for line in (folder / CURVE).read_text("utf-8").splitlines()]
    metrics = {"run": run, "seen": best.facts["seen"], "scores": best.facts["scores"]}
    files = {METRICS: json.dumps({**metrics, "curve": curve}, indent=1).encode()}
    about = {
        **product.spec["about"],
        # Some may have been left out because they cannot be learned.
        "data": {"train": preflight["fit"], "validation": len(judged)},
        "recipe": _recipe(json.loads((folder / CONFIG).read_text("utf-8")), facts),
    }
    spec = {**product.spec, "dataset": reference(dataset), "run": run, "about": about}
    return replace(product, files={**product.files, **files}, spec=spec)


def learner_of(checkpoint: Checkpoint) -> Learner:
    """The learner of saved weights, on the CPU and in evaluation mode."""
    facts = checkpoint.facts
    learner = get_task(facts["task"]).learner(facts["vocabulary"], facts["options"])
    learner.network.load_state_dict(checkpoint.best_weights)
    learner.network.eval()
    return learner


def _recipe(config: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The lines of the card's recipe table."""
    length, data, optimizer = config["length"], config["data"], config["optimizer"]
    return {
        "model": json.dumps({k: v for k, v in facts["model"].items() if k not in _LONG}),
        "parameters": facts["parameters"],
        "started from": config["start_from"] or "scratch",
        "epochs": length["epochs"] if not length["samples"] else f"{length['samples']} samples",
        "made samples": f"{data['made']}, {data['made_share']:.0%}" if data["made"] else "none",
        "learning rate": optimizer["lr"],
        "seed": config["seed"],
        "commit": facts["environment"]["commit"],
    }
