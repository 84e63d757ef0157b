"""Live quality, drift and fresh labels of answers that were taken in."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from blocks import picture

from nhan.catalog.schema import corrections, predictions
from nhan.datasets.freeze import freeze
from nhan.models.bundled import bundled_package
from nhan.models.package import publish
from nhan.watching.drift import drifted_features, measure_drift
from nhan.watching.fresh import FreshLabels
from nhan.watching.place import version_at
from nhan.watching.quality import estimate_quality, of_version, wilson
from nhan.workspace import Workspace

MODEL = "vi-line"
Answered = Callable[..., list[int]]


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    # Wilson's interval at z = 1.959964, computed by hand.
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (90, 100, 0.8256, 0.9448), (0, 0, 0.0, 1.0)],
)
def test_wilson(right: int, count: int, low: float, high: float) -> None:
    assert wilson(right, count) == pytest.approx((low, high), abs=1e-4)


def test_quality_rests_on_random_uploads_alone(workspace: Workspace, answered: Answered) -> None:
    answered([picture(n) for n in range(4)], ["abcd"] * 4, truths=["abcd", "abcd", "abcx", None],
             sampled="random")  # fmt: skip
    # What people correct, and what a policy doubted, would make the model look far worse.
    answered([picture(n) for n in range(10, 30)], ["abcd"] * 20, truths=["wxyz"] * 20,
             sampled="low_confidence")  # fmt: skip
    found = estimate_quality(workspace, MODEL)
    assert found["metric"] == "cer"
    (version,) = found["versions"]
    assert (version["chosen"], version["samples"]) == (4, 3)
    assert version["value"] == pytest.approx(1 / 12)
    assert version["low"] <= version["value"] <= version["high"]
    assert version["right"]["value"] == pytest.approx(2 / 3)
    assert json.loads(workspace.store.read(f"watching/{MODEL}/quality.json")) == found
    assert of_version(found, found["version"]) == version
    assert of_version(found, "77") is None


def test_what_users_corrected_stands_for_what_users_corrected_only(
    workspace: Workspace, answered: Answered
) -> None:
    """Of 100 chosen by chance 10 were corrected, and got their label first."""
    wrong = answered([picture(n) for n in range(10)], ["abcd"] * 10, truths=["wxyz"] * 10,
                     sampled="random")  # fmt: skip
    with workspace.catalog.write() as connection:
        for number in wrong:
            (prediction,) = connection.scalars(
                sa.select(predictions.c.id).where(predictions.c.sample_id == number)
            )
            connection.execute(
                corrections.insert().values(
                    id=f"c{number}", prediction_id=prediction, value="wxyz", given_by="lan",
                    at=datetime.now(UTC),
                )
            )  # fmt: skip
    answered([picture(n) for n in range(10, 80)], ["abcd"] * 70, sampled="random")
    (version,) = estimate_quality(workspace, MODEL)["versions"]
    assert (version["chosen"], version["samples"], version["value"]) == (80, 0, None)
    # Twenty of the other ninety are looked at: 19 right, one with one letter of four wrong.
    answered([picture(n) for n in range(80, 100)], ["abcd"] * 20, truths=["abcd"] * 19 + ["abcx"],
             sampled="random")  # fmt: skip
    (version,) = estimate_quality(workspace, MODEL)["versions"]
    assert (version["chosen"], version["samples"]) == (100, 30)
    assert version["value"] == pytest.approx(0.1 * 1 + 0.9 * (1 / 80))
    assert version["low"] < version["value"] < version["high"]
    assert version["right"]["value"] == pytest.approx(0.9 * 19 / 20)
    # Ten answers of weight 1 and twenty of 4.5 tell as much as 100² / 415 equal ones.
    effective = 100**2 / 415
    assert version["right"]["low"] == pytest.approx(wilson(0.855 * effective, effective)[0])


def test_a_model_that_nobody_reviewed_has_no_estimate(
    workspace: Workspace, answered: Answered
) -> None:
    answered([picture(1)], ["abcd"], sampled="random")
    (version,) = estimate_quality(workspace, MODEL)["versions"]
    assert (version["samples"], version["value"]) == (0, None)
    assert estimate_quality(workspace, "nobody") is None


def test_few_uploads_tell_no_drift(workspace: Workspace, answered: Answered) -> None:
    answered([picture(n) for n in range(10)], ["abcd"] * 10)
    assert measure_drift(workspace, MODEL) is None
    assert drifted_features(workspace, MODEL) == []


def test_drift_names_what_changed_and_shows_it(workspace: Workspace, answered: Answered) -> None:
    light = [picture(n) for n in range(400)]
    answered(light, [f"so {n * 37 % 100}" for n in range(400)])
    steady = measure_drift(workspace, MODEL)
    assert steady["drifted"] == []
    assert steady["reference"]["of"].startswith("first uploads of vi-line@")
    dark = [picture(n, light=60, blur=2.0) for n in range(400, 600)]
    answered(dark, [f"☑ so {n * 37 % 100}" for n in range(200)], confidence=0.4)
    found = measure_drift(workspace, MODEL)
    assert set(found["drifted"]) == {"brightness", "sharpness", "confidence", "mix", "length"}
    brightness = found["features"]["brightness"]
    assert brightness["psi"] > 1 > brightness["luck"]
    shown = [workspace.store.read(f"images/{sha[:2]}/{sha}.png") for sha in brightness["examples"]]
    assert shown
    assert set(shown) <= set(dark)
    assert "brightness" in drifted_features(workspace, MODEL)


def test_uploads_are_never_their_own_reference(workspace: Workspace, answered: Answered) -> None:
    """The bundled reader has no training split here: its first uploads stand for one."""
    light, dark = picture, lambda number: picture(number, light=60)
    answered([light(n) for n in range(40)], [f"so {n * 37 % 100}" for n in range(40)])
    assert measure_drift(workspace, MODEL) is None, "40 uploads were compared with themselves"
    answered([dark(n) for n in range(40, 80)], [f"so {n * 37 % 100}" for n in range(40)])
    found = measure_drift(workspace, MODEL)
    assert (found["reference"]["count"], found["recent"]) == (40, 40)
    assert "brightness" in found["drifted"]


def test_fresh_labels_are_those_that_no_version_holds(
    workspace: Workspace, answered: Answered
) -> None:
    fresh = FreshLabels("lines", "text")
    assert fresh.count(workspace) == 0
    answered([picture(n) for n in range(6)], ["a"] * 6, truths=[f"so {n}" for n in range(6)])
    assert fresh.count(workspace) == 6
    freeze(workspace, "lines")
    assert fresh.count(workspace) == 0
    answered([picture(9)], ["a"], truths=["so 9"])
    answered([picture(10)], ["a"])  # nobody has labelled it
    assert fresh.count(workspace) == 1
    with workspace.catalog.write() as connection:
        connection.exec_driver_sql("UPDATE samples SET may_train = 0 WHERE id = 7")
        connection.exec_driver_sql(
            "INSERT INTO events (at, kind, given_by, data) VALUES ('2026-01-01', 'x', '', '{}')"
        )
    assert fresh.count(workspace) == 0


def test_a_number_that_the_bundled_reader_had_first_means_both(
    workspace: Workspace, answered: Answered
) -> None:
    answered([picture(1)], ["abcd"], truths=["abxx"], sampled="random")
    number = bundled_package().spec.version
    time.sleep(1.1)  # a package's time is told in seconds
    for run in range(number):  # versions up to the bundled reader's own number
        spec = {"task": "text", "serve": "model.onnx"}
        publish(workspace.store, MODEL, {"model.onnx": b"not asked"}, spec, run=f"run-{run}")
    time.sleep(1.1)
    answered([picture(2)], ["abcd"], truths=["abcd"], sampled="random")
    rates = {one["version"]: one["value"] for one in estimate_quality(workspace, MODEL)["versions"]}
    assert rates == {f"{number} (bundled)": 0.5, str(number): 0.0}
    now = datetime.now(UTC)
    assert version_at(workspace, MODEL, str(number), now).spec.run == f"run-{number - 1}"
    assert version_at(workspace, MODEL, str(number), now - timedelta(days=1)).spec.run != "run-2"
    assert version_at(workspace, MODEL, "77", now) is None
