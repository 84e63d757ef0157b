"""Every page in Chromium: both languages, both widths, no network but its own server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pace import Stopwatch

pytest.importorskip("playwright", reason="make test-engines installs it")
from console_stage import follow
from playwright.sync_api import expect

pytestmark = pytest.mark.engine

PAGES = {
    "/": ("Đọc ảnh", "Read pictures"),
    "/review": ("Duyệt", "Review"),
    "/data": ("Dữ liệu", "Data"),
    "/models": ("Mô hình", "Models"),
    "/watch": ("Theo dõi", "Watch"),
    "/docs": ("Cho lập trình viên", "For programs"),
}
USABLE_S = 2.0
# Commands of their own, at low priority, two at a time: on a busy machine they take their time, and
# those that earlier visits of the page began come first.
COMMAND_MS = 600_000
ODD = "<b>*x*</b> _y_ &lt;"


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("language", ["vi", "en"])
@pytest.mark.parametrize("path", PAGES)
def test_every_page_in_both_languages_and_widths(visit, path, language, width):
    made = visit(path, language=language, width=width)
    page = made.page
    expect(page.locator("html")).to_have_attribute("lang", language)
    expect(page.locator("h1")).to_have_text(PAGES[path][language == "en"])
    page.wait_for_load_state("networkidle") if path != "/data" else page.wait_for_timeout(500)
    wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wider <= 0, "nothing stands out of the page"
    assert made.problems == []


@pytest.mark.parametrize("path", PAGES)
def test_a_page_can_be_used_within_two_seconds(visit, path):
    times = []
    for _ in range(10):  # other work comes and goes; what is slow by itself stays slow
        watch = Stopwatch()
        page = visit(path).page
        page.locator("h1").wait_for(state="attached")
        page.wait_for_function("document.readyState === 'complete'")
        times.append(watch.seconds)
        if len(times) >= 3 and watch.allows(USABLE_S, min(times)):
            break
    else:
        told = ", ".join(f"{1e3 * seconds:.0f}" for seconds in sorted(times))
        pytest.fail(f"{path} usable after {told} ms")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", [*PAGES, "/login", "/nowhere"])
def test_axe_finds_no_serious_problem(visit, shop, axe, path, theme):
    made = visit(path, theme=theme)
    page = made.page
    if path == "/":
        page.set_input_files("#files", [*shop.lines][:2])
        expect(page.locator(".reading .answer")).to_have_count(2)
    if path == "/data":
        page.locator(".finding summary").first.click(timeout=COMMAND_MS)
    if path == "/review":
        page.locator("#work").wait_for()
    page.wait_for_timeout(300)
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    serious = [
        f"{one['id']}: {node['html'][:160]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
    assert serious == []


def test_upload_answer_correct_and_the_catalogue_has_it(visit, shop):
    file = next(iter(shop.lines))
    made = visit("/")
    page = made.page
    page.set_input_files("#files", file)
    card = page.locator(".reading")
    expect(card.locator(".chip").first).to_contain_text("%")
    expect(card).to_contain_text("vi-line@")
    card.get_by_role("button", name="Sửa").click()
    field = card.locator("input.answer")
    expect(field).to_be_focused()
    field.fill("Phở bò tái chín 65.000₫")
    with page.expect_response("**/corrections") as sent:
        page.keyboard.press("Enter")
    assert sent.value.status == 201
    expect(card.locator(".answer")).to_have_text("Phở bò tái chín 65.000₫")
    shop.wait_for_correction("Phở bò tái chín 65.000₫")
    assert made.problems == []


def test_text_shows_as_typed(visit, shop):
    made = visit("/")
    page = made.page

    def odd_answer(route: Any) -> None:
        real = route.fetch()
        body = real.json()
        body["text"], body["characters"] = ODD, []
        route.fulfill(response=real, json=body)

    page.route("**/predict", odd_answer)
    data = next(iter(shop.lines)).read_bytes()
    page.set_input_files(
        "#files", {"name": "<i>a</i>.png", "mimeType": "image/png", "buffer": data}
    )
    said = page.locator(".reading p.answer")
    expect(said).to_have_text(ODD)
    assert page.locator(".reading b", has_text="x").count() == 0
    expect(page.locator(".reading figcaption")).to_have_text("<i>a</i>.png")
    page.get_by_role("button", name="Sửa").click()
    page.locator("input.answer").fill(f"{ODD} đã sửa")
    page.keyboard.press("Enter")
    expect(said).to_have_text(f"{ODD} đã sửa")
    assert page.locator(".reading i").count() == 0


CLASSES = {"<b>hoa</b>": 0.5, "cúc": 0.3, "an": 0.2}


def test_a_class_is_corrected_by_choosing_it(visit, shop):
    page = visit("/", language="en").page
    sent = []

    body = {
        "id": "p1", "model": "hoa", "version": "1", "task": "classes", "label": "<b>hoa</b>",
        "labels": CLASSES, "confidence": 0.5, "duration_ms": 3.0,
    }  # fmt: skip

    def classes(route: Any) -> None:
        route.fulfill(json=body, headers={"x-nhan-collected": "yes"})

    def correction(route: Any) -> None:
        sent.append(route.request.post_data_json)
        route.fulfill(status=201, json={"id": "c1", **route.request.post_data_json})

    page.route("**/predict", classes)
    page.route("**/corrections", correction)
    page.set_input_files("#files", next(iter(shop.lines)))
    expect(page.locator(".bars li span:first-child")).to_have_text([*CLASSES])
    expect(page.locator(".bars .number")).to_have_text(["50.0 %", "30.0 %", "20.0 %"])
    page.get_by_role("button", name="Correct").click()
    expect(page.locator(".class-buttons .chosen")).to_have_text("<b>hoa</b>")
    page.get_by_role("button", name="cúc").click()
    expect(page.locator(".reading p.answer")).to_have_text("cúc")
    assert [one["label"] for one in sent] == ["cúc"]


def test_the_answers_stay_when_the_language_changes(visit, shop):
    made = visit("/", language="vi")
    page = made.page
    page.set_input_files("#files", [*shop.lines][:2])
    expect(page.locator(".reading .answer")).to_have_count(2)
    answers = page.locator(".reading .answer").all_inner_texts()
    page.get_by_role("button", name="Sửa").nth(1).click()
    page.locator("input.answer").fill("đang gõ <b>dở</b>")
    follow(page, page.locator("#language"))
    expect(page.locator("h1")).to_have_text("Read pictures")
    expect(page.locator(".reading")).to_have_count(2)
    expect(page.locator(".reading p.answer")).to_have_text(answers[0])
    expect(page.locator("input.answer")).to_have_value("đang gõ <b>dở</b>")
    for picture in page.locator(".shown").all():
        expect(picture).to_have_js_property("complete", True)
        assert picture.evaluate("one => one.naturalWidth") > 0
    with page.expect_response("**/corrections") as sent:
        page.get_by_role("button", name="Save").click()
    assert sent.value.status == 201, "it is the same prediction that is corrected"
    # Once taken up it is gone: the browser keeps nobody's pictures.
    page.reload()
    expect(page.locator("#results-part")).to_be_hidden()
    kept = "indexedDB.open('nhan-carried', 1)"
    count = f"""() => new Promise((resolve) => {{
      const opening = {kept};
      opening.onsuccess = () => {{
        const asked = opening.result.transaction('lists').objectStore('lists').count();
        asked.onsuccess = () => resolve(asked.result);
      }};
    }})"""
    assert page.evaluate(count) == 0
    assert made.problems == []


def test_several_files_paste_and_download(visit, shop, tmp_path):
    made = visit("/", language="en")
    page = made.page
    files = [*shop.lines][:3]
    page.set_input_files("#files", files)
    expect(page.locator(".reading .answer")).to_have_count(3)
    page.evaluate(
        """async () => {
          const picture = document.querySelector('.reading img');
          await picture.decode();
          const canvas = new OffscreenCanvas(picture.naturalWidth, picture.naturalHeight);
          canvas.getContext('2d').drawImage(picture, 0, 0);
          const blob = await canvas.convertToBlob();
          const held = new DataTransfer();
          held.items.add(new File([blob], 'pasted.png', {type: 'image/png'}));
          window.dispatchEvent(new ClipboardEvent('paste', {clipboardData: held}));
        }"""
    )
    expect(page.locator(".reading .answer")).to_have_count(4)
    for kind in ("csv", "json"):
        with page.expect_download() as download:
            page.locator(f"#{kind}").click()
        target = tmp_path / f"all.{kind}"
        download.value.save_as(target)
        text = target.read_text(encoding="utf-8-sig")
        assert "pasted.png" in text
        assert all(Path(file).name in text for file in files)
    assert made.problems == []


def test_the_camera_takes_a_picture(visit):
    made = visit("/", language="en")
    page = made.page
    page.get_by_role("button", name="Camera").click()
    page.locator("#camera-dialog[open]").wait_for()
    page.wait_for_function("() => document.getElementById('video').currentTime > 0")
    page.locator("#shoot").click()
    page.locator("#camera-close").click()
    expect(page.locator(".reading .chip").first).to_contain_text("%")
    assert made.problems == []


def test_errors_are_told_and_can_be_tried_again(visit):
    made = visit("/", language="en")
    made.page.set_input_files(
        "#files", {"name": "x.png", "mimeType": "image/png", "buffer": b"nothing"}
    )
    card = made.page.locator(".reading")
    expect(card.locator(".bad")).to_be_visible()
    expect(card.get_by_role("button", name="Try again")).to_be_visible()


@pytest.mark.parametrize(
    ("path", "where"), [("/", "#champions"), ("/models", "tr:has(.answers:visible)")]
)
def test_a_promoted_version_appears_without_reload(visit, shop, path, where):
    made = visit(path)
    page = made.page
    for version in (2, 1):
        shop.answer("vi-line", version)
        said = f"vi-line@{version}" if path == "/" else str(version)
        expect(page.locator(where).first).to_contain_text(said)
    if path == "/models":
        expect(page.locator(".log li").first).to_contain_text("test")
    assert made.problems == []


def test_promote_and_roll_back_with_the_gates_words(visit, shop):
    """Version 2 is the same network: the gate finds it no better, and says so."""
    made = visit("/models", language="en")
    page = made.page
    page.locator("tr[data-version='vi-line@2'] .promote").click()
    page.locator("#because").fill("try it")
    page.keyboard.press("Enter")
    expect(page.locator("#verdict")).to_contain_text(
        "refused", timeout=COMMAND_MS, ignore_case=True
    )
    expect(page.locator("#verdict")).to_contain_text("CER")
    page.keyboard.press("Escape")
    follow(page, page.locator("#language"))
    page.locator("tr[data-version='vi-line@2'] .promote").click()
    page.locator("#do-it").click()
    expect(page.locator("#verdict")).to_contain_text("không đạt: tỉ lệ lỗi", timeout=COMMAND_MS)
    page.keyboard.press("Escape")
    shop.answer("vi-line", 2)
    page.locator("tr[data-version='vi-line@2'] .answers").wait_for()
    page.locator(".back").click()
    page.locator("#do-it").click()
    page.locator("tr[data-version='vi-line@1'] .answers").wait_for()
    assert shop.registry.champion("vi-line") == 1
    assert [problem for problem in made.problems if "409" not in problem] == []


def test_the_report_opens(visit):
    made = visit("/models", language="en")
    with made.context.expect_page() as opened:
        made.page.locator("a", has_text="Report").first.click()
    expect(opened.value.locator("h1")).to_contain_text("vi-line", timeout=COMMAND_MS)


def test_the_label_doctor_shows_pictures_and_versions_compare(visit):
    made = visit("/data", language="en")
    page = made.page
    found = page.locator(".finding", has_text="Characters outside the charset")
    found.locator("summary").click(timeout=COMMAND_MS)
    picture = page.locator(".finding[open] img").first
    expect(picture).to_be_visible()
    assert picture.evaluate("async one => { await one.decode(); return one.naturalWidth }") > 0
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".change h3")).to_contain_text("added", timeout=COMMAND_MS)
    assert made.problems == []


def test_watch_counts_what_comes_in(visit, shop):
    made = visit("/watch", language="en")
    page = made.page
    expect(page.locator("#p50")).to_contain_text("ms")
    expect(page.locator("#traffic svg")).to_be_visible()
    expect(page.locator("#days-under")).to_contain_text("kept")
    expect(page.locator("#rounds")).to_contain_text("No round yet")
    assert made.problems == []


def test_the_language_and_theme_stay_chosen(visit):
    made = visit("/", language="vi")
    page = made.page
    follow(page, page.locator("#language"))
    expect(page.locator("h1")).to_have_text("Read pictures")
    assert "language" not in page.url
    page.locator("#theme").click()
    follow(page, page.locator("a", has_text="Models"))
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
