"""What the label doctor says of lines of text, in English and Vietnamese.

`kind.CODE` is the name of a kind of finding, as a page shows it.
"""

from __future__ import annotations

from functools import partial

from nhan.sentences import Table, make

TEXT_WORDS: Table = {
    # kinds
    "kind.outside_charset": ("Characters outside the charset", "Ký tự ngoài bảng chữ"),
    "kind.not_nfc": ("Not composed (NFC)", "Chưa chuẩn hoá NFC"),
    "kind.too_long": (
        "Labels longer than their picture can hold",
        "Nhãn dài hơn mức ảnh chứa được",
    ),
    "kind.look_alike": (
        "Characters of another script that look alike",
        "Ký tự của bảng chữ khác trông giống",
    ),
    "kind.combining_mark": ("Loose marks", "Dấu rời"),
    "kind.broken_encoding": ("Broken encoding", "Hỏng mã ký tự"),
    "kind.zero_width": ("Invisible characters", "Ký tự vô hình"),
    "kind.unusual_space": ("Unusual spaces", "Khoảng trắng lạ"),
    "kind.empty_label": ("Empty labels", "Nhãn rỗng"),
    "kind.control_character": ("Control characters", "Ký tự điều khiển"),
    "kind.unusable_character": ("Characters that cannot be learned", "Ký tự không thể học"),
    # normalising
    "label.control": (
        "the label holds the control character {char} at position {position}",
        "nhãn có ký tự điều khiển {char} ở vị trí {position}",
    ),
    "label.control.hint": (
        "remove it; labels hold what can be seen in the picture",
        "hãy xoá nó; nhãn chỉ gồm những gì nhìn thấy trong ảnh",
    ),
    "label.empty": ("the label {text!r} is empty", "nhãn {text!r} rỗng"),
    "label.empty.hint": (
        "type what the picture shows, or skip the picture with a reason",
        "hãy gõ nội dung trong ảnh, hoặc bỏ qua ảnh kèm lý do",
    ),
    # characters
    "label.decoded_twice": (
        "{label!r} is UTF-8 that was read as a Western code page",
        "{label!r} là UTF-8 bị đọc theo bảng mã Tây Âu",
    ),
    "label.decoded_twice.hint": (
        "it was probably {repaired!r}; import the source as UTF-8",
        "có lẽ vốn là {repaired!r}; hãy nhập nguồn theo UTF-8",
    ),
    "label.look_alike": ("{text!r} holds {pairs:comma}", "{text!r} có {pairs:comma}"),
    "label.look_alike.pair": ("{char!r} {code} for {real!r}", "{char!r} {code} thay vì {real!r}"),
    "label.look_alike.hint": ("probably meant: {meant!r}", "có lẽ muốn viết: {meant!r}"),
    "label.mark": (
        "{text!r} holds a mark that fits no letter before it: {chars}",
        "{text!r} có dấu không hợp với chữ cái đứng trước: {chars}",
    ),
    "label.mark.hint": ("retype the letter", "hãy gõ lại chữ cái đó"),
    "label.replaced": (
        "{text!r} holds {count} replacement character U+FFFD",
        "{text!r} có {count} ký tự thay thế U+FFFD",
    ),
    "label.replaced.hint": (
        "the source was decoded with the wrong code page; import it as UTF-8",
        "nguồn bị đọc sai bảng mã; hãy nhập lại theo UTF-8",
    ),
    "label.unusable": (
        "{text!r} holds a character that no reader can learn: {chars}",
        "{text!r} có ký tự mà không mô hình nào học được: {chars}",
    ),
    "label.unusable.hint": ("retype what the picture shows", "hãy gõ lại nội dung trong ảnh"),
    "label.outside": (
        "{text!r} holds characters outside the standard charset: {chars}",
        "{text!r} có ký tự ngoài bảng chữ chuẩn: {chars}",
    ),
    "label.outside.hint": (
        "correct the label, or keep it and the model's charset will be extended",
        "sửa nhãn, hoặc giữ lại và bảng chữ của mô hình sẽ được mở rộng",
    ),
    # spelling of bytes
    "label.not_nfc": (
        "{label!r} is not NFC: its letters are spelled as letter and mark",
        "{label!r} chưa ở dạng NFC: chữ cái và dấu được ghi rời nhau",
    ),
    "label.not_nfc.hint": (
        "it is composed on import; set the source to NFC (precomposed Unicode)",
        "đã được ghép khi nhập; nên đưa nguồn về dạng NFC (Unicode dựng sẵn)",
    ),
    "label.zero_width": (
        "{label!r} holds characters without ink: {chars}",
        "{label!r} có ký tự không in ra nét: {chars}",
    ),
    "label.zero_width.hint": ("they are dropped on import", "chúng đã được bỏ khi nhập"),
    "label.space": (
        "{label!r} holds other spaces than single plain ones between words",
        "giữa các từ của {label!r} có khoảng trắng khác một dấu cách thường",
    ),
    "label.space.hint": (
        "no-break spaces, tabs and line breaks become one space on import; check that the picture "
        "holds one line",
        "dấu cách không ngắt, tab và dấu xuống dòng thành một dấu cách khi nhập; hãy xem ảnh có "
        "đúng một dòng không",
    ),
    # length
    "label.too_long": (
        "{text!r} needs {needed} time steps and the picture's width gives {steps}",
        "{text!r} cần {needed} bước mà bề rộng ảnh chỉ cho {steps} bước",
    ),
    "label.too_long.hint": (
        "is it the label of another picture, or a picture of several lines?",
        "đây có phải nhãn của ảnh khác, hay ảnh có nhiều dòng?",
    ),
}

say = partial(make, TEXT_WORDS)
