"""When each job last ran and how, and when Zoom's lists are read next: from the rows of `runs`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select

from resonance_zoom.errors import ZoomNotFound
from resonance_zoom.store.tables import journal as journal_table
from resonance_zoom.store.tables import runs
from resonance_zoom.web.health import TICK_AGE

READING = "sync_registrants"
# The jobs as staff know them; a test holds the names, and the periods below, to the timetable.
JOBS = {
    "create_meetings": "la comparaison des réunions avec le fichier",
    READING: "la lecture des listes de Zoom",
    "send_reminders": "la préparation des rappels",
    "deliver_letters": "l’envoi des courriers",
    "read_bounces": "la lecture des courriers revenus",
    "watch": "la surveillance du service",
    "purge_personal_data": "l’effacement des données personnelles",
    "back_up_database": "la sauvegarde de la base",
}
READS_EVERY = timedelta(minutes=10)
READS_EVERY_WITHOUT_WEBHOOKS = timedelta(minutes=2)
_NOT_THERE = f"{ZoomNotFound.__name__}:"


@dataclass(frozen=True, slots=True)
class Failure:
    """A job whose last run has an error. `name`: the error's type; `since`: its last good run."""

    name: str
    said: str
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AtWork:
    """`stopped`: since when nothing was done, None while the service works.

    `starting`: it was started a moment ago. `read_at`: the last time that Zoom's lists were read to
    the end, `reads_at`: the next (None while nothing says that there will be one).
    """

    ticked_at: datetime | None
    stopped: bool
    starting: bool
    read_at: datetime | None
    reads_at: datetime | None
    failures: Mapping[str, Failure]


def at_work(connection: Connection, now: datetime, *, webhooks: bool) -> AtWork:
    """How the jobs do."""
    last = _last_runs(connection)
    ticked = last["watch"].started_at if "watch" in last else None
    started = _started(connection)
    starting = started is not None and now - started <= TICK_AGE
    stopped = not starting and (ticked is None or now - ticked > TICK_AGE)
    return AtWork(
        ticked_at=ticked,
        stopped=stopped,
        starting=starting,
        read_at=_last_good(connection, READING),
        reads_at=None if stopped else _next_reading(now, webhooks=webhooks),
        failures={
            job: Failure(row.error.partition(":")[0], row.error, _last_good(connection, job))
            for job, row in last.items()
            if row.error and not (job == READING and row.error.startswith(_NOT_THERE))
        },
    )


def _last_runs(connection: Connection) -> dict[str, Any]:
    """The newest row of each job; each found in the index, for there are hundreds of thousands."""
    newest = (
        runs.c.id == select(func.max(runs.c.id)).where(runs.c.job == job).scalar_subquery()
        for job in JOBS
    )
    return {row.job: row for row in connection.execute(select(runs).where(or_(*newest)))}


def _last_good(connection: Connection, job: str) -> datetime | None:
    good: list[ColumnElement[bool]] = [runs.c.error.is_(None)]
    if job == READING:
        # A meeting that is not on Zoom is that meeting's trouble: all others were read.
        good.append(runs.c.error.startswith(_NOT_THERE))
    found = select(runs.c.started_at).where(runs.c.job == job, or_(*good))
    return connection.execute(found.order_by(runs.c.id.desc()).limit(1)).scalar()


def _started(connection: Connection) -> datetime | None:
    found = select(journal_table.c.at).where(journal_table.c.kind == "service.started")
    return connection.execute(found.order_by(journal_table.c.id.desc()).limit(1)).scalar()


def _next_reading(now: datetime, *, webhooks: bool) -> datetime:
    """Jobs fire on the clock's own marks (:00, :10, …), whatever the last run did."""
    period = READS_EVERY if webhooks else READS_EVERY_WITHOUT_WEBHOOKS
    return now + period - timedelta(seconds=now.timestamp() % period.total_seconds())
