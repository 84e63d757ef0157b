"""The console's pages without a browser: what they hold, who may see them, what they fetch."""

from __future__ import annotations

import asyncio
import re

import pytest

from nhan.serving import sessions
from nhan.serving.app import create_app
from nhan.serving.keys import add_key, load_keyring
from nhan.settings import ServeSettings
from nhan.web.mount import furnish

HTML = {"accept": "text/html,*/*;q=0.8"}


def with_console(context):
    return create_app(context, furnish)


@pytest.fixture
def ask(serving):
    """Ask the console of a server without a workspace: `ask(("GET", "/", {…}), …)`."""

    def run(*requests, **parts):
        async def scenario():
            async with serving(factory=with_console, **parts) as running:
                return [
                    await running.client.request(
                        method, path, headers={**HTML, **headers}, **(rest[0] if rest else {})
                    )
                    for method, path, headers, *rest in requests
                ]

        return asyncio.run(scenario())

    return run


PAGES = ("/", "/docs", "/login")


@pytest.mark.parametrize("path", PAGES)
def test_the_page_fetches_nothing_from_elsewhere(ask, path):
    (page,) = ask(("GET", path, {}))
    assert page.status_code == 200
    addresses = set(re.findall(r"(?:src|href|action)=\"(?:https?:)?//[^\"]*", page.text))
    assert addresses == set()
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", PAGES)
def test_no_page_has_inline_script_or_style(ask, path):
    (page,) = ask(("GET", path, {}))
    for opening in re.findall(r"<script[^>]*>", page.text):
        assert "src=" in opening or 'type="application/json"' in opening
    assert "<style" not in page.text
    assert not re.search(r"\s(?:on\w+|style)=\"", page.text)


def test_scripts_never_make_markup_of_text():
    from nhan.web.pages import files

    for script in files("nhan.web").joinpath("static").iterdir():
        if script.name.endswith(".js"):
            text = script.read_text(encoding="utf-8")
            for maker in (
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
            ):
                assert maker not in text, script.name


def test_the_browsers_language_is_spoken_and_a_choice_is_remembered(ask):
    first, english, chosen, kept = ask(
        ("GET", "/", {"accept-language": "fr"}),
        ("GET", "/", {"accept-language": "en-GB,en;q=0.9,vi;q=0.1"}),
        ("GET", "/?language=vi", {"accept-language": "en"}),
        ("GET", "/", {"accept-language": "en", "cookie": "nhan_language=vi"}),
    )
    assert 'lang="vi"' in first.text
    assert 'lang="en"' in english.text
    assert "Read pictures" in english.text
    assert "nhan_language=vi" in chosen.headers["set-cookie"]
    assert "Đọc ảnh" in chosen.text
    assert "Đọc ảnh" in kept.text


def test_files_are_kept_by_browsers_only_under_their_own_stamp(ask):
    (page,) = ask(("GET", "/", {}))
    address = re.search(r'href="(/static/[^"]+console\.css)"', page.text).group(1)
    right, wrong, *none = ask(
        ("GET", address, {}),
        ("GET", "/static/old/console.css", {}),
        ("GET", "/static/old/none.css", {}),
        ("GET", "/static/old/%2e%2e/pages.py", {}),
        ("GET", f"/static/old/{'a' * 3000}", {}),  # longer than any file's name
        ("GET", f"/static/old/{'a/' * 3000}a", {}),
        ("GET", "/static/old/a%00", {}),
    )
    assert "immutable" in right.headers["cache-control"]
    assert right.headers["content-type"].startswith("text/css")
    assert wrong.headers["cache-control"] == "no-store"
    assert [answer.status_code for answer in none] == [404] * 5


def test_a_person_gets_a_page_for_an_error_and_a_program_json(ask):
    person, program = ask(("GET", "/nowhere", {}), ("GET", "/nowhere", {"accept": "*/*"}))
    assert person.status_code == program.status_code == 404
    assert program.json()["error"]["hint"] == "see /docs"
    assert "<h1>" in person.text
    assert program.json()["error"]["code"] == "not_found"


class TestUnderAPath:
    def test_links_and_files_carry_it_and_both_kinds_of_proxy_work(self, ask):
        settings = ServeSettings(root_path="/tools/nhan")
        kept, stripped, foreign = ask(
            ("GET", "/tools/nhan/", {}), ("GET", "/", {}), ("GET", "/tools/nhanx", {}),
            settings=settings,
        )  # fmt: skip
        assert kept.text == stripped.text
        for address in re.findall(r'(?:href|src|action)="(/[^"]*)"', kept.text):
            assert address.startswith("/tools/nhan/")
        assert foreign.status_code == 404

    def test_programs_reach_their_routes(self, ask, toy_picture):
        (answer,) = ask(
            ("POST", "/tools/nhan/predict", {"accept": "*/*"}, {"content": toy_picture("đă")}),
            settings=ServeSettings(root_path="/tools/nhan"),
        )
        assert answer.json()["text"] == "đă"

    def test_a_wrong_one_is_refused(self):
        with pytest.raises(ValueError, match="root_path"):
            ServeSettings(root_path="nhan/")


@pytest.fixture
def keys(tmp_path):
    file = tmp_path / "keys.json"
    made = {name: add_key(file, name, scopes)[1] for name, scopes in {
        "viewer": ["predict"],
        "reviewer": ["predict", "correct", "review"],
    }.items()}  # fmt: skip
    return load_keyring(file), made


KEYED = ServeSettings(require_keys=True)
OURS = {"sec-fetch-site": "same-origin", "content-type": "application/x-www-form-urlencoded"}


class TestLogin:
    def test_a_page_asks_for_a_key_and_comes_back(self, ask, keys):
        ring, made = keys
        form = f"key={made['reviewer']}&next=%2Fdocs"
        (turned_away, let_in) = ask(
            ("GET", "/docs?a=1", {}), ("POST", "/login", OURS, {"content": form}),
            keyring=ring, settings=KEYED,
        )  # fmt: skip
        assert (turned_away.status_code, turned_away.headers["location"]) == (
            303, "/login?next=%2Fdocs%3Fa%3D1",
        )  # fmt: skip
        assert let_in.headers["location"] == "/docs"
        cookie = let_in.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert made["reviewer"] not in cookie

    def test_a_session_opens_what_its_key_may(self, ask, keys):
        ring, _ = keys
        viewer, reviewer = (
            {"cookie": f"{sessions.COOKIE}={sessions.open_session(key)}"} for key in ring.keys
        )
        answers = ask(
            ("GET", "/", viewer), ("GET", "/review", viewer), ("GET", "/", reviewer),
            keyring=ring, settings=KEYED,
        )  # fmt: skip
        assert [answer.status_code for answer in answers] == [200, 403, 200]
        assert "viewer" in answers[0].text
        assert 'href="/review"' not in answers[0].text
        assert 'href="/review"' in answers[2].text

    def test_wrong_keys_and_foreign_forms_are_refused(self, ask, keys):
        ring, made = keys
        right = {"content": f"key={made['viewer']}"}
        foreign = {"origin": "https://elsewhere.example", "host": "nhan"}
        answers = ask(
            ("POST", "/login", OURS, {"content": "key=nonsense"}),
            ("POST", "/login", OURS, {"content": ""}),
            ("POST", "/login", foreign, right),
            ("POST", "/login", {"sec-fetch-site": "same-site", "origin": "http://nhan"}, right),
            ("POST", "/login", {}, right),
            ("POST", "/login", {"origin": "http://nhan"}, right),
            keyring=ring, settings=KEYED,
        )  # fmt: skip
        assert [one.status_code for one in answers] == [401, 400, 403, 403, 403, 303]

    @pytest.mark.parametrize(
        "origin", ["http://[", "http://[::1", "//[", "http://a]b", "null", "["]
    )
    def test_an_origin_that_is_none_is_a_foreign_one(self, ask, keys, origin):
        ring, made = keys
        form = {"data": {"key": made["viewer"]}}
        let_in, refused = ask(
            ("POST", "/login", {"host": "[", "sec-fetch-site": "same-origin"}, form),
            ("POST", "/login", {"host": "nhan", "origin": origin}, form),
            keyring=ring, settings=KEYED,
        )  # fmt: skip
        assert (let_in.status_code, refused.status_code) == (303, 403)

    @pytest.mark.parametrize("wanted", ["//evil.example", "https://evil.example", "/\\evil", ""])
    def test_it_leads_to_our_own_pages_only(self, ask, keys, wanted):
        ring, made = keys
        form = {"data": {"key": made["viewer"], "next": wanted}}
        (answer,) = ask(
            ("POST", "/login", {"sec-fetch-site": "same-origin"}, form),
            keyring=ring, settings=KEYED,
        )  # fmt: skip
        assert answer.headers["location"] == "/"

    def test_a_session_changes_things_from_our_pages_only(self, ask, keys, toy_picture):
        ring, _ = keys
        session = {"cookie": f"{sessions.COOKIE}={sessions.open_session(ring.keys[0])}"}
        picture = {"content": toy_picture("đ")}
        answers = ask(
            ("POST", "/predict", session, picture),
            ("POST", "/predict", {**session, "sec-fetch-site": "same-site"}, picture),
            ("POST", "/predict", {**session, "origin": "http://elsewhere"}, picture),
            ("POST", "/predict", {**session, "origin": "http://nhan"}, picture),
            ("POST", "/predict", {**session, "sec-fetch-site": "same-origin"}, picture),
            keyring=ring, settings=KEYED,
        )  # fmt: skip
        assert [one.status_code for one in answers] == [403, 403, 403, 200, 200]

    def test_logging_out_takes_the_session_away(self, ask, keys):
        (answer,) = ask(
            ("POST", "/logout", OURS), keyring=keys[0], settings=KEYED
        )  # fmt: skip
        assert answer.status_code == 303
        assert "Max-Age=0" in answer.headers["set-cookie"]


class TestSessions:
    def test_end_and_forgery(self, keys):
        ring, _ = keys
        key = ring.keys[0]
        session = sessions.open_session(key, now=1000.0)
        assert sessions.key_of(ring, session, now=1000.0 + sessions.LIFETIME_S - 1) is key
        other = sessions.open_session(ring.keys[1], now=1000.0)
        forged = [
            session[:-1] + ("0" if session[-1] != "0" else "1"),
            session.replace(key.id, ring.keys[1].id),
            session.replace("44200", "99999999999"),
            ".".join([key.id, *other.split(".")[1:]]),
            "", ".", "..", f"{key.id}.²³.x", f"{key.id}.9999999999999999999.x",
        ]  # fmt: skip
        for tried in forged:
            with pytest.raises(Exception, match="login has ended"):
                sessions.key_of(ring, tried, now=1000.0)
        with pytest.raises(Exception, match="login has ended"):
            sessions.key_of(ring, session, now=1000.0 + sessions.LIFETIME_S)

    def test_a_revoked_key_takes_its_sessions_along(self, keys):
        ring, _ = keys
        session = sessions.open_session(ring.keys[0])
        ring.replace(type(ring)(ring.keys[1:]))
        with pytest.raises(Exception, match="login has ended"):
            sessions.key_of(ring, session)
