"""What people may not do by the pages, and what they cannot make of them."""

from __future__ import annotations

import asyncio
import html
import json
import re

import pytest

from nhan.datasets.freeze import freeze
from nhan.evaluation.gate_words import GATE_WORDS
from nhan.evaluation.sentences import make
from nhan.models.package import publish
from nhan.models.registry import Promotion, Registry
from nhan.samples.importer import import_samples
from nhan.serving import sessions
from nhan.serving.app import create_app
from nhan.serving.keys import add_key, load_keyring
from nhan.settings import ServeSettings
from nhan.web.mount import furnish

# Whatever of these stands in a page as it was sent would run.
ATTACKS = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 191 }}",
)


@pytest.fixture
def ask(serving):
    """Ask pages and routes: `ask((method, path, headers, {…}), …)`."""

    def run(*requests, **parts):
        async def scenario():
            async with serving(
                factory=lambda context: create_app(context, furnish), **parts
            ) as running:
                answers = [
                    await running.client.request(
                        method, path, headers=headers, **(rest[0] if rest else {})
                    )
                    for method, path, headers, *rest in requests
                ]
                for close in running.context.closing:
                    close()
                return answers

        return asyncio.run(scenario())

    return run


@pytest.fixture(params=ATTACKS)
def attack(request):
    return request.param


@pytest.fixture
def shop(workspace, tmp_path, draw_line, toy_files, toy_spec, attack):
    """A workspace in which everything that people name is an attack."""
    folder = tmp_path / "lines"
    folder.mkdir()
    labels = {}
    for number in range(6):
        (folder / f"{number}.png").write_bytes(draw_line(f"line {number}"))
        labels[f"{number}.png"] = f"line {number} {attack}"
    (folder / "labels.json").write_text(json.dumps(labels))
    import_samples(workspace, folder, source_name=attack)
    freeze(workspace, "lines")
    registry = Registry(workspace.store)
    for run in ("a", "b"):
        publish(workspace.store, "toy", toy_files, toy_spec(), run=run)
    where = make(GATE_WORDS, "gate.where", samples=1, dataset=attack, split=attack)
    facts = {"metric": attack, "mine": 0.1, "most": 1, "where": where}
    words = make(GATE_WORDS, "gate.first_passed", **facts)
    verdict = {"words": words, "said": {"words": words.to_json()}}
    entry = Promotion(action="promote", version=1, because=attack, by=attack, verdict=verdict)
    registry.record("toy", entry, expected=0)
    return workspace


def harmless(page, attack):
    """The attack is shown, and only as text."""
    assert page.status_code == 200
    assert html.escape(attack) == attack or attack not in page.text
    assert "1337" not in page.text
    # What is left of it when scripts' data are put aside has no tag and ends no attribute.
    shown = re.sub(r'<script type="application/json".*?</script>', "", page.text, flags=re.S)
    assert "alert(1)</script>" not in shown
    assert not re.search(r"<(?:img|svg)[^>]*\son\w+=", shown)
    return html.unescape(shown)


@pytest.mark.parametrize("language", ["vi", "en"])
@pytest.mark.parametrize("path", ["/data", "/models"])
def test_what_people_name_is_shown_as_text(ask, shop, attack, path, language):
    headers = {"accept": "text/html", "accept-language": language}
    (page,) = ask(("GET", path, headers), root=shop.root, registry=Registry(shop.store))
    assert attack in harmless(page, attack)


def test_what_an_address_holds_is_shown_as_text(ask, attack):
    quoted = {"params": {"next": f"/{attack}"}}
    login, nowhere = ask(
        ("GET", "/login", {"accept": "text/html"}, quoted),
        ("GET", f"/no/{attack}", {"accept": "text/html"}),
    )
    harmless(login, attack)
    assert nowhere.status_code == 404
    assert html.escape(attack) == attack or attack not in nowhere.text


def test_the_name_of_a_key_is_shown_as_text(ask, attack, tmp_path):
    add_key(tmp_path / "keys.json", "an", ["predict"])
    kept = json.loads((tmp_path / "keys.json").read_text())
    kept["keys"][0]["name"] = attack  # the command refuses such a name
    (tmp_path / "keys.json").write_text(json.dumps(kept))
    ring = load_keyring(tmp_path / "keys.json")
    session = f"{sessions.COOKIE}={sessions.open_session(ring.keys[0])}"
    (page,) = ask(
        ("GET", "/", {"accept": "text/html", "cookie": session}),
        keyring=ring, settings=ServeSettings(require_keys=True),
    )  # fmt: skip
    assert attack in harmless(page, attack)


ROLES = {
    "viewer": ["predict"],
    "labeller": ["predict", "correct"],
    "reviewer": ["predict", "correct", "review"],
    "admin": ["predict", "correct", "review", "admin"],
}
DECISION = {"id": "d1", "sample": 1, "reviewer": "an", "action": "accept", "value": "x"}
CHANGE = {"model": "toy@2"}
# Who may do no less than this; everybody below is turned away before anything is looked at.
RIGHTS = [
    ("POST", "/models/api/promote", CHANGE, "admin"),
    ("POST", "/models/api/rollback", {"model": "toy"}, "admin"),
    ("POST", "/%6dodels/api/promote", CHANGE, "admin"),
    ("DELETE", "/models/toy", None, "admin"),
    ("POST", "/review/api/decide", DECISION, "reviewer"),
    ("POST", "/review/api/draft", {"sample": 1, "value": "x", "revision": 0}, "reviewer"),
    ("POST", "/review/api/adjudicate", DECISION, "reviewer"),
    ("GET", "/review/api/next?task=text", None, "reviewer"),
    ("GET", "/review/api/progress?task=text", None, "reviewer"),
    ("GET", "/review/api/disagreements?task=text", None, "reviewer"),
    ("GET", "/review", None, "reviewer"),
    ("GET", "/data", None, "reviewer"),
    ("GET", "/data/api/diff?before=a&after=b", None, "reviewer"),
    ("POST", "/data/api/audit", {"task": "text"}, "reviewer"),
    ("GET", "/pictures/" + "0" * 64, None, "reviewer"),
    ("POST", "/corrections", {"prediction": "none", "label": "x"}, "labeller"),
    ("GET", "/models", None, "viewer"),
    ("GET", "/watch/api/now", None, "viewer"),
]


@pytest.fixture
def people(tmp_path):
    """A session of each role."""
    file = tmp_path / "keys.json"
    for role, scopes in ROLES.items():
        add_key(file, role, scopes)
    ring = load_keyring(file)
    cookies = {key.name: f"{sessions.COOKIE}={sessions.open_session(key)}" for key in ring.keys}
    return ring, cookies


@pytest.mark.parametrize(("method", "path", "body", "least"), RIGHTS)
def test_a_role_may_do_what_is_its_own(ask, workspace, people, method, path, body, least):
    ring, cookies = people
    sent = {"json": body} if body is not None else {}
    roles = ["", *ROLES]
    # Who may is asked for only where that runs no command: the others show where the door is.
    below = roles[: roles.index(least)]
    asked = below if "audit" in path or "diff" in path or "models/api" in path else roles
    answers = ask(
        *[
            (method, path, {"cookie": cookies.get(role, ""), "sec-fetch-site": "same-origin"}, sent)
            for role in asked
        ],
        root=workspace.root, keyring=ring, settings=ServeSettings(require_keys=True),
    )  # fmt: skip
    for role, answer in zip(asked, answers, strict=True):
        expected = {401} if not role else {403}
        if role in below:
            assert answer.status_code in expected, role
        else:
            assert answer.status_code not in (401, 403), role


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [(method, path, body) for method, path, body, _ in RIGHTS if method != "GET"],
)
def test_no_other_page_acts_in_an_administrators_name(ask, workspace, people, method, path, body):
    ring, cookies = people
    sent = {"json": body} if body is not None else {}
    pages = [
        {},
        {"sec-fetch-site": "cross-site", "origin": "https://evil.example"},
        {"sec-fetch-site": "same-site", "origin": "https://evil.nhan"},
        {"sec-fetch-site": "none"},
        {"origin": "null"},
        {"origin": "http://nhan.evil.example"},
        {"referer": "http://nhan/models"},
    ]
    answers = ask(
        *[(method, path, {"cookie": cookies["admin"], **page}, sent) for page in pages],
        root=workspace.root, keyring=ring, settings=ServeSettings(require_keys=True),
    )  # fmt: skip
    assert [answer.status_code for answer in answers] == [403] * len(pages)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/models/api/promote", {"model": "toy@1", "because": "x" * 501}),
        ("/models/api/promote", {"model": "toy@1", "force": True}),
        ("/models/api/promote", {"model": ["toy@1"]}),
        ("/models/api/rollback", {}),
        ("/models/api/promote", {"model": "toy@1", "because": "a\0b"}),
        ("/models/api/promote", {"model": "toy@1", "because": "\ud800"}),
        ("/models/api/promote", {"model": f"toy@{'9' * 5000}"}),
        ("/models/api/rollback", {"model": f"toy@{'9' * 5000}"}),
        ("/data/api/audit", {"task": "--fix"}),
        ("/data/api/diff?before=a%00&after=b", None),
        ("/review/api/decide", {**DECISION, "action": "promote"}),
    ],
)
def test_what_a_page_never_sends_is_refused(ask, workspace, path, body):
    sent = {"content": json.dumps(body)} if body is not None else {}
    kind = {"accept": "application/json", "content-type": "application/json"}
    method = "POST" if sent else "GET"
    (answer,) = ask((method, path, kind, sent), root=workspace.root)
    assert 400 <= answer.status_code < 500
    assert answer.json()["error"]["message"]
