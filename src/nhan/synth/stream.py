"""Lines, one by one or as a stream."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nhan.errors import JobFailed
from nhan.synth import fonts, generators, looks
from nhan.synth.cast import Cast
from nhan.synth.dice import Dice
from nhan.synth.recipe import DEFAULT, Recipe

_CHUNK = 32  # lines a worker makes before it hands them over


@dataclass(frozen=True)
class Line:
    """A made picture of one line of text.

    Attributes:
        image: uint8 RGB, shape (H, W, 3).
        text: what it says, NFC.
        kind: the look, a name in `nhan.synth.recipe.KINDS`.
        font: the face's file name without suffix.
    """

    image: NDArray[np.uint8]
    text: str
    kind: str
    font: str


@lru_cache(maxsize=8)
def _cast(folder: str, only: tuple[str, ...], without: tuple[str, ...]) -> Cast:
    return Cast(fonts.select(fonts.find(folder), only=only, without=without))


def line(seed: int, index: int, *, recipe: Recipe = DEFAULT) -> Line:
    """Make one line: the same for the same seed, index, recipe and fonts, in any process and order.

    Args:
        seed: of the stream.
        index: of the line, 0 or more.
        recipe: what to make.

    Raises:
        UserError: no usable font, or the recipe leaves none.
    """
    dice = Dice.of(seed, index)
    cast = _cast(recipe.fonts, recipe.fonts_only, recipe.fonts_without)
    kind = dice.weighted(recipe.kinds)
    text = generators.text_of(dice, kind, recipe.texts, recipe.max_chars)
    image, written, font = looks.draw(dice, kind, text, cast, recipe)
    return Line(image, written, kind, font)


def _chunk(job: tuple[int, int, Recipe]) -> list[Line]:
    seed, start, recipe = job
    return [line(seed, start + i, recipe=recipe) for i in range(_CHUNK)]


class LineStream:
    """An endless stream of lines, resumable at any index.

    Attributes:
        index: of the next line; store it, and give it as `start` to go on.
    """

    def __init__(
        self, seed: int, recipe: Recipe = DEFAULT, *, start: int = 0, processes: int = 0
    ) -> None:
        """Nothing is made before the first line is asked for.

        Args:
            seed: of the stream.
            recipe: what to make.
            start: first index.
            processes: how many workers make lines ahead; 0 makes them here. The lines and their
                order are the same either way.
        """
        self.seed, self.recipe, self.index, self.processes = seed, recipe, start, processes

    def __iter__(self) -> Generator[Line, None, None]:
        if self.processes <= 0:
            while True:
                made = line(self.seed, self.index, recipe=self.recipe)
                self.index += 1
                yield made
        yield from self._parallel()

    def _parallel(self) -> Generator[Line, None, None]:
        # Spawned, not forked: a training process has threads by now.
        context = multiprocessing.get_context("spawn")
        waiting: deque[Future[list[Line]]] = deque()
        start = self.index
        with ProcessPoolExecutor(self.processes, mp_context=context) as pool:
            try:
                while True:
                    while len(waiting) < 2 * self.processes:
                        waiting.append(pool.submit(_chunk, (self.seed, start, self.recipe)))
                        start += _CHUNK
                    for made in waiting.popleft().result():
                        self.index += 1
                        yield made
            except BrokenProcessPool as error:
                raise JobFailed(
                    f"a worker making lines died near line {self.index}",
                    hint="look for lack of memory; a script needs an `if __name__ == '__main__'` "
                    "guard, and one read from standard input needs processes=0",
                ) from error
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
