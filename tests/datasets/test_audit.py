"""The label doctor finds what is wrong, and only that."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nhan.catalog import State
from nhan.catalog.samples import GivenLabel, fix_splits, load_samples, read_rows, write_samples
from nhan.datasets.audit import audit
from nhan.datasets.findings import AuditFinding
from nhan.samples.importer import import_samples
from nhan.workspace import Workspace

Add = Callable[..., str]


def kinds(workspace: Workspace) -> dict[str, AuditFinding]:
    return {finding.code: finding for finding in audit(workspace).findings}


def vote(workspace: Workspace, sha256: str, value: str, **about: str) -> None:
    given = GivenLabel(
        value,
        None,
        about.get("origin", "import"),
        about.get("given_by", ""),
        about.get("external_id", ""),
        datetime.now(UTC),
    )
    with workspace.catalog.write() as connection:
        sample = load_samples(connection, "text", [sha256])[sha256]
        sample.labels[given.key] = given
        write_samples(connection, "text", [sample])


def test_good_labels_give_no_findings(workspace: Workspace, add: Add) -> None:
    for number in range(5):
        add(number)
    report = audit(workspace)
    assert (report.samples, report.errors, report.findings) == (5, 0, [])
    assert report.states == {"labelled": 5}


@pytest.mark.parametrize(
    ("value", "given", "code", "severity"),
    [
        ("Huế", unicodedata.normalize("NFD", "Huế"), "not_nfc", "warning"),
        ("giá 5 ₩", None, "outside_charset", "warning"),
        ("Hа Nội", None, "look_alike", "error"),  # a Cyrillic а
        ("a b", "a\u00a0b", "unusual_space", "warning"),
        ("", None, "empty_label", "error"),
        ("một dòng rất dài " * 20, None, "too_long", "error"),
    ],
)
def test_each_kind_of_wrong_label(
    workspace: Workspace, add: Add, value: str, given: str | None, code: str, severity: str
) -> None:
    add(1)
    add(2, value, given=given)
    finding = kinds(workspace)[code]
    assert (finding.severity, finding.count) == (severity, 1)
    assert finding.examples[0].name == "2.png"
    assert finding.hint
    assert (audit(workspace).errors > 0) == (severity == "error")


def test_characters_outside_the_charset_are_counted(workspace: Workspace, add: Add) -> None:
    add(1, "5 ₩")
    add(2, "6 ₩ ¥")
    add(3, "không có gì")
    subjects = kinds(workspace)["outside_charset"].subjects
    assert subjects == {"₩": 2, "¥": 1}


def test_lost_and_changed_pictures_are_errors(workspace: Workspace, add: Add) -> None:
    for number in range(4):
        add(number)
    rows = list(read_rows(workspace.catalog, "text"))
    workspace.store.delete(rows[0].path)
    workspace.store.put(rows[1].path, b"other bytes")
    workspace.store.put(rows[2].path, b"")
    found = kinds(workspace)
    assert found["missing_picture"].count == 1
    assert found["corrupt_picture"].count == 2
    assert audit(workspace).errors == 3


def test_different_labels_for_one_picture(workspace: Workspace, add: Add) -> None:
    key = add(1, "một")
    vote(workspace, key, "mốt", given_by="an")
    agreed = add(2, "hai")
    vote(workspace, agreed, "hai", given_by="an")
    drafted = add(3, "ba")
    vote(workspace, drafted, "b", origin="labelstudio-draft")
    finding = kinds(workspace)["different_labels"]
    assert finding.count == 1
    assert "'một' (1), 'mốt' (1); 'một' stands" in finding.examples[0].message


def test_a_correction_under_the_same_id_is_no_dissent(workspace: Workspace, add: Add) -> None:
    key = add(1, "hai")
    with workspace.catalog.write() as connection:
        sample = load_samples(connection, "text", [key])[key]
        for value in ("một", "hai"):
            given = GivenLabel(value, None, "labelstudio", "an", "7", datetime.now(UTC))
            sample.labels[given.key] = given
        write_samples(connection, "text", [sample])
    assert "different_labels" not in kinds(workspace)


def test_near_duplicates_across_splits_are_found(workspace: Workspace, add: Add) -> None:
    add(1, asked="train")
    add(1, quality=85, asked="test")
    add(2)
    add(2, quality=85)
    found = {(f.code, f.severity): f.count for f in audit(workspace).findings}
    assert found == {
        ("near_duplicates_across_splits", "warning"): 1,
        ("near_duplicates", "info"): 1,
    }


def test_near_duplicates_with_different_labels_are_found(workspace: Workspace, add: Add) -> None:
    add(1, "một")
    add(1, "mốt", quality=85)
    add(2)
    finding = kinds(workspace)["near_duplicates_differ"]
    assert finding.count == 1
    assert "'một' and 'mốt': 1.png, 1-again.png" in finding.examples[0].message


def test_a_leak_between_fixed_splits_is_an_error(workspace: Workspace, add: Add) -> None:
    add(1)
    add(1, quality=85)
    ids = [row.id for row in read_rows(workspace.catalog, "text")]
    with workspace.catalog.write() as connection:
        fix_splits(connection, {ids[0]: "train", ids[1]: "test"})
    finding = kinds(workspace)["near_duplicates_across_splits"]
    assert finding.severity == "error"
    assert "test and train" in finding.examples[0].message


def test_a_document_asked_into_two_splits(workspace: Workspace, add: Add) -> None:
    add(1, group="doc", asked="train")
    add(2, group="doc", asked="test")
    assert kinds(workspace)["group_across_splits"].severity == "warning"


def test_what_does_not_train_is_not_looked_at(workspace: Workspace, add: Add) -> None:
    add(1, "", state=State.REJECTED)
    add(2, "", state=State.SKIPPED)
    report = audit(workspace)
    assert (report.samples, report.findings) == (0, [])
    assert report.states == {"rejected": 1, "skipped": 1}


def test_many_findings_are_counted_and_a_few_listed(workspace: Workspace, add: Add) -> None:
    for number in range(30):
        add(number, "")
    finding = kinds(workspace)["empty_label"]
    assert finding.count == 30
    assert len(finding.examples) == 20


def test_the_report_is_json(workspace: Workspace, add: Add) -> None:
    add(1, "")
    document = json.loads(json.dumps(audit(workspace).to_json()))
    assert document["ok"] is False
    assert document["findings"][0]["code"] == "empty_label"


def test_real_lines_are_sound(workspace: Workspace, shared_data: Path) -> None:
    import_samples(workspace, shared_data / "vi-lines")
    assert audit(workspace).errors == 0
