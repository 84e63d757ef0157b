"""How bars are counted: edges between columns are learned, then added up."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from nhan.tasks.learner import Adopted, Batch, Exportable, Learner
from toy_count import prepare, to_input


class Edges(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.edges = nn.Conv1d(1, 8, 2, padding=1)
        self.count = nn.Linear(8, 1)

    def forward(self, columns):
        found = torch.relu(self.edges(columns[:, None])).sum(2)
        return self.count(found)


class CountLearner(Learner):
    def __init__(self, vocabulary, options) -> None:
        self.network = Edges()
        self.vocabulary = dict(vocabulary)
        self.options = dict(options)

    @property
    def preparer(self):
        return prepare

    def preparation(self):
        return {"columns": 32}

    def outputs(self):
        return {"most": self.vocabulary["most"]}

    def check(self, label, *, width):
        return []

    def batch(self, pictures, labels, *, training):
        columns = torch.from_numpy(np.concatenate([to_input(picture) for picture in pictures]))
        truths = torch.tensor([[float(label)] for label in labels])
        return Batch((columns,), (truths,), list(labels))

    def loss(self, batch):
        return nn.functional.mse_loss(self.network(*batch.inputs), batch.targets[0])

    @torch.inference_mode()
    def answers(self, batch):
        return [answer for answer, _ in self.read([self.network(*batch.inputs).numpy()])]

    def exportable(self):
        return Exportable(
            self.network.eval(),
            ("columns",),
            ("count",),
            {"columns": {0: "batch"}, "count": {0: "batch"}},
        )

    def feed(self, batch):
        return {"columns": batch.inputs[0].numpy()}

    def read(self, outputs):
        return [(str(max(0, round(float(row[0])))), row) for row in outputs[0]]

    def adopt(self, weights, vocabulary):
        self.network.load_state_dict(weights)
        return Adopted((), (), ())

    def widened(self, vocabulary):
        return {"most": max(self.vocabulary["most"], vocabulary["most"])}
