"""What review decides is what training gets: accepted samples, and nothing else."""

from __future__ import annotations

from nhan.catalog import State
from nhan.datasets.freeze import freeze
from nhan.review.drafts import save_draft
from nhan.review.undo import undo


def test_only_what_was_accepted_or_imported_with_a_label_is_frozen(
    workspace, add_picture, say
) -> None:
    names = ["accepted", "skipped", "rejected", "drafted", "undone", "disputed", "corrected"]
    texts = ["đă", "âê", "ôơ", "ưé", "đâ", "ăê", "ôư"]
    sample = {
        name: add_picture(text, **({"label": "sai", "state": State.LABELLED}
                                   if name in ("skipped", "corrected") else {}))
        for name, text in zip(names, texts, strict=True)
    }  # fmt: skip
    add_picture("đé", label="đé", state=State.LABELLED)
    say("an", sample["accepted"], "accept", "đă")
    say("an", sample["skipped"], "skip", reason="cut off")
    say("an", sample["rejected"], "reject", reason="no text")
    save_draft(workspace, sample["drafted"], "an", "ư", 0)
    say("an", sample["undone"], "accept", "đâ")
    undo(workspace, "u1", "an", sample["undone"])
    say("an", sample["disputed"], "accept", "ăê")
    say("bình", sample["disputed"], "accept", "âê")
    say("an", sample["corrected"], "accept", "ôư")
    dataset = freeze(workspace, "lines").dataset
    labels = {row.label for split in dataset.splits for row in dataset.rows(split)}
    assert labels == {"đă", "ôư", "đé"}
