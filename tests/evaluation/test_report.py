"""The report is one safe file that says the whole truth in two languages."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

import bars
from nhan.evaluation.evaluate import evaluate
from nhan.evaluation.record import ConfusionCount
from nhan.evaluation.report import differences, read_curve, render_report, write_report
from nhan.models.registry import Registry

HOSTILE = '<script>alert("x")</script>&amp;'


class Page(HTMLParser):
    """Collects tags with attributes and the text, and notices unbalanced tags."""

    VOID = frozenset({"meta", "img", "input", "br", "link", "hr"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def evaluation(workspace, make_dataset, make_version, rows):
    samples = rows(40) + rows(40, seed=1, source="scan")
    make_version(0.93, dataset=make_dataset(test=samples))
    return evaluate(workspace, "bars")


def test_written_whole_with_pictures_of_the_worst(workspace, evaluation, tmp_path):
    file = write_report(workspace, evaluation, tmp_path / "deep" / "report.html")
    page = Page(file.read_text(encoding="utf-8"))
    pictures = [attrs["src"] for tag, attrs in page.tags if tag == "img"]
    wrong = sum(not result.right for result in evaluation.results)
    assert len(pictures) == min(wrong, 24) + min(wrong, 8) + 8
    assert all(source.startswith("data:image/jpeg;base64,") for source in pictures)
    assert [path.name for path in file.parent.iterdir()] == ["report.html"]


def test_asks_the_network_for_nothing_and_runs_nothing(workspace, evaluation, tmp_path):
    html = write_report(workspace, evaluation, tmp_path / "report.html").read_text()
    page = Page(html)
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "form"})
    for _, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on")]
        for name in ("src", "href", "srcset", "action"):
            assert (attrs.get(name) or "data:").startswith(("data:", "#"))
    assert "@import" not in html
    assert not re.search(r"url\((?!data:)", html)
    (policy,) = [a["content"] for t, a in page.tags if a.get("http-equiv")]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_headline_says_figure_interval_and_count(evaluation):
    page = Page(render_report(evaluation, pictures={}))
    score = evaluation.primary
    for value in (score.value, score.low, score.high):
        assert f"{value * 100:.1f}" in page.text
        assert f"{value * 100:.1f}".replace(".", ",") in page.text  # for Vietnamese readers
    right = sum(result.right for result in evaluation.results)
    assert f"it answers {right} without a single fault" in page.text
    assert "On 80 pictures kept aside" in page.text
    assert "bars" in page.text
    assert evaluation.dataset in page.text


def test_every_slice_is_there_with_its_count(evaluation):
    page = Page(render_report(evaluation, pictures={}))
    for slices in evaluation.slices.values():
        for name, score in slices.items():
            assert name in page.text
            assert f"{score.samples}{score.samples}" in page.text  # once for each language


def test_text_is_escaped_wherever_it_comes_from(evaluation):
    worst = max(evaluation.results, key=lambda result: result.errors / result.weight)
    worst.truth, worst.answer, worst.problem = HOSTILE, HOSTILE[::-1] + "<b>", HOSTILE
    worst.errors, worst.slices = 99, {HOSTILE: HOSTILE}
    evaluation.slices[HOSTILE] = {HOSTILE: evaluation.primary}
    evaluation.metrics[HOSTILE] = evaluation.primary
    evaluation.confusions = {
        HOSTILE: [ConfusionCount(truth=HOSTILE, answer="<i>", count=3)],
        "many": [ConfusionCount(truth=f"<{n}>", answer=HOSTILE, count=1) for n in range(20)],
    }
    evaluation.model = evaluation.dataset = evaluation.run = HOSTILE
    curve = [
        {"seen": n, "loss": 1.0, "scores": {f"{HOSTILE}/cer": 0.5, "v/cer": 0.4}} for n in range(3)
    ]
    page = Page(render_report(evaluation, pictures={worst.sha256: bars.draw("1")}, curve=curve))
    assert {tag for tag, _ in page.tags}.isdisjoint({"script"})
    assert HOSTILE in page.text
    assert not [t for t, a in page.tags if t in ("b", "i") and a.get("onclick")]


def test_curves_appear_when_the_run_has_them(workspace, evaluation):
    path = f"runs/{evaluation.run}/metrics.jsonl"
    lines = [
        json.dumps({"seen": n * 100, "loss": 1 / n, "scores": {"validation/cer": 0.5 / n}})
        for n in range(1, 6)
    ]
    # A run that was killed while writing leaves half a line.
    workspace.store.put(path, "\n".join([*lines, '{"seen": 600, "lo']).encode())
    curve = read_curve(workspace.store, evaluation.run)
    assert [point["seen"] for point in curve] == [100, 200, 300, 400, 500]
    html = render_report(evaluation, pictures={}, curve=curve)
    assert html.count("while learning") == 2
    assert "while learning" not in render_report(evaluation, pictures={})


def test_champion_stands_beside(workspace, evaluation, make_version):
    make_version(1.0, dataset=evaluation.dataset)
    champion = evaluate(workspace, "bars@2")
    page = Page(render_report(evaluation, pictures={}, champion=champion))
    assert "The champion" in page.text
    assert "bars@2" in page.text


@pytest.mark.parametrize("count", [0, 1, 2])
def test_tiny_and_empty_test_sets_still_make_a_page(
    workspace, make_dataset, make_version, rows, tmp_path, count
):
    make_version(1.0, dataset=make_dataset(test=rows(count)))
    file = write_report(workspace, evaluate(workspace, "bars"), tmp_path / "r.html")
    page = Page(file.read_text())
    assert ("The test set is empty" in page.text) == (count == 0)


def test_report_survives_its_dataset(workspace, evaluation, tmp_path):
    for path in list(workspace.store.list("datasets")):
        workspace.store.delete(path)
    page = Page(write_report(workspace, evaluation, tmp_path / "r.html").read_text())
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert "The worst" in page.text


@pytest.mark.parametrize(
    ("truth", "answer", "left", "right"),
    [
        ("phòng", "phòng", "phòng", "phòng"),
        ("phòng", "phong", "ph[ò]ng", "ph[o]ng"),
        ("ab c", "abc", "ab[ ]c", "abc"),
        ("ab", "", "[ab]", ""),
        ("", "ab", "", "[ab]"),
        ("daisy", "roses", "[daisy]", "[roses]"),  # nothing alike: no confetti of letters
    ],
)
def test_differences(truth, answer, left, right):
    shown = [
        "".join(f"[{piece.text}]" if piece.differs else piece.text for piece in pieces)
        for pieces in differences(truth, answer)
    ]
    assert shown == [left, right]


def test_no_champion_log_is_touched(workspace, evaluation, tmp_path):
    write_report(workspace, evaluation, tmp_path / "r.html")
    assert Registry(workspace.store).log_number("bars") == 0
