"""What Prometheus is told, on the admin address: made of what was counted when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from nhan.serving.metrics import Histogram, Metrics

if TYPE_CHECKING:
    from prometheus_client import Metric

    from nhan.serving.context import Context
    from nhan.serving.trials import Trials
    from nhan.uploads.collect import CollectionReport


def exposition(context: Context) -> bytes:
    """The text that Prometheus scrapes."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.gc_collector import GCCollector
    from prometheus_client.process_collector import ProcessCollector

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(_Collector(context))
    return generate_latest(registry)


class _Collector:
    def __init__(self, context: Context) -> None:
        self._context = context

    def collect(self) -> Iterator[Metric]:
        yield from _counters(self._context.metrics)
        yield _shadows(self._context.service.trials)
        yield from _histograms(self._context.metrics)
        yield from _state(self._context)
        if self._context.watched is not None:
            yield from _watched(self._context.watched.documents)
        if self._context.collector is not None:
            yield from _collection(self._context.collector.report())


def _counters(metrics: Metrics) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily

    requests = CounterMetricFamily(
        "nhan_requests",
        "Requests by route, status and model version.",
        labels=["route", "status", "model"],
    )
    for (route, status, model), count in metrics.requests.items():
        requests.add_metric([route, str(status), model], count)
    yield requests
    for name, text, label, counts in (
        ("nhan_refusals", "Pictures not answered, by reason.", "reason", metrics.refusals),
        ("nhan_swaps", "Champions that went live.", "model", metrics.swaps),
        ("nhan_corrections", "Corrections, by what was said.", "outcome", metrics.corrections),
        (
            "nhan_models_refused",
            "Promoted versions that could not answer.",
            "model",
            metrics.models_refused,
        ),
    ):
        family = CounterMetricFamily(name, text, labels=[label])
        for key, count in counts.items():
            family.add_metric([key], count)
        yield family
    yield CounterMetricFamily(
        "nhan_workers_lost", "Workers that died and were replaced.", value=metrics.workers_lost
    )


def _shadows(trials: Trials) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    shadow = CounterMetricFamily(
        "nhan_shadow_answers",
        "Silent answers of candidates, by whether they agree with the champion.",
        labels=["model", "agrees"],
    )
    for (model, agrees), count in trials.agreed.items():
        shadow.add_metric([model, str(agrees).lower()], count)
    return shadow


def _histograms(metrics: Metrics) -> Iterator[Metric]:
    yield _family(
        "nhan_stage_seconds",
        "Time of each stage of an answer.",
        "stage",
        metrics.stages.items(),
    )
    yield _family(
        "nhan_answer_seconds",
        "From a picture's arrival to its answer.",
        "",
        [("", metrics.duration)],
    )
    for name, text in (
        ("confidence", "Calibrated confidence of answers."),
        ("width", "Width of pictures, pixels."),
        ("height", "Height of pictures, pixels."),
        ("brightness", "Mean brightness of pictures, 0 to 1."),
        ("length", "Characters of answers."),
    ):
        unit = {"width": "picture_width_pixels", "height": "picture_height_pixels",
                "brightness": "picture_brightness", "length": "answer_characters"}  # fmt: skip
        yield _family(
            f"nhan_{unit.get(name, name)}",
            text,
            "model",
            [(key, getattr(tally, name)) for key, tally in metrics.models.items()],
        )


def _family(name: str, text: str, label: str, members: Iterable[tuple[str, Histogram]]) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(name, text, labels=[label] if label else [])
    for key, histogram in members:
        family.add_metric([key] if label else [], histogram.buckets(), histogram.total)
    return family


def _state(context: Context) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    dispatcher = context.service.dispatcher
    for name, text, value in (
        ("nhan_queue_pictures", "Pictures that wait for a worker.", dispatcher.waiting),
        ("nhan_workers", "Workers that take part.", len(dispatcher.lanes)),
        ("nhan_workers_busy", "Workers at work.", dispatcher.running),
        ("nhan_ready", "Whether a picture sent now would be answered.", context.service.ready),
        ("nhan_expected_wait_seconds", "Wait of a picture sent now.", dispatcher.expected_wait_s),
    ):
        yield GaugeMetricFamily(name, text, value=float(value))
    champions = GaugeMetricFamily(
        "nhan_champion_info", "Which version answers.", labels=["model", "version", "task", "file"]
    )
    since = GaugeMetricFamily(
        "nhan_champion_since_seconds", "When it went live, Unix time.", labels=["model"]
    )
    last = GaugeMetricFamily(
        "nhan_last_answer_seconds", "When a model last answered, Unix time.", labels=["model"]
    )
    for one in context.service.roster.champions:
        champions.add_metric([one.name, one.version, one.task, one.file], 1)
        since.add_metric([one.name], one.since)
        last.add_metric([one.name], one.last_answer)
    yield from (champions, since, last)
    alarms = GaugeMetricFamily(
        "nhan_model_refused", "1 while a promoted version cannot answer.", labels=["model"]
    )
    for name in context.live.refusals if context.live else ():
        alarms.add_metric([name], 1)
    yield alarms


def _watched(documents: dict[str, dict[str, dict[str, Any]]]) -> Iterator[Metric]:
    """What was measured of live answers, by whoever watches."""
    from prometheus_client.core import GaugeMetricFamily

    psi, luck, drifted = (
        GaugeMetricFamily(name, text, labels=["model", "feature"])
        for name, text in (
            ("nhan_drift_psi", "Stability index of recent uploads against the reference."),
            ("nhan_drift_luck_psi", "What the index reaches by luck in 1 of 100."),
            ("nhan_drifted", "1 where recent uploads differ from the reference."),
        )
    )
    rate, reviewed = (
        GaugeMetricFamily(name, text, labels=["model", "version", *more])
        for name, text, more in (
            ("nhan_live_error_rate", "Estimated from random uploads; 95 % bounds.", ["bound"]),
            ("nhan_live_reviewed_samples", "Random uploads behind the estimate.", []),
        )
    )
    gain = GaugeMetricFamily(
        "nhan_label_gain", "Expected fall of the error rate by 100 labels.", labels=["model"]
    )
    for model, found in documents.items():
        for feature, one in found["drift"].get("features", {}).items():
            psi.add_metric([model, feature], one["psi"])
            luck.add_metric([model, feature], one["luck"])
            drifted.add_metric([model, feature], float(one["drifted"]))
        for one in found["quality"].get("versions", ()):
            reviewed.add_metric([model, one["version"]], one["samples"])
            for bound in ("value", "low", "high") if one["samples"] else ():
                rate.add_metric([model, one["version"], bound], one[bound])
        if expected := found["budget"].get("gain"):
            gain.add_metric([model], expected["value"])
    yield from (psi, luck, drifted, rate, reviewed, gain)


def _collection(report: CollectionReport) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    for name, text, number in (
        ("nhan_uploads_queued", "Uploads in memory, not yet on disk.", report.queued),
        ("nhan_uploads_waiting", "Uploads on disk, not yet in the store.", report.waiting),
        ("nhan_uploads_spool_bytes", "Size of the spool on disk.", report.spool_bytes),
        ("nhan_uploads_oldest_seconds", "Age of the upload that waits longest.", report.oldest_s),
        ("nhan_uploads_store_away", "1 while the object store is out of reach.", report.away),
    ):
        yield GaugeMetricFamily(name, text, value=float(number))
    for name, text, number in (
        ("nhan_uploads_kept", "Uploads that were kept.", report.kept),
        ("nhan_uploads_shipped", "Uploads sent to the object store.", report.shipped),
        ("nhan_uploads_shipped_bytes", "Their pictures' bytes.", report.shipped_bytes),
        ("nhan_uploads_store_failures", "Refusals of the object store.", report.failures),
    ):
        yield CounterMetricFamily(name, text, value=number)
    for name, text, label, counts in (
        ("nhan_uploads_dropped", "Uploads that were not kept.", "reason", report.dropped),
        ("nhan_uploads_sampled", "Uploads queued for review.", "policy", report.sampled),
    ):
        family = CounterMetricFamily(name, text, labels=[label])
        for key, count in counts.items():
            family.add_metric([key], count)
        yield family
