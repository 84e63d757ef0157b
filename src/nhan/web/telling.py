"""What the gate, rounds and the label doctor said, in the language of whoever looks at a page."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nhan.sentences import Table


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
    words = _tell(one.get("said"), language)
    return {
        **one,
        "reason": words or one["reason"],
        # What a person gave as the reason may be in any language.
        "reason_language": language if words else "",
        "steps": [_tell_step(step, language) for step in one["steps"]],
    }


def tell_finding(finding: Mapping[str, Any], language: str) -> dict[str, Any]:
    """A finding of the label doctor: its name, its hint and its examples in a language.

    Args:
        finding: as `AuditFinding.to_json` gave it.
        language: `vi` or `en`.
    """
    hint = _tell(finding.get("said"), language)
    return {
        **finding,
        "name": tell_kind(finding["code"], language),
        "hint": hint or finding["hint"],
        "language": language if hint else "en",
        "examples": [_tell_example(one, language) for one in finding["examples"]],
    }


def tell_kind(code: str, language: str) -> str:
    """What a kind of finding is called; its code as words where it has no name."""
    return _tell({"code": f"kind.{code}", "facts": {}}, language) or code.replace("_", " ")


def _tell_example(example: Mapping[str, Any], language: str) -> dict[str, Any]:
    words = _tell(example.get("said"), language)
    return {
        "sample": example["sample"],
        "name": example["name"],
        "message": words or example["message"],
        "language": language if words else "en",
    }


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
    from nhan.evaluation.sentences import tell

    return tell(kept, _tables(), language)


@cache
def _tables() -> Table:
    from nhan.datasets.words import DOCTOR_WORDS
    from nhan.evaluation.gate_words import GATE_WORDS
    from nhan.pipeline.step_words import STEP_WORDS
    from nhan.tasks.classes.check_words import CLASS_WORDS
    from nhan.tasks.text.check_words import TEXT_WORDS

    return {**GATE_WORDS, **STEP_WORDS, **DOCTOR_WORDS, **TEXT_WORDS, **CLASS_WORDS}
