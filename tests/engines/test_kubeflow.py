"""A round on Kubeflow Pipelines: the compiled steps run to a champion, the client's calls checked.

No cluster is at hand: the very file that would be uploaded is run by kfp's own local runner, and
the client talks to a server of ours that checks every body with Kubeflow's published models.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from servers import end, free_port, wait_for_port

import tiny_models
from nhan.models.registry import Registry
from nhan.pipeline.rounds import read_round
from nhan.pipeline.steps import STEPS
from nhan.workspace import Workspace

pytestmark = pytest.mark.engine

HERE = Path(__file__).parent
STORES = {
    "NHAN_STORAGE__OBJECTS": "s3://bucket/shop",
    "NHAN_STORAGE__CATALOG": "postgresql://nhan:hidden@db/nhan",
}
# Compiles for a run on this machine, where stores are folders.
COMPILE = """
import sys
from nhan.deploy.kubeflow import compiled
from nhan.workspace import Workspace
with Workspace.open(sys.argv[1]) as workspace:
    print(compiled(workspace.settings, local=True))
"""


@pytest.fixture(scope="module")
def programs() -> Path:
    done = subprocess.run(
        [HERE / "kubeflow.sh"], capture_output=True, text=True, timeout=3600, check=False
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def settings_of(**more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NHAN_")}
    return {**clean, "OMP_NUM_THREADS": "1", **more}


def nhan(programs: Path, workspace: Workspace, *words: str, **more: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [programs / "nhan", "--workspace", workspace.root, *words],
        env=settings_of(**more), capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_the_compiled_steps_run_to_a_champion(
    programs: Path, workspace: Workspace, tmp_path: Path
) -> None:
    tiny_models.add_colours(workspace, tmp_path / "patches")
    options = json.dumps([*tiny_models.CLASS_OPTIONS, *tiny_models.QUICK, "length.samples=720"])
    variables = settings_of(NHAN_LOOP__TRAIN=options, NHAN_WORKSPACE=str(workspace.root))
    made = subprocess.run(
        [programs / "python", "-c", COMPILE, workspace.root],
        env=variables, capture_output=True, text=True, timeout=600, check=True,
    )  # fmt: skip
    file = tmp_path / "pipeline.yaml"
    file.write_text(made.stdout)
    # The tasks' Python has kfp without its dependencies, like the image.
    step = HERE.parents[1] / ".engines" / "kubeflow-step"
    arguments = json.dumps({"dataset": "patches", "model": "colours", "because": "a test"})
    ran = subprocess.run(
        [programs / "python", HERE / "kubeflow_run.py", file, tmp_path / "root", sys.executable,
         arguments],
        env={**variables, "PYTHONPATH": str(step)},
        capture_output=True, text=True, timeout=1800, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-6000:]
    found = read_round(workspace, 1)
    assert found.outcome == "promoted", found.to_json()
    assert found.plan.by == "kubeflow"
    assert list(found.steps) == list(STEPS)
    assert Registry(workspace.store).champion("colours") == 1
    told = artifacts(tmp_path / "root")
    assert told["model"]["candidate"] == "colours@1"
    assert told["model"]["uri"] == f"{workspace.store.url}/models/colours/1"
    assert told["dataset"]["uri"].startswith(f"{workspace.store.url}/datasets/patches/")
    assert isinstance(told["metrics"]["candidate.value"], float)
    assert told["metrics"]["candidate.ref"] == "colours@1"


def artifacts(root: Path) -> dict[str, dict[str, Any]]:
    """What the tasks told of their artifacts, by name."""
    found: dict[str, dict[str, Any]] = {}
    for file in root.rglob("executor_output.json"):
        for name, listed in json.loads(file.read_text()).get("artifacts", {}).items():
            (one,) = listed["artifacts"]
            found[name] = {**one["metadata"], "uri": one["uri"]}
    return found


def test_the_exported_pipeline_has_everything_a_cluster_needs(
    programs: Path, workspace: Workspace, tmp_path: Path
) -> None:
    file = tmp_path / "round.yaml"
    code, _, err = nhan(
        programs, workspace, "export", "pipeline", "--as", "kubeflow", "--out", str(file),
        **STORES, NHAN_KUBEFLOW__GPUS="2", NHAN_KUBEFLOW__TRAIN_MEMORY="16Gi",
        NHAN_GATE__MARGIN="0.01", NHAN_DEPLOY__TRAIN_IMAGE="registry.example/nhan-train:1",
    )  # fmt: skip
    assert code == 0, err
    text = file.read_text()
    assert "hidden" not in text, "a password is no part of a pipeline"
    spec, platform = yaml.safe_load_all(text)
    tasks = spec["root"]["dag"]["tasks"]
    assert [task["taskInfo"]["name"] for task in ordered(tasks)] == ["begin", *STEPS]
    for task in tasks.values():
        assert task["cachingOptions"].get("enableCache", False) is False
        assert task["retryPolicy"]["maxRetryCount"] == 2
    executors = spec["deploymentSpec"]["executors"]
    train = executors["exec-train-model"]["container"]
    assert train["image"] == "registry.example/nhan-train:1"
    assert train["resources"]["accelerator"]["resourceType"] == "nvidia.com/gpu"
    assert train["resources"]["accelerator"]["resourceCount"] == "2"
    assert train["resources"]["resourceMemoryLimit"] == "16Gi"
    assert train["resources"]["resourceCpuRequest"]
    variables = {entry["name"]: entry["value"] for entry in train["env"]}
    assert variables["NHAN_GATE__MARGIN"] == "0.01", "the gate is the workspace's there too"
    assert variables["NHAN_STORAGE__OBJECTS"] == "s3://bucket/shop"
    assert "NHAN_STORAGE__CATALOG" not in variables
    secrets = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert secrets.keys() == executors.keys()
    referred = {
        pair["envVar"]
        for entry in secrets["exec-train-model"]["secretAsEnv"]
        for pair in entry["keyToEnv"]
    }
    assert {"NHAN_STORAGE__CATALOG", "AWS_SECRET_ACCESS_KEY"} <= referred
    assert {"NHAN_LABELSTUDIO_TOKEN", "NHAN_WEBHOOK_SECRET"} <= referred
    again = nhan(programs, workspace, "export", "pipeline", "--as", "kubeflow", "--out", str(file))
    assert again[0] == 2
    assert "in the way" in again[2]


def ordered(tasks: dict[str, Any]) -> list[dict[str, Any]]:
    """Tasks, each after those it depends on."""
    done: list[str] = []
    while len(done) < len(tasks):
        done += [
            name
            for name, task in tasks.items()
            if name not in done and set(task.get("dependentTasks", [])) <= set(done)
        ]
    return [tasks[name] for name in done]


def test_stores_on_this_machine_are_out_of_reach_of_pods(
    programs: Path, workspace: Workspace, tmp_path: Path
) -> None:
    words = ("export", "pipeline", "--as", "kubeflow", "--out", str(tmp_path / "p.yaml"))
    code, _, err = nhan(programs, workspace, *words)
    assert code == 2
    assert "storage.objects" in err
    code, _, err = nhan(programs, workspace, *words, NHAN_STORAGE__OBJECTS="s3://bucket/shop")
    assert code == 2
    assert "storage.catalog" in err


class Server:
    def __init__(self, port: int, log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}/pipeline"
        self.log = log

    def requests(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def posted(self, path: str) -> list[dict[str, Any]]:
        return [one for one in self.requests() if one["method"] == "POST" and path in one["path"]]


@pytest.fixture
def server(programs: Path, tmp_path: Path) -> Iterator[Server]:
    port = free_port()
    log = tmp_path / "requests.jsonl"
    log.touch()
    process = subprocess.Popen(
        [programs / "python", HERE / "kubeflow_api.py", str(port), log],
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port, process)
        yield Server(port, log)
    finally:
        end(process)


def test_rounds_are_run_once_and_by_the_clock(
    programs: Path, workspace: Workspace, server: Server
) -> None:
    variables = {
        **STORES,
        "NHAN_KUBEFLOW__ENDPOINT": server.url,
        "NHAN_KUBEFLOW__SERVICE_ACCOUNT": "nhan-runner",
        "KUBEFLOW_TOKEN": "secret-token",
    }
    words = ("loop", "run", "--on", "kubeflow", "--json", "--model", "reader")
    code, out, err = nhan(programs, workspace, *words, "--because", "new receipts", "--wait",
                          **variables)  # fmt: skip
    assert code == 0, err + json.dumps(server.requests()[-3:], indent=1)
    first = json.loads(out)
    assert first["uploaded"] is True
    assert first["state"] == "SUCCEEDED"
    (run,) = server.posted("/runs")
    assert run["body"]["runtime_config"]["parameters"] == {
        "because": "new receipts", "again": False, "model": "reader",
    }  # fmt: skip
    assert run["body"]["service_account"] == "nhan-runner"
    assert run["token"] == "Bearer secret-token"

    code, out, err = nhan(programs, workspace, *words, **variables)
    assert code == 0, err
    second = json.loads(out)
    assert second["uploaded"] is False, "the same pipeline is not uploaded again"
    assert second["version"] == first["version"]

    changed = {**variables, "NHAN_GATE__MARGIN": "0.02"}
    for _ in range(2):
        code, out, err = nhan(programs, workspace, *words, "--cron", "0 2 * * *", **changed)
        assert code == 0, err
    third = json.loads(out)
    assert third["recurring"] is True
    assert third["version"] != first["version"], "other settings are another version"
    assert third["pipeline"] == first["pipeline"]
    entry = server.posted("/recurringruns")[-1]["body"]
    assert entry["trigger"]["cron_schedule"]["cron"] == "0 0 2 * * *"
    assert entry["no_catchup"] is True
    deleted = [one for one in server.requests() if one["method"] == "DELETE"]
    assert len(deleted) == 1, "the second takes the first one's place"
    assert len(server.posted("/pipelines/upload_version")) == 2
    assert len(server.posted("/experiments")) == 1
    assert not [one for one in server.requests() if "wrong" in one]


def test_a_server_that_is_away_and_one_nobody_named(programs: Path, workspace: Workspace) -> None:
    words = ("loop", "run", "--on", "kubeflow")
    code, _, err = nhan(programs, workspace, *words, **STORES)
    assert code == 2
    assert "kubeflow.endpoint" in err
    code, _, err = nhan(
        programs, workspace, *words, **STORES, NHAN_KUBEFLOW__ENDPOINT="http://127.0.0.1:1"
    )
    assert code == 1
    assert "cannot be reached" in err
    code, _, err = nhan(
        programs, workspace, *words, "--cron", "daily", **STORES,
        NHAN_KUBEFLOW__ENDPOINT="http://127.0.0.1:1",
    )  # fmt: skip
    assert code == 2
    assert "'daily'" in err
