"""Sentences that name metrics and slices as each language does."""

from __future__ import annotations

from functools import partial

from nhan import sentences
from nhan.evaluation.record import metric_label
from nhan.evaluation.words import named
from nhan.sentences import FORMS, Forms


def _metric(language: str, name: str) -> str:
    return metric_label(name) if language == "en" else _within(named(name, language))


def _name(language: str, name: str) -> str:
    return name if language == "en" else _within(named(name, language))


def _within(name: str) -> str:
    """A name within a sentence: `tỉ lệ lỗi`, but `CER nếu …`."""
    return name if name[1:2].isupper() else name[:1].lower() + name[1:]


_OURS: Forms = {**FORMS, "metric": _metric, "name": _name}

make = partial(sentences.make, forms=_OURS)
tell = partial(sentences.tell, forms=_OURS)
