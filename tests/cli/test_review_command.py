"""`nhan review`: at a terminal and for scripts."""

from __future__ import annotations

import io
import json
import sys
import types

import numpy as np
import pytest

from nhan.catalog import State
from nhan.cli.main import run
from nhan.cli.review_session import Session, blocks, strips
from nhan.review.progress import progress
from nhan.review.queue import peek
from review.conftest import make_samples


@pytest.fixture
def nhan(workspace, monkeypatch, capsys):
    """Runs a command; its exit code, standard output and errors."""
    monkeypatch.setenv("NHAN_WORKSPACE", str(workspace.root))

    def call(*words: str, typed: str = ""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        with pytest.raises(SystemExit) as left:
            run(["review", *words])
        out = capsys.readouterr()
        return types.SimpleNamespace(code=left.value.code, out=out.out, err=out.err)

    return call


def test_the_head_of_the_queue_is_listed_and_not_handed_out(workspace, nhan):
    make_samples(workspace, [0.2, 0.9])
    listed = nhan("list", "--json")
    assert [item["sample"] for item in json.loads(listed.out)] == [2, 1]
    assert json.loads(nhan("next", "--reviewer", "an", "--count", "1", "--json").out)[0][
        "sample"
    ] == 2  # fmt: skip
    assert [item["sample"] for item in json.loads(nhan("list", "--json").out)] == [1]
    assert "nothing waits" in nhan("next", "--task", "classes").err


def test_decisions_by_command(workspace, nhan):
    make_samples(workspace, [0.9] * 4)
    said = nhan("decide", "1", "--label", "[một]", "--reviewer", "an")
    assert said.out.strip() == "1 accepted: [một]"
    assert "skipped" in nhan("decide", "2", "--skip", "cut off", "--reviewer", "an").out
    assert "rejected" in nhan("decide", "3", "--reject", "no text", "--reviewer", "an").out
    undone = nhan("decide", "3", "--undo", "--reviewer", "an", "--json")
    assert json.loads(undone.out) == {
        "sample": 3, "state": "queued", "label": None, "disputed": False,
    }  # fmt: skip
    found = json.loads(nhan("progress", "--reviewer", "an", "--json").out)
    assert (found["waiting"], found["done_by_me"], found["skipped"]) == (2, 2, 1)
    assert "an" in nhan("progress").out


@pytest.mark.parametrize(
    "words",
    [
        ("decide", "1"),
        ("decide", "1", "--label", "a", "--skip", "b"),
        ("decide", "1", "--undo", "--settle"),
        ("decide", "9", "--label", "a"),
        ("decide", "1", "--label", " "),
        ("double", "--share", "2"),
        ("double", "--opinions", "1"),
        ("list", "--task", "poems"),
    ],
)
def test_a_mistake_is_said_and_ends_with_2(workspace, nhan, words):
    make_samples(workspace, [0.9])
    answer = nhan(*words)
    assert answer.code == 2
    assert answer.err.startswith("error: ")
    assert answer.out == ""


def test_a_dispute_is_listed_and_settled(workspace, nhan):
    make_samples(workspace, [0.9, 0.9])
    assert json.loads(nhan("double", "--share", "1", "--json").out)["samples"] == 2
    assert "labelled the same" in nhan("disagreements").err
    nhan("decide", "1", "--label", "một", "--reviewer", "an")
    answer = nhan("decide", "1", "--label", "mốt", "--reviewer", "bình")
    assert "opinions differ" in answer.err
    listed = nhan("disagreements").out
    assert "an: một" in listed
    assert "an and bình: 1 samples, same 0.0000, cer 0.3333" in listed
    assert nhan("decide", "1", "--settle", "--label", "một", "--reviewer", "chi").code == 0
    assert json.loads(nhan("disagreements", "--json").out)["disagreements"] == []


def test_labelling_from_the_keyboard(workspace, nhan):
    make_samples(workspace, [0.9, 0.8, 0.7, 0.6])
    typed = ["một", ":s cut off", "hai", ":u", "ba", "::colon", ":q"]
    answer = nhan("label", "--reviewer", "an", typed="\n".join(typed) + "\n")
    assert answer.code == 0
    assert "4 done" in answer.err
    states = {person.reviewer: person for person in progress(workspace, "text", "an").people}
    assert (states["an"].done, states["an"].skipped) == (3, 1)
    assert peek(workspace, "text", 5) == []


def test_enter_accepts_what_is_suggested_and_a_bad_label_is_asked_again(workspace):
    make_samples(workspace, [0.9, 0.8])
    begun: list[str] = []
    answers = iter(["m\x07t", "", ":x", ":s", ":q"])

    def ask(prompt: str, begin: str) -> str:
        begun.append(begin)
        return next(answers)

    assert Session(workspace, "text", "an", ask=ask).run() == 0
    assert begun[:2] == ["", "m\x07t"]  # what was typed is there to be mended


def test_a_class_is_chosen_by_number_and_a_new_one_is_asked_about(workspace):
    make_samples(workspace, [0.0], task="classes", state=State.LABELLED, label="hoa")
    make_samples(workspace, [0.9, 0.8], task="classes")
    answers = iter(["1", "lá", "n", "lá", "y"])
    session = Session(workspace, "classes", "an", ask=lambda *_: next(answers))
    assert session.run() == 2
    with workspace.catalog.read() as connection:
        from nhan.catalog.reviews import known_values

        assert known_values(connection, "classes") == ["hoa", "lá"]


def test_a_picture_is_drawn_in_strips_that_fit():
    rgb = np.zeros((40, 800, 3), np.uint8)
    rgb[:, 400:] = 255
    drawn = strips(rgb, 100)
    assert sum(strip.shape[1] for strip in drawn) == 560
    assert all(strip.shape[1] <= 100 and strip.shape[0] % 2 == 0 for strip in drawn)
    lines = blocks(drawn[0]).plain.splitlines()
    assert len(lines) == drawn[0].shape[0] // 2
    assert set("".join(lines)) == {"▀"}
    assert len(strips(np.zeros((10, 9000, 3), np.uint8), 80)) <= 6
