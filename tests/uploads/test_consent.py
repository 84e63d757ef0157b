"""Consent reaches training: a freeze leaves out what may not train, and says how many."""

from __future__ import annotations

import pytest

from nhan.datasets.freeze import freeze
from nhan.errors import UserError
from nhan.uploads.intake import take_in


def test_a_freeze_leaves_out_pictures_without_consent(workspace, upload, correct):
    consents = [None, True, False, False, True, None]
    records = [upload(number, consent=consent) for number, consent in enumerate(consents)]
    for record in records:
        correct(record.id, record.value, "an", trusted=True)
    take_in(workspace)
    report = freeze(workspace, "lines")
    frozen = {row.sha256 for split in report.dataset.splits for row in report.dataset.rows(split)}
    allowed = {record.sha256 for record in records if record.consent is not False}
    assert frozen == allowed
    assert (report.withheld, report.dataset.manifest["withheld"]) == (2, 2)
    assert any("2 samples are left out" in warning for warning in report.warnings)


def test_a_later_refusal_takes_a_picture_out_of_the_next_version(
    workspace, upload, correct, picture
):
    records = [upload(number) for number in range(4)]
    for record in records:
        correct(record.id, record.value, "an", trusted=True)
    take_in(workspace)
    first = freeze(workspace, "lines")
    upload(9, data=picture(0), consent=False)
    take_in(workspace)
    second = freeze(workspace, "lines")
    assert (first.dataset.count(), second.dataset.count(), second.withheld) == (4, 3, 1)


def test_nothing_to_freeze_names_the_missing_consent(workspace, upload, correct):
    record = upload(1, consent=False)
    correct(record.id, "một", trusted=True)
    take_in(workspace)
    with pytest.raises(UserError, match="1 may not train"):
        freeze(workspace, "lines")
