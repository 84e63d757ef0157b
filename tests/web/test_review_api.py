"""The review page's API: exact shapes, errors, and who the reviewer is."""

from __future__ import annotations

import asyncio

import pytest

from nhan.catalog import State
from nhan.serving.app import create_app
from nhan.serving.keys import add_key, load_keyring
from nhan.settings import ServeSettings
from nhan.web.mount import furnish
from review.conftest import make_samples

API = "/review/api"
JSON = {"content-type": "application/json"}


@pytest.fixture
def call(serving, workspace):
    """Calls one after the other: `call(("GET", "next?…"), ("POST", "decide", {…}))`."""

    def run(*requests, headers=(), **parts):
        async def scenario():
            parts.setdefault("root", workspace.root)
            async with serving(
                factory=lambda context: create_app(context, furnish), **parts
            ) as running:
                answers = [
                    await running.client.request(
                        method,
                        f"{API}/{path}",
                        headers={**JSON, **dict(headers)},
                        json=body[0] if body else None,
                    )
                    for method, path, *body in requests
                ]
                await asyncio.to_thread(running.context.closing[-1])
                return answers

        return asyncio.run(scenario())

    return run


def decision(identity="d1", **changes):
    given = {"id": identity, "sample": 1, "reviewer": "an", "action": "accept", "value": "một"}
    return ("POST", "decide", {**given, **changes})


def test_a_round_of_review(workspace, call):
    make_samples(workspace, [0.9, 0.8, 0.7])
    given, draft, decided, undone, progress = call(
        ("GET", "next?task=text&reviewer=an&count=2"),
        ("POST", "draft", {"sample": 1, "reviewer": "an", "value": "mộ", "revision": 0}),
        decision(),
        decision("u1", action="undo", value=None),
        ("GET", "progress?task=text&reviewer=an"),
    )
    assert [item["sample"] for item in given.json()["items"]] == [1, 2]
    assert draft.json() == {"revision": 1}
    body = decided.json()
    assert (body["state"], body["label"], body["next"]["sample"]) == ("accepted", "một", 3)
    body = undone.json()
    assert (body["state"], body["label"], body["next"]["sample"]) == ("draft", None, 1)
    assert body["next"]["draft"]["value"] == "một"
    assert set(progress.json()) == {
        "task", "waiting", "done_today", "done_by_me", "per_hour", "skipped", "disagreements",
        "people",
    }  # fmt: skip
    assert progress.json()["waiting"] == 3


def test_the_end_of_the_queue_is_no_error(workspace, call):
    make_samples(workspace, [0.9])
    decided, given = call(decision(), ("GET", "next?reviewer=an"))
    assert decided.json()["next"] is None
    assert given.json() == {"reviewer": "an", "items": []}


def test_the_same_decision_twice_answers_the_same(workspace, call):
    make_samples(workspace, [0.9])
    first, second = call(decision(), decision())
    assert first.json() == second.json()


def test_an_older_draft_is_answered_with_both(workspace, call):
    make_samples(workspace, [0.9])
    draft = {"sample": 1, "reviewer": "an", "value": "mới", "revision": 0}
    _, older = call(("POST", "draft", draft), ("POST", "draft", {**draft, "value": "cũ"}))
    assert older.status_code == 409
    error = older.json()["error"]
    assert error["code"] == "conflict"
    assert error["details"] == {
        "yours": {"value": "cũ", "revision": 0},
        "newest": {"value": "mới", "revision": 1},
    }


def test_a_dispute_is_listed_and_settled(workspace, call):
    make_samples(workspace, [0.9], opinions=2)
    _, disputed, listed, settled, empty = call(
        decision(),
        decision("d2", reviewer="bình", value="hai"),
        ("GET", "disagreements?task=text"),
        ("POST", "adjudicate", {"id": "a1", "sample": 1, "reviewer": "chi", "value": "một"}),
        ("GET", "disagreements"),
    )
    assert disputed.json()["disputed"] is True
    (dispute,) = listed.json()["disagreements"]
    assert [one["value"] for one in dispute["opinions"]] == ["một", "hai"]
    (pair,) = listed.json()["agreement"]
    assert (pair["first"], pair["second"], pair["samples"]) == ("an", "bình", 1)
    assert settled.json()["label"] == "một"
    assert empty.json()["disagreements"] == []


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        (("GET", "next?task=text"), 400, "who reviews"),
        (("GET", "next?task=poems&reviewer=an"), 404, "poems"),
        (("GET", "next?reviewer=an&count=x"), 400, "count"),
        (("GET", "next?reviewer=an&count=0"), 400, "count 0"),
        (decision(sample=99), 404, "no sample 99"),
        (decision(sample=None), 400, "no sample"),
        (decision(action="skip"), 400, "no reason"),
        (decision(action="praise"), 400, "action"),
        (decision(value=" "), 400, "empty"),
        (decision(colour="red"), 400, "colour"),
        (decision("u1", action="undo"), 404, "no decision"),
        (("POST", "draft", {"sample": "x", "value": "a"}), 400, "sample"),
        (("POST", "draft", []), 400, "body"),
        (("POST", "draft", {"sample": 1, "reviewer": "an", "value": "a\0b"}), 400, "no text"),
        (("POST", "draft", {"sample": 2**70, "reviewer": "an", "value": "a"}), 400, "sample"),
        (decision(reviewer="a\0n"), 400, "no text"),
        (decision(action="skip", reason="\0"), 400, "no text"),
        (decision(sample=-1), 400, "sample"),
        (decision(identity="đ"), 400, "id of a decision"),
        (decision(identity="d" * 65), 400, "id of a decision"),
    ],
)
def test_what_is_wrong_is_said_in_the_one_shape(workspace, call, error_of, request_, status, words):
    make_samples(workspace, [0.9])
    (answer,) = call(request_)
    assert answer.status_code == status
    assert words in error_of(answer)["message"]


def test_a_server_without_a_workspace_says_so(call, error_of):
    (answer,) = call(("GET", "next?reviewer=an"), root=None)
    assert answer.status_code == 404
    assert "workspace" in error_of(answer)["message"]


def test_with_keys_the_reviewer_is_whose_key_it_is(workspace, call, tmp_path):
    make_samples(workspace, [0.9])
    file = tmp_path / "keys.json"
    keys = {scope: add_key(file, f"{scope}er", [scope])[1] for scope in ("predict", "review")}
    parts = {"keyring": load_keyring(file), "settings": ServeSettings(require_keys=True)}

    def bearing(key):
        return {"authorization": f"Bearer {key}"}

    (nobody,) = call(decision(), **parts)
    (forbidden,) = call(decision(), headers=bearing(keys["predict"]), **parts)
    assert (nobody.status_code, forbidden.status_code) == (401, 403)
    _, progress = call(
        decision(), ("GET", "progress?reviewer=an"), headers=bearing(keys["review"]), **parts
    )
    assert [one["reviewer"] for one in progress.json()["people"]] == ["reviewer"]
    assert progress.json()["done_by_me"] == 1


def test_classes_come_with_what_to_choose_from(workspace, call):
    make_samples(workspace, [0.0], task="classes", state=State.LABELLED, label="hoa")
    make_samples(workspace, [0.9], task="classes")
    (given,) = call(("GET", "next?reviewer=an"))
    (item,) = given.json()["items"]
    assert (item["task"], item["classes"]) == ("classes", ["hoa"])
