"""What Label Studio asks of us, and pictures by signed links, without a server of its own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from nhan.catalog.labelstudio import NOTE
from nhan.catalog.schema import events
from nhan.review.labelstudio.config import make_config
from nhan.review.labelstudio.links import BACKEND_PURPOSE, WEBHOOK_PURPOSE, Links, load_signer
from nhan.samples.pictures import picture_path
from nhan.serving.app import create_app
from nhan.serving.keys import add_key, load_keyring
from nhan.settings import ServeSettings
from nhan.web.mount import furnish
from nhan.workspace import Workspace

Call = Callable[..., list[httpx.Response]]


@pytest.fixture
def call(serving, workspace) -> Call:
    """Calls one after the other: `call(("GET", path, {headers}), ("POST", path, {}, json))`."""

    def run(*requests, **parts):
        async def scenario():
            parts.setdefault("root", workspace.root)
            async with serving(
                factory=lambda context: create_app(context, furnish), **parts
            ) as running:
                answers = [
                    await running.client.request(
                        method, path, headers=headers, json=body[0] if body else None
                    )
                    for method, path, headers, *body in requests
                ]
                await asyncio.to_thread(running.context.closing[-1])
                return answers

        return asyncio.run(scenario())

    return run


@pytest.fixture
def closed(workspace) -> dict[str, Any]:
    """A server that asks for keys, and one that may review."""
    file = workspace.root / "keys.json"
    _, secret = add_key(file, "an", ["review"])
    settings = ServeSettings(require_keys=True)
    return {"settings": settings, "keyring": load_keyring(file), "secret": secret}


@pytest.fixture
def kept(workspace: Workspace, toy_picture) -> Callable[[str], tuple[str, bytes]]:
    """Keeps the toy's picture of a text; its hash and bytes."""

    def keep(text: str, form: str = "PNG", ending: str = "png") -> tuple[str, bytes]:
        data = toy_picture(text, form)
        sha256 = hashlib.sha256(data).hexdigest()
        workspace.store.put(picture_path(sha256, ending), data)
        return sha256, data

    return keep


def basic(workspace: Workspace, secret: str = "") -> dict[str, str]:
    secret = secret or load_signer(workspace.root).secret_of(BACKEND_PURPOSE)
    said = base64.b64encode(f"nhan:{secret}".encode()).decode()
    return {"authorization": f"Basic {said}"}


def test_a_picture_is_given_with_a_key_or_a_signed_link(
    call: Call, workspace, kept, closed
) -> None:
    secret = closed.pop("secret")
    sha256, data = kept("đă")
    path = f"/pictures/{sha256}"
    links = Links(load_signer(workspace.root), "", 10)
    link = links.to(sha256, "x.png")
    plain, keyed, signed, forged, expired = call(
        ("GET", path, {}),
        ("GET", path, {"x-api-key": secret}),
        ("GET", link, {"origin": "https://labels.test", "sec-fetch-site": "cross-site"}),
        ("GET", link[:-1] + ("0" if link[-1] != "0" else "1"), {}),
        ("GET", links.to(sha256, "x.png", now=0), {}),
        **closed,
    )
    assert [one.status_code for one in (plain, keyed, signed, forged, expired)] == [
        401, 200, 200, 403, 403,
    ]  # fmt: skip
    assert keyed.content == signed.content == data
    assert signed.headers["access-control-allow-origin"] == "*"
    assert signed.headers.get_list("cross-origin-resource-policy") == ["cross-origin"]
    assert signed.headers["x-content-type-options"] == "nosniff"
    # What a key opens is for our own pages only.
    assert "access-control-allow-origin" not in keyed.headers
    assert keyed.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "query",
    ["xsignature=1", "as=png&x=signature=", "x&signature%5B%5D=1", "Signature=1", ";signature="],
)
def test_what_only_looks_like_a_signature_opens_no_picture(
    call: Call, kept, closed, query: str
) -> None:
    """The door and the route must read the same query, or a request passes between them."""
    del closed["secret"]
    sha256, data = kept("đă")
    (answer,) = call(("GET", f"/pictures/{sha256}?{query}", {}), **closed)
    assert answer.status_code == 401
    assert data not in answer.content


def test_a_picture_is_not_sent_twice_and_shown_as_png(call: Call, kept) -> None:
    sha256, data = kept("đă", "TIFF", "tif")
    first, shown = call(
        ("GET", f"/pictures/{sha256}", {}), ("GET", f"/pictures/{sha256}?as=png", {})
    )
    assert (first.headers["content-type"], first.content) == ("image/tiff", data)
    assert shown.headers["content-type"] == "image/png"
    assert shown.content.startswith(b"\x89PNG")
    assert first.headers["etag"] != shown.headers["etag"]
    (again,) = call(
        ("GET", f"/pictures/{sha256}", {"if-none-match": first.headers["etag"]}),
    )
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["x", "A" * 64, "0" * 64, "..%2f..%2fkeys.json", "0" * 65])
def test_no_such_picture(call: Call, error_of, name: str) -> None:
    (answer,) = call(("GET", f"/pictures/{name}", {}))
    assert answer.status_code == 404
    error_of(answer)


def test_browsers_may_ask_first_for_signed_links_only(call: Call) -> None:
    path = "/pictures/" + "0" * 64
    signed, plain = call(
        ("OPTIONS", path + "?expires=1&signature=x", {"origin": "https://labels.test"}),
        ("OPTIONS", path, {"origin": "https://labels.test"}),
    )
    assert signed.headers["access-control-allow-private-network"] == "true"
    assert "access-control-allow-origin" not in plain.headers


def test_suggestions_for_tasks_in_their_order(call: Call, kept) -> None:
    one, _ = kept("đă")
    two, data = kept("êô")
    tasks = [
        {"id": 1, "data": {"image": f"http://nhan/pictures/{one}?expires=1&signature=x"}},
        {"id": 2, "data": {"image": "http://elsewhere.test/x.png"}},
        {"id": 3, "data": {"sha256": two, "image": "whatever"}},
        {"id": 4, "data": {"image": "data:image/png;base64," + base64.b64encode(data).decode()}},
        {"id": 5},
        {"id": 6, "data": {"sha256": "0" * 64, "image": ""}},
    ]
    (answer,) = call(
        ("POST", "/label-studio/predict", {}, {"tasks": tasks, "label_config": TEXT}),
    )
    assert answer.status_code == 200
    results = answer.json()["results"]
    read = [one["result"][0]["value"]["text"][0] if one["result"] else "" for one in results]
    assert read == ["đă", "", "êô", "êô", "", ""]
    assert {one["model_version"] for one in results} == {"toy@1"}
    assert all(0 <= one["score"] <= 1 for one in results)


TEXT = make_config("text", [])


def test_the_contract_of_a_model_server(call: Call) -> None:
    health, setup, versions = call(
        ("GET", "/label-studio/health", {}),
        (
            "POST",
            "/label-studio/setup",
            {},
            {"schema": TEXT, "project": "1.2", "access_token": "t"},
        ),
        ("GET", "/label-studio/versions", {}),
    )
    assert health.json()["status"] == "UP"
    assert setup.json() == {"model_version": "toy@1"}
    assert versions.json() == {"versions": ["toy@1"]}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("predict", []),
        ("predict", {}),
        ("predict", {"tasks": "x", "label_config": TEXT}),
        ("predict", {"tasks": []}),
        ("predict", {"tasks": [{}] * 1001, "label_config": TEXT}),
        ("predict", {"tasks": [], "label_config": "<View/>"}),
        ("predict", {"tasks": [], "label_config": "<"}),
        ("setup", {"schema": None}),
    ],
)
def test_what_is_no_request_is_refused(call: Call, error_of, path: str, body: Any) -> None:
    (answer,) = call(("POST", f"/label-studio/{path}", {}, body))
    assert answer.status_code == 400
    error_of(answer)


def test_an_interface_of_choices_wants_a_model_of_classes(call: Call, error_of) -> None:
    config = make_config("classes", ["a", "b"])
    (answer,) = call(("POST", "/label-studio/setup", {}, {"schema": config}))
    assert answer.status_code == 503
    assert "choices" in error_of(answer)["message"]


def test_a_server_with_keys_wants_the_secret(call: Call, workspace, closed) -> None:
    secret = closed.pop("secret")
    answers = call(
        ("GET", "/label-studio/health", {}),
        ("GET", "/label-studio/health", basic(workspace, "wrong")),
        ("GET", "/label-studio/health", {"x-api-key": secret}),
        ("GET", "/label-studio/health", {"authorization": "Basic !!!"}),
        ("GET", "/label-studio/health", basic(workspace)),
        **closed,
    )
    assert [one.status_code for one in answers] == [401, 401, 401, 401, 200]


def test_webhooks_are_verified_even_on_an_open_server(call: Call, workspace) -> None:
    signer = load_signer(workspace.root)
    ours = {"authorization": f"Bearer {signer.secret_of(WEBHOOK_PURPOSE)}"}
    path = "/label-studio/webhook?task=text"
    said = {"action": "ANNOTATION_CREATED", "annotation": {"result": "not believed"}}
    answers = call(
        ("POST", path, {}, said),
        ("POST", path, {"authorization": "Bearer x"}, said),
        ("POST", path, ours, []),
        ("POST", path, ours, said),
        ("POST", path, basic(workspace), {"action": "START_TRAINING"}),
    )
    assert [one.status_code for one in answers] == [401, 401, 400, 201, 201]
    with workspace.catalog.read() as connection:
        notes = connection.scalars(sa.select(events.c.data).where(events.c.kind == NOTE)).all()
    assert [(note["action"], note["task"]) for note in notes] == [
        ("ANNOTATION_CREATED", "text"),
        ("START_TRAINING", "text"),
    ]
