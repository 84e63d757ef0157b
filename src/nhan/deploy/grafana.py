"""Grafana dashboards as code, with the files that provision them, and Prometheus's rules.

Titles are in English and Vietnamese. Every query is one that a running server answers; a test asks
each of a real Prometheus on live traffic.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nhan.deploy.forms import empty_folder
from nhan.deploy.manifests import to_yaml, write_files
from nhan.deploy.panels import DASHBOARDS, Dashboard, Panel
from nhan.deploy.prometheus import rules, scrape_config
from nhan.models.package import Package
from nhan.workspace import Workspace

_SCHEMA_VERSION = 39
_COLUMNS = 24
_HEIGHT = 8
_DATA_SOURCE = {"type": "prometheus", "uid": "${source}"}


@dataclass
class _Cursor:
    """Where the next panel goes on Grafana's grid of 24 columns."""

    x: int = 0
    y: int = 0

    def place(self, width: int) -> dict[str, int]:
        if self.x + width > _COLUMNS:
            self.x, self.y = 0, self.y + _HEIGHT
        spot = {"x": self.x, "y": self.y, "w": width, "h": _HEIGHT}
        self.x += width
        return spot


def write(workspace: Workspace, package: Package, out: Path) -> list[Path]:
    """Write dashboards, provisioning, scraping and rules into a folder."""
    del package  # the dashboards let you choose the model
    serve = workspace.settings.serve
    host = "127.0.0.1" if serve.admin_host in ("0.0.0.0", "::") else serve.admin_host  # noqa: S104
    target = f"[{host}]" if ":" in host else host
    return write_files(empty_folder(out), files(f"{target}:{serve.admin_port}"))


def files(target: str, *, prometheus: str = "http://localhost:9090", key_file: str = "") -> dict[
    str, str
]:  # fmt: skip
    """All files by name.

    Args:
        target: `HOST:PORT` of a server's admin address.
        prometheus: its address, as Grafana reaches it.
        key_file: file with a key, as Prometheus sees it; empty where keys are off.
    """
    made = {
        f"grafana/dashboards/{board.uid}.json": json.dumps(
            dashboard(board), indent=2, ensure_ascii=False
        )
        + "\n"
        for board in DASHBOARDS
    }
    return {
        **made,
        "grafana/provisioning/dashboards/nhan.yaml": to_yaml(_provider()),
        "grafana/provisioning/datasources/prometheus.yaml": to_yaml(_source(prometheus)),
        "prometheus/prometheus.yml": to_yaml(scrape_config([target], key_file=key_file)),
        "prometheus/rules.yml": to_yaml(rules()),
    }


def dashboard(board: Dashboard) -> dict[str, Any]:
    """A dashboard as Grafana's JSON model."""
    cursor = _Cursor()
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.about,
        "tags": ["nhan"],
        "schemaVersion": _SCHEMA_VERSION,
        "editable": True,
        "refresh": "30s",
        "time": {"from": f"now-{board.span}", "to": "now"},
        "templating": {"list": _variables()},
        "panels": [
            _panel(number, panel, cursor.place(panel.width))
            for number, panel in enumerate(board.panels, start=1)
        ],
    }


def queries(board: Dashboard) -> Sequence[str]:
    """Every query of a dashboard, its variables set to match everything."""
    return [
        query.replace("$model", ".*").replace("$instance", ".*").replace("$__rate_interval", "1m")
        for panel in board.panels
        for query, _ in panel.queries
    ]


def _variables() -> list[dict[str, Any]]:
    source = {"name": "source", "type": "datasource", "query": "prometheus", "label": "Source"}
    return [source, *(_choice(name, query) for name, query in (
        ("model", "label_values(nhan_champion_info, model)"),
        ("instance", "label_values(nhan_ready, instance)"),
    ))]  # fmt: skip


def _choice(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": _DATA_SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit}
    if panel.kind == "timeseries":
        defaults["custom"] = {"fillOpacity": 10, "showPoints": "never", "spanNulls": True}
    if panel.most is not None:
        defaults |= {"min": 0, "max": panel.most}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _DATA_SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(panel),
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _DATA_SOURCE,
                "expr": query,
                "legendFormat": legend,
                "format": "heatmap" if panel.kind == "heatmap" else "time_series",
            }
            for index, (query, legend) in enumerate(panel.queries)
        ],
    }


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "textMode": "auto",
            "colorMode": "value",
            "graphMode": "area",
        }
    if panel.kind == "heatmap":
        return {"calculate": False, "yAxis": {"unit": panel.unit}}
    return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}


def _provider() -> dict[str, Any]:
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": "nhan",
                "folder": "Nhãn",
                "type": "file",
                "options": {"path": "/var/lib/grafana/dashboards"},
            }
        ],
    }


def _source(prometheus: str) -> dict[str, Any]:
    source = {
        "name": "Prometheus",
        "uid": "prometheus",
        "type": "prometheus",
        "access": "proxy",
        "url": prometheus,
        "isDefault": True,
    }
    return {"apiVersion": 1, "datasources": [source]}
