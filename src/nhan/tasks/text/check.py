"""The label doctor's look at one text label."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from itertools import pairwise

from nhan.errors import BadLabel
from nhan.tasks.base import Finding
from nhan.tasks.text.charset import Charset
from nhan.tasks.text.check_words import say
from nhan.tasks.text.lookalikes import decoded_twice, look_alikes, without_look_alikes
from nhan.tasks.text.normalise import ZERO_WIDTH, compose_text, normalise_text


def check_label(label: str, *, charset: Charset, steps: int) -> list[Finding]:
    """Everything worth saying about one label as it was given, before normalising.

    Args:
        label: as imported or typed.
        charset: what models of this task can write without being extended.
        steps: how many time steps a network has for the picture's width.

    Returns:
        Findings, errors first; an empty list for a label that is fine as it is.
    """
    if repaired := decoded_twice(label):
        message = say("label.decoded_twice", label=label)
        hint = say("label.decoded_twice.hint", repaired=repaired)
        return [Finding("broken_encoding", "error", message, hint)]
    try:
        text = normalise_text(label)
    except BadLabel as error:
        code = "control_character" if label.translate(_VISIBLE).strip() else "empty_label"
        return [Finding(code, "error", error.message, error.hint)]
    found = [*_foreign(text, charset), *_form(label), *_length(text, steps)]
    return sorted(found, key=lambda finding: finding.severity != "error")


def steps_needed(text: str) -> int:
    """The fewest time steps in which CTC can write a text.

    One for each character and one blank between equal neighbours. With fewer the loss is infinite
    and the sample is never learned.
    """
    return len(text) + sum(a == b for a, b in pairwise(text))


_VISIBLE = str.maketrans(dict.fromkeys(ZERO_WIDTH))


def _foreign(text: str, charset: Charset) -> list[Finding]:
    outside = "".join(dict.fromkeys(char for char in text if char not in charset))
    if not outside:
        return []
    found = []
    if seen := look_alikes(outside):
        pairs = [
            say("label.look_alike.pair", char=char, code=f"U+{ord(char):04X}", real=real)
            for char, real in seen.items()
        ]
        found.append(
            Finding(
                "look_alike",
                "error",
                say("label.look_alike", text=text, pairs=pairs),
                say("label.look_alike.hint", meant=without_look_alikes(text)),
                tuple(seen),
            )
        )
    if marks := _named(char for char in outside if _is_mark(char)):
        found.append(
            Finding(
                "combining_mark",
                "error",
                say("label.mark", text=text, chars=marks),
                say("label.mark.hint"),
            )
        )
    if broken := [char for char in outside if char == "\ufffd"]:
        found.append(
            Finding(
                "broken_encoding",
                "error",
                say("label.replaced", text=text, count=len(broken)),
                say("label.replaced.hint"),
            )
        )
    if unusable := _named(char for char in outside if _is_unusable(char)):
        found.append(
            Finding(
                "unusable_character",
                "error",
                say("label.unusable", text=text, chars=unusable),
                say("label.unusable.hint"),
            )
        )
    if others := tuple(char for char in outside if is_learnable(char)):
        found.append(
            Finding(
                "outside_charset",
                "warning",
                say("label.outside", text=text, chars=_named(others)),
                say("label.outside.hint"),
                others,
            )
        )
    return found


def is_learnable(char: str) -> bool:
    """Whether a character outside the charset may be added to it: visible and no mistake."""
    category = unicodedata.category(char)
    return (
        not look_alikes(char)
        and not _is_mark(char)
        and char != "\ufffd"
        and category[0] in "LNPS"
        and unicodedata.normalize("NFC", char) == char
    )


def _is_unusable(char: str) -> bool:
    """Whether none of the other findings speaks of a character that cannot be added."""
    named = look_alikes(char) or _is_mark(char) or char == "\ufffd"
    return not named and not is_learnable(char)


def _is_mark(char: str) -> bool:
    return unicodedata.category(char).startswith("M")


def _named(chars: Iterable[str]) -> str:
    return ", ".join(
        f"{char!r} U+{ord(char):04X} {unicodedata.name(char, 'no name')}" for char in chars
    )


def _form(label: str) -> list[Finding]:
    """What normalising mends by itself; said, because the source should be mended too."""
    found = []
    if label != compose_text(label):
        found.append(
            Finding(
                "not_nfc",
                "warning",
                say("label.not_nfc", label=label),
                say("label.not_nfc.hint"),
            )
        )
    if hidden := _named(dict.fromkeys(char for char in label if char in ZERO_WIDTH)):
        found.append(
            Finding(
                "zero_width",
                "warning",
                say("label.zero_width", label=label, chars=hidden),
                say("label.zero_width.hint"),
            )
        )
    if label.translate(_VISIBLE) != " ".join(label.translate(_VISIBLE).split()):
        found.append(
            Finding(
                "unusual_space",
                "warning",
                say("label.space", label=label),
                say("label.space.hint"),
            )
        )
    return found


def _length(text: str, steps: int) -> list[Finding]:
    needed = steps_needed(text)
    if needed <= steps:
        return []
    return [
        Finding(
            "too_long",
            "error",
            say("label.too_long", text=text, needed=needed, steps=steps),
            say("label.too_long.hint"),
        )
    ]
