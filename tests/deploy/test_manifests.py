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


@pytest.mark.parametrize("file", ["pod-disruption-budget.yaml", "network-policy.yaml"])
def test_what_is_kubernetes_own_is_known_to_it(package: Package, file: str) -> None:
    validate = pytest.importorskip("kubernetes_validate")
    (document,) = kserve.manifests(shared_settings(), package)[file]
    validate.validate(document, "1.31", strict=True)
    with pytest.raises(validate.ValidationError):
        validate.validate({**document, "specc": {}}, "1.31", strict=True)


def test_the_pods_of_the_service_are_known_to_kubernetes(package: Package) -> None:
    validate = pytest.importorskip("kubernetes_validate")
    service = kserve.manifests(shared_settings(), package)["inference-service.yaml"][0]
    own = ("minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "canaryTrafficPercent")
    spec = {key: value for key, value in service["spec"]["predictor"].items() if key not in own}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": spec}
    validate.validate(pod, "1.31", strict=True)


def test_prometheus_finds_the_port_that_it_scrapes(package: Package) -> None:
    """Its operator keeps only ports that the pod declares, and names the job after the monitor."""
    made = kserve.manifests(shared_settings(), package)
    container = made["inference-service.yaml"][0]["spec"]["predictor"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    (endpoint,) = made["pod-monitor.yaml"][0]["spec"]["podMetricsEndpoints"]
    variables = {one["name"]: one.get("value") for one in container["env"]}
    assert str(ports[endpoint["port"]]) == variables["NHAN_SERVE__ADMIN_PORT"]
    # KServe's Service asks the first.
    assert str(container["ports"][0]["containerPort"]) == variables["NHAN_SERVE__PORT"]
    (policy,) = made["network-policy.yaml"]
    opened = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    assert opened == set(ports.values())
    # Panels and alerts ask for the job `nhan`.
    assert {"targetLabel": "job", "replacement": "nhan"} in endpoint["relabelings"]


def test_scaling_looks_at_the_queue_of_its_own_model_alone(package: Package) -> None:
    made = kserve.manifests(shared_settings(), package)["autoscaling-keda.yaml"][0]["spec"]
    (trigger,) = made["triggers"]
    target = made["scaleTargetRef"]["name"]
    assert f'pod=~"{target}-.*"' in trigger["metadata"]["query"]


def test_pods_get_the_settings_of_the_workspace(package: Package) -> None:
    settings = shared_settings()
    settings.serve = settings.serve.model_copy(
        update={"queue": 64, "port": 9999, "host": "10.0.0.1", "model": "other"}
    )
    settings.uploads = settings.uploads.model_copy(
        update={"collect": "sampled", "spool_megabytes": 5000}
    )
    made = kserve.manifests(settings, package)["inference-service.yaml"][0]
    predictor = made["spec"]["predictor"]
    variables = [one["name"] for one in predictor["containers"][0]["env"]]
    assert len(variables) == len(set(variables)), "which of two counts is a riddle"
    values = {one["name"]: one.get("value") for one in predictor["containers"][0]["env"]}
    assert values["NHAN_SERVE__QUEUE"] == "64"
    assert values["NHAN_UPLOADS__COLLECT"] == "sampled"
    # Where it listens, and for which model, is the manifest's own.
    assert values["NHAN_SERVE__PORT"] == "8080"
    assert values["NHAN_SERVE__HOST"] == "0.0.0.0"
    assert values["NHAN_SERVE__MODEL"] == package.spec.name
    # What has no meaning in a pod is left out.
    assert not [name for name in values if name.startswith(("NHAN_DEPLOY__", "NHAN_KUBEFLOW__"))]
    (volume,) = [one for one in predictor["volumes"] if one["name"] == "workspace"]
    assert volume["emptyDir"]["sizeLimit"] == "6000M", "the spool must fit"


def test_pods_may_call_what_the_settings_name(package: Package) -> None:
    def ports(settings: Settings) -> set[int]:
        (policy,) = kserve.manifests(settings, package)["network-policy.yaml"]
        return {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}

    settings = shared_settings()
    assert {53, 443, 5432} <= ports(settings)
    assert 80 not in ports(settings)
    settings.storage = settings.storage.model_copy(update={"catalog": "postgresql://db:6432/nhan"})
    settings.labelstudio = settings.labelstudio.model_copy(update={"url": "http://labels:8090"})
    settings.webhooks = settings.webhooks.model_copy(update={"urls": ["http://chat/hook"]})
    assert {6432, 8090, 80} <= ports(settings)
    assert 5432 not in ports(settings)
    settings = shared_settings()
    settings.serve = settings.serve.model_copy(update={"url_hosts": ["*"]})
    assert 80 in ports(settings)


def test_a_pod_that_waits_for_a_champion_is_asked_nothing_and_not_killed(package: Package) -> None:
    made = kserve.manifests(shared_settings(), package)["inference-service.yaml"][0]
    container = made["spec"]["predictor"]["containers"][0]
    paths = {
        name: container[f"{name}Probe"]["httpGet"]["path"]
        for name in ("startup", "readiness", "liveness")
    }
    live, ready = "/v2/health/live", "/v2/health/ready"
    assert paths == {"startup": live, "liveness": live, "readiness": ready}


def test_pods_run_under_the_account_that_is_named(package: Package) -> None:
    settings = shared_settings()
    made = kserve.manifests(settings, package)["inference-service.yaml"][0]
    assert "serviceAccountName" not in made["spec"]["predictor"]
    settings.deploy = settings.deploy.model_copy(update={"service_account": "shop-reader"})
    made = kserve.manifests(settings, package)["inference-service.yaml"][0]
    assert made["spec"]["predictor"]["serviceAccountName"] == "shop-reader"


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


def test_compose_runs_with_the_settings_of_the_workspace() -> None:
    settings = Settings()
    settings.loop = settings.loop.model_copy(update={"dataset": "lines", "cron": "0 2 * * *"})
    settings.serve = settings.serve.model_copy(update={"host": "10.0.0.1", "root_path": "/a$b"})
    chosen = kserve.chosen_settings(settings)
    services = compose.document(settings.deploy, model="vi-line", chosen=chosen)["services"]
    assert services["loop"]["environment"]["NHAN_LOOP__DATASET"] == "lines"
    assert services["loop"]["environment"]["NHAN_LOOP__CRON"] == "0 2 * * *"
    assert services["loop"]["environment"]["NHAN_LOOP__SERVER"] == "http://nhan:8000"
    server = services["nhan"]["environment"]
    assert server["NHAN_SERVE__ROOT_PATH"] == "/a$$b"  # Compose would fill in $b
    assert "NHAN_SERVE__HOST" not in server  # the image's own, for all of its network
    assert server["NHAN_STORAGE__OBJECTS"] == "s3://nhan/nhan"


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
    ("host", "target"),
    [
        ("127.0.0.1", "127.0.0.1:8001"),
        ("0.0.0.0", "127.0.0.1:8001"),
        ("::1", "[::1]:8001"),
        ("::", "127.0.0.1:8001"),
    ],
)
def test_prometheus_finds_the_admin_address(
    tmp_path: Path, package: Package, host: str, target: str
) -> None:
    with Workspace.init(tmp_path / "w") as workspace:
        workspace.settings.serve.admin_host = host
        write_model(workspace, package, "grafana", tmp_path / "out")
    text = (tmp_path / "out/prometheus/prometheus.yml").read_text(encoding="utf-8")
    (job,) = yaml.safe_load(text)["scrape_configs"]
    assert job["static_configs"] == [{"targets": [target]}]


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("vi-line", "vi-line"), ("Hoa_2.1", "hoa-2-1"), ("-.-", "model"), ("a" * 80, "a" * 53),
        ("7-doan", "model-7-doan"), ("2" * 64, "model-" + "2" * 47), ("9", "model-9"),
    ],
)  # fmt: skip
def test_names_fit_kubernetes(name: str, made: str) -> None:
    """KServe and Services want a letter first; other names may begin with a digit."""
    assert dns_name(name) == made
    assert re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", made)


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
