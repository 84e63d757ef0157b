from __future__ import annotations

import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import toy_stream

from nhan.errors import SettingsError
from nhan.tasks.text.prepare import Preparation
from nhan.training.lines import MadeLines
from nhan.training.stream import Maker, judging_options, open_stream, rehearsal_options

PREPARE = Preparation(height=16).prepare

ORPHANS = """
import sys, time
sys.path.insert(0, sys.argv[1])
import toy_stream
from nhan.tasks.text.prepare import Preparation
from nhan.training.stream import Maker
if __name__ == "__main__":
    prepare = Preparation(height=16).prepare
    maker = Maker(toy_stream.ToyStream(1), prepare, workers=1, ahead=16)
    next(maker.samples(0))
    print(*[p.pid for p in maker._executor._processes.values()], flush=True)
    time.sleep(60)
"""


def test_workers_give_the_same_samples_in_the_same_order() -> None:
    here = Maker(toy_stream.ToyStream(1), PREPARE, workers=0, ahead=0)
    there = Maker(toy_stream.ToyStream(1), PREPARE, workers=2, ahead=64)
    try:
        pairs = zip(islice(here.samples(5), 40), islice(there.samples(5), 40), strict=True)
        for (ours, our_label), (theirs, their_label) in pairs:
            assert our_label == their_label
            assert np.array_equal(ours, theirs)
    finally:
        there.close()


def test_workers_leave_when_their_trainer_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "orphans.py"
    script.write_text(ORPHANS)
    trainer = subprocess.Popen(
        [sys.executable, script, Path(__file__).parent], stdout=subprocess.PIPE, text=True
    )
    assert trainer.stdout is not None
    workers = [int(pid) for pid in trainer.stdout.readline().split()]
    assert workers
    trainer.send_signal(signal.SIGKILL)
    trainer.wait()
    trainer.stdout.close()
    deadline = time.monotonic() + 120
    while any(_lives(pid) for pid in workers):
        assert time.monotonic() < deadline, "a worker outlived its trainer"
        time.sleep(0.1)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z" and Path(f"/proc/{pid}").exists()


def test_an_unknown_source_or_option_is_refused() -> None:
    with pytest.raises(SettingsError, match="words") as refused:
        open_stream("words", 1, {})
    assert "lines" in refused.value.hint
    with pytest.raises(SettingsError, match="colour"):
        open_stream("toy", 1, {"colour": "red"})
    with pytest.raises(SettingsError):
        open_stream("lines", 1, {"dificulty": 1})


def test_made_lines_get_harder() -> None:
    stream = MadeLines(1, easy=0.1, easy_until=400)
    difficulties = [recipe.difficulty for recipe in stream._recipes]
    assert difficulties == sorted(difficulties)
    assert difficulties[0] == pytest.approx(0.1)
    picture, label = stream.sample(0)
    again, label_again = MadeLines(1, easy=0.1, easy_until=400).sample(0)
    assert np.array_equal(picture, again)
    assert label == label_again


def test_lines_that_judge_are_as_hard_as_the_last_that_are_learned() -> None:
    options = {"easy": 0.1, "easy_until": 400, "tight": 0.3}
    judge = open_stream("lines", 1, judging_options("lines", options))
    picture, label = judge.sample(0)
    plain, text = MadeLines(1, tight=0.3).sample(0)
    assert label == text
    assert np.array_equal(picture, plain)


def test_practising_needs_nothing_of_the_machine_that_trained() -> None:
    trained = {"recipe": "recipes/mine.toml", "fonts": "/there", "easy": 0.1, "tight": 0.3}
    assert rehearsal_options("lines", trained) == {"tight": 0.3}
    assert rehearsal_options("lines", {"recipe": "photo"}) == {"recipe": "photo"}
    assert rehearsal_options("toy", {"offset": 5}) == {"offset": 5}
