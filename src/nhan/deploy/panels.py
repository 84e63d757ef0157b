"""What the dashboards show: a table of panels, their queries and titles in both languages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Query = tuple[str, str]


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        title: English · Vietnamese.
        about: what it means and when to worry.
        unit: as Grafana names it.
        queries: PromQL and legend; `$model` and `$instance` are what the viewer chose.
        kind: how it is drawn.
        width: of Grafana's 24 columns.
        most: the upper end of the axis, where there is one.
    """

    title: str
    about: str
    unit: str
    queries: tuple[Query, ...]
    kind: Literal["timeseries", "stat", "heatmap"] = "timeseries"
    width: int = 8
    most: float | None = None


@dataclass(frozen=True)
class Dashboard:
    """A page of panels."""

    uid: str
    title: str
    about: str
    span: str
    panels: tuple[Panel, ...]


_RATE = "$__rate_interval"


def _quantile(share: float, metric: str, by: str = "le") -> str:
    where = '{instance=~"$instance"}' if metric == "nhan_answer_seconds" else ""
    return f"histogram_quantile({share}, sum by ({by}) (rate({metric}_bucket{where}[{_RATE}])))"


def _mean(metric: str) -> str:
    chosen = f'{{model=~"$model.*"}}[{_RATE}]'
    return (
        f"sum by (model) (rate({metric}_sum{chosen})) "
        f"/ sum by (model) (rate({metric}_count{chosen}))"
    )


SERVICE = Dashboard(
    "nhan-service",
    "Nhãn · Service · Phục vụ",
    "Does it answer, how fast, and what does it refuse.",
    "6h",
    (
        Panel(
            "Ready · Sẵn sàng",
            "1 while a picture sent now would be answered.",
            "short",
            (('min(nhan_ready{instance=~"$instance"})', ""),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Requests · Yêu cầu",
            "Requests a second, all replicas.",
            "reqps",
            ((f'sum(rate(nhan_requests_total{{instance=~"$instance"}}[{_RATE}]))', ""),),
            kind="stat",
            width=4,
        ),
        Panel(
            "99 in 100 within · 99% trong vòng",
            "Time from a picture's arrival to its answer.",
            "s",
            ((_quantile(0.99, "nhan_answer_seconds"), ""),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Processors · Bộ xử lý",
            "Processor seconds a second of the front processes.",
            "short",
            ((f'sum(rate(process_cpu_seconds_total{{instance=~"$instance",job="nhan"}}[{_RATE}]))',
              ""),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Memory · Bộ nhớ",
            "Resident memory of the front processes; a steady climb is a leak.",
            "bytes",
            (('max(process_resident_memory_bytes{instance=~"$instance",job="nhan"})', ""),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Workers · Tiến trình",
            "Inference workers that take part.",
            "short",
            (('sum(nhan_workers{instance=~"$instance"})', ""),),
            kind="stat",
            width=4,
        ),
        Panel(
            "By status · Theo trạng thái",
            "5xx are ours, 4xx the client's, 429 is a full queue.",
            "reqps",
            ((f'sum by (status) (rate(nhan_requests_total{{instance=~"$instance"}}[{_RATE}]))',
              "{{status}}"),),
        ),
        Panel(
            "By route · Theo đường dẫn",
            "Which protocol clients speak.",
            "reqps",
            ((f'sum by (route) (rate(nhan_requests_total{{instance=~"$instance"}}[{_RATE}]))',
              "{{route}}"),),
        ),
        Panel(
            "Time to answer · Thời gian trả lời",
            "Half, nine in ten, ninety-nine in a hundred.",
            "s",
            tuple((_quantile(share, "nhan_answer_seconds"), f"p{share * 100:g}")
                  for share in (0.5, 0.9, 0.99)),
        ),
        Panel(
            "Stages · Các bước",
            "Where the time goes: decode, queue, infer, encode (mean).",
            "s",
            ((f"sum by (stage) (rate(nhan_stage_seconds_sum[{_RATE}])) "
              f"/ sum by (stage) (rate(nhan_stage_seconds_count[{_RATE}]))", "{{stage}}"),),
        ),
        Panel(
            "Queue · Hàng đợi",
            "Pictures that wait, and how long one sent now would.",
            "short",
            (('sum(nhan_queue_pictures{instance=~"$instance"})', "pictures"),
             ('max(nhan_expected_wait_seconds{instance=~"$instance"})', "wait, s")),
        ),
        Panel(
            "Refused · Từ chối",
            "Pictures not answered, by reason.",
            "reqps",
            ((f"sum by (reason) (rate(nhan_refusals_total[{_RATE}])) or vector(0)", "{{reason}}"),),
        ),
        Panel(
            "Lost workers · Tiến trình chết",
            "Workers that died and were replaced.",
            "short",
            (("sum(increase(nhan_workers_lost_total[1h]))", "last hour"),),
        ),
    ),
)  # fmt: skip

QUALITY = Dashboard(
    "nhan-quality",
    "Nhãn · Model quality · Chất lượng mô hình",
    "Which version answers, how sure it is, and whether candidates agree with it.",
    "24h",
    (
        Panel(
            "Champion · Phiên bản đang trả lời",
            "Which version of each model answers.",
            "short",
            (('max by (model, version, file) (nhan_champion_info{model=~"$model"})',
              "{{model}}@{{version}} {{file}}"),),
            kind="stat",
        ),
        Panel(
            "Swaps · Lần thay mô hình",
            "Champions that went live.",
            "short",
            (("sum by (model) (nhan_swaps_total) or vector(0)", "{{model}}"),),
            kind="stat",
        ),
        Panel(
            "Refused versions · Phiên bản bị từ chối",
            "Promoted versions that cannot answer; anything but 0 needs a person.",
            "short",
            (("sum(nhan_model_refused) or vector(0)", ""),),
            kind="stat",
        ),
        Panel(
            "Confidence · Độ tin cậy",
            "Distribution of calibrated confidence.",
            "percentunit",
            ((f"sum by (le) (increase(nhan_confidence_bucket[{_RATE}]))", "{{le}}"),),
            kind="heatmap",
            width=12,
        ),
        Panel(
            "Mean confidence · Độ tin cậy trung bình",
            "A fall means other pictures or a worse model.",
            "percentunit",
            ((_mean("nhan_confidence"), "{{model}}"),),
            width=12,
            most=1,
        ),
        Panel(
            "Answer length · Độ dài câu trả lời",
            "Characters of an answer, mean.",
            "short",
            ((_mean("nhan_answer_characters"), "{{model}}"),),
        ),
        Panel(
            "Candidates agree · Ứng viên đồng ý",
            "Silent answers of candidates, by whether they agree with the champion.",
            "short",
            (("sum by (model, agrees) (nhan_shadow_answers_total) or vector(0)",
              "{{model}} {{agrees}}"),),
        ),
    ),
)  # fmt: skip

LOOP = Dashboard(
    "nhan-loop",
    "Nhãn · Loop · Vòng lặp",
    "What comes back from use: uploads, corrections, what is chosen for review.",
    "24h",
    (
        Panel(
            "Kept · Ảnh giữ lại",
            "Uploads that were kept, a second.",
            "reqps",
            ((f"sum(rate(nhan_uploads_kept_total[{_RATE}]))", "kept"),
             (f"sum(rate(nhan_uploads_shipped_total[{_RATE}]))", "in the store")),
        ),
        Panel(
            "Waiting on disk · Chờ trên đĩa",
            "Uploads not yet in the object store; a climb means it is away.",
            "short",
            (("sum(nhan_uploads_waiting)", "waiting"), ("sum(nhan_uploads_queued)", "in memory")),
        ),
        Panel(
            "Waits longest · Chờ lâu nhất",
            "Age of the oldest upload that is not in the object store.",
            "s",
            (("max(nhan_uploads_oldest_seconds)", ""),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Spool · Bộ đệm",
            "Its size on disk; full, uploads are dropped or refused (uploads.when_full).",
            "bytes",
            (("sum(nhan_uploads_spool_bytes)", ""),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Not kept · Không giữ",
            "Uploads that were not kept, by reason.",
            "short",
            (("sum by (reason) (increase(nhan_uploads_dropped_total[1h])) or vector(0)",
              "{{reason}}"),),
        ),
        Panel(
            "Chosen for review · Chọn để duyệt",
            "By policy; some are always chosen by chance.",
            "short",
            (("sum by (policy) (increase(nhan_uploads_sampled_total[1h])) or vector(0)",
              "{{policy}}"),),
        ),
        Panel(
            "Corrections · Sửa lại",
            "What users said it should have been.",
            "short",
            (("sum by (outcome) (increase(nhan_corrections_total[1h])) or vector(0)",
              "{{outcome}}"),),
        ),
    ),
)  # fmt: skip

DRIFT = Dashboard(
    "nhan-drift",
    "Nhãn · Drift · Dữ liệu thay đổi",
    "Are the pictures still those that the model learned from.",
    "7d",
    (
        Panel(
            "Stability index · Chỉ số ổn định (PSI)",
            "Recent uploads against what the model learned from; above 0.25 something changed.",
            "short",
            (('max by (model, feature) (nhan_drift_psi{model=~"$model"})',
              "{{model}} {{feature}}"),),
            width=12,
        ),
        Panel(
            "Live error rate · Tỉ lệ lỗi thực tế",
            "Estimated from random uploads that people reviewed, with 95 % bounds.",
            "percentunit",
            (('max by (model, version, bound) (nhan_live_error_rate{model=~"$model"})',
              "{{model}}@{{version}} {{bound}}"),),
            width=12,
        ),
        Panel(
            "Drifted · Đã thay đổi",
            "Features in which recent uploads differ.",
            "short",
            (('sum by (model) (nhan_drifted{model=~"$model"})', "{{model}}"),),
            kind="stat",
            width=6,
        ),
        Panel(
            "100 labels bring · 100 nhãn mang lại",
            "Expected fall of the error rate by a hundred more labels.",
            "percentunit",
            (('max by (model) (nhan_label_gain{model=~"$model"})', "{{model}}"),),
            kind="stat",
            width=6,
        ),
        Panel(
            "Width · Chiều rộng",
            "Mean width of pictures.",
            "short",
            ((_mean("nhan_picture_width_pixels"), "{{model}}"),),
        ),
        Panel(
            "Height · Chiều cao",
            "Mean height of pictures.",
            "short",
            ((_mean("nhan_picture_height_pixels"), "{{model}}"),),
        ),
        Panel(
            "Brightness · Độ sáng",
            "Mean brightness, 0 black to 1 white.",
            "percentunit",
            ((_mean("nhan_picture_brightness"), "{{model}}"),),
            most=1,
        ),
    ),
)  # fmt: skip

DASHBOARDS = (SERVICE, QUALITY, LOOP, DRIFT)
