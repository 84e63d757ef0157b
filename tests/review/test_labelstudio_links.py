"""Signed links, the interface, tokens: what needs no server."""

from __future__ import annotations

import base64
import json
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread

import httpx
import pytest

from nhan.errors import (
    BadRequest,
    BadSource,
    Forbidden,
    NhanError,
    NotFound,
    SettingsError,
    Unauthorized,
    UpstreamFailed,
)
from nhan.review.labelstudio import client as client_module
from nhan.review.labelstudio.client import LabelStudio
from nhan.review.labelstudio.config import Fields, make_config
from nhan.review.labelstudio.connection import Mark
from nhan.review.labelstudio.links import Links, Signer, hash_in, load_signer
from nhan.review.labelstudio.tokens import VARIABLE, read_token

SHA = "ab" * 32
SIGNER = Signer(b"s" * 32)


def query(link: str) -> dict[str, str]:
    return dict(httpx.URL(link).params)


def test_a_link_opens_its_picture_until_its_time_is_up() -> None:
    link = Links(SIGNER, "http://nhan", 10).to(SHA, "images/ab/x.png", now=1000.0)
    asked = query(link)
    SIGNER.check_picture(SHA, asked["expires"], asked["signature"], 1000.0 + 10 * 86400 - 1)
    with pytest.raises(Forbidden, match="expired"):
        SIGNER.check_picture(SHA, asked["expires"], asked["signature"], 1000.0 + 10 * 86400)


@pytest.mark.parametrize(
    ("sha256", "change"),
    [
        ("cd" * 32, {}),
        (SHA, {"expires": "99999999999"}),
        (SHA, {"signature": ""}),
        (SHA, {"signature": "0" * 64}),
        (SHA, {"signature": "é"}),
        (SHA, {"expires": ""}),
        (SHA, {"expires": "-1"}),
        (SHA, {"expires": "٣"}),
    ],
)
def test_nothing_else_is_opened_by_it(sha256: str, change: dict[str, str]) -> None:
    asked = query(Links(SIGNER, "http://nhan", 10).to(SHA, "x.png")) | change
    with pytest.raises(Forbidden):
        SIGNER.check_picture(sha256, asked["expires"], asked["signature"], time.time())


def test_another_secret_opens_nothing() -> None:
    asked = query(Links(Signer(b"t" * 32), "http://nhan", 10).to(SHA, "x.png"))
    with pytest.raises(Forbidden, match="does not fit"):
        SIGNER.check_picture(SHA, asked["expires"], asked["signature"], time.time())


def test_a_link_is_fresh_for_half_its_time_at_its_address() -> None:
    links = Links(SIGNER, "http://nhan", 10)
    link = links.to(SHA, "x.png", now=0.0)
    assert links.is_fresh(link, SHA, now=4.9 * 86400)
    assert not links.is_fresh(link, SHA, now=5.1 * 86400)
    assert not Links(SIGNER, "http://moved", 10).is_fresh(link, SHA, now=0.0)
    assert not Links(Signer(b"t" * 32), "http://nhan", 10).is_fresh(link, SHA, now=0.0)
    assert not links.is_fresh(None, SHA, now=0.0)


def test_tiff_is_asked_for_as_png() -> None:
    links = Links(SIGNER, "http://nhan", 10)
    assert query(links.to(SHA, "images/ab/x.tif"))["as"] == "png"
    assert "as" not in query(links.to(SHA, "images/ab/x.jpg"))


def test_the_hash_is_found_in_our_addresses_only() -> None:
    assert hash_in(Links(SIGNER, "https://nhan.test/sub", 10).to(SHA, "x.png")) == SHA
    for other in ("", "x.png", f"http://nhan/other/{SHA}", "http://nhan/pictures/../etc", "http:["):
        assert hash_in(other) == ""


def test_the_secret_is_made_once_and_is_its_owners(tmp_path: Path) -> None:
    together = Barrier(8)
    found: list[Signer] = []

    def load() -> None:
        together.wait()
        found.append(load_signer(tmp_path))

    threads = [Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(found[0].secret) == 64


def test_replicas_may_share_a_secret_by_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NHAN_SIGNING_SECRET", "r" * 40)
    assert load_signer(tmp_path).secret == b"r" * 40
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("NHAN_SIGNING_SECRET", "short")
    with pytest.raises(SettingsError, match="5 characters"):
        load_signer(tmp_path)


def test_secrets_for_others_differ_by_purpose_and_tell_nothing_of_ours() -> None:
    one, other = SIGNER.secret_of("webhook"), SIGNER.secret_of("backend")
    assert one != other
    assert "s" * 8 not in one


# How far we read


def test_what_changed_last_is_read_twice_for_a_minute_and_then_no_more() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    ours = noon + timedelta(hours=7)  # our clock need not agree with theirs
    minute = timedelta(minutes=1)
    mark = Mark(project="p").move(noon, ours, swept=True)
    assert (mark.since, mark.swept) == (noon - minute, ours)
    mark = mark.move(noon, ours + minute / 2, swept=False)
    assert (mark.since, mark.swept) == (noon - minute, ours)
    mark = mark.move(noon, ours + minute, swept=False)
    assert mark.since == noon
    mark = mark.move(noon + 3 * minute, ours + 3 * minute, swept=False)
    assert mark.since == noon + 2 * minute
    assert Mark(project="p").move(None, ours, swept=False).since is None


# The interface


def test_the_interfaces_we_make_say_where_the_label_is() -> None:
    text = Fields.of(make_config("text", []))
    assert (text.name, text.is_choice, text.picture) == ("text", False, "image")
    classes = Fields.of(make_config("classes", ['a "b" & <c>', "hoa cúc"]))
    assert (classes.name, classes.choices) == ("label", ('a "b" & <c>', "hoa cúc"))
    assert classes.holds("hoa cúc")
    assert not classes.holds("hoa")
    many = make_config("classes", [f"c{number}" for number in range(40)])
    assert 'layout="select"' in many


@pytest.mark.parametrize(
    "config",
    [
        "",
        "<View>",
        "<View/>",
        '<View><Image name="a" value="$a"/></View>',
        '<View><Image name="a" value="$a"/><TextArea name="t" toName="a" perRegion="true"/></View>',
        '<View><Image name="a" value="$a"/><TextArea name="t"/><TextArea name="u"/></View>',
        '<!DOCTYPE x [<!ENTITY e "boom">]><View><Image name="a" value="&e;"/></View>',
        "<View>" * 200_000,
        "<View>\ud800</View>",
    ],
)
def test_interfaces_without_one_label_are_refused(config: str) -> None:
    with pytest.raises(BadSource):
        Fields.of(config)


# Tokens and refusals


def jwt(**claims: object) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'HS256'})}.{part(claims)}.signature"


@pytest.mark.parametrize(
    ("token", "said"),
    [("", "holds no token"), ("ab cd", "blanks"), ("eyJhbGciOi.eyJ0b2tlb", "only a part")],
)
def test_a_token_that_cannot_be_one(token: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, token)
    with pytest.raises(SettingsError, match=said) as caught:
        read_token()
    assert not token or token not in caught.value.message + caught.value.hint


class Wire:
    """Stands for the network; remembers what was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        shown = request.headers.get("authorization", "")
        self.asked.append((request.method, request.url.path, shown))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, token: str) -> LabelStudio:
        return LabelStudio("http://ls/", token, transport=httpx.MockTransport(self))


def test_a_refresh_token_never_goes_along_and_is_exchanged_when_its_time_comes() -> None:
    refresh = jwt(token_type="refresh", exp=time.time() + 1e9)
    first, second = (jwt(token_type="access", exp=time.time() + lasts) for lasts in (1, 300))
    wire = Wire(
        httpx.Response(200, json={"access": first}),
        httpx.Response(200, json={"id": 1}),
        httpx.Response(200, json={"access": second}),
        httpx.Response(200, json={"id": 1}),
        httpx.Response(200, json={"id": 1}),
    )
    with wire.client(refresh) as client:
        for _ in range(3):
            client.user()
    paths = [path for _, path, _ in wire.asked]
    exchange, ask = "/api/token/refresh/", "/api/current-user/whoami"
    assert paths == [exchange, ask, exchange, ask, ask]
    assert [shown for *_, shown in wire.asked] == [
        "", f"Bearer {first}", "", f"Bearer {second}", f"Bearer {second}",
    ]  # fmt: skip


def test_a_legacy_token_is_sent_as_it_is() -> None:
    wire = Wire(httpx.Response(200, json={"id": 1}))
    with wire.client("0123abcd") as client:
        client.user()
    assert wire.asked == [("GET", "/api/current-user/whoami", "Token 0123abcd")]


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (httpx.Response(401, json={"detail": "Invalid token."}), Unauthorized, "Invalid token"),
        (httpx.Response(403, json={"detail": "no right"}), Forbidden, "no right"),
        (httpx.Response(404, text="<html>"), NotFound, "nothing at GET"),
        (httpx.Response(302, headers={"location": "https://ls/"}), UpstreamFailed, "https://ls/"),
        (httpx.Response(200, text="<html>"), UpstreamFailed, "no Label Studio does"),
        (httpx.Response(200, json=[]), UpstreamFailed, "no Label Studio does"),
        (
            httpx.Response(400, json={"validation_errors": {"title": ["Too <b>short</b>."]}}),
            BadRequest,
            "title: Too short",
        ),
        (httpx.Response(500, text="boom"), UpstreamFailed, "with 500"),
    ],
)
def test_refusals_are_named(answer: httpx.Response, kind: type[NhanError], said: str) -> None:
    with Wire(answer).client("legacy") as client, pytest.raises(kind, match=said):
        client.user()


def test_reading_is_tried_again_and_writing_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_PAUSES_S", (0.0, 0.0, 0.0))
    wire = Wire(
        httpx.ConnectError("refused"),
        httpx.Response(503),
        httpx.Response(408),  # what stands before it lost patience
        httpx.Response(200, json={"id": 1}),
    )
    with wire.client("legacy") as client:
        assert client.user() == {"id": 1}
    wire = Wire(httpx.ReadTimeout("too long"))
    with wire.client("legacy") as client, pytest.raises(UpstreamFailed, match="too long"):
        client.import_tasks(1, [{"data": {}}])
    assert len(wire.asked) == 1
    # A watch goes on after it, as after a 503; it would end of what it could not mend.
    wire = Wire(httpx.Response(408))
    with wire.client("legacy") as client, pytest.raises(UpstreamFailed, match="with 408"):
        client.import_tasks(1, [{"data": {}}])


@pytest.mark.parametrize("address", ["", "ls.test", "ftp://ls", "http://", "http://a:b@ls"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(SettingsError):
        LabelStudio(address, "legacy")
