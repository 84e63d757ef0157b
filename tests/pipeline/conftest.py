"""A workspace with drawn lines and a reader so small that a round takes seconds."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from small_rounds import settings

from nhan.pipeline.plan import make_plan
from nhan.pipeline.rounds import Round, run_round
from nhan.samples.importer import import_samples
from nhan.workspace import Workspace


@pytest.fixture
def loop(workspace: Workspace) -> Workspace:
    """A workspace whose rounds are quick; no sample yet."""
    settings(workspace.root)
    return Workspace.open(workspace.root)


@pytest.fixture
def add_lines(loop: Workspace, tmp_path: Path, draw_line: Callable[..., bytes]):
    """Imports labelled lines, one for each text."""
    made = 0

    def add(texts: Sequence[str], *, label: Callable[[str], str] = str) -> None:
        nonlocal made
        made += 1
        folder = tmp_path / f"lines-{made}"
        folder.mkdir()
        labels = {}
        for number, text in enumerate(texts):
            (folder / f"{number:04}.png").write_bytes(draw_line(text))
            labels[f"{number:04}.png"] = label(text)
        (folder / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
        import_samples(loop, folder, task="text")

    return add


@pytest.fixture
def one_round(loop: Workspace) -> Callable[..., Round]:
    """Runs a round to its end."""

    def run(reason: str = "a test", **options: bool) -> Round:
        again = options.pop("again", False)
        plan = make_plan(loop, reason=reason, by="tester", again=again)
        return run_round(loop, plan, say=lambda _: None, **options)

    return run
