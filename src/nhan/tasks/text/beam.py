"""Prefix beam search over CTC probabilities, helped by a language model.

Source: Hannun et al. 2014, First-Pass Large Vocabulary Continuous Speech Recognition; the search
sums over all alignments of a prefix, so what it finds is likelier than the greedy path or equal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np

from nhan.errors import SettingsError
from nhan.tasks.text.decode import BLANK, LogProbs, Reading, greedy, without_stray_spaces
from nhan.tasks.text.lm import CharacterModel, shipped
from nhan.tasks.text.syllable import has_marks, is_syllable

_NEVER = -math.inf

# Classes below this probability in a frame are not tried there, and a prefix this many nats (a
# factor of 50) behind the best does not catch up. Measured on 1,860 lines: a third of the one and
# two nats more of the other change one character in 25,000 and take a third more time.
_TRIED = math.log(1e-2)
_HOPELESS = 4.0

# Adding a probability this many nats smaller changes nothing that is ever shown.
_NOTHING = 20.0

# The power of the network's probability in a reading's score. Measured on 1,000 made lines, Brier
# score of the calibrated confidence: 0.121 with that probability alone, 0.096 with the share of
# the readings alone or with both so weighted; on 750 in unseen fonts 0.093, 0.087 and 0.079.
_TRUST = 0.25

# A frame this surely blank changes nothing but the total.
_SURE_BLANK = math.log(0.999)


@dataclass(frozen=True, kw_only=True)
class BeamSearch:
    """How to search.

    Attributes:
        width: prefixes kept after each frame.
        tried: classes tried in each frame, beside the blank.
        model: the language model; none leaves the network's word alone.
        model_weight: how much a log-probability of the model counts against the network's.
        length_bonus: added for each character that the model judges, as it prefers short texts.
        syllable_penalty: taken off for each word with Vietnamese marks that is no syllable.
        sure: a line whose greedy reading scores this much is not searched.
    """

    width: int = 8
    tried: int = 6
    model: CharacterModel | None = None
    model_weight: float = 0.3
    length_bonus: float = 0.3
    syllable_penalty: float = 1.0
    sure: float = 0.99

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> BeamSearch:
        """Read `nhan.json`'s `decoding`: the attributes; `model` is a name, or empty for none.

        Raises:
            SettingsError: a key or the model's name is unknown.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(numbers.keys() - known):
            raise SettingsError(
                f"decoding holds unknown keys: {', '.join(unknown)}",
                hint=f"keys: method, {', '.join(sorted(known))}",
            )
        name = numbers.get("model", "")
        return cls(**{**numbers, "model": shipped(name) if name else None})

    def read(self, log_probs: LogProbs, characters: Sequence[str]) -> Reading:
        """Read one line.

        Args:
            log_probs: float32 (frames, classes), as for `greedy`.
            characters: the charset in class order.

        Returns:
            The reading. Its score is the share of the text among the readings left at the end,
            language model included, times a root of the network's own probability of the text
            (summed over the alignments that the search kept), which tells how much was left out.
            Each character's probability is the highest of any frame that wrote it.

        Raises:
            ValueError: the shape does not fit the charset.
        """
        plain = greedy(log_probs, characters)
        if not len(log_probs) or plain.score >= self.sure:
            return plain
        beam = [_Prefix(context=self.model.start() if self.model else 0)]
        beam[0].ends_blank = beam[0].total = 0.0
        beam[0].held = True
        blanks = log_probs[:, BLANK].tolist()
        for blank, classes in zip(blanks, self._candidates(log_probs), strict=True):
            if classes:
                beam = self._advance(beam, blank, classes, characters)
            else:
                for prefix in beam:
                    prefix.rest(blank)
        finals = [self._final(prefix) for prefix in beam]
        best = beam[finals.index(max(finals))]
        share = math.exp(max(finals) - _sum(finals))
        return _reading(best, share)

    def _candidates(self, log_probs: LogProbs) -> list[list[tuple[int, float]]]:
        """For each frame the classes worth trying, with their log-probabilities."""
        likely = log_probs > _TRIED
        likely[:, BLANK] = False
        likely[log_probs[:, BLANK] > _SURE_BLANK] = False
        # One search for all frames: nearly all of the table is too unlikely to be looked at.
        found: list[list[tuple[int, float]]] = [[] for _ in log_probs]
        frames, classes = np.nonzero(likely)
        scores = log_probs[frames, classes].tolist()
        for frame, index, score in zip(frames.tolist(), classes.tolist(), scores, strict=True):
            found[frame].append((index, score))
        for some in found:
            if len(some) > self.tried:
                some.sort(key=itemgetter(1), reverse=True)
                del some[self.tried :]
        return found

    def _advance(
        self,
        beam: list[_Prefix],
        blank: float,
        classes: list[tuple[int, float]],
        characters: Sequence[str],
    ) -> list[_Prefix]:
        # What surely survives this frame; a child further behind is not worth making.
        floor = _NEVER
        for prefix in beam:
            prefix.next_blank = prefix.total + blank
            prefix.next_char = _NEVER
            floor = max(floor, prefix.next_blank + prefix.prior)
        moved = list(beam)
        for prefix in beam:
            for index, score in classes:
                if index == prefix.last:
                    # The same character goes on; a second one needs a blank between.
                    prefix.next_char = _add(prefix.next_char, prefix.ends_char + score)
                    if score > prefix.peak:
                        prefix.peak = score
                    gained = prefix.ends_blank + score
                else:
                    gained = prefix.total + score
                if gained + prefix.prior + self.length_bonus < floor - _HOPELESS:
                    continue
                child = prefix.children.get(index)
                if child is None:
                    char = characters[index - 1]
                    prior, context = self._prior(prefix, char)
                    # Nothing else can lead to it in this frame, so it would not be kept.
                    if gained + prior < floor - _HOPELESS:
                        continue
                    child = prefix.children[index] = _Prefix(
                        last=index,
                        char=char,
                        parent=prefix,
                        prior=prior,
                        context=context,
                        word=prefix.word + char if char.isalpha() else "",
                    )
                if not child.held:
                    child.held = True
                    moved.append(child)
                child.next_char = _add(child.next_char, gained)
                if score > child.peak:
                    child.peak = score
                floor = max(floor, child.next_char + child.prior)
        for prefix in moved:
            prefix.settle()
        moved.sort(key=_promise, reverse=True)
        least = moved[0].promise - _HOPELESS
        kept = [prefix for prefix in moved[: self.width] if prefix.promise >= least]
        for prefix in moved[len(kept) :]:
            prefix.forget()
        return kept

    def _prior(self, prefix: _Prefix, char: str) -> tuple[float, int]:
        """What a character adds beside the network's word for it, and the context behind it."""
        prior, context = prefix.prior, 0
        if self.model is not None:
            gained, context = self.model.step(prefix.context, char)
            prior += self.model_weight * gained + self.length_bonus
        if not char.isalpha():
            prior -= self._penalty(prefix.word)
        return prior, context

    def _penalty(self, word: str) -> float:
        return self.syllable_penalty if _is_misspelled(word) else 0.0

    def _final(self, prefix: _Prefix) -> float:
        end = self.model_weight * self.model.end(prefix.context) if self.model else 0.0
        return prefix.total + prefix.prior + end - self._penalty(prefix.word)


@dataclass(eq=False, slots=True)
class _Prefix:
    """A text read so far, as a node of the tree of all texts under consideration.

    `ends_blank` and `ends_char` are the log-probabilities of its alignments that end so, `total`
    of both, `promise` with the prior; `next_…` gather those of the frame at work. `held` is whether
    it is in the beam, or may be after this frame.
    """

    last: int = BLANK
    char: str = ""
    parent: _Prefix | None = None
    prior: float = 0.0
    context: int = 0
    word: str = ""
    ends_blank: float = _NEVER
    ends_char: float = _NEVER
    total: float = _NEVER
    promise: float = _NEVER
    next_blank: float = _NEVER
    next_char: float = _NEVER
    peak: float = _NEVER
    held: bool = False
    children: dict[int, _Prefix] = field(default_factory=dict)

    def settle(self) -> None:
        """The frame at work is done."""
        self.ends_blank, self.ends_char = self.next_blank, self.next_char
        self.total = _add(self.next_blank, self.next_char)
        self.promise = self.total + self.prior
        self.next_blank = self.next_char = _NEVER

    def rest(self, blank: float) -> None:
        """A frame in which nothing is written: the order of the beam stays."""
        self.ends_blank = self.total = self.total + blank
        self.ends_char = _NEVER

    def forget(self) -> None:
        """Out of the beam; comes back with nothing if a parent spells it again."""
        self.ends_blank = self.ends_char = self.total = _NEVER
        self.held = False


_promise = attrgetter("promise")


@lru_cache(maxsize=8192)
def _is_misspelled(word: str) -> bool:
    """Whether a word has Vietnamese marks and is no syllable; asked again and again."""
    return has_marks(word) and not is_syllable(word)


def _add(one: float, other: float) -> float:
    """log(exp(one) + exp(other))."""
    if one < other:
        one, other = other, one
    if other < one - _NOTHING or other == _NEVER:
        return one
    return one + math.log1p(math.exp(other - one))


def _sum(logarithms: Sequence[float]) -> float:
    """Log of the sum of what these are logarithms of."""
    total = _NEVER
    for logarithm in logarithms:
        total = _add(total, logarithm)
    return total


def _reading(prefix: _Prefix, share: float) -> Reading:
    score = share * math.exp(_TRUST * min(prefix.total, 0.0))
    chars: list[str] = []
    peaks: list[float] = []
    node: _Prefix | None = prefix
    while node is not None and node.last != BLANK:
        chars.append(node.char)
        peaks.append(math.exp(min(node.peak, 0.0)))
        node = node.parent
    text, kept = without_stray_spaces(chars[::-1], peaks[::-1])
    return Reading(text, kept, score)
