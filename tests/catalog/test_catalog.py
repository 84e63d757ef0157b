"""The catalogue: schema from empty, transactions, samples with their labels, events."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from nhan.catalog import TRAINABLE, Catalog, State, open_catalog
from nhan.catalog.events import log_event
from nhan.catalog.samples import (
    GivenLabel,
    Picture,
    Sample,
    count_placed,
    fix_splits,
    known_hashes,
    load_samples,
    read_rows,
    write_samples,
)
from nhan.catalog.schema import events, labels, metadata, samples
from nhan.errors import SettingsError, StorageError


@pytest.fixture
def catalog() -> Catalog:
    return open_catalog("sqlite://")


def make_sample(number: int, *, label: str = "", state: State = State.NEW) -> Sample:
    picture = Picture(f"images/{number}.png", 10, 100, 20, f"{number:016x}", bytes(512))
    sample = Sample(
        sha256=f"{number:064x}",
        name=f"{number}.png",
        source="drawn",
        group="",
        split_asked="",
        state=state,
        picture=picture,
    )
    if label:
        given = GivenLabel(label, None, "import", "", "", datetime.now(UTC))
        sample.labels[given.key] = sample.label = given
        sample.changed = True
    return sample


def write(catalog: Catalog, written: list[Sample], task: str = "text") -> None:
    with catalog.write() as connection:
        write_samples(connection, task, written)


def test_the_migrations_make_the_schema_that_the_code_uses(catalog: Catalog) -> None:
    inspector = sa.inspect(catalog.engine)
    for table in metadata.tables.values():
        made = {column["name"]: column for column in inspector.get_columns(table.name)}
        assert set(made) == set(table.columns.keys()), table.name
        for column in table.columns:
            assert made[column.name]["nullable"] == bool(column.nullable), column


def test_going_down_and_up_again(tmp_path: Path) -> None:
    catalog = open_catalog("sqlite:///c.db", directory=tmp_path)
    catalog.downgrade("base")
    assert set(sa.inspect(catalog.engine).get_table_names()) <= {"alembic_version"}
    catalog.migrate()
    assert set(metadata.tables) <= set(sa.inspect(catalog.engine).get_table_names())
    catalog.close()


def test_a_file_is_in_wal_mode_with_a_busy_timeout(tmp_path: Path) -> None:
    catalog = open_catalog("sqlite:///c.db", directory=tmp_path)
    with catalog.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() >= 5000
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    catalog.close()


def test_wrong_addresses_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no database URL"):
        open_catalog("not a url")
    with pytest.raises(SettingsError, match="mysql"):
        open_catalog("mysql://host/db")
    (tmp_path / "thư mục.db").mkdir()
    with pytest.raises(StorageError, match=r"/thư mục\.db cannot be used"):
        open_catalog("sqlite:///thư mục.db", directory=tmp_path)


def test_a_catalogue_that_may_not_be_written_asks_for_the_right(tmp_path: Path) -> None:
    catalog = open_catalog("sqlite:///c.db", directory=tmp_path)
    with catalog.read() as connection:
        connection.exec_driver_sql("PRAGMA query_only=ON")  # of the one connection of the pool
    with pytest.raises(StorageError, match="readonly") as caught, catalog.write() as connection:
        log_event(connection, "x")
    assert "right to write" in caught.value.hint
    catalog.close()


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "c.db").write_bytes(b"no database at all, and long enough to be looked at" * 20)
    with pytest.raises(StorageError, match=r"c\.db is damaged: file is not a database"):
        open_catalog("sqlite:///c.db", directory=tmp_path)


def test_a_failed_write_leaves_nothing(catalog: Catalog) -> None:
    def fail() -> None:
        with catalog.write() as connection:
            write_samples(connection, "text", [make_sample(1, label="một")])
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert list(known_hashes(catalog, "text")) == []


def test_writers_at_once_wait_for_each_other(tmp_path: Path) -> None:
    catalog = open_catalog("sqlite:///c.db", directory=tmp_path)

    def add(writer: int) -> None:
        for turn in range(5):
            write(catalog, [make_sample(writer * 100 + turn)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    assert len(list(known_hashes(catalog, "text"))) == 20
    catalog.close()


def test_samples_come_back_with_every_label_and_the_one_that_stands(catalog: Catalog) -> None:
    sample = make_sample(1, label="một", state=State.LABELLED)
    vote = GivenLabel("mot", "mot ", "labelstudio", "an", "7", datetime.now(UTC))
    sample.labels[vote.key] = vote
    write(catalog, [sample, make_sample(2)])
    with catalog.read() as connection:
        found = load_samples(connection, "text", [sample.sha256, f"{9:064x}"])
    assert set(found) == {sample.sha256}
    again = found[sample.sha256]
    assert again.label is not None
    assert again.label.value == "một"
    assert {label.value: label.given for label in again.labels.values()} == {
        "một": None,
        "mot": "mot ",
    }
    assert again.labels[vote.key].given_at == vote.given_at


def test_one_picture_can_be_a_sample_of_two_tasks_but_of_one_only_once(catalog: Catalog) -> None:
    write(catalog, [make_sample(1)], "text")
    write(catalog, [make_sample(1)], "classes")
    with pytest.raises(sa.exc.IntegrityError):
        write(catalog, [make_sample(1)], "text")
    assert len(list(known_hashes(catalog, "classes"))) == 1


def test_more_samples_than_a_query_takes_values(catalog: Catalog) -> None:
    many = [make_sample(number, label=str(number), state=State.LABELLED) for number in range(2500)]
    write(catalog, many)
    with catalog.read() as connection:
        found = load_samples(connection, "text", [sample.sha256 for sample in many])
    assert len(found) == 2500
    rows = list(read_rows(catalog, "text", states=TRAINABLE))
    assert [row.label for row in rows] == [str(number) for number in range(2500)]
    assert rows[10].phash == 10


def test_a_split_once_fixed_is_never_changed(catalog: Catalog) -> None:
    write(catalog, [make_sample(1), make_sample(2)])
    ids = [row.id for row in read_rows(catalog, "text")]
    with catalog.write() as connection:
        fix_splits(connection, {ids[0]: "test"})
        fix_splits(connection, {ids[0]: "train", ids[1]: "train"})
        assert count_placed(connection, "text") == 2
    assert [row.split for row in read_rows(catalog, "text")] == ["test", "train"]


def test_placed_samples_of_any_state_are_read_when_asked(catalog: Catalog) -> None:
    write(catalog, [make_sample(1, state=State.REJECTED), make_sample(2, state=State.REJECTED)])
    first = next(iter(read_rows(catalog, "text"))).id
    with catalog.write() as connection:
        fix_splits(connection, {first: "test"})
    assert [row.id for row in read_rows(catalog, "text", states=TRAINABLE, split=True)] == [first]
    assert list(read_rows(catalog, "text", states=TRAINABLE)) == []


def test_only_labelled_and_accepted_samples_train() -> None:
    assert {*TRAINABLE} == {State.LABELLED, State.ACCEPTED}


def test_events_keep_moment_kind_and_data(catalog: Catalog) -> None:
    with catalog.write() as connection:
        log_event(connection, "import", given_by="an", source="lines", added=3)
    with catalog.read() as connection:
        row = connection.execute(sa.select(events)).mappings().one()
    assert (row["kind"], row["given_by"], row["data"]) == (
        "import",
        "an",
        {"source": "lines", "added": 3},
    )
    assert row["at"].tzinfo is not None


def test_a_moment_without_a_zone_is_refused(catalog: Catalog) -> None:
    with pytest.raises(sa.exc.StatementError, match="without a time zone"), catalog.write() as c:
        c.execute(events.insert().values(at=datetime(2024, 1, 1), kind="x", given_by="", data={}))


def test_a_label_without_its_sample_is_refused(catalog: Catalog) -> None:
    with pytest.raises(sa.exc.IntegrityError), catalog.write() as connection:
        connection.execute(
            labels.insert().values(
                sample_id=99,
                value="x",
                origin="import",
                given_by="",
                external_id="",
                given_at=datetime.now(UTC),
            )
        )
    with catalog.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(samples)) == 0
