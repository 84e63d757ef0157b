"""The TorchScript file and the TorchServe archive say what the model says, or are refused."""

from __future__ import annotations

import importlib.util
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tiny_models
from nhan.deploy import torchscript
from nhan.deploy.forms import write_model
from nhan.errors import ExportRefused, UserError
from nhan.models.bundled import bundled_package
from nhan.models.package import Package, publish
from nhan.models.predictor import Predictor
from nhan.workspace import Workspace

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace with a model of each task."""
    folder = tmp_path_factory.mktemp("trained")
    with Workspace.init(folder / "workspace") as workspace:
        tiny_models.train_text(workspace, folder / "lines")
        tiny_models.train_colours(workspace, folder / "patches")
        yield workspace


def package_of(workspace: Workspace, name: str) -> Package:
    return Package.open(workspace.store, f"models/{name}/1")


@pytest.fixture(params=["reader", "colours"])
def package(request: pytest.FixtureRequest, trained: Workspace) -> Package:
    return package_of(trained, request.param)


def test_the_file_is_proven_on_the_samples_it_was_trained_with(
    trained: Workspace, package: Package, tmp_path: Path
) -> None:
    written = write_model(trained, package, "torchscript", tmp_path / "out")
    assert {path.name for path in written} >= {torchscript.FILE, "export.json", "nhan.json"}
    proof = json.loads((tmp_path / "out" / "export.json").read_text())
    assert proof["agreement"]["samples"] > 20
    assert proof["agreement"]["different"] == 0
    assert proof["agreement"]["max_difference"] < 1e-4
    assert proof["other_answers"] == {"than": "model.onnx", "samples": 0}


def test_other_weights_than_the_models_are_refused(trained: Workspace, tmp_path: Path) -> None:
    package = package_of(trained, "colours")
    from nhan.training.checkpoint import load_checkpoint, to_bytes

    weights = tmp_path / "w.safetensors"
    weights.write_bytes(package.read("weights.safetensors"))
    checkpoint = load_checkpoint(weights)
    checkpoint.weights["head.weight"] = -checkpoint.weights["head.weight"]
    files = {name: package.read(name) for name in package.spec.files}
    files["weights.safetensors"] = to_bytes(checkpoint)
    other = publish(trained.store, "mixed", files, package.spec.to_dict(), run="mixed-1")
    with pytest.raises(ExportRefused, match=r"differ from those of mixed@1's model\.onnx"):
        write_model(trained, other, "torchscript", tmp_path / "out")
    assert not (tmp_path / "out").exists(), "refused before anything is written"


def test_a_workspace_without_pictures_cannot_prove_anything(
    workspace: Workspace, tmp_path: Path
) -> None:
    package = bundled_package()
    if package is None:
        pytest.skip("no reader is bundled")
    with pytest.raises(ExportRefused, match="no labelled text picture"):
        write_model(workspace, package, "torchscript", tmp_path / "out")


def test_the_bundled_reader_is_proven_on_a_workspaces_own_pictures(
    workspace: Workspace, tmp_path: Path
) -> None:
    package = bundled_package()
    if package is None:
        pytest.skip("no reader is bundled")
    tiny_models.add_lines(workspace, tmp_path / "lines", count=6)
    write_model(workspace, package, "torchscript", tmp_path / "out")
    proof = json.loads((tmp_path / "out" / "export.json").read_text())
    assert proof["agreement"]["samples"] == 6
    assert proof["agreement"]["different"] == 0


def test_a_package_without_weights_says_so(trained: Workspace, tmp_path: Path) -> None:
    package = package_of(trained, "colours")
    files = {"model.onnx": package.read("model.onnx")}
    bare = publish(trained.store, "bare", files, package.spec.to_dict(), run="bare-1")
    with pytest.raises(UserError, match=r"carries no weights\.safetensors"):
        write_model(trained, bare, "torchscript", tmp_path / "out")


class Context:
    """What TorchServe gives a handler."""

    def __init__(self, folder: Path) -> None:
        self.system_properties = {"model_dir": str(folder)}
        self.status: dict[int, int] = {}
        self.headers: dict[int, dict[str, str]] = {}

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        self.status[idx] = code

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        self.headers.setdefault(idx, {})[key] = value

    def set_response_content_type(self, idx: int, value: str) -> None:
        self.set_response_header(idx, "content-type", value)


def unpacked(workspace: Workspace, package: Package, folder: Path) -> Path:
    (mar, _) = write_model(workspace, package, "torchserve", folder / "out")
    with zipfile.ZipFile(mar) as archive:
        archive.extractall(folder / "model")
    return folder / "model"


def handler_in(folder: Path) -> tuple[Any, Context]:
    """Loads the archive's handler as TorchServe does: the one class the file defines."""
    manifest = json.loads((folder / "MAR-INF" / "MANIFEST.json").read_text())
    file = folder / manifest["model"]["handler"]
    spec = importlib.util.spec_from_file_location("archive_handler", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (own,) = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
    ]
    context = Context(folder)
    handler = own()
    handler.initialize(context)
    return handler, context


def pictures(package: Package) -> list[bytes]:
    if package.spec.task == "text":
        return [tiny_models.draw_line(tiny_models.line_of(900 + n)) for n in range(16)]
    return [tiny_models.draw_colour(name, 90 + n) for n in range(4) for name in tiny_models.COLOURS]


def test_a_batch_has_an_answer_for_every_request_in_order(
    trained: Workspace, package: Package, tmp_path: Path
) -> None:
    handler, context = handler_in(unpacked(trained, package, tmp_path))
    sent = pictures(package)
    predictor = Predictor.load(package)
    expected = [predictor.predict(data) for data in sent]
    rows = [{"body": bytearray(data)} for data in sent]
    answers = handler.handle(rows, context)
    assert len(answers) == len(sent)
    for answer, truth in zip(answers, expected, strict=True):
        labels = truth.details.get("labels")
        if labels is None:
            assert answer == truth.value
        else:
            assert list(answer) == list(labels)
            assert answer == pytest.approx(labels, abs=1e-4)
    assert [handler.handle([row], context)[0] for row in rows] == answers, "alone as in a batch"
    assert context.headers[0]["X-Nhan-Model"] == package.ref
    assert context.status == {}


def test_a_bad_picture_spoils_its_own_answer_only(trained: Workspace, tmp_path: Path) -> None:
    package = package_of(trained, "colours")
    handler, context = handler_in(unpacked(trained, package, tmp_path))
    good = tiny_models.draw_colour("red", 7)
    import base64

    rows = [
        {"body": b"no picture"},
        {"data": base64.b64encode(good).decode()},
        {"body": b""},
        {"data": "%%%"},
        {"body": {"image": base64.b64encode(good).decode()}},
        {"body": good},
        {},
    ]
    answers = handler.handle(rows, context)
    assert context.status == {0: 400, 2: 400, 3: 400, 6: 400} or context.status[0] == 415
    assert sorted(context.status) == [0, 2, 3, 6]
    assert answers[1] == answers[4] == answers[5]
    assert set(answers[5]) == set(tiny_models.COLOURS)
    assert answers[0]["error"]["code"]


def test_a_surprise_is_one_requests_error(trained: Workspace, tmp_path: Path) -> None:
    package = package_of(trained, "colours")
    handler, context = handler_in(unpacked(trained, package, tmp_path))
    good = {"body": tiny_models.draw_colour("blue", 3)}
    real = handler._reader
    calls = iter([None, RuntimeError("broken"), None])

    def answer(*looks: Any) -> Any:
        if error := next(calls):
            raise error
        return real.answer(*looks)

    handler._reader = SimpleNamespace(inputs=real.inputs, answer=answer)
    answers = handler.handle([good, good, good], context)
    assert context.status == {1: 500}
    assert answers[0] == answers[2]
    assert "broken" not in json.dumps(answers[1]), "the reason is in the log, not in the answer"


def test_the_archive_is_the_same_every_time(trained: Workspace, tmp_path: Path) -> None:
    package = package_of(trained, "reader")
    first, second = (
        write_model(trained, package, "torchserve", tmp_path / name)[0].read_bytes()
        for name in "ab"
    )
    names = [zipfile.ZipFile(io.BytesIO(data)).namelist() for data in (first, second)]
    assert names[0] == names[1]
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".pkl")]
        assert "def prepare" not in archive.read("handler.py").decode()
