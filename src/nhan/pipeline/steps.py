"""The steps of a round, in order, by name: each can be called alone, by name, on any machine."""

from __future__ import annotations

from nhan.pipeline.data_steps import freeze_samples, look_over, pull_labels, take_uploads
from nhan.pipeline.model_steps import (
    ask_gate,
    evaluate_candidate,
    promote_candidate,
    train_candidate,
)
from nhan.pipeline.step import Step
from nhan.pipeline.verify import verify_live
from nhan.pipeline.watch_steps import draw_budget, watch_live

# name -> (function, one line for people)
STEPS: dict[str, tuple[Step, str]] = {
    "intake": (take_uploads, "Take collected uploads and corrections into the catalogue."),
    "pull": (pull_labels, "Fetch new labels from Label Studio."),
    "audit": (look_over, "Let the label doctor look every sample over."),
    "freeze": (freeze_samples, "Freeze what may be learned from into a dataset version."),
    "train": (train_candidate, "Train a candidate from the champion."),
    "evaluate": (evaluate_candidate, "Score candidate and champion on the same test set."),
    "gate": (ask_gate, "Let the gate decide."),
    "promote": (promote_candidate, "Make the candidate the champion."),
    "verify": (verify_live, "Ask the running server whether it answers with it."),
    "watch": (watch_live, "Estimate live quality and drift."),
    "budget": (draw_budget, "Tell what a hundred more labels would bring."),
}
