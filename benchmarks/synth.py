"""How fast lines are made, by look: `python benchmarks/synth.py [--lines N] [--fonts FOLDER]`.

Times are of this process alone (CPU seconds), so that a busy machine hardly changes them. A warm-up
opens fonts, paints the pool of papers and traces hands, as the first minute of a training does.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

import cv2

from nhan.synth import DEFAULT, Recipe, line
from nhan.synth.fonts import find
from nhan.synth.recipe import KINDS
from nhan.tasks.text.alphabet import ACCENTED


def measure(recipe: Recipe, lines: int) -> tuple[float, float, float, float]:
    """Warm-up and then lines per CPU second; mean height and width, pixels."""
    began = time.process_time()
    for index in range(lines):
        line(1, index, recipe=recipe)
    warm = time.process_time()
    made = [line(2, index, recipe=recipe).image.shape for index in range(lines)]
    done = time.process_time()
    height = sum(shape[0] for shape in made) / lines
    width = sum(shape[1] for shape in made) / lines
    return lines / (warm - began), lines / (done - warm), height, width


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=500, help="lines of each look, twice")
    parser.add_argument("--fonts", default="", help="font folder; default NHAN_FONTS or the system")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    base = DEFAULT.with_(fonts=asked.fonts)
    faces = find(asked.fonts)
    families = {face.group for face in faces}
    whole = sum(face.vietnamese for face in faces)
    print(f"{len(faces)} faces of {len(families)} families, {whole} write all of Vietnamese")
    print(f"{'look':<12} {'first':>8} {'then':>8}  lines per CPU second   mean picture")
    for kind in (*KINDS, "all"):
        recipe = base if kind == "all" else base.with_(kinds={kind: 1})
        first, then, height, width = measure(recipe, asked.lines)
        print(f"{kind:<12} {first:8.0f} {then:8.0f} {'':22} {width:.0f} x {height:.0f}")
    seen: Counter[str] = Counter()
    for index in range(2 * asked.lines):
        seen.update(line(3, index, recipe=base).text)
    rarest = sorted(ACCENTED, key=lambda letter: seen[letter])[:8]
    share = [f"{letter} {seen[letter] / (2 * asked.lines) * 1000:.0f}" for letter in rarest]
    print(f"rarest letters, times in 1000 lines: {', '.join(share)}")


if __name__ == "__main__":
    main()
