"""What is written for Kubernetes, Compose, Prometheus and Grafana, by published definitions."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from nhan.deploy import compose, grafana, kserve
from nhan.deploy.forms import MODEL_FORMS, write_model
from nhan.deploy.manifests import dns_name, to_yaml
from nhan.deploy.panels import DASHBOARDS
from nhan.deploy.prometheus import rules
from nhan.errors import UserError
from nhan.models.bundled import bundled_package
from nhan.models.package import Package
from nhan.settings import Settings
from nhan.workspace import Workspace

ON_S3 = {"objects": "s3://pictures/shop", "catalog": "postgresql://db/nhan"}


@pytest.fixture(scope="module")
def package() -> Package:
    found = bundled_package()
    assert found is not None
    return found


def shared_settings() -> Settings:
    settings = Settings()
    settings.storage = settings.storage.model_copy(update=ON_S3)
    return settings


def crd_schema(path: Path, version: str) -> dict[str, Any]:
    """The schema inside a CustomResourceDefinition, strict about unknown fields."""
    definition = yaml.safe_load(path.read_text(encoding="utf-8"))
    for one in definition["spec"]["versions"]:
        if one["name"] == version:
            return strict(one["schema"]["openAPIV3Schema"])
    raise AssertionError(f"{path} has no version {version}")


def strict(schema: Any) -> Any:
    """Refuse what the API server would prune."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if "properties" in made and not made.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    if isinstance(made.get("pattern"), str):  # Python wants flags at the start
        made["pattern"] = "(?i)" * ("(?i)" in made["pattern"]) + made["pattern"].replace("(?i)", "")
    if made.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
    return made


def check(document: Any, schema: dict[str, Any]) -> None:
    root = dict(schema)
    root["properties"] = {**root["properties"], "metadata": {"type": "object"}}
    jsonschema.validate(document, root)


def test_the_inference_service_is_one_that_kserve_knows(
    package: Package, shared_schemas: Path
) -> None:
    made = kserve.manifests(shared_settings(), package)
    schema = crd_schema(shared_schemas / "kserve-inferenceservice-crd.yaml", "v1beta1")
    check(made["inference-service.yaml"][0], schema)
    with pytest.raises(jsonschema.ValidationError):  # the check itself can fail
        check({**made["inference-service.yaml"][0], "spec": {"predictorr": {}}}, schema)


@pytest.mark.parametrize(
    ("file", "definition", "version"),
    [
        ("autoscaling-keda.yaml", "keda-scaledobject-crd.yaml", "v1alpha1"),
        ("prometheus-rule.yaml", "prometheusrule-crd.yaml", "v1"),
    ],
)
def test_the_other_resources_are_known_too(
    package: Package, shared_schemas: Path, file: str, definition: str, version: str
) -> None:
    made = kserve.manifests(shared_settings(), package)
    check(made[file][0], crd_schema(shared_schemas / definition, version))


def test_no_manifest_holds_a_secret_and_every_pod_runs_with_few_rights(package: Package) -> None:
    made = kserve.manifests(shared_settings(), package)
    spec = made["inference-service.yaml"][0]["spec"]["predictor"]
    container = spec["containers"][0]
    for variable in container["env"]:
        if variable["name"] in ("NHAN_KEY", "NHAN_STORAGE__CATALOG", "AWS_SECRET_ACCESS_KEY"):
            assert "value" not in variable
            assert variable["valueFrom"]["secretKeyRef"]["name"] == "nhan"
    assert spec["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert spec["terminationGracePeriodSeconds"] > Settings().serve.grace_s


def test_every_variable_of_the_manifests_is_one_that_the_server_reads(package: Package) -> None:
    made = kserve.manifests(shared_settings(), package)
    container = made["inference-service.yaml"][0]["spec"]["predictor"]["containers"][0]
    document = compose.document(Settings().deploy, model="vi-line")
    names = {one["name"] for one in container["env"]} | set(
        document["services"]["nhan"]["environment"]
    )
    tables = Settings.model_fields
    for name in names:
        if "__" not in name:  # not a setting
            continue
        table, _, key = name.removeprefix("NHAN_").lower().partition("__")
        assert key in type(getattr(Settings(), table)).model_fields, name
        assert table in tables


def test_a_local_store_cannot_be_shared_by_replicas(tmp_path: Path, package: Package) -> None:
    with (
        Workspace.init(tmp_path / "w") as workspace,
        pytest.raises(UserError, match="on this machine"),
    ):
        write_model(workspace, package, "kserve", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_compose_follows_its_specification_and_knows_no_password(shared_schemas: Path) -> None:
    document = compose.document(Settings().deploy, model="vi-line")
    schema = json.loads((shared_schemas / "compose-spec.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, schema, cls=jsonschema.Draft7Validator)
    for name, service in document["services"].items():
        limits = service["deploy"]["resources"]["limits"]
        assert set(limits) == {"cpus", "memory"}, name
        assert "healthcheck" in service or name == "loop"
        for key, value in service.get("environment", {}).items():
            if re.search("KEY|PASSWORD|SECRET|TOKEN", key):
                assert value.startswith("${"), f"{name}: {key}"
                assert ":?" in value or "TOKEN" in key, f"{name}: {key} must be asked for"
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name} publishes {port} to everybody"


def test_compose_names_every_variable_that_must_be_set() -> None:
    files = compose.files(Settings().deploy)
    asked = set(re.findall(r"\$\{(\w+):\?", files["compose.yaml"]))
    offered = {line.rstrip("=") for line in files[".env.example"].splitlines() if line[-1] == "="}
    assert asked == offered
    assert not re.search(r"^\w+=.+", files[".env.example"], re.M)


def test_the_files_in_the_repository_are_those_that_are_generated() -> None:
    folder = Path(__file__).parents[2] / "deploy" / "compose"
    made = compose.files(Settings().deploy)
    kept = {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert kept == made, "run: python -m nhan export vi-line --as compose, over deploy/compose"


def test_grafana_reads_the_dashboards() -> None:
    for board in DASHBOARDS:
        document = grafana.dashboard(board)
        places = [panel["gridPos"] for panel in document["panels"]]
        taken = {(p["x"] + i, p["y"]) for p in places for i in range(p["w"])}
        assert len(taken) == sum(p["w"] for p in places), f"{board.uid}: panels overlap"
        assert all(p["x"] + p["w"] <= 24 for p in places)
        assert len({panel["id"] for panel in document["panels"]}) == len(places)
        assert all(" · " in panel["title"] for panel in document["panels"]), "two languages"


def test_every_alert_says_what_to_do() -> None:
    for group in rules()["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                assert rule["annotations"]["summary"].endswith(".")
                assert rule["annotations"]["action"]
                assert rule["labels"]["severity"] in ("warning", "critical")


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, package: Package) -> None:
    (tmp_path / "mine").write_text("important", encoding="utf-8")
    with (
        Workspace.init(tmp_path / "w") as workspace,
        pytest.raises(UserError, match="in the way"),
    ):
        write_model(workspace, package, "grafana", tmp_path)
    assert (tmp_path / "mine").read_text(encoding="utf-8") == "important"


def test_forms_that_need_a_model_write_what_they_say(tmp_path: Path, package: Package) -> None:
    with Workspace.init(tmp_path / "w", objects=str(tmp_path / "objects")) as workspace:
        for form in ("compose", "grafana"):
            assert form in MODEL_FORMS
            written = write_model(workspace, package, form, tmp_path / form)
            assert written
            assert all(path.stat().st_size for path in written)


@pytest.mark.parametrize(
    ("name", "made"),
    [("vi-line", "vi-line"), ("Hoa_2.1", "hoa-2-1"), ("-.-", "model"), ("a" * 80, "a" * 53)],
)
def test_names_fit_kubernetes(name: str, made: str) -> None:
    assert dns_name(name) == made


def test_yaml_is_read_back_as_it_was() -> None:
    shared = {"a": 1}
    document = {"x": shared, "y": shared, "text": "hai\ndòng\n", "no": "no", "on": "on", "n": "08"}
    text = to_yaml(document, about="head\nmore")
    assert "&id" not in text
    assert yaml.safe_load(text) == document


def test_the_table_of_engines_names_every_file_of_their_tests() -> None:
    tests = Path(__file__).parents[1]
    table = (tests / "engines/conftest.py").read_text(encoding="utf-8")
    listed = set(re.findall(r'^    "(test_\w+)": ', table, re.M))
    marked = {
        path.stem
        for path in tests.rglob("test_*.py")
        if re.search(r"^pytestmark = pytest\.mark\.engine", path.read_text("utf-8"), re.M)
    }
    assert listed == marked
