"""Four servers behind nginx on one S3 store and one PostgreSQL: promotions, uploads and deaths."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa
from servers import Server, end, free_port, start_server, wait_for_port

from nhan.catalog.schema import predictions, samples
from nhan.models.bundled import bundled_package
from nhan.models.package import publish
from nhan.workspace import Workspace
from pace import Stopwatch

pytestmark = pytest.mark.engine

_REPLICAS = 4
_SOON_S = 5.0
_PATIENCE_S = 300.0

_NGINX = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; client_max_body_size 64m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream nhan {{
    {servers}
    keepalive 16;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://nhan;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      # A picture may be asked again of another replica: an answer changes nothing but the log.
      proxy_next_upstream error timeout http_502 http_503 non_idempotent;
    }}
  }}
}}
"""


@dataclass
class Cluster:
    """Replicas and the address in front of them."""

    address: str
    workspace: Workspace
    replicas: list[Server]
    folder: Path
    answered: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def ask(self, picture: bytes, address: str = "") -> dict[str, str]:
        """Answer a picture; keeps the id of what was collected."""
        request = urllib.request.Request(f"{address or self.address}/predict", picture)
        with urllib.request.urlopen(request, timeout=120) as response:
            answer: dict[str, str] = json.load(response)
            if response.headers["X-Nhan-Collected"] == "yes":
                self.answered[answer["id"]] = answer["text"]
        return answer

    def start(self, number: int) -> Server:
        """A replica with a folder of its own, on the shared stores."""
        folder = self.folder / f"replica-{number}"
        if not folder.exists():
            settings = self.workspace.settings.storage
            Workspace.init(folder, objects=settings.objects, catalog=settings.catalog).close()
        return start_server(
            folder, workspace=folder, environment={"NHAN_SERVE__BUNDLED": "false"}, wait="/readyz"
        )


@pytest.fixture
def cluster(s3_url: str, postgres_url: str, tmp_path: Path) -> Iterator[Cluster]:
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(program).exists():
        pytest.fail("nginx is not installed; run tests/engines/install")
    workspace = Workspace.init(tmp_path / "home", objects=s3_url, catalog=postgres_url)
    bundled = bundled_package()
    assert bundled is not None
    files = {name: bundled.read(name) for name in bundled.spec.files}
    for run in ("first", "second", "third"):
        publish(workspace.store, "reader", files, bundled.spec.to_dict(), run=run)
    promote(workspace, 1)
    port = free_port()
    cluster = Cluster(f"http://127.0.0.1:{port}", workspace, [], tmp_path)
    cluster.replicas = [cluster.start(number) for number in range(_REPLICAS)]
    servers = "\n    ".join(
        f"server {one.main.removeprefix('http://')} max_fails=1 fail_timeout=1s;"
        for one in cluster.replicas
    )
    config = tmp_path / "nginx.conf"
    config.write_text(_NGINX.format(folder=tmp_path, servers=servers, port=port), encoding="utf-8")
    nginx = subprocess.Popen([program, "-c", config, "-e", tmp_path / "error.log"])
    try:
        wait_for_port(port, nginx)
        yield cluster
    finally:
        end(nginx)
        for one in cluster.replicas:
            if one.process.poll() is None:
                one.kill()
        workspace.close()


def promote(workspace: Workspace, version: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nhan", "--workspace", workspace.root, "promote",
         f"reader@{version}", "--force", "--because", "a test"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def version_of(server: Server, picture: bytes) -> str:
    request = urllib.request.Request(f"{server.main}/predict?model=reader", picture)
    request.add_header("X-Nhan-Collect", "off")
    with urllib.request.urlopen(request, timeout=120) as response:
        return str(response.headers["X-Nhan-Model"])


def wait_until_all_answer(cluster: Cluster, wanted: str, picture: bytes) -> None:
    """Wait until every replica answers as a version."""
    deadline = time.monotonic() + _PATIENCE_S
    for server in cluster.replicas:
        while version_of(server, picture) != wanted:
            assert time.monotonic() < deadline, f"{server.main} is not {wanted}"
            time.sleep(0.05)


def test_a_promotion_reaches_every_replica_within_five_seconds(
    cluster: Cluster,
    draw_line: Callable[..., bytes],
    record_property: Callable[[str, object], None],
) -> None:
    picture = draw_line("xin chao")
    wait_until_all_answer(cluster, "reader@1", picture)
    for version in (2, 3):
        promote(cluster.workspace, version)
        watch = Stopwatch()
        wait_until_all_answer(cluster, f"reader@{version}", picture)
        took_s = watch.seconds
        record_property("measured", f"a promotion on {_REPLICAS} replicas after {took_s:.2f} s")
        assert watch.allows(_SOON_S, took_s)


def test_replicas_may_die_and_no_upload_is_lost_or_doubled(
    cluster: Cluster, draw_line: Callable[..., bytes]
) -> None:
    pictures = [draw_line(f"so {number}") for number in range(60)]
    stop = threading.Event()

    def send(first: int) -> None:
        for number in range(first, len(pictures), 4):
            while not stop.is_set():
                try:
                    cluster.ask(pictures[number])
                    break
                except (urllib.error.URLError, OSError) as error:
                    cluster.failed.append(str(error))
                    time.sleep(0.1)

    with ThreadPoolExecutor(4) as pool:
        sending = [pool.submit(send, number) for number in range(4)]
        try:
            for number in (0, 2):
                time.sleep(1.0)
                cluster.replicas[number].kill()
            for one in sending:
                one.result(timeout=900)
        finally:
            stop.set()
    assert cluster.failed == []
    assert len(cluster.answered) == len(pictures)
    # Those that died come back on their own disks and deliver what they had acknowledged.
    for number in (0, 2):
        cluster.replicas[number] = cluster.start(number)
    taken = wait_for_intake(cluster)
    assert set(cluster.answered) <= set(taken)
    assert len(taken) == len(set(taken))
    with cluster.workspace.catalog.read() as connection:
        count = connection.scalar(sa.select(sa.func.count()).select_from(samples))
    assert count == len(pictures)


def wait_for_intake(cluster: Cluster) -> list[str]:
    """Take in what the replicas deliver until all that was acknowledged is there."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        done = subprocess.run(
            [sys.executable, "-m", "nhan", "--workspace", cluster.workspace.root, "uploads",
             "intake", "--json"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        with cluster.workspace.catalog.read() as connection:
            taken = list(connection.scalars(sa.select(predictions.c.id)))
        if set(cluster.answered) <= set(taken) or time.monotonic() > deadline:
            return taken
        time.sleep(0.5)
