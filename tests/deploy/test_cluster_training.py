"""Training and search on a cluster, against the published definitions of Trainer and Katib."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from test_manifests import check, crd_schema, strict

import tiny_models
from nhan.datasets.freeze import freeze
from nhan.deploy.forms import write_pipeline
from nhan.deploy.katib import experiment
from nhan.deploy.trainer import SHELL, job, train_words
from nhan.errors import MissingExtra, UserError
from nhan.settings import Settings
from nhan.training.config import load_config
from nhan.workspace import Workspace

S3 = {"objects": "s3://bucket/shop", "catalog": "postgresql://db/nhan"}


def settings(**more: Any) -> Settings:
    return Settings(
        storage=S3,
        loop={"dataset": "lines", "model": "reader", "train": ["length.epochs=5"]},
        **more,
    )


@pytest.mark.parametrize("more", [{}, {"kubeflow": {"gpus": 4, "nodes": 3, "queue": "team"}}])
def test_the_train_job_is_what_the_trainer_takes(more: Any, shared_schemas: Path) -> None:
    made = job(settings(**more))
    schema = crd_schema(shared_schemas / "kubeflow-trainer-trainjob-crd.yaml", "v1alpha1")
    check(made, schema)
    with pytest.raises(jsonschema.ValidationError):
        check({**made, "spec": {**made["spec"], "trainerr": {}}}, schema)
    trainer = made["spec"]["trainer"]
    if more:
        assert (trainer["numNodes"], trainer["numProcPerNode"]) == (3, 4)
        assert trainer["resourcesPerNode"]["limits"]["nvidia.com/gpu"] == 4
        assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    assert trainer["args"][:3] == ["torchrun", "-m", "nhan"]
    plain = {entry["name"] for entry in trainer["env"] if "value" in entry}
    assert not plain & {"AWS_SECRET_ACCESS_KEY", "NHAN_STORAGE__CATALOG", "NHAN_KEY"}


def test_the_search_is_what_katib_takes(shared_schemas: Path) -> None:
    chosen = settings()
    made = experiment(chosen, train_words(chosen), "cer")
    published = json.loads((shared_schemas / "katib-swagger.json").read_text())
    schemas = strict(published["components"]["schemas"])
    # The pod's own template is Kubernetes' matter, and an open object in Katib's definition.
    schemas["v1beta1.TrialTemplate"]["properties"]["trialSpec"] = {"type": "object"}
    schemas["v1beta1.Experiment"]["properties"]["metadata"] = {"type": "object"}
    root = {"$ref": "#/components/schemas/v1beta1.Experiment", "components": {"schemas": schemas}}
    jsonschema.validate(made, root)
    wrong = {**made, "spec": {**made["spec"], "maxTrialCount": "many"}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, root)
    template = made["spec"]["trialTemplate"]
    (container,) = template["trialSpec"]["spec"]["template"]["spec"]["containers"]
    assert container["name"] == template["primaryContainerName"]
    words = " ".join(container["args"])
    names = {entry["reference"]: entry["name"] for entry in template["trialParameters"]}
    assert set(names) == {entry["name"] for entry in made["spec"]["parameters"]}
    for parameter in made["spec"]["parameters"]:
        place = f"${{trialParameters.{names[parameter['name']]}}}"
        feasible = parameter["feasibleSpace"]
        value = feasible.get("list", [feasible.get("max")])[0]
        assert place in words
        words = words.replace(place, value)
    assert "${" not in words
    options = [word for before, word in zip(words.split(), words.split()[1:], strict=False)
               if before == "--set"]  # fmt: skip
    config = load_config(None, options)
    assert config.track == "print"
    assert config.length.epochs == 5


def test_a_trials_pod_is_known_to_kubernetes() -> None:
    validate = pytest.importorskip("kubernetes_validate")
    chosen = settings(kubeflow={"gpus": 1, "service_account": "trainer"})
    template = experiment(chosen, train_words(chosen), "cer")["spec"]["trialTemplate"]
    job_ = {**template["trialSpec"], "metadata": {"name": "one"}}
    validate.validate(job_, "1.31", strict=True)
    assert job_["spec"]["template"]["spec"]["serviceAccountName"] == "trainer"


def test_what_a_trial_prints_is_what_katib_looks_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Its collector reads lines `name=number`; a name holds no slash."""
    import re

    from nhan.training.tracking import Printed

    Printed().log({"loss": 0.5, "validation/cer": 0.0625}, 48)
    told = dict(
        re.findall(r"^([\w-]+)=([+-]?\d+\.?\d*(?:e[+-]?\d+)?)$", capsys.readouterr().out, re.M)
    )
    assert told == {"seen": "48", "loss": "0.5", "cer": "0.0625"}


def test_files_are_written_once_and_only_for_stores_that_pods_reach(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_models.add_lines(workspace, tmp_path / "lines")
    freeze(workspace, "lines", task="text")
    out = tmp_path / "job.yaml"
    with pytest.raises(UserError, match="on this machine"):
        write_pipeline(workspace, "trainer", out)
    assert not out.exists()
    workspace.settings.storage.objects = "s3://bucket/shop"
    with pytest.raises(UserError, match="no dataset"):
        write_pipeline(workspace, "trainer", out)
    workspace.settings.loop.dataset = "lines"
    write_pipeline(workspace, "trainer", out)
    assert yaml.safe_load(out.read_text())["kind"] == "TrainJob"
    write_pipeline(workspace, "katib", tmp_path / "search.yaml")
    made = yaml.safe_load((tmp_path / "search.yaml").read_text())
    assert made["spec"]["objective"]["objectiveMetricName"] == "cer"
    pod = made["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]
    words = pod["spec"]["containers"][0]["args"]
    # Twenty trials are no versions of the model that answers.
    assert words[words.index("--model") + 1] == "lines-search"
    # Kubeflow's namespaces put a proxy beside each pod, which would never end.
    assert pod["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"
    with pytest.raises(UserError, match="in the way"):
        write_pipeline(workspace, "katib", tmp_path / "search.yaml")
    with pytest.raises(UserError, match="no name for a manifest"):
        write_pipeline(workspace, "trainer", tmp_path / "job.txt")


def test_a_pods_command_makes_its_workspace_first(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    import sys

    environment = {
        **os.environ,
        "NHAN_WORKSPACE": str(root),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    words = [*SHELL, "nhan", "models", "--json"]
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (root / "nhan.toml").exists()
    json.loads(done.stdout)


def test_without_kfp_the_install_line_is_told(tmp_path: Path, workspace: Workspace) -> None:
    from importlib.util import find_spec

    if find_spec("kfp") is not None:
        pytest.skip("kfp is installed here")
    workspace.settings.storage.objects = "s3://bucket/shop"
    with pytest.raises(MissingExtra) as missing:
        write_pipeline(workspace, "kubeflow", tmp_path / "p.yaml")
    assert missing.value.hint == "pip install 'nhan[kubeflow]'"
    assert not (tmp_path / "p.yaml").exists()
