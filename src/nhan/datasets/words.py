"""What the label doctor and freezing say of samples together, in English and Vietnamese."""

from __future__ import annotations

from functools import partial

from nhan.sentences import Table, make

DOCTOR_WORDS: Table = {
    # kinds
    "kind.different_labels": (
        "Different labels for one picture",
        "Một ảnh, nhiều nhãn khác nhau",
    ),
    "kind.near_duplicates": ("Nearly the same pictures", "Ảnh gần giống nhau"),
    "kind.near_duplicates_differ": (
        "Same picture, other label",
        "Ảnh gần giống nhau nhưng khác nhãn",
    ),
    "kind.near_duplicates_across_splits": (
        "Same picture in two splits",
        "Ảnh gần giống nhau ở hai phần",
    ),
    "kind.group_across_splits": ("One group in two splits", "Một nhóm ở hai phần"),
    "kind.missing_picture": ("Pictures that are gone", "Ảnh đã mất"),
    "kind.corrupt_picture": ("Damaged pictures", "Ảnh hỏng"),
    # votes
    "doctor.votes": (
        "labels given: {votes:comma}; {stands!r} stands",
        "các nhãn đã cho: {votes:comma}; đang dùng {stands!r}",
    ),
    "doctor.vote": ("{value!r} ({count})", "{value!r} ({count})"),
    "doctor.votes.hint": (
        "look at the picture and decide; `nhan import --relabel` lets a source win",
        "xem ảnh rồi quyết định; `nhan import --relabel` lấy nhãn của nguồn",
    ),
    # neighbours
    "doctor.value": ("{value!r}", "{value!r}"),
    "doctor.near_differ": (
        "nearly the same picture is labelled {values:and}: {names}",
        "ảnh gần giống nhau có nhãn {values:and}: {names}",
    ),
    "doctor.near_differ.hint": (
        "look at the pictures; unless they differ, one of the labels is wrong",
        "xem các ảnh; nếu không khác nhau thì một nhãn bị sai",
    ),
    "doctor.split": ("{split}", "{split:split}"),
    "doctor.near_fixed": (
        "nearly the same picture stands in {splits:and}: {names}",
        "ảnh gần giống nhau nằm ở cả {splits:and}: {names}",
    ),
    "doctor.near_fixed.hint": (
        "reject all but one, or scores on the test set are too good",
        "chỉ giữ lại một ảnh, nếu không điểm trên bộ kiểm tra sẽ quá đẹp",
    ),
    "doctor.near_asked": (
        "nearly the same picture is asked into {splits:and}: {names}",
        "ảnh gần giống nhau được xếp vào cả {splits:and}: {names}",
    ),
    "doctor.near_asked.hint": (
        "freeze keeps those of the test set and holds the others out",
        "khi đóng băng, ảnh của bộ kiểm tra được giữ, các ảnh kia để riêng",
    ),
    "doctor.near": ("nearly the same picture: {names}", "ảnh gần giống nhau: {names}"),
    "doctor.near.hint": (
        "they stay in one split; nothing needs doing",
        "chúng nằm cùng một phần; không cần làm gì",
    ),
    "doctor.group": (
        "group {group!r} is asked into {splits:and}",
        "nhóm {group!r} được xếp vào cả {splits:and}",
    ),
    "doctor.group.hint": (
        "freeze keeps a group in one split and holds the others out",
        "khi đóng băng, mỗi nhóm được giữ trong một phần, ảnh còn lại để riêng",
    ),
    # pictures
    "doctor.missing": ("no object {path}", "không có tệp {path}"),
    "doctor.corrupt": (
        "{path} no longer holds the bytes it is named by",
        "nội dung của {path} không còn khớp với tên",
    ),
    "doctor.picture.hint": (
        "import its source again, or reject the sample",
        "nhập lại nguồn của ảnh, hoặc loại ảnh này",
    ),
    # freezing
    "frozen.held_out": (
        "{count} samples are held out: any split would leak",
        "{count} ảnh để riêng: xếp vào phần nào cũng trùng với phần khác",
    ),
    "frozen.withheld": (
        "{count} samples are left out: whoever sent them did not consent",
        "{count} ảnh không dùng: người gửi không đồng ý",
    ),
    "frozen.empty": ("the {split} split is empty", "{split:split} không có ảnh nào"),
    "frozen.absent": (
        "{count} labels have no sample in {split}, first {first!r}: no score tells how well they "
        "are told",
        "{split:split} không có ảnh của {count} nhãn, trước hết là {first!r}: không điểm số nào "
        "cho biết nhận ra chúng tốt đến đâu",
    ),
    "frozen.unlearned": (
        "{count} labels have no sample in train, first {first!r}: they cannot be learned",
        "phần huấn luyện không có ảnh của {count} nhãn, trước hết là {first!r}: không thể học được",
    ),
    "frozen.gone": (
        "{count} test samples of the previous version are gone (rejected, skipped, erased or of "
        "another source); scores of the two versions do not compare",
        "{count} ảnh kiểm tra của phiên bản trước không còn (bị loại, bỏ qua, bị xóa hoặc thuộc "
        "nguồn khác); không so được điểm của hai phiên bản",
    ),
}

say = partial(make, DOCTOR_WORDS)
