"""A package is whole or it is not there; what is read is what was published."""

from __future__ import annotations

import json
import multiprocessing

import pytest

import bars
from nhan.errors import Conflict, NotFound, UserError
from nhan.models.package import FORMAT, BadPackage, Package, publish, write_package
from nhan.models.registry import Registry
from nhan.storage import Store, open_store


class KilledAfter(Store):
    """A store whose process dies after so many writes."""

    def __init__(self, store: Store, writes: int) -> None:
        super().__init__(store.url, store._backend, folder=store.folder)
        self.left = writes

    def put(self, path: str, data: bytes) -> None:
        self._count()
        super().put(path, data)

    def put_once(self, path: str, data: bytes) -> bool:
        self._count()
        return super().put_once(path, data)

    def _count(self) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1


FILES = {"model.onnx": bars.model(), "metrics.json": b'{"cer": 0.1}'}


def test_published_files_come_back_unchanged(store):
    package = publish(store, "bars", FILES, bars.spec(dataset="d@1", outputs={"x": "é|`"}), run="r")

    again = Package.open(store, "models/bars/1")

    assert again.ref == "bars@1"
    assert {name: again.read(name) for name in again.spec.files} == FILES
    assert again.spec.to_dict()["outputs"] == {"x": "é|`"}
    assert (again.spec.run, again.spec.dataset, again.spec.format) == ("r", "d@1", FORMAT)
    assert "# bars, version 1" in again.card()
    package.verify()


def test_versions_count_up_by_run(store):
    assert [publish(store, "bars", FILES, bars.spec(), run=r).spec.version for r in "abca"] == [
        1,
        2,
        3,
        1,
    ]


def test_second_publish_of_a_run_leaves_the_first_as_it_is(store):
    first = publish(store, "bars", FILES, bars.spec(), run="r")
    second = publish(store, "bars", {"model.onnx": bars.model(0.5)}, bars.spec(), run="r")
    assert second.spec == first.spec
    second.verify()


@pytest.mark.parametrize("writes", range(5))
def test_killed_publish_shows_nothing_and_the_next_call_finishes(store, writes):
    with pytest.raises(KeyboardInterrupt):
        publish(KilledAfter(store, writes), "bars", FILES, bars.spec(), run="r")

    assert Registry(store).versions("bars") == []
    assert Registry(store).models() == []
    with pytest.raises(NotFound):
        Registry(store).open("bars", 1)

    package = publish(store, "bars", FILES, bars.spec(), run="r")
    assert package.spec.version == 1
    package.verify()
    assert Registry(store).versions("bars") == [1]


def test_another_run_does_not_wait_for_a_killed_one(store):
    with pytest.raises(KeyboardInterrupt):
        publish(KilledAfter(store, 2), "bars", FILES, bars.spec(), run="killed")
    assert publish(store, "bars", FILES, bars.spec(), run="other").spec.version == 2
    assert publish(store, "bars", FILES, bars.spec(), run="killed").spec.version == 1


def _publish_some(url: str, who: str, start) -> None:
    store = open_store(url)
    start.wait()
    for number in range(10):
        publish(store, "bars", {"model.onnx": who.encode()}, bars.spec(), run=f"{who}-{number}")


def test_two_processes_never_share_a_version_number(store):
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(2)
    workers = [
        spawn.Process(target=_publish_some, args=(store.url, who, start)) for who in ("a", "b")
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(600)

    registry = Registry(store)
    assert registry.versions("bars") == list(range(1, 21))
    runs = []
    for version in range(1, 21):
        package = registry.open("bars", version)
        assert package.read("model.onnx").decode() == package.spec.run[0]
        runs.append(package.spec.run)
    assert len(set(runs)) == 20


def test_damaged_file_is_refused_by_name(store, make_version):
    package = make_version()
    store.put("models/bars/1/model.onnx", package.read("model.onnx")[:-1] + b"!")
    with pytest.raises(BadPackage, match=r"bars@1 is damaged: model\.onnx"):
        package.verify()


def test_missing_file_is_refused_by_name(store, make_version):
    package = make_version()
    store.delete("models/bars/1/model.onnx")
    with pytest.raises(BadPackage, match=r"incomplete: model\.onnx is missing"):
        package.read("model.onnx")


def test_files_not_listed_are_not_read(store, make_version):
    store.put("models/bars/1/extra.json", b"{}")
    with pytest.raises(BadPackage, match=r"has no file extra\.json"):
        make_version(run="run-0").read("extra.json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": FORMAT + 1}, "reads up to"),
        ({"version": 0}, "version"),
        ({"files": {"model.onnx": {"sha256": "x", "bytes": 1}}}, "sha256"),
        ({"serve": "../model.onnx"}, "no file of a package"),
        ({"serve": "other.onnx"}, "no file of a package"),
        ({"files": {"weights.pkl": {"sha256": "0" * 64, "bytes": 1}}}, "no file of a package"),
    ],
)
def test_malformed_spec_is_refused(store, make_version, change, words):
    values = {**make_version().spec.to_dict(), **change}
    store.put("models/bars/1/nhan.json", json.dumps(values).encode())
    with pytest.raises(BadPackage, match=words):
        Package.open(store, "models/bars/1")


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"\xff\xfe", b"{"])
def test_spec_that_is_no_object_is_refused(store, data):
    store.put("models/bars/1/nhan.json", data)
    with pytest.raises(BadPackage):
        Package.open(store, "models/bars/1")


@pytest.mark.parametrize(
    "name", ["weights.pkl", "model.pt", "a/b.json", "../x.json", ".json", "nhan.json", "claim.json"]
)
def test_only_plain_safe_files_are_published(store, name):
    with pytest.raises(UserError):
        publish(store, "bars", {**FILES, name: b""}, bars.spec(), run="r")
    assert store.folders("models") == []


def test_a_package_needs_the_file_that_answers(store):
    with pytest.raises(UserError, match="would answer with"):
        publish(store, "bars", {"metrics.json": b"{}"}, bars.spec(), run="r")


@pytest.mark.parametrize("name", ["", "a/b", "..", ".x", "é", "a" * 65, "a b", "a@1"])
def test_odd_model_names_are_refused(store, name):
    with pytest.raises(UserError, match="cannot be called"):
        publish(store, name, FILES, bars.spec(), run="r")


def test_local_folder_is_a_package_too(tmp_path):
    write_package(tmp_path / "m", FILES, bars.spec(), name="bars")
    package = Package.from_folder(tmp_path / "m")
    package.verify()
    assert (package.ref, package.path) == ("bars@1", "")
    with pytest.raises(NotFound):
        Package.from_folder(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_copy_is_the_same_package(make_version, tmp_path):
    package = make_version()
    package.copy_to(tmp_path / "out")
    package.copy_to(tmp_path / "out")  # again: nothing changes
    copy = Package.from_folder(tmp_path / "out")
    copy.verify()
    assert copy.spec == package.spec
    assert copy.card() == package.card()


def test_copy_does_not_mix_with_another_package(make_version, tmp_path):
    make_version().copy_to(tmp_path / "out")
    with pytest.raises(Conflict):
        make_version(0.9).copy_to(tmp_path / "out")


def test_card_escapes_what_markdown_would_eat(store):
    package = publish(store, "bars", FILES, bars.spec(outputs={"charset": "a|<b>`*_"}), run="r")
    assert r"a\|\<b\>\`\*\_" in package.card()
