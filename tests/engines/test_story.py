"""The whole story with real processes: what people correct is read right within minutes.

A fresh workspace answers with the bundled reader, which takes the n of an odd font for a u. 400
pictures come in over HTTP; 75 answers are corrected where they were given, 75 more in Label
Studio; one round later another version answers, live within seconds, and every answer can be
traced to the pictures and people that taught it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from labelling import LabelStudioServer, run_label_studio
from rapidfuzz.distance import Levenshtein
from servers import Server, serving_at

from odd_font import draw, make_odd_font, texts
from pace import Stopwatch

pytestmark = pytest.mark.engine

PICTURES, CORRECTED, REVIEWED = 400, 75, 75
LIVE_WITHIN_S = 5.0
TRAIN = ["length.samples=2500", "track=off"]


@dataclass
class Shop:
    """A workspace and the server that answers for it."""

    root: Path
    server: Server
    environment: dict[str, str]

    def nhan(self, *words: str) -> str:
        """Run a command as a user would; its output."""
        done = subprocess.run(
            [sys.executable, "-m", "nhan", *words],
            env=self.environment, capture_output=True, text=True, timeout=3600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"nhan {' '.join(words)}: {done.stdout} {done.stderr}"
        return done.stdout

    def post(self, path: str, data: bytes, user: str, kind: str) -> tuple[dict[str, Any], str]:
        headers = {"Content-Type": kind, "X-Nhan-User": user}
        request = urllib.request.Request(f"{self.server.main}{path}", data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=180) as reply:
            return json.load(reply), reply.headers.get("X-Nhan-Model", "")

    def ask(self, picture: bytes) -> dict[str, Any]:
        answer, model = self.post("/predict", picture, "an", "image/png")
        return {**answer, "by": model}

    def correct(self, prediction: str, label: str) -> None:
        document = json.dumps({"prediction": prediction, "label": label}).encode()
        self.post("/corrections", document, "binh", "application/json")

    def settle(self) -> None:
        """Wait until what was answered has reached the object store."""
        deadline = time.monotonic() + 600
        while self._waiting():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def _waiting(self) -> float:
        with urllib.request.urlopen(f"{self.server.admin}/metrics", timeout=60) as reply:
            lines = reply.read().decode().splitlines()
        names = ("nhan_uploads_queued ", "nhan_uploads_waiting ")
        return sum(float(line.split()[-1]) for line in lines if line.startswith(names))


@pytest.fixture(scope="module")
def label_studio() -> Iterator[LabelStudioServer]:
    with run_label_studio() as running:
        yield running


@pytest.fixture
def shop(tmp_path: Path, label_studio: LabelStudioServer) -> Iterator[Shop]:
    root = tmp_path / "shop"
    own = {
        "NHAN_WORKSPACE": str(root),
        "NHAN_UPLOADS__TRUST_CORRECTIONS": "true",
        "NHAN_LOOP__TRAIN": json.dumps(TRAIN),
        "NHAN_LOOP__BUDGET_SAMPLES": "400",
        "NHAN_LOOP__VERIFY_S": "300",
        "NHAN_LABELSTUDIO__URL": label_studio.address,
        "NHAN_LABELSTUDIO_TOKEN": label_studio.owner.token,
    }
    environment = {**os.environ, **own}
    subprocess.run(
        [sys.executable, "-m", "nhan", "init", str(root)],
        env={**os.environ}, check=True, capture_output=True,
    )  # fmt: skip
    with serving_at(tmp_path, workspace=root, environment=own, wait="/readyz") as server:
        environment["NHAN_LOOP__SERVER"] = server.main
        environment["NHAN_LABELSTUDIO__PICTURES_URL"] = server.main
        yield Shop(root, server, environment)


def cer(truths: list[str], answers: list[dict[str, Any]]) -> float:
    """Corpus CER: edit distances over reference lengths."""
    errors = sum(Levenshtein.distance(t, a["text"]) for t, a in zip(truths, answers, strict=True))
    return errors / sum(map(len, truths))


def test_corrections_become_a_better_reader(
    shop: Shop, label_studio: LabelStudioServer, tmp_path: Path
) -> None:
    font = make_odd_font(tmp_path / "odd.ttf")
    truths = texts(PICTURES, seed=1)
    pictures = [draw(font, text, seed) for seed, text in enumerate(truths)]
    answers = [shop.ask(picture) for picture in pictures]
    bundled = answers[0]["by"]
    assert bundled.startswith("vi-line@")
    assert cer(truths, answers) > 0.05, "the bundled reader is not confused by this font"

    for answer, truth in list(zip(answers, truths, strict=True))[:CORRECTED]:
        shop.correct(answer["id"], truth)
    shop.settle()
    shop.nhan("uploads", "intake")
    by_hash = {_sha(picture): text for picture, text in zip(pictures, truths, strict=True)}
    reviewed = _review(shop, label_studio, by_hash)

    watch = Stopwatch()
    done = json.loads(shop.nhan("loop", "run", "--because", "an odd font", "--json"))
    print(f"the round took {watch.seconds:.0f} s")
    steps = {one["step"]: one for one in done["steps"]}
    assert done["outcome"] == "promoted", json.dumps(done, ensure_ascii=False, indent=1)
    assert steps["pull"]["state"] == "ran"
    assert sum(steps["freeze"]["outputs"]["splits"].values()) == CORRECTED + REVIEWED
    assert "below the champion's" in steps["gate"]["because"]
    assert watch.allows(LIVE_WITHIN_S, steps["verify"]["outputs"]["live_after_s"])
    assert steps["verify"]["outputs"]["asked"]
    assert steps["budget"]["state"] == "ran"
    budget = json.loads((shop.root / "objects/watching/vi-line/budget.json").read_text())
    labels = [point["labels"] for point in budget["points"]]
    assert labels[0] == 0
    assert labels == sorted(labels)
    assert len(labels) == 4
    assert budget["points"][-1]["value"] < budget["points"][0]["value"]

    learned = set(reviewed) | {_sha(picture) for picture in pictures[:CORRECTED]}
    rest = [index for index, picture in enumerate(pictures) if _sha(picture) not in learned]
    again = [shop.ask(pictures[index]) for index in rest]
    assert {one["by"] for one in again} == {"vi-line@1"}
    unseen = [truths[index] for index in rest]
    before, after = cer(unseen, [answers[index] for index in rest]), cer(unseen, again)
    print(f"CER on {len(rest)} pictures nobody labelled: {before:.4f} to {after:.4f}")
    assert after <= before / 2

    shop.settle()
    told = shop.nhan("trace", again[0]["id"])
    print(told)
    for part in (
        "version    vi-line@1", "run        loop-", "dataset    vi-line@", "sample     ",
        "pixels     images/", "correction ", "by binh (correction)",
        f"by {label_studio.owner.email} (labelstudio)", "round 1: an odd font",
    ):  # fmt: skip
        assert part in told
    found = json.loads(shop.nhan("trace", again[0]["id"], "--json"))
    assert found["dataset"]["ref"] == steps["freeze"]["outputs"]["dataset"]
    labelled = found["dataset"]["labels"]
    assert labelled["correction by binh"] > 40
    assert labelled[f"labelstudio by {label_studio.owner.email}"] > 40


def _review(shop: Shop, label_studio: LabelStudioServer, truths: dict[str, str]) -> list[str]:
    """Push what waits and label so many tasks through Label Studio's API; their pictures."""
    shop.nhan("labelstudio", "setup", "--no-live", "--no-webhook")
    shop.nhan("labelstudio", "push", "--limit", str(REVIEWED))
    person = label_studio.owner
    (project,) = person.call("GET", "/api/projects/")["results"]
    done = []
    for task in person.tasks(project["id"]):
        (sha256,) = [sha for sha in truths if sha in json.dumps(task["data"])]
        assert task["predictions"][0]["model_version"].startswith("vi-line@")
        person.annotate(task["id"], truths[sha256])
        done.append(sha256)
    assert len(done) == REVIEWED
    return done


def _sha(picture: bytes) -> str:
    from nhan.images import content_hash

    return content_hash(picture)
