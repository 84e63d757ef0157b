"""Corrections on a real PostgreSQL, whose indexes take so many bytes and no more."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from nhan.uploads.intake import take_in
from nhan.uploads.record import MAX_LABEL_BYTES, MAX_USER, CorrectionRecord, dump, inbox_path
from nhan.workspace import Workspace
from used_workspace import put_upload

pytestmark = pytest.mark.engine


def test_the_longest_correction_by_the_longest_name_is_taken_in(
    tmp_path: Path, postgres_url: str
) -> None:
    """Of letters that no database can make smaller."""
    chance = random.Random(1)
    label, user = (
        "".join(chr(chance.randint(0x20000, 0x2A000)) for _ in range(count))
        for count in (MAX_LABEL_BYTES // 4, MAX_USER)
    )
    with Workspace.init(tmp_path / "shop", catalog=postgres_url) as shop:
        record = put_upload(shop, 1, user="an")
        for text in (label, label * 10):
            one = CorrectionRecord.make(record.id, text, user, trusted=False)
            shop.store.put(inbox_path(record.id, one.id), dump(one.to_json()))
        report = take_in(shop)
    assert (report.new_corrections, len(report.refused)) == (1, 1)
