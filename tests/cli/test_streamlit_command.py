"""`nhan streamlit` lends nobody a key."""

from __future__ import annotations

import pytest

from nhan.cli import streamlit
from nhan.errors import UserError


def test_a_page_that_others_reach_is_given_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NHAN_KEY", "0123456789abcdef")
    with pytest.raises(UserError, match=r"everybody who reaches 0\.0\.0\.0:8501") as refused:
        streamlit.command(url="", port=8501, host="0.0.0.0")
    assert "0123456789abcdef" not in str(refused.value) + refused.value.hint
