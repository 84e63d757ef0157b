"""A record of an upload is read back as it was written."""

from __future__ import annotations

import json
from dataclasses import replace

from nhan.serving.service import new_id
from nhan.uploads.record import UploadRecord, time_of

ID = new_id()
RECORD = UploadRecord(
    id=ID, at=time_of(ID), task="text", model="m", version="1", value='"Ạ" \\', confidence=0.5,
    sha256="0" * 64, path="images/00/x.png", size_bytes=3, format="png",
)  # fmt: skip
DETAILS = {"text": '"Ạ" \\', "characters": [{"text": "Ạ", "confidence": 0.25}]}


def test_comes_back_as_it_was():
    record = replace(RECORD, details=DETAILS, consent=False, user="an")

    assert UploadRecord.from_bytes(record.to_bytes()) == record
    assert UploadRecord.from_bytes(RECORD.to_bytes()) == RECORD


def test_details_that_are_json_already_are_not_encoded_again():
    members = json.dumps(DETAILS, ensure_ascii=False).encode()[1:-1]

    assert UploadRecord.from_bytes(RECORD.to_bytes(members)) == replace(RECORD, details=DETAILS)
