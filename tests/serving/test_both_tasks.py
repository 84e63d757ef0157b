"""One server answers for models of both tasks, on every route, in each route's own shape."""

from __future__ import annotations

import asyncio
import base64
import io

import pytest
from PIL import Image


def colour(red: int, green: int, blue: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 12), (red, green, blue)).save(buffer, "PNG")
    return buffer.getvalue()


GREENISH = colour(90, 200, 30)
ORDER = ["lá", "đỏ", "lam"]


@pytest.fixture
def ask(serving, colours_registry):
    """Sends one request to a server with a reader of text, `toy`, and a classifier, `colours`."""

    def send(method, path, *, default="", **request):
        async def scenario():
            async with serving(registry=colours_registry) as running:
                running.context.service.roster.default_model = default
                return await running.client.request(method, path, **request)

        return asyncio.run(scenario())

    return send


def test_classify_tells_every_class_from_high_to_low(ask):
    response = ask("POST", "/classify", files={"image": ("hoa đào.png", GREENISH)})
    document = response.json()
    assert (document["task"], document["model"], document["version"]) == ("classes", "colours", "1")
    assert list(document["labels"]) == ORDER
    assert list(document["labels"].values()) == sorted(document["labels"].values(), reverse=True)
    assert sum(document["labels"].values()) == pytest.approx(1, abs=1e-3)
    assert document["label"] == "lá"
    assert document["confidence"] == pytest.approx(document["labels"]["lá"], abs=1e-4)
    assert document["filename"] == "hoa đào.png"
    assert response.headers["x-nhan-model"] == "colours@1"


@pytest.mark.parametrize("default", ["", "toy", "colours"])
def test_classify_means_the_only_model_of_classes(ask, default):
    """Though the default model reads text: a class is what this route is asked for."""
    response = ask("POST", "/classify", default=default, content=GREENISH)
    assert response.json()["model"] == "colours"


def test_each_model_answers_by_its_name_in_every_protocol(ask, toy_picture):
    picture = base64.b64encode(GREENISH).decode()
    text = ask("POST", "/predict?model=toy", content=toy_picture("đă")).json()
    assert (text["task"], text["text"]) == ("text", "đă")
    said = ask("POST", "/predict?model=colours", content=GREENISH)
    assert said.json()["label"] == "lá"
    plain = ask(
        "POST", "/predict?model=colours", content=GREENISH, headers={"accept": "text/plain"}
    )
    assert plain.text == "lá"
    assert list(ask("POST", "/predictions/colours", content=GREENISH).json()) == ORDER
    body = {"instances": [{"image": {"b64": picture}}, {"image": {"b64": picture}}]}
    (first, second) = ask("POST", "/v1/models/colours:predict", json=body).json()["predictions"]
    assert first["label"] == second["label"] == "lá"
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [picture]}
    outputs = ask("POST", "/v2/models/colours/infer", json={"inputs": [tensor]}).json()["outputs"]
    assert {one["name"]: one["data"] for one in outputs}["label"] == ["lá"]


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"content": b""}, 400, "bad_picture"),
        ({"files": {"other": ("a.png", GREENISH)}}, 400, "bad_request"),
        ({"files": {"image": ("a.png", b"")}}, 400, "bad_picture"),
        ({"files": {"image": ("a.png", GREENISH[:40])}}, 400, "bad_picture"),
        ({"files": {"image": ("a.png", b"hello, no picture")}}, 415, "unsupported_picture"),
        ({"content": bytes(11_000_000)}, 413, "image_too_large"),
        ({"content": GREENISH, "params": {"model": "nobody"}}, 404, "not_found"),
    ],
)
def test_what_cannot_be_classified_says_why(ask, error_of, request_, status, code):
    response = ask("POST", "/classify", **request_)
    assert (response.status_code, error_of(response)["code"]) == (status, code)
    assert error_of(response)["hint"]
