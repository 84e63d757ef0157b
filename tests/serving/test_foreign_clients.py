"""Clients nobody here wrote read our answers: KServe's, Triton's, requests, curl, schemathesis.

Each test skips, saying so, where its client is not installed.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def address(tmp_path_factory, toy_files, toy_spec):
    """The main and the admin address of a running server, as host:port."""
    import os
    import socket

    from nhan.models.package import publish
    from nhan.models.registry import Promotion, Registry
    from nhan.workspace import Workspace

    root = tmp_path_factory.mktemp("foreign") / "w"
    with Workspace.init(root) as workspace:
        publish(workspace.store, "toy", toy_files, toy_spec(), run="1")
        promotion = Promotion(action="forced", version=1)
        Registry(workspace.store).record("toy", promotion, expected=0)
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    command = [sys.executable, "-m", "nhan", "serve"]
    command += ["--port", str(ports[0]), "--admin-port", str(ports[1])]
    process = subprocess.Popen(command, env={**os.environ, "NHAN_WORKSPACE": str(root)})
    end = time.monotonic() + 300
    try:
        while subprocess.run(
            ["curl", "-sf", f"http://127.0.0.1:{ports[0]}/readyz"], capture_output=True
        ).returncode:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        yield tuple(f"127.0.0.1:{port}" for port in ports)
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.parametrize("binary", [True, False])
def test_tritonclient(address, toy_picture, binary):
    triton = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")
    client = triton.InferenceServerClient(address[0])
    assert client.is_server_ready()
    assert client.is_model_ready("toy")
    words = ["đă", "êôơ", "é"]
    pictures = [toy_picture(word) for word in words]
    if not binary:
        pictures = [base64.b64encode(picture) for picture in pictures]
    tensor = triton.InferInput("image", [3], "BYTES")
    tensor.set_data_from_numpy(np.array(pictures, dtype=np.object_), binary_data=binary)
    result = client.infer("toy", [tensor])
    assert [label.decode() for label in result.as_numpy("label")] == words
    assert result.as_numpy("confidence").dtype == np.float32


# Runs under KServe's own environment: prints what its client was told.
_KSERVE = """
import asyncio, base64, json, sys
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

address, *files = sys.argv[1:]
pictures = [base64.b64encode(open(file, "rb").read()).decode() for file in files]

async def ask():
    v2 = InferenceRESTClient(RESTConfig(protocol="v2"))
    image = InferInput("image", [len(pictures)], "BYTES", data=pictures)
    answer = await v2.infer(address, InferRequest("toy", [image]), model_name="toy")
    labels = next(output for output in answer.outputs if output.name == "label")
    v1 = InferenceRESTClient(RESTConfig(protocol="v1"))
    instances = [{"image": {"b64": picture}} for picture in pictures]
    old = await v1.infer(address, {"instances": instances}, model_name="toy")
    return {
        "live": await v2.is_server_live(address),
        "ready": await v2.is_server_ready(address),
        "model": await v2.is_model_ready(address, "toy"),
        "v2": [str(value) for value in labels.data],
        "v1": [one["text"] for one in old["predictions"]],
    }

print(json.dumps(asyncio.run(ask())))
"""


def test_the_client_of_kserve(address, toy_picture, tmp_path):
    installer = Path(__file__).parents[1] / "engines/kserve-client.sh"
    programs = subprocess.run([installer], capture_output=True, text=True, check=True).stdout
    words = ["đă", "êôơ", "é"]
    files = []
    for word in words:
        files.append(tmp_path / f"{word}.png")
        files[-1].write_bytes(toy_picture(word))
    ran = subprocess.run(
        [f"{programs.strip()}/python", "-c", _KSERVE, f"http://{address[0]}", *files],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told == {"live": True, "ready": True, "model": True, "v2": words, "v1": words}


def test_requests(address, toy_picture):
    requests = pytest.importorskip("requests", reason="requests is not installed")
    url = f"http://{address[0]}"
    with requests.Session() as session:
        sent = session.post(f"{url}/predict", files={"file": ("a.png", toy_picture("đă"))})
        raw = session.post(f"{url}/predictions/toy", data=toy_picture("êô"))
        image = base64.b64encode(toy_picture("é")).decode()
        document = session.post(f"{url}/predict", json={"image": image})
        wrong = session.post(f"{url}/predict", data=b"no picture")
    assert sent.json()["text"] == "đă"
    assert (raw.text, raw.encoding) == ("êô", "utf-8")
    assert document.json()["text"] == "é"
    assert (wrong.status_code, set(wrong.json())) == (415, {"error"})


def test_the_published_schema_of_v2(address, shared_schemas):
    schemathesis = shutil.which("schemathesis", path=Path(sys.executable).parent)
    if schemathesis is None:
        pytest.skip("schemathesis is not installed")
    _schemathesis(
        schemathesis, shared_schemas / "open-inference-rest-openapi.yaml", f"http://{address[0]}"
    )


def test_our_own_schema(address):
    schemathesis = shutil.which("schemathesis", path=Path(sys.executable).parent)
    if schemathesis is None:
        pytest.skip("schemathesis is not installed")
    _schemathesis(schemathesis, f"http://{address[0]}/openapi.json", f"http://{address[0]}")


def _schemathesis(program, schema, url):
    checks = "not_a_server_error,content_type_conformance,response_schema_conformance"
    ran = subprocess.run(
        [program, "run", str(schema), "--url", url, "--max-examples", "100", "--checks", checks],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-3000:]


@pytest.mark.parametrize(
    "arguments",
    [
        ["-T", "PICTURE", "http://ADDRESS/predictions/toy"],
        ["-X", "POST", "http://ADDRESS/predictions/toy", "-T", "PICTURE"],
        ["http://ADDRESS/predictions/toy", "-T", "PICTURE"],
        ["-X", "POST", "http://ADDRESS/predictions/toy", "-F", "data=@PICTURE"],
        ["http://ADDRESS/predictions/toy/1", "-F", "data=@PICTURE"],
        ["http://ADDRESS/predict", "-F", "file=@PICTURE", "-H", "Accept: text/plain"],
        ["http://ADDRESS/predict", "--data-binary", "@PICTURE", "-H", "Accept: text/plain"],
    ],
)
def test_curl_as_documentation_shows_it(address, toy_picture, tmp_path, arguments):
    file = tmp_path / "line.png"
    file.write_bytes(toy_picture("đăâ"))
    words = [
        word.replace("ADDRESS", address[0]).replace("PICTURE", str(file)) for word in arguments
    ]
    ran = subprocess.run(["curl", "-sS", *words], capture_output=True, text=True, check=True)
    assert ran.stdout == "đăâ"


def test_promtool_accepts_the_metrics(address):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (Debian: prometheus) is not installed")
    scraped = subprocess.run(
        ["curl", "-sS", f"http://{address[1]}/metrics"], capture_output=True, check=True
    )
    ran = subprocess.run(
        [promtool, "check", "metrics"], input=scraped.stdout, capture_output=True, check=False
    )
    assert ran.returncode in (0, 3), ran.stderr  # 3: remarks on naming of Python's own metrics
