"""The pages on a workspace: what they show, who may change what, what stays out of the process."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
import subprocess
import sys

import pytest

from nhan.datasets import audit
from nhan.datasets.freeze import freeze
from nhan.models.package import publish
from nhan.models.registry import Promotion, Registry
from nhan.samples.importer import import_samples
from nhan.serving import sessions
from nhan.serving.app import create_app
from nhan.serving.keys import add_key, load_keyring
from nhan.settings import ServeSettings
from nhan.tasks.classes import check as classes_check
from nhan.tasks.text import check as text_check
from nhan.web.errand import Errands
from nhan.web.mount import furnish
from nhan.web.pulse import quantile
from nhan.web.telling import tell_kind

HTML = {"accept": "text/html", "accept-language": "en"}


@pytest.fixture
def shop(workspace, tmp_path, draw_line, toy_files, toy_spec):
    """Labelled lines, two dataset versions, and a model of two versions."""
    folder = tmp_path / "lines"
    folder.mkdir()
    labels = {}
    for number in range(12):
        (folder / f"{number}.png").write_bytes(draw_line(f"line number {number} {'ab' * number}"))
        labels[f"{number}.png"] = f"line number {number} {'ab' * number}"
        if number in (9, 11):
            (folder / "labels.json").write_text(json.dumps(labels))
            import_samples(workspace, folder)
            freeze(workspace, "lines")
    registry = Registry(workspace.store)
    for run in ("a", "b"):
        publish(workspace.store, "toy", toy_files, toy_spec(), run=run)
    entry = Promotion(action="promote", version=1, because="the <b>first</b>", by="an")
    registry.record("toy", entry, expected=0)
    return workspace


@pytest.fixture
def ask(serving):
    def run(*requests, **parts):
        async def scenario():
            async with serving(
                factory=lambda context: create_app(context, furnish), **parts
            ) as running:
                answers = []
                for method, path, headers, *rest in requests:
                    answers.append(
                        await running.client.request(
                            method, path, headers={**HTML, **headers}, **(rest[0] if rest else {})
                        )
                    )
                for close in running.context.closing:
                    close()
                return answers

        return asyncio.run(scenario())

    return run


def test_pages_without_a_workspace_say_how_to_get_one(ask):
    for page in ask(*[("GET", path, {}) for path in ("/review", "/data", "/models", "/watch")]):
        assert page.status_code == 200
    (data,) = ask(("GET", "/data", {}))
    assert "nhan init" in data.text


def test_data_shows_versions_splits_and_states(ask, shop):
    (page,) = ask(("GET", "/data", {}), root=shop.root)
    assert page.status_code == 200
    assert "labelled" in page.text
    assert page.text.count("<tr>") == 3  # the head and two versions
    assert 'aria-label="training' in page.text


def test_the_label_doctor_gives_pictures_of_its_examples(ask, shop):
    (answer,) = ask(("POST", "/data/api/audit", {}, {"json": {"task": "text"}}), root=shop.root)
    found = answer.json()
    assert found["samples"] == 12
    for finding in found["findings"]:
        for example in finding["examples"]:
            assert example["sample"] is None or len(example["sha256"]) == 64


@pytest.mark.parametrize("language", ["en", "vi"])
def test_whatever_the_doctor_finds_has_a_name(language):
    """Every `("code", "severity", …)` in the checks' sources."""
    codes = set()
    for module in (audit, text_check, classes_check):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            parts = node.args if isinstance(node, ast.Call) else getattr(node, "elts", [])
            values = [part.value for part in parts[:2] if isinstance(part, ast.Constant)]
            if len(values) == 2 and values[1] in ("error", "warning", "info"):
                codes.add(values[0])
    assert {"too_long", "one_class", "class_small", "near_duplicates"} <= codes
    unnamed = {code for code in codes if tell_kind(code, language) == code.replace("_", " ")}
    assert not unnamed


def test_the_doctor_speaks_the_language_of_the_page(ask, shop, draw_line, tmp_path):
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "odd.png").write_bytes(draw_line("Hà Nội"))
    (folder / "labels.json").write_text(json.dumps({"odd.png": "H\u0430 N\u1ed9i"}))
    import_samples(shop, folder)
    request = ("POST", "/data/api/audit", {"accept-language": "vi"}, {"json": {"task": "text"}})
    (answer,) = ask(request, root=shop.root)
    found = {finding["code"]: finding for finding in answer.json()["findings"]}["look_alike"]
    assert found["name"] == "Ký tự của bảng chữ khác trông giống"
    assert (found["hint"], found["language"]) == ("có lẽ muốn viết: 'Ha Nội'", "vi")
    (example,) = found["examples"]
    assert example["message"] == "'Hа Nội' có 'а' U+0430 thay vì 'a'"
    assert (example["language"], example["name"]) == ("vi", "odd.png")


def test_two_versions_are_compared_and_wrong_names_told(ask, shop, error_of):
    from nhan.datasets.read import list_datasets

    (found,) = list_datasets(shop.store)
    old, new = (f"lines@{version}" for version in found.versions)
    right, wrong = ask(
        ("GET", f"/data/api/diff?before={old}&after={new}", {"accept": "*/*"}),
        ("GET", "/data/api/diff?before=--help&after=none", {"accept": "*/*"}),
        root=shop.root,
    )
    assert right.json()["added"] == 2
    assert wrong.status_code == 404
    assert error_of(wrong)["message"]


def test_models_show_the_log_as_text(ask, shop):
    (page,) = ask(("GET", "/models", {}), root=shop.root, registry=Registry(shop.store))
    assert "the &lt;b&gt;first&lt;/b&gt;" in page.text
    assert 'data-version="toy@2"' in page.text


def test_a_rollback_answers_at_once_and_is_the_administrators(ask, shop, tmp_path):
    registry = Registry(shop.store)
    entry = Promotion(action="forced", version=2, previous=1, because="x")
    registry.record("toy", entry, expected=1)
    add_key(tmp_path / "keys.json", "chi", ["predict"])
    add_key(tmp_path / "keys.json", "minh", ["predict", "admin"])
    ring = load_keyring(tmp_path / "keys.json")
    viewer, admin = (
        {
            "cookie": f"{sessions.COOKIE}={sessions.open_session(key)}",
            "sec-fetch-site": "same-origin",
            "accept": "*/*",
        }
        for key in ring.keys
    )
    body = {"json": {"model": "toy", "because": "worse on receipts"}}
    page, refused, done = ask(
        ("GET", "/models", {**viewer, "accept": "text/html"}),
        ("POST", "/models/api/rollback", viewer, body),
        ("POST", "/models/api/rollback", admin, body),
        root=shop.root, registry=registry, keyring=ring, package=None,
        settings=ServeSettings(require_keys=True),
    )  # fmt: skip
    assert 'class="button promote"' not in page.text
    assert refused.status_code == 403
    assert done.json()["answering"] == ["toy@1"]
    last = registry.log("toy").promotions[-1]
    assert (last.action, last.by, last.because) == ("rollback", "minh", "worse on receipts")


def test_who_may_not_see_a_page_is_offered_those_they_may(ask, shop, tmp_path):
    add_key(tmp_path / "keys.json", "Hoa", ["predict"])
    ring = load_keyring(tmp_path / "keys.json")
    (key,) = ring.keys
    visitor = {"cookie": f"{sessions.COOKIE}={sessions.open_session(key)}"}
    forged = {"cookie": f"{sessions.COOKIE}={key.id}.99999999999.{'0' * 64}"}
    seen, turned_away = ask(
        ("GET", "/data", visitor),
        ("GET", "/data", forged),
        root=shop.root, keyring=ring, settings=ServeSettings(require_keys=True),
    )  # fmt: skip
    assert seen.status_code == 403
    links = re.findall(r'<a[^>]* href="(/\w*)"[^>]*><svg', seen.text)
    assert links == ["/", "/models", "/watch"]
    assert "Hoa" in seen.text
    assert turned_away.status_code in (302, 303, 307)
    assert "Hoa" not in turned_away.text


def test_an_open_server_is_not_administered_under_a_public_name(ask, shop):
    body = {"json": {"model": "toy"}}
    (answer,) = ask(
        ("POST", "/models/api/rollback", {"host": "evil.example", "accept": "*/*"}, body),
        root=shop.root,
    )
    assert answer.status_code == 403


def test_what_a_promotion_names_is_never_an_option(ask, shop):
    for name in ("--force", "toy", "toy@1;ls", "toy@-1"):
        body = {"json": {"model": name}}
        (answer,) = ask(("POST", "/models/api/promote", {"accept": "*/*"}, body), root=shop.root)
        assert answer.status_code in (400, 404)


def test_a_report_never_begins_an_evaluation(ask, shop):
    query = "model=toy@1&dataset=lines@none"
    (answer,) = ask(("GET", f"/models/report?{query}", {"accept": "*/*"}), root=shop.root)
    assert answer.status_code == 404


def test_errands_are_run_two_at_a_time(shop, monkeypatch):
    running, most = 0, 0

    async def slowly(arguments, environment):
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        await asyncio.sleep(0.01)
        running -= 1
        return 0, b"{}", b""

    monkeypatch.setattr("nhan.web.errand._run", slowly)

    async def scenario():
        errands = Errands(shop.root)
        await asyncio.gather(*[errands.run("audit") for _ in range(6)])

    asyncio.run(scenario())
    assert most == 2


def test_watch_counts_answers_as_they_come(ask, shop, toy_picture):
    post = ("POST", "/predict", {"accept": "*/*"}, {"content": toy_picture("đă")})
    *_, now, kept = ask(
        post, post, ("GET", "/watch/api/now", {}), ("GET", "/watch/api/kept?model=toy", {}),
        root=shop.root,
    )  # fmt: skip
    last = now.json()["points"][-1]
    assert last["answered"] == 2
    assert 0 < last["p50_ms"] <= last["p95_ms"]
    assert now.json()["models"][0]["answered"] == 2
    assert kept.json() == {"days": [], "quality": None, "drift": None, "budget": None}


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ([0, 0, 0], 0.5, None),  # nothing counted
        ([10, 0, 0], 0.5, 500.0),  # half of the first bucket, 0..1 s
        ([0, 10, 0], 0.5, 1500.0),  # half of the second, 1..2 s
        ([5, 5, 0], 0.5, 1000.0),  # the edge between them
        ([0, 0, 4], 0.9, 2000.0),  # above the last bound no more is known
    ],
)
def test_a_quantile_is_straight_within_its_bucket(counts, share, expected):
    assert quantile((1.0, 2.0), counts, share) == expected


def test_what_needs_the_catalogue_is_imported_when_it_is_asked_for(ask, shop):
    code = (
        "import sys, nhan.web.mount\n"
        "print([m for m in ('sqlalchemy', 'jinja2', 'torch', 'onnxruntime') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
    first, described, missing = ask(
        ("GET", "/review/api/next?reviewer=an", {"accept": "*/*"}),
        ("GET", "/openapi.json", {}),
        ("GET", "/pictures/none", {"accept": "*/*"}),
        root=shop.root,
    )
    assert first.json()["items"] == []  # all labelled
    assert "/pictures/{sha256}" in described.json()["paths"]
    assert missing.status_code == 404
