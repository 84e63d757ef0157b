"""Both ways with a real Label Studio server: its API, its webhooks, its calls to our models."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from labelling import LabelStudioServer, Person, run_label_studio, written
from PIL import Image
from servers import Server, serving_at

from nhan.catalog import State
from nhan.catalog.labelstudio import NOTE
from nhan.catalog.samples import Sample, read_rows, write_samples
from nhan.catalog.schema import events, labels, labelstudio_tasks, predictions, samples
from nhan.errors import NotFound, Unauthorized, UpstreamFailed
from nhan.images import content_hash
from nhan.models.bundled import bundled_package
from nhan.models.package import Package, publish
from nhan.models.registry import Promotion, Registry
from nhan.review.decide import Decision, decide
from nhan.review.disputes import list_disputes
from nhan.review.labelstudio import push as push_module
from nhan.review.labelstudio.client import LabelStudio
from nhan.review.labelstudio.connection import Connection
from nhan.review.labelstudio.links import Links, load_signer
from nhan.review.labelstudio.pull import pull
from nhan.review.labelstudio.push import push
from nhan.review.labelstudio.report import PullReport, PushReport
from nhan.review.labelstudio.setup import SetupReport, set_up
from nhan.review.labelstudio.suggest import Suggester, find_package, open_suggester
from nhan.samples.pictures import examine, keep
from nhan.serving.service import new_id
from nhan.uploads.erase import erase
from nhan.workspace import Workspace

pytestmark = pytest.mark.engine

_NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def server() -> Iterator[LabelStudioServer]:
    with run_label_studio() as running:
        yield running


@pytest.fixture(scope="module")
def an(server: LabelStudioServer) -> Person:
    return server.owner


@pytest.fixture(scope="module")
def binh(server: LabelStudioServer) -> Person:
    """Somebody else, in another browser."""
    return server.invite("binh@nhan.test")


@pytest.fixture
def add(workspace: Workspace, draw_line: Callable[..., bytes]) -> Callable[..., list[int]]:
    """Takes pictures in, waiting to be labelled; their sample numbers."""

    def make(*texts: str, **facts: Any) -> list[int]:
        return take_pictures(workspace, draw_line, *texts, **facts)

    return make


def take_pictures(
    workspace: Workspace,
    draw_line: Callable[..., bytes],
    *texts: str,
    task: str = "text",
    source: str = "test",
    **facts: Any,
) -> list[int]:
    new = []
    for text in texts:
        data = draw_line(text)
        sha256 = content_hash(data)
        picture = examine(data, sha256, workspace.picture_limits)
        keep(workspace.store, picture.path, data)
        new.append(
            Sample(sha256, f"{text}.png", source, "", "", State.NEW, picture=picture, **facts)
        )
    with workspace.catalog.write() as connection:
        write_samples(connection, task, new)
    return [int(one.id) for one in new]


class Bench:
    """A workspace with a project of its own."""

    def __init__(self, workspace: Workspace, server: LabelStudioServer, pictures: str = _NOWHERE):
        self.workspace = workspace
        self.server = server
        self.client = LabelStudio(server.address, server.owner.token)
        self.links = Links(load_signer(workspace.root), pictures, 365)
        self.connection: Connection = None  # type: ignore[assignment]
        self.suggester: Suggester | None = None

    def set_up(self, task: str = "text", **options: Any) -> SetupReport:
        options = {"live": False, "webhook": False, **options}
        address = options.pop("server", self.links.base)
        signer = load_signer(self.workspace.root)
        report = set_up(self.workspace, self.client, signer, address, task=task, **options)
        self.connection = report.connection
        return report

    def suggest(self, model: str = "") -> str:
        package = find_package(self.workspace, self.connection.task, model)
        assert package is not None
        self.suggester = open_suggester(self.workspace, package)
        return package.ref

    def push(self, **options: Any) -> PushReport:
        return push(
            self.workspace,
            self.client,
            self.connection,
            self.links,
            **{"suggester": self.suggester, **options},
        )

    def pull(self, **options: Any) -> PullReport:
        return pull(self.workspace, self.client, self.connection, **options)

    def variables(self) -> dict[str, str]:
        """The environment of a command in this workspace."""
        outside = {key: value for key, value in os.environ.items() if not key.startswith("NHAN_")}
        return {
            **outside,
            "NHAN_LABELSTUDIO_TOKEN": self.server.owner.token,
            "NHAN_WORKSPACE": str(self.workspace.root),
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def tasks(self) -> list[dict[str, Any]]:
        return self.server.owner.tasks(self.connection.project)

    def states(self) -> dict[str, tuple[str, str | None]]:
        rows = read_rows(self.workspace.catalog, self.connection.task)
        return {row.name.removesuffix(".png"): (row.state.value, row.label) for row in rows}

    def reason(self, name: str) -> str:
        rows = read_rows(self.workspace.catalog, self.connection.task)
        return next(row.reason for row in rows if row.name == f"{name}.png")

    def votes(self, name: str) -> list[tuple[str, str]]:
        query = (
            sa.select(labels.c.value, labels.c.given_by)
            .join(samples, samples.c.id == labels.c.sample_id)
            .where(samples.c.name == f"{name}.png")
            .order_by(labels.c.id)
        )
        with self.workspace.catalog.read() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def kinds(self) -> Counter[str]:
        with self.workspace.catalog.read() as connection:
            found = connection.scalars(sa.select(events.c.kind))
            return Counter(kind.removeprefix("labelstudio.") for kind in found)


@pytest.fixture
def bench(workspace: Workspace, server: LabelStudioServer) -> Iterator[Bench]:
    made = Bench(workspace, server)
    with made.client:
        yield made


def push_and_die(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push that ends when its tasks are made, before it writes that down."""

    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(push_module, "record_tasks", die)
        with pytest.raises(KeyboardInterrupt):
            bench.push()


def promote(workspace: Workspace, name: str) -> Package:
    """A version of a model that reads as the bundled reader does, made the champion."""
    bundled = bundled_package()
    assert bundled is not None
    files = {file: bundled.read(file) for file in bundled.spec.files}
    registry = Registry(workspace.store)
    count = len(registry.versions(name))
    spec = {
        key: value
        for key, value in bundled.spec.to_dict().items()
        if key not in ("name", "version", "files", "format", "published_at")
    }
    package = publish(workspace.store, name, files, spec, run=f"run-{count}")
    state = registry.log(name)
    entry = Promotion(action="promote", version=package.spec.version, previous=state.champion)
    registry.record(name, entry, expected=state.number)
    return package


# Setting up


def test_setup_makes_a_project_once(bench: Bench, an: Person) -> None:
    report = bench.set_up(title="Receipts")
    assert report.made
    project = an.call("GET", f"/api/projects/{report.connection.project}/")
    assert project["title"] == "Receipts"
    assert "<TextArea" in project["label_config"]
    assert project["show_collab_predictions"]
    again = bench.set_up()
    assert not again.made
    assert again.connection == report.connection
    views = an.call("GET", "/api/dm/views/", params={"project": report.connection.project})
    assert [view["data"]["title"] for view in views] == ["Most useful first"]


def test_setup_takes_a_project_that_is_there_and_refuses_one_that_does_not_fit(
    bench: Bench, an: Person
) -> None:
    mine = """<View><Image name="photo" value="$scan"/>
      <TextArea name="transcript" toName="photo"/></View>"""
    made = an.call("POST", "/api/projects/", json={"title": "Mine", "label_config": mine})
    fields = bench.set_up(project=made["id"]).connection.fields
    assert (fields.name, fields.to_name, fields.picture) == ("transcript", "photo", "scan")
    regions = """<View><Image name="i" value="$i"/>
      <RectangleLabels name="box" toName="i"><Label value="a"/></RectangleLabels></View>"""
    made = an.call("POST", "/api/projects/", json={"title": "Boxes", "label_config": regions})
    with pytest.raises(Exception, match="no one field for the label"):
        bench.set_up(project=made["id"])


def test_classes_are_choices_and_new_ones_are_added(bench: Bench, add, an: Person) -> None:
    with pytest.raises(Exception, match="nothing to choose from"):
        bench.set_up("classes")
    first = bench.set_up("classes", classes=["daisy", "rose & <thorn>"])
    assert first.connection.fields.choices == ("daisy", "rose & <thorn>")
    (number,) = add("a", task="classes")
    bench.push()
    (task,) = bench.tasks()
    chosen = {**written(""), "from_name": "label", "type": "choices"}
    chosen["value"] = {"choices": ["rose & <thorn>"]}
    an.call("POST", f"/api/tasks/{task['id']}/annotations/", json={"result": [chosen]})
    bench.pull()
    assert bench.states() == {"a": ("labelled", "rose & <thorn>")}
    second = bench.set_up("classes", classes=["tulip"])
    assert second.config_changed
    assert second.connection.fields.choices == ("daisy", "rose & <thorn>", "tulip")
    assert len(bench.tasks()) == 1
    del number


# Pushing


def test_push_sends_the_most_useful_first_with_what_the_champion_reads(bench: Bench, add) -> None:
    add("dull", priority=0.1)
    add("urgent", priority=0.9)
    add("usual", priority=0.5)
    bench.set_up()
    ref = bench.suggest()
    report = bench.push(limit=2)
    assert (report.pushed, report.suggested, report.waiting) == (2, 2, 1)
    assert bench.push().pushed == 1
    tasks = bench.tasks()
    assert [task["data"]["name"] for task in tasks] == ["urgent.png", "usual.png", "dull.png"]
    (prediction,) = tasks[0]["predictions"]
    assert prediction["model_version"] == ref
    assert 0 < prediction["score"] <= 1
    (result,) = prediction["result"]
    assert result["value"]["text"] == ["urgent"]
    assert (result["from_name"], result["to_name"], result["type"]) == ("text", "image", "textarea")
    project = bench.client.project(bench.connection.project)
    assert project["model_version"] == ref  # this is what fills the box in


def test_push_again_changes_nothing(bench: Bench, add) -> None:
    add("one", "two", "three")
    bench.set_up()
    bench.suggest()
    bench.push()
    before = bench.tasks()
    dry = bench.push(dry_run=True)
    report = bench.push()
    for again in (dry, report):
        assert (again.pushed, again.refreshed, again.relinked, again.there) == (0, 0, 0, 3)
    assert bench.tasks() == before


def test_a_dry_run_counts_and_sends_nothing(bench: Bench, add) -> None:
    add("one", "two")
    bench.set_up()
    bench.suggest()
    report = bench.push(dry_run=True)
    assert report.pushed == 2
    assert bench.tasks() == []
    with bench.workspace.catalog.read() as connection:
        assert connection.execute(sa.select(labelstudio_tasks)).all() == []


def test_a_push_killed_before_it_wrote_down_what_it_sent_makes_no_task_twice(
    bench: Bench, add, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("one", "two", "three")
    bench.set_up()
    push_and_die(bench, monkeypatch)
    assert len(bench.tasks()) == 3
    assert bench.push().adopted == 3
    assert len(bench.tasks()) == 3
    assert bench.push().adopted == 0


def test_what_labellers_put_right_in_an_unrecorded_task_is_pulled(
    bench: Bench, add, an: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("one")
    bench.set_up()
    push_and_die(bench, monkeypatch)
    (task,) = bench.tasks()
    an.annotate(task["id"], "một")
    bench.pull()
    assert bench.states() == {"one": ("labelled", "một")}


def test_a_newer_champion_refreshes_what_waits_and_leaves_what_is_done(
    bench: Bench, add, an: Person, workspace: Workspace
) -> None:
    add("done", "open")
    bench.set_up()
    promote(workspace, "lines")
    assert bench.suggest() == "lines@1"
    bench.push()
    done, waiting = sorted(bench.tasks(), key=lambda task: task["data"]["name"])
    an.annotate(done["id"], "done")
    bench.pull()
    promote(workspace, "lines")
    assert bench.suggest() == "lines@2"
    assert bench.push(dry_run=True).refreshed == 1
    assert bench.push().refreshed == 1
    assert bench.push().refreshed == 0
    versions = {
        task["id"]: [one["model_version"] for one in task["predictions"]] for task in bench.tasks()
    }
    assert versions == {done["id"]: ["lines@1"], waiting["id"]: ["lines@2"]}
    assert bench.client.project(bench.connection.project)["model_version"] == "lines@2"


def test_a_picture_that_cannot_be_read_is_not_sent_and_said(
    bench: Bench, add, workspace: Workspace
) -> None:
    add("there", "gone")
    bench.set_up()
    bench.suggest()
    gone = next(row for row in read_rows(workspace.catalog, "text") if row.name == "gone.png")
    workspace.store.delete(gone.path)
    report = bench.push()
    assert report.pushed == 1
    assert [(one.name, one.code) for one in report.skipped] == [("gone.png", "unreadable_picture")]


def test_what_was_erased_here_is_deleted_there_and_nothing_else(
    bench: Bench, add, an: Person, workspace: Workspace
) -> None:
    secret, kept = add("secret", "kept", source="uploads")
    with workspace.catalog.write() as connection:
        for number in (secret, kept):
            connection.execute(
                predictions.insert().values(
                    id=new_id(), sample_id=number, model="m", version="1", value="", details={},
                    confidence=0.5, user=f"user {number}", sampled="", at=datetime.now(UTC),
                )
            )  # fmt: skip
    bench.set_up()
    bench.push()
    (task,) = [task for task in bench.tasks() if task["data"]["sample"] == secret]
    an.annotate(task["id"], "bí mật")
    bench.pull()
    erase(workspace, user=f"user {secret}")
    assert list(bench.states()) == ["kept"]
    assert bench.pull(dry_run=True).erased == 1
    assert len(bench.tasks()) == 2
    assert bench.pull().erased == 1
    assert [task["data"]["sample"] for task in bench.tasks()] == [kept]
    assert not bench.pull().changed


def test_a_catalogue_that_knows_nothing_deletes_nothing(
    bench: Bench, add, an: Person, workspace: Workspace
) -> None:
    add("one")
    bench.set_up()
    bench.push()
    an.annotate(bench.tasks()[0]["id"], "một")
    with workspace.catalog.write() as connection:  # lost, and begun anew in the same folder
        connection.execute(labelstudio_tasks.delete())
        connection.execute(samples.delete())
    bench.push()
    assert [one.code for one in bench.pull(full=True).skipped] == ["unknown_picture"]
    assert len(bench.tasks()[0]["annotations"]) == 1


# Pictures


@pytest.fixture
def nhan(workspace: Workspace, tmp_path: Path) -> Iterator[Server]:
    """`nhan serve` that asks for keys, so that nothing is open by accident."""
    environment = {"NHAN_KEY": "k" * 32, "NHAN_SERVE__REQUIRE_KEYS": "true"}
    with serving_at(tmp_path, workspace=workspace.root, environment=environment) as running:
        yield running


def test_pictures_load_from_label_studios_pages_by_their_signed_links_alone(
    bench: Bench, add, an: Person, nhan: Server, workspace: Workspace
) -> None:
    add("one")
    bench.links = Links(load_signer(workspace.root), nhan.main, 365)
    bench.set_up()
    bench.push()
    (number,) = [task["id"] for task in bench.tasks()]
    # As its labelling page gets it, with whatever its server makes of addresses.
    link = an.call("GET", f"/api/tasks/{number}/")["data"]["image"]
    assert link.startswith(f"{nhan.main}/pictures/")
    page = {"Origin": bench.server.address, "Sec-Fetch-Site": "cross-site"}
    answer = httpx.get(link, headers=page)
    assert answer.status_code == 200
    row = next(iter(read_rows(workspace.catalog, "text")))
    assert hashlib.sha256(answer.content).hexdigest() == row.sha256
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.headers["cache-control"].startswith("private, max-age=")
    plain = link.partition("?")[0]
    assert httpx.get(plain).status_code == 401
    assert httpx.get(plain, headers={"X-API-Key": "k" * 32}).content == answer.content
    other = link.replace(row.sha256, "0" * 64)
    assert httpx.get(other).status_code == 403
    expired = Links(bench.links.signer, nhan.main, 1).to(
        row.sha256, row.path, now=time.time() - 90_000
    )
    refused = httpx.get(expired)
    assert refused.status_code == 403
    assert "expired" in refused.json()["error"]["message"]


def test_in_label_studios_own_page_the_picture_shows_and_the_suggestion_is_one_click_from_a_label(
    bench: Bench, add, an: Person, nhan: Server
) -> None:
    browsers = pytest.importorskip("playwright.sync_api")
    add("Label 42")
    bench.links = Links(bench.links.signer, nhan.main, 365)
    bench.set_up()
    bench.suggest()
    bench.push()
    (task,) = bench.tasks()
    size = Image.open(io.BytesIO(httpx.get(task["data"]["image"]).content)).width
    address = f"{bench.server.address}/projects/{bench.connection.project}/data?task={task['id']}"

    def work() -> None:
        with browsers.sync_playwright() as playwright:
            flags = ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"]
            # Label Studio's page asks for things from elsewhere.
            flags[-1] += " , EXCLUDE 127.0.0.1"
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
            try:
                context = browser.new_context()
                here = {"domain": "127.0.0.1", "path": "/"}
                context.add_cookies(
                    [
                        {"name": one.name, "value": str(one.value), **here}
                        for one in an.web.cookies.jar
                    ]
                )
                context.set_default_timeout(300_000)
                page = context.new_page()
                page.goto(address)
                page.wait_for_function(
                    "w => [...document.querySelectorAll('img[src^=blob]')].some("
                    "one => one.naturalWidth == w)",
                    arg=size,
                    timeout=300_000,
                )
                page.get_by_text("Label 42", exact=True).first.wait_for()
                page.get_by_role("button", name="Submit").click()
                _eventually(lambda: bench.pull().labels == 1)
            finally:
                browser.close()

    # In a thread of its own: Playwright allows one at a time in each, and others may hold theirs.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result(timeout=900)
    assert bench.states() == {"Label 42": ("labelled", "Label 42")}
    assert bench.votes("Label 42") == [("Label 42", "an@nhan.test")]


def test_a_form_that_browsers_do_not_show_is_linked_as_png(
    bench: Bench, nhan: Server, workspace: Workspace, random_rgb: Callable[..., Any]
) -> None:
    buffer = io.BytesIO()
    Image.fromarray(random_rgb(20, 60)).save(buffer, "TIFF")
    data = buffer.getvalue()
    picture = examine(data, content_hash(data), workspace.picture_limits)
    keep(workspace.store, picture.path, data)
    new = Sample(content_hash(data), "scan.tif", "t", "", "", State.NEW, picture=picture)
    with workspace.catalog.write() as connection:
        write_samples(connection, "text", [new])
    bench.links = Links(load_signer(workspace.root), nhan.main, 365)
    bench.set_up()
    bench.push()
    answer = httpx.get(bench.tasks()[0]["data"]["image"])
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).size == (60, 20)


def test_links_are_renewed_at_half_their_time_and_when_the_server_moves(
    bench: Bench, add, workspace: Workspace
) -> None:
    add("one", "two")
    bench.set_up()
    bench.push()
    bench.links = Links(bench.links.signer, _NOWHERE, 1000)  # half of it is more than is left
    assert bench.push(dry_run=True).relinked == 2
    assert bench.push().relinked == 2
    assert bench.push().relinked == 0
    bench.links = Links(bench.links.signer, "http://moved.test", 365)
    assert bench.push().relinked == 2
    tasks = bench.tasks()
    assert all(task["data"]["image"].startswith("http://moved.test/") for task in tasks)
    assert all(task["data"]["sha256"] in task["data"]["image"] for task in tasks)


# Pulling


def test_labels_come_back_with_who_gave_them_and_only_once(bench: Bench, add, an: Person) -> None:
    add("one", "two")
    bench.set_up()
    bench.push()
    one, two = bench.tasks()
    an.annotate(one["id"], "  Phở bò  ")
    dry = bench.pull(dry_run=True)
    assert dry.labels == 1
    assert bench.states()["one"] == ("new", None)
    report = bench.pull()
    assert report.outcomes == {"labelled": 1}
    assert bench.states() == {"one": ("labelled", "Phở bò"), "two": ("new", None)}
    assert bench.votes("one") == [("Phở bò", "an@nhan.test")]
    for again in (bench.pull(), bench.pull(full=True)):
        assert not again.changed
        assert again.read == again.unchanged
    assert len(bench.votes("one")) == 1
    assert bench.kinds()["labelled"] == 1
    del two


def test_a_pull_reads_only_what_changed(
    bench: Bench, add, an: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nhan.review.labelstudio import connection

    monkeypatch.setattr(connection, "_LATE", connection._LATE * 0)
    add(*(f"line {number}" for number in range(30)))
    bench.set_up()
    bench.push()
    assert bench.pull().read == 30
    tasks = bench.tasks()
    an.annotate(tasks[3]["id"], "ba")
    report = bench.pull()
    assert report.labels == 1
    assert report.read <= 2  # and the one that was the latest before


def test_two_annotators_the_latest_stands_and_the_other_is_a_vote(
    bench: Bench, add, an: Person, binh: Person
) -> None:
    add("one")
    bench.set_up(opinions=2)
    bench.push()
    (task,) = bench.tasks()
    an.annotate(task["id"], "một")
    binh.annotate(task["id"], "hai")
    bench.pull()
    assert bench.states() == {"one": ("labelled", "hai")}
    assert sorted(bench.votes("one")) == [("hai", "binh@nhan.test"), ("một", "an@nhan.test")]


def test_a_sample_for_two_people_waits_for_both_and_for_their_agreement(
    bench: Bench, add, an: Person, binh: Person, workspace: Workspace
) -> None:
    add("same", "other")
    with workspace.catalog.write() as connection:
        connection.execute(samples.update().values(opinions=2))
    bench.set_up()
    report = bench.push()
    assert (report.pushed, report.reasons) == (0, {"needs_more_people": 2})
    bench.set_up(opinions=2)
    bench.push()
    same, other = bench.tasks()
    an.annotate(same["id"], "một")
    an.annotate(other["id"], "một")
    assert bench.pull().outcomes == {"voted": 2}
    assert bench.states() == {"same": ("draft", None), "other": ("draft", None)}
    binh.annotate(same["id"], "một")
    number = binh.annotate(other["id"], "mốt")
    assert bench.pull().outcomes == {"labelled": 1, "disagreement": 1}
    assert bench.states() == {"same": ("accepted", "một"), "other": ("draft", None)}
    (dispute,) = list_disputes(workspace, "text")  # to be settled in the console, as any other
    assert [(one.reviewer, one.value) for one in dispute.opinions] == [
        ("an@nhan.test", "một"),
        ("binh@nhan.test", "mốt"),
    ]
    binh.call("DELETE", f"/api/annotations/{number}/")
    bench.pull()
    assert list_disputes(workspace, "text") == []
    binh.annotate(other["id"], "một")
    bench.pull()
    assert bench.states()["other"] == ("accepted", "một")


def test_one_opinion_here_and_one_there_count_alike(
    bench: Bench, add, an: Person, workspace: Workspace
) -> None:
    (number,) = add("one")
    with workspace.catalog.write() as connection:
        connection.execute(samples.update().values(opinions=2))
    bench.set_up(opinions=2)
    bench.push()
    (task,) = bench.tasks()
    an.annotate(task["id"], "một")
    bench.pull()
    decide(workspace, Decision("d1", number, "chi", "accept", "một"))
    assert bench.states() == {"one": ("accepted", "một")}
    assert not bench.pull(full=True).changed


def test_a_skipped_task_is_skipped_with_who_and_labelled_when_somebody_can(
    bench: Bench, add, an: Person, binh: Person
) -> None:
    add("one")
    bench.set_up()
    bench.push()
    (task,) = bench.tasks()
    an.annotate(task["id"], None, was_cancelled=True)
    assert bench.pull().outcomes == {"skipped": 1}
    assert bench.states() == {"one": ("skipped", None)}
    assert bench.reason("one") == "skipped by an@nhan.test in Label Studio"
    assert bench.push().pushed == 0
    binh.annotate(task["id"], "đọc được")
    bench.pull()
    assert bench.states() == {"one": ("labelled", "đọc được")}


def test_an_unreadable_picture_is_rejected(bench: Bench, add, an: Person) -> None:
    add("one")
    bench.set_up()
    bench.push()
    (task,) = bench.tasks()
    bad = {**written(""), "from_name": "quality", "type": "choices"}
    bad["value"] = {"choices": ["unreadable"]}
    an.call("POST", f"/api/tasks/{task['id']}/annotations/", json={"result": [bad]})
    bench.pull()
    assert bench.states() == {"one": ("rejected", None)}
    assert "an@nhan.test" in bench.reason("one")


def test_a_draft_is_no_label_and_can_be_given_up(bench: Bench, add, binh: Person) -> None:
    add("one")
    bench.set_up()
    bench.push()
    (task,) = bench.tasks()
    draft = {"result": [written("nửa ch")], "lead_time": 1.0}
    made = binh.call("POST", f"/api/tasks/{task['id']}/drafts", json=draft)
    assert bench.pull().begun == 1
    assert bench.states() == {"one": ("draft", None)}
    assert bench.reason("one") == "begun by binh@nhan.test in Label Studio"
    assert bench.votes("one") == []
    assert not bench.pull().changed
    binh.call("DELETE", f"/api/drafts/{made['id']}/")
    assert bench.pull().dropped == 1
    assert bench.states() == {"one": ("queued", None)}


def test_a_changed_annotation_changes_the_label_and_keeps_the_old_one(
    bench: Bench, add, an: Person
) -> None:
    add("one")
    bench.set_up()
    bench.push()
    (task,) = bench.tasks()
    number = an.annotate(task["id"], "mot")
    bench.pull()
    an.change(number, "một")
    assert bench.pull().outcomes == {"relabelled": 1}
    assert bench.states() == {"one": ("labelled", "một")}
    an.change(number, "mot")
    bench.pull()
    assert bench.states() == {"one": ("labelled", "mot")}
    assert [value for value, _ in bench.votes("one")] == ["mot", "một"]


def test_a_deleted_annotation_takes_its_label_away(bench: Bench, add, an: Person) -> None:
    add("one", "two")
    bench.set_up()
    bench.push()
    one, two = bench.tasks()
    number = an.annotate(one["id"], "một")
    an.annotate(two["id"], "hai")
    bench.pull()
    an.call("DELETE", f"/api/annotations/{number}/")
    # The other one as the task list does it, for many at once.
    everything = {"selectedItems": {"all": False, "included": [two["id"]]}}
    action = {"id": "delete_tasks_annotations", "project": bench.connection.project}
    an.call("POST", "/api/dm/actions/", params=action, json=everything)
    assert bench.pull().outcomes == {"withdrawn": 2}
    assert bench.states() == {"one": ("queued", None), "two": ("queued", None)}
    assert bench.votes("one") == [("một", "an@nhan.test")]
    assert not bench.pull(full=True).changed


def test_deleted_tasks_keep_their_labels_and_are_not_sent_again(
    bench: Bench, add, an: Person
) -> None:
    add("done", "open", "stays")
    bench.set_up()
    bench.push()
    done, waiting, _ = bench.tasks()
    an.annotate(done["id"], "xong")
    bench.pull()
    for task in (done, waiting):
        an.call("DELETE", f"/api/tasks/{task['id']}/")
    assert bench.push(dry_run=True).gone == 2
    report = bench.pull()
    assert (report.deleted, report.unlabelled) == (2, 1)
    assert bench.states() == {
        "done": ("labelled", "xong"),
        "open": ("skipped", None),
        "stays": ("new", None),
    }
    assert bench.reason("open") == "its task was deleted in Label Studio"
    assert bench.push().pushed == 0
    assert not bench.pull().changed


def test_ground_truth_stands_over_later_annotations(
    bench: Bench, add, an: Person, binh: Person
) -> None:
    add("one")
    bench.set_up(opinions=3)
    bench.push()
    (task,) = bench.tasks()
    an.annotate(task["id"], "đúng", ground_truth=True)
    binh.annotate(task["id"], "sai")
    bench.pull()
    assert bench.states() == {"one": ("labelled", "đúng")}
    assert ("sai", "binh@nhan.test") in bench.votes("one")


def test_a_label_from_elsewhere_stays_and_the_contradiction_is_said(
    bench: Bench, add, an: Person, workspace: Workspace
) -> None:
    (number,) = add("one")
    bench.set_up()
    bench.push()
    (task,) = bench.tasks()
    an.annotate(task["id"], "từ đây")
    with workspace.catalog.write() as connection:
        made = connection.execute(
            labels.insert().values(
                sample_id=number, value="ở nhà", origin="review", given_by="chi", external_id="",
                given_at=sa.func.now(),
            )
        ).inserted_primary_key  # fmt: skip
        connection.execute(samples.update().values(state="accepted", label_id=made[0]))
    report = bench.pull()
    assert report.outcomes == {"conflict": 1}
    assert bench.states() == {"one": ("accepted", "ở nhà")}
    assert ("từ đây", "an@nhan.test") in bench.votes("one")


def test_tasks_of_other_pictures_are_left_alone_and_named(bench: Bench, add, an: Person) -> None:
    add("one")
    bench.set_up()
    bench.push()
    foreign = [{"data": {"image": "https://elsewhere.test/x.png"}}]
    path = f"/api/projects/{bench.connection.project}/import"
    an.call("POST", path, json=foreign, params={"return_task_ids": "true"})
    report = bench.pull()
    assert [one.code for one in report.skipped] == ["unknown_picture"]
    assert report.read == report.unchanged + report.outcomes.total() + len(report.skipped)


def test_an_empty_text_is_no_label(bench: Bench, add, an: Person) -> None:
    add("one")
    bench.set_up()
    bench.push()
    (task,) = bench.tasks()
    an.annotate(task["id"], "   ")
    assert [one.code for one in bench.pull().skipped] == ["no_label"]
    assert bench.states() == {"one": ("new", None)}


# Tokens and trouble


def test_both_kinds_of_token_work(server: LabelStudioServer) -> None:
    server.allow_legacy(True)
    try:
        for token in (server.owner.token, server.owner.legacy):
            with LabelStudio(server.address, token) as client:
                assert client.user()["email"] == "an@nhan.test"
    finally:
        server.allow_legacy(False)


def test_a_legacy_token_that_is_switched_off_is_explained(server: LabelStudioServer) -> None:
    with (
        LabelStudio(server.address, server.owner.legacy) as client,
        pytest.raises(Unauthorized, match="legacy tokens are switched off") as caught,
    ):
        client.user()
    assert "Personal Access Token" in caught.value.hint


def test_an_access_token_that_ended_is_exchanged_for_another(server: LabelStudioServer) -> None:
    with LabelStudio(server.address, server.owner.token) as client:
        client.user()
        auth = client._http.auth
        first = auth._access
        auth._access, auth._ends = "eyJhbGciOiJIUzI1NiJ9.e30.x", time.time() + 999
        assert client.user()["email"] == "an@nhan.test"
        assert auth._access not in (first, "eyJhbGciOiJIUzI1NiJ9.e30.x")


def test_a_revoked_token_is_explained(server: LabelStudioServer) -> None:
    person = server.invite("chi@nhan.test")
    with LabelStudio(server.address, person.token) as client:
        assert client.user()["email"] == "chi@nhan.test"
    person.call("POST", "/api/token/blacklist/", json={"refresh": person.token})
    with LabelStudio(server.address, person.token) as client:
        with pytest.raises(Unauthorized, match="NHAN_LABELSTUDIO_TOKEN") as caught:
            client.user()
        assert "revoked" in caught.value.hint
        assert person.token not in caught.value.message + caught.value.hint


def test_a_server_that_is_away_and_a_project_that_is_gone(
    bench: Bench, add, an: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nhan.review.labelstudio import client as client_module

    monkeypatch.setattr(client_module, "_PAUSES_S", (0.01,))
    add("one")
    bench.set_up()
    bench.push()
    with (
        LabelStudio(_NOWHERE, bench.server.owner.token) as away,
        pytest.raises(UpstreamFailed, match="does not answer"),
    ):
        away.user()
    an.call("DELETE", f"/api/projects/{bench.connection.project}/")
    with pytest.raises(NotFound) as caught:
        bench.pull()
    assert "nhan labelstudio setup" in caught.value.hint
    assert bench.states() == {"one": ("new", None)}
    assert bench.set_up().made


# Crashes


def _begin_pull(bench: Bench) -> subprocess.Popen[bytes]:
    """A pull of everything, from the moment on at which it talks to Label Studio."""
    process = subprocess.Popen(
        [sys.executable, "-m", "nhan", "labelstudio", "pull", "--full"],
        env=bench.variables(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    opened = Path(f"/proc/{process.pid}/fd")
    while process.poll() is None:
        with suppress(OSError):  # a file closed while we look at it
            if any(str(one.readlink()).startswith("socket:") for one in opened.iterdir()):
                break
        time.sleep(0.001)
    return process


def _kill_pulls(bench: Bench, an: Person, add, kills: int) -> None:
    """Kill pulls anywhere in the time that one takes; between them labellers go on."""
    dice = random.Random(seed := random.randrange(10**6))
    add(*(f"line {number}" for number in range(150)))  # two pages
    bench.set_up()
    bench.push()
    tasks = bench.tasks()
    dice.shuffle(tasks)
    process = _begin_pull(bench)
    began = time.monotonic()
    assert process.wait(600) == 0
    takes_s = time.monotonic() - began
    given: dict[str, str] = {}
    killed = turn = partly = 0
    while killed < kills:
        for task in tasks[3 * turn : 3 * turn + 3]:
            name = task["data"]["name"].removesuffix(".png")
            given[name] = f"{name} đọc {turn}"
            an.annotate(task["id"], given[name])
        turn += 1
        process = _begin_pull(bench)
        began = time.monotonic()
        try:
            process.wait(dice.uniform(0, takes_s))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait(60)
            killed += 1
        else:
            takes_s = time.monotonic() - began
        standing = {name: label for name, (_, label) in bench.states().items() if label}
        assert standing.items() <= given.items(), f"seed {seed}"
        partly += 0 < len(standing) < len(given)
    print(f"{killed} pulls killed, seed {seed}; after {partly} some of the labels were there")
    bench.pull()
    standing = {name: label for name, (_, label) in bench.states().items() if label}
    assert standing == given
    with bench.workspace.catalog.read() as connection:
        count = connection.scalar(sa.select(sa.func.count()).select_from(labels))
    assert count == len(given)


def test_a_pull_killed_at_random_moments_loses_nothing(bench: Bench, add, an: Person) -> None:
    _kill_pulls(bench, an, add, 6)


@pytest.mark.slow
def test_a_pull_killed_thirty_times_loses_nothing(bench: Bench, add, an: Person) -> None:
    _kill_pulls(bench, an, add, 30)


def test_pushes_killed_at_random_moments_send_each_sample_once(
    bench: Bench, add, an: Person
) -> None:
    dice = random.Random(5)
    add(*(f"line {number}" for number in range(400)))
    bench.set_up()
    command = [sys.executable, "-m", "nhan", "labelstudio", "push", "--no-suggest"]
    killed = 0
    for _ in range(6):
        process = subprocess.Popen(
            command, env=bench.variables(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(dice.uniform(0.3, 1.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(60)
            killed += 1
    bench.server.wait_until_idle()
    with bench.workspace.catalog.write() as connection:  # as if three minutes had gone by
        long_ago = datetime(2026, 1, 1, tzinfo=UTC)
        connection.execute(labelstudio_tasks.update().values(pushed_at=long_ago))
    bench.push()
    shown = Counter(task["data"]["sha256"] for task in bench.tasks())
    assert len(shown) == 400
    assert set(shown.values()) == {1}
    with bench.workspace.catalog.read() as connection:
        rows = connection.execute(sa.select(labelstudio_tasks.c.task_id)).scalars().all()
    assert sorted(rows) == [task["id"] for task in bench.tasks()]
    assert killed


def test_postgresql_and_s3_serve_as_well(
    server: LabelStudioServer, an: Person, tmp_path: Path, postgres_url: str, s3_url: str,
    draw_line: Callable[..., bytes],
) -> None:  # fmt: skip
    with Workspace.init(tmp_path / "w", objects=s3_url, catalog=postgres_url) as workspace:
        made = Bench(workspace, server)
        with made.client:
            take_pictures(workspace, draw_line, "one", "two")
            made.set_up()
            assert made.push().pushed == 2
            assert made.push().pushed == 0
            first, second = made.tasks()
            an.annotate(first["id"], "một")
            an.annotate(second["id"], None, was_cancelled=True)
            assert made.pull().outcomes == {"labelled": 1, "skipped": 1}
            assert not made.pull().changed
            assert made.states() == {"one": ("labelled", "một"), "two": ("skipped", None)}


def test_two_pushes_at_once_send_each_sample_once(bench: Bench, add, an: Person) -> None:
    add(*(f"line {number}" for number in range(300)))
    bench.set_up()
    command = [sys.executable, "-m", "nhan", "labelstudio", "push", "--no-suggest", "--json"]
    running = [
        subprocess.Popen(command, env=bench.variables(), stdout=subprocess.PIPE) for _ in range(2)
    ]
    sent = [json.loads(process.communicate(timeout=900)[0])["pushed"] for process in running]
    assert sum(sent) == 300
    shown = Counter(task["data"]["sha256"] for task in bench.tasks())
    assert len(shown) == 300
    assert set(shown.values()) == {1}


# Live


def test_webhooks_wake_the_watch_and_ctrl_c_ends_it(
    bench: Bench, add, an: Person, nhan: Server, workspace: Workspace
) -> None:
    add("one", "two")
    report = bench.set_up(webhook=True, server=nhan.main)
    assert report.connection.webhook is not None, report.notes
    bench.push()
    one, two = bench.tasks()
    command = [sys.executable, "-m", "nhan", "labelstudio", "watch", "--every", "600"]
    process = subprocess.Popen(
        [*command, "--no-suggest"], env=bench.variables(), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert "watching" in process.stderr.readline()
        time.sleep(2)  # its first look is over; the clock's next one is ten minutes away
        number = an.annotate(one["id"], "một")
        _eventually(lambda: bench.states()["one"] == ("labelled", "một"))
        an.annotate(two["id"], None, was_cancelled=True)
        _eventually(lambda: bench.states()["two"][0] == "skipped")
        an.call("DELETE", f"/api/annotations/{number}/")
        _eventually(lambda: bench.states()["one"] == ("queued", None))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert "stopped" in said
    assert "Traceback" not in said
    with workspace.catalog.read() as connection:
        notes = connection.scalars(sa.select(events.c.data).where(events.c.kind == NOTE)).all()
    assert [note["action"] for note in notes] == [
        "ANNOTATION_CREATED", "ANNOTATION_CREATED", "ANNOTATIONS_DELETED",
    ]  # fmt: skip


def test_a_webhook_without_the_secret_is_refused(nhan: Server) -> None:
    url = f"{nhan.main}/label-studio/webhook?task=text"
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer " + "k" * 32}):
        answer = httpx.post(url, json={"action": "ANNOTATION_CREATED"}, headers=headers)
        assert answer.status_code == 401


def test_without_webhooks_the_watch_polls(
    bench: Bench, add, an: Person, workspace: Workspace
) -> None:
    add("one")
    bench.set_up()
    command = [sys.executable, "-m", "nhan", "labelstudio", "watch", "--every", "0.5"]
    process = subprocess.Popen(
        [*command, "--no-suggest"], env=bench.variables(), stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        _eventually(lambda: len(bench.tasks()) == 1)  # it pushes what waits, too
        an.annotate(bench.tasks()[0]["id"], "một")
        _eventually(lambda: bench.states()["one"] == ("labelled", "một"))
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, said


def test_label_studio_asks_our_models_for_tasks_without_a_suggestion(
    bench: Bench, add, an: Person, nhan: Server
) -> None:
    add("live")
    bench.links = Links(bench.links.signer, nhan.main, 365)
    report = bench.set_up(live=True, server=nhan.main)
    assert report.connection.backend is not None, report.notes
    assert bench.set_up(live=True, server=nhan.main).connection.backend == report.connection.backend
    (backend,) = an.call("GET", "/api/ml/", params={"project": bench.connection.project})
    bundled = bundled_package()
    assert backend["readable_state"] == "Connected"
    assert backend["model_version"] == bundled.ref
    bench.push()
    (task,) = bench.tasks()
    assert task["predictions"] == []
    opened = an.call("GET", f"/api/tasks/{task['id']}/")  # as the labelling page opens it
    (prediction,) = opened["predictions"]
    assert prediction["model_version"] == bundled.ref
    assert prediction["result"][0]["value"]["text"] == ["live"]
    assert httpx.get(f"{nhan.main}/label-studio/health").status_code == 401


def _eventually(holds: Callable[[], bool], seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.2)
