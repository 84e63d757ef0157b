"""The README's commands work as they stand, and both languages show the same ones."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# The walk-through trains for hours on a user's pictures; here a handful of lines will do.
SHORT = "--set length.samples=8 --set data.batch_size=4 --set preflight=false --set track=off"


def blocks(page: str) -> list[list[str]]:
    """The commands of each shell block, comments removed."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    return [
        [line.partition(" #")[0].strip() for line in block.splitlines() if line.strip()]
        for block in found
    ]


def test_both_languages_show_the_same_commands() -> None:
    english, vietnamese = blocks("README.md"), blocks("README.vi.md")
    assert vietnamese == english[: len(vietnamese)]


def test_every_page_that_is_linked_exists() -> None:
    for page in ("README.md", "README.vi.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert (ROOT / target).exists(), f"{page} links to {target}"


def test_every_file_of_ours_that_a_command_names_exists() -> None:
    for page in ("README.md", "README.vi.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for name in re.findall(r"@(src/[^ ]+)", text):
            assert (ROOT / name).exists(), f"{page}: {name}"


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for page in ("README.md", "README.vi.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", text, flags=re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), f"{page}: make {target}"


def test_the_walk_through_works_when_pasted(tmp_path: Path, draw_line: object) -> None:
    pytest.importorskip("torch")
    _write_lines(tmp_path / "lines", draw_line, 40)
    (walk,) = [block for block in blocks("README.md") if block[0].startswith("nhan init shop")]
    commands = [command for command in walk if command != "nhan serve"]
    script = "set -e\n" + "\n".join(
        f"{command} {SHORT}" if command.startswith("nhan train") else command
        for command in commands
    )
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": programs, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "reader@1 is the champion" in done.stdout
    assert (tmp_path / "shop" / "report.html").stat().st_size > 10_000


def _write_lines(folder: Path, draw_line: object, count: int) -> None:
    assert callable(draw_line)
    folder.mkdir()
    labels = {f"{n:03}.png": f"so {n * 7919 % 9973}" for n in range(count)}
    for name, text in labels.items():
        (folder / name).write_bytes(draw_line(text))
    (folder / "labels.json").write_text(json.dumps(labels), encoding="utf-8")


def test_the_commands_shown_for_later_exist() -> None:
    shown = {
        shlex.split(line)[1]
        for block in blocks("README.md")
        for line in block
        if line.startswith("nhan ")
    }
    from nhan.cli.main import COMMANDS

    assert shown <= COMMANDS.keys()
