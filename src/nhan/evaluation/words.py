"""Names as people read them, in English and Vietnamese.

A table, not a rule: a name that is not here is shown as it is, so a task that brings new metrics,
slices or kinds of confusion needs no change.
"""

from __future__ import annotations

from markupsafe import Markup

# name -> (English, Vietnamese)
_NAMES = {
    # metrics
    "cer": ("Character error rate", "Tỉ lệ lỗi ký tự"),
    "wer": ("Word error rate", "Tỉ lệ lỗi từ"),
    "exact": ("Wholly right", "Đúng hoàn toàn"),
    "error": ("Error rate", "Tỉ lệ lỗi"),
    "accuracy": ("Right answers", "Tỉ lệ đúng"),
    "cer_letter": ("CER, of it wrong letters", "CER do sai chữ cái"),
    "cer_mark": ("CER, of it wrong vowel marks", "CER do sai dấu mũ, móc, trăng"),
    "cer_tone": ("CER, of it wrong tones", "CER do sai dấu thanh"),
    "cer_ignoring_case": ("CER if case did not count", "CER nếu không kể hoa thường"),
    "cer_ignoring_marks": ("CER if marks did not count", "CER nếu không kể dấu"),
    "cer_ignoring_tone_placement": (
        "CER with hòa and hoà alike",
        "CER nếu coi hòa và hoà như nhau",
    ),
    "accuracy_by_char": ("Older score: by character", "Điểm kiểu cũ: theo ký tự"),
    "accuracy_by_field": ("Older score: by field", "Điểm kiểu cũ: theo trường"),
    "macro_f1": ("F1, mean of all classes", "F1, trung bình các lớp"),
    "macro_precision": ("Precision, mean of all classes", "Độ chuẩn xác, trung bình các lớp"),
    "macro_recall": ("Recall, mean of all classes", "Độ phủ, trung bình các lớp"),
    "top_3_error": ("Truth not among the best 3", "Nhãn đúng không nằm trong 3 lớp đầu"),
    "top_5_error": ("Truth not among the best 5", "Nhãn đúng không nằm trong 5 lớp đầu"),
    "precision": ("Precision", "Độ chuẩn xác"),
    "recall": ("Recall", "Độ phủ"),
    "loss": ("Training loss", "Hàm mất mát khi huấn luyện"),
    # dimensions
    "source": ("Source", "Nguồn"),
    "length": ("Length", "Độ dài"),
    "characters": ("Characters", "Ký tự"),
    "class": ("Class", "Lớp"),
    # slices
    "capitals": ("capitals", "chữ hoa"),
    "with marks": ("with marks", "có dấu"),
    "without marks": ("without marks", "không dấu"),
    "numbers and signs": ("numbers and signs", "số và dấu câu"),
    "unknown": ("unknown", "không rõ"),
    # confusions
    "letters": ("Letters", "Chữ cái"),
    "marks": ("Vowel marks", "Dấu mũ, móc, trăng"),
    "tones": ("Tones", "Dấu thanh"),
    "classes": ("Classes", "Các lớp"),
    "truth": ("truth", "nhãn đúng"),
    "answer": ("answer", "trả lời"),
    "level": ("level", "ngang"),
    "grave": ("grave", "huyền"),
    "acute": ("acute", "sắc"),
    "hook": ("hook", "hỏi"),
    "tilde": ("tilde", "ngã"),
    "dot": ("dot", "nặng"),
    "circumflex": ("circumflex â", "mũ â"),
    "breve": ("breve ă", "trăng ă"),
    "horn": ("horn ơ", "móc ơ"),
    "stroke": ("stroke đ", "gạch đ"),
    "none": ("none", "không"),
}


def named(name: str, language: str) -> str:
    """A name in one language, `en` or `vi`."""
    english, vietnamese = _NAMES.get(name, (name, name))
    return english if language == "en" else vietnamese


def both(name: str, *, tag: str = "span") -> Markup:
    """A name in both languages, the page's style showing one; `tag` is `tspan` within an SVG."""
    english, vietnamese = _NAMES.get(name, (name, name))
    if english == vietnamese:
        return Markup("<{0}>{1}</{0}>").format(tag, english)
    return Markup('<{0} class="en">{1}</{0}><{0} class="vi" lang="vi">{2}</{0}>').format(
        tag, english, vietnamese
    )
