"""Scrape configuration, alert rules and every panel's query, on a real Prometheus."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from servers import end, free_port, serving_at, wait_for_port

from nhan.deploy import grafana
from nhan.deploy.panels import DASHBOARDS
from nhan.deploy.prometheus import rules, scrape_config
from nhan.workspace import Workspace

pytestmark = pytest.mark.engine

_WAIT_S = 300
# What a round leaves behind for the server to show, in the form that it writes.
WATCHED = {
    "drift": {"features": {"width": {"psi": 0.08, "luck": 0.05, "drifted": False}}},
    "quality": {
        "versions": [{"version": "3", "samples": 40, "value": 0.03, "low": 0.01, "high": 0.06}]
    },
    "budget": {"gain": {"value": 0.004}},
}


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is not installed; run tests/engines/install")
    return found


@pytest.fixture(scope="module")
def prometheus(
    tmp_path_factory: pytest.TempPathFactory, draw_line: Callable[..., bytes]
) -> Iterator[str]:
    """Prometheus on a server that has answered pictures; yields Prometheus's address."""
    folder = tmp_path_factory.mktemp("prometheus")
    with Workspace.init(folder / "shop") as workspace:
        for name, document in WATCHED.items():
            workspace.store.put(f"watching/vi-line/{name}.json", json.dumps(document).encode())
    with serving_at(folder, workspace=folder / "shop", wait="/readyz") as server:
        target = server.admin.removeprefix("http://")
        config = scrape_config([target])
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["scrape_configs"][0]["scrape_interval"] = "1s"
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        (folder / "rules.yml").write_text(yaml.safe_dump(rules()), encoding="utf-8")
        port = free_port()
        process = subprocess.Popen(
            [program("prometheus"), f"--config.file={folder / 'prometheus.yml'}",
             f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for_port(port, process)
            until(lambda: is_up(address))  # what was answered before its first look makes no rate
            picture = draw_line("phòng 101, tầng 1")
            for _ in range(8):  # rates need answers between scrapes
                urllib.request.urlopen(f"{server.main}/predict", picture, timeout=120).close()
                time.sleep(0.7)
            yield address
        finally:
            end(process)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not holds():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.5)


def is_up(address: str) -> bool:
    """Whether Prometheus saw our server when it looked last: within a second, or not."""
    try:
        found = ask(address, 'up{job="nhan"}')
    except OSError as error:  # it still starts
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        return False
    return [one["value"][1] for one in found] == ["1"]


def ask(address: str, query: str) -> list[dict[str, Any]]:
    url = f"{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with urllib.request.urlopen(url, timeout=60) as response:
        answer = json.load(response)
    assert answer["status"] == "success", query
    result: list[dict[str, Any]] = answer["data"]["result"]
    return result


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.uid)
def test_every_panel_shows_data(prometheus: str, board: Any) -> None:
    waiting = list(grafana.queries(board))
    deadline = time.monotonic() + _WAIT_S
    while waiting and time.monotonic() < deadline:
        waiting = [query for query in waiting if not ask(prometheus, query)]
        time.sleep(0.5)
    assert not waiting


def test_the_server_is_scraped_and_no_alert_fires_on_it(prometheus: str) -> None:
    until(lambda: is_up(prometheus))
    with urllib.request.urlopen(f"{prometheus}/api/v1/rules", timeout=60) as response:
        groups = json.load(response)["data"]["groups"]
    loaded = [rule for group in groups for rule in group["rules"]]
    assert len(loaded) == sum(len(group["rules"]) for group in rules()["groups"])
    assert all(rule["health"] != "err" for rule in loaded), loaded
    assert ask(prometheus, 'ALERTS{alertstate="firing"}') == []


def test_promtool_accepts_what_is_written(tmp_path: Path) -> None:
    for name, text in grafana.files("127.0.0.1:8001").items():
        if name.startswith("prometheus/"):
            (tmp_path / Path(name).name).write_text(text, encoding="utf-8")
    subprocess.run(
        [program("promtool"), "check", "config", tmp_path / "prometheus.yml"],
        check=True, capture_output=True,
    )  # fmt: skip


def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules()), encoding="utf-8")
    up = 'up{job="nhan", instance="a"}'
    ready = 'nhan_ready{instance="a"}'
    failed = 'nhan_requests_total{status="503"}'
    good = 'nhan_requests_total{status="200"}'
    cases = [
        ("NhanNotReady", [(ready, "1 1 0x5")], "4m", True),
        ("NhanNotReady", [(ready, "1 0 1x5")], "4m", False),
        ("NhanDown", [(up, "1 0x5")], "4m", True),
        ("NhanFails", [(failed, "0+10x30"), (good, "0+90x30")], "20m", True),
        ("NhanFails", [(failed, "0+0x30"), (good, "0+90x30")], "20m", False),
        ("NhanModelRefused", [('nhan_model_refused{model="a"}', "0 1x5")], "4m", True),
    ]
    tests = []
    for name, series, at, fires in cases:
        expected = []
        if fires:
            group = [rule for one in rules()["groups"] for rule in one["rules"]]
            rule = next(rule for rule in group if rule.get("alert") == name)
            expected = [_expected(rule, name)]
        tests.append(
            {
                "interval": "1m",
                "input_series": [{"series": key, "values": values} for key, values in series],
                "alert_rule_test": [
                    {"eval_time": at, "alertname": name, "exp_alerts": expected}
                ],
            }
        )  # fmt: skip
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": tests}), "utf-8")
    done = subprocess.run(
        [program("promtool"), "test", "rules", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _expected(rule: dict[str, Any], name: str) -> dict[str, Any]:
    """What an alert looks like for the series of the test above."""
    labels = {
        "NhanNotReady": {"instance": "a"},
        "NhanDown": {"instance": "a", "job": "nhan"},
        "NhanFails": {},
        "NhanModelRefused": {"model": "a"},
    }[name]
    texts = {
        key: text.replace("{{ $labels.instance }}", "a")
        .replace("{{ $labels.model }}", "a")
        .replace("{{ $value | humanizePercentage }}", "10%")
        for key, text in rule["annotations"].items()
    }
    return {"exp_labels": {**labels, **rule["labels"]}, "exp_annotations": texts}
