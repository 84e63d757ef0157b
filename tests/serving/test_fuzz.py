"""Whatever is sent: no answer is a 5xx, and every error has its shape.

A short run belongs to the default tests; `make fuzz` runs the long one. Each case follows from its
number alone, so a failing one is found again with FUZZ_FIRST.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import random
import socket
import struct

import httpx
import numpy as np
import pytest
from PIL import Image

from nhan.images import PictureLimits
from nhan.serving.app import create_admin_app, create_app
from nhan.serving.connection import ConnectionLimits, HttpServer
from nhan.serving.engine.dispatch import QueueLimits

FEW = 600
MANY = int(os.environ.get("FUZZ_CASES", "100000"))
FIRST = int(os.environ.get("FUZZ_FIRST", "0"))

PATHS = [
    "/predict", "/classify", "/predictions/toy", "/predictions/toy/1", "/v1/models/toy:predict",
    "/v2/models/toy/infer", "/v2/models/toy/versions/1/infer",
    "/predictions/colours", "/v1/models/colours:predict", "/v2/models/colours/infer",
]  # fmt: skip
OTHER_PATHS = [
    "/", "/healthz", "/readyz", "/ping", "/docs", "/openapi.json", "/v1/models", "/v1/models/toy",
    "/v2", "/v2/health/live", "/v2/models/toy", "/v2/models/toy/versions/9", "/nowhere",
    "/predictions", "/predictions/..%2f..", "/v2/models/%00", "/v1/models/\u0111:predict",
    "//predict", "/predict/", "/models", "/models/toy", "/metrics", "/trials",
]  # fmt: skip
VALUES = [
    None, True, False, 0, -1, 1, 2**63, 1e308, -1e-300, "", "x", "\u0000", "đ", "A" * 1000, [], {},
    [[]], [None], {"b64": 1}, {"b64": "!"}, [[[[[]]]]], "\ud800", "toy", ["toy"],
]  # fmt: skip


def seeds() -> list[bytes]:
    """Small pictures of every format and several modes."""
    chance = np.random.default_rng(0)
    rgb = Image.fromarray(chance.integers(0, 256, (20, 31, 3), dtype=np.uint8))
    made = []
    for form, mode, options in [
        ("PNG", "RGB", {}), ("PNG", "P", {}), ("PNG", "1", {}), ("PNG", "LA", {}),
        ("PNG", "I;16", {}),
        ("JPEG", "RGB", {}), ("JPEG", "CMYK", {}), ("JPEG", "L", {"progressive": True}),
        ("WEBP", "RGB", {}), ("WEBP", "RGBA", {"lossless": True}), ("BMP", "RGB", {}),
        ("BMP", "1", {}), ("GIF", "P", {}), ("TIFF", "RGB", {"compression": "tiff_lzw"}),
        ("TIFF", "CMYK", {}), ("TIFF", "L", {"compression": "tiff_deflate"}), ("TIFF", "F", {}),
    ]:  # fmt: skip
        picture = (
            rgb.convert("I;16" if mode == "I;16" else mode)
            if mode != "I;16"
            else (Image.fromarray(chance.integers(0, 65536, (20, 31), dtype=np.uint16)))
        )
        buffer = io.BytesIO()
        picture.save(buffer, form, **options)
        made.append(buffer.getvalue())
    return made


class Fuzzer:
    """Makes request number n."""

    def __init__(self) -> None:
        self.pictures = seeds()

    def request(self, number: int) -> dict[str, object]:
        chance = random.Random(number)
        if chance.random() < 0.15:
            return {
                "method": chance.choice(["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "BREW"]),
                "url": chance.choice(OTHER_PATHS + PATHS) + self.query(chance),
                "headers": self.headers(chance),
                "content": chance.randbytes(chance.choice([0, 0, 3, 400])),
            }
        path = chance.choice(PATHS)
        made: dict[str, object] = {
            "method": "PUT" if chance.random() < 0.05 else "POST",
            "url": path + self.query(chance),
            "headers": self.headers(chance),
        }
        if path.startswith("/v") or chance.random() < 0.2:
            made["content"] = self.json_body(chance, path)
            made["headers"] |= {"content-type": "application/json"}
        elif chance.random() < 0.5:
            made["content"], kind = self.multipart(chance)
            made["headers"] |= {"content-type": kind}
        else:
            made["content"] = self.picture(chance)
        return made

    def picture(self, chance: random.Random) -> bytes:
        data = bytearray(chance.choice(self.pictures))
        for _ in range(chance.choice([0, 1, 1, 2, 5, 20])):
            kind, at = chance.random(), chance.randrange(len(data) or 1)
            if not data:
                break
            if kind < 0.4:
                data[at] = chance.randrange(256)
            elif kind < 0.6:
                value = chance.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 20000])
                data[at : at + 4] = struct.pack(chance.choice("<>") + "I", value)
            elif kind < 0.75:
                del data[at:]
            elif kind < 0.9:
                data[at:at] = data[at : at + chance.randrange(60)] * chance.randrange(4)
            else:
                data[at:at] = chance.choice(self.pictures)[: chance.randrange(100)]
        return bytes(data)

    def multipart(self, chance: random.Random) -> tuple[bytes, bytes]:
        boundary = chance.choice(["b", "x" * 70, "--", "a b", '"', "đ"])
        field = chance.choice(["file", "image", "body", "data", "other", "", 'x"; name="file'])
        body = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="a/../b"'
            "\r\n\r\n"
        ).encode() + self.picture(chance)
        body += f"\r\n--{boundary}--\r\n".encode()
        if chance.random() < 0.5:
            at = chance.randrange(len(body))
            body = chance.choice(
                [body[:at], body[at:], body + body, body[:at] + b"\r\n\r\n" + body[at:]]
            )
        kind = f"multipart/form-data; boundary={boundary}".encode()
        kinds = [kind, kind, kind, b"multipart/form-data", kind + b"; boundary=z"]
        return body, chance.choice(kinds)

    def json_body(self, chance: random.Random, path: str) -> bytes:
        encoded = base64.b64encode(self.picture(chance)).decode()
        if path.startswith("/v2"):
            document: object = {
                "id": "1",
                "parameters": {},
                "inputs": [
                    {"name": "image", "shape": [1], "datatype": "BYTES", "data": [encoded],
                     "parameters": {}}
                ],
                "outputs": [{"name": "label", "parameters": {"binary_data": True}}],
            }  # fmt: skip
        elif path.startswith("/v1"):
            document = {"instances": [{"image": {"b64": encoded}}]}
        else:
            document = {"image": encoded}
        for _ in range(chance.choice([0, 1, 1, 2])):
            document = self.disturb(chance, document)
        data = json.dumps(document, ensure_ascii=True).encode()
        if chance.random() < 0.1:
            data = data[: chance.randrange(len(data))] + chance.randbytes(3)
        return data

    def disturb(self, chance: random.Random, value: object) -> object:
        """Replace one part of a document, chosen while walking down."""
        if chance.random() < 0.3 or not isinstance(value, dict | list) or not value:
            return chance.choice(VALUES)
        if isinstance(value, dict):
            key = chance.choice(list(value))
            if chance.random() < 0.2:
                return {name: item for name, item in value.items() if name != key}
            return {**value, key: self.disturb(chance, value[key])}
        at = chance.randrange(len(value))
        if chance.random() < 0.2:
            return value * 3
        return [*value[:at], self.disturb(chance, value[at]), *value[at + 1 :]]

    def headers(self, chance: random.Random) -> dict[str, bytes | str]:
        headers: dict[str, bytes | str] = {}
        for name, values in {
            "accept": ["text/plain", "*/*", "application/xml", b"\xff"],
            "content-type": ["", "image/png", "text/html", "application/json; charset=utf-99",
                             "application/x-www-form-urlencoded", b"\xff/\xfe"],
            "content-encoding": ["gzip", "identity"],
            "inference-header-content-length": ["0", "5", "-1", "x", "99999999999999999999"],
            "authorization": ["Bearer", "Basic eA==", b"Bearer \xff"],
            "x-request-id": ["a", "\u00e9".encode(), "a" * 500],
            "host": ["evil.example", "a:b:c", "[::1"],
        }.items():  # fmt: skip
            if chance.random() < 0.12:
                headers[name] = chance.choice(values)
        return headers

    def query(self, chance: random.Random) -> str:
        return chance.choice(
            [""] * 6
            + ["?model=toy", "?model=colours", "?model=nobody", "?model=%00", "?model=a&model=b",
               "?%ff=%fe", "?model",
               "?image_url=http://127.0.0.1/", "?image_url=%00", "?limit=x"]
        )  # fmt: skip


def check(number: int, request: dict[str, object], response: httpx.Response) -> None:
    where = f"FUZZ_FIRST={number}: {request['method']} {request['url']} -> {response.status_code}"
    assert response.status_code < 500, f"{where} {response.text[:300]}"
    if response.status_code < 400 or request["method"] == "HEAD":
        return
    error = response.json()["error"]
    path = "/" + str(request["url"]).lstrip("/")
    if path.startswith(("/v1", "/v2")):
        assert isinstance(error, str), where
        assert error, where
    else:
        assert set(error) == {"code", "message", "hint"}, where
        assert error["message"], where


@pytest.mark.parametrize(
    ("factory", "cases"),
    [
        (create_app, FEW),
        (create_admin_app, FEW // 10),
        pytest.param(create_app, MANY, marks=pytest.mark.slow),
        pytest.param(create_admin_app, MANY // 10, marks=pytest.mark.slow),
    ],
)
def test_fuzz_whatever_is_sent_is_answered_properly(serving, colours_registry, factory, cases):
    fuzzer = Fuzzer()

    async def scenario():
        limits = PictureLimits(max_bytes=200_000, max_pixels=1_000_000)
        queue = QueueLimits(deadline_s=60, work_s=60)
        parts = {"limits": limits, "queue": queue, "registry": colours_registry}
        async with serving(factory=factory, **parts) as running:
            for number in range(FIRST, FIRST + cases):
                request = fuzzer.request(number)
                try:
                    response = await running.client.request(**request)
                except httpx.HTTPError as error:
                    raise AssertionError(
                        f"FUZZ_FIRST={number}: {request['url']}: {error}"
                    ) from error
                check(number, request, response)
            assert (await running.client.get("/healthz")).status_code == 200

    asyncio.run(scenario())


@pytest.mark.parametrize("cases", [FEW // 4, pytest.param(MANY // 10, marks=pytest.mark.slow)])
def test_fuzz_whatever_bytes_arrive_the_connection_ends_well(serving, cases):
    """Raw bytes: heads and bodies that were cut, doubled and disturbed."""
    good = (
        b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-type: image/png\r\n"
        b"content-length: 20\r\n\r\n\x89PNG\r\n\x1a\n" + bytes(12)
    )
    tokens = [
        b"\r\n", b"\r", b"\0", b" ", b"chunked", b"Transfer-Encoding: chunked\r\n", b":",
        b"HTTP/9.9",
        b"content-length: -1\r\n", b"content-length: 5\r\n", b"0\r\n\r\n", b"\xff", b"CONNECT ",
        b"upgrade: websocket\r\nconnection: upgrade\r\n", b"connection: close\r\n",
        b"PRI * HTTP/2.0",
    ]  # fmt: skip

    async def scenario():
        async with serving() as running:
            app = create_app(running.context)
            server = HttpServer(app, ConnectionLimits(head_s=2, body_s=2, keep_alive_s=2))
            listening = socket.create_server(("127.0.0.1", 0))
            listening.setblocking(False)
            await server.listen(listening)
            address = listening.getsockname()
            for number in range(FIRST, FIRST + cases):
                chance = random.Random(number)
                data = bytearray(good)
                for _ in range(chance.choice([1, 1, 2, 6])):
                    at = chance.randrange(len(data))
                    data[at : at + chance.choice([0, 0, 1, 9])] = chance.choice(tokens)
                reader, writer = await asyncio.open_connection(*address)
                writer.write(data)
                writer.write_eof()
                try:
                    answer = await asyncio.wait_for(reader.read(), 10)
                except ConnectionResetError:
                    answer = b""
                writer.close()
                status = answer[9:12]
                assert not answer or b"200" <= status < b"500", f"FUZZ_FIRST={number}: {answer!r}"
            await server.drain(grace_s=1, linger_s=0)
            assert server.open_connections == 0
            assert server.receiving_bytes == 0

    asyncio.run(scenario())
