"""What the label doctor says of classes, in English and Vietnamese.

`kind.CODE` is the name of a kind of finding, as a page shows it.
"""

from __future__ import annotations

from functools import partial

from nhan.sentences import Table, make

CLASS_WORDS: Table = {
    # kinds
    "kind.bad_class_name": ("Impossible class names", "Tên lớp không hợp lệ"),
    "kind.class_name_mended": ("Class names mended", "Tên lớp được chỉnh"),
    "kind.class_names_alike": ("Class names that differ little", "Tên lớp gần giống nhau"),
    "kind.class_imbalance": ("Classes of very different size", "Các lớp lệch số lượng"),
    "kind.one_class": ("Only one class", "Chỉ có một lớp"),
    "kind.class_too_small": ("Classes too small to learn", "Lớp có quá ít ảnh để học"),
    "kind.class_small": ("Small classes", "Lớp có ít ảnh"),
    "kind.tiny_picture": ("Tiny pictures", "Ảnh quá nhỏ"),
    "kind.elongated_picture": ("Very long pictures", "Ảnh quá dài"),
    # names
    "class.long_name": (
        "the class name {name!r}… has {length} characters; at most {most}",
        "tên lớp {name!r}… có {length} ký tự; nhiều nhất {most}",
    ),
    "class.long_name.hint": (
        "is it a text? then import it with --task text",
        "đây có phải dòng chữ? vậy hãy nhập với --task text",
    ),
    "class.mended": ("{label!r} is stored as {name!r}", "{label!r} được lưu là {name!r}"),
    "class.mended.hint": (
        "nothing to do; the source may be mended too",
        "không cần làm gì; có thể sửa cả ở nguồn",
    ),
    "class.alike": (
        "these classes differ only in case, marks or dashes: {names:comma}{more}",
        "các lớp này chỉ khác nhau ở hoa thường, dấu hoặc gạch nối: {names:comma}{more}",
    ),
    "class.alike.hint": (
        "if they are one class, import them under one name",
        "nếu là một lớp, hãy nhập dưới cùng một tên",
    ),
    "class.more": (" and {rest} more", " và {rest} lớp nữa"),
    # pictures
    "class.tiny": (
        "a picture of {width} × {height} px; hardly anything can be seen in under {least} px",
        "ảnh {width} × {height} px; dưới {least} px hầu như không thấy được gì",
    ),
    "class.tiny.hint": (
        "is it an icon or a failed download?",
        "đây là biểu tượng hay ảnh tải lỗi?",
    ),
    "class.elongated": (
        "a picture of {width} × {height} px; its central square shows less than a quarter of it",
        "ảnh {width} × {height} px; hình vuông ở giữa chứa chưa đến một phần tư ảnh",
    ),
    "class.elongated.hint": (
        "crop it to what matters, or train with model.prepare.fit = 'letterbox'",
        "cắt lấy phần quan trọng, hoặc huấn luyện với model.prepare.fit = 'letterbox'",
    ),
    # all together
    "class.one": (
        "all samples are of the one class {name!r}",
        "mọi ảnh đều thuộc cùng lớp {name!r}",
    ),
    "class.one.hint": (
        "there must be at least two classes to tell apart; add one, for instance 'other'",
        "cần ít nhất hai lớp để phân biệt; hãy thêm một lớp, ví dụ 'khác'",
    ),
    "class.too_few": (
        "{small} of {all} classes have under {least} samples, too few to be learned, validated and "
        "tested: {names:comma}{more}",
        "{small} trong {all} lớp có dưới {least} ảnh, quá ít để học, chọn mô hình và kiểm tra: "
        "{names:comma}{more}",
    ),
    "class.few": (
        "{small} of {all} classes have under {least} samples, too few to say how well it is told: "
        "{names:comma}{more}",
        "{small} trong {all} lớp có dưới {least} ảnh, quá ít để biết lớp đó được nhận ra tốt đến "
        "đâu: {names:comma}{more}",
    ),
    "class.few.hint": (
        "label more pictures of them, or join them to another class",
        "gán nhãn thêm ảnh cho các lớp đó, hoặc gộp vào lớp khác",
    ),
    "class.imbalance": (
        "{largest!r} has {most} samples ({share:.0%} of all), {smallest!r} has {least}",
        "{largest!r} có {most} ảnh ({share:.0%} tổng số), {smallest!r} có {least}",
    ),
    "class.imbalance.hint": (
        "label more of the small ones, or train with model.class_weights = 'balanced'",
        "gán nhãn thêm cho lớp nhỏ, hoặc huấn luyện với model.class_weights = 'balanced'",
    ),
}

say = partial(make, CLASS_WORDS)
