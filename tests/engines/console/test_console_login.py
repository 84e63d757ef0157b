"""Keys and a path behind a proxy, in Chromium; and the Streamlit page in front of a server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from console_stage import PATIENCE_MS, follow, opening
from servers import Server, end, free_port, serving_at, wait_for_port

from nhan.serving.keys import add_key
from nhan.workspace import Workspace

pytest.importorskip("playwright", reason="make test-engines installs it")
from playwright.sync_api import expect

pytestmark = pytest.mark.engine

PREFIX = "/tools/nhan"


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("keyed")
    Workspace.init(folder / "shop").close()
    file = folder / "shop/keys.json"
    keys = {
        "Hoa": add_key(file, "Hoa", ["predict"])[1],
        "Minh": add_key(file, "Minh", ["predict", "correct", "review"])[1],
    }
    with serving_at(
        folder,
        "--root-path", PREFIX,
        workspace=folder / "shop",
        environment={"NHAN_SERVE__REQUIRE_KEYS": "true"},
        wait="/readyz",
    ) as server:  # fmt: skip
        yield server, keys


def test_log_in_by_key_under_a_path_and_work(chromium, keyed, shop):
    server, keys = keyed
    base = server.main + PREFIX
    with opening(chromium, base) as open_page:
        page = open_page("/review", language="en").page
        expect(page.locator("h1")).to_have_text("Log in")
        page.locator("#key").fill("nhan_nonsense")
        page.keyboard.press("Enter")
        expect(page.locator("#refused")).to_be_visible()
        page.locator("#key").fill(keys["Minh"])
        page.keyboard.press("Enter")
        page.wait_for_url(f"{base}/review")
        expect(page.locator(".who")).to_have_text("Minh")
        expect(page.locator("#nothing")).to_be_visible()
        expect(page.locator("#who")).to_have_count(0)
        follow(page, page.locator(".places a").first)
        page.set_input_files("#files", next(iter(shop.lines)))
        expect(page.locator(".reading .answer")).to_have_count(1)
        assert page.evaluate("document.cookie") == "", "no script can read the session"
        follow(page, page.get_by_role("button", name="Log out"))
        expect(page.locator("h1")).to_have_text("Log in")
        page.goto(f"{base}/")
        expect(page.locator("h1")).to_have_text("Log in")


def test_a_viewer_sees_what_a_viewer_may(chromium, keyed):
    server, keys = keyed
    base = server.main + PREFIX
    with opening(chromium, base) as open_page:
        page = open_page("/", language="en").page
        page.locator("#key").fill(keys["Hoa"])
        page.keyboard.press("Enter")
        page.locator("#drop").wait_for()
        assert page.locator(".places a").all_inner_texts() == ["Read", "Models", "Watch"]
        page.goto(f"{base}/data")
        expect(page.locator("h1")).to_have_text("Your key may not do that")
        assert page.locator(".places a").all_inner_texts() == ["Read", "Models", "Watch"]


def test_a_session_that_ends_takes_no_answer_and_no_half_typed_correction_along(
    chromium, keyed, shop
):
    server, keys = keyed
    with opening(chromium, server.main + PREFIX) as open_page:
        made = open_page("/", language="en")
        page = made.page

        def log_in(who):
            page.locator("#key").fill(keys[who])
            page.keyboard.press("Enter")
            page.locator("#drop").wait_for()

        def lose_the_session():
            page.get_by_role("button", name="Correct").first.click()
            page.locator("input.answer").fill("đang gõ <b>dở</b>")
            made.context.clear_cookies()
            page.keyboard.press("Enter")
            expect(page.locator("h1")).to_have_text("Log in")

        log_in("Minh")
        page.set_input_files("#files", [*shop.lines][:2])
        expect(page.locator(".reading p.answer")).to_have_count(2)
        lose_the_session()
        log_in("Minh")
        expect(page.locator(".reading")).to_have_count(2)
        expect(page.locator("input.answer")).to_have_value("đang gõ <b>dở</b>")
        page.locator("input.answer").press("Enter")
        expect(page.locator(".reading p.answer").first).to_have_text("đang gõ <b>dở</b>")
        # What somebody read is not shown to whoever logs in next.
        lose_the_session()
        log_in("Hoa")
        expect(page.locator("#results-part")).to_be_hidden()


def test_a_page_of_another_site_cannot_use_the_session(chromium, keyed, tmp_path):
    """`localhost` is another site than `127.0.0.1`: its pages send no session along."""
    server, keys = keyed
    port = free_port()
    (tmp_path / "index.html").write_text("<!doctype html><title>elsewhere</title>")
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    other = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port, other)
        context = chromium.new_context()
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.goto(f"{server.main}{PREFIX}/login")
        page.locator("#key").fill(keys["Minh"])
        page.keyboard.press("Enter")
        page.locator("#drop").wait_for()
        page.goto(f"http://localhost:{port}/")
        with page.expect_navigation() as refused:
            page.evaluate(
                """url => {
                  const form = document.createElement('form');
                  form.method = 'post';
                  form.action = url;
                  document.body.append(form);
                  setTimeout(() => form.submit());  // the page that asks for it is left then
                }""",
                f"{server.main}{PREFIX}/corrections",
            )
        assert refused.value.status in (401, 403)
        context.close()
    finally:
        end(other)


def test_the_streamlit_page_reads_and_corrects(chromium, shop, tmp_path):
    port = free_port()
    environment = {**os.environ, "NHAN_URL": shop.server.main, "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "nhan", "streamlit", "--port", str(port)]
    log = (tmp_path / "streamlit.log").open("wb")
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_for_port(port, process)
        with opening(chromium, f"http://127.0.0.1:{port}") as open_page:
            page = open_page("/").page
            page.locator("input[type=file]").set_input_files(next(iter(shop.lines)))
            expect(page.get_by_text("vi-line@").last).to_be_visible(timeout=60_000)
            field = page.get_by_label("Nội dung đúng")
            field.fill("*đúng* <b>thế</b>")
            page.get_by_role("button", name="Lưu bản sửa").click()
            expect(page.get_by_text("Đã lưu bản sửa")).to_be_visible(timeout=60_000)
    finally:
        end(process)
        log.close()
    shop.wait_for_correction("*đúng* <b>thế</b>")
