"""Class names: one form each, in one order, which a model keeps for ever."""

from __future__ import annotations

from collections.abc import Iterable

from nhan.errors import BadLabel
from nhan.tasks.classes.check_words import say
from nhan.tasks.text.normalise import normalise_text

# Longer ones are sentences that slipped into the wrong column.
MAX_LENGTH = 100


def normalise_class(label: str) -> str:
    """Bring a class name to its one stored form.

    The same rule as for text (NFC, single spaces, nothing invisible), because class names are
    Vietnamese too: `hoa hồng` typed on two keyboards must not become two classes.

    Args:
        label: a folder's name, a cell of a table, a choice.

    Raises:
        BadLabel: empty, over `MAX_LENGTH` characters, or it holds a control character.
    """
    name = normalise_text(label)
    if len(name) > MAX_LENGTH:
        raise BadLabel(
            say("class.long_name", name=name[:40], length=len(name), most=MAX_LENGTH),
            hint=say("class.long_name.hint"),
        )
    return name


def class_order(names: Iterable[str]) -> list[str]:
    """Every name once, by code point: the order of the network's outputs.

    Order depends on the names alone, never on the order in which pictures came.
    """
    return sorted(set(names))
