"""One machine with every engine: a Compose file, its variables, and what the engines read.

No password has a default: `docker compose` refuses to start until `.env` names each. Only the
addresses that people open are published, on loopback.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nhan.deploy import grafana
from nhan.deploy.forms import empty_folder
from nhan.deploy.kserve import chosen_settings
from nhan.deploy.manifests import to_yaml, write_files
from nhan.models.package import Package
from nhan.settings import DeploySettings
from nhan.workspace import Workspace

# Raise them together with the packages that the engines' tests run in their place.
IMAGES = {
    "postgres": "docker.io/library/postgres:17-bookworm",
    "s3": "docker.io/chrislusf/seaweedfs:4.48",
    "labelstudio": "docker.io/heartexlabs/label-studio:1.23.2",
    "mlflow": "ghcr.io/mlflow/mlflow:v3.17.2",
    "prometheus": "docker.io/prom/prometheus:v3.6.0",
    "grafana": "docker.io/grafana/grafana:12.2.0",
}
_SECRETS = {
    "NHAN_KEY": "key of scope admin for the server; at least 16 random characters",
    "NHAN_SIGNING_SECRET": "signs links to pictures in Label Studio; at least 32 characters",
    "POSTGRES_PASSWORD": "of the catalogue; letters and digits",
    "S3_ACCESS_KEY": "of the object store",
    "S3_SECRET_KEY": "of the object store",
    "LABEL_STUDIO_PASSWORD": "of the first user, nhan@localhost.local",
    "GRAFANA_PASSWORD": "of the user admin",
}
_TOKEN = "NHAN_LABELSTUDIO_TOKEN"  # noqa: S105  a variable's name
_LATER = f"""# Made in Label Studio once it runs: Account & Settings, Personal Access Token
# {_TOKEN}=eyJ…
"""
# Where the server listens is the image's matter and the file's.
_PLACES = {f"NHAN_SERVE__{name}" for name in ("HOST", "PORT", "ADMIN_HOST", "ADMIN_PORT")}
_S3_PORT = 8333
_BUCKET = "nhan"


def write(workspace: Workspace, package: Package, out: Path) -> list[Path]:
    """Write compose.yaml and all that its services read into a folder."""
    settings = workspace.settings
    made = files(settings.deploy, model=package.spec.name, chosen=chosen_settings(settings))
    return write_files(empty_folder(out), made)


def files(
    deploy: DeploySettings, *, model: str = "", chosen: Mapping[str, str] | None = None
) -> dict[str, str]:
    """All files by name.

    Args:
        deploy: images.
        model: that the server answers with by default.
        chosen: what the workspace sets, as variables.
    """
    watching = grafana.files(
        "nhan:8001", prometheus="http://prometheus:9090", key_file="/run/secrets/nhan_key"
    )
    return {
        "compose.yaml": to_yaml(
            document(deploy, model=model, chosen=chosen),
            about="cp .env.example .env, fill in every line, then: docker compose up --detach\n"
            "The API and the console: http://127.0.0.1:8000",
        ),
        ".env.example": "".join(f"# {about}\n{name}=\n" for name, about in _SECRETS.items())
        + _LATER,
        "s3/start": _S3_START,
        **watching,
    }


def document(
    deploy: DeploySettings, *, model: str = "", chosen: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The Compose document, by the Compose Specification."""
    own = {
        name: value.replace("$", "$$")
        for name, value in (chosen or {}).items()
        if name not in _PLACES
    }
    return {
        "name": "nhan",
        "services": {
            "nhan": _nhan(deploy, model, own),
            "loop": _loop(deploy, own),
            "streamlit": _streamlit(deploy),
            "postgres": _postgres(),
            "s3": _s3(),
            "labelstudio": _labelstudio(),
            "mlflow": _mlflow(),
            "prometheus": _prometheus(),
            "grafana": _grafana(),
        },
        "volumes": {
            name: {}
            for name in ("workspace", "loop", "postgres", "s3", "labelstudio", "mlflow",
                         "prometheus", "grafana")
        },
        "secrets": {"nhan_key": {"environment": "NHAN_KEY"}},
    }  # fmt: skip


def _needed(name: str) -> str:
    return f"${{{name}:?set it in .env}}"


def _stores() -> dict[str, str]:
    return {
        "NHAN_STORAGE__OBJECTS": f"s3://{_BUCKET}/nhan",
        "NHAN_STORAGE__CATALOG": f"postgresql://nhan:{_needed('POSTGRES_PASSWORD')}@postgres/nhan",
        "AWS_ENDPOINT_URL": f"http://s3:{_S3_PORT}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": _needed("S3_ACCESS_KEY"),
        "AWS_SECRET_ACCESS_KEY": _needed("S3_SECRET_KEY"),
    }


def _labelling() -> dict[str, str]:
    """Label Studio as these services reach it, and these services as it and browsers do."""
    return {
        "NHAN_LABELSTUDIO__URL": "http://labelstudio:8080",
        "NHAN_LABELSTUDIO__PICTURES_URL": "http://127.0.0.1:8000",
        "NHAN_LABELSTUDIO__SERVER_URL": "http://nhan:8000",
        "NHAN_SIGNING_SECRET": _needed("NHAN_SIGNING_SECRET"),
        _TOKEN: f"${{{_TOKEN}:-}}",
    }


def _service(image: str, *, memory: str, cpus: str = "1.0", **more: Any) -> dict[str, Any]:
    """What every service has: limits, restarts, no way to more rights."""
    return {
        "image": image,
        "restart": "unless-stopped",
        "init": True,
        "security_opt": ["no-new-privileges:true"],
        "deploy": {"resources": {"limits": {"cpus": cpus, "memory": memory}}},
        "logging": {"driver": "local", "options": {"max-size": "20m", "max-file": "3"}},
        **more,
    }


def _health(*test: str, start: str = "10s") -> dict[str, Any]:
    return {
        "test": ["CMD", *test],
        "interval": "10s",
        "timeout": "5s",
        "retries": 6,
        "start_period": start,
    }


def _fetch(address: str) -> list[str]:
    return ["python3", "-c", f"import urllib.request as u; u.urlopen('{address}', timeout=4)"]


def _after(*names: str) -> dict[str, Any]:
    return {name: {"condition": "service_healthy"} for name in names}


def _nhan(deploy: DeploySettings, model: str, own: Mapping[str, str]) -> dict[str, Any]:
    environment = {**own, **_stores(), **_labelling(), "NHAN_KEY": _needed("NHAN_KEY")}
    environment["NHAN_SERVE__ADMIN_HOST"] = "0.0.0.0"  # noqa: S104  inside the network of the file
    if model:
        environment["NHAN_SERVE__MODEL"] = model
    return _service(
        deploy.image,
        memory="1g",
        cpus="2.0",
        command=["serve"],
        environment=environment,
        read_only=True,
        tmpfs=["/tmp"],  # noqa: S108  the container's own
        ports=["127.0.0.1:8000:8000"],
        volumes=["workspace:/workspace"],
        depends_on=_after("s3", "postgres"),
        healthcheck=_health(*_fetch("http://127.0.0.1:8000/readyz")),
        stop_grace_period="40s",
    )


def _loop(deploy: DeploySettings, own: Mapping[str, str]) -> dict[str, Any]:
    """Asks the server, after a promotion, whether the new version answers."""
    return _service(
        deploy.train_image,
        memory="6g",
        cpus="2.0",
        command=["loop", "watch"],
        environment={
            **own,
            **_stores(),
            **_labelling(),
            "NHAN_KEY": _needed("NHAN_KEY"),
            "NHAN_LOOP__SERVER": "http://nhan:8000",
            "MLFLOW_TRACKING_URI": "http://mlflow:5000",
        },
        volumes=["loop:/workspace"],
        depends_on=_after("s3", "postgres", "mlflow"),
        stop_grace_period="60s",
        profiles=["loop"],
    )


def _streamlit(deploy: DeploySettings) -> dict[str, Any]:
    """No key in its environment: whoever opens the page types one."""
    return _service(
        deploy.streamlit_image,
        memory="512m",
        command=["streamlit", "--host", "0.0.0.0"],  # noqa: S104  published on loopback
        environment={"NHAN_URL": "http://nhan:8000"},
        read_only=True,
        tmpfs=["/tmp", "/workspace:uid=10001,gid=10001"],  # noqa: S108  the container's own
        ports=["127.0.0.1:8501:8501"],
        depends_on=_after("nhan"),
        healthcheck=_health(*_fetch("http://127.0.0.1:8501/_stcore/health"), start="30s"),
        profiles=["streamlit"],
    )


def _postgres() -> dict[str, Any]:
    return _service(
        IMAGES["postgres"],
        memory="1g",
        environment={
            "POSTGRES_USER": "nhan",
            "POSTGRES_DB": "nhan",
            "POSTGRES_PASSWORD": _needed("POSTGRES_PASSWORD"),
        },
        volumes=["postgres:/var/lib/postgresql/data"],
        # By TCP: while the image makes the database, a server for itself answers on the socket.
        healthcheck=_health(
            "pg_isready", "--host", "127.0.0.1", "--username", "nhan", "--dbname", "nhan"
        ),
        shm_size="128m",
    )


# Written at start, because the store reads its keys from a file and the file must hold no secret.
_S3_START = """#!/bin/sh
set -eu
umask 077
cat > /tmp/s3.json <<END
{"identities": [{"name": "nhan", "actions": ["Admin", "Read", "Write", "List", "Tagging"],
  "credentials": [{"accessKey": "$S3_ACCESS_KEY", "secretKey": "$S3_SECRET_KEY"}]}]}
END
(until echo "s3.bucket.create -name nhan" | weed shell >/dev/null 2>&1; do sleep 1; done) &
# As many volumes as the disk holds, of 1 GB: of the usual 30 GB a small disk holds too few, and the
# usual eight end at 240 GB.
exec weed server -dir=/data -volume.max=0 -master.volumeSizeLimitMB=1024 \\
  -ip=127.0.0.1 -ip.bind=0.0.0.0 -s3 -s3.config=/tmp/s3.json
"""


def _s3() -> dict[str, Any]:
    return _service(
        IMAGES["s3"],
        memory="1g",
        entrypoint=["/bin/sh", "/etc/nhan/start"],
        environment={name: _needed(name) for name in ("S3_ACCESS_KEY", "S3_SECRET_KEY")},
        volumes=["s3:/data", "./s3:/etc/nhan:ro"],
        healthcheck=_health(
            "wget", "--quiet", "--output-document=-", f"http://127.0.0.1:{_S3_PORT}/status"
        ),
    )


def _labelstudio() -> dict[str, Any]:
    return _service(
        IMAGES["labelstudio"],
        memory="2g",
        command=["label-studio", "start", "--host", "http://localhost:8080",
                 "--username", "nhan@localhost.local"],
        environment={
            "LABEL_STUDIO_PASSWORD": _needed("LABEL_STUDIO_PASSWORD"),
            "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
            "LATEST_VERSION_CHECK": "false",
            "COLLECT_ANALYTICS": "false",
            "SENTRY_DSN": "",  # it sends its errors home unless told otherwise
            "FRONTEND_SENTRY_DSN": "",
        },
        ports=["127.0.0.1:8080:8080"],
        volumes=["labelstudio:/label-studio/data"],
        healthcheck=_health(*_fetch("http://127.0.0.1:8080/health"), start="90s"),
    )  # fmt: skip


def _mlflow() -> dict[str, Any]:
    return _service(
        IMAGES["mlflow"],
        memory="1g",
        command=["mlflow", "server", "--host", "0.0.0.0", "--port", "5000",  # noqa: S104
                 "--backend-store-uri", "sqlite:////data/mlflow.db",
                 "--artifacts-destination", "/data/artifacts",
                 "--workers", "1",  # of 250 MB; by default there are four
                 # It refuses requests by other names than these.
                 "--allowed-hosts", "mlflow:5000,localhost:5000,127.0.0.1:5000"],
        # Jobs that judge answers of language models: eight more processes of 250 MB each.
        environment={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        ports=["127.0.0.1:5000:5000"],
        volumes=["mlflow:/data"],
        healthcheck=_health(*_fetch("http://127.0.0.1:5000/health"), start="30s"),
    )  # fmt: skip


def _prometheus() -> dict[str, Any]:
    return _service(
        IMAGES["prometheus"],
        memory="1g",
        command=["--config.file=/etc/prometheus/prometheus.yml",
                 "--storage.tsdb.path=/prometheus", "--storage.tsdb.retention.time=30d"],
        ports=["127.0.0.1:9090:9090"],
        secrets=["nhan_key"],
        volumes=["./prometheus:/etc/prometheus:ro", "prometheus:/prometheus"],
        healthcheck=_health(
            "wget", "--quiet", "--output-document=-", "http://127.0.0.1:9090/-/healthy"
        ),
    )  # fmt: skip


def _grafana() -> dict[str, Any]:
    return _service(
        IMAGES["grafana"],
        memory="512m",
        environment={
            "GF_SECURITY_ADMIN_PASSWORD": _needed("GRAFANA_PASSWORD"),
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            "GF_USERS_DEFAULT_LANGUAGE": "en-US",
        },
        ports=["127.0.0.1:3000:3000"],
        volumes=[
            "./grafana/provisioning:/etc/grafana/provisioning:ro",
            "./grafana/dashboards:/var/lib/grafana/dashboards:ro",
            "grafana:/var/lib/grafana",
        ],
        depends_on=_after("prometheus"),
        healthcheck=_health(
            "wget", "--quiet", "--output-document=-", "http://127.0.0.1:3000/api/health"
        ),
    )
