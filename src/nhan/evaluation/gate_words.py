"""What the gate says, in English and Vietnamese."""

from __future__ import annotations

from nhan.sentences import Table

GATE_WORDS: Table = {
    "gate.empty": (
        "the {split} split of {dataset} is empty, so nothing is shown",
        "{split:split} của {dataset} không có ảnh nào nên không chứng minh được gì",
    ),
    "gate.where": (
        "{samples:samples} of {dataset} {split}",
        "{samples:samples} của {dataset}, {split:split}",
    ),
    "gate.evidence": (
        "(difference {difference:signed}, 95 % interval {low:signed} to {high:signed}, {where})",
        "(chênh lệch {difference:signed}, khoảng tin cậy 95 % từ {low:signed} đến {high:signed}, "
        "{where})",
    ),
    "gate.passed": (
        "passed: {metric:metric} {mine:.3f} is below the champion's {theirs:.3f} {evidence}; no "
        "slice of "
        "{least} samples or more got worse by over {tolerance:g}",
        "đạt: {metric:metric} {mine:.3f}, thấp hơn {theirs:.3f} của phiên bản đang dùng "
        "{evidence}; không "
        "nhóm nào từ {least} ảnh trở lên kém đi quá {tolerance:g}",
    ),
    "gate.first_passed": (
        "passed: the first champion; {metric:metric} {mine:.3f} ({where}) does not exceed {most:g}",
        "đạt: phiên bản đầu tiên được dùng; {metric:metric} {mine:.3f} ({where}) không vượt quá "
        "{most:g}",
    ),
    "gate.refused": ("refused: {reasons:also}", "không đạt: {reasons:also}"),
    "gate.reasons": ("{reasons:also}", "{reasons:also}"),
    "gate.first_too_bad": (
        "{metric:metric} {mine:.3f} ({where}) exceeds {most:g}, the most a first champion may have "
        "(gate.max_error)",
        "{metric:metric} {mine:.3f} ({where}) vượt quá {most:g}, mức cao nhất cho phiên bản đầu "
        "tiên "
        "(gate.max_error)",
    ),
    "gate.other_metric": (
        "the candidate's {metric} of task {task} cannot be compared with the champion's "
        "{their_metric} "
        "of task {their_task}",
        "không so được {metric} (tác vụ {task}) của phiên bản mới với {their_metric} (tác vụ "
        "{their_task}) của phiên bản đang dùng",
    ),
    "gate.other_test": (
        "the candidate was measured on {dataset} ({samples} samples) and the champion on "
        "{their_dataset} ({their_samples} samples), which are different test sets",
        "phiên bản mới được chấm trên {dataset} ({samples} ảnh), phiên bản đang dùng trên "
        "{their_dataset} ({their_samples} ảnh): đó là hai bộ kiểm tra khác nhau",
    ),
    "gate.tie": (
        "{metric:metric} {mine:.3f} is exactly the champion's; a tie keeps the champion {evidence}",
        "{metric:metric} {mine:.3f}, đúng bằng phiên bản đang dùng; hoà thì giữ phiên bản đang "
        "dùng "
        "{evidence}",
    ),
    "gate.not_below": (
        "{metric:metric} {mine:.3f} is not below the champion's {theirs:.3f} {evidence}",
        "{metric:metric} {mine:.3f}, không thấp hơn {theirs:.3f} của phiên bản đang dùng "
        "{evidence}",
    ),
    "gate.below_margin": (
        "{metric:metric} {mine:.3f} is below the champion's {theirs:.3f} by less than the margin "
        "of "
        "{margin:g} {evidence}",
        "{metric:metric} {mine:.3f}, thấp hơn {theirs:.3f} của phiên bản đang dùng nhưng chưa đủ "
        "mức "
        "{margin:g} {evidence}",
    ),
    "gate.luck": (
        "{metric:metric} {mine:.3f} is below the champion's {theirs:.3f}, but that may be luck: so "
        "it is "
        "in {better:.0%} of resamples, {certainty:.0%} are asked for {evidence}",
        "{metric:metric} {mine:.3f}, thấp hơn {theirs:.3f} của phiên bản đang dùng, nhưng có thể "
        "chỉ do "
        "may mắn: đúng như vậy trong {better:.0%} số lần lấy mẫu lại, yêu cầu là {certainty:.0%} "
        "{evidence}",
    ),
    "gate.slice_fell": (
        "{dimension} {slice} got worse, {before:.3f} to {after:.3f}, by more than {tolerance:g} "
        "({samples:samples})",
        "{dimension:name} {slice} kém đi, từ {before:.3f} lên {after:.3f}, quá mức {tolerance:g} "
        "({samples:samples})",
    ),
    "gate.characters_fell": (
        "{dimension} {slice} got worse, {before:.3f} to {after:.3f}, by more than {tolerance:g} "
        "({samples:samples})",
        "{dimension:name} {slice:name} kém đi, từ {before:.3f} lên {after:.3f}, quá mức "
        "{tolerance:g} ({samples:samples})",
    ),
    "gate.seen": (
        "{seen} of the {samples:samples} of the test were in the candidate's own training data, so "
        "its "
        "figure means nothing",
        "{seen} trong {samples:samples} kiểm tra đã nằm trong dữ liệu huấn luyện của chính phiên "
        "bản "
        "mới, nên con số này không có nghĩa",
    ),
    "gate.not_judged": ("not judged: {why}", "chưa được chấm: {why}"),
    "gate.import_more": (
        "import and freeze labelled samples for it",
        "hãy nhập và đóng băng ảnh có nhãn cho phần đó",
    ),
    "gate.evaluate_both": (
        "evaluate both on one: nhan evaluate MODEL@V {dataset}",
        "hãy chấm cả hai trên cùng một bộ: nhan evaluate MODEL@V {dataset}",
    ),
    "gate.what_now": (
        "look at `nhan evaluate MODEL@V --report report.html`; train on more or better labels, or "
        "promote anyway with --force --because REASON",
        "hãy xem `nhan evaluate MODEL@V --report report.html`; huấn luyện với nhãn nhiều hơn hoặc "
        "tốt "
        "hơn, hoặc vẫn đưa lên bằng --force --because LÝ_DO",
    ),
}
