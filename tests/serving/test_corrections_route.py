"""`POST /corrections`: known answers only, the same one once, conflicts said."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import quote

import pytest

from nhan.errors import StorageError
from nhan.serving.keys import add_key, load_keyring
from nhan.settings import ServeSettings, UploadSettings
from nhan.storage import NumberedLog
from nhan.uploads.record import corrections_prefix, inbox_path, taken_path
from pace import Stopwatch

NOBODYS = "0199f6e0000000000000000000aa"


def correct(running, prediction, label, user="", **more):
    headers = {"x-nhan-user": quote(user)} if user else {}
    body = {"prediction": prediction, "label": label, **more}
    return running.client.post("/corrections", json=body, headers=headers)


async def ask(running, picture, **headers):
    return (await running.client.post("/predict", content=picture, headers=headers)).json()["id"]


def slow_spool():
    """Nothing is shipped while a test runs."""
    return UploadSettings(ship_after_s=3600, free_megabytes=0)


@pytest.mark.parametrize("where", ["spool", "store", "taken"])
def test_a_correction_is_acknowledged_wherever_its_prediction_is(collecting, toy_picture, where):
    settings = slow_spool() if where == "spool" else None

    async def scenario():
        async with collecting(settings=settings) as (running, store):
            prediction = await ask(running, toy_picture("đă"))
            if where != "spool":
                await running.shipped()
                await asyncio.sleep(0.1)
            if where == "taken":
                data = store.read(inbox_path(prediction))
                store.put(taken_path(prediction), data)
                store.delete(inbox_path(prediction))
            return prediction, await correct(running, prediction, " đâ ", "an"), store

    prediction, answer, store = asyncio.run(scenario())
    assert answer.status_code == 201
    said = answer.json()
    assert set(said) == {"id", "prediction", "label"}
    assert (said["prediction"], said["label"]) == (prediction, "đâ")
    # The server has stopped, so it has shipped.
    ((_, entry),) = NumberedLog(store, corrections_prefix(prediction)).entries()
    assert (entry["id"], entry["label"], entry["given_by"]) == (said["id"], "đâ", "an")
    assert json.loads(store.read(inbox_path(prediction, said["id"])))["label"] == "đâ"


@pytest.mark.parametrize("shipping", [True, False])
def test_the_same_again_is_the_same_correction(collecting, toy_picture, shipping):
    async def scenario():
        settings = None if shipping else slow_spool()
        async with collecting(settings=settings) as (running, store):
            prediction = await ask(running, toy_picture("đă"))
            first = await correct(running, prediction, "đâ", "an")
            if shipping:
                await running.shipped()
                await asyncio.sleep(0.3)
            again = await correct(running, prediction, "đâ", "an")
            other = await correct(running, prediction, "đâ", "bình")
            return prediction, first, again, other, store

    prediction, first, again, other, store = asyncio.run(scenario())
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 200)
    assert first.json() == again.json() == other.json()
    assert len(NumberedLog(store, corrections_prefix(prediction)).entries()) == 1


def test_another_label_by_somebody_else_is_a_conflict_with_both_values(collecting, toy_picture):
    async def scenario():
        async with collecting(settings=slow_spool()) as (running, _):
            prediction = await ask(running, toy_picture("đă"))
            first = await correct(running, prediction, "đâ", "an")
            conflict = await correct(running, prediction, "đê", "bình")
            standing = conflict.json()["error"]["details"]["standing"]["id"]
            taken_back = await correct(running, prediction, "đê", "bình", replaces=standing)
            again = await correct(running, prediction, "đê", "bình", replaces=standing)
            return first, conflict, taken_back, again

    first, conflict, taken_back, again = asyncio.run(scenario())
    assert conflict.status_code == 409
    error = conflict.json()["error"]
    assert error["code"] == "conflict"
    assert "'đâ'" in error["message"]
    assert "'đê'" in error["message"]
    assert error["details"]["standing"]["label"] == "đâ"
    assert error["details"]["standing"]["id"] == first.json()["id"]
    assert error["details"]["asked"]["label"] == "đê"
    assert (taken_back.status_code, again.status_code) == (201, 200)
    assert taken_back.json() == again.json()
    assert taken_back.json()["id"] != first.json()["id"]


def test_people_may_change_their_own_minds_and_all_of_it_is_kept(collecting, toy_picture):
    async def scenario():
        async with collecting(settings=slow_spool()) as (running, store):
            prediction = await ask(running, toy_picture("đă"))
            answers = [await correct(running, prediction, x, "an") for x in ("đâ", "đê", "đâ")]
            return prediction, answers, store

    prediction, answers, store = asyncio.run(scenario())
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert len({answer.json()["id"] for answer in answers}) == 3
    entries = [entry for _, entry in NumberedLog(store, corrections_prefix(prediction)).entries()]
    assert [entry["label"] for entry in entries] == ["đâ", "đê", "đâ"]
    assert [entry["replaces"] for entry in entries] == ["", entries[0]["id"], entries[1]["id"]]


def test_corrections_at_the_same_moment_do_not_pass_each_other(collecting, toy_picture):
    async def scenario():
        async with collecting(settings=slow_spool()) as (running, _):
            prediction = await ask(running, toy_picture("đă"))
            same = await asyncio.gather(
                *(correct(running, prediction, "đâ", "an") for _ in range(8))
            )
            others = await asyncio.gather(
                *(correct(running, prediction, f"đ{n}", f"user {n}") for n in range(4))
            )
            return same, others

    same, others = asyncio.run(scenario())
    assert sorted(answer.status_code for answer in same) == [200] * 7 + [201]
    assert len({answer.json()["id"] for answer in same}) == 1
    assert {answer.status_code for answer in others} == {409}


@pytest.mark.parametrize("prediction", ["nope", "", "../../etc", "g" * 28, NOBODYS])
def test_a_prediction_that_was_not_kept_is_unknown(collecting, error_of, prediction):
    async def scenario():
        async with collecting() as (running, _):
            return await correct(running, prediction, "đâ")

    answer = asyncio.run(scenario())
    assert (answer.status_code, error_of(answer)["code"]) == (404, "not_found")


def test_a_picture_that_was_not_to_be_kept_cannot_be_corrected(collecting, toy_picture):
    async def scenario():
        async with collecting() as (running, _):
            prediction = await ask(running, toy_picture("đ"), **{"x-nhan-collect": "off"})
            return await correct(running, prediction, "đâ")

    assert asyncio.run(scenario()).status_code == 404


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad_request"),
        (b"[]", "bad_request"),
        (b'{"label": "x"}', "bad_request"),
        (b'{"prediction": "x"}', "bad_request"),
        (b'{"prediction": 7, "label": "x"}', "bad_request"),
        (b'{"prediction": "ID", "label": ""}', "bad_label"),
        (b'{"prediction": "ID", "label": "a\\u0000b"}', "bad_label"),
        (b'{"prediction": "ID", "label": "' + 1501 * b"a" + b'"}', "bad_label"),
    ],
)
def test_what_is_no_correction_is_refused(collecting, toy_picture, error_of, body, code):
    async def scenario():
        async with collecting(settings=slow_spool()) as (running, _):
            prediction = await ask(running, toy_picture("đ"))
            filled = body.replace(b"ID", prediction.encode())
            return await running.client.post("/corrections", content=filled)

    answer = asyncio.run(scenario())
    assert (answer.status_code, error_of(answer)["code"]) == (400, code)


def test_replacing_what_nobody_said_is_refused(collecting, toy_picture):
    async def scenario():
        async with collecting(settings=slow_spool()) as (running, _):
            prediction = await ask(running, toy_picture("đ"))
            return await correct(running, prediction, "đâ", replaces="0" * 24)

    assert asyncio.run(scenario()).status_code == 404


def test_without_a_workspace_there_is_nothing_to_correct(serving, error_of):
    async def scenario():
        async with serving() as running:
            return await correct(running, NOBODYS, "đâ")

    answer = asyncio.run(scenario())
    assert (answer.status_code, error_of(answer)["code"]) == (404, "not_found")


def test_a_correction_is_kept_while_the_store_is_away(collecting, toy_picture):
    """Known ones from the spool; those that cannot be looked up are believed."""

    async def scenario():
        async with collecting() as (running, store):
            old = await ask(running, toy_picture("đă"))
            await running.shipped()
            await asyncio.sleep(0.2)
            away = StorageError("gone")

            def fail(*_, **__):
                raise away

            originals = {name: getattr(store, name) for name in ("read", "put", "put_once", "list")}
            for name in originals:
                setattr(store, name, fail)
            new = await ask(running, toy_picture("đâ"))
            watch = Stopwatch()
            answers = [
                await correct(running, new, "đê", "an"),
                await correct(running, old, "đô", "an"),
                await correct(running, old, "đô", "an"),
                await correct(running, old, "đơ", "bình"),
            ]
            in_time = watch.allows(5)
            for name, original in originals.items():
                setattr(store, name, original)
            await running.shipped(2)
            await asyncio.sleep(1.0)
            return old, new, answers, in_time, store

    old, new, answers, in_time, store = asyncio.run(scenario())
    assert [answer.status_code for answer in answers] == [201, 201, 200, 409]
    assert in_time
    for prediction, label in ((new, "đê"), (old, "đô")):
        ((_, entry),) = NumberedLog(store, corrections_prefix(prediction)).entries()
        assert entry["label"] == label


def test_the_key_tells_who_and_whether_it_may_stand(collecting, toy_picture, tmp_path):
    file = tmp_path / "keys.json"
    _, plain = add_key(file, "kiosk", ["predict", "correct"])
    _, reviewer = add_key(file, "an", ["predict", "correct", "review"])
    _, narrow = add_key(file, "narrow", ["predict"])

    async def scenario():
        options = {
            "settings": slow_spool(),
            "keyring": load_keyring(file),
        }
        async with collecting(**options, serve=ServeSettings(require_keys=True)) as (running, _):
            found = []
            for key in (plain, reviewer, narrow):
                headers = {"x-api-key": key}
                prediction = await ask(running, toy_picture("đ"), **headers)
                answer = await running.client.post(
                    "/corrections",
                    json={"prediction": prediction, "label": "đâ"},
                    headers=headers,
                )
                ledger = running.context.collector.spool.ledger
                found.append((answer.status_code, ledger.corrections_of(prediction)))
            return found

    (_, (kiosk,)), (_, (an,)), (status, _) = asyncio.run(scenario())
    assert (kiosk.given_by, kiosk.trusted) == ("kiosk", False)
    assert (an.given_by, an.trusted) == ("an", True)
    assert status == 403
