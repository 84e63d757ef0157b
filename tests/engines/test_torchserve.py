"""The archive on a real TorchServe: the answers of our own server, batched or not."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from servers import end, free_port, serving_at

import tiny_models
from nhan.deploy.forms import write_model
from nhan.models.package import Package
from nhan.models.registry import Promotion, Registry
from nhan.workspace import Workspace

pytestmark = pytest.mark.engine

PICTURES = 64


@pytest.fixture(scope="module")
def programs() -> Path:
    script = Path(__file__).parent / "torchserve.sh"
    done = subprocess.run([script], capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("trained")
    with Workspace.init(folder / "workspace") as workspace:
        for package in (
            # Long enough to tell one line from another.
            tiny_models.train_text(
                workspace, folder / "lines", "length.samples=4000", "optimizer.lr=0.01"
            ),
            tiny_models.train_colours(workspace, folder / "patches"),
        ):
            Registry(workspace.store).record(
                package.spec.name,
                Promotion(action="forced", version=package.spec.version, because="test"),
                expected=0,
            )
        yield workspace


@pytest.fixture(scope="module")
def ours(trained: Workspace) -> Iterator[int]:
    """`nhan serve`; yields its port."""
    with serving_at(trained.root.parent, workspace=trained.root, wait="/readyz") as server:
        port = int(server.main.rpartition(":")[2])
        for champion in ("reader@1", "colours@1"):  # the bundled reader is ready before them
            wait_until_answers(port, "/readyz", champion)
        yield port


@pytest.fixture(scope="module")
def torchserve(
    trained: Workspace, programs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """A TorchServe with both archives, batches of 8; yields its inference port."""
    folder = tmp_path_factory.mktemp("torchserve")
    store = folder / "store"
    store.mkdir()
    models: dict[str, object] = {}
    for name in ("reader", "colours"):
        package = Package.open(trained.store, f"models/{name}/1")
        mar, config = write_model(trained, package, "torchserve", folder / name)
        mar.rename(store / mar.name)
        settings = dict(
            line.split("=", 1)
            for line in config.read_text().splitlines()
            if line and not line.startswith("#")
        )
        described = json.loads(settings["models"])
        # A long delay fills the batches, so that the order within them is put to the test.
        described[name]["1"] |= {"minWorkers": 1, "maxWorkers": 1, "maxBatchDelay": 200}
        models |= described
    inference, management, metrics = free_port(), free_port(), free_port()
    settings |= {
        "inference_address": f"http://127.0.0.1:{inference}",
        "management_address": f"http://127.0.0.1:{management}",
        "metrics_address": f"http://127.0.0.1:{metrics}",
        "grpc_inference_port": str(free_port()),
        "grpc_management_port": str(free_port()),
        "load_models": "all",
        "models": json.dumps(models),
    }
    config = folder / "config.properties"
    config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "TEMP": str(folder),
        "LOG_LOCATION": str(folder / "logs"),
        "METRICS_LOCATION": str(folder / "logs"),
    }
    log = (folder / "log.txt").open("wb")
    process = subprocess.Popen(
        [
            programs / "torchserve", "--start", "--foreground", "--ncs", "--disable-token-auth",
            "--model-store", store, "--ts-config", config,
        ],
        env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    try:
        try:
            wait_until_answers(inference, "/ping", "Healthy", seconds=900)
        except AssertionError:
            pytest.fail((folder / "log.txt").read_text()[-4000:])
        yield inference
    finally:
        end(process, group=True)
        log.close()


def wait_until_answers(port: int, path: str, text: str = "", seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            if response.status == 200 and text in response.read().decode():
                return
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.2)
    raise AssertionError(f"port {port} does not answer {path}")


def ask(port: int, path: str, body: bytes) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/octet-stream"})
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, response.read().decode(), headers
    finally:
        connection.close()


def lines() -> list[bytes]:
    return [tiny_models.draw_line(tiny_models.line_of(500 + n)) for n in range(PICTURES)]


def patches() -> list[bytes]:
    names = list(tiny_models.COLOURS)
    return [tiny_models.draw_colour(names[n % 3], 200 + n) for n in range(PICTURES)]


@pytest.mark.parametrize("name", ["reader", "colours"])
def test_64_pictures_are_answered_as_by_our_own_server(
    torchserve: int, ours: int, name: str
) -> None:
    pictures = lines() if name == "reader" else patches()
    path = f"/predictions/{name}"
    truths = [ask(ours, path, picture) for picture in pictures]
    with ThreadPoolExecutor(16) as pool:  # more at once than a batch takes
        theirs = list(pool.map(lambda picture: ask(torchserve, path, picture), pictures))
    alone = [ask(torchserve, path, picture) for picture in pictures[:3]]
    assert [status for status, _, _ in truths + theirs] == [200] * 2 * PICTURES
    if name == "reader":
        assert [text for _, text, _ in theirs] == [text for _, text, _ in truths]
        assert len({text for _, text, _ in truths}) > 3, "answers that tell pictures apart"
    else:
        for (_, answer, _), (_, truth, _) in zip(theirs, truths, strict=True):
            scores, expected = json.loads(answer), json.loads(truth)
            assert list(scores) == list(expected), "from high to low"
            assert scores == pytest.approx(expected, abs=1e-4)
    assert [text for _, text, _ in alone] == [text for _, text, _ in theirs[:3]]
    assert {headers["x-nhan-model"] for _, _, headers in theirs} == {f"{name}@1"}


def test_bad_pictures_in_a_batch_leave_their_neighbours_alone(torchserve: int) -> None:
    good = patches()[:8]
    sent = [part for picture in good for part in (picture, b"no picture at all")]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda body: ask(torchserve, "/predictions/colours", body), sent))
    assert {status for status, _, _ in answers[::2]} == {200}
    assert all(set(json.loads(text)) == set(tiny_models.COLOURS) for _, text, _ in answers[::2])
    assert {status for status, _, _ in answers[1::2]} <= {400, 415}
    assert all("error" in json.loads(text) for _, text, _ in answers[1::2])


def test_the_archiver_writes_the_same_form(
    trained: Workspace, programs: Path, tmp_path: Path
) -> None:
    """torch-model-archiver packs the same files into an archive with the same manifest."""
    import zipfile

    package = Package.open(trained.store, "models/colours/1")
    mar, _ = write_model(trained, package, "torchserve", tmp_path / "ours")
    with zipfile.ZipFile(mar) as archive:
        archive.extractall(tmp_path / "files")
        own = json.loads(archive.read("MAR-INF/MANIFEST.json"))
        names = set(archive.namelist())
    files = tmp_path / "files"
    (tmp_path / "theirs").mkdir()
    subprocess.run(
        [
            programs / "torch-model-archiver", "--model-name", "colours", "--version", "1",
            "--serialized-file", files / "model.pt", "--handler", files / "handler.py",
            "--extra-files", f"{files / 'nhan.json'},{files / 'archive.json'}",
            "--export-path", tmp_path / "theirs",
        ],
        check=True, capture_output=True, timeout=600,
    )  # fmt: skip
    with zipfile.ZipFile(tmp_path / "theirs" / "colours.mar") as archive:
        theirs = json.loads(archive.read("MAR-INF/MANIFEST.json"))
        assert {name for name in archive.namelist() if not name.endswith("/")} == names
    assert theirs["model"] == own["model"]
    assert theirs.keys() == own.keys()
    assert theirs["archiverVersion"] == own["archiverVersion"]
