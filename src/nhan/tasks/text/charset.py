"""Which characters a reader can write, and in which order the network counts them."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from nhan.errors import BadLabel
from nhan.tasks.text.alphabet import ACCENTED

# A space, the visible ASCII, the 134 accented letters, and the marks that Vietnamese print adds.
# The order is part of every model made with it: append, never insert.
DEFAULT_CHARSET = (
    " "
    + string.digits
    + string.ascii_lowercase
    + string.ascii_uppercase
    + string.punctuation
    + ACCENTED
    + "–“”‘’…₫°€"
)

# More sample ids than a person looks at; the count says how many there are.
_MAX_EXAMPLES = 5


@dataclass(frozen=True)
class MissingCharacter:
    """A character that labels hold and the charset lacks.

    Attributes:
        char: the character.
        count: how often it occurs in the labels.
        samples: ids of the first samples that hold it, at most five.
    """

    char: str
    count: int
    samples: tuple[str, ...]

    def __str__(self) -> str:
        name = unicodedata.name(self.char, "no name")
        return f"{self.char!r} U+{ord(self.char):04X} {name}, {self.count} times"


@dataclass(frozen=True)
class Charset:
    """An ordered set of characters; class 0 is the CTC blank, class i is `characters[i - 1]`.

    Attributes:
        characters: each a single NFC code point, none twice.

    Raises:
        BadLabel: a character is repeated, a combining mark or control character, or not NFC.
    """

    characters: str = DEFAULT_CHARSET
    _class: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        table: dict[str, int] = {}
        for index, char in enumerate(self.characters, start=1):
            if char in table:
                raise BadLabel(f"the charset holds {char!r} twice", hint="remove one of the two")
            if fault := _fault(char):
                raise BadLabel(
                    f"the charset holds U+{ord(char):04X}, which is {fault}",
                    hint="a charset holds visible NFC characters and the space",
                )
            table[char] = index
        object.__setattr__(self, "_class", table)

    @property
    def classes(self) -> int:
        """The number of network outputs: the characters and the blank."""
        return len(self.characters) + 1

    def __contains__(self, char: object) -> bool:
        return char in self._class

    def encode(self, text: str) -> list[int]:
        """The classes of a text, each 1..len(characters).

        Raises:
            BadLabel: a character is not in the charset; the message names all that are not.
        """
        try:
            return [self._class[char] for char in text]
        except KeyError:
            outside = "".join(dict.fromkeys(char for char in text if char not in self._class))
            raise BadLabel(
                f"the label {text!r} holds {outside!r}, which the charset lacks",
                hint="correct the label, or add the character to the charset",
            ) from None

    def decode(self, classes: Iterable[int]) -> str:
        """The text of a class sequence; blanks are left out, repeats are kept."""
        return "".join(self._with_blank[index] for index in classes)

    def missing(self, labels: Iterable[tuple[str, str]]) -> list[MissingCharacter]:
        """What the labels hold that this charset cannot write.

        Args:
            labels: pairs of sample id and NFC label.

        Returns:
            One entry per character, most frequent first.
        """
        counts: dict[str, int] = {}
        samples: dict[str, list[str]] = {}
        for sample, label in labels:
            for char in label:
                if char in self._class:
                    continue
                counts[char] = counts.get(char, 0) + 1
                seen = samples.setdefault(char, [])
                if len(seen) < _MAX_EXAMPLES and sample not in seen:
                    seen.append(sample)
        ordered = sorted(counts, key=lambda char: (-counts[char], char))
        return [MissingCharacter(char, counts[char], tuple(samples[char])) for char in ordered]

    def extend(self, characters: Iterable[str]) -> Charset:
        """This charset with more characters at its end, so that every old class keeps its number.

        Args:
            characters: new characters; those already here are passed over.
        """
        new = sorted({char for char in characters if char not in self._class})
        return Charset(self.characters + "".join(new)) if new else self

    @cached_property
    def _with_blank(self) -> tuple[str, ...]:
        return ("", *self.characters)


def _fault(char: str) -> str:
    """Why a character cannot be a class; empty when it can."""
    if unicodedata.normalize("NFC", char) != char:
        return "not NFC"
    category = unicodedata.category(char)
    if category.startswith("M"):
        return "a combining mark"
    if category in {"Cc", "Cf", "Cs"}:
        return "a control character or has no ink"
    if char != " " and char.isspace():
        return "a white space other than the plain one"
    return ""
