from __future__ import annotations

import platform
from pathlib import Path

import pytest

from nhan.inference import session


@pytest.mark.parametrize(
    ("machine", "flags", "unpacked"),
    [
        ("x86_64", "fpu avx avx2 fma", True),
        ("x86_64", "fpu avx avx2 fma avx512f avx512_vnni", False),
        ("x86_64", "fpu sse4_2", False),
        ("aarch64", "fp asimd avx2", False),
    ],
)
def test_weights_stay_unpacked_only_where_that_was_measured(
    machine: str, flags: str, unpacked: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    information = tmp_path / "cpuinfo"
    information.write_text(f"processor : 0\nflags : {flags}\n", encoding="ascii")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(session, "_CPU_INFORMATION", information)
    assert session._row_kernel_wins.__wrapped__() is unpacked


def test_without_the_processors_flags_nothing_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(session, "_CPU_INFORMATION", tmp_path / "none")
    assert session._row_kernel_wins.__wrapped__() is False
