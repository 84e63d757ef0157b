"""A Streamlit page in front of the HTTP API: `nhan streamlit`, or `streamlit run` on this file.

It holds no model and keeps no picture. The server's address comes from `NHAN_URL`, the key from
`NHAN_KEY`; both can be changed on the page. Whatever the server says is shown as plain text: a
picture may say `*` or `<`.
"""

from __future__ import annotations

import os

import streamlit as st

from nhan.errors import NhanError
from nhan.web.client import Answer, Client, Refused

DEFAULT_URL = "http://127.0.0.1:8000"
# Classes drawn; the least likely of many say nothing.
_BARS = 6

_WORDS = {
    "Tiếng Việt": {
        "title": "Đọc ảnh",
        "server": "Máy chủ",
        "key": "Khoá",
        "user": "Tên bạn",
        "choose": "Chọn ảnh",
        "confidence": "độ tin cậy",
        "nothing": "(không có chữ)",
        "correct": "Nội dung đúng",
        "correct_class": "Lớp đúng (chọn hoặc gõ lớp mới)",
        "save": "Lưu bản sửa",
        "saved": "Đã lưu bản sửa",
        "not_kept": "Máy chủ không lưu ảnh này nên không sửa được.",
        "stands": "Người khác đã sửa thành:",
        "replace": "Thay bằng bản của tôi",
    },
    "English": {
        "title": "Read pictures",
        "server": "Server",
        "key": "Key",
        "user": "Your name",
        "choose": "Choose pictures",
        "confidence": "confidence",
        "nothing": "(no text)",
        "correct": "What it should say",
        "correct_class": "The right class (choose, or type a new one)",
        "save": "Save correction",
        "saved": "Correction saved",
        "not_kept": "The server did not keep this picture, so it cannot be corrected.",
        "stands": "Somebody corrected it to:",
        "replace": "Replace it with mine",
    },
}


def main() -> None:
    """Draw the page."""
    st.set_page_config(page_title="Nhãn", page_icon="🏷️")
    language = st.sidebar.radio("Language", list(_WORDS), label_visibility="collapsed")
    words = _WORDS[str(language)]
    url = st.sidebar.text_input(words["server"], os.environ.get("NHAN_URL", DEFAULT_URL))
    key = st.sidebar.text_input(words["key"], os.environ.get("NHAN_KEY", ""), type="password")
    user = st.sidebar.text_input(words["user"])
    client = Client(url, key=key, user=user)
    st.title(words["title"])
    try:
        st.caption(" · ".join(client.models()))
    except NhanError as error:
        _show(error)
    files = st.file_uploader(
        words["choose"],
        type=["png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "gif"],
        accept_multiple_files=True,
    )
    for number, file in enumerate(files):
        with st.container(border=True):
            _read(client, words, file.getvalue(), f"{number}-{file.file_id}")


def _read(client: Client, words: dict[str, str], picture: bytes, name: str) -> None:
    answers: dict[str, Answer] = st.session_state.setdefault("answers", {})
    try:
        st.image(picture)
    except Exception:  # what the server can read and this page cannot draw is still sent
        st.caption(f"{len(picture):,} bytes")
    asked = f"{name} {client.url}"
    if asked not in answers:
        try:
            answers[asked] = client.answer(picture)
        except NhanError as error:
            _show(error)
            return
    answer = answers[asked]
    prediction = answer.prediction
    st.text(answer.value or words["nothing"])
    st.caption(
        f"{words['confidence']} {prediction['confidence']:.0%} · "
        f"{prediction['model']}@{prediction['version']} · {prediction['duration_ms']:.0f} ms"
    )
    if answer.classes:
        labels = prediction["labels"]
        st.bar_chart(
            {one: labels[one] for one in answer.classes[:_BARS]}, horizontal=True, sort=False
        )
    if answer.kept:
        _correct(client, words, answer, name)
    else:
        st.caption(words["not_kept"])


def _correct(client: Client, words: dict[str, str], answer: Answer, name: str) -> None:
    given: dict[str, str] = st.session_state.setdefault("corrections", {})
    others: dict[str, dict[str, str]] = st.session_state.setdefault("others", {})
    identity = str(answer.prediction["id"])
    standing = others.get(identity)
    with st.form(f"correct-{name}", border=False):
        label = _ask_label(words, answer)
        mine = False
        if standing is not None:
            st.warning(words["stands"])
            st.text(standing["label"])
            mine = st.checkbox(words["replace"])
        if not st.form_submit_button(words["save"]):
            return
    replaces = standing["id"] if standing is not None and mine else given.get(identity, "")
    try:
        given[identity] = client.correct(identity, label, replaces=replaces)
    except Refused as error:
        if "standing" not in error.details:
            _show(error)
            return
        others[identity] = error.details["standing"]
        st.rerun()
    except NhanError as error:
        _show(error)
    else:
        others.pop(identity, None)
        st.success(words["saved"])


def _ask_label(words: dict[str, str], answer: Answer) -> str:
    """The text, or a class chosen from the model's, the likeliest first; another may be typed."""
    if not answer.classes:
        text: str = st.text_input(words["correct"], answer.value)
        return text
    chosen: str | None = st.selectbox(
        words["correct_class"], answer.classes, accept_new_options=True
    )
    return chosen or ""  # emptied: the server says what a label must be


def _show(error: NhanError) -> None:
    """An error as text: its message may hold what a client sent."""
    st.error("⚠")
    st.text(f"{error.message}\n{error.hint}".strip())


if __name__ == "__main__":
    main()
