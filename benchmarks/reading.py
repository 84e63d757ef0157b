"""The reader beside Tesseract, on any folder of line pictures with a `labels.json`.

    python benchmarks/reading.py FOLDER…                      # ours, Tesseract plain and cleaned
    python benchmarks/reading.py FOLDER --model NAME@3 --workspace DIR --json
    python benchmarks/reading.py --made 200                   # made lines in fonts never trained on

Every contestant reads every picture from its encoded file on one thread, in this process. Rounds
are interleaved: each picture is read by one after the other before the next picture comes, and the
fastest of its rounds counts, because a machine that is busy only ever adds time. Rates carry 95 %
bootstrap intervals over the pictures. Tesseract needs `pip install tesserocr` and Debian's
tesseract-ocr-vie; without it only our reader is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean, median

# Before any library counts the cores: one thread is what is compared.
for _variable in ("OMP_THREAD_LIMIT", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_variable] = "1"

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "peers"), str(HERE.parent / "recipes")]

from nhan.evaluation.intervals import bootstrap, rate  # noqa: E402
from nhan.images import encode_png  # noqa: E402
from nhan.models.predict import choose  # noqa: E402
from nhan.models.predictor import Predictor  # noqa: E402
from nhan.tasks.text import metrics  # noqa: E402
from nhan.workspace import Workspace  # noqa: E402

Read = Callable[[bytes], str]
_WARM_UP = 5
_ALL, _PRINT = "all", "all but handwriting"


@dataclass(frozen=True)
class Picture:
    file: bytes
    truth: str
    kind: str


@dataclass
class Contestant:
    """Who reads, and what it took: milliseconds a picture, the fastest round of each."""

    name: str
    read: Read
    answers: list[str] = field(default_factory=list)
    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """One contestant on one kind of picture; intervals as (value, low, high)."""

    contestant: str
    kind: str
    pictures: int
    cer: tuple[float, float, float]
    exact: tuple[float, float, float]
    letter: float
    mark: float
    tone: float
    wall_ms: float
    cpu_ms: float


def main() -> None:
    options = _options()
    pictures = [picture for path in options.folders for picture in folder(path)]
    if options.made:
        pictures += _made(options.made)
    if not pictures:
        raise SystemExit("name a folder with a labels.json, or give --made N")
    contestants = _contestants(options)
    compete(contestants, pictures, rounds=options.rounds)
    rows = [row for contestant in contestants for row in table(contestant, pictures)]
    if options.json:
        print(json.dumps([asdict(row) for row in rows], ensure_ascii=False, indent=1))
        return
    _print(rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="*", help="each with a labels.json")
    parser.add_argument("--made", type=int, default=0, help="lines of each of five recipes")
    parser.add_argument("--model", default="", help="NAME or NAME@VERSION; the bundled one if none")
    parser.add_argument("--workspace", type=Path, help="where that model is")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--languages", default="vie", help="Tesseract's")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _contestants(options: argparse.Namespace) -> list[Contestant]:
    workspace = Workspace.open(options.workspace) if options.workspace else None
    predictor = Predictor.load(choose(workspace, options.model))
    contestants = [
        Contestant(predictor.package.ref, lambda picture: predictor.predict(picture).value)
    ]
    if find_spec("tesserocr"):
        from with_tesseract import Tesseract

        for name, cleaned in (("Tesseract", False), ("Tesseract, cleaned", True)):
            contestants.append(Contestant(name, Tesseract(options.languages, cleaned=cleaned).read))
    else:
        print("Tesseract is not measured: pip install tesserocr", file=sys.stderr)
    return contestants


def folder(path: Path) -> list[Picture]:
    """Pictures that `labels.json` lists; the first folder of a name is its kind."""
    labels: dict[str, str] = json.loads((path / "labels.json").read_text(encoding="utf-8"))
    return [
        Picture((path / name).read_bytes(), truth, name.partition("/")[0] if "/" in name else _ALL)
        for name, truth in sorted(labels.items())
    ]


def _made(count: int) -> list[Picture]:
    from bundle_scores import unseen_fonts

    return [
        Picture(encode_png(sample.picture), sample.truth, f"unseen fonts: {sample.kind}")
        for sample in unseen_fonts(count)
    ]


def compete(contestants: Sequence[Contestant], pictures: Sequence[Picture], *, rounds: int) -> None:
    """Let all read all pictures; `answers`, `wall_ms` and `cpu_ms` are filled in order."""
    for contestant in contestants:
        for picture in pictures[:_WARM_UP]:
            contestant.read(picture.file)
    for number, picture in enumerate(pictures):
        # Whoever goes first finds colder caches: take turns.
        turn = number % len(contestants)
        times: dict[str, list[tuple[float, float]]] = {one.name: [] for one in contestants}
        answers = {}
        for _ in range(rounds):
            for contestant in [*contestants[turn:], *contestants[:turn]]:
                began, burnt = time.perf_counter(), time.process_time()
                answers[contestant.name] = contestant.read(picture.file)
                times[contestant.name].append(
                    (time.perf_counter() - began, time.process_time() - burnt)
                )
        for contestant in contestants:
            wall, cpu = (min(part) * 1e3 for part in zip(*times[contestant.name], strict=True))
            contestant.answers.append(answers[contestant.name])
            contestant.wall_ms.append(wall)
            contestant.cpu_ms.append(cpu)


def table(contestant: Contestant, pictures: Sequence[Picture]) -> list[Row]:
    """A row for each kind, for all but handwriting where there is some, and for all."""
    kinds = dict.fromkeys(picture.kind for picture in pictures)
    groups: dict[str, list[int]] = {
        kind: [i for i, picture in enumerate(pictures) if picture.kind == kind] for kind in kinds
    }
    if len(kinds) > 1:
        if "handwriting" in kinds:
            groups[_PRINT] = [i for i, p in enumerate(pictures) if p.kind != "handwriting"]
        groups[_ALL] = list(range(len(pictures)))
    return [_row(contestant, kind, pictures, chosen) for kind, chosen in groups.items()]


def _row(
    contestant: Contestant, kind: str, pictures: Sequence[Picture], chosen: Sequence[int]
) -> Row:
    truths = [pictures[i].truth for i in chosen]
    answers = [contestant.answers[i] for i in chosen]
    pairs = list(zip(truths, answers, strict=True))
    errors, weights = zip(*(metrics.character_errors(*pair) for pair in pairs), strict=True)
    cer = bootstrap(errors, weights)
    exact = bootstrap([float(a == b) for a, b in pairs], [1.0] * len(pairs))
    split = metrics.split_cer(truths, answers)
    assert abs(rate(errors, weights) - cer.value) < 1e-9
    return Row(
        contestant.name,
        kind,
        len(chosen),
        (cer.value, cer.low, cer.high),
        (exact.value, exact.low, exact.high),
        split.letter,
        split.mark,
        split.tone,
        median(contestant.wall_ms[i] for i in chosen),
        fmean(contestant.cpu_ms[i] for i in chosen),
    )


def _print(rows: Sequence[Row]) -> None:
    head = (
        "| reader | kind | lines | CER % | exact % | letter, mark, tone errors % "
        "| median ms | CPU ms |"
    )
    print(head)
    print("|---|---|---:|---:|---:|---|---:|---:|")
    for row in rows:
        split = ", ".join(f"{100 * part:.1f}" for part in (row.letter, row.mark, row.tone))
        print(
            f"| {row.contestant} | {row.kind} | {row.pictures} | {_percent(row.cer)} "
            f"| {_percent(row.exact)} | {split} | {row.wall_ms:.1f} | {row.cpu_ms:.1f} |"
        )
    ours, *others = [row for row in rows if row.kind == rows[-1].kind]
    for other in others:
        print(
            f"\nTime of {ours.contestant} over {other.contestant}: "
            f"{ours.wall_ms / other.wall_ms:.2f} (CPU {ours.cpu_ms / other.cpu_ms:.2f})"
        )


def _percent(interval: tuple[float, float, float]) -> str:
    value, low, high = (100 * part for part in interval)
    return f"{value:.1f} ({low:.1f}–{high:.1f})"


if __name__ == "__main__":
    main()
