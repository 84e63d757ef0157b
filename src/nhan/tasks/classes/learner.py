"""How classes are learned: on top of a trained network, or by a small one from scratch."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from nhan.errors import JobFailed, SettingsError
from nhan.settings import settings_error
from nhan.tasks.base import RGB, Feed, Finding
from nhan.tasks.classes.augment import STRENGTHS, augment
from nhan.tasks.classes.features import compute_features
from nhan.tasks.classes.head import Points, smoothed_loss, solve_head
from nhan.tasks.classes.names import class_order
from nhan.tasks.classes.networks import ClassNetwork, SmallNetwork
from nhan.tasks.classes.networks.pretrained import (
    DEFAULT,
    PretrainedNetwork,
    is_cached,
    load_trunk,
    rebuild_trunk,
)
from nhan.tasks.classes.networks.small import SmallOptions
from nhan.tasks.classes.prepare import Preparation
from nhan.tasks.learner import (
    Adopted,
    Batch,
    Exportable,
    Learner,
    Samples,
    Start,
    take_over,
)

_log = logging.getLogger(__name__)

SMALL, AUTO = "small", "auto"
# Inputs of the small network, px: its five halvings leave one place of the smallest.
_SMALLEST, _STEP = 32, 16


class ClassOptions(BaseModel):
    """What shapes a model of classes, beside the classes."""

    model_config = ConfigDict(extra="forbid")

    backbone: str = Field(
        AUTO,
        description="a trained network of transformers, by hub name or folder; 'small': a compact "
        f"one from scratch; 'auto': {DEFAULT} where it is on this machine, else 'small'",
    )
    download: bool = Field(False, description="whether the backbone may be fetched from the hub")
    revision: str = Field("main", description="of a hub name: a branch, a tag or a commit")
    train: Literal["head", "last"] = Field(
        "head", description="of a trained backbone: the new head only, or the last stages too"
    )
    stages: int = Field(1, ge=1, description="how many stages 'last' means")
    network: dict[str, Any] = Field(
        default_factory=dict, description="size of the small network: width, stages, blocks …"
    )
    prepare: dict[str, Any] = Field(
        default_factory=dict, description="preparation; a backbone brings its own size and colours"
    )
    side: int = Field(
        0, ge=0, description="usual shorter side of the pictures, pixels; filled in by training"
    )
    augment: Literal["none", "light", "photo"] = Field(
        "light", description="random changes of pictures in training; photo: mirrored as well"
    )
    label_smoothing: float = Field(
        0.1, ge=0, lt=1, description="share of each target that is spread over all classes"
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced: each class counts the same, however few samples it has"
    )
    trunk: dict[str, Any] = Field(
        default_factory=dict, description="configuration of the backbone; filled in by training"
    )


class ClassLearner(Learner):
    """Trains a `ClassNetwork`.

    Args:
        vocabulary: `{"classes": […]}` in the order of the outputs.
        options: as in `ClassOptions`.

    Raises:
        SettingsError: an option is unknown or out of range, there are fewer than two classes, or
            the backbone cannot be had.
        MissingExtra: a backbone is asked for and `transformers` is not installed.
    """

    network: ClassNetwork

    def __init__(self, vocabulary: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        try:
            chosen = ClassOptions(**options)
        except ValidationError as error:
            raise settings_error(error, ClassOptions, "the model's options") from error
        self.classes = tuple(vocabulary["classes"])
        if len(self.classes) < 2:
            raise SettingsError(
                f"there is nothing to tell apart: the dataset's classes are {list(self.classes)}",
                hint="import pictures of at least two classes",
            )
        self.vocabulary = {"classes": list(self.classes)}
        self._index = {name: index for index, name in enumerate(self.classes)}
        self._chosen = _with_backbone(chosen)
        self.network, self._preparation, filled = _build(self._chosen, len(self.classes))
        self.options = {**self._chosen.model_dump(mode="json"), **filled}
        self._strength = STRENGTHS[chosen.augment]
        self._weights = torch.ones(len(self.classes))

    @property
    def preparer(self) -> Callable[[RGB], RGB]:
        return self._preparation.prepare

    def preparation(self) -> dict[str, Any]:
        return self._preparation.to_dict()

    def outputs(self) -> dict[str, Any]:
        return {"classes": list(self.classes)}

    def check(self, label: str, *, width: int) -> list[Finding]:  # noqa: ARG002  all are square
        if label in self._index:
            return []
        return [
            Finding(
                "unknown_class",
                "error",
                f"the model has no class {label!r}",
                f"classes: {', '.join(self.classes[:20])}",
            )
        ]

    def begin(self, learned: Samples, judged: Samples, *, cache: Path | None) -> Start:
        """Weigh the classes; over a trained trunk compute features and solve the head.

        With `train = "last"` the head is solved first and then trained on with the last stages:
        a head that knows nothing would spoil them.

        Source: Kumar et al. 2022, Fine-tuning can distort pretrained features.
        """
        self._weights = self._class_weights(learned)
        if not isinstance(self.network, PretrainedNetwork):
            return Start(learned, judged)
        seen, looked = (
            compute_features(
                self.network,
                self._preparation,
                samples,
                trunk=self.options["trunk"],
                cache=cache / "features" if cache else None,
            )
            for samples in (learned, judged)
        )
        network = self.network
        device = network.head.weight.device
        network.scale.fit(torch.from_numpy(seen.rows).to(device))
        penalty = solve_head(
            network.head,
            self._points(seen.rows, seen.labels),
            self._points(looked.rows, looked.labels),
            smoothing=self._chosen.label_smoothing,
            weights=self._weights.to(device),
        )
        _log.info("the head's penalty, chosen on validation, is %g", penalty)
        if self._chosen.train == "head":
            return Start(seen, looked, answers=True)
        return Start(learned, judged, answers=True)

    def batch(self, pictures: Sequence[RGB], labels: Sequence[str], *, training: bool) -> Batch:
        """Pictures as float32 (N, 3, size, size), or features as float32 (N, features)."""
        stacked = np.stack(pictures)
        if stacked.dtype == np.uint8:
            inputs = torch.from_numpy(self._preparation.to_input(stacked))
        else:
            inputs = torch.from_numpy(stacked.reshape(len(stacked), -1))
        # What is only judged has no loss, and may be of classes that the model has not.
        indices = [self._index[label] for label in labels] if training else []
        return Batch((inputs,), (torch.tensor(indices, dtype=torch.int64),), list(labels))

    def augment(self, batch: Batch) -> Batch:
        (inputs,) = batch.inputs
        if self._strength is None or inputs.ndim != 4:
            return batch
        return Batch((augment(inputs, self._strength),), batch.targets, batch.labels)

    def pretrained(self) -> Iterable[nn.Parameter]:
        return self.network.pretrained()

    def loss(self, batch: Batch) -> Tensor:
        """Divergence from smoothed targets, weighted by class; see `smoothed_loss`."""
        (targets,) = batch.targets
        losses = smoothed_loss(
            self._logits(batch),
            targets,
            smoothing=self._chosen.label_smoothing,
            weights=self._weights.to(targets.device),
        )
        if not bool(torch.isfinite(losses.detach()).all()):
            raise JobFailed(
                f"the loss is not finite in a batch of {', '.join(sorted(set(batch.labels)))}",
                hint="the learning rate is too high: lower optimizer.lr",
            )
        return losses.mean()

    @torch.inference_mode()
    def answers(self, batch: Batch) -> list[str]:
        best = self._logits(batch).argmax(1).tolist()
        return [self.classes[index] for index in best]

    def exportable(self) -> Exportable:
        return Exportable(
            module=self.network.eval(),
            inputs=("image",),
            outputs=("logits",),
            dynamic={"image": {0: "batch"}, "logits": {0: "batch"}},
        )

    def feed(self, batch: Batch) -> Feed:
        (images,) = batch.inputs
        assert images.ndim == 4, "an exported network takes pictures, never features"
        return {"image": images.cpu().numpy()}

    def read(self, outputs: Sequence[NDArray[Any]]) -> list[tuple[str, NDArray[np.float32]]]:
        (logits,) = outputs
        return [(self.classes[int(row.argmax())], row) for row in logits]

    def adopt(self, weights: Mapping[str, Tensor], vocabulary: Mapping[str, Any]) -> Adopted:
        old = [str(name) for name in vocabulary["classes"]]
        take_over(
            self.network,
            weights,
            heads=("head.weight", "head.bias"),
            rows={index: old.index(name) for index, name in enumerate(self.classes) if name in old},
            shaping="model.backbone and model.network",
        )
        return Adopted.between(old, self.classes)

    def widened(self, vocabulary: Mapping[str, Any]) -> dict[str, Any]:
        new = class_order(set(vocabulary["classes"]) - set(self.classes))
        return {"classes": [*self.classes, *new]}

    def _logits(self, batch: Batch) -> Tensor:
        (inputs,) = batch.inputs
        logits: Tensor = self.network(inputs) if inputs.ndim == 4 else self.network.classify(inputs)
        return logits

    def _points(self, rows: NDArray[np.float32], labels: Sequence[str]) -> Points:
        """The samples that the head can learn or be chosen by: of classes that the model has."""
        known = [index for index, label in enumerate(labels) if label in self._index]
        rows, labels = rows[known], [labels[index] for index in known]
        network = self.network
        device = network.head.weight.device
        targets = torch.tensor([self._index[label] for label in labels], dtype=torch.int64)
        if not len(labels):
            return Points(torch.empty(0, network.head.in_features, device=device), targets)
        with torch.no_grad():
            return Points(network.scale(torch.from_numpy(rows).to(device)), targets.to(device))

    def _class_weights(self, learned: Samples) -> Tensor:
        """All ones, or inversely to how often a class occurs, with mean 1 over the samples."""
        if self._chosen.class_weights == "none":
            return torch.ones(len(self.classes))
        counts = Counter(learned[index][1] for index in range(len(learned)))
        total, there = sum(counts.values()), len(counts)
        return torch.tensor(
            [total / (there * counts[name]) if counts[name] else 1.0 for name in self.classes]
        )


def _with_backbone(chosen: ClassOptions) -> ClassOptions:
    """The same options with `auto` decided, so that a run says what it was."""
    if chosen.backbone != AUTO:
        return chosen
    name = DEFAULT if chosen.download or is_cached(DEFAULT) else SMALL
    if name == SMALL:
        _log.warning(
            "%s is not on this machine, so a small network is trained from scratch; with "
            "--set model.download=true it is fetched once and usually much better",
            DEFAULT,
        )
    return chosen.model_copy(update={"backbone": name})


def _build(chosen: ClassOptions, classes: int) -> tuple[ClassNetwork, Preparation, dict[str, Any]]:
    """Network, preparation, and the options that were filled in."""
    if chosen.backbone == SMALL:
        try:
            size = SmallOptions(**chosen.network)
        except ValidationError as error:
            raise settings_error(error, SmallOptions, "model.network") from error
        preparation = Preparation.from_dict({"size": _small_size(chosen.side), **chosen.prepare})
        filled = {"network": size.model_dump(mode="json"), "prepare": preparation.to_dict()}
        return SmallNetwork(classes, size), preparation, filled
    if chosen.network:
        raise SettingsError(
            f"model.network is set, and model.backbone is {chosen.backbone!r}",
            hint="model.network shapes the small network only",
        )
    if chosen.trunk:  # from a run or package: its weights come with it
        trunk, config = rebuild_trunk(chosen.trunk), chosen.trunk
        preparation = Preparation.from_dict(chosen.prepare)
    else:
        loaded = load_trunk(chosen.backbone, download=chosen.download, revision=chosen.revision)
        trunk, config = loaded.model, loaded.config
        preparation = Preparation.from_dict({**loaded.prepare, **chosen.prepare})
    network = PretrainedNetwork(
        trunk,
        classes,
        features=_feature_count(trunk, preparation.size),
        stages=chosen.stages if chosen.train == "last" else 0,
    )
    return network, preparation, {"trunk": config, "prepare": preparation.to_dict()}


def _small_size(side: int) -> int:
    """The small network's input for pictures of a usual shorter side, 0 where none is known.

    Enlarged pictures say no more than small ones and take four times as long.
    """
    if not side:
        return Preparation.size
    return min(Preparation.size, max(_SMALLEST, -(-side // _STEP) * _STEP))


@torch.inference_mode()
def _feature_count(trunk: nn.Module, size: int) -> int:
    """How many features a trunk gives; asked of the trunk, because configurations differ."""
    asked = PretrainedNetwork(trunk, 2, features=1, stages=0).eval()
    return int(asked.features(torch.zeros(1, 3, size, size)).shape[1])
