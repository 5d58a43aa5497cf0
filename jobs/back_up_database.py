"""Every day a copy of the database is made; fourteen are kept."""

from resonance_zoom import backups
from resonance_zoom.errors import ResonanceError
from resonance_zoom.service import Service
from resonance_zoom.store import journal


def run(service: Service) -> str:
    """Make today's backup, unless it was made and nobody was erased since.

    Raises ResonanceError when it cannot be made; the journal says so, and it is tried again.
    """
    now = service.now()
    if service.store.shared:
        return "the database server keeps its own backups"
    with service.store.read() as connection:
        if not backups.is_due(connection, now):
            return "today's backup is made"
    try:
        made = backups.make_daily(service.store, now)
    except ResonanceError as error:
        with service.store.write() as connection:
            journal.note(
                connection,
                now,
                "backup.failed",
                f"no backup was made: {error.message} {error.remedy}".strip(),
                level=journal.ERROR,
            )
        raise
    with service.store.write() as connection:
        journal.remember(connection, backups.BACKED_UP, now)
        journal.note(
            connection,
            now,
            "backup.made",
            f"{made.name}, {made.stat().st_size:,} bytes",
            level=journal.DEBUG,
        )
    return made.name
