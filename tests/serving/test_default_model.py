"""A server whose default model does not answer says so: at the start, in readiness, in the log."""

from __future__ import annotations

import asyncio
import logging

import pytest

from nhan.models.package import publish
from nhan.models.registry import Promotion, Registry


@pytest.fixture
def registry(workspace, toy_files, toy_spec):
    """`toy` answers; `later` has a version that nobody promoted."""
    for name in ("toy", "later"):
        publish(workspace.store, name, toy_files, toy_spec(), run=name)
    made = Registry(workspace.store)
    promote(made, "toy")
    return made


def promote(registry, name):
    registry.record(name, Promotion(action="forced", version=1), expected=0)


@pytest.fixture
def started(serving, registry, toy_picture):
    """What a server whose default model has that name says, and then, after `later` is promoted."""

    def start(default, *, package=None, registry=registry):
        async def look(running):
            client = running.client
            paths = [
                "/readyz",
                "/ping",
                "/v2/health/ready",
                "/v1/models/toy",
                "/v2/models/toy/ready",
            ]
            answers = {path: await client.get(path) for path in paths}
            answers["/predict"] = await running.ask(toy_picture("đ"))
            answers["?model=toy"] = await running.ask(toy_picture("đ"), model="toy")
            return answers

        async def scenario():
            async with serving(package=package, registry=registry) as running:
                running.context.service.roster.default_model = default
                following = asyncio.create_task(running.context.live.run())
                async with asyncio.timeout(60):
                    await running.context.live.first_look.wait()
                    before = await look(running)
                    if registry is not None:
                        promote(registry, "later")
                        while len(running.context.service.roster.champions) < 2:
                            await asyncio.sleep(0.01)
                    after = await look(running)
                following.cancel()
                return before, after

        return asyncio.run(scenario())

    return start


@pytest.fixture
def logged(caplog):
    def read():
        return [one.getMessage() for one in caplog.records if "serve.model" in one.getMessage()]

    caplog.set_level(logging.INFO, logger="nhan.serving.live")
    return read


def test_a_name_that_no_model_has_is_told_once(started, logged, error_of):
    before, after = started("nope")
    (told,) = logged()
    for word in ("'nope'", "serve.model", "later, toy", "--model"):
        assert word in told
    for answers in (before, after):
        assert {p: a.status_code for p, a in answers.items()} == {
            "/readyz": 503,
            "/ping": 503,
            "/v2/health/ready": 503,
            "/v1/models/toy": 200,
            "/v2/models/toy/ready": 200,
            "/predict": 404,
            "?model=toy": 200,
        }
    error = error_of(before["/readyz"])
    assert "'nope'" in error["message"]
    assert "serve.model" in error["message"]
    assert "toy" in error["hint"]
    assert int(before["/readyz"].headers["retry-after"]) >= 1


def test_a_model_that_is_promoted_later_makes_it_ready(started, logged, error_of):
    """Services are started before there is anything to promote."""
    before, after = started("later")
    assert error_of(before["/readyz"])["code"] == "not_ready"
    (told,) = logged()
    assert "nhan promote later@1" in told
    assert {answer.status_code for answer in after.values()} == {200}
    assert after["/predict"].headers["x-nhan-model"] == "later@1"


def test_without_a_workspace_only_the_bundled_reader_is_there(started, logged, toy_package):
    before, _ = started("nope", package=toy_package, registry=None)
    (told,) = logged()
    assert "toy" in told
    assert before["/readyz"].status_code == 503


@pytest.mark.parametrize("name", ["", "toy"])
def test_nothing_is_told_where_it_answers(started, logged, name):
    before, _ = started(name)
    assert logged() == []
    assert before["/readyz"].status_code == 200


def test_a_default_that_was_promoted_but_cannot_answer_is_told_with_the_reason(
    started, logged, registry, workspace, toy_files, toy_spec, error_of
):
    publish(
        workspace.store, "broken", {**toy_files, "model.onnx": b"none"}, toy_spec(), run="broken"
    )
    promote(registry, "broken")
    before, _ = started("broken")
    assert "broken@1 was promoted but cannot answer" in error_of(before["/readyz"])["message"]
    assert len(logged()) == 1
