"""Imports run downward only, and what serves imports no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import nhan

PACKAGE = Path(nhan.__file__).parent

# Bottom first, as docs/architecture.md lists it.
LAYERS = (
    "errors",
    "sentences",
    "names",
    "settings",
    "storage",
    "images",
    "catalog",
    "workspace",
    "tasks",
    "inference",
    "samples",
    "datasets",
    "synth",
    "training",
    "models",
    "evaluation",
    "uploads",
    "review",
    "watching",
    "serving",
    "pipeline",
    "deploy",
    "web",
    "backup",
    "gc",
    "doctor",
    "cli",
)


def _area(module: str) -> str:
    return module.split(".")[1] if module.startswith("nhan.") else ""


def _imports_at_import_time(path: Path) -> set[str]:
    """Modules imported when the file is: not under TYPE_CHECKING, not inside functions."""
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        ):
            continue
        else:
            waiting.extend(ast.iter_child_nodes(node))
    return found


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_imports_run_downward(path: Path) -> None:
    area = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if area in ("__init__", "__main__"):
        return
    assert area in LAYERS, f"{area} has no place in docs/architecture.md"
    above = set(LAYERS[LAYERS.index(area) + 1 :])
    upward = {name for name in _imports_at_import_time(path) if _area(name) in above}
    assert not upward


def test_the_page_lists_every_layer() -> None:
    page = (PACKAGE.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    house = page.split("## The house")[1].split("```")[1]
    listed = [line.split()[0] for line in house.splitlines() if line and not line.startswith(" ")]
    assert listed == list(LAYERS)


@pytest.mark.parametrize(
    "module",
    ["nhan.serving.app", "nhan.serving.service", "nhan.models.predictor", "nhan.tasks.text"],
)
def test_what_serves_imports_no_torch(module: str) -> None:
    program = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_no_two_test_files_share_a_name() -> None:
    """pytest imports them by name alone."""
    names = [
        path.name for path in Path(__file__).parent.rglob("*.py") if path.name != "conftest.py"
    ]
    assert sorted(names) == sorted(set(names))


def test_engine_tests_are_collected_without_the_packages_of_the_engines() -> None:
    """What only `make test-engines` installs is imported in functions, or after `importorskip`."""
    tests = Path(__file__).parent
    roots = {
        path: {name.partition(".")[0] for name in _imports_at_import_time(path)}
        for path in tests.rglob("*.py")
    }
    engines = {path for path in roots if tests / "engines" in path.parents}
    known = {path.stem for path in roots} | sys.stdlib_module_names
    known |= {name for path in roots.keys() - engines for name in roots[path]}
    for path in engines:
        collected = path.name.startswith(("test_", "conftest"))
        if collected and "importorskip" not in path.read_text(encoding="utf-8"):
            assert roots[path] <= known, path
