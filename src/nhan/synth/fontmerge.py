"""Turn downloaded font packages into one folder of files that write Vietnamese.

Web font packages cut a family into subsets (Latin, Latin extended, Vietnamese), one file each; a
line of text needs them in one file. `python -m nhan.synth.fontmerge FOLDER` reads
`FOLDER/packages/npm/*` and `FOLDER/packages/debian/*` and writes `FOLDER/vi`, `FOLDER/latin` and
`FOLDER/fonts-licences.tsv`.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fontTools import merge, ttLib

from nhan.synth.fonts import NEEDED, characters_of, name_of

# Families often come in nine weights times two styles; these tell them apart well enough, and a
# family should not weigh more in the mix because its designer drew more of them.
_WEIGHTS = (200, 300, 400, 500, 700, 900)
_SUBSETS = ("latin", "latin-ext", "vietnamese")
# Substitution and positioning rules of separate subsets seldom merge; letters do not need them.
_LAYOUT_TABLES = ["GSUB", "GPOS", "GDEF", "kern", "BASE", "STAT", "DSIG", "vhea", "vmtx"]
_LATIN = set(map(chr, range(33, 127)))
# Copyright files older than the machine-readable form say it in a sentence.
_PHRASES = {
    "GUST Font License": "GUST-Font-License",
    "SIL Open Font License": "OFL-1.1",
    "GNU General Public License": "GPL-2+",
}
_COLUMNS = "file\tfamily\tstyle\tpackage\tversion\tlicence"


def merge_subsets(files: list[Path], out: Path) -> None:
    """Merge the subset files of one face into one font file.

    Args:
        files: WOFF or TTF files of the same face, at least one.
        out: where the TTF goes.

    Raises:
        ttLib.TTLibError: a file is no font.
        Exception: whatever fontTools raises for faces it cannot merge (units differ, …).
    """
    if len(files) == 1:
        font = ttLib.TTFont(files[0])
    else:
        options = merge.Options(drop_tables=_LAYOUT_TABLES)
        font = merge.Merger(options=options).merge([str(f) for f in files])
    font.flavor = None
    font.save(out)


def _licence(package: Path, meta: dict[str, Any]) -> str:
    licence = meta.get("license", "")
    if isinstance(licence, dict):
        return str(licence.get("type", ""))
    declared = json.loads((package / "package.json").read_text("utf-8")).get("license", "")
    return str(declared or licence)


def from_npm(package: Path, out: Path) -> Iterator[str]:
    """Merge one unpacked web font package; yield its rows of the licence table."""
    meta = json.loads((package / "metadata.json").read_text("utf-8"))
    version = json.loads((package / "package.json").read_text("utf-8"))["version"]
    identity = meta.get("id") or meta["fontId"]
    family = meta.get("family") or meta["fontName"]
    vietnamese = "vietnamese" in meta["subsets"]
    if not vietnamese and meta["category"] != "handwriting":
        return
    for weight in [w for w in meta["weights"] if w in _WEIGHTS]:
        for style in meta["styles"]:
            if style == "italic" and weight not in (400, 700):
                continue
            names = [f"{identity}-{s}-{weight}-{style}.woff" for s in _SUBSETS]
            files = [package / "files" / n for n in names if (package / "files" / n).is_file()]
            if not files:
                continue  # not every weight has an italic
            target = out / ("vi" if vietnamese else "latin") / f"{identity}-{weight}-{style}.ttf"
            try:
                if not target.is_file():
                    merge_subsets(files, target)
            except Exception as error:
                print(f"skipped {target.name}: {error!r}", file=sys.stderr)  # noqa: T201
                target.unlink(missing_ok=True)
                continue
            row = (target.relative_to(out), family, f"{meta['category']} {weight} {style}")
            yield "\t".join(map(str, (*row, package.name, version, _licence(package, meta))))


def from_debian(package: Path, out: Path) -> Iterator[str]:
    """Copy the fitting font files of one unpacked Debian package; yield their rows."""
    papers = list(package.glob("usr/share/doc/*/copyright"))
    text = papers[0].read_text("utf-8", "replace") if papers else ""
    licences = dict.fromkeys(re.findall(r"(?m)^License: *(\S.*)$", text))
    spoken = [name for phrase, name in _PHRASES.items() if phrase in text]
    licence = ", ".join(licences) or ", ".join(spoken) or "see its copyright file"
    version = (package / "VERSION").read_text().strip()
    for file in sorted(package.rglob("*")):
        if file.suffix.lower() not in (".ttf", ".otf") or file.is_symlink():
            continue
        held = characters_of(file)
        if not held >= _LATIN:
            continue
        if held >= NEEDED:
            target = out / "vi" / file.name
        elif re.search(r"hand|ecolier|breip|femke|humor|comic|sjf|rufscript", str(file), re.I):
            target = out / "latin" / file.name
        else:
            continue
        if not target.is_file():
            shutil.copyfile(file, target)
        family, style = name_of(file)
        row = (target.relative_to(out), family, style, package.name, version, licence)
        yield "\t".join(map(str, row))


def main(out: Path) -> None:
    """Fill `out/vi` and `out/latin` from `out/packages`; keep the licence of each file.

    Prints the same table by family: family, package, version, licence.
    """
    for name in ("vi", "latin"):
        (out / name).mkdir(parents=True, exist_ok=True)
    rows = [_COLUMNS]
    for package in sorted((out / "packages/debian").iterdir()):
        rows += from_debian(package, out)
    for package in sorted((out / "packages/npm").iterdir()):
        rows += from_npm(package, out)
    (out / "fonts-licences.tsv").write_text("\n".join(rows) + "\n", "utf-8")
    families = ["\t".join(row.split("\t")[i] for i in (1, 3, 4, 5)) for row in rows]
    print("\n".join([families[0], *sorted(set(families[1:]))]))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
