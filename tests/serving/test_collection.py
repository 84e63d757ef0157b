"""Every route that answers keeps what it answered, unless whoever asked does not want that."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import unicodedata
from urllib.parse import quote

import pytest

from nhan.images import content_hash
from nhan.serving.app import create_admin_app
from nhan.settings import UploadSettings
from nhan.uploads.record import UploadRecord


def records(store):
    paths = sorted(store.list("uploads/inbox"))
    return [UploadRecord.from_bytes(store.read(path)) for path in paths]


def test_an_answered_picture_is_kept_with_all_that_is_known(collecting, toy_picture):
    picture = toy_picture("đă")

    async def scenario():
        async with collecting() as (running, store):
            answer = await running.client.post(
                "/predict",
                content=picture,
                headers={
                    "x-nhan-user": "Lan%20Anh",
                    "x-nhan-consent": "yes",
                    "x-request-id": "abc-1",
                },
            )
            await running.shipped()
            return answer, records(store), store

    answer, (record,), store = asyncio.run(scenario())
    assert answer.headers["x-nhan-collected"] == "yes"
    prediction = answer.json()
    assert (record.id, record.value) == (prediction["id"], "đă")
    assert (record.task, record.model, record.version) == ("text", "toy", "1")
    assert record.details == {key: prediction[key] for key in ("text", "characters")}
    assert (record.user, record.consent, record.request_id) == ("Lan Anh", True, "abc-1")
    assert (record.format, record.size_bytes) == ("png", len(picture))
    assert record.sha256 == content_hash(picture)
    assert store.read(record.path) == picture


def test_a_user_has_one_name_however_its_marks_are_written(collecting, toy_picture):
    forms = [unicodedata.normalize(form, "Lê Ngân") for form in ("NFC", "NFD")]

    async def scenario():
        async with collecting() as (running, store):
            for name in forms:
                for header in (quote(name), name.encode()):
                    await running.client.post(
                        "/predict", content=toy_picture("đ"), headers={"x-nhan-user": header}
                    )
            await running.shipped()
            return records(store)

    kept = asyncio.run(scenario())
    assert [record.user for record in kept] == ["Lê Ngân"] * 4


def _v2_binary(picture):
    body = struct.pack("<I", len(picture)) + picture
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "image",
                    "datatype": "BYTES",
                    "shape": [1],
                    "parameters": {"binary_data_size": len(body)},
                }
            ]
        }
    ).encode()
    return head + body, {"inference-header-content-length": str(len(head))}


@pytest.mark.parametrize(
    "ask",
    [
        lambda p: ("/predict", {"content": p}),
        lambda p: ("/predict", {"files": {"file": p}}),
        lambda p: ("/predict", {"json": {"image": base64.b64encode(p).decode()}}),
        lambda p: ("/classify", {"files": {"image": p}}),
        lambda p: ("/predictions/toy", {"content": p}),
        lambda p: ("/predictions/toy/1", {"content": p}),
        lambda p: (
            "/v1/models/toy:predict",
            {"json": {"instances": [{"image": {"b64": base64.b64encode(p).decode()}}] * 2}},
        ),
        lambda p: (
            "/v2/models/toy/infer",
            dict(zip(("content", "headers"), _v2_binary(p), strict=True)),
        ),
    ],
    ids=["raw", "form", "json", "classify", "torchserve", "torchserve-version", "v1", "v2"],
)
def test_every_route_keeps_the_original_bytes(collecting, toy_picture, ask):
    picture = toy_picture("đâ")
    path, options = ask(picture)

    async def scenario():
        async with collecting() as (running, store):
            kept = await running.client.post(path, **options)
            options["headers"] = {**options.get("headers", {}), "x-nhan-collect": "off"}
            left = await running.client.post(path, **options)
            await running.shipped(2 if "v1" in path else 1)
            return kept, left, records(store), store

    kept, left, found, store = asyncio.run(scenario())
    assert (kept.status_code, kept.headers["x-nhan-collected"]) == (200, "yes")
    assert (left.status_code, left.headers["x-nhan-collected"]) == (200, "no")
    assert len(found) == (2 if "v1" in path else 1), "the request that opted out is not there"
    assert {record.sha256 for record in found} == {content_hash(picture)}
    assert store.read(found[0].path) == picture


@pytest.mark.parametrize(
    ("word", "consent"), [("yes", True), ("no", False), ("maybe", False), (None, None)]
)
def test_only_a_clear_yes_is_consent(collecting, toy_picture, word, consent):
    async def scenario():
        async with collecting() as (running, store):
            headers = {} if word is None else {"x-nhan-consent": word}
            await running.client.post("/predict", content=toy_picture("đ"), headers=headers)
            await running.shipped()
            return records(store)

    (record,) = asyncio.run(scenario())
    assert record.consent is consent


def test_a_workspace_can_be_switched_off(collecting, toy_picture):
    async def scenario():
        async with collecting(settings=UploadSettings(collect="off")) as (running, _):
            answer = await running.ask(toy_picture("đ"))
            return answer, running.context.collector.report()

    answer, report = asyncio.run(scenario())
    assert (answer.status_code, answer.headers["x-nhan-collected"]) == (200, "no")
    assert report.kept == 0


def test_only_chosen_pictures_are_kept_where_that_is_asked(collecting, toy_picture):
    settings = UploadSettings(
        collect="sampled", random_share=1.0, random_a_day=2, low_confidence=0.0, free_megabytes=0
    )

    async def scenario():
        async with collecting(settings=settings) as (running, _):
            return [(await running.ask(toy_picture("đ"))).headers for _ in range(4)]

    headers = asyncio.run(scenario())
    assert [one["x-nhan-collected"] for one in headers] == ["yes", "yes", "no", "no"]


def test_a_full_spool_answers_and_says_so(collecting, toy_picture):
    settings = UploadSettings(free_megabytes=10**9)

    async def scenario():
        async with collecting(settings=settings) as (running, _):
            answers = [await running.ask(toy_picture("đ")) for _ in range(3)]
            return answers, running.context.collector.report()

    answers, report = asyncio.run(scenario())
    assert {(one.status_code, one.headers["x-nhan-collected"]) for one in answers} == {(200, "no")}
    assert report.dropped == {"full": 3}


def test_a_full_spool_refuses_where_that_is_asked(collecting, toy_picture, error_of):
    settings = UploadSettings(free_megabytes=10**9, when_full="refuse")

    async def scenario():
        async with collecting(settings=settings) as (running, _):
            answers = [await running.ask(toy_picture("đ")) for _ in range(2)]
            left = await running.client.post(
                "/predict", content=toy_picture("đ"), headers={"x-nhan-collect": "off"}
            )
            running.context.collector.configure(UploadSettings(free_megabytes=0))
            answers.append(await running.ask(toy_picture("đ")))
            return answers, left

    (first, second, later), left = asyncio.run(scenario())
    for refused in (first, second):
        assert (refused.status_code, error_of(refused)["code"]) == (503, "spool_full")
        assert int(refused.headers["retry-after"]) >= 1
    assert left.status_code == 200
    assert (later.status_code, later.headers["x-nhan-collected"]) == (200, "yes")


def test_a_refused_picture_is_not_kept(collecting):
    async def scenario():
        async with collecting() as (running, _):
            answer = await running.ask(b"no picture")
            return answer.status_code, running.context.collector.report().kept

    assert asyncio.run(scenario()) == (415, 0)


def test_an_unusable_user_is_refused(collecting, toy_picture, error_of):
    async def scenario():
        async with collecting() as (running, _):
            return [
                await running.client.post(
                    "/predict", content=toy_picture("đ"), headers={"x-nhan-user": user}
                )
                for user in ("x" * 201, "a%00b")
            ]

    for answer in asyncio.run(scenario()):
        assert (answer.status_code, error_of(answer)["code"]) == (400, "bad_request")


def test_metrics_tell_how_collection_stands(collecting, toy_picture):
    async def scenario():
        async with collecting(factory=create_admin_app) as (running, _):
            collector = running.context.collector
            collector.spool.dropped["full"] += 2
            return (await running.client.get("/metrics")).text

    text = asyncio.run(scenario())
    for line in (
        "nhan_uploads_waiting 0.0",
        'nhan_uploads_dropped_total{reason="full"} 2.0',
        "nhan_uploads_spool_bytes 0.0",
        "nhan_uploads_oldest_seconds 0.0",
        "nhan_uploads_shipped_total 0.0",
    ):
        assert line in text


def test_a_candidate_that_disagrees_is_noted_once_the_upload_is_kept(collecting, toy_picture):
    """The shadow answers after the champion, so its word is a note beside the record."""

    async def scenario():
        async with collecting() as (running, store):
            kept = (await running.ask(toy_picture("đă"))).json()["id"]
            left = await running.client.post(
                "/predict", content=toy_picture("đ"), headers={"x-nhan-collect": "off"}
            )
            for prediction in (kept, left.json()["id"]):
                running.context.service._differs(prediction, "toy@2", "khác")
            return kept, store

    kept, store = asyncio.run(scenario())
    notes = [path for path in store.list("uploads/inbox") if "disagreement" in path]
    assert [path.rpartition("/")[2] for path in notes] == [f"{kept}-disagreement.json"]
    assert json.loads(store.read(notes[0]))["answer"] == "khác"
