"""Promotions go live without dropping a request; what cannot answer never replaces what does."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nhan.errors import BadRequest, StorageError
from nhan.images import PictureLimits
from nhan.models.package import publish
from nhan.models.registry import Promotion, Registry
from nhan.serving.app import create_admin_app
from nhan.serving.engine.threads import ThreadLane
from nhan.serving.exposition import exposition
from nhan.serving.live import Live
from nhan.serving.roster import Deployment, Roster
from nhan.serving.trials import Trials

OTHER = "ĐĂÂÊÔƠƯÉ"


@pytest.fixture
def registry(workspace, toy_files, toy_spec):
    """Three versions of `toy`: the second answers in capitals, the third cannot run."""
    publish(workspace.store, "toy", toy_files, toy_spec(), run="1")
    publish(workspace.store, "toy", toy_files, toy_spec(OTHER), run="2")
    broken = {**toy_files, "model.onnx": b"no model"}
    publish(workspace.store, "toy", broken, toy_spec(), run="3")
    made = Registry(workspace.store)
    promote(made, 1)
    return made


def promote(registry, version):
    state = registry.log("toy")
    registry.record("toy", Promotion(action="forced", version=version), expected=state.number)


def test_a_promotion_swaps_under_load_without_a_failure(serving, registry, toy_picture):
    picture = toy_picture("đă")

    async def scenario():
        answers, stop = [], False

        async with serving(package=None, registry=registry) as running:

            async def client():
                while not stop:
                    answers.append((await running.ask(picture)).json())

            following = asyncio.create_task(running.context.live.run())
            clients = [asyncio.create_task(client()) for _ in range(4)]
            for version in (2, 1, 2):
                await asyncio.sleep(0.1)
                promote(registry, version)
                end = time.monotonic() + 60
                while running.context.service.roster.find().version != str(version):
                    assert time.monotonic() < end, "the promotion did not go live"
                    await asyncio.sleep(0.005)
            await asyncio.sleep(0.1)
            stop = True
            await asyncio.gather(*clients)
            last = (await running.ask(picture)).json()
            following.cancel()
            return answers, last

    answers, last = asyncio.run(scenario())
    assert {(one["version"], one["text"]) for one in answers} == {("1", "đă"), ("2", "ĐĂ")}
    assert last["version"] == "2"


@pytest.mark.parametrize(
    "damage", ["cannot run", "altered", "missing file", "no spec", "bad entry"]
)
def test_a_broken_promotion_leaves_the_champion(serving, registry, workspace, toy_picture, damage):
    async def scenario():
        async with serving(package=None, registry=registry) as running:
            if damage == "cannot run":
                promote(registry, 3)
            elif damage == "bad entry":
                workspace.store.put("models/toy/log/000002.json", b"{nonsense")
            else:
                promote(registry, 2)
                path = f"models/toy/2/{'nhan.json' if damage == 'no spec' else 'model.onnx'}"
                if damage == "altered":
                    workspace.store.put(path, workspace.store.read(path)[:-1] + b"!")
                else:
                    workspace.store.delete(path)
            live = running.context.live
            await live.refresh()
            await live.refresh()
            answer = await running.ask(toy_picture("đă"))
            ready = await running.client.get("/readyz")
            return answer.json(), ready.status_code, dict(live.refusals)

    answer, ready, refusals = asyncio.run(scenario())
    assert (answer["version"], answer["text"], ready) == ("1", "đă", 200)
    assert list(refusals) == ["toy"]
    assert refusals["toy"].reason


def test_a_model_that_answers_its_probes_otherwise_is_refused(
    serving, registry, workspace, toy_files, toy_spec, toy_picture
):
    def probes(value):
        picture = base64.b64encode(toy_picture("đă")).decode()
        return {"probes.json": json.dumps([{"picture": picture, "value": value}]).encode()}

    publish(workspace.store, "toy", {**toy_files, **probes("wrong")}, toy_spec(), run="4")
    publish(workspace.store, "toy", {**toy_files, **probes("đă")}, toy_spec(), run="5")

    async def scenario():
        async with serving(package=None, registry=registry) as running:
            promote(registry, 4)
            await running.context.live.refresh()
            refused = running.context.live.refusals["toy"].reason
            promote(registry, 5)
            await running.context.live.refresh()
            return refused, (await running.ask(toy_picture("đ"))).json()["version"]

    refused, version = asyncio.run(scenario())
    assert "probe picture 0" in refused
    assert version == "5"


def test_the_next_good_promotion_ends_the_alarm(serving, registry, toy_picture):
    async def scenario():
        async with serving(package=None, registry=registry) as running:
            promote(registry, 3)
            await running.context.live.refresh()
            promote(registry, 2)
            await running.context.live.refresh()
            return (await running.ask(toy_picture("đ"))).json()[
                "version"
            ], running.context.live.refusals

    assert asyncio.run(scenario()) == ("2", {})


def test_the_bundled_reader_answers_until_there_is_a_champion(
    serving, registry, toy_package, toy_picture, workspace
):
    async def scenario():
        async with serving(registry=Registry(workspace.store)) as running:
            return (await running.ask(toy_picture("đ"))).json()["model"]

    assert asyncio.run(scenario()) == "toy"


def test_a_champion_of_the_bundled_readers_name_and_number_takes_its_place(
    serving, workspace, toy_package, toy_files, toy_spec, toy_picture
):
    publish(workspace.store, "toy", toy_files, toy_spec(OTHER), run="1")
    registry = Registry(workspace.store)

    async def scenario():
        async with serving(package=toy_package, registry=registry) as running:
            before = (await running.ask(toy_picture("đ"))).json()
            promote(registry, 1)
            await running.context.live.refresh()
            return before, (await running.ask(toy_picture("đ"))).json()

    before, after = asyncio.run(scenario())
    assert (before["version"], before["text"]) == ("1", "đ")
    assert (after["version"], after["text"]) == ("1", "Đ")


@pytest.mark.parametrize("name", ["toy (old copy)", "tên", ".trash"])
def test_a_folder_that_is_no_model_holds_up_no_promotion(serving, registry, toy_picture, name):
    registry.store.put(f"models/{name}/note.txt", b"x")

    async def scenario():
        async with serving(package=None, registry=registry) as running:
            promote(registry, 2)
            await running.context.live.refresh()
            return (await running.ask(toy_picture("đ"))).json()["text"]

    assert asyncio.run(scenario()) == "Đ"
    assert registry.models() == ["toy"]


def test_a_version_asked_for_by_number_answers_though_it_is_replaced_meanwhile(
    serving, registry, toy_picture
):
    async def scenario():
        async with serving(package=None, registry=registry) as running:
            service = running.context.service
            predict = service.predict

            async def predict_and_replace(*picture, **options):
                said = await predict(*picture, **options)
                promote(registry, 2)
                await running.context.live.refresh()
                return said

            service.predict = predict_and_replace
            data = [base64.b64encode(toy_picture("đ")).decode()]
            image = {"name": "image", "datatype": "BYTES", "shape": [1], "data": data}
            return await running.client.post(
                "/v2/models/toy/versions/1/infer", json={"inputs": [image]}
            )

    answer = asyncio.run(scenario())
    assert (answer.status_code, answer.json().get("model_version")) == (200, "1")


def test_a_replaced_version_is_unloaded_once_idle(serving, registry, toy_picture):
    async def scenario():
        async with serving(package=None, registry=registry) as running:
            promote(registry, 2)
            await running.context.live.refresh()
            end = time.monotonic() + 60
            while "toy@1" in running.lanes[0]._runner._models:
                assert time.monotonic() < end, "the old version is still loaded"
                await asyncio.sleep(0.02)
            return (await running.ask(toy_picture("đ"))).json()["text"]

    assert asyncio.run(scenario()) == "Đ"


def test_a_version_brought_back_while_its_files_are_being_removed_stays_whole(
    serving, registry, toy_picture, monkeypatch
):
    """Removing takes a while on a busy disk; a worker that starts later needs the files."""
    removing = threading.Event()
    remove = shutil.rmtree

    def slowly(folder, *rest):
        removing.set()
        time.sleep(0.3)
        remove(folder, *rest)

    async def scenario():
        async with serving(package=None, registry=registry) as running:
            live, dispatcher = running.context.live, running.context.service.dispatcher
            monkeypatch.setattr("nhan.serving.live.shutil.rmtree", slowly)
            promote(registry, 2)
            await live.refresh()
            await asyncio.to_thread(removing.wait, 60)
            promote(registry, 1)
            await live.refresh()
            await asyncio.gather(*live._leaving)
            late = ThreadLane("late", dispatcher, PictureLimits())
            await live.prepare(late)
            running.lanes.append(late)
            return (await running.ask(toy_picture("đ"))).json(), live.refusals

    answer, refusals = asyncio.run(scenario())
    assert (answer["version"], answer["text"], refusals) == ("1", "đ", {})


def test_going_back_to_a_version_that_is_still_loaded_is_instant(serving, registry, toy_picture):
    async def scenario():
        async with serving(package=None, registry=registry) as running:
            live, dispatcher = running.context.live, running.context.service.dispatcher
            promote(registry, 2)
            await live.refresh()
            loads = []
            dispatcher.load = lambda key, folder: loads.append(key)
            promote(registry, 1)
            await live.refresh()
            answers = [(await running.ask(toy_picture("đ"))).json()["text"]]
            await asyncio.gather(*live._leaving)
            answers.append((await running.ask(toy_picture("đ"))).json()["text"])
            return answers, loads

    assert asyncio.run(scenario()) == (["đ", "đ"], [])


class TestTrials:
    def test_a_canary_answers_its_share_and_always_the_same_pictures(
        self, serving, registry, toy_picture, toy_words
    ):
        async def scenario():
            async with serving(package=None, registry=registry) as running:
                service = running.context.service
                service.trials.want({"toy@2": 0.5}, [])
                await running.context.live.refresh()
                first = [(await running.ask(toy_picture(w))).json()["version"] for w in toy_words]
                again = [(await running.ask(toy_picture(w))).json()["version"] for w in toy_words]
                asked = await running.client.post(
                    "/v2/models/toy/versions/2/infer", json={"inputs": []}
                )
                return first, again, asked.status_code

        first, again, _ = asyncio.run(scenario())
        assert first == again
        assert 0.2 < first.count("2") / len(first) < 0.8

    def test_several_canaries_of_a_model_have_shares_of_their_own(self):
        trials = Trials()
        trials.want({"a@2": 0.3, "b@7": 0.9, "a@3": 0.3}, [])
        trials.loaded = {ref: Deployment(*ref.split("@"), "text") for ref in ("a@2", "b@7", "a@3")}
        pictures = [str(number).encode() for number in range(3000)]

        def answers() -> list[str]:
            found = (trials.candidate_for("a", picture) for picture in pictures)
            return [one.ref if one else "champion" for one in found]

        before = answers()
        shares = {ref: before.count(ref) / len(pictures) for ref in set(before)}
        assert shares == pytest.approx({"a@2": 0.3, "a@3": 0.3, "champion": 0.4}, abs=0.05)
        # One that is not loaded yet, or cannot be, gives its pictures to the champion alone.
        del trials.loaded["a@2"]
        assert answers() == [one if one != "a@2" else "champion" for one in before]

    def test_a_shadow_answers_silently(self, serving, registry, toy_picture):
        async def scenario():
            async with serving(package=None, registry=registry) as running:
                service = running.context.service
                service.trials.want({}, ["toy@2"])
                await running.context.live.refresh()
                answer = (await running.ask(toy_picture("đă"))).json()
                await asyncio.gather(*service._silent)
                return answer, service.trials.report(), exposition(running.context)

        answer, report, shown = asyncio.run(scenario())
        assert answer["version"] == "1"
        assert report["shadow_answers"] == {"toy@2": {"agree": 0, "differ": 1}}
        assert b'nhan_shadow_answers_total{agrees="false",model="toy@2"} 1.0' in shown
        assert report["differences"][0]["answer"] == "ĐĂ"

    def test_a_shadow_is_compared_with_the_champion_and_not_with_a_canary(
        self, serving, registry, toy_picture
    ):
        """Else a candidate that is canary and shadow agrees with itself."""

        async def scenario():
            async with serving(package=None, registry=registry) as running:
                service = running.context.service
                service.trials.want({"toy@2": 1.0}, ["toy@2"])
                await running.context.live.refresh()
                versions = [(await running.ask(toy_picture("đă"))).json()["version"]]
                promote(registry, 2)
                await running.context.live.refresh()
                versions.append((await running.ask(toy_picture("đă"))).json()["version"])
                await asyncio.gather(*service._silent)
                return versions, service.trials.report()["shadow_answers"]

        assert asyncio.run(scenario()) == (["2", "2"], {"toy@2": {"agree": 0, "differ": 0}})

    def test_a_candidate_that_was_champion_in_between_goes_on_answering_its_share(
        self, serving, registry, toy_picture
    ):
        async def scenario():
            async with serving(package=None, registry=registry) as running:
                live, service = running.context.live, running.context.service
                service.trials.want({"toy@2": 1.0}, [])
                await live.refresh()
                for version in (2, 1):  # it went live, and was rolled back
                    promote(registry, version)
                    await live.refresh()
                await asyncio.gather(*live._leaving)
                answer = await running.ask(toy_picture("đ"))
                by_number = await running.client.post(
                    "/predictions/toy/2", content=toy_picture("đ")
                )
                service.trials.want({}, [])
                await live.refresh()
                await asyncio.gather(*live._leaving)
                loaded = set(running.lanes[0]._runner._models)
                return answer.json().get("version"), by_number.text, loaded

        assert asyncio.run(scenario()) == ("2", "Đ", {"toy@1"})

    def test_a_candidate_is_the_same_however_its_number_is_written(
        self, serving, registry, toy_picture
    ):
        async def scenario():
            async with serving(package=None, registry=registry) as running:
                running.context.service.trials.want({"toy@02": 1.0}, ["toy@002"])
                await running.context.live.refresh()
                answer = await running.ask(toy_picture("đ"))
                return answer.json().get("version"), running.context.service.trials.report()

        version, report = asyncio.run(scenario())
        assert version == "2"
        assert (report["canary"], report["shadow"]) == ({"toy@2": 1.0}, ["toy@2"])

    def test_a_candidate_that_cannot_run_is_reported_and_nothing_else(
        self, serving, registry, toy_picture
    ):
        async def scenario():
            async with serving(package=None, registry=registry) as running:
                running.context.service.trials.want({"toy@3": 1.0}, ["toy@9"])
                await running.context.live.refresh()
                answer = await running.ask(toy_picture("đ"))
                return answer.json()["version"], running.context.service.trials.failures

        version, failures = asyncio.run(scenario())
        assert version == "1"
        assert set(failures) == {"toy@3", "toy@9"}


@settings(max_examples=30, deadline=None)
@given(st.permutations([("a", "1"), ("a", "2"), ("b", "1")]))
def test_the_roster_finds_the_last_crowned(order):
    roster = Roster()
    for name, version in order:
        roster.crown(Deployment(name, version, "text"))
    for name in ("a", "b"):
        assert roster.find(name).version == [v for n, v in order if n == name][-1]


def test_a_workspaces_own_model_is_meant_before_the_bundled_one():
    roster = Roster()
    roster.crown(Deployment("vi-line", "1", "text", bundled=True))
    assert roster.find().name == "vi-line"
    roster.crown(Deployment("receipts", "3", "text"))
    assert roster.find().name == "receipts"
    assert roster.find("vi-line").version == "1"
    roster.crown(Deployment("flowers", "1", "classes"))
    with pytest.raises(BadRequest, match="several models"):
        roster.find()


@pytest.mark.parametrize("poll_s", [0.5, 60.0])
def test_a_store_that_is_away_for_a_night_is_still_asked_in_the_morning(monkeypatch, poll_s):
    """Two to the power of a thousand failures is no float; following promotions ended there."""
    pauses, sleep = [], asyncio.sleep
    live = Live(None, None, None, Roster(), cache=None, poll_s=poll_s)

    async def refuse():
        if len(pauses) < 3000:
            raise StorageError("the store is away")

    async def pause(seconds):
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(live, "refresh", refuse)
    monkeypatch.setattr("nhan.serving.live.asyncio.sleep", pause)

    async def scenario():
        following = asyncio.create_task(live.run())
        while len(pauses) < 3002 and not following.done():
            await sleep(0)
        following.cancel()

    asyncio.run(scenario())
    assert max(pauses) == pauses[2999] == max(30.0, poll_s)
    assert pauses[3000] == poll_s


async def _until_ready(client):
    async with asyncio.timeout(60):
        while (await client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("default", ["", "toy"])
def test_readiness_tells_that_the_store_is_away(serving, registry, monkeypatch, default):
    """It said that nothing was promoted yet, and to promote something."""
    away, folders = True, registry.store.folders

    def look(prefix):
        if away:
            raise StorageError("cannot list models: the store is away")
        return folders(prefix)

    async def scenario():
        nonlocal away
        async with serving(package=None, registry=None) as running:
            live = running.context.live
            running.context.service.roster.default_model = default
            live._registry = registry
            following = asyncio.create_task(live.run())
            await live.first_look.wait()
            told = await running.client.get("/readyz")
            away = False
            await _until_ready(running.client)
            away = True
            while not live.trouble:
                await asyncio.sleep(0.01)
            still = await running.client.get("/readyz")
            following.cancel()
            return told, still

    monkeypatch.setattr(registry.store, "folders", look)
    told, still = asyncio.run(scenario())
    assert told.status_code == 503
    assert "cannot list models: the store is away" in told.json()["error"]["message"]
    assert still.status_code == 200, "what answers goes on answering"


def test_the_bundled_reader_answers_once_there_is_room_for_it(serving, toy_package, monkeypatch):
    """A full disk was taken for a damaged package, and never tried again."""
    full, copy = True, type(toy_package).copy_to

    def copy_to(package, folder):
        if full:
            raise StorageError(f"cannot write model.onnx in {folder}: No space left on device")
        return copy(package, folder)

    monkeypatch.setattr(type(toy_package), "copy_to", copy_to)

    async def scenario():
        nonlocal full
        async with serving(package=None) as running:
            live = running.context.live
            live._bundled = toy_package
            following = asyncio.create_task(live.run())
            await live.first_look.wait()
            told = await running.client.get("/readyz")
            full = False
            await _until_ready(running.client)
            following.cancel()
            return told

    told = asyncio.run(scenario())
    assert "No space left" in told.json()["error"]["message"]


def test_one_promotion_at_a_time(serving, registry, tmp_path, monkeypatch):
    """Each runs the gate in a process of its own, which takes a processor and much memory."""
    begun, end = asyncio.Event(), asyncio.Event()

    async def promote(context, ref):
        begun.set()
        await end.wait()

    monkeypatch.setattr("nhan.serving.routes.admin._promote", promote)

    async def scenario():
        async with serving(
            package=None, registry=registry, root=tmp_path, factory=create_admin_app
        ) as running:
            path = "/models/toy/2/set-default"
            first = asyncio.create_task(running.client.put(path))
            await begun.wait()
            second = await running.client.put(path)
            end.set()
            return await first, second, await running.client.put(path)

    first, second, third = asyncio.run(scenario())
    assert (first.status_code, second.status_code, third.status_code) == (200, 409, 200)
    assert "another promotion" in second.json()["message"]
