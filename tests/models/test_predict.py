"""Files and folders in, answers out; which model is meant; one bad file stops nothing."""

from __future__ import annotations

import pytest

import bars
from nhan.errors import NotFound, UserError
from nhan.models import predict as predict_module
from nhan.models.package import publish, write_package
from nhan.models.predict import choose, predict_files
from nhan.models.predictor import Predictor
from nhan.models.registry import Promotion, Registry


@pytest.fixture
def predictor(make_version) -> Predictor:
    return Predictor.load(make_version())


@pytest.fixture
def no_bundle(monkeypatch):
    monkeypatch.setattr(predict_module, "bundled_package", lambda: None)


@pytest.fixture
def bundle(monkeypatch, tmp_path):
    files = {"model.onnx": bars.model()}
    package = write_package(tmp_path / "bundle", files, bars.spec(), name="bundled")
    monkeypatch.setattr(predict_module, "bundled_package", lambda: package)
    return package


def _add(workspace, name: str) -> None:
    files = {"model.onnx": bars.model()}
    publish(
        workspace.store, name, files, bars.spec(), run=f"r-{len(workspace.store.folders('models'))}"
    )


def test_folders_are_walked_in_order_and_only_pictures_taken(predictor, tmp_path):
    (tmp_path / "b").mkdir()
    for name, digits in (("b/2.png", "22"), ("a.PNG", "11"), ("b/1.png", "21")):
        (tmp_path / name).write_bytes(bars.draw(digits))
    (tmp_path / "labels.json").write_text("{}")
    (tmp_path / ".hidden.png").write_bytes(b"")
    found = list(predict_files(predictor, [tmp_path]))
    assert [(p.file.name, p.answer.value) for p in found] == [
        ("a.PNG", "11"),
        ("1.png", "21"),
        ("2.png", "22"),
    ]


def test_one_bad_file_stops_nothing(predictor, tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(bars.draw("7"))
    bad.write_bytes(b"\x89PNG broken")
    found = list(predict_files(predictor, [bad, tmp_path / "missing.png", good]))
    assert [p.answer.value if p.answer else p.error.code for p in found] == [
        "bad_picture",
        "not_found",
        "7",
    ]
    document = found[0].to_dict(predictor.package)
    assert document["file"] == str(bad)
    assert set(document["error"]) == {"code", "message", "hint"}


def test_json_is_the_http_prediction_with_a_file(predictor, tmp_path):
    (tmp_path / "x.dat").write_bytes(bars.draw("42"))  # named files need no known ending
    (found,) = predict_files(predictor, [tmp_path / "x.dat"])
    document = found.to_dict(predictor.package)
    assert document.pop("duration_ms") > 0
    assert document.pop("confidence") == pytest.approx(1.0, abs=1e-4)
    assert document == {
        "file": str(tmp_path / "x.dat"),
        "task": "bars",
        "model": "bars",
        "version": "1",
        "text": "42",
    }


def test_folder_without_pictures_is_named(predictor, tmp_path):
    with pytest.raises(NotFound, match="no pictures in"):
        list(predict_files(predictor, [tmp_path]))


def test_only_model_is_meant_and_of_several_one_must_be_named(workspace, no_bundle):
    with pytest.raises(NotFound, match="no model to answer with"):
        choose(workspace)
    _add(workspace, "one")
    assert choose(workspace).ref == "one@1"
    _add(workspace, "two")
    with pytest.raises(UserError, match="several models"):
        choose(workspace)
    assert choose(workspace, "two").ref == "two@1"
    workspace.settings.serve.model = "one"
    assert choose(workspace).ref == "one@1"


def test_champion_answers_for_its_name(workspace, no_bundle):
    for _ in range(2):
        publish(
            workspace.store,
            "m",
            {"model.onnx": bars.model()},
            bars.spec(),
            run=f"r{len(Registry(workspace.store).versions('m'))}",
        )
    assert choose(workspace, "m").ref == "m@2"
    promotion = Promotion(action="promote", version=1)
    Registry(workspace.store).record("m", promotion, expected=0)
    assert choose(workspace, "m").ref == "m@1"
    assert choose(workspace, "m@2").ref == "m@2"


def test_bundled_reader_answers_where_there_is_nothing_else(workspace, bundle):
    assert choose(None).ref == choose(None, "bundled@1").ref == "bundled@1"
    assert choose(workspace).ref == choose(workspace, "bundled").ref == "bundled@1"
    _add(workspace, "mine")
    assert choose(workspace).ref == "mine@1"
    assert choose(workspace, "bundled").ref == "bundled@1"
    with pytest.raises(NotFound, match="no model 'other'"):
        choose(None, "other")


def test_own_model_of_the_bundled_name_goes_first(workspace, bundle):
    _add(workspace, "bundled")
    assert choose(workspace, "bundled").store is workspace.store
