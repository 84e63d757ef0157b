"""evaluate, promote, rollback, models, predict and export as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

import bars
from nhan.cli.main import run
from nhan.models.bundled import bundled_package
from nhan.models.package import Package
from nhan.models.predictor import Predictor
from nhan.models.registry import Registry

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(workspace, capsys, monkeypatch) -> Call:
    monkeypatch.setenv("NHAN_WORKSPACE", str(workspace.root))

    def calling(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit_:
            run([str(word) for word in words])
        captured = capsys.readouterr()
        return int(exit_.value.code or 0), captured.out, captured.err

    return calling


@pytest.fixture
def three(make_dataset, make_version, rows) -> str:
    """Three versions, fair, best and poor; returns their dataset."""
    dataset = make_dataset(train=rows(3, seed=5), test=rows(60))
    for gain in (0.935, 1.0, 0.92):
        make_version(gain, dataset=dataset)
    return dataset


def test_evaluate_prints_figures_and_says_when_it_reads_them_back(call, three):
    code, out, _ = call("evaluate", "bars@1")
    assert code == 0
    assert f"bars@1 on {three} test: 60 samples" in out
    assert "CER" in out
    assert "by source" in out
    assert "read back" not in out
    assert "read back (nothing it depends on has changed)" in call("evaluate", "bars@1", "d")[1]


def test_evaluate_json_is_one_document(call, three, tmp_path):
    code, out, err = call("evaluate", "bars@1", "--json", "--report", tmp_path / "r.html")
    document = json.loads(out)
    assert code == 0
    assert document["samples"] == len(document["results"]) == 60
    assert {"value", "low", "high", "samples"} == set(document["metrics"]["cer"])
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert "report:" in err


def test_the_bundled_reader_is_scored_on_pictures_of_ones_own(call, make_dataset, rows, workspace):
    reader = bundled_package()
    assert reader is not None
    dataset = make_dataset(task="text", test=rows(4))
    code, out, _ = call("evaluate", reader.spec.name, dataset)
    assert code == 0
    assert f"{reader.ref} on {dataset} test: 4 samples" in out
    assert "read back" in call("evaluate", reader.ref, dataset)[1]
    # Its own folder belongs to the installation.
    assert any(workspace.store.list(f"bundled/{reader.ref}/evaluations"))
    code, _, err = call("evaluate", reader.spec.name)
    assert code == 2
    assert "name a dataset to score on" in err


def test_report_stands_beside_the_champion(call, three, tmp_path):
    call("promote", "bars@1")
    call("evaluate", "bars@2", "--report", tmp_path / "r.html")
    assert "bars@1" in (tmp_path / "r.html").read_text()


def test_promote_refuse_rollback_and_the_log(call, three, workspace):
    assert call("promote", "bars@1", "--because", "first")[0] == 0
    code, out, _ = call("promote", "bars@2")
    assert code == 0
    assert out.startswith("passed: CER 0.000 is below the champion's")
    assert "bars@2 is the champion, after version 1 (log entry 2)" in out

    code, out, err = call("promote", "bars@3")
    assert (code, out) == (1, "")
    assert "error: refused: CER" in err
    assert "60 samples of d@" in err
    assert "hint: " in err

    code, out, _ = call("rollback", "bars", "--because", "misreads dates")
    assert (code, out) == (0, "bars@1 is the champion again, after version 2\n")
    code, _, err = call("rollback", "bars")
    assert code == 2
    assert "is the first champion" in err

    code, out, _ = call("models", "bars")
    assert code == 0
    assert "champion" in out
    assert "misreads dates" in out
    document = json.loads(call("models", "--json")[1])
    assert document[0]["champion"] == 1
    assert [entry["action"] for entry in document[0]["log"]] == ["promote", "promote", "rollback"]
    assert document[0]["versions"][1]["scores"][0]["value"] == 0
    assert Registry(workspace.store).log("bars").promotions[0].because == "first"


def test_force_needs_because(call, three):
    call("promote", "bars@2")
    assert call("promote", "bars@3", "--force")[0] == 2
    code, out, _ = call("promote", "bars@3", "--force", "--because", "a test", "--json")
    document = json.loads(out)
    assert (code, document["action"], document["because"]) == (0, "forced", "a test")
    assert document["verdict"]["passed"] is False


def test_models_of_an_empty_workspace_says_what_to_do(call):
    code, out, _ = call("models")
    assert (code, out) == (0, "no models yet; train one: nhan train DATASET\n")
    assert call("models", "--json")[1].strip() == "[]"
    assert call("models", "nothing")[0] == 2


def test_predict_one_file_is_its_text_and_many_are_named(call, make_version, tmp_path):
    make_version()
    (tmp_path / "pictures").mkdir()
    for digits in ("12", "34"):
        (tmp_path / "pictures" / f"{digits}.png").write_bytes(bars.draw(digits))
    assert call("predict", tmp_path / "pictures" / "12.png")[:2] == (0, "12\n")
    code, out, _ = call("predict", tmp_path / "pictures")
    assert code == 0
    assert [line.split("\t")[1] for line in out.splitlines()] == ["12", "34"]


def test_predict_goes_on_after_a_bad_file_and_exits_1(call, make_version, tmp_path):
    make_version()
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "b.png").write_bytes(bars.draw("5"))
    code, out, err = call("predict", tmp_path / "a.png", tmp_path / "b.png")
    assert code == 1
    assert out == f"{tmp_path / 'b.png'}\t5\n"
    assert f"error: {tmp_path / 'a.png'}: " in err
    assert "\nhint: send one of PNG" in err
    code, out, _ = call("predict", "--json", tmp_path / "a.png", tmp_path / "b.png")
    assert code == 1
    assert [set(document) >= {"file"} for document in json.loads(out)] == [True, True]


def test_export_onnx_is_a_whole_package(call, three, tmp_path):
    assert call("export", "bars@2", "--as", "onnx", "--out", tmp_path / "out")[0] == 0
    package = Package.from_folder(tmp_path / "out")
    package.verify()
    assert package.ref == "bars@2"
    assert (tmp_path / "out" / "card.md").exists()
    code, _, err = call("export", "bars@2", "--as", "melody", "--out", tmp_path / "x")
    assert code == 2
    assert "forms: onnx" in err
    for what, form, hint in (
        ("bars@2", "katib", "nhan export pipeline --as katib"),
        ("pipeline", "onnx", "nhan export MODEL --as onnx"),
    ):
        code, _, err = call("export", what, "--as", form, "--out", tmp_path / "x")
        assert code == 2
        assert hint in err


def test_export_onnx_has_a_model_onnx_whatever_answers(call, three, tmp_path):
    reader = bundled_package()
    assert reader is not None
    assert "model.onnx" not in reader.spec.files
    assert call("export", reader.spec.name, "--as", "onnx", "--out", tmp_path / "out")[0] == 0
    package = Package.from_folder(tmp_path / "out")
    package.verify()
    assert package.spec.serve == "model.onnx"
    assert package.read("model.onnx") == reader.read(reader.spec.serve)
    picture = bars.draw("12")
    ours, theirs = (Predictor.load(one).predict(picture) for one in (reader, package))
    assert ours == theirs
