"""Why a round begins, on its way from whoever begins it into the round's plan."""

from __future__ import annotations

import json

from nhan.pipeline.step_words import say
from nhan.sentences import Sentence


def reason_of(because: str, said: str = "") -> str:
    """The reason as a plan keeps it: a sentence where pages can say it in other languages.

    Args:
        because: in words, as a person or the watch gave them.
        said: what `passed_on` made of it; empty from a person.
    """
    if said:
        kept = json.loads(said)
        return Sentence(because, kept["code"], kept["facts"])
    on_demand = say("reason.demand")
    return on_demand if because == on_demand else because


def passed_on(reason: str) -> str:
    """What a process that begins the round needs, beside the words, to say them again."""
    return json.dumps(reason.to_json()) if isinstance(reason, Sentence) else ""
