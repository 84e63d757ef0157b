"""Training without a dataset: made samples only, as the bundled reader was trained.

`nhan train --config recipes/vi-line.toml --out FOLDER` runs it; it may be stopped at any time and
goes on with the same command.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from nhan.errors import Conflict, SettingsError
from nhan.images import decode
from nhan.tasks import get_task
from nhan.tasks.base import RGB
from nhan.tasks.learner import Learner
from nhan.training.checkpoint import load_checkpoint
from nhan.training.config import TrainConfig, kept_against, make_config
from nhan.training.job import LAST, Job, Judge, Standing
from nhan.training.prepared import folder_rows
from nhan.training.stream import Maker, Stream, judging_options, open_stream

# Seeds below this are for training: the judged samples come from another part of the numbers.
_JUDGE_SEED = 1_000_000_007
_CONFIG = "config.json"


class InMemory:
    """A small prepared set."""

    def __init__(self, samples: Sequence[tuple[RGB, str]]) -> None:
        self._samples = list(samples)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> tuple[RGB, str]:
        return self._samples[index]


def train_stream(
    config: TrainConfig,
    out: Path,
    *,
    resume: bool = False,
    dev: Sequence[Path] = (),
    judged: int = 512,
    show: bool = True,
    console: Console | None = None,
) -> Standing:
    """Train on made samples only.

    Args:
        config: `data.made` names the source; `length.samples` says how many.
        out: a folder for checkpoints and the curve, outside any repository.
        resume: go on from its last checkpoint with the config saved there.
        dev: folders with `labels.json`, scored at each validation and never trained on.
        judged: made samples that choose the best weights, from another seed than the training's.
        show: whether to draw a progress bar.
        console: where to, and where settings are named that a resumed run does not take.

    Returns:
        How it went.

    Raises:
        SettingsError: the config names no source of made samples, or no number of them.
        Conflict: the folder holds a run and `resume` is off.
    """
    if resume and (out / _CONFIG).exists():
        values = json.loads((out / _CONFIG).read_text(encoding="utf-8"))
        given, config = config, make_config(values, str(out / _CONFIG))
        if console is not None and (kept := kept_against(config, given)):
            console.print("a run goes on with the settings it began with:", markup=False)
            for words in kept:
                console.print(f"  {words}", markup=False)
    elif (out / LAST).exists():
        raise Conflict(f"{out} holds a run already", hint="resume it, or name another folder")
    if not config.data.made or not config.length.samples:
        raise SettingsError(
            "a training without a dataset needs data.made and length.samples",
            hint="see recipes/vi-line.toml",
        )
    config = config.filled()
    out.mkdir(parents=True, exist_ok=True)
    filled = json.dumps(config.model_dump(mode="json"), indent=2, ensure_ascii=False)
    (out / _CONFIG).write_text(filled, encoding="utf-8")
    task = get_task(config.task)
    learner = task.learner(config.vocabulary or task.vocabulary([]), config.model)
    if config.start_from and not (out / LAST).exists():
        start = load_checkpoint(Path(config.start_from))
        learner.adopt(start.best_weights, start.facts["vocabulary"])
    stream = open_stream(config.data.made, config.seed, config.data.made_options)
    judging = judging_options(config.data.made, config.data.made_options)
    other = open_stream(config.data.made, config.seed + _JUDGE_SEED, judging)
    judges = [Judge("made", _made(learner, other, judged))]
    judges += [Judge(folder.name, _folder(learner, folder)) for folder in dev]
    job = Job(
        learner=learner,
        config=config,
        total=config.length.samples,
        validate_every=config.length.validate_every or max(1, config.length.samples // 20),
        folder=out,
        facts={
            "task": config.task,
            "options": learner.options,
            "vocabulary": learner.vocabulary,
            "config": config.model_dump(mode="json"),
        },
        stream=stream,
        judges=judges,
    )
    from nhan.training.fit import fit  # Lightning takes seconds, and mistakes are told by now

    return fit(job, resume=resume, show=show, console=console)


def _made(learner: Learner, stream: Stream, count: int) -> InMemory:
    samples: list[tuple[RGB, str]] = []
    for picture, label in Maker(stream, learner.preparer, workers=0, ahead=0).samples(0):
        if not learner.check(label, width=picture.shape[1]):
            samples.append((picture, label))
        if len(samples) >= count:
            break
    return InMemory(samples)


def _folder(learner: Learner, folder: Path) -> InMemory:
    return InMemory(
        [(learner.preparer(decode(data)), label) for _, data, label in folder_rows(folder)]
    )
