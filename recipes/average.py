"""Average the weights of a training with those it began from, and of others of that family.

    python recipes/average.py RUN WEIGHTS… --out FOLDER

Trainings that begin from the same weights end in one valley, and the middle of a valley reads
better than its slopes: "Model soups" (Wortsman et al., 2022, https://arxiv.org/abs/2203.05482).
RUN is a folder of `nhan train --out`; WEIGHTS are other `.safetensors` of the same network.
FOLDER can then be given to `recipes/bundle.py` in the place of RUN. Whether it reads better must
be measured; nothing here does.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from nhan.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from nhan.training.job import BEST, CURVE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a training run")
    parser.add_argument("weights", type=Path, nargs="+", help="other weights of the same network")
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    given = parser.parse_args()
    best = load_checkpoint(given.run / BEST)
    others = [load_checkpoint(file) for file in given.weights]
    given.out.mkdir(parents=True)
    save_checkpoint(given.out / BEST, average(best, others))
    shutil.copyfile(given.run / CURVE, given.out / CURVE)


def average(best: Checkpoint, others: list[Checkpoint]) -> Checkpoint:
    """The mean of all weights, with the facts of the first.

    Raises:
        ValueError: the networks are not the same.
    """
    all_of_them = [each.best_weights for each in (best, *others)]
    for each in all_of_them[1:]:
        if {name: w.shape for name, w in each.items()} != {
            name: w.shape for name, w in all_of_them[0].items()
        }:
            raise ValueError("these are weights of different networks")
    mean = {
        name: sum(each[name].float() for each in all_of_them).div(len(all_of_them)).to(first.dtype)
        if first.is_floating_point()
        else first
        for name, first in all_of_them[0].items()
    }
    return Checkpoint(mean, {**best.facts, "averaged": len(all_of_them)})


if __name__ == "__main__":
    main()
