"""Made lines of text as a stream for training: a synthesis recipe and a curriculum."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from nhan.synth import RECIPES, Recipe, line, load_recipe
from nhan.tasks.base import RGB

# Difficulty rises in so many steps: each has its own recipe, and those are cached.
_CURRICULUM_STEPS = 4


class MadeLines:
    """Lines of `nhan.synth`, numbered.

    Args:
        seed: of the lines.
        recipe: a name of `nhan.synth.RECIPES`, or a TOML file.
        easy: difficulty of the first lines, 0..1.
        easy_until: from this line on, the recipe's own difficulty; before, it rises in steps.
        changes: fields of the recipe to change.

    Raises:
        SettingsError: no such recipe, an unknown field, a value out of range.
    """

    def __init__(
        self,
        seed: int,
        *,
        recipe: str = "default",
        easy: float = 0.2,
        easy_until: int = 0,
        **changes: Any,
    ) -> None:
        self._seed = seed
        self._recipe = load_recipe(recipe).with_(**changes) if changes else load_recipe(recipe)
        self._easy = easy
        self._easy_until = easy_until

    @classmethod
    def rehearsal(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options with which what was learned is practised, on whatever machine.

        No curriculum, which is for beginners, and no recipe or fonts by path: those of another
        machine are not here.
        """
        kept = cls.judging(options)
        if kept.get("recipe") not in RECIPES:
            kept.pop("recipe", None)
        kept.pop("fonts", None)
        return kept

    @classmethod
    def judging(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options of lines that judge: the first are as hard as what is learned in the end."""
        return {key: value for key, value in options.items() if not key.startswith("easy")}

    def sample(self, index: int) -> tuple[RGB, str]:
        """Line number `index`: uint8 (H, W, 3) and its text."""
        step = _CURRICULUM_STEPS
        if index < self._easy_until:
            step = index * _CURRICULUM_STEPS // self._easy_until
        made = line(self._seed, index, recipe=self._recipes[step])
        return made.image, made.text

    @cached_property
    def _recipes(self) -> list[Recipe]:
        last = self._recipe.difficulty
        first = min(self._easy, last)
        rises = [step / _CURRICULUM_STEPS for step in range(_CURRICULUM_STEPS)]
        rising = [self._recipe.with_(difficulty=first + (last - first) * part) for part in rises]
        return [*rising, self._recipe]
