"""Which samples make up which batch: shuffled, bucketed by width, the same for the same seed.

All samples that a run will see form one endless row: shuffled epochs of the dataset, with made
samples mixed in at a fixed share. The row is cut into pools; each pool is sorted by width, cut
into batches of nearly equal width, and the batches are shuffled. Everything is a function of the
seed and of the position, so a run continues exactly where its checkpoint was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from nhan.tasks.learner import Batch, Learner
from nhan.training.group import Group
from nhan.training.stream import Maker, Sample

_ORDER, _CUT, _MIX = 1, 2, 3  # separate random streams of one seed


class Pictures(Protocol):
    """Prepared samples with random access; `nhan.training.prepared.Prepared` is one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


@dataclass(frozen=True)
class Position:
    """Where in the endless row a run stands.

    Attributes:
        pool: number of the pool.
        batch: batches of it that are done.
        made: made samples that earlier pools took.
        seen: samples trained on so far.
    """

    pool: int = 0
    batch: int = 0
    made: int = 0
    seen: int = 0


@dataclass(frozen=True)
class Portion:
    """One batch and where the run stands after it.

    Attributes:
        batch: this process's part of it.
        after: where the whole group stands.
        weight: what the part's mean loss counts for in the group's.
    """

    batch: Batch
    after: Position
    weight: float = 1.0


class Loader:
    """Batches of a run, from any position to its end.

    Args:
        learner: makes tensors and says which made samples fit.
        pictures: the dataset's prepared samples; None for made ones only.
        maker: made samples; None for none.
        made_share: their share of all samples, 0..1.
        seed: of order and mixing.
        total: samples in the run.
        pool: samples per pool.
        batch_size: samples per batch, at most.
        batch_pixels: padded pixels per batch, at most; 0 for no limit.
        start: where to begin.
        group: who shares the batches; every process gets its part of each.
    """

    def __init__(
        self,
        learner: Learner,
        pictures: Pictures | None,
        maker: Maker | None,
        *,
        made_share: float,
        seed: int,
        total: int,
        pool: int,
        batch_size: int,
        batch_pixels: int = 0,
        start: Position | None = None,
        group: Group | None = None,
    ) -> None:
        self._learner = learner
        self._pictures = pictures
        self._maker = maker
        self._share = made_share if maker is not None else 0.0
        if pictures is None or not len(pictures):
            self._share = 1.0
        self._seed = seed
        self._total = total
        own = len(pictures) if pictures is not None else 0
        # With a dataset alone, a pool larger than an epoch would show some samples twice before
        # others once.
        self._pool = pool if self._share else min(pool, own)
        self._batch_size = batch_size
        self._batch_pixels = batch_pixels
        self._start = start or Position()
        self._group = group or Group()
        self._orders: dict[int, np.ndarray] = {}
        self.unfit: dict[str, int] = {}

    def __iter__(self) -> Iterator[Portion]:
        here = self._start
        made = self._maker.samples(here.made) if self._share and self._maker else iter(())
        while here.seen < self._total:
            samples, taken = self._gather(here.pool, made)
            batches = self._cut(samples, here.pool)
            if here.batch >= len(batches):
                # Another release cut this pool into more batches; those it had were seen.
                here = replace(here, pool=here.pool + 1, batch=0, made=here.made + taken)
                continue
            for number in range(here.batch, len(batches)):
                chosen = [samples[index] for index in batches[number]]
                own, weight = self._group.own(chosen)
                pictures, labels = zip(*own, strict=True)
                batch = self._learner.batch(pictures, labels, training=True)
                last = number + 1 == len(batches)
                here = Position(
                    pool=here.pool + last,
                    batch=0 if last else number + 1,
                    made=here.made + (taken if last else 0),
                    seen=here.seen + len(chosen),
                )
                yield Portion(batch, here, weight)
                if here.seen >= self._total:
                    return

    def _gather(self, pool: int, made: Iterator[Sample]) -> tuple[list[Sample], int]:
        """A pool's samples, and how many made ones were taken for them."""
        samples: list[Sample] = []
        wanted = self._pool if self._share == 1.0 else round(self._pool * self._share)
        taken = 0
        while len(samples) < wanted:
            picture, label = next(made)
            taken += 1
            findings = self._learner.check(label, width=picture.shape[1])
            if findings:
                self.unfit[findings[0].code] = self.unfit.get(findings[0].code, 0) + 1
            else:
                samples.append((picture, label))
        own = self._pool - wanted
        samples.extend(self._own(pool * own + offset) for offset in range(own))
        return samples, taken

    def _own(self, number: int) -> Sample:
        assert self._pictures is not None
        epoch, offset = divmod(number, len(self._pictures))
        if epoch not in self._orders:
            shuffled = np.random.default_rng([self._seed, _ORDER, epoch])
            self._orders = {epoch: shuffled.permutation(len(self._pictures))}
        return self._pictures[int(self._orders[epoch][offset])]

    def _cut(self, samples: Sequence[Sample], pool: int) -> list[list[int]]:
        """Batches of nearly equal width, in random order, as indices into the pool."""
        rng = np.random.default_rng([self._seed, _CUT, pool])
        widths = np.array([picture.shape[1] for picture, _ in samples])
        # Shuffled before the stable sort: equal widths meet other neighbours each time.
        mixed = rng.permutation(len(samples))
        batches = cut(
            samples,
            mixed[np.argsort(widths[mixed], kind="stable")].tolist(),
            self._batch_size,
            self._batch_pixels,
        )
        return [batches[index] for index in rng.permutation(len(batches))]


def cut(
    samples: Sequence[Sample], order: Sequence[int], batch_size: int, batch_pixels: int
) -> list[list[int]]:
    """Cut a row of samples, narrow ones first, into batches within both limits."""
    batches: list[list[int]] = []
    current: list[int] = []
    for index in order:
        height, width, _ = samples[index][0].shape
        too_large = batch_pixels and (len(current) + 1) * height * width > batch_pixels
        if current and (len(current) == batch_size or too_large):
            batches.append(current)
            current = []
        current.append(index)
    if current:
        batches.append(current)
    return batches


def whole_batches(
    learner: Learner, pictures: Pictures, *, batch_size: int, batch_pixels: int = 0
) -> Iterator[tuple[list[int], Batch]]:
    """Every sample once, narrow ones first, for validation: indices and the batch of them."""
    samples = [pictures[index] for index in range(len(pictures))]
    order = sorted(range(len(samples)), key=lambda index: samples[index][0].shape[1])
    for indices in cut(samples, order, batch_size, batch_pixels):
        chosen = [samples[index] for index in indices]
        images, labels = zip(*chosen, strict=True)
        yield indices, learner.batch(images, labels, training=False)
