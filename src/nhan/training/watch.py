"""What happens between steps: validation, checkpoints, early stopping, the curve, the bar."""

# ruff: noqa: ARG002  Lightning's hooks are given more than we use.
from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from nhan.tasks.base import Task
from nhan.training.checkpoint import Checkpoint, save_checkpoint
from nhan.training.config import TrainConfig
from nhan.training.job import BEST, CURVE, LAST, Judge, Standing, Tracker
from nhan.training.loader import Pictures, Portion, whole_batches
from nhan.training.module import TrainingModule
from nhan.training.stream import Sample

# Weight of the newest step in the running loss and speed that are shown.
_SMOOTH = 0.02
# Padded pixels per validation batch: bounds memory for wide pictures.
_JUDGE_PIXELS = 2_000_000


class Watch(lightning.Callback):
    """Looks after a run between its steps.

    Args:
        task: scores answers.
        judges: sets to score; the first one's primary metric chooses the best weights.
        folder: where checkpoints and the curve go.
        facts: goes into every checkpoint.
        validate_every: samples between validations.
        standing: where a resumed run stood.
        trackers: where numbers are logged too.
        judge_start: score the network before the first step too, so that training which only
            harms is left behind.
        show: whether to draw a progress bar.
    """

    def __init__(
        self,
        task: Task,
        judges: Sequence[Judge],
        folder: Path,
        facts: dict[str, Any],
        *,
        config: TrainConfig,
        validate_every: int,
        standing: Standing,
        trackers: Sequence[Tracker] = (),
        judge_start: bool = False,
        show: bool = True,
        console: Console | None = None,
    ) -> None:
        self._task = task
        self._judges = judges
        self._folder = folder
        self._facts = facts
        self._config = config
        self._every = validate_every
        self.standing = standing
        self._trackers = trackers
        self._judge_start = judge_start
        self._progress = _bar(console) if show else None
        self._bar: TaskID | None = None
        self._earlier_s = standing.seconds
        self._began = self._saved = self._stepped = time.monotonic()
        self._loss: float | None = None
        self._speed: float | None = None
        self._validated = -1

    def on_fit_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        module = _module(pl_module)
        self._began = self._saved = self._stepped = time.monotonic()
        if self._progress is not None:
            self._progress.start()
            self._bar = self._progress.add_task(
                "training", total=module.total, completed=module.position.seen, state=""
            )

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        module = _module(pl_module)
        if self._judge_start and not module.position.seen:
            self._validate(module)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Portion,
        batch_idx: int,
    ) -> None:
        module = _module(pl_module)
        before = module.position.seen
        module.finish_step(batch)
        seen = module.position.seen
        self._note_step(module, seen - before)
        ended = seen >= module.total
        if seen // self._every > before // self._every or ended:
            self._validate(module)
            patience = self._config.length.patience
            if patience and self.standing.since >= patience:
                trainer.should_stop = True
            self._save(module)
        elif time.monotonic() - self._saved > self._config.length.save_every_s:
            self._save(module)

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self._progress is not None:
            self._progress.stop()

    def on_exception(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def _note_step(self, module: TrainingModule, count: int) -> None:
        now = time.monotonic()
        speed = count / max(now - self._stepped, 1e-9)
        self._stepped = now
        weight = _SMOOTH if self._loss is not None else 1.0
        self._loss = (1 - weight) * (self._loss or 0.0) + weight * module.last_loss
        self._speed = (1 - weight) * (self._speed or 0.0) + weight * speed
        if self._progress is not None and self._bar is not None:
            best = "" if self.standing.best is None else f"  best {self.standing.best:.4f}"
            self._progress.update(
                self._bar,
                completed=module.position.seen,
                state=f"{self._speed:.0f} samples/s  loss {self._loss:.4f}{best}",
            )

    def _validate(self, module: TrainingModule) -> None:
        began = time.monotonic()
        seen = module.position.seen
        scores: dict[str, dict[str, float]] = {}
        with module.judged_weights():
            # Every process scores its part and hears the rest, so all decide alike.
            for judge in self._judges:
                scores[judge.name] = score(module, self._task, judge.pictures)
        flat = {
            f"{name}/{key}": value for name, part in scores.items() for key, value in part.items()
        }
        if self._judges:
            primary = scores[self._judges[0].name][self._task.primary]
        else:
            primary = self._loss if self._loss is not None else float("inf")
        standing = self.standing
        standing.since += 1
        better = standing.best is None or primary < standing.best
        # A small set ties often, and of two that tie the later has learned more; but training that
        # brings nothing to what it began with leaves that as it was.
        if better or (primary == standing.best and standing.best_seen):
            standing.best, standing.best_seen = primary, seen
            standing.since = 0 if better else standing.since
            standing.scores = flat
            if module.group.first:
                self._save_best(module)
        standing.seconds = self._earlier_s + time.monotonic() - self._began
        numbers = {}
        if seen:  # before the first step there is no loss to speak of
            numbers = {
                "loss": round(self._loss or 0.0, 6),
                "lr": module.trainer.optimizers[0].param_groups[0]["lr"],
                "samples_per_s": round(self._speed or 0.0, 1),
            }
        line = {
            "seen": seen,
            **numbers,
            "seconds": round(standing.seconds, 1),
            "scores": {key: round(value, 6) for key, value in flat.items()},
        }
        if module.group.first:
            with (self._folder / CURVE).open("a", encoding="utf-8") as curve:
                curve.write(json.dumps(line) + "\n")
            for tracker in self._trackers:
                tracker.log({**numbers, **flat}, seen)
        # The pause is no training time: without this the next speed would show it.
        self._stepped += time.monotonic() - began

    def _save_best(self, module: TrainingModule) -> None:
        weights = dict(module.average.weights if module.average else module.network.state_dict())
        facts = {**self._facts, "scores": self.standing.scores, "seen": module.position.seen}
        save_checkpoint(self._folder / BEST, Checkpoint(weights, facts))

    def _save(self, module: TrainingModule) -> None:
        if not module.group.first:
            return
        self.standing.seconds = self._earlier_s + time.monotonic() - self._began
        facts = {**self._facts, "standing": vars(self.standing), "loss": self._loss}
        save_checkpoint(self._folder / LAST, module.checkpoint(facts))
        self._saved = time.monotonic()

    def resume(self, facts: dict[str, Any], seen: int, *, cut: bool = True) -> None:
        """Take over a checkpoint's running loss, and cut the curve back to it."""
        self._loss = facts.get("loss")
        path = self._folder / CURVE
        if not cut or not path.exists():
            return
        # Where nothing was trained yet, even the start will be judged again.
        lines = _whole_lines(path) if seen else []
        kept = [line for line in lines if json.loads(line)["seen"] <= seen]
        temporary = path.with_name(f".{CURVE}.{os.getpid()}")
        temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        os.replace(temporary, path)


@torch.inference_mode()
def score(module: TrainingModule, task: Task, pictures: Pictures) -> dict[str, float]:
    """Every metric of the task over a set, the network as it stands."""
    learner = module.learner
    answers = [""] * len(pictures)
    truths = [""] * len(pictures)
    own = _Part(pictures, range(module.group.rank, len(pictures), module.group.size))
    said: list[tuple[int, str, str]] = []
    for indices, batch in whole_batches(learner, own, batch_size=32, batch_pixels=_JUDGE_PIXELS):
        with module.trainer.precision_plugin.forward_context():
            texts = learner.answers(batch.to(module.device))
        places = [own.places[index] for index in indices]
        said += zip(places, batch.labels, texts, strict=True)
    for part in module.group.gather(said):
        for index, label, text in part:
            answers[index], truths[index] = text, label
    return task.score(truths, answers)


class _Part:
    """Some of a set's samples: those that one process scores."""

    def __init__(self, pictures: Pictures, places: range) -> None:
        self._pictures = pictures
        self.places = places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Sample:
        return self._pictures[self.places[index]]


def _whole_lines(path: Path) -> list[str]:
    """Lines that end: a process killed while writing leaves at most one that does not."""
    text = path.read_text(encoding="utf-8")
    return [line[:-1] for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _module(module: lightning.LightningModule) -> TrainingModule:
    assert isinstance(module, TrainingModule)
    return module


def _bar(console: Console | None) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[state]}"),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        refresh_per_second=2,
    )
