"""Sentences that are English in logs and JSON, and that a page can say in its visitor's language.

What decides something says it once, by a code of its area's table and the facts: `make` gives
English text that keeps both, `tell` says the same in another language, from what was kept in JSON.
An area with names of its own, as of metrics, adds how each language writes them: see `forms`.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

# code -> (English, Vietnamese); facts in braces, as `str.format` has them, and as `FORMS` adds.
Table = Mapping[str, tuple[str, str]]
# What `{fact:form}` may ask for beside Python's own; each is given the language and the value.
Forms = Mapping[str, Callable[[str, Any], str]]

LANGUAGES = ("en", "vi")
# 1,234.5 in English is 1.234,5 in Vietnamese.
_VIETNAMESE_MARKS = str.maketrans(",.", ".,")


class Sentence(str):
    """English text that remembers what it says.

    Attributes:
        code: of its area's table; empty for text that has no other language.
        facts: by the names in the table's sentence; JSON-able.
    """

    code: str
    facts: Mapping[str, Any]

    def __new__(
        cls, words: str, code: str = "", facts: Mapping[str, Any] | None = None
    ) -> Sentence:
        """Text, and what it was made of."""
        made = super().__new__(cls, words)
        made.code, made.facts = code, dict(facts or {})
        return made

    def to_json(self) -> dict[str, Any]:
        """What `tell` takes."""
        return {"words": str(self), "code": self.code, "facts": dict(self.facts)}


def make(table: Table, code: str, /, *, forms: Forms | None = None, **facts: Any) -> Sentence:
    """Say something in English.

    Args:
        table: the area's sentences.
        code: which of them.
        forms: `FORMS` where None.
        facts: JSON-able values; other sentences, and lists of them, may be among them.
    """
    kept = {name: _kept(value) for name, value in facts.items()}
    return Sentence(_Grammar("en", table, forms).vformat(table[code][0], (), kept), code, kept)


def tell(
    kept: Mapping[str, Any] | None, table: Table, language: str, *, forms: Forms | None = None
) -> str:
    """Say what was kept of a sentence.

    Args:
        kept: as `Sentence.to_json` gave it; None where nothing was kept.
        table: the sentences of all areas that it may come from.
        language: `en` or `vi`.
        forms: as for `make`.

    Returns:
        Empty where this release cannot say it, as something that an older or newer one kept: its
        English words are shown instead.
    """
    if not kept or kept.get("code") not in table:
        return ""
    sentence = table[kept["code"]][LANGUAGES.index(language)]
    try:
        return _Grammar(language, table, forms).vformat(sentence, (), kept["facts"])
    except (KeyError, IndexError, TypeError, ValueError):
        return ""


def _kept(value: Any) -> Any:
    if isinstance(value, Sentence):
        return value.to_json()
    if isinstance(value, list | tuple):
        return [_kept(one) for one in value]
    return value


class _Grammar(string.Formatter):
    """Formats facts as a language writes them."""

    def __init__(self, language: str, table: Table, forms: Forms | None) -> None:
        self._language = language
        self._table = table
        self._forms = FORMS if forms is None else forms

    def format_field(self, value: Any, format_spec: str) -> str:
        language = self._language
        if isinstance(value, Mapping):
            return tell(value, self._table, language, forms=self._forms) or str(
                value.get("words", "")
            )
        if isinstance(value, Sequence) and not isinstance(value, str):
            return _BETWEEN[format_spec][LANGUAGES.index(language)].join(
                self.format_field(one, "") for one in value
            )
        if format_spec in self._forms:
            return self._forms[format_spec](language, value)
        text = str(super().format_field(value, format_spec))
        return text if isinstance(value, str) else _marked(language, text)


def _marked(language: str, number: str) -> str:
    return number if language == "en" else number.translate(_VIETNAMESE_MARKS)


def _split(language: str, split: str) -> str:
    names = {"train": "phần huấn luyện", "validation": "phần chọn mô hình", "test": "phần kiểm tra"}
    return split if language == "en" else names.get(split, split)


def _samples(language: str, count: int) -> str:
    noun = "ảnh" if language == "vi" else "sample" if count == 1 else "samples"
    return f"{_marked(language, f'{count:,}')} {noun}"


def _signed(digits: int, language: str, value: float, *, zero: str) -> str:
    if not round(value, digits):
        return _marked(language, zero)
    return _marked(language, f"{value:+.{digits}f}".replace("-", "−"))


def _start(language: str, start: str) -> str:
    return start or ("scratch" if language == "en" else "con số không")


FORMS: Forms = {
    "split": _split,
    "samples": _samples,
    "signed": partial(_signed, 3, zero="0.000"),
    "change": partial(_signed, 4, zero="0.0000"),
    "start": _start,
}
# What stands between the members of a list.
_BETWEEN = {
    "": ("; ", "; "),
    "comma": (", ", ", "),
    "and": (" and ", " và "),
    "also": ("; also, ", "; ngoài ra, "),
    "against": (" against ", " so với "),
}
