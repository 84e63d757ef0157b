"""Bodies that are cheap to send and dear to read: refused before they cost anything."""

from __future__ import annotations

import asyncio
import base64
import json
import tracemalloc
from importlib import import_module

import pytest
from starlette.requests import Request

from nhan.errors import BadRequest, PictureTooLarge
from nhan.images import PictureLimits
from nhan.serving import app
from nhan.serving.app import create_admin_app
from nhan.serving.body import SmallJson, decode_base64, read_picture
from nhan.serving.json_body import MAX_VALUES, parse_json
from nhan.web import mount

MANY = {
    "zeros": b"[" + b"0," * 1_000_000 + b"0]",
    "objects": b"[" + b"{}," * 1_000_000 + b"{}]",
    "lists": b"[" + b"[]," * 1_000_000 + b"[]]",
    "members": b"{" + b'"":0,' * 1_000_000 + b'"":0}',
    "nested": b"[" + (b"[" * 400 + b"]" * 400 + b",") * 2_000 + b"0]",
}


def b64(data):
    return base64.b64encode(data).decode()


@pytest.fixture
def answers(serving):
    """What a running server answers to some requests."""

    def ask(requests, **options):
        async def scenario():
            async with serving(**options) as running:
                return [await running.client.request(*one[:2], **one[2]) for one in requests]

        return asyncio.run(scenario())

    return ask


@pytest.fixture
def peak():
    """Megabytes that something takes at most."""

    def measure(do):
        tracemalloc.start()
        try:
            do()
            return tracemalloc.get_traced_memory()[1] / 1e6
        finally:
            tracemalloc.stop()

    return measure


@pytest.mark.parametrize("body", MANY.values(), ids=list(MANY))
@pytest.mark.parametrize(
    "path", ["/predict", "/predictions/toy", "/v1/models/toy:predict", "/v2/models/toy/infer"]
)
def test_json_of_a_million_values_is_refused(answers, path, body):
    headers = {"content-type": "application/json"}
    (response,) = answers([("POST", path, {"content": body, "headers": headers})])
    assert response.status_code == 400, response.text[:200]
    assert f"{MAX_VALUES:,} values" in response.text
    assert "base64" in response.text


@pytest.mark.parametrize("body", MANY.values(), ids=list(MANY))
def test_it_is_refused_without_being_parsed(body, peak):
    def parse():
        with pytest.raises(BadRequest):
            asyncio.run(parse_json(body))

    assert peak(parse) < 4


def test_base64_counts_as_one_value_however_long():
    picture = "A" * 4_000_000 + "+/=="
    assert asyncio.run(parse_json(json.dumps({"image": picture}).encode())) == {"image": picture}
    assert len(asyncio.run(parse_json(json.dumps([0] * (MAX_VALUES - 1)).encode()))) > 1


def test_others_have_their_turn_between_the_pictures_of_a_request(serving, toy_picture):
    """Decoding many pictures at a stretch would hold up everybody."""
    pictures = [b64(toy_picture("đ"))] * 64
    tensor = {"name": "image", "datatype": "BYTES", "shape": [64], "data": pictures}
    bodies = {
        "/v1/models/toy:predict": {"instances": pictures},
        "/v2/models/toy/infer": {"inputs": [tensor]},
    }

    async def scenario(path, monkeypatch):
        turns, decoded_at = 0, []

        async def others():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        module = __import__(f"nhan.serving.routes.{path[1:3]}", fromlist=["decode_base64"])

        def noting(*values):
            decoded_at.append(turns)
            return decode_base64(*values)

        monkeypatch.setattr(module, "decode_base64", noting)
        async with serving() as running:
            spinning = asyncio.create_task(others())
            response = await running.client.post(path, json=bodies[path])
            spinning.cancel()
        assert response.status_code == 200
        return decoded_at

    for path in bodies:
        with pytest.MonkeyPatch.context() as monkeypatch:
            decoded_at = asyncio.run(scenario(path, monkeypatch))
        assert len(set(decoded_at)) == 64, path


def test_too_many_pictures_are_counted_before_they_are_decoded(answers):
    nonsense = ["?"] * 65
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [nonsense]}
    asked = [
        ("POST", "/v1/models/toy:predict", {"json": {"instances": nonsense}}),
        ("POST", "/v2/models/toy/infer", {"json": {"inputs": [tensor]}}),
    ]
    for response in answers(asked):
        assert response.status_code == 400
        assert "65 pictures" in response.json()["error"]


def test_binary_data_of_a_million_empty_pictures_is_refused_at_once(answers, peak):
    """Each costs four bytes to send."""
    tensor = {
        "name": "image", "datatype": "BYTES", "shape": [1],
        "parameters": {"binary_data_size": 4_000_000},
    }  # fmt: skip
    head = json.dumps({"inputs": [tensor]}).encode()
    request = {
        "content": head + bytes(4_000_000),
        "headers": {"Inference-Header-Content-Length": str(len(head))},
    }
    (response,) = answers([("POST", "/v2/models/toy/infer", request)])
    assert response.status_code == 400
    assert "pictures" in response.json()["error"]
    assert "1000000" not in response.text  # nobody went through them all


def test_a_long_picture_is_refused_before_it_is_decoded(answers):
    limits = PictureLimits(max_bytes=30_000)
    long = "A" * 60_000  # 45,000 bytes
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [long]}
    asked = [
        ("POST", "/predict", {"json": {"image": long}}),
        ("POST", "/v1/models/toy:predict", {"json": {"instances": [long]}}),
        ("POST", "/v2/models/toy/infer", {"json": {"inputs": [tensor]}}),
    ]
    for response in answers(asked, limits=limits):
        assert response.status_code == 413, response.text
        assert "45,000 bytes" in response.text
    with pytest.raises(PictureTooLarge):
        decode_base64("!" * 60_000, 30_000)


def test_base64_with_line_breaks_costs_no_more_than_without(peak):
    picture = bytes(range(256)) * 4000
    spaced = " \r\n".join(b64(picture))
    assert decode_base64(spaced, 10_000_000) == picture
    assert peak(lambda: decode_base64(spaced, 10_000_000)) < 3 * len(spaced) / 1e6


def read_form(body):
    async def receive():
        return {"type": "http.request", "body": body}

    headers = [(b"content-type", b"application/x-www-form-urlencoded")]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    return asyncio.run(read_picture(request, 10_000_000))


@pytest.mark.parametrize("field", [b"image=", b"data="])
def test_a_form_of_escapes_is_read_without_a_list_of_them(peak, field):
    """`unquote` makes an object of each: 40 MB of them took three gigabytes."""
    body = field + b"%41" * 400_000
    assert read_form(body) == bytes(300_000)
    assert peak(lambda: read_form(body)) < 8


@pytest.mark.parametrize(
    ("value", "picture"),
    [
        (b"QUJDRA==", b"ABCD"),
        (b"QUJDRA%3D%3d&other=%zz", b"ABCD"),
        (b"//8%2B%2f%2F8%2b", b"\xff\xff\x3e" * 2),
        (b"QUI QUI+QU", b"AB\x3e\x41\x42\x3e\x41"),
        (b"data%3Aimage%2Fpng%3Bbase64%2CQUJD%0D%0AREVG", b"ABCDEF"),
        (b"data:image/png;base64,QUJD\r\nREVG", b"ABCDEF"),
    ],
)
def test_base64_in_a_form(value, picture):
    assert read_form(b"image=" + value) == picture


@pytest.mark.parametrize("value", [b"%4", b"QU%00JD", b"Q%", b"\xff\xfe", b"QUJD%3DQUJD"])
def test_what_is_no_base64_in_a_form(value):
    with pytest.raises(BadRequest):
        read_form(b"image=" + value)


def test_the_head_of_a_part_is_bounded(answers, peak):
    """A file name without an end took the pattern 130 bytes of memory for each of its letters."""
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="' + b"a" * 500_000
    request = {
        "content": part + b"\r\n\r\nx\r\n--b--\r\n",
        "headers": {"content-type": "multipart/form-data; boundary=b"},
    }
    (response,) = answers([("POST", "/predict", request)])
    assert response.status_code == 400
    assert "head" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "tensor",
    [
        {"datatype": "x" * 200_000},
        {"parameters": {"binary_data_size": "x" * 200_000}},
        {"parameters": {"binary_data_size": [["x" * 200_000]]}},
        {"shape": ["x" * 200_000]},
    ],
)
def test_an_error_does_not_send_everything_back(answers, tensor):
    good = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [""]}
    request = {"json": {"inputs": [{**good, **tensor}]}}
    (response,) = answers([("POST", "/v2/models/toy/infer", request)])
    assert response.status_code == 400
    assert len(response.content) < 1000


def test_field_names_are_not_all_sent_back(answers):
    request = {"files": {"x" * 10_000: b"1"}}
    (response,) = answers([("POST", "/predict", request)])
    assert response.status_code == 400
    assert len(response.content) < 1000


@pytest.mark.parametrize("path", ["/v2/models/{}", "/v2/models/toy/versions/{}", "/v1/models/{}"])
def test_nor_is_a_name_sent_back_however_long(answers, path):
    (response,) = answers([("GET", path.format("x" * 20_000), {})])
    assert response.status_code == 404
    assert len(response.content) < 1000


def test_trials_take_a_small_body_only(answers):
    much = {"shadow": ["x" * 100_000]}
    key = {"canary": {"x": 0.1}, "y" * 20_000: 1}
    long, odd, malformed = answers(
        [
            ("PUT", "/trials", {"json": much}),
            ("PUT", "/trials", {"json": key}),
            ("PUT", "/trials", {"content": b"{", "headers": {"content-type": "application/json"}}),
        ],
        factory=create_admin_app,
    )
    assert long.status_code == 413
    assert odd.status_code == 400
    assert len(odd.content) < 5000
    assert malformed.status_code == 400


def test_a_body_without_an_announced_length_is_not_kept_on_any_route(serving, peak):
    """FastAPI's own reading of a body has no end."""

    async def endless():
        for _ in range(500):
            yield b" " * 100_000

    async def scenario():
        async with serving(factory=create_admin_app) as running:
            return await running.client.put(
                "/trials", content=endless(), headers={"content-type": "application/json"}
            )

    statuses = []
    assert peak(lambda: statuses.append(asyncio.run(scenario()).status_code)) < 20
    assert statuses == [413]


def test_every_route_whose_body_fastapi_reads_is_bounded():
    late = [import_module(module).router for module in mount.LATE.values()]
    routers = [*app._MAIN, *app._ADMIN, *mount.ROUTERS, *late]
    reading = [route for router in routers for route in router.routes if route.body_field]
    assert {"/trials", "/review/api/decide", "/data/api/audit"} <= {one.path for one in reading}
    assert [one.path for one in reading if not isinstance(one, SmallJson)] == []
