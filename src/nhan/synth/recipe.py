"""What lines to make: shares of kinds and texts, fonts, sizes, how hard.

A recipe is data: the named ones below, or a table `[synth]` (or the top level) of a TOML file.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from nhan.errors import SettingsError

KINDS = ("print", "scan", "photo", "receipt", "card", "scene", "handwriting", "short")
TEXTS = (
    "sentence",
    "phrase",
    "syllables",
    "rare",
    "address",
    "locality",
    "name",
    "field",
    "receipt",
    "number",
    "sign",
    "heading",
    "english",
    "code",
    "unmarked",
)


def _known(names: tuple[str, ...], *, may_be_empty: bool = False) -> AfterValidator:
    def check(shares: dict[str, float]) -> dict[str, float]:
        for name, share in shares.items():
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                raise ValueError(f"unknown name {name!r}; did you mean {(near or names)[0]!r}?")
            if share < 0:
                raise ValueError(f"{name} has the negative share {share}")
        if not sum(shares.values()) > 0 and not (may_be_empty and not shares):
            raise ValueError("all shares are 0")
        return shares

    return AfterValidator(check)


class Recipe(BaseModel):
    """A frozen description of a stream of lines.

    Attributes:
        name: for reports.
        kinds: share of each look in `KINDS`; shares need not add up to 1.
        texts: how much likelier than usual each text of `TEXTS` is; empty keeps the habits of each
            kind (receipts show goods, cards show fields, …).
        difficulty: 0 (clean, large, straight) to 1 (everything the kind can suffer); a curriculum
            raises it.
        min_height, max_height: of the pictures, in pixels.
        max_width: of the pictures, in pixels; longer texts are cut at a space.
        max_chars: longest text.
        tight: share of lines cropped to the ink's edge.
        fonts: a folder of font files; empty means `NHAN_FONTS`, else the system's fonts.
        fonts_only, fonts_without: beginnings of font file names to keep or leave out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "default"
    kinds: Annotated[dict[str, float], _known(KINDS)] = Field(
        default={
            "print": 0.16,
            "scan": 0.14,
            "photo": 0.15,
            "receipt": 0.12,
            "card": 0.09,
            "scene": 0.10,
            "handwriting": 0.16,
            "short": 0.08,
        }
    )
    texts: Annotated[dict[str, float], _known(TEXTS, may_be_empty=True)] = Field(default={})
    difficulty: float = Field(default=0.7, ge=0.0, le=1.0)
    min_height: int = Field(default=18, ge=12, le=400)
    max_height: int = Field(default=112, ge=16, le=400)
    max_width: int = Field(default=1600, ge=64)
    max_chars: int = Field(default=90, ge=1, le=400)
    tight: float = Field(default=0.15, ge=0.0, le=1.0)
    fonts: str = ""
    fonts_only: tuple[str, ...] = ()
    fonts_without: tuple[str, ...] = ()

    def with_(self, **changes: Any) -> Recipe:
        """A copy with some fields changed and checked.

        Raises:
            SettingsError: an unknown field or a value out of range.
        """
        return _build({**self.model_dump(), **changes}, self.name)

    def key(self) -> str:
        """The recipe as one line of JSON, the same for equal recipes."""
        return json.dumps(self.model_dump(), sort_keys=True, ensure_ascii=False)

    def __hash__(self) -> int:
        return hash(self.key())


def _build(values: dict[str, Any], where: str) -> Recipe:
    try:
        return Recipe(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        hint = first["msg"]
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, Recipe.model_fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see nhan.synth.Recipe for the fields"
        raise SettingsError(f"recipe {where}: {name} = {first['input']!r}", hint=hint) from error


def load_recipe(source: str | Path) -> Recipe:
    """A named recipe, or one from a TOML file.

    Args:
        source: a key of `RECIPES`, or the path of a TOML file whose table `[synth]`, or whose top
            level, holds fields of `Recipe`. A field `base` names the recipe it starts from, and an
            item "@FILE" in a list of fonts stands for the lines of a file beside it.

    Raises:
        SettingsError: no such recipe or file, or a field that is unknown or out of range.
    """
    if str(source) in RECIPES:
        return RECIPES[str(source)]
    path = Path(source)
    if not path.is_file():
        names = ", ".join(RECIPES)
        raise SettingsError(f"no recipe {source}", hint=f"give a TOML file or one of: {names}")
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is no TOML: {error}", hint="mend the file") from error
    table = dict(table.get("synth", table))
    base = table.pop("base", "default")
    if base not in RECIPES:
        raise SettingsError(f"recipe {path}: base = {base!r}", hint=f"one of: {', '.join(RECIPES)}")
    for name in ("fonts_only", "fonts_without"):
        if isinstance(table.get(name), list):
            table[name] = [n for item in table[name] for n in _listed(path, name, item)]
    return _build({**RECIPES[base].model_dump(), "name": path.stem, **table}, str(path))


def _listed(recipe: Path, field: str, item: object) -> list[object]:
    if not (isinstance(item, str) and item.startswith("@")):
        return [item]
    file = recipe.parent / item[1:]
    if not file.is_file():
        raise SettingsError(
            f"recipe {recipe}: {field} names {item}", hint=f"there is no file {file}"
        )
    rows = (row.split("#")[0].strip() for row in file.read_text("utf-8").splitlines())
    return [row for row in rows if row]


DEFAULT = Recipe()
RECIPES = MappingProxyType(
    {
        "default": DEFAULT,
        # Five named tests of a reader, each one difficulty of its own.
        "clean": Recipe(name="clean", kinds={"print": 1}, difficulty=0.0, tight=0.0),
        "degraded": Recipe(name="degraded", kinds={"scan": 1}, difficulty=0.8),
        "photo": Recipe(name="photo", kinds={"photo": 3, "receipt": 1, "card": 1}),
        "handwriting": Recipe(name="handwriting", kinds={"handwriting": 1}),
        "short": Recipe(name="short", kinds={"short": 1}, difficulty=0.4),
    }
)
