"""The server's image, built from its Dockerfile without a registry, started and asked."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pods import CONTAINERS, ROOT, built, containers
from servers import START_S, end, free_port

pytestmark = pytest.mark.engine

KEY = "0123456789abcdef0123456789abcdef"
_MOST_BYTES = 450_000_000


@pytest.fixture(scope="module")
def serve_image() -> str:
    return built("serve")


@pytest.fixture
def running(serve_image: str, tmp_path: Path) -> Iterator[str]:
    """The image's own entry point with its own command, as an orchestrator runs it."""
    port, admin_port = free_port(), free_port()
    variables = [
        f"NHAN_KEY={KEY}",
        f"NHAN_SERVE__PORT={port}",
        f"NHAN_SERVE__ADMIN_PORT={admin_port}",
    ]
    log = tmp_path / "container.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [CONTAINERS, "run", serve_image, *variables, "--", "entrypoint", "serve"],
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + START_S
        while True:
            try:
                urllib.request.urlopen(f"{address}/readyz", timeout=10).close()
                break
            except OSError as error:
                if isinstance(error, urllib.error.HTTPError):
                    error.close()
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"the container does not answer: {log.read_text()[-3000:]}")
                time.sleep(0.2)
        yield address
    finally:
        end(process, group=True)


def test_the_image_is_small_and_has_no_torch(
    serve_image: str, record_property: Callable[[str, object], None]
) -> None:
    size = int(containers("size", serve_image))
    record_property("measured", f"serve image {size / 1e6:.0f} MB unpacked")
    assert size <= _MOST_BYTES
    listed = containers("run", serve_image, "--", "nhan", "doctor", "--json")
    extras = {check["name"]: check["state"] for check in json.loads(listed)["checks"]}
    assert extras["train"] == "missing"
    assert extras["postgres"] == "ok"


def test_the_image_does_not_run_as_root(serve_image: str) -> None:
    assert containers("run", serve_image, "--", "id", "-u").strip() == "10001"


def test_without_a_key_the_image_refuses_to_listen(serve_image: str) -> None:
    done = subprocess.run(
        [CONTAINERS, "run", serve_image, "--", "entrypoint", "serve"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode != 0
    assert "needs keys" in done.stderr + done.stdout


def test_the_image_answers_whoever_has_the_key(
    running: str, draw_line: Callable[..., bytes]
) -> None:
    picture = draw_line("hello 123")
    request = urllib.request.Request(f"{running}/predict", picture, method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=120)
    assert refused.value.code == 401
    refused.value.close()
    request.add_header("Authorization", f"Bearer {KEY}")
    with urllib.request.urlopen(request, timeout=120) as response:
        answer = json.load(response)
    assert answer["model"] == "vi-line"
    assert answer["text"]


def test_the_dockerfiles_are_clean() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    files = sorted((ROOT / "deploy" / "docker").glob("*.Dockerfile"))
    done = subprocess.run([hadolint, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
