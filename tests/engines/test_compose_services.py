"""Compose: each service but Grafana by its own command, variables, mounts, limits, health check.

They talk to each other as they would. Ours run from their images, the others from packages in
place of theirs. Each has a root file system, a network address and a memory limit of its own.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from labelling import send_form
from pods import ROOT, Container, Files, Mount, Network, built, image_files

pytestmark = pytest.mark.engine

FOLDER = ROOT / "deploy" / "compose"
ENGINES = Path(__file__).parent
# What somebody would write into .env.
ANSWERS = {
    "NHAN_KEY": "0123456789abcdef0123456789abcdef",
    "NHAN_SIGNING_SECRET": "abcdef0123456789abcdef0123456789",
    "POSTGRES_PASSWORD": "of0the0catalogue",
    "S3_ACCESS_KEY": "shop",
    "S3_SECRET_KEY": "of0the0object0store",
    "LABEL_STUDIO_PASSWORD": "of0the0first0user",
    "GRAFANA_PASSWORD": "unused",
}
# Label Studio makes its database with some three hundred migrations.
_HEALTHY_S = 1200.0
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
# What the published image does before its server listens: it makes the user and the database.
_POSTGRES = """
set -eu
owner=$(stat --format %U "$0")
programs=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
data=/var/lib/postgresql/data
chown postgres $data
as() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
umask 077; printf %s "$POSTGRES_PASSWORD" >/tmp/password; chown postgres /tmp/password
as $programs/initdb -D $data -U "$POSTGRES_USER" -A scram-sha-256 --pwfile=/tmp/password -E UTF8
echo "CREATE DATABASE $POSTGRES_DB" | as $programs/postgres --single -D $data postgres
echo "host all all all scram-sha-256" >>$data/pg_hba.conf
exec setpriv --reuid=postgres --regid=postgres --clear-groups \\
  $programs/postgres -D $data -c listen_addresses='*' -c unix_socket_directories=/tmp
"""


class Stack:
    """The Compose file's services, started as they are asked for."""

    def __init__(self, folder: Path, exits: ExitStack) -> None:
        self._folder = folder
        self._exits = exits
        document = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
        self.services: dict[str, dict[str, Any]] = _filled(document["services"])
        self.secrets: dict[str, Any] = document["secrets"]
        self.network = exits.enter_context(Network(list(self.services), folder))
        self.running: dict[str, Container] = {}

    def start(self, name: str) -> Container:
        """A service that is up and healthy, and before it what it depends on."""
        if name in self.running:
            return self.running[name]
        service = self.services[name]
        for needed in service.get("depends_on", ()):
            self.start(needed)
        files = self._files(name, service["image"])
        if "entrypoint" in service:
            files = Files(files.root, files.variables, tuple(service["entrypoint"]))
        container = self.network.start(
            name,
            files,
            service.get("command", ()),
            variables=service.get("environment", {}),
            mounts=[*self._mounts(name, service, files)],
            read_only=service.get("read_only", False),
            memory=_bytes(service["deploy"]["resources"]["limits"]["memory"]),
        )
        self.running[name] = container
        if check := service.get("healthcheck"):
            self._wait(container, check["test"][1:])
        return container

    def url(self, name: str, port: int) -> str:
        return f"http://{self.network.addresses[name]}:{port}"

    def _files(self, name: str, image: str) -> Files:
        if image in ("localhost/nhan-serve:latest", "localhost/nhan-streamlit:latest"):
            short = image.removeprefix("localhost/nhan-").removesuffix(":latest")
            return self._exits.enter_context(image_files(short))
        ours = Path(sys.executable).parent
        if (
            name == "loop"
        ):  # its image takes minutes and gigabytes: its entry point, on our packages
            start = str(ROOT / "deploy/docker/entrypoint")
            return Files.of_this_machine(ours, entrypoint=[start], NHAN_WORKSPACE="/workspace")
        if name == "postgres":
            return Files.of_this_machine(
                *sorted(Path("/usr/lib/postgresql").glob("*/bin")),
                entrypoint=["sh", "-c", _POSTGRES, "/bin/sh"],
            )
        if name == "labelstudio":
            install = [ENGINES / "label-studio.sh"]
            theirs = subprocess.run(install, check=True, capture_output=True, text=True).stdout
            return Files.of_this_machine(
                Path(theirs.strip()), LABEL_STUDIO_BASE_DATA_DIR="/label-studio/data"
            )
        entrypoint = ["prometheus"] if name == "prometheus" else []
        return Files.of_this_machine(ours, entrypoint=entrypoint)

    def _mounts(self, name: str, service: dict[str, Any], files: Files) -> Iterator[Mount]:
        for text in service.get("tmpfs", ()):
            target, _, options = text.partition(":")
            yield Mount(target, options=options)
        for text in service.get("volumes", ()):
            source, target, *how = text.split(":")
            folder = FOLDER / source if source.startswith("./") else self._folder / source
            if not source.startswith("./") and not folder.exists():
                folder.mkdir()
                shutil.chown(folder, files.user, files.user)
            yield Mount(target, folder, read_only="ro" in how)
        for secret in service.get("secrets", ()):
            file = self._folder / f"secret-{secret}"
            file.write_text(ANSWERS[self.secrets[secret]["environment"]], encoding="utf-8")
            yield Mount(f"/run/secrets/{secret}", file, read_only=True)

    def _wait(self, container: Container, check: list[str]) -> None:
        deadline = time.monotonic() + _HEALTHY_S
        while (checked := container.run(*check)).returncode:
            stopped = container.process.poll() is not None
            if stopped or time.monotonic() > deadline:
                pytest.fail(f"{container.name}: {checked.stderr[-500:]}{container.logged()}")
            time.sleep(0.5)


def _filled(document: Any) -> Any:
    """The document with its variables, as `docker compose` reads .env."""
    if isinstance(document, dict):
        return {key: _filled(value) for key, value in document.items()}
    if isinstance(document, list):
        return [_filled(value) for value in document]
    if not isinstance(document, str):
        return document

    def value(found: re.Match[str]) -> str:
        name, how, default = found.groups()
        return ANSWERS[name] if how == "?" else ANSWERS.get(name, default)

    return re.sub(r"\$\{(\w+):([?-])([^}]*)\}", value, document)


def _bytes(text: str) -> int:
    return int(text[:-1]) * _UNITS[text[-1]]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    built("serve")
    built("serve", "streamlit", "--build-arg", "EXTRAS=streamlit")
    with ExitStack() as exits:
        made = Stack(tmp_path_factory.mktemp("compose"), exits)
        yield made


def ask(address: str, data: bytes | None = None, *, key: str = "") -> Any:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(address, data, headers)
    with urllib.request.urlopen(request, timeout=120) as response:
        return json.load(response)


def until(what: Callable[[], Any], *, within_s: float = 600) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + within_s
    while not (answer := what()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.5)
    return answer


@pytest.mark.parametrize(
    "name", ["s3", "postgres", "mlflow", "nhan", "streamlit", "prometheus", "labelstudio", "loop"]
)
def test_each_service_becomes_healthy(stack: Stack, name: str) -> None:
    assert stack.start(name).process.poll() is None


def test_the_server_keeps_what_it_answers_in_s3_and_postgresql(
    stack: Stack, draw_line: Callable[..., bytes]
) -> None:
    stack.start("nhan")
    predict = f"{stack.url('nhan', 8000)}/predict"
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(predict, draw_line("hello 123"))
    assert refused.value.code == 401
    refused.value.close()
    answer = ask(predict, draw_line("hello 123"), key=ANSWERS["NHAN_KEY"])
    assert answer["text"]

    def taken() -> bool:
        # Not before the loop has made its workspace's settings.
        return answer["id"] in stack.start("loop").run("nhan", "uploads", "list", "--json").stdout

    until(taken)


def test_nothing_but_its_volumes_can_be_written_by_the_server(stack: Stack) -> None:
    server = stack.start("nhan")
    assert server.run("touch", "/opt/nhan/x").returncode != 0
    assert server.run("touch", "/workspace/x", "/tmp/x").returncode == 0
    assert server.run("id", "-u").stdout.strip() == "10001"


def test_a_promotion_by_the_loop_is_answered_by_the_server(
    stack: Stack, draw_line: Callable[..., bytes]
) -> None:
    loop = stack.start("loop")
    stack.start("nhan")
    until(lambda: not loop.run("test", "-e", "/workspace/nhan.toml").returncode)
    publish = (
        "from nhan.models.bundled import bundled_package\n"
        "from nhan.models.package import publish\n"
        "from nhan.workspace import Workspace\n"
        "b = bundled_package()\n"
        "with Workspace.open() as w:\n"
        "    files = {name: b.read(name) for name in b.spec.files}\n"
        "    publish(w.store, 'reader', files, b.spec.to_dict(), run='1')\n"
    )
    for command in (
        ["python", "-c", publish],
        ["nhan", "promote", "reader@1", "--force", "--because", "a test"],
    ):
        done = loop.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    ready = f"{stack.url('nhan', 8000)}/readyz"
    until(lambda: "reader@1" in json.dumps(ask(ready)))
    # As the last step of a round asks, with the loop's own address and key.
    asked = loop.run(
        "python", "-c",
        "import os, sys, urllib.request as u; "
        "r = u.Request(os.environ['NHAN_LOOP__SERVER'] + '/predict?model=reader', "
        "bytes.fromhex(sys.argv[1]), {'Authorization': 'Bearer ' + os.environ['NHAN_KEY']}); "
        "print(u.urlopen(r).headers['X-Nhan-Model'])",
        draw_line("abc").hex(),
    )  # fmt: skip
    assert asked.stdout.strip() == "reader@1", asked.stderr


def test_the_loop_logs_to_the_mlflow_of_the_file(stack: Stack) -> None:
    script = (
        "import mlflow\nmlflow.set_experiment('nhan')\n"
        "with mlflow.start_run():\n    mlflow.log_metric('cer', 0.25)\n"
    )
    done = stack.start("loop").run("python", "-c", script, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    runs = httpx.post(
        f"{stack.url('mlflow', 5000)}/api/2.0/mlflow/runs/search",
        json={"experiment_ids": ["1"]}, headers={"Host": "localhost:5000"}, timeout=120,
    ).json()  # fmt: skip
    assert runs["runs"][0]["data"]["metrics"][0]["value"] == 0.25


def test_prometheus_scrapes_the_server_with_the_key(stack: Stack) -> None:
    stack.start("prometheus")
    query = f"{stack.url('prometheus', 9090)}/api/v1/query?query=up%7Bjob=%22nhan%22%7D"

    def up() -> bool:
        found = ask(query)["data"]["result"]
        return bool(found) and found[0]["value"][1] == "1"

    assert until(up)


def test_the_streamlit_page_reaches_the_server_and_holds_no_key(stack: Stack) -> None:
    page = stack.start("streamlit")
    assert "NHAN_KEY" not in page.variables
    asked = page.run(
        "python3", "-c",
        "import os, sys; from nhan.web.client import Client, Refused\n"
        "try: Client(os.environ['NHAN_URL'], key=sys.argv[1]).answer(b'no picture')\n"
        "except Refused as refused: print(refused.status)",
        ANSWERS["NHAN_KEY"],
    )  # fmt: skip
    assert asked.stdout.strip() in ("400", "415"), asked.stderr
    with urllib.request.urlopen(f"{stack.url('streamlit', 8501)}/", timeout=120) as response:
        assert b"Streamlit" in response.read()


def test_the_first_user_logs_in_to_label_studio(stack: Stack) -> None:
    stack.start("labelstudio")
    with httpx.Client(base_url=stack.url("labelstudio", 8080), timeout=300) as web:
        send_form(
            web,
            "/user/login/",
            {"email": "nhan@localhost.local", "password": ANSWERS["LABEL_STUDIO_PASSWORD"]},
        )
        assert web.get("/api/current-user/whoami").json()["email"] == "nhan@localhost.local"


def test_every_service_still_runs_within_its_memory(
    stack: Stack, record_property: Callable[[str, object], None]
) -> None:
    for name, container in stack.running.items():
        assert container.process.poll() is None, f"{name} has stopped: {container.logged()}"
        limit = stack.services[name]["deploy"]["resources"]["limits"]["memory"]
        peak = container.peak_bytes() / (1 << 20)
        record_property("measured", f"{name} at most {peak:.0f} MiB of {limit}")
