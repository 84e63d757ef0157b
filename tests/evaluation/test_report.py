"""The report is one safe file that says the whole truth in two languages."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

import bars
from nhan.evaluation.evaluate import evaluate
from nhan.evaluation.record import ConfusionCount, Result, Score
from nhan.evaluation.report import differences, read_curve, render_report, write_report
from nhan.images import encode_png
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
    start = {"seen": 0, "loss": 0.0, "scores": {}}
    assert render_report(evaluation, pictures={}, curve=[start, *curve]) == html, "no such loss"


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


def class_evaluation(evaluation, pairs, confidences=None):
    """The same record as one of classes, with these truths and answers."""
    results = [
        Result(
            sha256=f"{number:064x}",
            truth=truth,
            answer=answer,
            confidence=(confidences or [0.9] * len(pairs))[number],
            errors=float(truth != answer),
            weight=1.0,
            slices={"class": truth, "source": "shop"},
        )
        for number, (truth, answer) in enumerate(pairs)
    ]
    score = Score(value=0.5, low=0.2, high=0.8, samples=7)
    metrics = {"error": score, "recall of hoa hồng": score, "precision of hoa hồng": score}
    return evaluation.model_copy(
        update={
            "task": "classes",
            "metric": "error",
            "metrics": metrics,
            "results": results,
            "samples": len(results),
            "slices": {"class": {"sen": score}, "source": {"shop": score}},
            "confusions": {"classes": []},
        }
    )


def cells(html: str) -> dict[str, int]:
    """`truth → answer` of every cell of the grid to its count."""
    found = re.findall(r"<title>([^<]* → [^<]*): (\d+)</title>", html)
    return {pair: int(count) for pair, count in found}


def test_classes_show_every_answer_in_a_grid_even_without_a_fault(evaluation):
    pairs = [(str(digit), str(digit)) for digit in range(12) for _ in range(3)]
    html = render_report(class_evaluation(evaluation, pairs), pictures={})
    Page(html)
    shown = cells(html)
    assert len(shown) == 12 * 12
    assert {pair for pair, count in shown.items() if count} == {f"{d} → {d}" for d in range(12)}
    assert shown["2 → 2"] == 3
    # 10 stands after 9, not after 1.
    assert list(shown)[:12] == [f"0 → {digit}" for digit in range(12)]


def test_the_grid_tells_recall_and_precision_at_its_ends(evaluation):
    pairs = [("a", "a")] * 3 + [("a", "b")] + [("b", "b")] * 2
    text = Page(render_report(class_evaluation(evaluation, pairs), pictures={})).text
    assert cells(render_report(class_evaluation(evaluation, pairs), pictures={}))["a → b"] == 1
    assert "75 %" in text  # recall of a
    assert "67 %" in text  # precision of b


def test_of_many_classes_the_grid_shows_the_most_confused(evaluation):
    pairs = [(f"c{n}", f"c{n}") for n in range(60)] + [("c55", "c58")] * 4
    html = render_report(class_evaluation(evaluation, pairs), pictures={})
    assert cells(html)["c55 → c58"] == 4
    assert len(cells(html)) == 40 * 40
    assert "others are left out" in html


def test_hostile_class_names_stay_text_in_the_grid(evaluation):
    pairs = [(HOSTILE, "x" * 300), ("", HOSTILE)]
    page = Page(render_report(class_evaluation(evaluation, pairs), pictures={}))
    assert "script" not in {tag for tag, _ in page.tags}


def test_figures_of_single_classes_stand_in_a_table_of_their_own(evaluation):
    page = Page(render_report(class_evaluation(evaluation, [("sen", "sen")]), pictures={}))
    assert "recall of" not in page.text
    assert "hoa hồng" in page.text
    assert "Độ phủ" in page.text


def test_wrong_classes_are_shown_once_the_surest_first(evaluation):
    pairs, sure = [("sen", "mai")] * 3, [0.5, 0.99, 0.7]
    text = Page(render_report(class_evaluation(evaluation, pairs, sure), pictures={})).text
    assert "Sure, and wrong" not in text
    wrong = text[text.index("Wrong answers") : text.index("A fair sample")]
    # Each figure stands twice, once for either language.
    assert re.findall(r"confidenceđộ tin (\d+)", wrong) == ["9999", "7070", "5050"]


def test_tiny_pictures_are_enlarged_to_be_seen(evaluation):
    found = class_evaluation(evaluation, [("3", "3")])
    tiny = encode_png(np.zeros((8, 8, 3), np.uint8))
    page = Page(render_report(found, pictures={found.results[0].sha256: tiny}))
    (source,) = {attrs["src"] for tag, attrs in page.tags if tag == "img"}
    picture = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    assert picture.size == (96, 96)
