"""Everything that can be chosen about a training, with its default and its meaning.

A run saves the filled config; the same config, data and code give the same run.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nhan.errors import SettingsError
from nhan.settings import key_names, meaning_of

_LR_FROM_SCRATCH = 1e-3
# A trained network forgets at the rate that a fresh one needs.
_LR_FROM_MODEL = 3e-4

# What people look for here, and where it is.
_ELSEWHERE = {
    "split": "shares belong to the workspace, because a sample keeps its split for ever: "
    "[split] in nhan.toml, or NHAN_SPLIT__TEST=0.2 nhan freeze NAME",
    "length.steps": "length.samples counts pictures: steps times data.batch_size",
}


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=True)


class LengthConfig(_Table):
    """How long to train, and how often to look."""

    epochs: float = Field(30, gt=0, description="passes over the dataset; ignored without one")
    samples: int = Field(0, ge=0, description="samples in all; over `epochs` where above 0")
    validate_every: int = Field(
        0,
        ge=0,
        description="samples between validations; 0: once an epoch, 40 times in all at most",
    )
    patience: int = Field(
        0, ge=0, description="stop after so many validations without a better one; 0: never"
    )
    save_every_s: float = Field(300, gt=0, description="seconds between checkpoints, at most")


class DataConfig(_Table):
    """What is trained on, and in what portions."""

    batch_size: int = Field(32, ge=1, description="samples in a batch, at most")
    batch_pixels: int = Field(
        0, ge=0, description="padded pixels in a batch, at most; 0: no limit but `batch_size`"
    )
    pool: int = Field(
        2048, ge=1, description="samples that are sorted by width together before they are cut up"
    )
    made: str = Field("", description="a name of nhan.training.stream.STREAMS; empty: none")
    made_share: float = Field(
        0.0, ge=0, le=1, description="share of made samples among all that are trained on"
    )
    made_options: dict[str, Any] = Field(
        default_factory=dict, description="options of the made samples"
    )
    rehearse: bool = Field(
        True,
        description="started from a model that learned made samples: mix such samples in, half and "
        "half, so that it forgets nothing; only where `made` is empty",
    )
    workers: int = Field(0, ge=0, description="processes that make samples; 0: the trainer itself")
    unfit: Literal["refuse", "leave_out"] = Field(
        "refuse", description="what to do with samples that cannot be learned, after naming them"
    )


class OptimizerConfig(_Table):
    """AdamW and its schedule."""

    lr: float = Field(
        0.0,
        ge=0,
        description="highest learning rate; 0: 0.001 from scratch, 0.0003 from another model",
    )
    schedule: Literal["cosine", "one-cycle", "constant"] = Field(
        "cosine", description="shape after the warm-up"
    )
    warmup: float = Field(0.05, ge=0, lt=1, description="share of the samples spent rising to `lr`")
    final: float = Field(0.01, ge=0, le=1, description="the last learning rate over `lr`")
    weight_decay: float = Field(0.01, ge=0, description="of matrices; biases and norms have none")
    beta2: float = Field(0.99, gt=0, lt=1, description="memory of AdamW's second moment")
    clip: float = Field(5.0, ge=0, description="largest gradient norm; 0: not clipped")
    ema: float = Field(
        0.0, ge=0, lt=1, description="decay per step of averaged weights; 0: weights as they are"
    )


class MachineConfig(_Table):
    """Where it runs."""

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: a GPU if there is")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 on a GPU, float32 on a CPU"
    )
    threads: int = Field(0, ge=0, description="CPU threads of a process; 0: its share of the cores")
    devices: int = Field(
        1, ge=1, description="processes that share every batch, each with a GPU, or on the CPU"
    )


class TrainConfig(_Table):
    """One training."""

    task: str = Field("text", description="a name of nhan.tasks.TASKS")
    seed: int = Field(1, ge=0, description="of weights, order, dropout and made samples")
    start_from: str = Field(
        "", description="a model NAME or NAME@VERSION, a run, a weights file; empty: from scratch"
    )
    model: dict[str, Any] = Field(
        default_factory=dict, description="the task's own options: network, preparation"
    )
    vocabulary: dict[str, Any] = Field(
        default_factory=dict, description="over the dataset's vocabulary, where given"
    )
    length: LengthConfig = Field(default_factory=LengthConfig)
    data: DataConfig = Field(default_factory=DataConfig)
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    machine: MachineConfig = Field(default_factory=MachineConfig)
    preflight: bool = Field(True, description="memorise one batch before the first hour is spent")
    track: Literal["off", "mlflow", "tensorboard", "comet", "print"] = Field(
        "mlflow", description="experiment log, where installed; it never stops a run"
    )

    def filled(self) -> TrainConfig:
        """The same config with every choice that was left open made."""
        if self.optimizer.lr:
            return self
        lr = _LR_FROM_MODEL if self.start_from else _LR_FROM_SCRATCH
        return self.model_copy(update={"optimizer": self.optimizer.model_copy(update={"lr": lr})})


def kept_against(kept: TrainConfig, given: TrainConfig) -> list[str]:
    """What a resumed run keeps although it was told otherwise, in words: `seed = 1, not 2`."""
    values, others = (_flat(each.filled().model_dump(mode="json")) for each in (kept, given))
    return [
        f"{key} = {json.dumps(values[key], ensure_ascii=False)}, "
        f"not {json.dumps(other, ensure_ascii=False)}"
        for key, other in others.items()
        if key in values and values[key] != other
    ]


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Dotted keys and values of tables in tables."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        table = isinstance(value, Mapping) and value
        flat |= _flat(value, f"{above}{key}.") if table else {f"{above}{key}": value}
    return flat


def load_config(path: Path | None = None, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a TOML (or `.json`) file, then `KEY=VALUE` overrides with dotted keys.

    Args:
        path: the file; None for the defaults.
        overrides: e.g. `optimizer.lr=0.002`; values are TOML, and what is no TOML is text.

    Raises:
        SettingsError: not TOML, an unknown key (the hint names the nearest), or a wrong value.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            text = path.read_text(encoding="utf-8")
            values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        except OSError as error:
            raise SettingsError(
                f"cannot read the config {path}: {error.strerror or error}",
                hint="look at the path, and at the rights to it",
            ) from error
        except (ValueError, UnicodeDecodeError) as error:
            form = "JSON" if path.suffix == ".json" else "TOML"
            raise SettingsError(
                f"{path} is not valid {form}: {error}",
                hint="for example length.epochs = 10 in TOML",
            ) from error
        if not isinstance(values, dict):
            raise SettingsError(
                f"{path} holds no table of options", hint="for example length.epochs = 10 in TOML"
            )
    for override in overrides:
        _set(values, override)
    return make_config(values, str(path or "the options"))


def make_config(values: Mapping[str, Any], source: str) -> TrainConfig:
    """Check and fill a config.

    Raises:
        SettingsError: an unknown key or a wrong value.
    """
    try:
        return TrainConfig(**values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        valid = sorted(key_names(TrainConfig))
        if first["type"] == "extra_forbidden":
            close = difflib.get_close_matches(key, valid, n=1, cutoff=0.4)
            hint = f"did you mean {close[0]}?" if close else f"keys: {', '.join(valid)}"
            hint = _ELSEWHERE.get(key, hint)
            raise SettingsError(f"unknown key {key!r} in {source}", hint=hint) from error
        raise SettingsError(
            f"{key} = {first.get('input')!r} in {source}: {first['msg'].lower()}",
            hint=meaning_of(TrainConfig, [str(part) for part in first["loc"]])
            or f"keys: {', '.join(valid)}",
        ) from error


def _set(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise SettingsError(
            f"the override {override!r} is not KEY=VALUE", hint="for example optimizer.lr=0.002"
        )
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    *tables, last = key.strip().split(".")
    for table in tables:
        inner = values.setdefault(table, {})
        if not isinstance(inner, dict):
            raise SettingsError(
                f"{table!r} in {override!r} is not a table",
                hint=f"set {table} itself, or a key that is a table, e.g. optimizer.lr=0.002",
            )
        values = inner
    values[last] = value
