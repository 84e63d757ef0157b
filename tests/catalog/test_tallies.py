"""Numbers that the database keeps itself agree with a count, whatever changes the rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from kept_tallies import assert_agree, change
from nhan.catalog import Catalog, State, open_catalog
from nhan.catalog.schema import reviews, samples


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return open_catalog("sqlite:///c.db", directory=tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_kept_is_what_a_count_finds(catalog: Catalog, seed: int) -> None:
    change(catalog, seed=seed)
    assert_agree(catalog)


def test_a_change_that_is_taken_back_counts_for_nothing(catalog: Catalog) -> None:
    change(catalog, seed=1)
    with catalog.engine.connect() as connection, connection.begin() as transaction:
        connection.execute(samples.update().values(state=State.SKIPPED.value))
        transaction.rollback()
    assert_agree(catalog)


def test_a_catalogue_from_before_is_counted_when_it_is_brought_up_to_date(catalog: Catalog) -> None:
    catalog.downgrade("0003")
    change(catalog, seed=4)
    catalog.migrate()
    assert_agree(catalog)


def test_nobody_is_named_who_has_no_review_left(catalog: Catalog) -> None:
    change(catalog, seed=5)
    with catalog.write() as connection:
        connection.execute(reviews.delete())
        connection.execute(samples.delete())
    with catalog.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM tallies").scalar() == 0
