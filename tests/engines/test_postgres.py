"""The catalogue on a real PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context

import pytest
import sqlalchemy as sa

from nhan.catalog import open_catalog
from nhan.catalog.schema import events, metadata
from nhan.errors import StorageError

pytestmark = pytest.mark.engine

# A forked child inherits the threads' locks of its parent but not the threads.
_SPAWN = get_context("spawn")


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
    expected = {*metadata.tables, "alembic_version"}
    assert set(sa.inspect(catalog.engine).get_table_names()) == expected
    catalog.downgrade("base")
    assert set(sa.inspect(catalog.engine).get_table_names()) <= {"alembic_version"}
    catalog.migrate()
    assert set(sa.inspect(catalog.engine).get_table_names()) == expected
    catalog.close()


def test_a_server_that_is_away_is_a_clear_error() -> None:
    with pytest.raises(StorageError, match="cannot be used"):
        open_catalog("postgresql://nhan@127.0.0.1:1/none")
