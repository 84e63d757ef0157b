"""Real engines, started once a session on free ports and stopped after it."""

from __future__ import annotations

import ast
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import end, free_port, wait_for_port

# The port opens a moment before the server takes logins.
_LOGIN_S = 120


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """moto's server: the S3 protocol over real HTTP."""
    port = free_port()
    program = Path(__file__).with_name("s3_server.py")
    command = [sys.executable, program, "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        end(process)


@pytest.fixture
def s3_url(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh bucket with a prefix; credentials by the usual variables."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3_endpoint,
    }.items():
        monkeypatch.setenv(name, value)
    import boto3

    bucket = f"nhan-{uuid.uuid4().hex[:12]}"
    boto3.client("s3", endpoint_url=s3_endpoint).create_bucket(Bucket=bucket)
    return f"s3://{bucket}/team/shop"


def _postgres_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        pytest.fail("PostgreSQL is not installed; run tests/engines/install")
    return found[-1]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL of our own in a temporary folder; yields its URL without a database."""
    programs = _postgres_programs()
    folder = Path(tempfile.mkdtemp(prefix="nhan-postgres-"))
    as_user: dict[str, int] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        as_user = {"user": owner.pw_uid, "group": owner.pw_gid}
    port = free_port()
    run: Callable[..., subprocess.CompletedProcess[bytes]] = subprocess.run
    run(
        [programs / "initdb", "-D", folder / "data", "-U", "nhan", "-A", "trust", "-E", "UTF8"],
        check=True,
        capture_output=True,
        cwd=folder,
        **as_user,
    )
    options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"]
    process = subprocess.Popen(
        [programs / "postgres", "-D", folder / "data", "-p", str(port), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        **as_user,
    )
    try:
        wait_for_port(port, process)
        yield f"postgresql://nhan@127.0.0.1:{port}"
    finally:
        end(process, sign=signal.SIGINT)  # at once, whoever is still connected
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """A fresh database."""
    import psycopg

    name = f"nhan_{uuid.uuid4().hex[:12]}"
    deadline = time.monotonic() + _LOGIN_S
    while True:
        try:
            with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as connection:
                connection.execute(f'CREATE DATABASE "{name}"')
            return f"{postgres_server}/{name}"
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


# What each file of engines' tests runs against; a test of the default run keeps it complete.
ENGINES = {
    "test_backup_across_engines": "S3 (moto), PostgreSQL",
    "test_compose_services": "Compose's services",
    "test_console_login": "Chromium, Streamlit",
    "test_console_pages": "Chromium, axe-core",
    "test_console_review": "Chromium",
    "test_console_words": "Chromium",
    "test_container_images": "buildah, hadolint",
    "test_corrections_postgres": "PostgreSQL",
    "test_erase_postgres": "PostgreSQL",
    "test_foreign_clients": "clients of others",
    "test_gc_on_engines": "S3 (moto), PostgreSQL",
    "test_kserve_pod": "KServe's image and client",
    "test_kubeflow": "kfp.local, kfp-server-api",
    "test_label_studio_server": "Label Studio",
    "test_loop_s3": "S3 (moto, SeaweedFS)",
    "test_other_stores": "S3 (rclone, moto)",
    "test_postgres": "PostgreSQL",
    "test_prometheus": "Prometheus, promtool",
    "test_replicas": "nginx, S3 (moto), PostgreSQL",
    "test_review_postgres": "PostgreSQL",
    "test_rounds_s3": "S3 (moto), PostgreSQL",
    "test_s3": "S3 (moto)",
    "test_samples_and_datasets": "S3 (moto), PostgreSQL",
    "test_story": "Label Studio, all of ours",
    "test_terraform": "HCL, terraform fmt",
    "test_torchserve": "TorchServe",
    "test_trackers": "MLflow, TensorBoard, Comet",
    "test_uploads_s3": "S3 (moto), PostgreSQL",
    "test_webhooks_postgres": "PostgreSQL",
}
_NOT_RUN = "a Docker engine, a Kubernetes cluster, Grafana, AWS, Comet online, a GPU"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A table: engine, how its tests ended, what was proven, and what they measured."""
    outcomes: dict[str, Counter[str]] = {}
    measured: dict[str, list[str]] = {}
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            file = report.nodeid.split("::")[0]
            if Path(file).stem in ENGINES:
                outcomes.setdefault(file, Counter())[outcome] += 1
                kept = [str(value) for name, value in report.user_properties if name == "measured"]
                measured.setdefault(file, []).extend(kept)
    if not outcomes:
        return
    terminalreporter.section("engine: what was proven")
    for file, counted in sorted(outcomes.items(), key=lambda row: ENGINES[Path(row[0]).stem]):
        ended = ", ".join(f"{count} {outcome}" for outcome, count in counted.items())
        about = _first_line(terminalreporter.config.rootpath / file)
        terminalreporter.write_line(f"{ENGINES[Path(file).stem]:<30} {ended:<22} {about}")
        for words in measured[file]:
            terminalreporter.write_line(f"{'':<53} measured: {words}")
    terminalreporter.write_line(f"not run: {_NOT_RUN}; a failed or skipped line proves nothing")


def _first_line(file: Path) -> str:
    """The first line of a file's docstring."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or file.stem
    return text.splitlines()[0]
