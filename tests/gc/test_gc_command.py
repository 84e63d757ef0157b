"""`nhan gc` as people and schedules call it."""

from __future__ import annotations

import json

import pytest

from nhan.cli.main import run
from nhan.workspace import Workspace
from used_workspace import age, contents, put_orphan


def gc(capsys: pytest.CaptureFixture[str], workspace: Workspace, *words: str) -> tuple[str, str]:
    with pytest.raises(SystemExit) as left:
        run(["gc", "--workspace", str(workspace.root), *words])
    assert left.value.code == 0
    told = capsys.readouterr()
    return told.out, told.err


def test_a_dry_run_lists_what_and_how_much(
    used: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put_orphan(used, 99)
    age(used)
    before = contents(used)
    out, _ = gc(capsys, used, "--dry-run")
    assert "would be set aside" in out
    assert f"picture: {path}" in out
    document = json.loads(gc(capsys, used, "--dry-run", "--json")[0])
    assert document["dry_run"] is True
    assert document["kinds"]["picture"]["count"] == 1
    assert document["aside_bytes"] == document["kinds"]["picture"]["bytes"] > 0
    assert path in [one["path"] for one in document["found"]]
    assert contents(used) == before


def test_called_again_it_finds_nothing(used: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    put_orphan(used, 99)
    age(used)
    gc(capsys, used)
    gc(capsys, used, "--older-than", "0")
    gc(capsys, used, "--older-than", "0")
    assert gc(capsys, used, "--older-than", "0")[0] == "nothing to clear away\n"


def test_the_grace_can_be_chosen(used: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    path = put_orphan(used, 99)
    age(used, days=1.5)
    gc(capsys, used, "--older-than", "48")
    assert used.store.exists(path)
    gc(capsys, used)
    assert not used.store.exists(path)
