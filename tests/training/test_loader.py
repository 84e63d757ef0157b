from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import toy_run

from nhan.tasks import get_task
from nhan.tasks.base import RGB
from nhan.tasks.learner import Learner
from nhan.training.loader import Loader, Portion, Position, whole_batches
from nhan.training.stream import Maker
from nhan.training.streamed import InMemory


@pytest.fixture(scope="module")
def learner() -> Learner:
    return get_task("text").learner({"charset": toy_run.LETTERS}, toy_run.MODEL)


@pytest.fixture(scope="module")
def pictures() -> InMemory:
    """50 pictures of widths 20..218, each with its own label."""
    letters = "abcdehk123"
    labels = [letters[i // 10] + letters[i % 10] for i in range(50)]
    return InMemory([(np.full((16, 20 + 4 * i, 3), i, np.uint8), labels[i]) for i in range(50)])


class Made:
    def sample(self, index: int) -> tuple[RGB, str]:
        # Every third label does not fit its picture.
        return np.zeros((16, 24, 3), np.uint8), "kk" * (9 if index % 3 == 0 else 1)


def loader(learner: Learner, pictures: InMemory | None, **options: object) -> Loader:
    chosen = {"made_share": 0.0, "seed": 1, "total": 100, "pool": 40, "batch_size": 8}
    maker = None
    if options.pop("made", False):
        maker = Maker(Made(), learner.preparer, workers=0, ahead=0)
    return Loader(learner, pictures, maker, **{**chosen, **options})  # type: ignore[arg-type]


def labels(portions: list[Portion]) -> list[list[str]]:
    return [portion.batch.labels for portion in portions]


def test_every_epoch_shows_every_sample_once(learner: Learner, pictures: InMemory) -> None:
    portions = list(loader(learner, pictures, pool=25, total=100))
    seen = [label for batch in labels(portions) for label in batch]
    everything = Counter(pictures[index][1] for index in range(50))
    assert Counter(seen[:50]) == Counter(seen[50:100]) == everything
    assert seen[:50] != seen[50:100], "each epoch has its own order"
    assert portions[-1].after.seen == 100


def test_a_pool_larger_than_the_set_is_one_epoch(learner: Learner, pictures: InMemory) -> None:
    seen = [x for batch in labels(list(loader(learner, pictures, pool=4096))) for x in batch]
    assert len(set(seen[:50])) == 50


def test_batches_hold_nearly_equal_widths(learner: Learner, pictures: InMemory) -> None:
    portions = list(loader(learner, pictures, pool=50, total=50))
    spans = [np.ptp(portion.batch.inputs[1].numpy()) for portion in portions]
    assert max(spans) <= 4 * 8, "eight neighbours of the sorted row"
    order = [int(portion.batch.inputs[1].max()) for portion in portions]
    assert order != sorted(order), "yet the batches come in random order"


def test_both_limits_of_a_batch_hold(learner: Learner, pictures: InMemory) -> None:
    limit = 16 * 400
    for portion in loader(learner, pictures, batch_pixels=limit):
        images = portion.batch.inputs[0]
        assert len(portion.batch) <= 8
        assert len(portion.batch) == 1 or images.shape[0] * 16 * (images.shape[3] - 7) <= limit


@pytest.mark.parametrize("made", [False, True])
def test_any_position_continues_the_same_row(
    learner: Learner, pictures: InMemory, made: bool
) -> None:
    options = {"made": made, "made_share": 0.4 if made else 0.0, "total": 150}
    whole = list(loader(learner, pictures, **options))
    for done in range(0, len(whole), 3):
        start = whole[done - 1].after if done else Position()
        rest = list(loader(learner, pictures, start=start, **options))
        assert labels(rest) == labels(whole[done:])
        assert [portion.after for portion in rest] == [portion.after for portion in whole[done:]]


def test_a_position_behind_a_pools_last_batch_goes_on_with_the_next_pool(
    learner: Learner, pictures: InMemory
) -> None:
    """A run that is resumed by another release may find its pools cut otherwise."""
    beyond = Position(pool=0, batch=99, seen=40)
    next_pool = Position(pool=1, batch=0, seen=40)
    found = [list(loader(learner, pictures, start=start)) for start in (beyond, next_pool)]
    assert labels(found[0]) == labels(found[1])
    assert found[0][-1].after.seen >= 100


def test_another_seed_gives_another_order(learner: Learner, pictures: InMemory) -> None:
    one, other = (list(loader(learner, pictures, seed=seed)) for seed in (1, 2))
    assert labels(one) != labels(other)


def test_made_samples_come_at_their_share_and_unfit_ones_are_counted(
    learner: Learner, pictures: InMemory
) -> None:
    mixed = loader(learner, pictures, made=True, made_share=0.25, total=400)
    seen = Counter(label for batch in labels(list(mixed)) for label in batch)
    assert seen["kkkk"[:2]] == 100
    assert mixed.unfit["too_long"] >= 40


def test_without_a_dataset_everything_is_made(learner: Learner) -> None:
    seen = [x for batch in labels(list(loader(learner, None, made=True, total=80))) for x in batch]
    assert set(seen) == {"kk"}
    assert len(seen) == 80


def test_validation_sees_every_sample_once(learner: Learner, pictures: InMemory) -> None:
    indices = [i for part, _ in whole_batches(learner, pictures, batch_size=8) for i in part]
    assert sorted(indices) == list(range(50))
