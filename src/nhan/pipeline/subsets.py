"""Short trainings on a part, half and all of the new labels: the points of the label budget."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nhan.datasets.read import DatasetVersion, Row, open_dataset
from nhan.errors import MissingExtra
from nhan.evaluation.evaluate import measure
from nhan.evaluation.record import Evaluation
from nhan.models.package import write_package
from nhan.pipeline.step import Say
from nhan.storage import open_store
from nhan.watching.budget import Point
from nhan.workspace import Workspace

try:
    from nhan.pipeline.make_model import weights_of
    from nhan.training.config import TrainConfig
    from nhan.training.produce import produce_run
    from nhan.training.train import FACTS, run_folder, train
except ModuleNotFoundError as error:  # torch, lightning …: the base install serves without them
    if (error.name or "").startswith("nhan"):
        raise
    raise MissingExtra("training", "train") from error

_SHARES = (0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Part:
    """A dataset version with only some of its new training samples.

    Attributes:
        whole: the dataset version.
        kept: hashes of the training samples that are in it.
        count: of new samples among them.
    """

    whole: DatasetVersion
    kept: frozenset[str]
    count: int

    @property
    def name(self) -> str:
        return self.whole.name

    @property
    def version(self) -> str:
        return f"{self.whole.version}-first-{self.count}"

    @property
    def task(self) -> str:
        return self.whole.task

    @property
    def vocabulary(self) -> dict[str, Any]:
        return self.whole.vocabulary

    def sizes(self, split: str) -> list[tuple[int, int]]:
        """As of the whole, so that all parts make models of one shape."""
        return self.whole.sizes(split)

    def rows(self, split: str) -> Iterator[Row]:
        """As of the whole; of `train` only what is kept."""
        for row in self.whole.rows(split):
            if split != "train" or row.sha256 in self.kept:
                yield row


def parts_of(dataset: DatasetVersion, known: str, workspace: Workspace) -> list[Part]:
    """Parts with a quarter, half and all of what is new since another dataset version.

    Rows lie in the order of their hashes, so the first of them are a random choice.

    Args:
        dataset: the new version.
        known: the version that the model to start from was trained on; empty for none.
        workspace: where.
    """
    everything = [row.sha256 for row in dataset.rows("train", pictures=False)]
    old = set()
    if known:
        before = open_dataset(workspace.store, known)
        old = {row.sha256 for row in before.rows("train", pictures=False)}
    new = [sha256 for sha256 in everything if sha256 not in old]
    shared = frozenset(everything) & old
    counts = sorted({max(1, round(len(new) * share)) for share in _SHARES}) if new else []
    return [Part(dataset, shared | frozenset(new[:count]), count) for count in counts]


def measured(
    workspace: Workspace, part: Part, config: TrainConfig, start: str, run: str, say: Say
) -> Point:
    """Train on a part and score the outcome on the whole's test split; leaves nothing behind.

    Args:
        workspace: where.
        part: what to learn.
        config: short, the same for every part.
        start: what training begins from; empty for scratch.
        run: id; a run of that id that was interrupted is gone on with.
        say: told what happens.
    """
    say(f"a short training on {part.count} of the new labels")
    scratch = _scratch(workspace, run)
    resume = (run_folder(scratch, run) / FACTS).exists()
    if not resume:
        shutil.rmtree(scratch.root, ignore_errors=True)
        scratch.root.mkdir(parents=True)
    with weights_of(workspace, start) as weights:
        train(scratch, part, config, run=run, resume=resume, start=weights, show=False)
    product = produce_run(scratch, run, part)
    with tempfile.TemporaryDirectory() as place:
        package = write_package(Path(place), product.files, product.spec, name="part")
        record = measure(package, part.whole, limits=workspace.picture_limits)
    shutil.rmtree(scratch.root, ignore_errors=True)
    return point_of(part.count, record)


def _scratch(workspace: Workspace, run: str) -> Workspace:
    """A place for a run and its prepared pictures that goes when its score is known."""
    root = workspace.root / "cache" / run
    scratch = Workspace(root, workspace.settings)
    scratch.__dict__["store"] = open_store(root / "objects")
    return scratch


def point_of(labels: int, record: Evaluation) -> Point:
    """A point of the curve out of an evaluation."""
    return Point(
        labels,
        [result.errors for result in record.results],
        [result.weight for result in record.results],
    )
