"""Whole trainings on drawn lines, through the plain function."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy_run

from nhan.errors import Conflict, JobFailed, NotFound
from nhan.training.checkpoint import load_checkpoint, save_checkpoint
from nhan.training.job import BEST, CURVE, LAST
from nhan.training.produce import learner_of, produce_run
from nhan.training.train import train
from nhan.workspace import Workspace


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def curve(folder: Path) -> list[dict[str, Any]]:
    """The curve without what a clock decides."""
    lines = [json.loads(line) for line in (folder / CURVE).read_text().splitlines()]
    return [{k: line[k] for k in ("seen", "loss", "lr", "scores")} for line in lines]


def test_a_training_leaves_a_complete_run(workspace: Workspace) -> None:
    config = toy_run.config(preflight=True, length={"epochs": 3})
    run = train(workspace, toy_run.dataset(), config, show=False)

    facts = json.loads(workspace.store.read(f"runs/{run.name}/run.json"))
    assert facts["dataset"] == run.dataset == "toy@0123456789ab"
    assert facts["environment"]["torch"] == torch.__version__
    assert facts["model"]["options"]["hidden"] == 24
    filled = json.loads(workspace.store.read(f"runs/{run.name}/config.json"))
    assert filled["optimizer"]["warmup"] == config.optimizer.warmup
    preflight = json.loads(workspace.store.read(f"runs/{run.name}/preflight.json"))
    assert preflight["loss_after"] < preflight["loss_before"]
    assert [line["seen"] for line in curve(run.folder)] == [48, 96, 144]
    assert workspace.store.exists(f"runs/{run.name}/best.safetensors")
    assert not list(run.folder.glob(".*")), "no temporary file stays"


def test_lightning_is_imported_when_a_training_begins_and_no_sooner() -> None:
    """It takes seconds, which a mistake in the command would have waited for."""
    program = (
        "import sys, nhan.pipeline.make_model, nhan.training.streamed\n"
        "sys.exit('lightning' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_best_weights_are_those_of_the_best_validation(workspace: Workspace) -> None:
    config = toy_run.config(
        length={"epochs": 80, "validate_every": 480}, optimizer={"lr": 0.01, "ema": 0.9}
    )
    run = train(workspace, toy_run.dataset(), config, show=False)
    scores = [line["scores"]["validation/cer"] for line in curve(run.folder)]
    assert scores[-1] < 0.9 * scores[0], "it learns"
    assert run.standing.best == pytest.approx(min(scores), abs=1e-6)
    latest = len(scores) - 1 - scores[::-1].index(min(scores))
    assert run.standing.best_seen == 480 * (1 + latest), "of two that tie the later is kept"

    best = load_checkpoint(run.folder / BEST)
    learner = learner_of(best)
    rows = list(toy_run.dataset().rows("validation"))
    from nhan.images import decode
    from nhan.tasks import get_task

    pictures = [learner.preparer(decode(row.image)) for row in rows]
    labels = [row.label for row in rows]
    answers = learner.answers(learner.batch(pictures, labels, training=False))
    assert get_task("text").score(labels, answers)["cer"] == pytest.approx(min(scores), abs=1e-6)


def test_a_killed_run_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    whole = toy_run.run_here(tmp_path / "whole", toy_run.long_config())

    script = Path(toy_run.__file__)
    killed = subprocess.Popen([sys.executable, script, tmp_path / "killed"])
    folder = tmp_path / "killed" / "runs" / toy_run.RUN
    deadline = time.monotonic() + 600
    while not (folder / CURVE).exists() or len((folder / CURVE).read_text().splitlines()) < 2:
        assert killed.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    stopped = load_checkpoint(folder / LAST)
    assert 240 <= stopped.facts["position"]["seen"] < 1600

    resumed = toy_run.run_here(tmp_path / "killed", toy_run.long_config(), resume=True)
    assert resumed.standing.best == whole.standing.best
    assert curve(resumed.folder) == curve(whole.folder)
    ours, theirs = (load_checkpoint(run.folder / LAST) for run in (resumed, whole))
    for group in ("weights", "average", "optimizer"):
        for name, tensor in getattr(theirs, group).items():
            assert torch.equal(getattr(ours, group)[name], tensor), name


def test_resuming_a_finished_run_trains_no_further(workspace: Workspace) -> None:
    config = toy_run.config(length={"epochs": 1})
    first = train(workspace, toy_run.dataset(), config, run="r", show=False)
    before = (first.folder / LAST).read_bytes()
    again = train(workspace, toy_run.dataset(), config, run="r", resume=True, show=False)
    assert again.standing.best == first.standing.best
    assert (first.folder / LAST).read_bytes() == before


def test_runs_are_not_mixed_up(workspace: Workspace) -> None:
    config = toy_run.config(length={"epochs": 1})
    train(workspace, toy_run.dataset(), config, run="r", show=False)
    with pytest.raises(Conflict, match="r already"):
        train(workspace, toy_run.dataset(), config, run="r", show=False)
    other = toy_run.dataset()
    other.version = "ffffffffffff"
    with pytest.raises(Conflict, match="not on toy@ffffffffffff"):
        train(workspace, other, config, run="r", resume=True, show=False)
    with pytest.raises(NotFound, match="'q'") as missing:
        train(workspace, other, config, run="q", resume=True, show=False)
    assert "r" in missing.value.hint


def test_patience_ends_a_run_that_gets_no_better(workspace: Workspace) -> None:
    config = toy_run.config(
        length={"epochs": 50, "patience": 2}, optimizer={"lr": 1e-12, "ema": 0.0}
    )
    run = train(workspace, toy_run.dataset(), config, show=False)
    lines = curve(run.folder)
    scores = [line["scores"]["validation/cer"] for line in lines]
    assert len(lines) == 3 + scores.index(min(scores)), "two more looks, neither of them better"
    assert len(lines) < 30
    resumed = train(workspace, toy_run.dataset(), config, run=run.name, resume=True, show=False)
    assert curve(resumed.folder) == lines


def test_samples_that_cannot_be_learned_stop_the_run_or_are_left_out(
    workspace: Workspace,
) -> None:
    bad = toy_run.dataset()
    bad.splits["train"].append(toy_run.row("ẩn"))
    with pytest.raises(JobFailed, match="1 of 49 samples") as refused:
        train(workspace, bad, toy_run.config(), show=False)
    assert "leave_out" in refused.value.hint
    config = toy_run.config(length={"epochs": 1}, data={"batch_size": 8, "unfit": "leave_out"})
    run = train(workspace, bad, config, show=False)
    assert run.preflight.counts == {"outside_charset": 1}
    assert curve(run.folder)[-1]["seen"] == 48


def test_labels_that_no_model_can_say_are_judged_as_misread(workspace: Workspace) -> None:
    bad = toy_run.dataset()
    bad.splits["train"].insert(0, toy_run.row("ẩn"))
    bad.splits["validation"].append(toy_run.row("ẩn"))
    config = toy_run.config(length={"epochs": 1}, data={"batch_size": 8, "unfit": "leave_out"})
    run = train(workspace, bad, config, show=False)
    assert curve(run.folder)[-1]["scores"]["validation/exact"] < 1
    product = produce_run(workspace, run.name, bad, int8=True)
    assert product.spec["about"]["export"]["samples"] == 17
    assert product.spec["about"]["data"] == {"train": 48, "validation": 17}, "as it was"
    assert "on 17 validation samples" in product.spec["about"]["int8"]


def test_a_card_does_not_call_training_samples_validation(workspace: Workspace) -> None:
    run = train(workspace, toy_run.dataset(8, 0), toy_run.config(length={"epochs": 1}), show=False)
    product = produce_run(workspace, run.name, toy_run.dataset(8, 0), int8=True)
    assert "on 8 training samples" in product.spec["about"]["int8"]


def test_starting_from_a_model_keeps_what_it_learned_and_rehearses(workspace: Workspace) -> None:
    made = {"made": "toy", "made_share": 0.5, "made_options": {"offset": 5}, "batch_size": 8}
    first = train(
        workspace, toy_run.dataset(), toy_run.config(data=made, length={"epochs": 6}), show=False
    )
    grown = toy_run.dataset()
    grown.version, grown.vocabulary = "eeeeeeeeeeee", {"charset": "đ" + toy_run.LETTERS}
    grown.splits["train"] += [toy_run.row("đa") for _ in range(4)]
    config = toy_run.config(
        model={}, length={"samples": 8}, optimizer={"lr": 1e-9}, start_from=first.name
    )
    second = train(workspace, grown, config, start=first.folder / BEST, show=False)

    facts = json.loads((second.folder / "run.json").read_text())
    assert facts["vocabulary"]["charset"] == toy_run.LETTERS + "đ", "old classes keep their number"
    assert facts["adopted"]["new"] == ["đ"]
    filled = json.loads((second.folder / "config.json").read_text())["data"]
    assert (filled["made"], filled["made_share"]) == ("toy", 0.5)
    assert filled["made_options"] == {"offset": 5}
    before, after = first.standing.best, second.standing.best
    assert before is not None
    assert after == pytest.approx(before, abs=0.02), "next to nothing was trained"
    start, trained = map(json.loads, (second.folder / CURVE).read_text().splitlines())
    assert start["seen"] == 0
    assert "loss" not in start, "nothing was trained yet"
    assert trained["loss"] > 0


def test_a_model_of_another_version_is_begun_with(workspace: Workspace) -> None:
    made = {"made": "toy", "made_share": 0.5, "batch_size": 8}
    config = toy_run.config(data=made, length={"samples": 8})
    first = train(workspace, toy_run.dataset(), config, show=False)
    best = load_checkpoint(first.folder / BEST)
    best.facts["config"]["data"]["not_yet_known"] = True
    start = workspace.root / "newer.safetensors"
    save_checkpoint(start, best)
    config = toy_run.config(model={}, length={"samples": 8}, start_from=str(start))
    second = train(workspace, toy_run.dataset(), config, start=start, show=False)
    assert json.loads((second.folder / "config.json").read_text())["data"]["made"] == "toy"


def test_options_that_are_not_given_follow_the_model_begun_with(workspace: Workspace) -> None:
    model = {**toy_run.MODEL, "prepare": {"invert_dark": True}}
    config = toy_run.config(model=model, length={"epochs": 1})
    first = train(workspace, toy_run.dataset(), config, show=False)
    changes = {"extend_px": 0, "prepare": {"trim_margins": True}}
    config = toy_run.config(model=changes, length={"samples": 8}, start_from=first.name)
    second = train(workspace, toy_run.dataset(), config, start=first.folder / BEST, show=False)
    before, after = (
        json.loads((run.folder / "run.json").read_text())["model"] for run in (first, second)
    )
    prepare = {**before["prepare"], "trim_margins": True}
    assert after == {**before, "extend_px": 0, "prepare": prepare}


def test_a_run_from_another_model_killed_before_its_first_step_still_starts_there(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train(workspace, toy_run.dataset(), toy_run.config(length={"epochs": 4}), show=False)
    grown = toy_run.dataset()
    grown.version, grown.vocabulary = "eeeeeeeeeeee", {"charset": "đ" + toy_run.LETTERS}
    config = toy_run.config(
        model={}, length={"samples": 8}, optimizer={"lr": 1e-9}, start_from=first.name
    )

    def die(*anything: object, **named: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("nhan.training.fit.fit", die)
        with pytest.raises(KeyboardInterrupt):
            train(workspace, grown, config, run="r", start=first.folder / BEST, show=False)
    resumed = train(workspace, grown, toy_run.config(), run="r", resume=True, show=False)
    assert resumed.standing.best == pytest.approx(first.standing.best, abs=0.02)
    facts = load_checkpoint(resumed.folder / BEST).facts
    assert facts["vocabulary"]["charset"] == toy_run.LETTERS + "đ"


def test_a_refused_dataset_leaves_no_run_behind(workspace: Workspace) -> None:
    bad = toy_run.dataset()
    bad.splits["train"].append(toy_run.row("ẩn"))
    with pytest.raises(JobFailed):
        train(workspace, bad, toy_run.config(), run="r", show=False)
    assert not (workspace.root / "runs" / "r").exists()


def test_a_set_without_validation_is_judged_by_its_loss(workspace: Workspace) -> None:
    run = train(workspace, toy_run.dataset(16, 0), toy_run.config(length={"epochs": 2}), show=False)
    assert run.standing.best is not None
    assert np.isfinite(run.standing.best)
    assert (run.folder / BEST).exists()


def test_bfloat16_keeps_weights_in_float32(workspace: Workspace) -> None:
    config = toy_run.config(
        length={"epochs": 1}, machine={"device": "cpu", "precision": "bfloat16", "threads": 1}
    )
    run = train(workspace, toy_run.dataset(), config, show=False)
    weights = load_checkpoint(run.folder / BEST).weights
    assert {value.dtype for value in weights.values()} == {torch.float32, torch.int64}
