"""The Terraform module: parsed, formatted, and no more rights than a server needs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

hcl2 = pytest.importorskip("hcl2", reason="make test-engines installs it")

pytestmark = pytest.mark.engine

MODULE = Path(__file__).parents[2] / "deploy" / "terraform"


def read(name: str) -> dict[str, Any]:
    with (MODULE / name).open(encoding="utf-8") as file:
        parsed: dict[str, Any] = hcl2.load(file)
    return parsed


def unquoted(value: Any) -> str:
    return str(value).strip('"')


def statements(document: str) -> list[dict[str, Any]]:
    for one in read("main.tf")["data"]:
        for kind, named in one.items():
            if unquoted(kind) != "aws_iam_policy_document":
                continue
            for name, body in named.items():
                if unquoted(name) == document:
                    found: list[dict[str, Any]] = body["statement"]
                    return found
    raise AssertionError(f"no policy {document}")


@pytest.mark.parametrize("name", [path.name for path in sorted(MODULE.glob("*.tf"))])
def test_every_file_is_valid_hcl(name: str) -> None:
    assert read(name)


def test_a_server_may_not_write_models_or_delete_anything() -> None:
    for statement in statements("server"):
        actions = {unquoted(action) for action in statement["actions"]}
        assert "s3:DeleteObject" not in actions
        assert not any("*" in action for action in actions)
        if "s3:PutObject" in actions:
            written = [unquoted(one) for one in statement["resources"]]
            assert all(one.endswith(("/uploads/*", "/images/*")) for one in written), written


def test_every_variable_says_what_it_is_for() -> None:
    for file, kind in (("variables.tf", "variable"), ("outputs.tf", "output")):
        for block in read(file)[kind]:
            for name, body in block.items():
                assert body.get("description"), name


def test_the_module_is_formatted() -> None:
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not in this machine's package sources")
    done = subprocess.run(
        ["terraform", "fmt", "-check", "-diff", MODULE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
