"""What is said to a Kubeflow Pipelines server, told by one that only listens."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from nhan.deploy.kubeflow_client import _remove_recurring


class _Server:
    """Recurring runs, three a page."""

    def __init__(self, names: list[str]) -> None:
        self.runs = {str(number): name for number, name in enumerate(names)}

    def list_recurring_runs(
        self, *, experiment_id: str, page_size: int, page_token: str = ""
    ) -> Any:
        start = int(page_token or 0)
        page = list(self.runs.items())[start : start + 3]
        more = str(start + 3) if start + 3 < len(self.runs) else None
        runs = [SimpleNamespace(recurring_run_id=key, display_name=name) for key, name in page]
        return SimpleNamespace(recurring_runs=runs or None, next_page_token=more)

    def delete_recurring_run(self, key: str) -> None:
        del self.runs[key]


def test_an_earlier_clock_is_taken_away_wherever_it_stands() -> None:
    """Behind a page of others it went on, and two began the same round."""
    server = _Server(["ours", *(f"other {number}" for number in range(7)), "ours", "ours"])
    _remove_recurring(server, "x", "ours")
    assert set(server.runs.values()) == {f"other {number}" for number in range(7)}
    _remove_recurring(_Server([]), "x", "ours")
