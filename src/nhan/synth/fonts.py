"""Which font files can write Vietnamese, and what each looks like.

Files are looked for in the folder the recipe names (or `NHAN_FONTS`), in the system's font folders,
and, so that there always is one, in matplotlib's own copy of DejaVu. A face is used for a line only
if its character map holds every character of that line: a missing glyph would draw a box and teach
the reader that boxes are letters.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from fontTools import ttLib
from PIL import Image, ImageFont

from nhan.errors import UserError
from nhan.tasks.text.alphabet import ACCENTED

SYSTEM_FOLDERS = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path("~/.fonts"))
# What a face must hold to be called Vietnamese. Other marks are checked line by line.
NEEDED = frozenset(ACCENTED) | frozenset(map(chr, range(33, 127))) - frozenset("`^~|\\{}")
_LATIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,-:/()")
# Vietnamese, Latin, punctuation and currency lie below; a face's other scripts are no use here.
_LAST_CODE = 0x20CF
_SUFFIXES = (".ttf", ".otf")

# Faces kept open: a file at each size counts. They cost about half a megabyte each.
_OPEN = 768
STYLES = ("serif", "sans", "mono", "condensed", "display", "handwriting", "script", "bitmap")
# Names that tell a style where the file's own classification does not, looked up in order.
_BY_NAME = (
    ("bitmap", "vt323 unifont 3270 terminus pixel ocr-b ocrb"),
    (
        "script",
        "great-vibes allura alex-brush italianno qwigley smooch merienda caramel puppies-play "
        "ruthie sassy-frass whisper windsong nautigal gwendolyn ephesis estonia grechen kolker "
        "licorice meow-script twinkle-star vujahday water-brush waterfall updock inspiration "
        "island-moments comforter birthstone montecarlo ingrid-darling my-soul send-flowers "
        "moon-dance charmonman lobster pacifico lemonada sacramento mr-dafoe saint-delafield "
        "stalemate bilbo condiment pattaya oooh-baby chorus",
    ),
    (
        "handwriting",
        "patrick-hand pangolin dancing-script itim mali- sriracha charm- playpen shantell "
        "playwrite sedgwick mansalva mynerve fuzzy-bubbles square-peg caveat kalam edu- "
        "comicneue comic-neue hand ecolier femke breip humor rufscript amatic",
    ),
    (
        "display",
        "alfa-slab bangers bungee paytone sigmar coiny chonburi yeseva bevan black-ops stencil "
        "dela-gothic potta rowdies viaoda grenze-gotisch archivo-black anton nerko grandstander "
        "baloo farsan",
    ),
    ("mono", "mono courier cousine typewriter inconsolata source-code cursor hack- consol"),
    ("condensed", "condensed narrow oswald shoulders francois mohave heroscn"),
    ("sans", "sans gothic arimo heros adventor roboto- inter- lato montserrat grotesk tuffy"),
    (
        "serif",
        "serif slab roman times tinos garamond termes pagella bonum schola libertin gentium lora "
        "merriweather playfair bitter crimson spectral alegreya vollkorn prata old-standard "
        "podkova rokkitt faustina manuale literata newsreader fraunces piazzolla petrona gelasio "
        "judson taviraj trirong pridi maitree philosopher david-libre caladea charis doulos "
        "junicode cormorant cmunrm cmunti cmunbx fahkwang",
    ),
)
# Faces that hold every code point and draw each as a placeholder.
_PLACEHOLDERS = ("last resort", "unifont sample", "tofu")
_WEIGHT_AND_SLANT = re.compile(
    r"[-_]?(\d00-\w+|(regular|roman|bold|italic|oblique|slant(ed)?|medium|light|thin|black|hairline"
    r"|book|extra|semi|demi|ultra|heavy|condensed|cond|expanded|display|\d+)*)$"
)
_PROBES = "aăâbdđeêghinoôơrtuưy"


@dataclass(frozen=True)
class Face:
    """One font file.

    Attributes:
        path: the file.
        name: file name without its suffix; what recipes and `Line.font` call it.
        family: the family name inside the file.
        style: one of `STYLES`.
        characters: what its character map holds, space included.
        vietnamese: it holds all 134 accented letters, digits, ASCII letters and punctuation.
        capitals: small letters are drawn as capitals, so it may only write text in capitals.
    """

    path: str
    name: str
    family: str
    style: str
    characters: frozenset[str]
    vietnamese: bool
    capitals: bool = False

    @property
    def group(self) -> str:
        """The family with its weights and widths together: what a draw should count once."""
        return _WEIGHT_AND_SLANT.sub("", self.name.lower())

    def writes(self, text: str) -> bool:
        """Whether every character of `text` has a glyph."""
        return self.characters.issuperset(text)


@lru_cache(maxsize=_OPEN)
def load(path: str, size: int, *, shaping: bool = False) -> ImageFont.FreeTypeFont:
    """The face at a size in pixels per em; kept, because opening one costs as much as a word."""
    engine = ImageFont.Layout.RAQM if shaping else ImageFont.Layout.BASIC
    return ImageFont.truetype(path, size, layout_engine=engine)


def characters_of(path: Path) -> frozenset[str]:
    """What a font file can write; nothing if it is no font that we can read."""
    try:
        with path.open("rb") as file, ttLib.TTFont(file, lazy=True, fontNumber=0) as font:
            codes = font.getBestCmap() or {}
    except (ttLib.TTLibError, OSError, KeyError, AssertionError, ValueError):
        return frozenset()
    return frozenset(chr(code) for code in codes if 32 <= code <= _LAST_CODE)


def name_of(path: Path) -> tuple[str, str]:
    """Family and style names written in a font file."""
    with path.open("rb") as file, ttLib.TTFont(file, lazy=True, fontNumber=0) as font:
        table = font["name"]
        return str(table.getDebugName(1) or path.stem), str(table.getDebugName(2) or "Regular")


def classify(name: str, family: str, panose: tuple[int, int] = (0, 0)) -> str:
    """The style of a face, from its names, else from its PANOSE family and serif classes."""
    words = f"{name} {family}".lower().replace(" ", "-")
    for style, marks in _BY_NAME:
        if any(mark in words for mark in marks.split()):
            return style
    kind, serif = panose
    if kind == 3:
        return "script"
    return "serif" if kind == 2 and 2 <= serif <= 10 else "sans"


def _panose(path: Path) -> tuple[int, int]:
    with path.open("rb") as file, ttLib.TTFont(file, lazy=True, fontNumber=0) as font:
        panose = font["OS/2"].panose if "OS/2" in font else None
    return (panose.bFamilyType, panose.bSerifStyle) if panose else (0, 0)


def _shape(font: ImageFont.FreeTypeFont, char: str) -> np.ndarray:
    """The glyph stretched to 16 by 16, so that shapes compare whatever their size."""
    mask = font.getmask(char, mode="L")
    image = (
        Image.frombytes("L", mask.size, bytes(mask)) if min(mask.size) else Image.new("L", (1, 1))
    )
    return np.asarray(image.resize((16, 16), Image.Resampling.BOX), np.float32) / 255.0


def draws_capitals_only(path: str) -> bool:
    """Whether small letters look like capitals (a unicase or small-capitals face)."""
    if re.search(r"-sc-|caps\d*-|rock-salt", Path(path).name.lower()):
        return True
    font = load(path, 48)
    same = 0
    for char in "abdeghnqrt":
        small, capital = _shape(font, char), _shape(font, char.upper())
        # Share of the ink the two have in common; hairlines need the division.
        same += bool(np.minimum(small, capital).sum() > 0.82 * np.maximum(small, capital).sum())
    return same >= 5


def draws_letters(path: str, characters: frozenset[str]) -> bool:
    """Whether the probes it claims to hold give ink, and each its own (placeholders do not)."""
    font = load(path, 32)
    claimed = [c for c in _PROBES if c in characters]
    drawn = [bytes(font.getmask(c, mode="L")) for c in claimed]
    return all(any(ink) for ink in drawn) and len(set(drawn)) == len(drawn)


def font_files(folders: Iterable[Path]) -> Iterator[Path]:
    """The font files under some folders, sorted, each once."""
    seen = set()
    for folder in folders:
        for path in sorted(folder.expanduser().rglob("*")):
            if path.suffix.lower() in _SUFFIXES and path.is_file() and path.name not in seen:
                seen.add(path.name)
                yield path


def _dejavu() -> list[Path]:
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or spec.origin is None:
        return []
    return sorted((Path(spec.origin).parent / "mpl-data/fonts/ttf").glob("DejaVuS*.ttf"))


def _read_face(path: Path) -> Face | None:
    held = characters_of(path)
    if not held >= _LATIN:
        return None
    try:
        family, _ = name_of(path)
        if family.lower().startswith(_PLACEHOLDERS) or not draws_letters(str(path), held):
            return None
        vietnamese = held >= NEEDED
        style = classify(path.stem, family, _panose(path))
        if not vietnamese and path.parent.name == "latin":
            style = "handwriting"  # recipes/fonts.sh puts nothing else there
        capitals = draws_capitals_only(str(path))
    except (OSError, KeyError, ValueError, ttLib.TTLibError):
        return None  # FreeType or fontTools cannot read what the character map promised
    return Face(str(path), path.stem, family, style, held | {" "}, vietnamese, capitals)


def cache_folder() -> Path:
    """Where slow answers about fonts are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nhan"


def _cached_faces(paths: list[Path]) -> list[Face]:
    """Reading a thousand character maps takes half a minute; the answer is kept for next time."""
    stamp = "\n".join(f"{p} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in paths)
    digest = hashlib.sha256(f"5\n{stamp}\n{_BY_NAME}{sorted(NEEDED)}".encode()).hexdigest()
    cache = cache_folder() / f"fonts-{digest[:24]}.json"
    if cache.is_file():
        rows = json.loads(cache.read_text("utf-8"))
        return [Face(p, n, f, s, frozenset(c), v, u) for p, n, f, s, c, v, u in rows]
    faces = [face for path in paths if (face := _read_face(path))]
    rows = [
        (f.path, f.name, f.family, f.style, "".join(sorted(f.characters)), f.vietnamese, f.capitals)
        for f in faces
    ]
    with contextlib.suppress(OSError):  # a read-only home only costs the half minute again
        cache.parent.mkdir(parents=True, exist_ok=True)
        partial = cache.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(rows, ensure_ascii=False), "utf-8")
        partial.replace(cache)
    return faces


@lru_cache(maxsize=16)
def find(folder: str = "") -> tuple[Face, ...]:
    """All usable faces: those of the folder, the system's and DejaVu, sorted by file name.

    Args:
        folder: a folder of font files; empty means the one that `NHAN_FONTS` names, if any. With a
            folder the system's fonts are left out, so that a recipe means the same everywhere.

    Returns:
        Faces that write at least Latin letters and digits; at least one is Vietnamese.

    Raises:
        UserError: the folder is missing, or no face at all writes Vietnamese.
    """
    folder = folder or os.environ.get("NHAN_FONTS", "")
    if folder and not Path(folder).is_dir():
        raise UserError(f"no font folder at {folder}", hint="give a folder of .ttf or .otf files")
    # A folder made by recipes/fonts.sh also keeps the packages it was made from.
    parts = [Path(folder) / n for n in ("vi", "latin") if folder and (Path(folder) / n).is_dir()]
    folders = (parts or [Path(folder)]) if folder else list(SYSTEM_FOLDERS)
    paths = list(font_files(folders))
    known = {path.name for path in paths}
    faces = _cached_faces(paths + [path for path in _dejavu() if path.name not in known])
    if not any(face.vietnamese for face in faces):
        raise UserError(
            "no font on this machine writes all Vietnamese letters",
            hint="install fonts-dejavu-core, or run recipes/fonts.sh and set NHAN_FONTS",
        )
    return tuple(sorted(faces, key=lambda face: (face.name, face.path)))


def select(
    faces: Iterable[Face], *, only: Iterable[str] = (), without: Iterable[str] = ()
) -> tuple[Face, ...]:
    """Keep or drop families.

    Args:
        faces: what `find` gave.
        only: names or beginnings of names, case ignored, of the files to keep; empty keeps all.
        without: the same for files to drop.

    Raises:
        UserError: nothing that writes Vietnamese is left.
    """
    keep, drop = tuple(n.lower() for n in only), tuple(n.lower() for n in without)
    left = tuple(
        face
        for face in faces
        if (not keep or face.name.lower().startswith(keep))
        and not (drop and face.name.lower().startswith(drop))
    )
    if not any(face.vietnamese for face in left):
        raise UserError(
            "the recipe leaves no font that writes Vietnamese",
            hint="look at its fonts_only and fonts_without, and at NHAN_FONTS",
        )
    return left
