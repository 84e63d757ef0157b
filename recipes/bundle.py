"""Make the reader that comes with Nhãn from a training run, with all its numbers.

    python recipes/bundle.py RUN_FOLDER [--dev FOLDER]… [--lines N] [--name vi-line]
    python recipes/bundle.py --again [--dev FOLDER]… [--lines N]

RUN_FOLDER is what `nhan train --config recipes/vi-line.toml --out RUN_FOLDER` writes; its
`best.safetensors` is taken as it stands, so a run that goes on is not disturbed. Needs the fonts
of `recipes/fonts.sh` (NHAN_FONTS). Rewrites `src/nhan/models/bundled/` and the numbers in
`docs/reader.md`; may be run again for every better checkpoint, and numbers the versions. With
`--again` the reader that is there keeps its weights and files; only its confidence is fitted and
its scores are taken anew, while its speed stands as it was measured.

Nothing is fitted on the folders given with `--dev`: they are only scored. Confidence is fitted on
made lines of other seeds than the training's, int8 is judged on others again. The scores for
unseen fonts come from families that the training never drew; so do the lines that confidence is
fitted on, other ones.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bundle_page as page
from bundle_scores import (
    SEED,
    Read,
    Sample,
    calibration_of,
    difference,
    folder,
    held_out_families,
    made,
    read,
    row,
    rows,
    speed,
    unseen_fonts,
)

from nhan.errors import SettingsError
from nhan.evaluation.calibrate import choose
from nhan.models.package import CARD_FILE, SPEC_FILE, write_package
from nhan.models.predictor import Predictor
from nhan.synth import Recipe, load_recipe
from nhan.tasks.learner import Learner
from nhan.training.checkpoint import Checkpoint, load_checkpoint, to_bytes
from nhan.training.export import export_onnx
from nhan.training.halve import to_half_storage
from nhan.training.job import BEST, CURVE
from nhan.training.produce import METRICS, MODEL, MODEL_INT8, WEIGHTS, learner_of
from nhan.training.quantise import to_int8
from nhan.training.streamed import InMemory

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "src" / "nhan" / "models" / "bundled"
# Where these differ in nothing else, int8 answers: it may cost so much CER, absolute, at the upper
# end of the 95 % interval, and must save so much of the time.
INT8_MARGIN = 0.003
INT8_SAVES = 0.1
# What is counted of each training that led to a reader.
_SPENT = ("seen", "seconds")
# How answers are found, the same for every version; measured in docs/reader.md.
READING: dict[str, Any] = {
    "decoding": {
        "method": "beam",
        "model": "vi-characters",
        "model_weight": 0.25,
        "length_bonus": 0.5,
    },
    "second_look": {"turned_below": 0.9},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?", help="folder of a training run")
    parser.add_argument("--again", action="store_true", help="only fit confidence and score")
    parser.add_argument("--dev", type=Path, action="append", default=[], help="only scored")
    parser.add_argument("--lines", type=int, default=400, help="per recipe of unseen fonts")
    parser.add_argument("--name", default="vi-line")
    parser.add_argument("--target", type=Path, default=TARGET)
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    given = parser.parse_args()
    if given.again == (given.run is not None):
        parser.error("name the folder of a run, or give --again")
    judging = Judging(given.dev, given.lines)
    if given.again:
        again(given.target, given.docs, judging)
    else:
        bundle(given.run, given.target, given.docs, judging, name=given.name)


@dataclass(frozen=True)
class Judging:
    """What a reader is measured on.

    Attributes:
        dev: folders of real pictures, only scored.
        lines: made lines per recipe of unseen fonts.
    """

    dev: Sequence[Path]
    lines: int


def bundle(run: Path, target: Path, docs: Path, judging: Judging, *, name: str) -> None:
    """Export, choose between float and int8, calibrate, score, write."""
    best = load_checkpoint(run / BEST)
    before = earlier(best)
    learner = learner_of(best)
    recipe = training_recipe(best)
    _say(f"weights after {best.facts['seen']:,} lines; making lines to judge on")
    judged = made(recipe, judging.lines, seed=SEED + 100)
    seen = made(recipe, 128, seed=SEED + 200)
    float32, agreement = export_onnx(learner, _prepared(learner, judged[:64]))
    _say(f"exported; scores differ by up to {agreement.max_difference:.1g}")
    spec: dict[str, Any] = {
        "task": best.facts["task"],
        "serve": MODEL,
        "dataset": "",
        "run": run.name,
        "prepare": learner.preparation(),
        "outputs": learner.outputs(),
        "calibration": {"method": "none"},
        **READING,
    }
    files = {MODEL: to_half_storage(float32)}
    small = to_half_storage(to_int8(learner, float32, _prepared(learner, seen)))
    standing = open_predictor(files, spec)
    candidate = open_predictor({MODEL_INT8: small}, {**spec, "serve": MODEL_INT8})
    int8 = compare_int8(standing, candidate, judged)
    _say(int8["words"])
    if int8["kept"]:
        files = {MODEL_INT8: small}
        spec["serve"] = MODEL_INT8

    facts = {key: best.facts[key] for key in ("task", "options", "vocabulary", "config")}
    # Where on this machine the run began is nobody's business; `before` tells from what.
    facts["config"] = {**facts["config"], "start_from": ""}
    facts["reading"] = READING
    numbers = {
        "run": run.name,
        "seen": best.facts["seen"] + sum(each["seen"] for each in before),
        "seconds": _seconds(run, best.facts["seen"]) + sum(each["seconds"] for each in before),
        "before": before,
        "parameters": sum(part.numel() for part in learner.network.parameters()),
        "export": agreement.to_dict(),
        "int8": int8,
    }
    numbers |= judge(files, spec, recipe, judging)
    pictures = folder(judging.dev[-1]) if judging.dev else judged
    numbers["speed"] = speed(open_predictor(files, spec), pictures)
    files[WEIGHTS] = to_bytes(Checkpoint(best.best_weights, facts), half=True)
    files[page.SOURCES] = page.sources(recipe).encode()
    spec["about"] = page.about(best.facts, numbers)
    write(files, spec, numbers, target, docs, name=name)


def again(target: Path, docs: Path, judging: Judging) -> None:
    """Fit the confidence of the reader that is there, and score it anew."""
    spec = json.loads((target / SPEC_FILE).read_text("utf-8"))
    numbers = json.loads((target / METRICS).read_text("utf-8"))
    files = {file: (target / file).read_bytes() for file in spec["files"] if file != METRICS}
    spec |= READING
    recipe = training_recipe(load_checkpoint(target / WEIGHTS))
    numbers |= judge({spec["serve"]: files[spec["serve"]]}, spec, recipe, judging)
    write(files, spec, numbers, target, docs, name=spec["name"])


def judge(
    files: Mapping[str, bytes], spec: dict[str, Any], recipe: Recipe, judging: Judging
) -> dict[str, Any]:
    """Fit `spec`'s calibration and take the scores of the reader that these files are."""
    _say("fitting confidence")
    raw = open_predictor(files, {**spec, "calibration": {"method": "none"}})
    fitted = read(raw, calibration_lines(recipe, 6 * judging.lines))
    spec["calibration"] = choose(
        [one.confidence for one in fitted],
        [one.right for one in fitted],
        [len(one.answer) for one in fitted],
    ).to_dict()
    reader = open_predictor(files, spec)
    _say("reading lines in unseen fonts")
    tests = {"unseen fonts": read(reader, unseen_fonts(judging.lines))}
    for path in judging.dev:
        tests[f"dev: {path.name}"] = read(reader, folder(path))
    return {
        "calibrated_on": len(fitted),
        "tests": {title: table(reads) for title, reads in tests.items()},
    }


def write(
    files: dict[str, bytes],
    spec: Mapping[str, Any],
    numbers: dict[str, Any],
    target: Path,
    docs: Path,
    *,
    name: str,
) -> None:
    """The package in place of the one that is there, and its numbers in the docs."""
    numbers["bytes"] = {
        file: len(data) for file, data in files.items() if file not in (METRICS, page.SOURCES)
    }
    files[METRICS] = json.dumps(numbers, ensure_ascii=False, indent=1).encode()
    version = _version(target, files[WEIGHTS])
    for old in target.glob("*.*"):
        if old.suffix != ".py":
            old.unlink()
    package = write_package(target, files, spec, name=name, version=version)
    (target / CARD_FILE).write_text(page.card(package.spec.to_dict(), numbers), encoding="utf-8")
    page.update(docs, package.spec.to_dict(), numbers)
    _say(f"{package.ref}: {sum(numbers['bytes'].values()) / 1e6:.1f} MB in {target}")
    print(page.score_table(numbers))


_BEGAN = time.monotonic()


def _say(text: str) -> None:
    print(f"{time.monotonic() - _BEGAN:5.0f} s  {text}", flush=True)


def training_recipe(best: Checkpoint) -> Recipe:
    """What the run's lines were made with, its curriculum left behind.

    Raises:
        SettingsError: the run was not trained on made lines.
    """
    data = best.facts["config"]["data"]
    if data["made"] != "lines":
        raise SettingsError("the run did not learn made lines", hint="see recipes/vi-line.toml")
    options = {k: v for k, v in data["made_options"].items() if not k.startswith("easy")}
    return load_recipe(options.pop("recipe", "default")).with_(**options)


def earlier(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """The trainings whose weights this one began with, the first one first."""
    start = checkpoint.facts["config"]["start_from"]
    if not start:
        return []
    began = load_checkpoint(Path(start))
    optimizer = began.facts["config"]["optimizer"]
    if (numbers := Path(start).parent / METRICS).exists() and Path(start).name == WEIGHTS:
        # The reader that ships: what it took is written beside its weights.
        known = json.loads(numbers.read_text("utf-8"))
        own = {key: known[key] - sum(each[key] for each in known["before"]) for key in _SPENT}
        return [*known["before"], {**own, **_rate(optimizer)}]
    # A run's last checkpoint says where it stood, its best one how much it had seen.
    seen = began.facts["position"]["seen"] if "position" in began.facts else began.facts["seen"]
    stage = {"seen": seen, "seconds": _seconds(Path(start).parent, seen), **_rate(optimizer)}
    return [*earlier(began), stage]


def _rate(optimizer: Mapping[str, Any]) -> dict[str, Any]:
    return {key: optimizer[key] for key in ("lr", "schedule")}


def calibration_lines(recipe: Recipe, count: int) -> list[Sample]:
    """Lines to fit confidence on: all of the training's kinds, in fonts that it never drew.

    As hard as they can be made, too. Real pictures are harder than usual lines and hardly ever in
    a font of the training's, and a fit on those promises too much.
    """
    strange = recipe.with_(difficulty=1.0, fonts_only=held_out_families(), fonts_without=())
    return made(strange, count, seed=SEED + 300)


def compare_int8(float32: Predictor, int8: Predictor, judged: Sequence[Sample]) -> dict[str, Any]:
    """Whether int8 answers: what it costs, with an interval, and what it saves."""
    before, after = read(float32, judged), read(int8, judged)
    cost = difference(after, before)
    slow, fast = speed(float32, judged), speed(int8, judged)
    saved = 1 - fast["cpu_ms"] / slow["cpu_ms"]
    kept = cost.high <= INT8_MARGIN and saved >= INT8_SAVES
    words = (
        f"Convolutions and products in int8 change the CER by {100 * cost.value:+.2f} points "
        f"({100 * cost.low:+.2f} to {100 * cost.high:+.2f}; allowed {100 * INT8_MARGIN:+.2f}) on "
        f"{len(judged)} made lines and take {saved:.0%} off the time: "
        + ("int8 answers." if kept else "float32 answers.")
    )
    return {"kept": kept, "cer": [cost.value, cost.low, cost.high], "saved": saved, "words": words}


def open_predictor(files: Mapping[str, bytes], spec: Mapping[str, Any]) -> Predictor:
    """A predictor of files that are not yet a package."""
    with tempfile.TemporaryDirectory() as temporary:
        return Predictor.load(write_package(temporary, files, spec, name="unfinished"))


def table(reads: Sequence[Read]) -> dict[str, Any]:
    """Scores by kind, all together, and how far confidence can be trusted."""
    kinds = rows(reads)
    if len(kinds) > 1:
        print_only = [each for each in reads if each.kind != "handwriting"]
        kinds += [row("all but handwriting", print_only), row("all", reads)]
    return {
        "rows": [each.to_dict() for each in kinds],
        "calibration": calibration_of(reads).model_dump(),
    }


def _prepared(learner: Learner, samples: Sequence[Sample]) -> InMemory:
    pictures = [(sample.picture, sample.truth) for sample in samples]
    return InMemory(
        [(learner.preparer(rgb), truth) for rgb, truth in pictures if not isinstance(rgb, bytes)]
    )


def _seconds(run: Path, seen: int) -> float:
    """Time the run had spent when its best weights were written."""
    lines = (run / CURVE).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return max((float(each["seconds"]) for each in rows if each["seen"] <= seen), default=0.0)


def _version(target: Path, weights: bytes) -> int:
    """The next number; weights that are only scored again keep theirs."""
    spec, there = target / SPEC_FILE, target / WEIGHTS
    if not spec.exists():
        return 1
    version: int = json.loads(spec.read_text("utf-8"))["version"]
    return version if there.exists() and there.read_bytes() == weights else version + 1


if __name__ == "__main__":
    main()
