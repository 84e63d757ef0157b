"""KServe: the built image as its pod, by the exported manifest, asked by KServe's own client.

What the kubelet does is done here: the manifest's arguments, variables (those of the Secret too),
user, read-only root, volumes, memory limit and probes; SIGTERM and its grace in the end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from pods import ROOT, Container, Files, Mount, Network, built, image_files

from nhan.deploy import kserve
from nhan.models.bundled import bundled_package
from nhan.models.package import publish
from nhan.settings import Settings
from nhan.workspace import Workspace
from pace import Stopwatch

pytestmark = pytest.mark.engine

KEY = "0123456789abcdef0123456789abcdef"
SECRET = {
    "key": KEY,
    "signing-secret": "abcdef0123456789abcdef0123456789",
    "aws-access-key-id": "testing",
    "aws-secret-access-key": "testing",
    "aws-region": "us-east-1",
}
OBJECTS = "s3://pictures/shop"
_MI = 1 << 20
# Runs under KServe's own environment: prints what its client was told.
_CLIENT = """
import asyncio, base64, json, sys
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

address, key, file = sys.argv[1:]
picture = base64.b64encode(open(file, "rb").read()).decode()
headers = {"Authorization": f"Bearer {key}"}

async def ask():
    v2 = InferenceRESTClient(RESTConfig(protocol="v2"))
    image = InferInput("image", [2], "BYTES", data=[picture, picture])
    request = InferRequest("vi-line", [image])
    answer = await v2.infer(address, request, model_name="vi-line", headers=headers)
    labels = next(output for output in answer.outputs if output.name == "label")
    v1 = InferenceRESTClient(RESTConfig(protocol="v1"))
    old = await v1.infer(
        address, {"instances": [{"image": {"b64": picture}}]}, model_name="vi-line", headers=headers
    )
    try:
        await v2.infer(address, request, model_name="vi-line")
        refused = 0
    except Exception as error:
        refused = getattr(getattr(error, "response", None), "status_code", str(error))
    return {
        "live": await v2.is_server_live(address),
        "ready": await v2.is_model_ready(address, "vi-line", headers=headers),
        "v2": [str(value) for value in labels.data],
        "v1": [one["text"] for one in old["predictions"]],
        "without a key": refused,
    }

print(json.dumps(asyncio.run(ask())))
"""


@dataclass
class Pod:
    """A running predictor and the manifest it was started by."""

    container: Container
    spec: dict[str, Any]
    workspace: Workspace

    @property
    def address(self) -> str:
        port = self.spec["containers"][0]["ports"][0]["containerPort"]
        return f"http://{self.container.address}:{port}"

    def probe(self, name: str) -> int:
        """The status of one of the manifest's probes; 0 where nobody answers."""
        wanted = self.spec["containers"][0][name]
        check = wanted["httpGet"]
        url = f"http://{self.container.address}:{check['port']}{check['path']}"
        try:
            with urllib.request.urlopen(url, timeout=wanted["timeoutSeconds"]) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pod]:
    """One replica on an S3 server in the same network, with a champion of its own."""
    built("serve")
    bundled = bundled_package()
    assert bundled is not None
    settings = Settings()
    settings.storage = settings.storage.model_copy(update={"objects": OBJECTS})
    files = kserve.manifests(settings, bundled)
    text = yaml.safe_dump(files["inference-service.yaml"][0])
    spec = yaml.safe_load(text)["spec"]["predictor"]
    ours = Path(sys.executable).parent
    with Network(["s3", "vi-line"], tmp_path) as network, image_files("serve") as image:
        store = f"http://{network.addresses['s3']}:5000"
        network.start("s3", Files.of_this_machine(ours), ["moto_server", "-H", "0.0.0.0"])
        for name, value in {
            "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": store,
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        until(lambda: _bucket(store))
        with Workspace.init(tmp_path / "home", objects=OBJECTS) as workspace:
            parts = {name: bundled.read(name) for name in bundled.spec.files}
            for run in ("first", "second"):
                publish(workspace.store, "vi-line", parts, bundled.spec.to_dict(), run=run)
            promote(workspace, 1)
            container = spec["containers"][0]
            limits = container["resources"]["limits"]
            made = network.start(
                "vi-line",
                Files(image.root, image.variables, image.entrypoint,
                      spec["securityContext"]["runAsUser"], image.folder),
                container["args"],
                variables={**environment(container), "AWS_ENDPOINT_URL": "http://s3:5000"},
                mounts=list(volumes(container, tmp_path, spec["securityContext"]["fsGroup"])),
                read_only=container["securityContext"]["readOnlyRootFilesystem"],
                memory=int(limits["memory"].removesuffix("Gi")) * 1024 * _MI,
            )  # fmt: skip
            yield Pod(made, spec, workspace)


def _bucket(endpoint: str) -> bool:
    import boto3  # the engine tests' own
    from botocore.exceptions import BotoCoreError

    try:
        boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="pictures")
    except (BotoCoreError, OSError):  # nobody listens yet
        return False
    return True


def environment(container: dict[str, Any]) -> dict[str, str]:
    """The manifest's variables, references to the Secret followed; optional ones may be absent."""
    told = {}
    for variable in container["env"]:
        if "value" in variable:
            told[variable["name"]] = variable["value"]
            continue
        reference = variable["valueFrom"]["secretKeyRef"]
        assert reference["name"] == "nhan"
        if reference["key"] in SECRET:
            told[variable["name"]] = SECRET[reference["key"]]
        else:
            assert reference["optional"], variable["name"]
    return told


def volumes(container: dict[str, Any], folder: Path, group: int) -> Iterator[Mount]:
    """Its emptyDirs: writable by the pod's group, everything else is not."""
    for mount in container["volumeMounts"]:
        made = folder / f"volume-{mount['name']}"
        made.mkdir()
        os.chown(made, 0, group)
        made.chmod(0o2777)
        yield Mount(mount["mountPath"], made)


def until(what: Callable[[], Any], *, within_s: float = 600) -> Any:
    deadline = time.monotonic() + within_s
    while not (answer := what()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)
    return answer


def promote(workspace: Workspace, version: int) -> None:
    subprocess.run(
        [sys.executable, "-m", "nhan", "--workspace", workspace.root, "promote",
         f"vi-line@{version}", "--force", "--because", "a test"],
        check=True, capture_output=True,
    )  # fmt: skip


def ask_by_client(pod: Pod, picture: Path) -> dict[str, Any]:
    installer = ROOT / "tests/engines/kserve-client.sh"
    programs = subprocess.run([installer], capture_output=True, text=True, check=True).stdout
    ran = subprocess.run(
        [f"{programs.strip()}/python", "-c", _CLIENT, pod.address, KEY, picture],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:] + pod.container.logged()
    told: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return told


def test_the_pod_is_ready_answers_promotes_and_drains(
    pod: Pod,
    draw_line: Callable[..., bytes],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    container = pod.spec["containers"][0]
    startup = container["startupProbe"]
    allowed_s = startup["periodSeconds"] * startup["failureThreshold"]
    began = time.monotonic()
    watch = Stopwatch()
    until(lambda: pod.probe("startupProbe") == 200)
    assert watch.allows(allowed_s)
    record_property("measured", f"ready {time.monotonic() - began:.1f} s after its start")
    for probe in ("readinessProbe", "livenessProbe"):
        until(lambda probe=probe: pod.probe(probe) == 200)

    picture = tmp_path / "line.png"
    picture.write_bytes(draw_line("hello 123"))
    first = ask_by_client(pod, picture)
    assert first["live"]
    assert first["ready"]
    assert first["v2"] == first["v1"] * 2
    assert first["v1"][0]
    assert first["without a key"] == 401

    request = urllib.request.Request(f"{pod.address}/predict", picture.read_bytes())
    request.add_header("Authorization", f"Bearer {KEY}")

    def version() -> str:
        with urllib.request.urlopen(request, timeout=120) as response:
            return str(response.headers["X-Nhan-Model"])

    assert version() == "vi-line@1"  # KServe's client does not tell
    promote(pod.workspace, 2)
    until(lambda: version() == "vi-line@2", within_s=600)
    assert ask_by_client(pod, picture)["v2"] == first["v2"]

    assert pod.container.run("touch", "/opt/nhan/x").returncode != 0
    record_property("measured", f"at most {pod.container.peak_bytes() / _MI:.0f} MiB")
    assert pod.container.stop(pod.spec["terminationGracePeriodSeconds"]) == 0
    assert pod.probe("livenessProbe") == 0
