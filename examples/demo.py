"""The whole loop, unattended, in minutes: `make demo`.

A shop reads clean printed lines. Then forms with tick boxes arrive, a character that its reader has
never seen; people correct the answers, and the next round learns it. Every step is a command that
a user would type; nothing reaches into the package.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from rapidfuzz.distance import Levenshtein
from rich.console import Console
from rich.table import Table

MODEL = "reader"
DATASET = "lines"
LIVE_WITHIN_S = 5.0
GOOD_CER = 0.10

FORM_PHRASES = (
    "Đồng ý", "Không đồng ý", "Nam", "Nữ", "Đã kết hôn", "Độc thân", "Có", "Không",
    "Đã nộp hồ sơ", "Nhận tại quầy", "Gửi qua bưu điện", "Thanh toán tiền mặt", "Chuyển khoản",
    "Hộ khẩu thường trú", "Tạm trú", "Bản chính", "Bản sao", "Đủ điều kiện", "Cần bổ sung",
    "Đã kiểm tra",
)  # fmt: skip

console = Console(highlight=False)


@dataclass
class Demo:
    """A workspace, what was done in it, and how it went."""

    folder: Path
    port: int
    done: list[tuple[str, str, float]] = field(default_factory=list)

    @property
    def workspace(self) -> Path:
        return self.folder / "shop"

    def nhan(self, *words: str | Path, expect: int = 0, **variables: str) -> str:
        """Run a command as a user would: its output, or its errors where it should fail."""
        shown = " ".join(str(word) for word in words)
        console.print(f"[bold]$ nhan {shown}[/]")
        command = [sys.executable, "-m", "nhan", *map(str, words)]
        environment = {**os.environ, "NHAN_WORKSPACE": str(self.workspace), **variables}
        if words[0] in ("init", "synth"):
            environment.pop("NHAN_WORKSPACE")
        finished = subprocess.run(command, env=environment, capture_output=True, text=True)
        output = finished.stdout if expect == 0 else finished.stderr
        for line in (
            (finished.stdout + (finished.stderr if expect else "")).strip().splitlines()[-8:]
        ):
            console.print(f"  {line}", markup=False, style="dim")
        if finished.returncode != expect:
            console.print(finished.stderr, markup=False, style="red")
            raise SystemExit(f"demo: `nhan {shown}` ended with {finished.returncode}, not {expect}")
        return output.strip()

    @contextmanager
    def step(self, title: str) -> Iterator[list[str]]:
        """Time a step and keep what it says for the summary."""
        console.rule(f"[bold]{len(self.done) + 1}. {title}")
        outcome: list[str] = []
        began = time.monotonic()
        yield outcome
        self.done.append((title, "; ".join(outcome), time.monotonic() - began))

    def ask(self, picture: Path) -> tuple[str, str]:
        """POST a picture: the text, and the model version that answered."""
        return self.answer(picture)[:2]

    def answer(self, picture: Path) -> tuple[str, str, str]:
        """POST a picture: the text, the model version that answered, the answer's id."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/predict",
            data=picture.read_bytes(),
            headers={"Content-Type": "image/png"},
        )
        with urllib.request.urlopen(request, timeout=30) as reply:
            said = json.load(reply)
            return said["text"], reply.headers["X-Nhan-Model"], said["id"]

    def correct(self, prediction: str, text: str) -> None:
        """POST what an answer should have been."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/corrections",
            data=json.dumps({"prediction": prediction, "label": text}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30):
            pass

    def take_in(self, corrections: int) -> int:
        """Take what the server collected into the catalogue, until all corrections are there."""
        taken, deadline = 0, time.monotonic() + 60
        while taken < corrections:
            report = self.nhan(
                "uploads", "intake", "--json", NHAN_UPLOADS__TRUST_CORRECTIONS="true"
            )
            found = json.loads(report)["corrections"]
            taken += found.get("stands", 0) + found.get("agrees", 0)
            if time.monotonic() > deadline:
                raise SystemExit(f"demo: {taken} of {corrections} corrections arrived")
        return taken

    def wait_until_live(self, version: str, picture: Path) -> float:
        """Seconds until the server answers with a version."""
        began = time.monotonic()
        while time.monotonic() - began < 4 * LIVE_WITHIN_S:
            if self.ask(picture)[1] == f"{MODEL}@{version}":
                return time.monotonic() - began
            time.sleep(0.05)
        raise SystemExit(f"demo: version {version} is not live after {4 * LIVE_WITHIN_S:g} s")


def draw_forms(folder: Path, count: int, seed: int) -> dict[str, str]:
    """Lines of forms with tick boxes, drawn with the font that matplotlib always brings."""
    folder.mkdir(parents=True, exist_ok=True)
    dice = random.Random(seed)
    fonts = Path(get_data_path()) / "fonts" / "ttf"
    labels = {}
    for number in range(count):
        chosen = dice.sample(FORM_PHRASES, dice.choice((1, 2, 2, 3)))
        text = "  ".join(f"{dice.choice('☑☐')} {phrase}" for phrase in chosen).replace("  ", " ")
        font = ImageFont.truetype(str(fonts / "DejaVuSans.ttf"), dice.randint(22, 34))
        left, top, right, bottom = font.getbbox(text)
        paper = dice.randint(215, 255)
        image = Image.new("RGB", (int(right - left) + 24, int(bottom - top) + 20), (paper,) * 3)
        ImageDraw.Draw(image).text(
            (12 - left, 10 - top), text, font=font, fill=(dice.randint(0, 80),) * 3
        )
        image = image.filter(ImageFilter.GaussianBlur(dice.uniform(0, 0.8)))
        noise = np.random.default_rng([seed, number]).normal(
            0, dice.uniform(0, 8), (image.height, image.width, 1)
        )
        name = f"form-{number:04d}.png"
        Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)).save(
            folder / name
        )
        labels[name] = text
    (folder / "labels.json").write_text(
        json.dumps(labels, ensure_ascii=False, indent=1), encoding="utf-8"
    )
    return labels


def cer(truths: list[str], answers: list[str]) -> float:
    """Corpus CER: edit distances over reference lengths."""
    errors = sum(Levenshtein.distance(a, b) for a, b in zip(truths, answers, strict=True))
    return errors / sum(map(len, truths))


@contextmanager
def server(demo: Demo) -> Iterator[None]:
    """`nhan serve` in the background, stopped at the end."""
    command = [sys.executable, "-m", "nhan", "serve", "--port", str(demo.port), "--admin-port", "0"]
    environment = {**os.environ, "NHAN_WORKSPACE": str(demo.workspace)}
    console.print(f"[bold]$ nhan serve --port {demo.port} &[/]")
    with (demo.folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{demo.port}/readyz", timeout=5):
                    break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if process.poll() is not None or time.monotonic() > deadline:
                    print((demo.folder / "serve.log").read_text(), file=sys.stderr)
                    raise SystemExit("demo: the server did not become ready") from None
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(40)


def test_cer(demo: Demo, version: str) -> float:
    """CER of a version on its own frozen test split."""
    record = json.loads(demo.nhan("evaluate", f"{MODEL}@{version}", "--json"))
    return float(record["metrics"]["cer"]["value"])


def run(demo: Demo) -> None:
    """The loop, twice round."""
    train = ("train", DATASET, "--model", MODEL)
    with demo.step("A workspace, pictures in") as outcome:
        demo.nhan("init", demo.workspace)
        demo.nhan(
            "synth", demo.folder / "lines", "--lines", "900", "--seed", "7", "--recipe", "clean"
        )
        demo.nhan("import", demo.folder / "lines", "--source-name", "print")
        demo.nhan("audit")
        outcome.append(demo.nhan("freeze", DATASET).splitlines()[-1])
    with demo.step("Train a first reader, from the bundled one") as outcome:
        first = demo.nhan(*train, "--from", "vi-line", "--set", "length.samples=1000").splitlines()[
            -1
        ]
        score = test_cer(demo, "1")
        outcome.append(f"{first}, test CER {score:.3f}")
        if score >= GOOD_CER:
            raise SystemExit(f"demo: test CER {score:.3f} is not below {GOOD_CER}")
    with demo.step("Through the gate, live") as outcome:
        outcome.append(demo.nhan("promote", f"{MODEL}@1").splitlines()[-1])
    with server(demo):
        sample = next((demo.folder / "lines").rglob("*.png"))
        with demo.step("Ask it over HTTP") as outcome:
            text, version = demo.ask(sample)
            outcome.append(f"{version} read {text!r}")
        with demo.step("A worse candidate is refused") as outcome:
            demo.nhan(*train, "--set", "length.samples=300", "--set", "preflight=false")
            refusal = demo.nhan("promote", f"{MODEL}@2", expect=1)
            (words,) = [line for line in refusal.splitlines() if line.startswith("error: ")]
            outcome.append(words.removeprefix("error: "))
        with demo.step("Forms arrive, with a character it has never seen") as outcome:
            forms = draw_forms(demo.folder / "forms", 360, seed=11)
            truths = list(forms.values())
            answers = [demo.answer(demo.folder / "forms" / name) for name in forms]
            before = cer(truths, [text for text, _, _ in answers])
            outcome.append(f"{len(forms)} pictures, CER {before:.3f}")
        with demo.step("People correct the wrong answers") as outcome:
            wrong = [
                (prediction, truth)
                for truth, (text, _, prediction) in zip(truths, answers, strict=True)
                if text != truth
            ]
            console.print(f"[bold]$ curl … /corrections[/]  × {len(wrong)}")
            for prediction, truth in wrong:
                demo.correct(prediction, truth)
            outcome.append(f"{demo.take_in(len(wrong))} corrections are labels now")
        with demo.step("The next version learns from them") as outcome:
            outcome.append(demo.nhan("freeze", DATASET).splitlines()[-1])
            demo.nhan(*train, "--from", f"{MODEL}@1", "--set", "length.samples=5000")
            outcome.append(
                demo.nhan("promote", f"{MODEL}@3", "--because", "forms").splitlines()[-1]
            )
            live = demo.wait_until_live("3", sample)
            outcome.append(f"live after {live:.1f} s")
        with demo.step("Ask the forms again") as outcome:
            after = cer(truths, [demo.ask(demo.folder / "forms" / name)[0] for name in forms])
            outcome.append(f"CER {before:.3f} → {after:.3f}")
            if after > before / 2:
                raise SystemExit(
                    f"demo: CER on the forms fell only from {before:.3f} to {after:.3f}"
                )
        with demo.step("Roll back, and forward again") as outcome:
            demo.nhan("rollback", MODEL, "--because", "to show it")
            outcome.append(f"version 1 live after {demo.wait_until_live('1', sample):.1f} s")
            demo.nhan("promote", f"{MODEL}@3", "--because", "the forms need it")
            outcome.append(f"version 3 live after {demo.wait_until_live('3', sample):.1f} s")
    demo.nhan("models", MODEL)


def main() -> None:
    """Run in `demo-workspace`, made anew each time."""
    folder = Path("demo-workspace").resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    demo = Demo(folder, port)
    began = time.monotonic()
    run(demo)
    table = Table(title="What happened", title_justify="left")
    for column in ("", "step", "outcome", "s"):
        table.add_column(
            column, justify="right" if column in ("", "s") else "left", overflow="fold"
        )
    for number, (title, outcome, seconds) in enumerate(demo.done, 1):
        table.add_row(str(number), title, outcome, f"{seconds:.1f}")
    console.print(table, markup=False)
    console.print(
        f"the whole loop took {time.monotonic() - began:.0f} s; everything is in {folder}"
    )


if __name__ == "__main__":
    main()
