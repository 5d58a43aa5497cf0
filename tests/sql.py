"""SQL typed into a database by somebody who can reach it, past the service."""

import sqlite3
from contextlib import closing

import psycopg

from resonance_zoom.store.engine import Store
from resonance_zoom.store.sqlite import SqliteStore


def type_into(store: Store, script: str) -> None:
    """Run the statements of a script and commit them."""
    if isinstance(store, SqliteStore):
        with closing(sqlite3.connect(store.path)) as connection:
            connection.executescript(script)
        return
    address = store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address) as server:
        server.execute(script.encode())
