"""Same picture, same answer: any form, any neighbours, any protocol, any lane."""

from __future__ import annotations

import asyncio
import base64
from itertools import pairwise

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

LETTERS = "đăâêôơưé"
# A letter beside itself is one run for CTC, so words have none.
words = st.lists(
    st.text(LETTERS, min_size=1, max_size=12).filter(
        lambda word: all(a != b for a, b in pairwise(word))
    ),
    min_size=1,
    max_size=10,
)
protocols = st.sampled_from(["raw", "multipart", "json", "torchserve", "v1", "v2"])


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(words, st.data())
def test_answers_do_not_depend_on_neighbours_protocol_or_lane(serving, toy_picture, batch, data):
    kinds = [data.draw(protocols) for _ in batch]

    async def scenario():
        async with serving(lanes=data.draw(st.integers(1, 3))) as running:
            asked = [
                ask(running.client, kind, toy_picture(word))
                for kind, word in zip(kinds, batch, strict=True)
            ]
            return await asyncio.gather(*asked)

    assert asyncio.run(scenario()) == batch


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(words)
def test_n_pictures_give_n_answers_in_order(serving, toy_picture, batch):
    async def scenario():
        async with serving(lanes=3) as running:
            found = await running.context.service.predict_many([toy_picture(w) for w in batch])
            alone = [await running.context.service.predict(toy_picture(w)) for w in batch]
            return found, alone

    found, alone = asyncio.run(scenario())
    assert [one.value for one in found] == batch
    for together, by_itself in zip(found, alone, strict=True):
        assert together.value == by_itself.value
        assert abs(together.confidence - by_itself.confidence) < 1e-6
        assert together.details["characters"] == by_itself.details["characters"]


async def ask(client: httpx.AsyncClient, kind: str, picture: bytes) -> str:
    encoded = base64.b64encode(picture).decode()
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [encoded]}
    path, request = {
        "raw": ("/predict", {"content": picture}),
        "multipart": ("/predict", {"files": {"image": picture}}),
        "json": ("/predict", {"json": {"image": encoded}}),
        "torchserve": ("/predictions/toy", {"content": picture}),
        "v1": ("/v1/models/toy:predict", {"json": {"instances": [{"image": {"b64": encoded}}]}}),
        "v2": ("/v2/models/toy/infer", {"json": {"inputs": [tensor]}}),
    }[kind]
    response = await client.post(path, **request)
    assert response.status_code == 200, response.text
    if kind == "torchserve":
        return response.text
    body = response.json()
    if kind == "v1":
        return body["predictions"][0]["text"]
    return body["outputs"][0]["data"][0] if kind == "v2" else body["text"]
