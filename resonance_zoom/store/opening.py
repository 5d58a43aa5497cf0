"""Opens the database that DATABASE_URL names."""

from pathlib import Path

from sqlalchemy.exc import ArgumentError

from resonance_zoom.errors import ConfigurationError
from resonance_zoom.store.engine import Store
from resonance_zoom.store.sqlite import SqliteStore

SQLITE, POSTGRESQL = "sqlite:///", "postgresql+psycopg://"


def open_store(url: str) -> Store:
    """The store behind a URL. Nothing is read yet. Raises ConfigurationError, which quotes none."""
    if url.startswith(POSTGRESQL):
        return _on_a_server(url)
    return open_file(url)


def open_file(url: str) -> SqliteStore:
    """The store of a file, where only a file will do. Raises ConfigurationError."""
    if not url.startswith(SQLITE):
        raise ConfigurationError(
            "DATABASE_URL: must be sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST/NAME",
            remedy="Use DATABASE_URL=sqlite:///var/resonance.db",
        )
    return SqliteStore(Path(url.removeprefix(SQLITE)))


def _on_a_server(url: str) -> Store:
    try:
        # Imported here: the driver is an extra, which nobody with a file needs.
        from resonance_zoom.store.postgresql import PostgresqlStore
    except ImportError as error:
        raise ConfigurationError(
            f"DATABASE_URL: the driver of PostgreSQL is not installed ({error.name})",
            remedy="Install it: pip install 'resonance-zoom[postgres]'",
        ) from None
    try:
        return PostgresqlStore(url)
    except (ValueError, ArgumentError):  # whose words may be a part of the password
        raise ConfigurationError(
            "DATABASE_URL: cannot be read as postgresql+psycopg://USER:PASSWORD@HOST/NAME",
            remedy="In the password write @ as %40, : as %3A, / as %2F, % as %25.",
        ) from None
