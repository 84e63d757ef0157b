"""Take the pictures of the console that README and docs/console.md show: `make screenshots`.

A workspace is made from synthetic lines, trained on for a minute, served, used and reviewed, so
that every page shows what it shows in use. Needs Chromium and Playwright (`make test-engines`
installs both) and some minutes.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import httpx
from PIL import Image, ImageEnhance
from playwright.sync_api import Browser, Page, sync_playwright

IMAGES = Path(__file__).parents[1] / "docs/images"
MAX_BYTES = 200_000
# A short training that shows curves, a gate and a round; nobody should train like that.
SHORT = ("length.epochs=2", "data.rehearse=0", "data.unfit=leave_out")
Theme = Literal["light", "dark"]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update"]  # fmt: skip


def nhan(*arguments: str | Path, root: Path | None = None, may_fail: bool = False) -> str:
    """Run a command of ours; gives what it prints."""
    command = [sys.executable, "-m", "nhan", *map(str, arguments)]
    environment = {
        **os.environ,
        "NHAN_LOOP__TRAIN": json.dumps(SHORT),
        "NHAN_LOOP__BUDGET_SAMPLES": "400",
    }
    if root is not None:
        environment["NHAN_WORKSPACE"] = str(root)
    print("nhan", *arguments, flush=True)
    done = subprocess.run(
        command, check=not may_fail, env=environment, stdout=subprocess.PIPE, text=True
    )
    print(done.stdout, flush=True)
    return done.stdout


@contextmanager
def served(root: Path) -> Iterator[str]:
    """A server on the workspace; half of all uploads are chosen by chance, to be reviewed."""
    environment = {
        **os.environ,
        "NHAN_WORKSPACE": str(root),
        "NHAN_UPLOADS__RANDOM_SHARE": "0.6",
        "NHAN_SERVE__PORT": "0",
        "NHAN_SERVE__ADMIN_PORT": "0",
    }
    log = root / "serve.log"
    with log.open("w") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "nhan", "serve", "--workers", "1"],
            env=environment,
            stderr=written,
        )
    try:
        while "answers now" not in (said := log.read_text()):
            if process.poll() is not None:
                raise SystemExit(f"the server stopped:\n{said}")
            time.sleep(0.2)
        found = re.search(r"answers at (http://\S+)", said)
        assert found is not None, said
        yield found.group(1)
    finally:
        process.terminate()
        process.wait(60)


def make(root: Path, folder: Path) -> None:
    """A shop's workspace in use: printed lines first, then handwriting that its users send."""
    for name, lines, seed, recipe in (
        ("hoá đơn", 360, 91, "clean"), ("uploads", 300, 777, "handwriting")
    ):  # fmt: skip
        options = ("--lines", str(lines), "--seed", str(seed), "--recipe", recipe)
        nhan("synth", folder / name, *options)
    labels = folder / "hoá đơn/labels.json"
    texts = json.loads(labels.read_text())
    for number, name in enumerate(sorted(texts)[:3]):  # something for the label doctor
        texts[name] += (" Ω", " →", "\u00a0")[number]
    labels.write_text(json.dumps(texts, ensure_ascii=False))
    nhan("init", root)
    nhan("import", folder / "hoá đơn", root=root)
    uploads = sorted(json.loads((folder / "uploads/labels.json").read_text()).items())
    about = ("--dataset", "hoa-don", "--model", "hoa-don")
    with served(root) as address:
        os.environ["NHAN_LOOP__SERVER"] = address
        nhan("loop", "run", *about, "--because", "hoá đơn in của cửa hàng", root=root)
        for part, because, dim in (
            (uploads[:220], "chữ viết tay khách gửi", False),
            (uploads[220:], "ảnh chụp buổi tối", True),
        ):
            use(address, folder / "uploads", dict(part), dim=dim)
            wait_for_intake(root, len(part))
            review(address, dict(part))
            # The reader that comes along is hard to beat: a round that is refused ends with 1.
            nhan("loop", "run", *about, "--because", because, root=root, may_fail=True)


def use(address: str, folder: Path, texts: dict[str, str], *, dim: bool) -> None:
    """Upload pictures, some taken in the evening, and correct half of what was read wrongly."""
    with httpx.Client(base_url=address, timeout=60) as client:
        for number, (name, text) in enumerate(texts.items()):
            user = {"X-Nhan-User": ("an", "chi", "minh")[number % 3]}
            picture = (folder / name).read_bytes()
            file = {"file": (name, dimmed(picture) if dim else picture)}
            model = {"model": "hoa-don"}
            answer = client.post("/predict", files=file, params=model, headers=user).json()
            if answer["text"] != text and number % 2:
                given = {"prediction": answer["id"], "label": text}
                client.post("/corrections", json=given, headers=user)


def dimmed(picture: bytes) -> bytes:
    """The same picture by lamplight."""
    written = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as shown:
        ImageEnhance.Brightness(shown.convert("RGB")).enhance(0.5).save(written, "PNG")
    return written.getvalue()


def wait_for_intake(root: Path, count: int) -> None:
    """What was sent is shipped to the store a moment after it was answered."""
    for _ in range(30):
        done = nhan("uploads", "intake", "--json", root=root)
        count -= json.loads(done)["taken"]
        if count <= 0:
            return
        time.sleep(1)
    raise SystemExit(f"{count} uploads have not arrived")


def review(address: str, texts: dict[str, str]) -> None:
    """Two people review most of what waits."""
    with httpx.Client(base_url=address, timeout=60) as client:
        for number in range(len(texts) // 2):
            who = ("An", "Bình")[number % 2]
            found = client.get("/review/api/next", params={"reviewer": who, "count": 1}).json()
            for item in found["items"]:
                value = texts.get(item["name"], item["suggestion"]["value"])
                decision = {"id": str(uuid.uuid4()), "sample": item["sample"], "reviewer": who}
                decision |= {"action": "accept", "value": value}
                client.post("/review/api/decide", json=decision)


def shoot(address: str, target: Path) -> None:
    """All pictures."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for language in ("vi", "en"):
            with opened(browser, address, "/", language) as page:
                page.locator("#samples").click()
                page.locator(".reading p.answer").nth(2).wait_for()
                page.wait_for_timeout(500)
                keep(page, target / f"read-{language}.png", 720)
            with opened(browser, address, "/review", language) as page:
                go_to_a_doubtful_line(page)
                keep(page, target / f"review-{language}.png", 760)
        with opened(browser, address, "/data", "en") as page:
            page.locator(".finding summary").first.click(timeout=120_000)
            page.wait_for_timeout(800)
            keep(page, target / "data.png", 1400)
        with opened(browser, address, "/models", "en") as page:
            page.locator(".curve-button").first.click()
            page.wait_for_timeout(1200)
            keep(page, target / "models.png", 1200)
        with opened(browser, address, "/watch", "en", theme="dark") as page:
            page.locator("#rounds summary").first.wait_for(timeout=120_000)
            page.wait_for_timeout(1200)
            keep(page, target / "watch.png", 3100)
        shots = []
        phones: list[tuple[str, Theme]] = [
            ("/", "light"),
            ("/review", "dark"),
            ("/models", "light"),
        ]
        for path, theme in phones:
            with opened(browser, address, path, "vi", theme=theme, width=390) as page:
                if path == "/":
                    page.locator("#samples").click()
                    page.locator(".reading p.answer").nth(2).wait_for()
                page.wait_for_timeout(1000)
                shots.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
        side_by_side(shots, target / "phone.png")
        browser.close()


@contextmanager
def opened(
    browser: Browser, address: str, path: str, language: str, *, theme: Theme = "light",
    width: int = 1280,
) -> Iterator[Page]:  # fmt: skip
    """A page in a fresh browser profile."""
    context = browser.new_context(
        viewport={"width": width, "height": 800}, locale=language, color_scheme=theme
    )
    context.add_init_script("localStorage.setItem('nhan-reviewer', 'Chi')")
    page = context.new_page()
    page.goto(address + path)
    yield page
    context.close()


def go_to_a_doubtful_line(page: Page) -> None:
    """Review until a long line with doubtful characters stands there."""
    page.locator("#work").wait_for()
    for _ in range(20):
        page.wait_for_timeout(500)
        picture = page.locator(".stage-picture")
        wide = picture.evaluate("one => one.naturalWidth > 8 * one.naturalHeight")
        if wide and page.locator(".about mark").count():
            return
        page.keyboard.press("Enter")


def keep(page: Page, file: Path, height: int) -> None:
    """The upper part of a page as a small PNG."""
    page.evaluate("scrollTo(0, 0)")
    whole = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": 1280, "height": min(height, whole)})
    page.wait_for_timeout(500)
    write(Image.open(io.BytesIO(page.screenshot())).convert("RGB"), file)


def side_by_side(shots: list[Image.Image], file: Path) -> None:
    """Phones in a row."""
    gap = 24
    width = sum(shot.width for shot in shots) + gap * (len(shots) - 1)
    row = Image.new("RGB", (width, shots[0].height), "white")
    left = 0
    for shot in shots:
        row.paste(shot, (left, 0))
        left += shot.width + gap
    write(row, file)


def write(picture: Image.Image, file: Path) -> None:
    """As many colours as fit into the size a README may carry."""
    for colours in (256, 128, 64, 32):
        picture.quantize(colours, dither=Image.Dither.NONE).save(file, optimize=True)
        if file.stat().st_size <= MAX_BYTES:
            break
    print(f"{file.name}: {file.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, help="one in use, instead of a new one")
    parser.add_argument("--out", type=Path, default=IMAGES)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="nhan-screenshots-") as folder:
        root = options.workspace or Path(folder) / "shop"
        if options.workspace is None:
            make(root, Path(folder))
        with served(root) as address:
            shoot(address, options.out)


if __name__ == "__main__":
    main()
