"""What the console says by its scripts: findings in the page's language, figures beside charts."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright", reason="make test-engines installs it")
from playwright.sync_api import expect

pytestmark = pytest.mark.engine

# The doctor is a command of its own, at low priority.
COMMAND_MS = 600_000


def test_the_doctor_speaks_vietnamese_on_a_vietnamese_page(visit):
    made = visit("/data")
    finding = made.page.locator(".finding", has_text="Ký tự ngoài bảng chữ")
    finding.locator("summary").click(timeout=COMMAND_MS)
    said = finding.locator("figcaption [lang]").first
    expect(said).to_have_attribute("lang", "vi")
    expect(said).to_contain_text("có ký tự ngoài bảng chữ chuẩn: 'Ω' U+03A9")
    expect(made.page.locator("td .chip.warn").first).to_have_text("Ký tự ngoài bảng chữ × 1")
    assert made.problems == []


@pytest.mark.parametrize(
    ("call", "shown"),
    [
        ("numberOnAxis(0.025, 0.025)", "0,025"),  # rounded to 0,03 it would stand beside 0,05
        ("numberOnAxis(0.5, 0.1)", "0,5"),
        ("numberOnAxis(20, 10)", "20"),
        ("rateOnAxis(0.015, 0.005)", "1,5 %"),
        ("rateOnAxis(0.02, 0.01)", "2 %"),
        ("rateOnAxis(0.0005, 0.0005)", "0,05 %"),
    ],
)
def test_an_axis_shows_the_digits_that_tell_its_levels_apart(visit, call, shown):
    page = visit("/models").page
    script = page.locator("script[src*='/static/']").first.get_attribute("src")
    charts = f"{script.rsplit('/', 1)[0]}/charts.js"
    said = page.evaluate(f"import('{charts}').then((charts) => charts.{call})")
    assert said.replace("\u00a0", " ") == shown
