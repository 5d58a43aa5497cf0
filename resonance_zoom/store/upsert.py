"""Makes an INSERT that says what to do when the row is there: each database has its own word."""

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

Insert = postgresql.Insert | sqlite.Insert


def insert(connection: Connection, table: Table) -> Insert:
    """An INSERT with `on_conflict_do_nothing` or `on_conflict_do_update`; its rows are counted."""
    return insert_of(connection.dialect.name, table)


def insert_of(dialect: str, table: Table) -> Insert:
    """The same by the name of SQLAlchemy's dialect, for statements that are built once."""
    made = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    return made.execution_options(preserve_rowcount=True)
