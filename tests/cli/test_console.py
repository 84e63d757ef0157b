"""How tables leave: whole, wherever their lines are not a terminal's."""

from __future__ import annotations

import pytest
from rich.table import Table

from nhan.cli.console import print_table


def test_a_table_in_a_pipe_is_as_wide_as_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    answer = "phòng 101, tầng 1 " * 40
    table = Table("id", "at", "answer", box=None)
    table.add_row("7", "2026-11-30 21:10", answer.strip())
    print_table(table)
    _, row = capsys.readouterr().out.splitlines()
    assert row.rstrip().split(maxsplit=3) == ["7", "2026-11-30", "21:10", answer.strip()]
