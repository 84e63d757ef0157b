"""Names that people give to users, sources, documents and keys, in one spelling.

`Lê Ngân` can be written in composed letters (Linux, Windows, the web) or as letters and marks (old
macOS folders, some Vietnamese input methods). Both look the same, so they are the same name.
"""

from __future__ import annotations

import unicodedata


def one_spelling(name: str) -> str:
    """The name in composed letters (NFC)."""
    return unicodedata.normalize("NFC", name)


def spellings(name: str) -> list[str]:
    """Every form of a name to look for where it was stored as it came, before it was composed."""
    return sorted({name, one_spelling(name), unicodedata.normalize("NFD", name)})
