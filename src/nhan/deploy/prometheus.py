"""Alert rules and scraping for Prometheus; every rule says what it means and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Requests that were refused or failed are told apart by status; a 4xx is the client's own.
_ANSWERS = 'nhan_requests_total{status!="0"}'


def rules() -> dict[str, Any]:
    """Alert and recording rules, as a rule file and a PrometheusRule's `spec` hold them."""
    return {"groups": [_recorded(), _service(), _quality(), _loop()]}


def scrape_config(targets: list[str], *, key_file: str = "") -> dict[str, Any]:
    """A configuration that scrapes servers' admin addresses.

    Args:
        targets: `HOST:PORT` of admin addresses.
        key_file: file with a key of scope `admin`, where keys are on.
    """
    job: dict[str, Any] = {
        "job_name": "nhan",
        "scrape_interval": "15s",
        "metrics_path": "/metrics",
        "static_configs": [{"targets": targets}],
    }
    if key_file:
        job["authorization"] = {"type": "Bearer", "credentials_file": key_file}
    return {
        "global": {"scrape_interval": "15s", "evaluation_interval": "15s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [job],
    }


def _recorded() -> dict[str, Any]:
    return {
        "name": "nhan-recorded",
        "rules": [
            {
                "record": "nhan:failed_share:5m",
                "expr": 'sum(rate(nhan_requests_total{status=~"5.."}[5m])) '
                f"/ sum(rate({_ANSWERS}[5m]))",
            },
            {
                "record": "nhan:answer_seconds:p99_5m",
                "expr": "histogram_quantile(0.99, "
                "sum by (le) (rate(nhan_answer_seconds_bucket[5m])))",
            },
        ],
    }


def _service() -> dict[str, Any]:
    return {
        "name": "nhan-service",
        "rules": [
            _alert(
                "NhanNotReady",
                "max by (instance) (nhan_ready) < 1",
                "1m",
                "critical",
                "{{ $labels.instance }} has no model that can answer.",
                "Look at the log of the server and at `nhan models`.",
            ),
            _alert(
                "NhanDown",
                'up{job="nhan"} == 0',
                "1m",
                "critical",
                "{{ $labels.instance }} cannot be scraped.",
                "Is it running, and does Prometheus have a key of scope admin?",
            ),
            _alert(
                "NhanFails",
                "nhan:failed_share:5m > 0.01",
                "5m",
                "critical",
                "{{ $value | humanizePercentage }} of requests fail.",
                "Look at the log for the request ids; roll back if it began with a promotion.",
            ),
            _alert(
                "NhanRefuses",
                'rate(nhan_refusals_total{reason="queue_full"}[5m]) > 0.1',
                "5m",
                "warning",
                "{{ $labels.instance }} refuses pictures because its queue is full.",
                "Add replicas or processors; see nhan_expected_wait_seconds.",
            ),
            _alert(
                "NhanSlow",
                "nhan:answer_seconds:p99_5m > 2",
                "10m",
                "warning",
                "One answer in a hundred takes longer than {{ $value | humanizeDuration }}.",
                "Look at the stages: decode, queue, infer, encode.",
            ),
            _alert(
                "NhanWorkersDie",
                "increase(nhan_workers_lost_total[10m]) > 3",
                "0m",
                "warning",
                "{{ $labels.instance }} lost {{ $value }} workers in ten minutes.",
                "The log names the pictures' hashes; keep them and report them.",
            ),
            _alert(
                "NhanModelRefused",
                "max by (model) (nhan_model_refused) > 0",
                "1m",
                "critical",
                "The promoted version of {{ $labels.model }} cannot answer; the old one goes on.",
                "Look at the log; promote another version or roll back.",
            ),
        ],
    }


def _quality() -> dict[str, Any]:
    low = (
        'sum by (model) (rate(nhan_confidence_bucket{le="0.5"}[1h])) '
        "/ sum by (model) (rate(nhan_confidence_count[1h]))"
    )
    usual = low.replace("[1h]", "[1d]")
    return {
        "name": "nhan-quality",
        "rules": [
            _alert(
                "NhanUnsure",
                f"({low}) > 2 * ({usual}) and ({low}) > 0.1",
                "30m",
                "warning",
                "{{ $labels.model }} is unsure of {{ $value | humanizePercentage }} of its answers,"
                " twice as many as usual.",
                "Look at the drift page: pictures may have changed; label the ones it asks for.",
            ),
            _alert(
                "NhanDrift",
                "sum by (model) (nhan_drifted) >= 2",
                "1h",
                "warning",
                "Pictures sent to {{ $labels.model }} differ in {{ $value }} ways from those it "
                "learned from.",
                "Look at the example pictures in the console; review some, then run a round.",
            ),
        ],
    }


def _loop() -> dict[str, Any]:
    return {
        "name": "nhan-loop",
        "rules": [
            _alert(
                "NhanUploadsWait",
                "max by (instance) (nhan_uploads_oldest_seconds) > 900",
                "5m",
                "warning",
                "An upload waits on the disk of {{ $labels.instance }} for "
                "{{ $value | humanizeDuration }}.",
                "Can it reach the object store? Nothing is lost until the spool is full.",
            ),
            _alert(
                "NhanUploadsDropped",
                "sum by (instance, reason) (increase(nhan_uploads_dropped_total[10m])) > 0",
                "0m",
                "critical",
                "{{ $labels.instance }} keeps no uploads: {{ $labels.reason }}.",
                "Make room, or bring the object store back; see uploads.spool_megabytes.",
            ),
        ],
    }


def _alert(
    name: str, expr: str, for_: str, severity: str, summary: str, action: str
) -> Mapping[str, Any]:
    return {
        "alert": name,
        "expr": expr,
        "for": for_,
        "labels": {"severity": severity},
        "annotations": {"summary": summary, "action": action},
    }
