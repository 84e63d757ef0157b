"""What the gate and the steps of rounds said, in the language of whoever looks at a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def tell_verdict(verdict: Mapping[str, Any] | None, language: str) -> dict[str, str]:
    """The gate's words as they were kept in a log or a refusal.

    Args:
        verdict: as `Verdict.to_dict` gave it; None where nobody was asked.
        language: `vi` or `en`.

    Returns:
        `words`, `hint`, and `language`: theirs, which is English where that is all that was kept.
    """
    kept = verdict or {}
    said = kept.get("said") or {}
    words = _tell(said.get("words"), language)
    hint = _tell(said.get("hint"), language)
    if words:
        return {"words": words, "hint": hint, "language": language}
    return {
        "words": str(kept.get("words", "")),
        "hint": str(kept.get("hint", "")),
        "language": "en",
    }


def tell_steps(one: Mapping[str, Any], language: str) -> dict[str, Any]:
    """A round as the page shows it: each step with its name and reason in a language.

    Args:
        one: as `Round.to_json` gave it.
        language: `vi` or `en`.
    """
    return {**one, "steps": [_tell_step(step, language) for step in one["steps"]]}


def _tell_step(step: Mapping[str, Any], language: str) -> dict[str, Any]:
    shown = {name: step[name] for name in ("step", "state", "began", "ended")}
    words = _tell(step.get("said"), language)
    return {
        **shown,
        "name": _tell({"code": f"step.{step['step']}", "facts": {}}, language) or step["step"],
        "because": words or step["because"],
        "language": language if words else "en",
    }


def _tell(kept: Mapping[str, Any] | None, language: str) -> str:
    # Here, because a server whose console nobody opens need not load them.
    from nhan.evaluation.gate_words import GATE_WORDS
    from nhan.evaluation.sentences import tell
    from nhan.pipeline.step_words import STEP_WORDS

    return tell(kept, {**GATE_WORDS, **STEP_WORDS}, language)
