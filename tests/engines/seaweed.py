"""A SeaweedFS server: an S3 store on a disk, whose create-only put overwrites nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from servers import START_S, end, free_port, wait_for_port

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing-secret"}
_IDENTITIES = """{"identities": [{"name": "nhan", "actions": ["Admin", "Read", "Write", "List"],
  "credentials": [{"accessKey": "testing", "secretKey": "testing-secret"}]}]}"""


@contextmanager
def run_seaweed(folder: Path) -> Iterator[str]:
    """Start and stop a server; yields its endpoint."""
    program = Path(sys.executable).with_name("weed")
    if not program.exists():
        pytest.fail("SeaweedFS is not installed; make test-engines installs it")
    (folder / "data").mkdir()
    (folder / "s3.json").write_text(_IDENTITIES, encoding="utf-8")
    port = free_port()
    options = {"s3.port": port, "s3.config": folder / "s3.json", "dir": folder / "data"}
    for part in ("master", "volume", "filer"):
        options |= {f"{part}.port": free_port(), f"{part}.port.grpc": free_port()}
    for part in ("grpc", "iceberg", "lance"):
        options[f"s3.port.{part}"] = free_port()
    options |= {"volume.max": 0, "master.volumeSizeLimitMB": 64}
    words = [f"-{name}={value}" for name, value in options.items()]
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", *words],
            stdout=log, stderr=log, cwd=folder, start_new_session=True,
        )  # fmt: skip
    try:
        wait_for_port(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        end(process, group=True)


def make_bucket(endpoint: str) -> str:
    """A fresh bucket; its name."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    bucket = f"nhan-{uuid.uuid4().hex[:12]}"
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1",
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip
    deadline = time.monotonic() + START_S
    while True:  # the port opens before the volumes are there
        try:
            with suppress(client.exceptions.BucketAlreadyOwnedByYou):  # made by the last try
                client.create_bucket(Bucket=bucket)
            client.put_object(Bucket=bucket, Key="try", Body=b"1")
            client.delete_object(Bucket=bucket, Key="try")
            return bucket
        except (BotoCoreError, ClientError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def told_to_processes(endpoint: str) -> dict[str, str]:
    """The variables by which any process finds the server."""
    return {**os.environ, **KEYS, "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": endpoint}
