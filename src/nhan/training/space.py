"""What a search may vary: training options with their ranges, in one TOML file.

["optimizer.lr"]
low = 0.0003
high = 0.01
log = true

["data.batch_size"]
choices = [16, 32, 64]
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nhan.errors import SettingsError
from nhan.settings import key_names
from nhan.training.config import TrainConfig


class Axis(BaseModel):
    """One option's range, or its choices."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float | int | None = Field(None, description="smallest value")
    high: float | int | None = Field(None, description="largest value; whole numbers if both are")
    log: bool = Field(False, description="as likely between 1 and 10 as between 10 and 100")
    choices: tuple[bool | int | float | str, ...] = Field((), description="in place of a range")

    @model_validator(mode="after")
    def _one_of_two(self) -> Axis:
        ranged = self.low is not None and self.high is not None
        if ranged == bool(self.choices):
            raise ValueError("give low and high, or choices")
        if ranged and not self.low < self.high:  # type: ignore[operator]
            raise ValueError("low must be below high")
        if self.log and not (self.low or 0) > 0:
            raise ValueError("a logarithmic range begins above 0")
        return self

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)


Space = Mapping[str, Axis]

# What matters for any network, in ranges that hold for fresh ones; from a trained model the best
# rate is three to ten times lower.
FROM_SCRATCH: Space = {
    "optimizer.lr": Axis(low=3e-4, high=1e-2, log=True),
    "optimizer.weight_decay": Axis(low=1e-4, high=0.1, log=True),
    "optimizer.warmup": Axis(low=0.0, high=0.2),
    "optimizer.schedule": Axis(choices=("cosine", "one-cycle")),
    "data.batch_size": Axis(choices=(16, 32, 64)),
}
FROM_MODEL: Space = {**FROM_SCRATCH, "optimizer.lr": Axis(low=5e-5, high=2e-3, log=True)}


def load_space(path: Path | None, *, trained: bool = False) -> Space:
    """Read what may vary.

    Args:
        path: a TOML file; None for what matters always.
        trained: the search begins from a trained model.

    Raises:
        SettingsError: not TOML, no such option, or a range that is none.
    """
    if path is None:
        return FROM_MODEL if trained else FROM_SCRATCH
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"cannot read the search space {path}: {error.strerror or error}",
            hint="look at the path, and at the rights to it",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} is not valid TOML: {error}",
            hint="for example 'optimizer.lr' = {low = 0.0001, high = 0.01, log = true}",
        ) from error
    if not values:
        raise SettingsError(f"{path} names no option", hint='for example ["optimizer.lr"]')
    return {key: _axis(key, value, path) for key, value in values.items()}


def _axis(key: str, value: Any, path: Path) -> Axis:
    valid = key_names(TrainConfig)
    # Options of a task's own network stand in open tables, which only the task can check.
    if key not in valid and not key.startswith(("model.", "data.made_options.")):
        raise SettingsError(f"no option {key!r} in {path}", hint=f"options: {', '.join(valid)}")
    try:
        return Axis.model_validate(value)
    except ValidationError as error:
        raise SettingsError(
            f"{key} in {path}: {error.errors()[0]['msg'].lower()}",
            hint="{low = 0.0001, high = 0.01}, or {choices = [16, 32]}",
        ) from error
