"""Manifests that run the server on Kubernetes as a KServe InferenceService.

The predictor is our own image, speaking the Open Inference Protocol. It follows the promotion log
in the object store, so a promotion needs no new manifest: all replicas take it within seconds.
Checked against the published definitions of KServe, KEDA and the Prometheus operator.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
from nhan.settings import DeploySettings, Settings
from nhan.workspace import Workspace

_PORT = 8080
_ADMIN_PORT = 8081
_USER = 10001
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
        "inference-service.yaml": [_service(settings, package, metadata)],
        "pod-disruption-budget.yaml": [
            {
                "apiVersion": "policy/v1",
                "kind": "PodDisruptionBudget",
                "metadata": metadata,
                "spec": {"maxUnavailable": 1, "selector": selector},
            }
        ],
        "network-policy.yaml": [_network_policy(metadata, selector)],
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
    keys = from_secret("NHAN_KEY", secret, "key")
    # One for all replicas, which share no folder: links to pictures in Label Studio.
    links = from_secret("NHAN_SIGNING_SECRET", secret, "signing-secret", optional=True)
    catalog = (
        []
        if settings.storage.catalog.startswith("sqlite")
        else [from_secret("NHAN_STORAGE__CATALOG", secret, "catalog")]
    )
    # Absent where pods get their credentials from a role of the cluster (IRSA, workload identity).
    amazon = [
        from_secret("AWS_ACCESS_KEY_ID", secret, "aws-access-key-id", optional=True),
        from_secret("AWS_SECRET_ACCESS_KEY", secret, "aws-secret-access-key", optional=True),
        from_secret("AWS_REGION", secret, "aws-region", optional=True),
        from_secret("AWS_ENDPOINT_URL", secret, "aws-endpoint-url", optional=True),
    ]
    return merged(
        plain({"NHAN_STORAGE__OBJECTS": settings.storage.objects}), [keys, links], catalog, amazon
    )


def _service(settings: Settings, package: Package, metadata: dict[str, Any]) -> Manifest:
    deploy = settings.deploy
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
                "containers": [_container(settings, package)],
                "volumes": [
                    {"name": "workspace", "emptyDir": {"sizeLimit": "2Gi"}},
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
        "env": merged(plain(own), environment(settings)),
        "ports": [{"name": "http1", "containerPort": _PORT, "protocol": "TCP"}],
        "resources": {
            "requests": {"cpu": deploy.cpu, "memory": deploy.memory},
            "limits": {"cpu": deploy.cpu, "memory": deploy.memory},
        },
        "startupProbe": _probe("/v2/health/ready", period_s=1, failures=60),
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


def _network_policy(metadata: dict[str, Any], selector: dict[str, Any]) -> Manifest:
    """Anybody in the cluster may ask; only the namespace of the monitoring reads metrics."""
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
            # Names, the object store and the catalogue; nothing else is ever called.
            "egress": [
                {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]},
                {"ports": [{"port": port, "protocol": "TCP"} for port in (443, 5432, 8333, 9000)]},
            ],
        },
    }


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
                    "portNumber": _ADMIN_PORT,
                    "path": "/metrics",
                    "interval": "15s",
                    "authorization": {"credentials": {"name": deploy.secret, "key": "key"}},
                }
            ],
        },
    }


def _scaled_object(deploy: DeploySettings, metadata: dict[str, Any]) -> Manifest:
    """KEDA on the queue: adds a server when pictures wait, before the processors are full."""
    name = metadata["name"]
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": metadata,
        "spec": {
            "scaleTargetRef": {"name": f"{name}-predictor"},
            "minReplicaCount": deploy.min_replicas,
            "maxReplicaCount": deploy.max_replicas,
            "cooldownPeriod": 120,
            "triggers": [
                {
                    "type": "prometheus",
                    "metadata": {
                        "serverAddress": deploy.prometheus,
                        "query": f'sum(nhan_queue_pictures{{namespace="{deploy.namespace}"}})',
                        "threshold": "8",
                    },
                }
            ],
        },
    }
