"""Every refusal says what to do: a message alone leaves its reader where they were."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import nhan
from nhan import errors

PACKAGE = Path(nhan.__file__).parent

# What somebody else can mend, or try again. `MissingExtra` makes its hint itself.
MENDABLE = {
    name
    for name, one in vars(errors).items()
    if inspect.isclass(one)
    and issubclass(
        one, errors.UserError | errors.UpstreamFailed | errors.QueueFull | errors.DeadlinePassed
    )
    and one is not errors.MissingExtra
}
# Met by a caller of ours, who says more: an upload's damaged record, a picture that an intake
# examined before, a model that left a worker while it was asked.
INNER = {"uploads/record.py", "uploads/enter.py", "serving/engine/runner.py"}


def _imported(tree: ast.Module) -> set[str]:
    return {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "nhan.errors"
        for alias in node.names
    }


@pytest.mark.parametrize(
    "path",
    sorted(p for p in PACKAGE.rglob("*.py") if str(p.relative_to(PACKAGE)) not in INNER),
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_a_refusal_names_what_to_do(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = MENDABLE & _imported(tree)
    silent = [
        f"line {call.lineno}: {ast.unparse(call)}"
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in kinds
        and not any(word.arg in ("hint", None) for word in call.keywords)
    ]
    assert not silent
