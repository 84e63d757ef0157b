"""The reader that comes with Nhãn: whole, small, and as good as its card says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nhan.models import bundled
from nhan.models.bundled import bundled_package
from nhan.models.package import Package
from nhan.models.predictor import Predictor
from nhan.synth import line as make_line
from nhan.synth import load_recipe
from nhan.tasks import get_task
from nhan.tasks.text.alphabet import ACCENTED

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(bundled.__file__).parent


@pytest.fixture(scope="module")
def package() -> Package:
    found = bundled_package()
    assert found is not None, "this checkout comes without its reader"
    return found


@pytest.fixture(scope="module")
def predictor(package: Package) -> Predictor:
    return Predictor.load(package)


@pytest.fixture(scope="module")
def easy_lines() -> list[tuple[np.ndarray, str]]:
    recipe = load_recipe("clean").with_(max_chars=40, min_height=40)
    made = [make_line(11, index, recipe=recipe) for index in range(20)]
    return [(one.image, one.text) for one in made]


def cer(truths: list[str], answers: list[str]) -> float:
    return get_task("text").score(truths, answers)["cer"]


def test_every_file_is_the_one_that_was_published(package: Package) -> None:
    package.verify()
    listed = {*package.spec.files, "nhan.json", "card.md"}
    assert {path.name for path in FOLDER.iterdir() if path.suffix not in {".py", ""}} == listed


def test_it_is_small(package: Package) -> None:
    assert sum(facts.bytes for facts in package.spec.files.values()) < 12e6
    assert package.spec.files[package.spec.serve].bytes < 10e6


def test_it_can_write_all_of_vietnamese(package: Package) -> None:
    charset = set(package.spec.to_dict()["outputs"]["charset"])
    assert charset >= set(ACCENTED) | set(map(chr, range(32, 127))) | set("–“”…₫°")


def test_clean_lines_are_read(
    predictor: Predictor, easy_lines: list[tuple[np.ndarray, str]]
) -> None:
    answers = [predictor.predict(picture).value for picture, _ in easy_lines]
    assert cer([text for _, text in easy_lines], answers) < 0.04


def test_lines_upside_down_are_read(
    predictor: Predictor, easy_lines: list[tuple[np.ndarray, str]]
) -> None:
    long = [(picture, text) for picture, text in easy_lines if len(text) > 8]
    answers = [predictor.predict(picture[::-1, ::-1]) for picture, _ in long]
    # A few lines in capitals (NOHI, SOS) read well either way up.
    turned = [answer.details.get("turned") == 180 for answer in answers]
    assert np.mean(turned) > 0.85
    assert cer([text for _, text in long], [answer.value for answer in answers]) < 0.15


def test_nonsense_is_read_without_confidence(predictor: Predictor) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 300, 3), dtype=np.uint8)
    assert predictor.predict(noise).confidence < 0.6


def test_confidence_is_calibrated(package: Package) -> None:
    assert package.spec.to_dict()["calibration"]["method"] != "none"
    tests = json.loads(package.read("metrics.json"))["tests"]
    assert tests["unseen fonts"]["calibration"]["ece"] < 0.08


def test_its_weights_are_those_that_answer(
    package: Package,
    predictor: Predictor,
    easy_lines: list[tuple[np.ndarray, str]],
    tmp_path: Path,
) -> None:
    pytest.importorskip("torch")
    from nhan.training.checkpoint import load_checkpoint
    from nhan.training.produce import WEIGHTS, learner_of

    weights = tmp_path / WEIGHTS
    weights.write_bytes(package.read(WEIGHTS))
    learner = learner_of(load_checkpoint(weights))
    assert learner.vocabulary["charset"] == package.spec.to_dict()["outputs"]["charset"]
    assert learner.preparation() == package.spec.to_dict()["prepare"]
    answers = []
    for picture, _ in easy_lines:
        batch = learner.batch([learner.preparer(picture)], [""], training=False)
        answers += learner.answers(batch)
    assert cer([predictor.predict(picture).value for picture, _ in easy_lines], answers) < 0.05


def test_it_answers_without_torch() -> None:
    code = (
        "import sys\n"
        "from nhan.models.bundled import bundled_package\n"
        "from nhan.models.predictor import Predictor\n"
        "Predictor.load(bundled_package())\n"
        "assert not {'torch', 'cv2', 'lightning'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_card_and_sources_say_what_it_was_made_of(package: Package) -> None:
    card = package.card()
    for word in ("Training data", "Recipe", "Scores", "unseen fonts", "Limits", "Licence"):
        assert word in card
    sources = package.read("sources.md").decode()
    for line in sources.splitlines():
        if line.startswith("| ") and not line.startswith("| package"):
            licence = line.split("|")[3].strip()
            assert licence, f"no licence: {line}"
    assert "OFL-1.1" in sources
    assert "libreoffice-help-vi" in sources


def test_the_docs_show_the_numbers_of_this_version(package: Package) -> None:
    page = (ROOT / "docs" / "reader.md").read_text(encoding="utf-8")
    assert f"Version {package.spec.version}, after" in page
    for part in json.loads(package.read("metrics.json"))["tests"].values():
        for row in part["rows"]:
            assert f"| {row['kind']} | {row['samples']} | {100 * row['cer'][0]:.1f} (" in page


def test_real_pictures_are_read_as_well_as_the_card_says(
    predictor: Predictor, shared_data: Path
) -> None:
    folder = shared_data / "vi-lines"
    labels: dict[str, str] = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    answers = {name: predictor.predict((folder / name).read_bytes()).value for name in labels}
    hand = [name for name in labels if name.startswith("handwriting/")]
    rest = [name for name in labels if name not in hand]
    assert cer([labels[name] for name in rest], [answers[name] for name in rest]) < 0.04
    assert cer([labels[name] for name in hand], [answers[name] for name in hand]) < 0.45
