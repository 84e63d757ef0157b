"""Manifests that run the server on Kubernetes as a KServe InferenceService.

The predictor is our own image, speaking the Open Inference Protocol. It follows the promotion log
in the object store, so a promotion needs no new manifest: all replicas take it within seconds.
Checked against the published definitions of KServe, KEDA and the Prometheus operator.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nhan.deploy.forms import empty_folder
from nhan.deploy.manifests import (
    Manifest,
    dns_name,
    from_secret,
    merged,
    plain,
    to_yaml,
    write_files,
)
from nhan.deploy.prometheus import rules
from nhan.errors import UserError
from nhan.models.package import Package
from nhan.settings import DeploySettings, Settings, changed_variables
from nhan.workspace import Workspace

_PORT = 8080
_ADMIN_PORT = 8081
_METRICS = "metrics"
_USER = 10001
# Of S3 servers in the cluster, which only the Secret names: SeaweedFS's and MinIO's.
_STORES = (8333, 9000)
_PLAIN, _TLS, _POSTGRES, _NAMES = 80, 443, 5432, 53
# Beside the spool: settings, keys, models that were loaded.
_SPARE_MEGABYTES = 1000
# Secrets that only some workspaces have: variable -> key in the Secret.
_OPTIONAL = {
    # One for all replicas, which share no folder: links to pictures in Label Studio.
    "NHAN_SIGNING_SECRET": "signing-secret",
    "NHAN_LABELSTUDIO_TOKEN": "label-studio-token",
    "NHAN_WEBHOOK_SECRET": "webhook-secret",
    # Absent where pods get their credentials from a role of the cluster (IRSA, workload identity).
    "AWS_ACCESS_KEY_ID": "aws-access-key-id",
    "AWS_SECRET_ACCESS_KEY": "aws-secret-access-key",
    "AWS_REGION": "aws-region",
    "AWS_ENDPOINT_URL": "aws-endpoint-url",
}
# The server finishes what it has begun (serve.grace_s) before Kubernetes kills it.
_SPARE_S = 10
_ABOUT = {
    "inference-service.yaml": (
        "The Secret comes first:\n"
        "kubectl create secret generic nhan --from-literal=key=$(openssl rand -hex 32) …"
    ),
    "autoscaling-keda.yaml": (
        "In place of KServe's own autoscaler: annotate the InferenceService with\n"
        "serving.kserve.io/autoscalerClass: external, then apply this file."
    ),
}


def write(workspace: Workspace, package: Package, out: Path) -> list[Path]:
    """Write the manifests of a model's server, and a kustomization that applies them.

    Raises:
        UserError: objects are on a local folder, which replicas cannot share.
    """
    settings = workspace.settings
    if "://" not in settings.storage.objects or settings.storage.objects.startswith("file:"):
        raise UserError(
            f"the objects of this workspace are in {settings.storage.objects!r}, on this machine",
            hint="replicas share a store: set storage.objects = 's3://BUCKET/PREFIX'",
        )
    folder = empty_folder(out)
    files = {
        name: to_yaml(*documents, about=_ABOUT.get(name, ""))
        for name, documents in manifests(settings, package).items()
    }
    files["kustomization.yaml"] = to_yaml(
        {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": settings.deploy.namespace,
            "resources": [name for name in files if name != "autoscaling-keda.yaml"],
        },
        about="kubectl apply -k .",
    )
    return write_files(folder, files)


def manifests(settings: Settings, package: Package) -> dict[str, list[Manifest]]:
    """All manifests by file name."""
    name = dns_name(package.spec.name)
    deploy = settings.deploy
    labels = {"app.kubernetes.io/name": "nhan", "app.kubernetes.io/instance": name}
    metadata = {"name": name, "namespace": deploy.namespace, "labels": labels}
    selector = {"matchLabels": {"serving.kserve.io/inferenceservice": name}}
    return {
        "inference-service.yaml": [_service(settings, package, metadata, selector)],
        "pod-disruption-budget.yaml": [
            {
                "apiVersion": "policy/v1",
                "kind": "PodDisruptionBudget",
                "metadata": metadata,
                "spec": {"maxUnavailable": 1, "selector": selector},
            }
        ],
        "network-policy.yaml": [_network_policy(settings, metadata, selector)],
        "pod-monitor.yaml": [_pod_monitor(deploy, metadata, selector)],
        "prometheus-rule.yaml": [
            {
                "apiVersion": "monitoring.coreos.com/v1",
                "kind": "PrometheusRule",
                "metadata": metadata,
                "spec": rules(),
            }
        ],
        "autoscaling-keda.yaml": [_scaled_object(deploy, metadata)],
    }


def environment(settings: Settings) -> list[dict[str, Any]]:
    """Variables of a container that works on the workspace's stores; secrets by reference."""
    secret = settings.deploy.secret
    needed = {"NHAN_KEY": "key"}
    if not settings.storage.catalog.startswith("sqlite"):
        needed["NHAN_STORAGE__CATALOG"] = "catalog"
    return merged(
        plain({"NHAN_STORAGE__OBJECTS": settings.storage.objects}),
        [from_secret(variable, secret, key) for variable, key in needed.items()],
        [from_secret(variable, secret, key, optional=True) for variable, key in _OPTIONAL.items()],
    )


def chosen_settings(settings: Settings) -> dict[str, str]:
    """What the workspace sets, as variables; without what only exports read."""
    exported = ("NHAN_DEPLOY__", "NHAN_KUBEFLOW__")
    return {
        name: value
        for name, value in changed_variables(settings).items()
        if not name.startswith(exported)
    }


def _service(
    settings: Settings, package: Package, metadata: dict[str, Any], selector: dict[str, Any]
) -> Manifest:
    deploy = settings.deploy
    account, spool = deploy.service_account, settings.uploads.spool_megabytes
    grace_s = round(settings.serve.grace_s + settings.serve.linger_s) + _SPARE_S
    annotations = {
        "serving.kserve.io/deploymentMode": "RawDeployment",
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(_ADMIN_PORT),
        "prometheus.io/path": "/metrics",
    }
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {**metadata, "annotations": annotations},
        "spec": {
            "predictor": {
                "minReplicas": deploy.min_replicas,
                "maxReplicas": deploy.max_replicas,
                "scaleMetric": "cpu",
                "scaleTarget": 80,
                # For KServe's Knative mode; the server's own canary works in both.
                "canaryTrafficPercent": deploy.canary_percent,
                "terminationGracePeriodSeconds": grace_s,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": _USER,
                    "runAsGroup": _USER,
                    "fsGroup": _USER,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                **({"serviceAccountName": account} if account else {}),
                # Replicas on one machine would end with it together.
                "topologySpreadConstraints": [
                    {
                        "maxSkew": 1,
                        "topologyKey": "kubernetes.io/hostname",
                        "whenUnsatisfiable": "ScheduleAnyway",
                        "labelSelector": selector,
                    }
                ],
                "containers": [_container(settings, package)],
                "volumes": [
                    {
                        "name": "workspace",
                        "emptyDir": {"sizeLimit": f"{spool + _SPARE_MEGABYTES}M"},
                    },
                    {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
                ],
            }
        },
    }


def _container(settings: Settings, package: Package) -> dict[str, Any]:
    deploy = settings.deploy
    own = {
        "NHAN_WORKSPACE": "/workspace",
        "NHAN_SERVE__HOST": "0.0.0.0",  # noqa: S104  behind the NetworkPolicy, and keyed
        "NHAN_SERVE__PORT": str(_PORT),
        "NHAN_SERVE__ADMIN_HOST": "0.0.0.0",  # noqa: S104
        "NHAN_SERVE__ADMIN_PORT": str(_ADMIN_PORT),
        "NHAN_SERVE__MODEL": package.spec.name,
        "NHAN_SERVE__LOG": "json",
    }
    return {
        "name": "kserve-container",
        "image": deploy.image,
        "args": ["serve"],
        "env": merged(plain({**chosen_settings(settings), **own}), environment(settings)),
        # KServe's Service asks the first. Prometheus scrapes no port that is not named here.
        "ports": [
            {"name": "http1", "containerPort": _PORT, "protocol": "TCP"},
            {"name": _METRICS, "containerPort": _ADMIN_PORT, "protocol": "TCP"},
        ],
        "resources": {
            "requests": {"cpu": deploy.cpu, "memory": deploy.memory},
            "limits": {"cpu": deploy.cpu, "memory": deploy.memory},
        },
        # Not for being ready: a pod that waits for its store or its first champion is not killed.
        "startupProbe": _probe("/v2/health/live", period_s=1, failures=60),
        "readinessProbe": _probe("/v2/health/ready", period_s=2, failures=2),
        "livenessProbe": _probe("/v2/health/live", period_s=10, failures=3),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "workspace", "mountPath": "/workspace"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  a volume of the pod's own
        ],
    }


def _probe(path: str, *, period_s: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": _PORT},
        "periodSeconds": period_s,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def _network_policy(
    settings: Settings, metadata: dict[str, Any], selector: dict[str, Any]
) -> Manifest:
    """Anybody in the cluster may ask; only the namespace of the monitoring reads metrics."""
    called = sorted(_called_ports(settings))
    monitoring = {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata,
        "spec": {
            "podSelector": selector,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"ports": [{"port": _PORT, "protocol": "TCP"}]},
                {
                    "from": [{"namespaceSelector": monitoring}],
                    "ports": [{"port": _ADMIN_PORT, "protocol": "TCP"}],
                },
            ],
            "egress": [
                {"ports": [{"port": _NAMES, "protocol": kind} for kind in ("UDP", "TCP")]},
                {"ports": [{"port": port, "protocol": "TCP"} for port in called]},
            ],
        },
    }


def _called_ports(settings: Settings) -> set[int]:
    """Of the object store, and of whatever the settings name; nothing else is ever called."""
    ports = {_TLS, *_STORES}
    if settings.storage.catalog.startswith("postgresql"):
        ports.add(urlsplit(settings.storage.catalog).port or _POSTGRES)
    for url in (settings.labelstudio.url, *settings.webhooks.urls):
        if url:
            parts = urlsplit(url)
            ports.add(parts.port or (_PLAIN if parts.scheme == "http" else _TLS))
    if settings.serve.url_hosts:  # pictures by address
        ports.add(_PLAIN)
    return ports


def _pod_monitor(
    deploy: DeploySettings, metadata: dict[str, Any], selector: dict[str, Any]
) -> Manifest:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": metadata,
        "spec": {
            "selector": selector,
            "podMetricsEndpoints": [
                {
                    "port": _METRICS,
                    "path": "/metrics",
                    "interval": "15s",
                    "authorization": {"credentials": {"name": deploy.secret, "key": "key"}},
                    # As alerts and dashboards call it, whatever this resource is called.
                    "relabelings": [{"targetLabel": "job", "replacement": "nhan"}],
                }
            ],
        },
    }


def _scaled_object(deploy: DeploySettings, metadata: dict[str, Any]) -> Manifest:
    """KEDA on the queue: adds a server when pictures wait, before the processors are full."""
    pods = f"{metadata['name']}-predictor"
    chosen = f'namespace="{deploy.namespace}",pod=~"{pods}-.*"'
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": metadata,
        "spec": {
            "scaleTargetRef": {"name": pods},
            "minReplicaCount": deploy.min_replicas,
            "maxReplicaCount": deploy.max_replicas,
            "cooldownPeriod": 120,
            "triggers": [
                {
                    "type": "prometheus",
                    "metadata": {
                        "serverAddress": deploy.prometheus,
                        "query": f"sum(nhan_queue_pictures{{{chosen}}})",
                        "threshold": "8",
                    },
                }
            ],
        },
    }
