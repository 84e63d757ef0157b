"""The command line's manners: exit codes, `error:` and `hint:` on stderr, nothing else."""

from __future__ import annotations

import errno
import os
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


@pytest.mark.parametrize("name", ["keys", "labelstudio", "loop", "review", "uploads"])
def test_a_command_with_commands_of_its_own_names_them_in_two_lines(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, name)
    assert (code, out) == (2, "")
    error, hint = err.splitlines()
    assert error.startswith(f"error: nhan {name} needs one of its commands: ")
    assert len(error.split(", ")) > 2
    assert hint == f"hint: nhan {name} --help"


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


@pytest.mark.parametrize(
    "words", [("uploads",), ("review", "decide"), ("keys", "add"), ("labelstudio",), ("models",)]
)
def test_help_is_short_too_and_a_mistake_names_its_own_command(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capsys, *words, "-h")
    assert code == 0
    assert out.startswith(f"Usage: nhan {' '.join(words)}")
    code, _, err = call(capsys, *words, "--nonsense")
    assert code == 2
    assert f"hint: nhan {' '.join(words)} --help" in err


@pytest.mark.parametrize(
    "words",
    [
        ("serve", "--port", "99999"),
        ("serve", "--admin-port", "-1"),
        ("serve", "--workers", "-3"),
        ("serve", "--grace", "-1"),
        ("--workspace=", "models"),
    ],
)
def test_a_number_out_of_range_is_refused_before_anything_begins(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, *words)
    assert (code, out) == (2, "")
    assert "unexpected" not in err


def test_a_path_that_cannot_be_used_is_the_users_mistake(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        code, _, err = call(capsys, "init", str(folder))
        assert code == 2
        assert str(tmp_path / "file") in err
        assert "unexpected" not in err


def test_a_full_disk_is_no_mistake_of_the_users(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, *_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", full)
    code, _, err = call(capsys, "init", str(tmp_path / "shop"))
    assert code == 1
    assert "No space left on device" in err
    assert "hint: make room" in err


def test_letters_survive_any_locale(tmp_path: Path) -> None:
    """In a pipe they are UTF-8 still; a terminal that lacks them shows something else."""
    program = f"from nhan.cli.main import run\nrun(['init', {str(tmp_path / 'cửa hàng')!r}])\n"
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=ascii_only)
    assert done.returncode == 0, done.stderr
    assert "cửa hàng" in done.stdout.decode("utf-8")
    terminal = "import pty, sys; sys.exit(pty.spawn([sys.executable, '-m', 'nhan', 'doctor']) >> 8)"
    done = subprocess.run(
        [sys.executable, "-c", terminal], capture_output=True, env=ascii_only, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout
    assert b"onnxruntime" in done.stdout


def test_a_reader_that_has_gone_is_no_failure() -> None:
    """`nhan … | head -1`."""
    command = f"{sys.executable} -m nhan doctor --settings | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


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
