"""A migration that is killed leaves the old schema or the new one, and a copy that can be read."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from resonance_zoom.store import engine
from resonance_zoom.store.migrations import upgrade
from resonance_zoom.store.opening import open_store
from resonance_zoom.store.tables import metadata

OLD = "0001"
KILLED_AT_EACH_STATEMENT = """
import os, shutil, signal, sys
from pathlib import Path
from sqlalchemy import Engine, event
from resonance_zoom.store import migrations  # loaded once, not by every child
from resonance_zoom.store.opening import open_store

old, where = Path(sys.argv[1]), Path(sys.argv[2])
for number in range(1, 1000):
    path = where / f"{number}.db"
    shutil.copy(old, path)
    child = os.fork()
    if child == 0:
        left = [number]
        def struck(*_):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
        event.listen(Engine, "after_cursor_execute", struck)
        open_store(f"sqlite:///{path}").prepare()
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
print(number - 1)
"""


@pytest.fixture(scope="module")
def old_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of the first schema with somebody in it."""
    path = tmp_path_factory.mktemp("old") / "old.db"
    store = open_store(f"sqlite:///{path}")
    upgrade(store.engine, OLD)
    with store.write() as connection:
        connection.execute(
            text(
                "INSERT INTO meetings (focus_group, reference, state, intended_at)"
                " VALUES ('a', 'r', 'open', '2021-01-01 00:00:00.000000')"
            )
        )
    store.close()
    return path


def test_killed_at_any_statement_of_a_migration_it_is_old_or_new_and_the_copy_sound(
    old_database: Path, tmp_path: Path
) -> None:
    told = subprocess.run(  # noqa: S603 — our own script
        [sys.executable, "-c", KILLED_AT_EACH_STATEMENT, str(old_database), str(tmp_path)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    kills = int(told.stdout)
    assert kills > 20
    revisions = set()
    for number in range(1, kills + 1):
        path = tmp_path / f"{number}.db"
        store = open_store(f"sqlite:///{path}")
        found = store.revision()
        revisions.add(found)
        assert found in {OLD, engine.HEAD}, number
        copy = path.with_name(f"{number}.db.before-{engine.HEAD}")
        assert copy.exists() or found == OLD
        if copy.exists():
            with closing(sqlite3.connect(copy)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                assert connection.execute("SELECT reference FROM meetings").fetchall() == [("r",)]
                rows = connection.execute("SELECT version_num FROM alembic_version")
                assert rows.fetchall() == [(OLD,)]
        store.prepare()  # the next start finishes what was begun
        with store.engine.connect() as bound:
            assert compare_metadata(MigrationContext.configure(bound), metadata) == []
            assert bound.execute(text("SELECT reference FROM meetings")).scalar() == "r"
        store.close()
    assert OLD in revisions
