"""`nhan streamlit` lends nobody a key, and shows no button of Streamlit's own company."""

from __future__ import annotations

import pytest

from nhan.cli import streamlit
from nhan.errors import UserError


def test_a_page_that_others_reach_is_given_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NHAN_KEY", "0123456789abcdef")
    with pytest.raises(UserError, match=r"everybody who reaches 0\.0\.0\.0:8501") as refused:
        streamlit.command(url="", port=8501, host="0.0.0.0")
    assert "0123456789abcdef" not in str(refused.value) + refused.value.hint


def test_the_page_phones_nobody_and_offers_no_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr("nhan.cli.streamlit.find_spec", lambda name: name)
    monkeypatch.setattr("os.execv", lambda program, arguments: ran.append(arguments))
    monkeypatch.setenv("NHAN_URL", "")
    streamlit.command(url="http://127.0.0.1:1", port=9, host="127.0.0.1")
    assert {"--browser.gatherUsageStats=false", "--client.toolbarMode=minimal"} <= set(ran[0])
