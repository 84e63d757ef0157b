"""Opening the catalogue: SQLite by default, PostgreSQL by URL, migrated to the newest schema."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.engine import make_url

from nhan.errors import MissingExtra, SettingsError, StorageError

_MIGRATIONS = Path(__file__).parent / "migrations"
# Long enough for another process's bulk import batch, short enough that a stuck one is noticed.
_BUSY_TIMEOUT_MS = 30_000
# What to do about what SQLite says; and about everything else.
_HINTS = {
    "readonly": "whoever runs this needs the right to write the file and its folder",
    "unable to open": "whoever runs this needs the right to read and write the file and its folder",
    "locked": "another process has been writing for long; try again",
    "disk is full": "make room, then run the same command again",
    "disk I/O": "is its disk full, or failing? Make room, then run the same command again",
}
_HINT = "check that it is running and the address is right; `nhan doctor` tries it"
# Any number; all migrating processes must agree on it.
_MIGRATION_LOCK = 7_239_114


class Catalog:
    """A connection pool and the two ways to use it: `read()` and `write()`.

    SQLite allows one writer: `write()` takes the lock at once (BEGIN IMMEDIATE) and waits for it,
    so no transaction dies half-way with "database is locked".
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @property
    def place(self) -> str:
        """Where it is, for people: a file's path as it is called, no password."""
        url = self.engine.url
        if self.dialect == "sqlite" and url.database:
            return f"sqlite:///{url.database}"
        return url.render_as_string()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection for queries; sees one consistent state."""
        with self._reachable(), self.engine.connect() as connection:
            if self.dialect == "postgresql":  # else each query would see a newer one
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction: committed on leaving, rolled back on an exception."""
        with self._reachable(), self.engine.connect() as plain:
            connection = plain.execution_options(nhan_write=True)
            with connection.begin():
                yield connection

    def migrate(self) -> None:
        """Bring the schema to the newest revision; safe when several processes start at once."""
        with self.write() as connection:
            if self.dialect == "postgresql":
                connection.execute(
                    sa.text("SELECT pg_advisory_xact_lock(:n)"), {"n": _MIGRATION_LOCK}
                )
            command.upgrade(_alembic_config(connection), "head")

    def downgrade(self, revision: str) -> None:
        """Take the schema back to a revision (`base` for none)."""
        with self.write() as connection:
            command.downgrade(_alembic_config(connection), revision)

    def close(self) -> None:
        """Give every pooled connection back."""
        self.engine.dispose()

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.OperationalError as error:
            said = str(error.orig)
            hint = next((hint for words, hint in _HINTS.items() if words in said), _HINT)
            raise StorageError(
                f"the catalogue {self.place} cannot be used: {said}",
                hint=hint,
            ) from error
        except sa.exc.DatabaseError as error:
            if type(error) is not sa.exc.DatabaseError:  # a query of ours that is wrong
                raise
            raise StorageError(  # SQLite: "file is not a database", "disk image is malformed"
                f"the catalogue {self.place} is damaged: {error.orig}",
                hint="put the file back, or make the workspace anew of a backup: nhan restore",
            ) from error


def open_catalog(url: str, *, directory: Path | None = None, migrate: bool = True) -> Catalog:
    """Open a catalogue by URL.

    Args:
        url: `sqlite:///FILE` (relative to `directory`), `sqlite://` (memory), `postgresql://…`.
        directory: what a relative SQLite path starts from.
        migrate: bring the schema up to date first.

    Raises:
        SettingsError: not a URL we know.
        MissingExtra: PostgreSQL without its driver.
        StorageError: out of reach.
    """
    try:
        parsed = make_url(url)
    except sa.exc.ArgumentError as error:
        raise SettingsError(
            f"catalogue {url!r} is no database URL", hint="sqlite:///FILE or postgresql://host/db"
        ) from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        engine = _sqlite(parsed, directory)
    elif backend == "postgresql":
        engine = _postgresql(parsed)
    else:
        raise SettingsError(
            f"catalogue {backend!r} is not supported", hint="sqlite:///FILE or postgresql://host/db"
        )
    catalog = Catalog(engine)
    if migrate:
        catalog.migrate()
    return catalog


def _sqlite(url: sa.URL, directory: Path | None) -> sa.Engine:
    options: dict[str, Any] = {}
    if url.database and url.database != ":memory:":
        path = (directory or Path.cwd()) / url.database
        path.parent.mkdir(parents=True, exist_ok=True)
        url = url.set(database=str(path))
    else:
        options["poolclass"] = (
            sa.StaticPool
        )  # one connection, or every thread sees its own database
        options["connect_args"] = {"check_same_thread": False}
    engine = sa.create_engine(url, **options)

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        for pragma in (
            f"busy_timeout={_BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            "synchronous=FULL",  # a label that was acknowledged survives a power cut
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        write = connection.get_execution_options().get("nhan_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _postgresql(url: sa.URL) -> sa.Engine:
    try:
        return sa.create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise MissingExtra("a PostgreSQL catalogue", "postgres") from error


def _alembic_config(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config
