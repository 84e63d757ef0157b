"""The loop itself: a learner, samples and a folder in; checkpoints and a curve out."""

from __future__ import annotations

import logging
import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning
import torch
from rich.console import Console

from nhan.tasks import get_task
from nhan.training.group import Group, current
from nhan.training.job import LAST, Job, Standing, choose_device
from nhan.training.loader import Loader
from nhan.training.module import TrainingModule
from nhan.training.stream import Maker
from nhan.training.watch import Watch


def fit(
    job: Job, *, resume: bool = False, show: bool = True, console: Console | None = None
) -> Standing:
    """Train to the end, or until no better validation is in sight.

    Where several processes were started together, each runs this and trains on its part of every
    batch; the first writes.

    Args:
        job: what to train.
        resume: go on from the folder's last checkpoint, if it has one.
        show: whether to draw a progress bar.
        console: where to.

    Returns:
        How it went; the best weights are in the folder's `best.safetensors`.
    """
    config, group = job.config, current()
    device = choose_device(config.machine.device)
    precision = _precision(config.machine.precision, device)
    threads = torch.get_num_threads()
    cores = (os.cpu_count() or 1) // group.machine_size
    torch.set_num_threads(config.machine.threads or max(1, cores))
    # Channels last is what both oneDNN and cuDNN run fastest, and the masks are cheap in it.
    job.learner.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    module = TrainingModule(job.learner, config, job.total, group)
    standing = Standing()
    last = job.folder / LAST
    checkpoint = group.tell_checkpoint(last if resume and last.exists() else None)
    if checkpoint is not None:
        module.restore(checkpoint)
        standing = Standing(**checkpoint.facts["standing"])
    watch = Watch(
        get_task(config.task),
        job.judges,
        job.folder,
        job.facts,
        config=config,
        validate_every=job.validate_every,
        standing=standing,
        trackers=job.trackers,
        judge_start=job.judge_start,
        show=show and group.first,
        console=console,
    )
    if resume:
        facts = checkpoint.facts if checkpoint else {}
        watch.resume(facts, module.position.seen, cut=group.first)
    patience = config.length.patience
    finished = module.position.seen >= job.total or bool(patience and standing.since >= patience)
    maker = None
    if job.stream is not None:
        maker = Maker(
            job.stream,
            job.learner.preparer,
            workers=config.data.workers,
            ahead=round(1.5 * config.data.pool),
        )
    loader = Loader(
        job.learner,
        job.pictures,
        maker,
        made_share=config.data.made_share,
        seed=config.seed,
        total=job.total,
        pool=config.data.pool,
        batch_size=config.data.batch_size,
        batch_pixels=config.data.batch_pixels,
        start=module.position,
        group=group,
    )
    try:
        if not finished:
            with _interruptible():
                _trainer(device, precision, watch, group).fit(module, train_dataloaders=loader)
    finally:
        if maker is not None:
            maker.close()
        torch.set_num_threads(threads)
    return watch.standing


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C be what it is: Lightning makes `exit(1)` of it and ignores every later one."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as ended:
        if not isinstance(ended.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from ended


def _precision(asked: str, device: str) -> Any:
    half = asked == "bfloat16" or (asked == "auto" and device == "cuda")
    return "bf16-mixed" if half else "32-true"


def _trainer(device: str, precision: Any, watch: Watch, group: Group) -> lightning.Trainer:
    # Lightning's advice is about loaders and loggers that it does not have here.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning.*")
    return lightning.Trainer(
        accelerator="gpu" if device == "cuda" else "cpu",
        devices=group.machine_size,
        num_nodes=group.size // group.machine_size,
        strategy=_strategy(group),
        # The loader hands every process its own part of each batch.
        use_distributed_sampler=False,
        precision=precision,
        max_epochs=1,  # the loader ends where the run does
        limit_val_batches=0,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[watch],
    )


def _strategy(group: Group) -> Any:
    """How gradients meet: averaged after every step over processes that exist already."""
    if group.size == 1:
        return "auto"
    from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
    from lightning.pytorch.strategies import DDPStrategy

    # Parameters that a learner keeps fixed get no gradient, and nobody waits for one.
    return DDPStrategy(cluster_environment=TorchElasticEnvironment())
