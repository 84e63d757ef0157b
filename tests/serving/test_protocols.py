"""The protocols of other servers: n pictures in, n answers out, in order."""

from __future__ import annotations

import asyncio
import base64
import json
import struct

import pytest

WORDS = ["đ", "ăâ", "êôơ", "ưé", "đăâêôơưé", "é"]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture
def ask(serving):
    """Sends one request to a running server."""

    def send(method, path, **request):
        async def scenario():
            async with serving() as running:
                return await running.client.request(method, path, **request)

        return asyncio.run(scenario())

    return send


class TestTorchServe:
    @pytest.mark.parametrize("method", ["POST", "PUT"])
    def test_raw_body(self, ask, toy_picture, method):
        response = ask(method, "/predictions/toy", content=toy_picture("đăâ"))
        assert (response.text, response.headers["content-type"]) == (
            "đăâ",
            "text/plain; charset=utf-8",
        )

    @pytest.mark.parametrize("field", ["data", "body"])
    def test_field(self, ask, toy_picture, field):
        response = ask("POST", "/predictions/toy/1", files={field: ("x.png", toy_picture("êô"))})
        assert response.text == "êô"

    def test_base64(self, ask, toy_picture):
        encoded = b64(toy_picture("êô"))
        assert ask("POST", "/predictions/toy", content=encoded).text == "êô"
        assert ask("POST", "/predictions/toy", data={"data": encoded}).text == "êô"
        assert ask("POST", "/predictions/toy", files={"data": encoded.encode()}).text == "êô"

    def test_unknown_model_in_torchserves_shape(self, ask, toy_picture):
        response = ask("POST", "/predictions/nobody", content=toy_picture("đ"))
        body = response.json()
        assert response.status_code == body["code"] == 404
        assert body["type"] == "ModelNotFoundException"
        assert body["error"]["code"] == "not_found"

    def test_ping(self, ask):
        assert ask("GET", "/ping").json() == {"status": "Healthy"}


class TestV1:
    def test_answers_in_order(self, ask, toy_picture):
        instances = [{"image": {"b64": b64(toy_picture(word))}} for word in WORDS]
        response = ask("POST", "/v1/models/toy:predict", json={"instances": instances})
        assert [one["text"] for one in response.json()["predictions"]] == WORDS
        assert response.headers["x-nhan-model"] == "toy@1"

    def test_readiness(self, ask):
        assert ask("GET", "/v1/models/toy").json() == {"name": "toy", "ready": True}
        assert ask("GET", "/v1/models").json() == {"models": ["toy"]}
        missing = ask("GET", "/v1/models/nobody")
        assert missing.status_code == 404
        assert isinstance(missing.json()["error"], str)

    def test_not_ready_while_it_drains(self, serving):
        async def scenario():
            async with serving() as running:
                running.context.service.draining = True
                return await running.client.get("/v1/models/toy")

        response = asyncio.run(scenario())
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) >= 1

    @pytest.mark.parametrize(
        "body", [{}, {"instances": 3}, {"instances": [{}]}, {"instances": [{"image": 5}]}, [], 1]
    )
    def test_malformed(self, ask, body):
        response = ask("POST", "/v1/models/toy:predict", json=body)
        assert response.status_code == 400
        assert isinstance(response.json()["error"], str)

    def test_one_bad_picture_is_named(self, ask, toy_picture):
        instances = [{"image": {"b64": b64(data)}} for data in (toy_picture("đ"), b"nothing")]
        response = ask("POST", "/v1/models/toy:predict", json={"instances": instances})
        assert response.status_code == 415
        assert response.json()["error"].startswith("picture 1:")

    def test_too_many_pictures(self, ask):
        response = ask("POST", "/v1/models/toy:predict", json={"instances": [""] * 65})
        assert response.status_code == 400
        assert "65 pictures" in response.json()["error"]


class TestV2:
    def infer(self, ask, pictures, path="/v2/models/toy/infer", **extra):
        tensor = {
            "name": "image",
            "datatype": "BYTES",
            "shape": [len(pictures)],
            "data": [b64(picture) for picture in pictures],
        }
        return ask("POST", path, json={"id": "42", "inputs": [tensor], **extra})

    def test_json(self, ask, toy_picture):
        body = self.infer(ask, [toy_picture(word) for word in WORDS]).json()
        label, confidence = body["outputs"]
        assert (body["id"], body["model_name"], body["model_version"]) == ("42", "toy", "1")
        assert (label["name"], label["datatype"], label["shape"]) == ("label", "BYTES", [6])
        assert label["data"] == WORDS
        assert confidence["datatype"] == "FP32"
        assert all(0.9 < value <= 1 for value in confidence["data"])

    def test_only_the_outputs_asked_for(self, ask, toy_picture):
        body = self.infer(ask, [toy_picture("đ")], outputs=[{"name": "confidence"}]).json()
        assert [output["name"] for output in body["outputs"]] == ["confidence"]

    def test_binary_extension_both_ways(self, ask, toy_picture):
        packed = b"".join(
            struct.pack("<I", len(picture)) + picture for picture in map(toy_picture, WORDS)
        )
        head = json.dumps(
            {
                "inputs": [
                    {
                        "name": "image",
                        "datatype": "BYTES",
                        "shape": [len(WORDS), 1],
                        "parameters": {"binary_data_size": len(packed)},
                    }
                ],
                "parameters": {"binary_data_output": True},
            }
        ).encode()
        response = ask(
            "POST",
            "/v2/models/toy/versions/1/infer",
            content=head + packed,
            headers={"Inference-Header-Content-Length": str(len(head))},
        )
        size = int(response.headers["inference-header-content-length"])
        outputs = json.loads(response.content[:size])["outputs"]
        tail, words = response.content[size:], []
        label_size = outputs[0]["parameters"]["binary_data_size"]
        position = 0
        while position < label_size:
            (length,) = struct.unpack_from("<I", tail, position)
            words.append(tail[position + 4 : position + 4 + length].decode())
            position += 4 + length
        assert words == WORDS
        assert len(struct.unpack(f"<{len(WORDS)}f", tail[label_size:])) == len(WORDS)

    def test_metadata_and_health(self, ask):
        assert ask("GET", "/v2").json()["extensions"] == ["binary_tensor_data"]
        assert ask("GET", "/v2/").json()["name"] == "nhan"
        assert ask("GET", "/v2/health/live").status_code == 200
        assert ask("GET", "/v2/health/ready").status_code == 200
        model = ask("GET", "/v2/models/toy").json()
        assert (model["versions"], model["inputs"][0]["datatype"]) == (["1"], "BYTES")
        assert ask("GET", "/v2/models/toy/ready").json()["ready"] is True
        assert ask("GET", "/v2/models/toy/versions/1/ready").status_code == 200
        assert ask("GET", "/v2/models/toy/versions/7/ready").status_code == 404

    @pytest.mark.parametrize(
        "tensor",
        [
            {"datatype": "FP32"},
            {"shape": [2]},
            {"shape": [-1]},
            {"shape": "1"},
            {"shape": [1, 2]},
            {"shape": [True]},
            {"shape": [10**30]},
            {"name": "other"},
            {"data": None},
            {"data": [[[]]]},
            {"data": [1]},
            {"parameters": 5},
            {"parameters": {"binary_data_size": "x"}},
            {"parameters": {"binary_data_size": 10}},
        ],
    )
    def test_malformed_input(self, ask, toy_picture, tensor):
        good = {
            "name": "image", "datatype": "BYTES", "shape": [1], "data": [b64(toy_picture("đ"))]
        }  # fmt: skip
        response = ask("POST", "/v2/models/toy/infer", json={"inputs": [{**good, **tensor}]})
        assert response.status_code == 400
        assert isinstance(response.json()["error"], str)

    @pytest.mark.parametrize("length", ["x", "-1", "99999999", "١", "9" * 5000])
    def test_malformed_header_length(self, ask, length):
        response = ask(
            "POST",
            "/v2/models/toy/infer",
            content=b"{}",
            headers={"Inference-Header-Content-Length": length.encode()},
        )
        assert response.status_code == 400


class TestClassify:
    def test_names_the_file(self, ask, toy_picture):
        response = ask("POST", "/classify", files={"image": ("hoa đào.png", toy_picture("đă"))})
        assert response.json()["filename"] == "hoa đào.png"
        assert response.json()["text"] == "đă"

    @pytest.mark.parametrize(
        ("disposition", "name"),
        [
            ('name="image"; filename="a \\"b\\".png"', 'a "b".png'),
            ("name=image; filename=a.png", "a.png"),
            (
                'name="image"; filename="hoa.png"; filename*=UTF-8\'\'hoa%20%C4%91%C3%A0o.png',
                "hoa đào.png",
            ),
            ('name="image"', ""),
        ],
    )
    def test_a_file_name_in_every_notation(self, ask, toy_picture, disposition, name):
        body = f"--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode()
        response = ask(
            "POST",
            "/classify",
            content=body + toy_picture("đ") + b"\r\n--b--\r\n",
            headers={"content-type": "multipart/form-data; boundary=b"},
        )
        assert response.json()["filename"] == name

    def test_the_name_is_that_of_the_picture_answered(self, ask, toy_picture):
        files = [("file", ("empty.png", b"")), ("image", ("b.png", toy_picture("đ")))]
        assert ask("POST", "/classify", files=files).json()["filename"] == "b.png"

    def test_urls_are_off_by_default(self, ask):
        for path in ("/classify", "/predict"):
            response = ask("GET", path, params={"image_url": "https://example.org/a.png"})
            assert response.status_code == 403
        assert ask("GET", "/predict").status_code == 400


def test_same_bytes_in_every_protocol_give_the_same_answer(ask, toy_picture):
    picture = toy_picture("ăâêô")
    answers = {
        ask("POST", "/predict", content=picture).json()["text"],
        ask("POST", "/classify", content=picture).json()["text"],
        ask("POST", "/predictions/toy", content=picture).text,
        ask("POST", "/v1/models/toy:predict", json={"instances": [{"b64": b64(picture)}]}).json()[
            "predictions"
        ][0]["text"],
        TestV2().infer(ask, [picture]).json()["outputs"][0]["data"][0],
    }
    assert answers == {"ăâêô"}
