"""Make the character model of Vietnamese that comes with the package.

Run it from the checkout, again whenever the texts of `nhan.synth` change:

    python recipes/language_model.py

The lines are those that `nhan synth` would draw, without the kinds that are made to be
unpredictable, so that addresses, receipts, capitals and unmarked lines are expected as often as
running text. The same texts give the same file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from nhan.synth.dice import Dice
from nhan.synth.generators import text_of
from nhan.synth.recipe import Recipe
from nhan.tasks.text.lm import build

OUT = Path(__file__).parents[1] / "src/nhan/tasks/text/data/vi-characters.npz"

SEED = 20
LINES = 200_000

# Order 5 gains 0.07 bits a character over order 4 on real lines, order 6 another 0.03 for twice
# the size.
ORDER = 5

# Leaving out what is seen less often than this instead of 5 times halves the file and costs 0.01
# bits a character.
MIN_COUNT = 20

# Syllables in random order and strings of rare letters would only teach that anything goes.
TEXTS = {"syllables": 0.2, "rare": 0.0, "code": 0.5}


def lines() -> Iterator[str]:
    kinds = {kind: share for kind, share in Recipe().kinds.items() if kind != "short"}
    for index in range(LINES):
        dice = Dice.of(SEED, index)
        yield text_of(dice, dice.weighted(kinds), TEXTS, max_chars=90)


def main() -> int:
    model = build(lines(), order=ORDER, min_count=MIN_COUNT)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_bytes(model.to_bytes())
    sys.stdout.write(f"{OUT}: {len(model.table)} n-grams, {OUT.stat().st_size} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
