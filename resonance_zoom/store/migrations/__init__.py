"""Schema versions, applied by Alembic. Add one: copy the newest script, raise `engine.HEAD`."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

HERE = Path(__file__).parent


def known_revisions() -> list[str]:
    """Every revision of this version, the oldest first."""
    scripts = ScriptDirectory.from_config(_config())
    return [script.revision for script in reversed(list(scripts.walk_revisions()))]


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the database to `revision` in one transaction: never between two schemas."""
    with engine.connect().execution_options(immediate=True) as connection, connection.begin():
        upgrade_on(connection, revision)


def upgrade_on(connection: Connection, revision: str = "head") -> None:
    """The same within a transaction that is open."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    return config
