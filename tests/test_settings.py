"""Settings: file, environment, and mistakes named with the nearest right key."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from nhan.errors import SettingsError
from nhan.settings import Settings, default_file, key_names, load_settings


def write(folder: Path, text: str) -> Path:
    (folder / "nhan.toml").write_text(text, encoding="utf-8")
    return folder


def test_defaults_without_a_file(tmp_path: Path) -> None:
    settings = load_settings(tmp_path)
    assert settings.serve.port == 8000
    assert settings.serve.host == "127.0.0.1"
    assert settings.images.max_pixels == 40_000_000


def test_the_file_is_read_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, '[serve]\nport = 9000\nhost = "::1"\n[split]\ntest = 0.2\n')
    monkeypatch.setenv("NHAN_SERVE__PORT", "9100")
    settings = load_settings(tmp_path)
    assert (settings.serve.port, settings.serve.host, settings.split.test) == (9100, "::1", 0.2)


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("[serve]\nprot = 9000\n", "serve.port"),
        ("[split]\ntset = 0.5\n", "split.test"),
        ("[images]\nmax_byte = 5\n", "images.max_bytes"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(
    tmp_path: Path, text: str, nearest: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, text))
    assert "unknown setting" in caught.value.message
    assert nearest in caught.value.hint


def test_an_unknown_variable_is_refused_with_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NHAN_SERVE__PROT", "1")
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path)
    assert "NHAN_SERVE__PROT" in caught.value.message
    assert "NHAN_SERVE__PORT" in caught.value.hint


def test_a_wrong_value_names_key_value_and_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, '[serve]\nport = "eight"\n'))
    assert "serve.port" in caught.value.message
    assert "eight" in caught.value.message
    assert "nhan.toml" in caught.value.message


def test_a_share_outside_its_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"split\.test"):
        load_settings(write(tmp_path, "[split]\ntest = 1.5\n"))


@pytest.mark.parametrize(
    "text",
    [
        "shadow = ['vi-line']",
        "shadow = ['vi line@2']",
        "shadow = ['vi-line@0']",
        "canary = {vi-line = 0.1}",
        "canary = {'vi-line@2' = 1.5}",
        "canary = {'vi-line@2' = nan}",
        f"shadow = ['vi-line@{'9' * 5000}']",
    ],
)
def test_a_candidate_that_cannot_be_tried_is_refused_with_the_settings(
    tmp_path: Path, text: str
) -> None:
    """The front process died of it, and the next one too."""
    with pytest.raises(SettingsError, match=r"serve\.(shadow|canary)") as caught:
        load_settings(write(tmp_path, f"[serve]\n{text}\n"))
    assert "NAME@VERSION" in caught.value.hint


def test_candidates_are_read(tmp_path: Path) -> None:
    text = "[serve]\nshadow = ['a@2']\ncanary = {'b.c-d@10' = 0.5}\n"
    serve = load_settings(write(tmp_path, text)).serve
    assert (serve.shadow, serve.canary) == (["a@2"], {"b.c-d@10": 0.5})


def test_a_wrong_variable_is_named_and_not_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "[serve]\nport = 9000\n")
    for name, value in (("NHAN_SERVE__PORT", "many"), ("NHAN_SERVE", '{"port": "many"}')):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            with pytest.raises(SettingsError, match=f"in the variable {name}:"):
                load_settings(tmp_path)


def test_a_variable_like_no_other_has_no_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NHAN_FOO", "1")
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path)
    assert "did you mean" not in caught.value.hint


def test_a_value_where_a_table_must_be_is_explained(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"setting gate = 3 .*: it is a table") as caught:
        load_settings(write(tmp_path, "gate = 3\n"))
    assert "[gate]" in caught.value.hint


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, "\ufeff[serve]\nport = 9000\n")).serve.port == 9000


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nhan.toml").write_bytes("# cà phê".encode("cp1258"))
    with pytest.raises(SettingsError, match="not UTF-8"):
        load_settings(tmp_path)


def test_what_is_no_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not valid TOML"):
        load_settings(write(tmp_path, "[serve\n"))


def test_the_default_file_lists_every_setting_and_changes_nothing(tmp_path: Path) -> None:
    text = default_file()
    assert load_settings(write(tmp_path, text)) == Settings()
    uncommented = "\n".join(
        line.removeprefix("# ") if " = " in line else line for line in text.splitlines()[1:]
    )
    values = tomllib.loads(uncommented)
    listed = {f"{table}.{key}" for table, keys in values.items() for key in keys}
    assert listed == set(key_names(Settings))
    assert load_settings(write(tmp_path, uncommented)) == Settings()
