"""What the steps of a round say, in English and Vietnamese."""

from __future__ import annotations

from functools import partial

from nhan.evaluation.sentences import make
from nhan.sentences import Table

STEP_WORDS: Table = {
    # why rounds begin
    "reason.demand": ("on demand", "theo yêu cầu"),
    "reason.signal": ("on demand (SIGUSR1)", "theo yêu cầu (SIGUSR1)"),
    "reason.clock": ("the clock ({cron})", "theo lịch ({cron})"),
    "reason.missed": (
        "the clock ({cron}), missed since {since}",
        "theo lịch ({cron}), đã lỡ từ {since}",
    ),
    "reason.labels": ("{count} new labels", "có {count} nhãn mới"),
    "reason.drift": (
        "drift of {features:comma}, {count} new labels",
        "{features:comma} đã lệch, có {count} nhãn mới",
    ),
    # the steps
    "step.intake": ("intake", "nhận ảnh"),
    "step.pull": ("pull", "lấy nhãn"),
    "step.audit": ("audit", "khám nhãn"),
    "step.freeze": ("freeze", "đóng băng"),
    "step.train": ("train", "huấn luyện"),
    "step.evaluate": ("evaluate", "chấm điểm"),
    "step.gate": ("gate", "cổng xét duyệt"),
    "step.promote": ("promote", "đưa lên dùng"),
    "step.verify": ("verify", "kiểm tra máy chủ"),
    "step.watch": ("watch", "theo dõi"),
    "step.budget": ("budget", "ước lượng nhãn"),
    # all of them
    "begun": ("it has begun", "đã bắt đầu"),
    "refused_before": ("{step} refused", "bước {step} từ chối"),
    "unexpected": ("unexpected {kind}: {why}", "lỗi bất ngờ {kind}: {why}"),
    "no_candidate": ("there is no candidate", "không có phiên bản mới nào"),
    "already": ("{candidate} is the champion already", "{candidate} vốn đang được dùng"),
    "nothing_promoted": ("nothing was promoted", "không có phiên bản nào được đưa lên"),
    "several": ("{parts}", "{parts}"),
    # intake
    "intake.nothing": (
        "nothing has come in since the last time",
        "từ lần trước chưa có gì mới gửi đến",
    ),
    "intake.taken": (
        "{uploads} uploads and {corrections} corrections taken in",
        "đã nhận {uploads} ảnh và {corrections} bản sửa",
    ),
    "intake.set_aside": (
        "{refused} set aside, the first because {why}",
        "để riêng {refused} mục, mục đầu vì: {why}",
    ),
    # pull
    "pull.away": ("Label Studio cannot be asked: {why}", "không hỏi được Label Studio: {why}"),
    "pull.none": ("Label Studio is not set up", "chưa nối với Label Studio"),
    "pull.unchanged": (
        "nothing has changed in {project} since the last time",
        "từ lần trước {project} không có gì thay đổi",
    ),
    "pull.pulled": ("{labels} labels from {project}", "{labels} nhãn từ {project}"),
    # audit
    "audit.unchanged": (
        "no sample or label has changed since round {round}",
        "từ vòng {round} không có ảnh hay nhãn nào thay đổi",
    ),
    "audit.looked": (
        "{samples} samples looked over, nothing must be fixed",
        "đã kiểm tra {samples} ảnh, không có gì phải sửa",
    ),
    "audit.faults": (
        "{samples} samples looked over, {errors} that must be fixed",
        "đã kiểm tra {samples} ảnh, {errors} ảnh phải sửa",
    ),
    "audit.refused": (
        "{errors} things must be fixed before training (nhan audit): {found}",
        "phải sửa {errors} chỗ trước khi huấn luyện (nhan audit): {found}",
    ),
    "audit.kind": ("{count} × {kind}: {message}", "{count} × {kind}: {message}"),
    # freeze
    "freeze.unchanged": (
        "no sample or label has changed since round {round}: {dataset}",
        "từ vòng {round} không có ảnh hay nhãn nào thay đổi: {dataset}",
    ),
    "freeze.no_labels": (
        "no sample of the task {task} has a label to learn from",
        "không ảnh nào của tác vụ {task} có nhãn để học",
    ),
    "freeze.same": (
        "the same content is {dataset} already",
        "nội dung này đã có trong {dataset}",
    ),
    "freeze.frozen": ("{dataset}: {splits:comma}", "{dataset}: {splits:comma}"),
    "freeze.split": ("{split} {count}", "{split:split} {count}"),
    # train
    "train.champion_knows": (
        "{champion}, the champion, was trained on {dataset}: there is nothing new to learn",
        "{champion} đang dùng đã học từ {dataset}: không có gì mới để học",
    ),
    "train.known": (
        "{candidate} was trained on {dataset} from {start:start} in round {round}",
        "{candidate} đã học từ {dataset}, bắt đầu từ {start:start}, ở vòng {round}",
    ),
    "train.trained": (
        "{candidate} from {start:start} on {dataset}, run {run}",
        "{candidate}, bắt đầu từ {start:start}, học từ {dataset}, lần chạy {run}",
    ),
    # evaluate
    "evaluate.score": (
        "{model} {metric:metric} {value:.4f}",
        "{model}: {metric:metric} {value:.4f}",
    ),
    "evaluate.again": (
        "measured before, and nothing that decides it has changed: {scores:comma} on {dataset} "
        "({samples} samples)",
        "đã đo trước đây và không gì ảnh hưởng đến kết quả thay đổi: {scores:comma} trên {dataset} "
        "({samples} ảnh)",
    ),
    "evaluate.measured": (
        "{scores:against} on {dataset} ({samples} samples)",
        "{scores:against} trên {dataset} ({samples} ảnh)",
    ),
    # gate
    "gate.taken_back": (
        "{candidate} was the champion and was rolled back at {at}{why}; only a person brings it "
        "back "
        "(nhan promote {candidate})",
        "{candidate} từng được dùng và đã bị quay lui lúc {at}{why}; chỉ con người mới đưa nó trở "
        "lại "
        "(nhan promote {candidate})",
    ),
    # promote
    "promote.done_before": (
        "done before the interruption (log entry {number})",
        "đã xong trước khi bị ngắt (mục nhật ký {number})",
    ),
    "promote.promoted": (
        "{candidate} is the champion (log entry {number})",
        "{candidate} được đưa lên dùng (mục nhật ký {number})",
    ),
    "promote.promoted_after": (
        "{candidate} is the champion, after version {previous} (log entry {number})",
        "{candidate} được đưa lên dùng, thay phiên bản {previous} (mục nhật ký {number})",
    ),
    # verify
    "verify.no_address": (
        "serve.port = 0 tells no address; name the server in loop.server",
        "serve.port = 0 không cho biết địa chỉ; hãy ghi máy chủ vào loop.server",
    ),
    "verify.no_server": ("no server answers at {server}", "không máy chủ nào trả lời ở {server}"),
    "verify.serves_others": (
        "the server at {server} serves {others}, not {model}",
        "máy chủ ở {server} phục vụ {others}, không phải {model}",
    ),
    "verify.answers": (
        "{champion} answers at {server} after {waited:.1f} s",
        "{champion} trả lời ở {server} sau {waited:.1f} giây",
    ),
    "verify.says_so": (
        "{champion} answers at {server} after {waited:.1f} s, by its own word: a picture needs a "
        "key "
        "in NHAN_KEY",
        "{champion} trả lời ở {server} sau {waited:.1f} giây, theo lời máy chủ: muốn hỏi bằng ảnh "
        "cần "
        "khoá trong NHAN_KEY",
    ),
    # watch
    "watch.too_little": (
        "too little has been uploaded and reviewed to tell anything",
        "ảnh gửi đến và đã duyệt còn quá ít để kết luận",
    ),
    "watch.quality": (
        "version {version}: live {metric:metric} {value:.4f} ({low:.4f} to {high:.4f}, {samples} "
        "of "
        "{chosen} random uploads reviewed)",
        "phiên bản {version}: {metric:metric} thực tế {value:.4f} (từ {low:.4f} đến {high:.4f}, đã "
        "duyệt "
        "{samples} trong {chosen} ảnh chọn ngẫu nhiên)",
    ),
    "watch.drifted": ("drifted: {features:comma}", "đã lệch: {features:comma}"),
    "watch.steady": ("nothing has drifted", "không có gì lệch"),
    "feature.confidence": ("confidence of answers", "độ tin cậy"),
    "feature.width": ("width of pictures", "bề rộng ảnh"),
    "feature.height": ("height of pictures", "chiều cao ảnh"),
    "feature.brightness": ("brightness of pictures", "độ sáng"),
    "feature.sharpness": ("sharpness of pictures", "độ nét"),
    "feature.length": ("length of answers", "độ dài câu trả lời"),
    "feature.mix": ("what answers are made of", "thành phần câu trả lời"),
    # budget
    "budget.off": ("it is off (loop.budget_samples)", "đang tắt (loop.budget_samples)"),
    "budget.too_few": (
        "too few to draw a curve: {new} new labels, {test} in the test split",
        "quá ít để vẽ đường: {new} nhãn mới, {test} ảnh kiểm tra",
    ),
    "budget.before": ("drawn before for {dataset}", "đã vẽ trước đây cho {dataset}"),
    "budget.drawn": (
        "a hundred more labels: {gain:change} ({low:change} to {high:change}), by short trainings "
        "on "
        "{counts:comma} labels",
        "thêm một trăm nhãn: {gain:change} (từ {low:change} đến {high:change}), theo các lần huấn "
        "luyện "
        "ngắn với {counts:comma} nhãn",
    ),
}

say = partial(make, STEP_WORDS)
