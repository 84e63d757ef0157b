"""import, audit, freeze and diff, as a script sees them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nhan.cli.main import run
from nhan.workspace import Workspace

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], workspace: Workspace) -> Call:
    def command(*words: object) -> tuple[int, str, str]:
        code = 0
        try:
            run([*map(str, words), "--workspace", str(workspace.root)])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture
def lines(tmp_path: Path, draw_line: Callable[..., bytes]) -> Path:
    folder = tmp_path / "lines"
    folder.mkdir()
    labels = {f"{number}.png": f"so {number} [bold]x[/] *{number}*" for number in range(20)}
    for name, label in labels.items():
        (folder / name).write_bytes(draw_line(label))
    (folder / "labels.json").write_text(json.dumps(labels))
    return folder


def test_from_a_folder_to_two_versions(call: Call, lines: Path) -> None:
    code, out, _ = call("import", lines, "--json")
    assert (code, json.loads(out)["added"]) == (0, 20)
    assert call("audit")[0] == 0
    code, first, remarks = call("freeze", "lines")
    assert code == 0
    assert first.startswith("lines@")
    assert first.count("\n") == 1
    assert "20 rows frozen" in remarks
    assert call("freeze", "lines")[1] == first

    labels = json.loads((lines / "labels.json").read_text())
    labels["0.png"] = "khác [/nowhere] hẳn"
    (lines / "labels.json").write_text(json.dumps(labels))
    code, out, _ = call("import", lines)
    assert "1 conflicts" in out
    code, out, _ = call("import", lines, "--relabel")
    assert "so 0 [bold]x[/] *0* → khác [/nowhere] hẳn" in out
    second = call("freeze", "lines")[1]
    assert second != first
    code, out, _ = call("diff", first.strip(), "lines", "--json")
    document = json.loads(out)
    assert (document["relabelled"], document["added"], document["moved"]) == (1, 0, 0)
    assert "1 relabelled" in call("diff", first.strip(), second.strip())[1]


def test_a_dry_run_says_so(call: Call, lines: Path) -> None:
    code, out, _ = call("import", lines, "--dry-run")
    assert code == 0
    assert "20 would be added" in out
    assert "nothing was written" in out
    assert call("freeze", "lines")[0] == 2


def test_the_report_file_lists_every_skipped_item(call: Call, lines: Path, tmp_path: Path) -> None:
    for number in range(15):
        (lines / f"{number}.png").unlink()
    code, out, _ = call("import", lines, "--report", tmp_path / "report.json")
    assert code == 0
    assert "15 × missing_picture" in out
    assert "… and 5 more" in out
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert len(report["skipped_items"]) == 15


def test_what_to_do_says_for_which_reason(call: Call, lines: Path) -> None:
    (lines / "0.png").write_bytes(b"")
    (lines / "1.png").write_text("no picture")
    out = call("import", lines)[1]
    assert "    bad_picture: send the file's bytes\n" in out
    assert "    unsupported_picture: send one of PNG" in out


def test_a_report_that_cannot_be_written_is_told_before_the_import(
    call: Call, lines: Path, workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    code, out, err = call("import", lines, "--report", tmp_path / "file" / "report.json")
    assert (code, out) == (2, "")
    assert "unexpected" not in err
    assert call("import", lines, "--json")[1].count('"added": 20') == 1


def test_an_import_of_which_nothing_is_left_fails(call: Call, lines: Path) -> None:
    for path in lines.glob("*.png"):
        path.unlink()
    code, _, err = call("import", lines)
    assert code == 1
    assert "error: none of the 20 items" in err
    assert "hint: " in err


def test_a_long_label_is_shown_by_its_ends(call: Call, lines: Path) -> None:
    labels = json.loads((lines / "labels.json").read_text())
    labels["0.png"] = "dài " * 500
    (lines / "labels.json").write_text(json.dumps(labels))
    out = call("import", lines)[1] + call("audit")[1]
    assert "time steps and the picture" in out
    assert max(map(len, out.splitlines())) < 300


def test_the_doctor_fails_where_something_must_be_fixed(call: Call, lines: Path) -> None:
    labels = json.loads((lines / "labels.json").read_text())
    labels["0.png"] = "Hа Nội"  # a Cyrillic а
    (lines / "labels.json").write_text(json.dumps(labels))
    call("import", lines)
    code, out, err = call("audit")
    assert code == 1
    assert "✗ error look_alike: 1" in out
    assert "error: 1 thing must be fixed" in err
    code, out, _ = call("audit", "--json")
    assert code == 1
    assert json.loads(out)["ok"] is False


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["import", "/nowhere"], "there is no /nowhere"),
        (["import", ".", "--split", "dev"], "no split 'dev'"),
        (["import", ".", "--task", "sound"], "no task 'sound'"),
        (["import", ".", "--group", "("], "no regular expression"),
        (["import", ".", "--layout", "xml"], "no layout 'xml'"),
        (["freeze", "a/b"], "cannot be the name"),
        (["uploads", "list", "--state", "done"], "no state 'done'"),
        (["diff", "a", "b"], "no dataset 'a'"),
    ],
)
def test_mistakes_are_named_and_exit_with_two(call: Call, words: list[str], message: str) -> None:
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
