"""The Streamlit page: a class is chosen, or typed where the model has none of that name."""

from __future__ import annotations

import pytest

pytest.importorskip("streamlit", reason="an extra: pip install 'nhan[streamlit]'")
from streamlit.testing.v1 import AppTest

# A page of its own process has no such limit; on a busy machine the first run imports for long.
PATIENCE_S = 120


def class_page() -> None:
    import streamlit as st

    from nhan.web.client import Answer
    from nhan.web.streamlit_app import _WORDS, _read

    class Fake:
        url = "http://nhan"

        def answer(self, picture: bytes) -> Answer:
            scores = {"hoa hồng <b>*x*</b>": 0.7, "cúc": 0.2, "an": 0.1}
            about = {"id": "1", "model": "hoa", "version": "2", "duration_ms": 3, "confidence": 0.7}
            answered = {**about, "label": "hoa hồng <b>*x*</b>", "labels": scores}
            return Answer(answered, kept=True)

        def correct(self, prediction: str, label: str, *, replaces: str = "") -> str:
            st.session_state["sent"] = [prediction, label, replaces]
            return "7"

    _read(Fake(), _WORDS["Tiếng Việt"], b"no picture", "0")


@pytest.fixture
def page() -> AppTest:
    shown = AppTest.from_function(class_page, default_timeout=PATIENCE_S).run()
    assert not shown.exception
    return shown


def sent(page: AppTest) -> list[str]:
    page.button[0].click().run()
    assert not page.exception
    assert [one.value for one in page.success] == ["Đã lưu bản sửa"]
    return list(page.session_state["sent"])


def test_classes_are_offered_the_likeliest_first(page):
    (choice,) = page.selectbox
    assert choice.label == "Lớp đúng (chọn hoặc gõ lớp mới)"
    assert choice.options == ["hoa hồng <b>*x*</b>", "cúc", "an"]
    assert not page.text_input
    assert [one.value for one in page.text] == ["hoa hồng <b>*x*</b>"]  # text, never Markdown
    choice.select("cúc")
    assert sent(page) == ["1", "cúc", ""]


def test_a_class_that_the_model_does_not_have_can_be_typed(page):
    # Streamlit's test double knows no typed options; that a page accepts them stands in its form.
    assert page.selectbox[0].proto.accept_new_options
