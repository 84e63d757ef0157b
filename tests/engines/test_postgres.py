"""The catalogue on a real PostgreSQL."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context

import pytest
import sqlalchemy as sa

from kept_tallies import assert_agree, change
from nhan.catalog import Catalog, State, open_catalog
from nhan.catalog.schema import events, metadata, samples
from nhan.errors import StorageError

pytestmark = pytest.mark.engine

# A forked child inherits the threads' locks of its parent but not the threads.
_SPAWN = get_context("spawn")


@pytest.fixture
def catalog(postgres_url: str) -> Iterator[Catalog]:
    catalog = open_catalog(postgres_url)
    yield catalog
    catalog.close()


def _open_and_note(url: str) -> int:
    catalog = open_catalog(url)
    with catalog.write() as connection:
        connection.execute(
            events.insert().values(at=datetime.now(UTC), kind="note", given_by="", data={"n": 1})
        )
    with catalog.read() as connection:
        count = connection.scalar(sa.select(sa.func.count()).select_from(events))
    catalog.close()
    return int(count or 0)


def test_four_processes_migrate_a_new_database_at_once(postgres_url: str) -> None:
    with ProcessPoolExecutor(4, mp_context=_SPAWN) as pool:
        counts = list(pool.map(_open_and_note, [postgres_url] * 4))
    assert max(counts) == 4


def test_migrations_go_down_and_up_again(postgres_url: str) -> None:
    catalog = open_catalog(postgres_url)
    expected = {*metadata.tables, "tallies", "alembic_version"}
    assert set(sa.inspect(catalog.engine).get_table_names()) == expected
    catalog.downgrade("base")
    assert set(sa.inspect(catalog.engine).get_table_names()) <= {"alembic_version"}
    catalog.migrate()
    assert set(sa.inspect(catalog.engine).get_table_names()) == expected
    catalog.close()


def test_a_server_that_is_away_is_a_clear_error() -> None:
    with pytest.raises(StorageError, match="cannot be used"):
        open_catalog("postgresql://nhan@127.0.0.1:1/none")


def test_numbers_that_it_keeps_itself_are_what_a_count_finds(catalog: Catalog) -> None:
    change(catalog, seed=0, count=200)
    assert_agree(catalog)


def test_writers_at_once_lose_no_count_and_its_rows_are_added_up(catalog: Catalog) -> None:
    change(catalog, seed=1)

    def move(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(150):
            with catalog.write() as connection:
                connection.execute(
                    samples.update()
                    .where(samples.c.id == chance.randint(21, 60))
                    .values(state=chance.choice(list(State)).value)
                )

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(move, range(6)))
    assert_agree(catalog)
    with catalog.read() as connection:
        kept = connection.scalar(sa.text("SELECT count(*) FROM tallies"))
    assert kept < 1000  # 900 changes would have left some 1,500 rows


def test_a_change_looks_at_the_kept_numbers_seldom(catalog: Catalog) -> None:
    """Each look walks through what was deleted since the last vacuum."""
    change(catalog, seed=3)
    looks = sa.text("SELECT seq_scan + idx_scan FROM pg_stat_user_tables WHERE relname = 'tallies'")
    flush = sa.text("SELECT pg_stat_force_next_flush()")
    with catalog.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(flush)
        before = connection.scalar(looks)
        for number in range(400):
            state = ("queued", "skipped")[number % 2]
            connection.execute(samples.update().where(samples.c.id == 30).values(state=state))
        connection.execute(flush)
        after = connection.scalar(looks)
    assert after - before < 100  # 400 and more, when every change looked
    assert_agree(catalog)


def test_a_writer_that_takes_its_time_keeps_nobody_waiting(catalog: Catalog) -> None:
    change(catalog, seed=2)
    with catalog.write() as slow:
        slow.execute(samples.update().where(samples.c.id == 30).values(state="skipped"))
        with catalog.write() as quick:
            quick.exec_driver_sql("SET LOCAL lock_timeout = '10s'")
            quick.execute(samples.update().where(samples.c.id == 31).values(state="skipped"))
    assert_agree(catalog)


def test_a_catalogue_from_before_is_counted_when_it_is_brought_up_to_date(catalog: Catalog) -> None:
    catalog.downgrade("0003")
    change(catalog, seed=4)
    catalog.migrate()
    assert_agree(catalog)
