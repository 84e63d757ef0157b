"""The command line's manners: exit codes, `error:` and `hint:` on stderr, nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nhan.cli.main import COMMANDS, run


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_:
        run(list(words))
    captured = capsys.readouterr()
    return int(exit_.value.code or 0), captured.out, captured.err


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "--help")
    assert code == 0
    for name, (_, summary) in COMMANDS.items():
        assert f"  {name} " in out
        assert summary in out


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capsys, name, "--help")
    assert code == 0
    assert "Example" in out


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "frieze")
    assert (code, out) == (2, "")
    assert err.startswith("error: no command 'frieze'\n")
    assert "hint: did you mean `nhan freeze`?" in err


def test_a_wrong_option_is_the_users_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "init", "--objcets", "x", "y")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert "hint: nhan init --help" in err


def test_a_missing_workspace_says_how_to_make_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, _, err = call(capsys, "freeze", "lines", "--workspace", str(tmp_path / "none"))
    assert code == 2
    assert "is no workspace" in err
    assert "hint: nhan init" in err


@pytest.mark.parametrize("words", [("serve",), ("predict", "line.png"), ("models",)])
def test_a_workspace_that_was_named_must_exist(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, _, err = call(capsys, *words, "--workspace", str(tmp_path / "none"))
    assert code == 2
    assert "is no workspace" in err


def test_workspace_option_stands_before_or_after_the_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run_words = [["--workspace", str(tmp_path)], [f"--workspace={tmp_path}"]]
    for words in run_words:
        before = call(capsys, *words, "freeze", "lines")
        after = call(capsys, "freeze", "lines", *words)
        assert before == after
        assert str(tmp_path) in before[2]


def test_init_twice_is_refused_and_changes_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    target = tmp_path / "shop"
    assert call(capsys, "init", str(target))[0] == 0
    written = (target / "nhan.toml").read_text()
    code, _, err = call(capsys, "init", str(target), "--catalog", "sqlite:///other.db")
    assert code == 2
    assert "is a workspace already" in err
    assert (target / "nhan.toml").read_text() == written


def test_python_dash_m_is_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nhan", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("nhan ")


def test_help_imports_no_heavy_package() -> None:
    program = (
        "import sys; sys.argv=['nhan','--help']\n"
        "from nhan.cli.main import run\n"
        "try: run()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch','onnxruntime','pyarrow','sqlalchemy','fastapi'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
