"""The Streamlit page's client: the bytes as they are, and every refusal in the server's words."""

from __future__ import annotations

import json

import httpx
import pytest

from nhan.errors import UpstreamFailed
from nhan.web.client import Client, Refused

PREDICTION = {
    "id": "1",
    "task": "text",
    "model": "toy",
    "version": "1",
    "text": "đá",
    "confidence": 1,
}


def client(handler, **options):
    return Client("http://nhan/tools/", transport=httpx.MockTransport(handler), **options)


def test_a_picture_is_sent_as_it_is():
    seen = []

    def answer(request):
        seen.append(request)
        return httpx.Response(200, json=PREDICTION, headers={"x-nhan-collected": "yes"})

    picture = bytes(range(256))
    found = client(answer, key="secret", user="Bình").answer(picture, model="toy")
    (request,) = seen
    assert request.content == picture
    assert str(request.url) == "http://nhan/tools/predict?model=toy"
    assert request.headers["authorization"] == "Bearer secret"
    assert request.headers["x-nhan-user"] == "B%C3%ACnh"
    assert (found.value, found.kept, found.classes) == ("đá", True, [])


def test_a_class_is_an_answer_too():
    document = {**PREDICTION, "label": "rose"}
    del document["text"]
    document["labels"] = {"rose": 0.7, "aster": 0.2, "lily": 0.1}
    found = client(lambda _: httpx.Response(200, json=document)).answer(b"x")
    assert found.value == "rose"
    assert found.classes == ["rose", "aster", "lily"]


def test_a_refusal_keeps_its_words():
    error = {"code": "conflict", "message": "somebody said đã", "hint": "look",
             "details": {"standing": {"id": "7", "label": "đã"}}}  # fmt: skip
    with pytest.raises(Refused) as refused:
        client(lambda _: httpx.Response(409, json={"error": error})).correct("1", "đá")
    assert (refused.value.status, refused.value.message) == (409, "somebody said đã")
    assert refused.value.details["standing"]["id"] == "7"


def test_a_correction_can_take_another_back():
    seen = []

    def keep(request):
        seen.append(json.loads(request.content))
        return httpx.Response(201, json={"id": "8", "prediction": "1", "label": "đá"})

    assert client(keep).correct("1", "đá", replaces="7") == "8"
    assert seen == [{"prediction": "1", "label": "đá", "replaces": "7"}]


def test_no_server_and_a_strange_one_are_told_apart():
    def away(request):
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(UpstreamFailed, match="cannot be reached"):
        client(away).models()
    for strange in (
        httpx.Response(502, text="<html>"),
        httpx.Response(500, json=[]),
        httpx.Response(404, json={"error": "no such model"}),
        httpx.Response(404, json={"error": ["no such model"]}),
    ):
        with pytest.raises(UpstreamFailed, match="no error of ours"):
            client(lambda _, strange=strange: strange).models()


@pytest.mark.parametrize("said", [b"<!doctype html>", b"{}", b"[]", b"null", b'{"models": 1}'])
def test_what_another_server_answers_is_no_answer(said):
    """A page of Label Studio's, say, where somebody mixed up the ports."""
    page = client(lambda request: httpx.Response(200, content=said))
    for ask in (page.models, lambda: page.answer(b"picture"), lambda: page.correct("1", "đá")):
        with pytest.raises(UpstreamFailed, match="no answer of ours"):
            ask()


@pytest.mark.parametrize("url", ["", "nhan", "http://[", "http://nhan:port", "http://nhan/\0"])
def test_what_is_no_address_is_told(url):
    with pytest.raises(UpstreamFailed):
        Client(url).models()


def test_a_key_that_cannot_be_sent_is_told():
    with pytest.raises(UpstreamFailed, match="cannot be reached"):
        Client("http://nhan", key="khoá").models()
