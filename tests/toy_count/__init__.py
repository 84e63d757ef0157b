"""A third task, whole: how many bars are in the picture? The answer is a number, by regression.

One folder like `nhan.tasks.text` and one row in the table of tasks: nothing else knows of it.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from PIL import Image

from nhan.errors import BadLabel
from nhan.tasks.base import Answer, Confusion, Finding, Rate, Task

SIZE = 32


def prepare(rgb):
    return np.asarray(Image.fromarray(rgb).resize((SIZE, 8), Image.Resampling.BOX))


def to_input(prepared):
    return (prepared.astype(np.float32).mean(axis=(0, 2)) / 255)[None]


class CountReader:
    def inputs(self, rgb):
        return [{"columns": to_input(prepare(rgb))}]

    def answer(self, outputs):
        count = float(np.asarray(outputs[0][0]).reshape(-1)[0])
        value = str(max(0, round(count)))
        return Answer(value, max(0.0, 1 - 2 * abs(count - round(count))), {"count": count})


class CountTask(Task):
    name = "count"
    primary = "mae"

    def normalise(self, label):
        if not label.strip().isdigit():
            raise BadLabel(f"{label!r} is no number of bars")
        return str(int(label))

    def vocabulary(self, labels):
        return {"most": max(map(int, labels), default=0)}

    def check(self, label, *, width, height):
        if label.strip().isdigit():
            return []
        return [Finding("no_number", "error", f"{label!r} is no number", "count again")]

    def reader(self, spec):
        return CountReader()

    def rate(self, truth, answer):
        return Rate(abs(int(truth) - int(answer or 0)), 1.0)

    def score(self, truths, answers):
        gaps = [self.rate(t, a).errors for t, a in zip(truths, answers, strict=True)]
        exact = sum(gap == 0 for gap in gaps) / max(len(gaps), 1)
        return {"mae": sum(gaps) / max(len(gaps), 1), "exact": exact}

    def slices(self, truth):
        return {"bars": "few" if int(truth) < 4 else "many"}

    def confusions(self, truths, answers):
        wrong = Counter((t, a) for t, a in zip(truths, answers, strict=True) if t != a)
        return {"counts": [Confusion(t, a, n) for (t, a), n in wrong.most_common()]}

    def learner(self, vocabulary, options):
        from toy_count.learner import CountLearner

        return CountLearner(vocabulary, options)
