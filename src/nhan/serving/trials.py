"""Candidates on trial: a canary answers a share of the requests, a shadow answers silently.

Which pictures a canary answers depends on the picture alone, so the same picture goes on getting
the same answer.
"""

from __future__ import annotations

import zlib
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nhan.errors import BadRequest
from nhan.models.registry import parse_ref
from nhan.serving.roster import Deployment

_KEPT_DIFFERENCES = 50


@dataclass
class Trials:
    """What is tried, and what came of it.

    Attributes:
        canary: share of its model's requests by `NAME@VERSION`.
        shadow: `NAME@VERSION` of those that answer silently.
        loaded: those of both that every lane has loaded.
        failures: why the others are not.
        agreed: silent answers by `NAME@VERSION` and whether they agreed with the champion's.
        differences: the latest answers that differed.
    """

    canary: dict[str, float] = field(default_factory=dict)
    shadow: list[str] = field(default_factory=list)
    loaded: dict[str, Deployment] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    agreed: Counter[tuple[str, bool]] = field(default_factory=Counter)
    differences: deque[dict[str, str]] = field(
        default_factory=lambda: deque(maxlen=_KEPT_DIFFERENCES)
    )

    def want(self, canary: Mapping[str, float], shadow: Iterable[str]) -> None:
        """Replace the trials; the versions are loaded at the next look at the promotion logs.

        Raises:
            BadRequest: a share is none, or a version is not named.
        """
        shares = {_plain(ref): share for ref, share in canary.items()}
        silent = [_plain(ref) for ref in shadow]
        for ref, share in shares.items():
            if not 0 <= share <= 1:
                raise BadRequest(f"the share of {ref} is {share}", hint="0 to 1")
        self.canary, self.shadow = shares, silent
        self.failures.clear()

    @property
    def wanted(self) -> set[str]:
        """All versions on trial."""
        return {*self.canary, *self.shadow}

    def candidate_for(self, name: str, picture: bytes) -> Deployment | None:
        """The canary that answers this picture instead of the champion, if one does."""
        place = zlib.crc32(picture) / 2**32
        for ref, share in self.canary.items():
            if ref.partition("@")[0] != name:
                continue
            if place < share:
                return self.loaded.get(ref)
            place -= share  # each has a part of its own, whether the others are loaded or not
        return None

    def shadows_of(self, name: str) -> list[Deployment]:
        """Who answers silently beside a model's champion."""
        return [
            self.loaded[ref]
            for ref in self.shadow
            if ref in self.loaded and self.loaded[ref].name == name
        ]

    def compare(self, deployment: Deployment, answer: str, champion: str, *, id_: str) -> None:
        """Record a silent answer beside the one that was given."""
        agrees = answer == champion
        self.agreed[deployment.ref, agrees] += 1
        if not agrees:
            self.differences.append(
                {"id": id_, "candidate": deployment.ref, "answer": answer, "champion": champion}
            )

    def report(self) -> dict[str, Any]:
        """Everything, as plain JSON values."""
        return {
            "canary": self.canary,
            "shadow": self.shadow,
            "loaded": sorted(self.loaded),
            "failures": self.failures,
            "shadow_answers": {
                ref: {"agree": self.agreed[ref, True], "differ": self.agreed[ref, False]}
                for ref in self.shadow
            },
            "differences": list(self.differences),
        }


def _plain(ref: str) -> str:
    """A version as lanes know it: `toy@02` is `toy@2`.

    Raises:
        BadRequest: it names none.
    """
    name, version = parse_ref(ref)
    if version is None:
        raise BadRequest(f"{ref!r} names no version", hint=f"e.g. {ref}@2")
    return f"{name}@{version}"
