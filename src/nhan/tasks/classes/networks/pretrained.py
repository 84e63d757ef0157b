"""A trained network of `transformers` as the trunk, by hub name or local folder.

Weights are read from safetensors files only, code of a repository is never run, and the network
is asked for nothing unless that is allowed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nhan.errors import MissingExtra, SettingsError
from nhan.tasks.classes.networks.base import ClassNetwork

# Small, strong for its size, Apache-2.0, safetensors of 47 MB.
DEFAULT = "microsoft/resnet-18"

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
# Poolers of vision transformers are no part of classification weights, and we never use them.
_UNUSED = re.compile(r"(^|\.)(pooler|classifier|head|mask_token)(\.|$)|mask_token")


@dataclass(frozen=True)
class Trunk:
    """A network without its head.

    Attributes:
        model: as `transformers` builds it.
        config: its configuration, JSON-able; enough to build it again without weights.
        prepare: what its pictures were prepared with, as `Preparation.from_dict` takes it.
    """

    model: nn.Module
    config: dict[str, Any]
    prepare: dict[str, Any]


class PretrainedNetwork(ClassNetwork):
    """A trunk that came trained, and a new head.

    Args:
        trunk: made by `load_trunk` or `rebuild_trunk`.
        classes: how many.
        stages: last stages that are trained further; 0 keeps the whole trunk as it is.

    Raises:
        SettingsError: the trunk has fewer stages.
    """

    def __init__(self, trunk: nn.Module, classes: int, *, features: int, stages: int) -> None:
        super().__init__(features, classes)
        self.trunk = trunk
        self._is_transformer = any("cls_token" in name for name, _ in trunk.named_parameters())
        self._frozen = _freeze(trunk, stages)

    def features(self, images: Tensor) -> Tensor:
        """The pooled last maps, or the class token of a vision transformer."""
        said = self.trunk(pixel_values=images)
        last: Tensor = said.last_hidden_state
        if last.ndim == 3:
            return last[:, 0] if self._is_transformer else last.mean(1)
        pooled = getattr(said, "pooler_output", None)
        return last.mean((2, 3)) if pooled is None else pooled.flatten(1)

    def pretrained(self) -> Iterator[nn.Parameter]:
        return (p for p in self.trunk.parameters() if p.requires_grad)

    def train(self, mode: bool = True) -> PretrainedNetwork:
        """Frozen parts stay in evaluation mode: their batch statistics came with the weights."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self


def load_trunk(name: str, *, download: bool, revision: str = "main") -> Trunk:
    """Load a network and its weights.

    Args:
        name: a folder with `config.json` and safetensors files, or a hub name (`owner/model`).
        download: whether a hub name may be fetched; else it must be in the local cache.
        revision: of a hub name: a branch, a tag or, to be sure of what comes, a commit.

    Raises:
        MissingExtra: `transformers` is not installed.
        SettingsError: it cannot be had, holds pickles only, or is no network for pictures.
    """
    transformers = _transformers()
    folder = Path(name)
    if folder.is_dir():
        if not any(folder.glob("*.safetensors")):
            raise SettingsError(
                f"{folder} holds no *.safetensors file",
                hint="pickled weights (*.bin, *.pt) can run code and are never loaded; save the "
                "model with save_pretrained, which writes safetensors",
            )
    elif not _HUB_NAME.fullmatch(name):
        raise SettingsError(
            f"model.backbone is {name!r}: no such folder, and no hub name",
            hint=f"a folder, or a name like {DEFAULT}; 'small' needs no weights",
        )
    try:
        model, info = transformers.AutoModel.from_pretrained(
            name,
            revision=revision,
            local_files_only=not download,
            use_safetensors=True,
            trust_remote_code=False,
            # The tracing exporter knows plain products; fused attention only the GPU's.
            attn_implementation="eager",
            output_loading_info=True,
        )
    except Exception as error:  # it raises OSError, ValueError, KeyError, SafetensorError …
        raise _cannot_load(name, error, download=download) from error
    missing = sorted(key for key in info["missing_keys"] if not _UNUSED.search(key))
    if missing:
        raise SettingsError(
            f"the weights of {name} lack {len(missing)} of its tensors, first {missing[0]}",
            hint="the file belongs to another network; fetch it again",
        )
    prepare = _prepare_numbers(name, download=download, revision=revision)
    return Trunk(model.float(), _config_of(model), prepare)


def _config_of(model: Any) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(model.config.to_json_string())
    # The thousand classes it was once trained for are no part of the trunk.
    return {k: v for k, v in values.items() if k not in ("id2label", "label2id", "architectures")}


def rebuild_trunk(config: Mapping[str, Any]) -> nn.Module:
    """The same network, untrained, from its configuration alone.

    Raises:
        MissingExtra: `transformers` is not installed.
    """
    transformers = _transformers()
    values = {k: v for k, v in config.items() if k != "model_type"}
    kind = transformers.AutoConfig.for_model(str(config["model_type"]), **values)
    model: nn.Module = transformers.AutoModel.from_config(kind, attn_implementation="eager")
    return model.float()


def is_cached(name: str) -> bool:
    """Whether a hub name's weights lie in the local cache; asks nobody."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ModuleNotFoundError:
        return False
    found = (
        try_to_load_from_cache(name, file)
        for file in ("model.safetensors", "model.safetensors.index.json")
    )
    return any(isinstance(path, str) for path in found)


def _transformers() -> Any:
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise MissingExtra("a trained backbone", "classes") from error
    logging: Any = transformers.logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    return transformers


def _cannot_load(name: str, error: Exception, *, download: bool) -> SettingsError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if download or Path(name).is_dir():
        return SettingsError(
            f"cannot load the backbone {name}: {reason}",
            hint="it must be a network for pictures with safetensors weights; "
            "model.backbone = 'small' trains without any",
        )
    return SettingsError(
        f"the backbone {name} is not on this machine, and fetching it is not allowed: {reason}",
        hint="allow it once (--set model.download=true), or name a folder that holds it, or train "
        "without trained weights (--set model.backbone=small)",
    )


def _prepare_numbers(name: str, *, download: bool, revision: str) -> dict[str, Any]:
    """What `preprocessor_config.json` says, in our words; ImageNet's habits where it is missing."""
    from transformers.utils.hub import cached_file

    path = cached_file(
        name,
        "preprocessor_config.json",
        revision=revision,
        local_files_only=not download,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        _raise_exceptions_for_gated_repo=False,
    )
    if not path:
        return preparation_of({})
    try:
        given = json.loads(Path(path).read_text(encoding="utf-8"))
        return preparation_of(given)
    except (ValueError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise SettingsError(
            f"{path} does not say how pictures are prepared: {error}",
            hint="fetch it again, or remove it: then 224 px and ImageNet's colours are taken",
        ) from error


# Means and deviations of ImageNet's colours, which most networks were trained with.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def preparation_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Our numbers for another library's `preprocessor_config.json`.

    Args:
        given: its content; anything may be missing.

    Returns:
        `size`, `keep`, `mean` and `std` for `Preparation`.
    """
    resized, cropped = _side(given.get("size"), 224), _side(given.get("crop_size"), 0)
    keep = float(given.get("crop_pct") or 1.0)
    size = resized
    if cropped and given.get("do_center_crop", True) and cropped < resized:
        size, keep = cropped, cropped / resized
    mean, std = given.get("image_mean") or _MEAN, given.get("image_std") or _STD
    if not given.get("do_normalize", True):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    elif given.get("include_top") and given.get("image_processor_type", "").startswith("Effic"):
        # EfficientNet's own preparation divides by the deviation twice.
        std = [value * value for value in std]
    return {"size": size, "keep": keep, "mean": list(mean), "std": list(std)}


def _side(size: Any, default: int) -> int:
    if isinstance(size, Mapping):
        size = size.get("shortest_edge") or size.get("height")
    return int(size) if size else default


def _freeze(trunk: nn.Module, stages: int) -> list[nn.Module]:
    """Freeze all but the last stages and what follows them; gives back the frozen modules."""
    parameters = list(trunk.named_parameters())
    for _, parameter in parameters:
        parameter.requires_grad_(False)
    if not stages:
        return [trunk]
    prefix, listed = _stages(trunk)
    if stages > len(listed):
        raise SettingsError(
            f"model.stages is {stages}; the backbone has {len(listed)} stages",
            hint=f"use 1 to {len(listed)}",
        )
    first = f"{prefix}.{len(listed) - stages}."
    names = [name for name, _ in parameters]
    start = next(index for index, name in enumerate(names) if name.startswith(first))
    for _, parameter in parameters[start:]:
        parameter.requires_grad_(True)
    return [
        module
        for module in trunk.modules()
        if not any(p.requires_grad for p in module.parameters())
    ]


def _stages(trunk: nn.Module) -> tuple[str, nn.ModuleList]:
    """The list of the trunk's stages: of the least nested lists the one with most parameters."""
    lists = [
        (name, module)
        for name, module in trunk.named_modules()
        if isinstance(module, nn.ModuleList) and any(True for _ in module.parameters())
    ]
    if not lists:
        raise SettingsError(
            "the backbone has no stages that could be trained one by one",
            hint="use model.train = 'head'",
        )
    depth = min(name.count(".") for name, _ in lists)
    shallow = [(name, module) for name, module in lists if name.count(".") == depth]
    return max(shallow, key=lambda item: sum(p.numel() for p in item[1].parameters()))
