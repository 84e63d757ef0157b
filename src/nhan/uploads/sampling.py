"""Which uploads people should look at, chosen as they are answered, with a quota for each day."""

from __future__ import annotations

RANDOM = "random"
LOW_CONFIDENCE = "low_confidence"
DISAGREEMENT = "disagreement"
NEW_CONTENT = "new_content"
NOVELTY = "novelty"

# What being chosen is worth at least, so that a sure answer on a strange picture is looked at
# before an unsure one on a picture like all others.
_FLOOR = {RANDOM: 0.5, LOW_CONFIDENCE: 0.3, DISAGREEMENT: 0.8, NEW_CONTENT: 0.7, NOVELTY: 0.6}


def usefulness(confidence: float, novelty: float, sampled: str) -> float:
    """How much is learned by looking at an upload, 0..1: uncertainty times novelty.

    Args:
        confidence: calibrated, 0..1.
        novelty: how unlike earlier pictures, 0..1.
        sampled: the policy that chose it, '' for none; it sets a least value.
    """
    return max((1 - confidence) * (0.5 + 0.5 * novelty), _FLOOR.get(sampled, 0.0))
