from __future__ import annotations

from pathlib import Path

import pytest
from fontTools import subset, ttLib
from fontTools.pens.recordingPen import DecomposingRecordingPen

from nhan.errors import UserError
from nhan.synth import fonts
from nhan.synth.fontmerge import merge_subsets


def _cut(source: Path, out: Path, characters: str) -> Path:
    with ttLib.TTFont(source) as font:
        cutter = subset.Subsetter()
        cutter.populate(text=characters)
        cutter.subset(font)
        font.save(out)
    return out


def _outline(file: Path, letter: str) -> list[object]:
    with ttLib.TTFont(file) as font:
        glyphs = font.getGlyphSet()
        pen = DecomposingRecordingPen(glyphs)
        glyphs[font.getBestCmap()[ord(letter)]].draw(pen)
    return list(pen.value)


def test_dejavu_is_always_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NHAN_FONTS", str(tmp_path))
    fonts.find.cache_clear()
    found = fonts.find()
    fonts.find.cache_clear()
    assert any(face.name == "DejaVuSans" and face.vietnamese for face in found)


def test_a_face_without_some_letters_is_not_vietnamese(tmp_path: Path, dejavu: Path) -> None:
    _cut(dejavu / "DejaVuSans.ttf", tmp_path / "Cut.ttf", "".join(fonts.NEEDED - {"ẵ"}))
    face = next(face for face in fonts.find(str(tmp_path)) if face.name == "Cut")
    assert not face.vietnamese
    assert face.writes("chữ Việt")
    assert not face.writes("sẵn")


def test_a_face_that_draws_boxes_is_left_out(tmp_path: Path, dejavu: Path) -> None:
    with ttLib.TTFont(dejavu / "DejaVuSans.ttf") as font:
        for table in font["cmap"].tables:
            table.cmap = dict.fromkeys(table.cmap, "A")
        font.save(tmp_path / "Boxes.ttf")
    assert "Boxes" not in {face.name for face in fonts.find(str(tmp_path))}


def test_a_face_of_capitals_is_known(tmp_path: Path, dejavu: Path) -> None:
    with ttLib.TTFont(dejavu / "DejaVuSans.ttf") as font:
        for table in font["cmap"].tables:
            glyphs = table.cmap
            for code in list(glyphs):
                upper = chr(code).upper()
                if len(upper) == 1 and ord(upper) in glyphs:
                    glyphs[code] = glyphs[ord(upper)]
        font.save(tmp_path / "Loud.ttf")
    # Placeholder checks compare letters, and a capital equals its small letter only.
    loud = next(face for face in fonts.find(str(tmp_path)) if face.name == "Loud")
    assert loud.capitals
    assert not next(f for f in fonts.find(str(tmp_path)) if f.name == "DejaVuSans").capitals


def test_broken_files_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"no font at all")
    assert all(face.name != "broken" for face in fonts.find(str(tmp_path)))


def test_families_can_be_kept_and_dropped(dejavu: Path) -> None:
    found = fonts.find(str(dejavu))
    only = fonts.select(found, only=["dejavuserif"])
    assert {face.group for face in only} == {"dejavuserif"}
    assert all("Mono" not in face.name for face in fonts.select(found, without=["DejaVuSansMono"]))
    with pytest.raises(UserError):
        fonts.select(found, only=["nothing"])


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        fonts.find(str(tmp_path / "absent"))
    assert "absent" in caught.value.message


@pytest.mark.parametrize(
    ("name", "style"),
    [
        ("playwrite-vn-400-normal", "handwriting"),
        ("great-vibes-400-normal", "script"),
        ("roboto-mono-400-normal", "mono"),
        ("barlow-condensed-500-normal", "condensed"),
        ("merriweather-sans-400-normal", "sans"),
        ("merriweather-400-italic", "serif"),
        ("DejaVuSerif-Bold", "serif"),
        ("unknown-face", "sans"),
    ],
)
def test_styles_are_told_from_names(name: str, style: str) -> None:
    assert fonts.classify(name, "") == style


def test_weights_and_slants_of_a_family_count_once() -> None:
    names = ["bitter-400-italic", "bitter-900-normal", "TeXGyreTermes-BoldItalic", "cmunrm"]
    groups = [fonts.Face("", n, "", "serif", frozenset(), vietnamese=True).group for n in names]
    assert groups == ["bitter", "bitter", "texgyretermes", "cmunrm"]


def test_subsets_of_a_family_become_one_face(tmp_path: Path, dejavu: Path) -> None:
    source = dejavu / "DejaVuSans.ttf"
    latin = "".join(map(chr, range(32, 127)))
    parts = [
        _cut(source, tmp_path / "latin.ttf", latin),
        _cut(source, tmp_path / "vi.ttf", "".join(sorted(fonts.NEEDED - set(latin)))),
    ]
    merge_subsets(parts, tmp_path / "whole.ttf")
    assert fonts.characters_of(tmp_path / "whole.ttf") >= fonts.NEEDED
    for letter in "Ễđa":
        assert _outline(tmp_path / "whole.ttf", letter) == _outline(source, letter)
