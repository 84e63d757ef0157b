"""Which face writes a line: styles by look, families by chance, glyphs for certain."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from nhan.synth import handwriting
from nhan.synth.dice import Dice
from nhan.synth.fonts import Face
from nhan.synth.strokes import is_clean

# How often each style of face is drawn, by look.
_SHARES = """
             print  scan  photo  receipt  card  scene  handwriting  short
serif           32    55     48        4    25     10            0     28
sans            36    25     34       28    45     34            0     40
mono             8    12      7       30    10      0            0     10
condensed        8     4      6       24    15     20            0     10
display          6     2      3        0     3     28            0      6
script           3     0      1        0     0      8           30      0
handwriting      4     0      0        0     0      0           70      3
bitmap           2     1      1       14     0      0            0      3
"""
_CURSIVE = ("script", "handwriting")
_BOLD = re.compile(r"[6-9]00|bold|black|heavy", re.IGNORECASE)  # their centre lines are no pen's


def _shares() -> Mapping[str, Mapping[str, float]]:
    looks, *rows = (row.split() for row in _SHARES.strip().splitlines())
    return {
        look: {row[0]: float(row[column]) for row in rows}
        for column, look in enumerate(looks, start=1)
    }


STYLES = _shares()


class Cast:
    """The faces of a recipe, drawn by style, each family as often as any other of its style."""

    def __init__(self, faces: tuple[Face, ...]) -> None:
        """Sort faces by style and family.

        Args:
            faces: at least one writes all of Vietnamese.
        """
        whole = [face for face in faces if face.vietnamese]
        self._styles = {
            style: _families(face for face in whole if face.style == style)
            for style in {face.style for face in whole}
        }
        self._fallback = min(whole, key=_plainness)
        self._hands = _families(
            face for face in faces if face.style == "handwriting" and not _BOLD.search(face.name)
        )

    def face(self, dice: Dice, look: str, text: str) -> Face:
        """A face that writes the text (in capitals, if it is a face of capitals)."""
        shares = {s: share for s, share in STYLES[look].items() if share and s in self._styles}
        shares = shares or dict.fromkeys(sorted(self._styles), 1.0)
        for _ in range(6):
            face = dice.pick(dice.pick(self._styles[dice.weighted(shares)]))
            # Nobody sets capitals in a script face, and nobody could read them.
            shouted = face.style == "script" and text.isupper() and len(text) > 3
            if face.writes(text.upper() if face.capitals else text) and not shouted:
                return face
        return self._fallback

    def companion(self, dice: Dice, face: Face, text: str) -> Face:
        """Another face for a part of the same line: mostly a weight of the same family."""
        family = next((f for f in self._styles[face.style] if face in f), [face])
        family = family if dice.chance(0.7) else dice.pick(self._styles[face.style])
        other = dice.pick(family)
        return other if other.writes(text) and not other.capitals else face

    def hand(self, dice: Dice, text: str) -> Face | None:
        """A face whose letters a pen could follow; None if none holds the text's letters."""
        for _ in range(6):
            face = dice.pick(dice.pick(self._hands)) if self._hands else self._fallback
            if face.capitals and not text.isupper():
                continue
            if handwriting.can_write(face, text) and is_clean(face.path):
                return face
        return self._fallback if handwriting.can_write(self._fallback, text) else None


def _families(faces: Iterable[Face]) -> list[list[Face]]:
    table: dict[str, list[Face]] = {}
    for face in faces:
        table.setdefault(face.group, []).append(face)
    return list(table.values())


def _plainness(face: Face) -> tuple[bool, str]:
    return (not face.name.startswith("DejaVuSans"), face.name)
