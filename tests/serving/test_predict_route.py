"""POST /predict in every form of the contract."""

from __future__ import annotations

import asyncio
import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from nhan.images import PictureLimits


def run(coroutine):
    return asyncio.run(coroutine)


@pytest.fixture
def forms(toy_picture):
    picture = toy_picture("đâư")
    encoded = base64.b64encode(picture).decode()
    return {
        "raw": {"content": picture, "headers": {"content-type": "image/png"}},
        "raw without a type": {"content": picture},
        "curl --data-binary": {
            "content": picture,
            "headers": {"content-type": "application/x-www-form-urlencoded"},
        },
        "field file": {"files": {"file": ("ảnh.png", picture)}},
        "field image": {"files": {"image": ("a.png", picture)}},
        "field body": {"files": {"body": ("a.png", picture)}},
        "beside other fields": {"files": {"image": ("a", picture)}, "data": {"user": "u1"}},
        "json": {"json": {"image": encoded}},
        "json data address": {"json": {"image": f"data:image/png;base64,{encoded}"}},
        "json with line breaks": {"json": {"image": "\n".join([encoded[:40], encoded[40:]])}},
        "form of base64": {"data": {"image": encoded}},
        "beside an empty file field": {
            "files": [("file", ("", b"")), ("image", ("a.png", picture))]
        },
        "type in capitals": {
            "content": json.dumps({"image": encoded}),
            "headers": {"content-type": "Application/JSON; Charset=UTF-8"},
        },
    }


def test_every_form_gives_the_same_prediction(serving, forms):
    async def scenario():
        async with serving() as running:
            return {
                name: await running.client.post("/predict", **form) for name, form in forms.items()
            }

    for name, response in run(scenario()).items():
        body = response.json()
        assert response.status_code == 200, (name, body)
        assert (body["text"], body["model"], body["version"]) == ("đâư", "toy", "1"), name
        assert response.headers["x-nhan-model"] == "toy@1"


def test_prediction_has_the_promised_members(serving, toy_picture):
    async def scenario():
        async with serving() as running:
            return [await running.ask(toy_picture("ăđ")) for _ in range(2)]

    first, second = (response.json() for response in run(scenario()))
    assert set(first) == {
        "id",
        "task",
        "model",
        "version",
        "text",
        "confidence",
        "characters",
        "duration_ms",
    }
    assert [one["text"] for one in first["characters"]] == ["ă", "đ"]
    assert 0.9 < first["confidence"] <= 1
    assert first["duration_ms"] > 0
    assert first["id"] < second["id"], "ids sort by time"
    assert first["task"] == "text"


def test_plain_text_for_those_who_ask(serving, toy_picture):
    async def scenario():
        async with serving() as running:
            return await running.client.post(
                "/predict", content=toy_picture("êôơ"), headers={"accept": "text/plain"}
            )

    response = run(scenario())
    assert response.text == "êôơ"
    assert response.headers["content-type"] == "text/plain; charset=utf-8"


def test_model_is_chosen_by_name(serving, toy_picture, error_of):
    async def scenario():
        async with serving() as running:
            return (
                await running.ask(toy_picture("đ"), model="toy"),
                await running.ask(toy_picture("đ"), model="nobody"),
            )

    found, missing = run(scenario())
    assert found.status_code == 200
    assert missing.status_code == 404
    assert error_of(missing)["hint"] == "models: toy"


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"content": b""}, 400, "bad_picture"),
        ({"content": b"hello"}, 415, "unsupported_picture"),
        ({"content": b"\x89PNG\r\n\x1a\n"}, 400, "bad_picture"),
        ({"json": {"image": "###"}}, 400, "bad_request"),
        ({"json": {"image": 7}}, 400, "bad_request"),
        ({"json": {}}, 400, "bad_request"),
        ({"json": [1]}, 400, "bad_request"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "bad_request"),
        ({"data": {"file": ""}}, 400, "bad_picture"),
        ({"data": {"file": "!", **{str(n): "x" for n in range(9)}}}, 400, "bad_request"),
        ({"files": {"other": ("a", b"x")}}, 400, "bad_request"),
        ({"files": {"file": ("a", b"")}}, 400, "bad_picture"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "bad_request"),
        (
            {
                "content": b"--b\r\nx",
                "headers": {"content-type": "multipart/form-data; boundary=b"},
            },
            400,
            "bad_request",
        ),
    ],
)
def test_what_is_no_picture_is_refused_in_our_shape(serving, error_of, request_, status, code):
    async def scenario():
        async with serving() as running:
            return await running.client.post("/predict", **request_)

    response = run(scenario())
    assert response.status_code == status
    assert error_of(response)["code"] == code


def test_truncated_picture_is_refused(serving, toy_picture, error_of):
    async def scenario():
        async with serving() as running:
            return [
                await running.ask(toy_picture("đăâê", form)[:-30])
                for form in ("PNG", "JPEG", "GIF")
            ]

    for response in run(scenario()):
        assert (response.status_code, error_of(response)["code"]) == (400, "bad_picture")


def test_a_picture_of_the_largest_size_fits_in_every_form(serving):
    """Base64 makes it a third larger, and a form may write three characters for one of those."""
    picture = toy_noise()
    encoded = base64.b64encode(picture).decode()
    limits = PictureLimits(max_bytes=len(picture))
    forms = [
        {"content": picture},
        {"files": {"file": ("a.png", picture)}},
        {
            "content": json.dumps({"image": encoded}),
            "headers": {"content-type": "Application/JSON"},
        },
        {"data": {"image": encoded}},
    ]

    async def scenario():
        async with serving(limits=limits) as running:
            return [
                await running.client.post(path, **form)
                for path in ("/predict", "/classify", "/predictions/toy")
                for form in forms
            ]

    for number, response in enumerate(run(scenario())):
        assert response.status_code == 200, (number, response.text)


def toy_noise() -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (500, 500, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()
