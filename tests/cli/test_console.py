"""How results leave: tables whole where lines are not a terminal's, JSON as programs read it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.table import Table

from nhan.cli.console import print_json, print_table


def test_a_table_in_a_pipe_is_as_wide_as_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    answer = "phòng 101, tầng 1 " * 40
    table = Table("id", "at", "answer", box=None)
    table.add_row("7", "2026-11-30 21:10", answer.strip())
    print_table(table)
    _, row = capsys.readouterr().out.splitlines()
    assert row.rstrip().split(maxsplit=3) == ["7", "2026-11-30", "21:10", answer.strip()]


def test_moments_in_json_are_written_as_over_http(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"at": datetime(2026, 11, 30, 21, 10, tzinfo=UTC), "file": Path("ảnh.png")})
    assert json.loads(capsys.readouterr().out) == {
        "at": "2026-11-30T21:10:00+00:00", "file": "ảnh.png",
    }  # fmt: skip
