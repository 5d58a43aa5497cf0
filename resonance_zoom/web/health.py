"""Is the process there, is the service fit to work, and the figures behind it."""

import shutil
from datetime import datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from sqlalchemy import Connection, Select, select
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from resonance_zoom.errors import ResonanceError
from resonance_zoom.service import Service
from resonance_zoom.store import journal, tallies
from resonance_zoom.store.tables import letters, runs

ALIVE_AGE = timedelta(minutes=2)
TICK_AGE = timedelta(minutes=5)
SWEEP_AGE = timedelta(minutes=30)
LETTER_AGE = timedelta(minutes=15)
DISK_FREE = 500 * 1024 * 1024


async def healthz(_request: Request) -> Response:
    """The process answers."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """200 when all that keeps the promises works, else 503; each point with its reason."""
    points = await run_in_threadpool(readiness, request.app.state.service)
    fit = all(point["ok"] for point in points.values())
    return JSONResponse({"ready": fit, "points": points}, status_code=200 if fit else 503)


def readiness(service: Service) -> dict[str, dict[str, Any]]:
    """{point: {ok, says}} for database, clock, last tick, last sweep, oldest due letter, disk.

    A web whose clock is another process says as well whether any is alive.
    """
    now = service.now()
    free = shutil.disk_usage(service.store.folder).free
    points = {"disk": _point(free > DISK_FREE, f"{free // 1024**2} MB free")}
    try:
        with service.store.write() as connection:  # writable is what matters
            held = journal.recall(connection, journal.HELD)
            alive = journal.last_alive(connection)
            ticked = connection.execute(_last_run("watch")).scalar()
            swept = connection.execute(
                _last_run("sync_registrants").where(runs.c.error.is_(None))
            ).scalar()
            oldest = _oldest_due(connection, now)
    except ResonanceError as error:
        return points | {"database": _point(None, error.message)}
    points["database"] = _point("writable", "writable, schema current")
    points["clock"] = _point(not held, held or "trusted")
    if service.clock_elsewhere:
        points["clock_process"] = _aged(now, alive, ALIVE_AGE)
    points["last_tick"] = _aged(now, ticked, TICK_AGE)
    points["last_sweep"] = _aged(now, swept, SWEEP_AGE)
    points["oldest_due_letter"] = _point(
        oldest is None or now - oldest < LETTER_AGE, oldest.isoformat() if oldest else "none waits"
    )
    return points


def _oldest_due(connection: Connection, now: datetime) -> datetime | None:
    """When the letter fell due that has waited longest among those that could leave."""
    ready = (letters.c.state == "queued", letters.c.ready_at <= now)
    # Of those put off by the relay there may be many, and none ready: the queue says that at once.
    if connection.execute(select(letters.c.id).where(*ready).limit(1)).first() is None:
        return None
    return connection.scalar(
        select(letters.c.due_at).where(*ready).order_by(letters.c.due_at).limit(1)
    )


def _last_run(job: str) -> Select[datetime]:
    """When a job last began: the end of an index, where a month holds thousands of runs."""
    return select(runs.c.started_at).where(runs.c.job == job).order_by(runs.c.id.desc()).limit(1)


def _point(holds: object, says: str) -> dict[str, Any]:
    return {"ok": bool(holds), "says": says}


def _aged(now: Any, moment: Any, limit: timedelta) -> dict[str, Any]:
    return _point(
        moment is not None and now - moment < limit, moment.isoformat() if moment else "never"
    )


async def metrics(request: Request) -> Response:
    """Prometheus: counts by group and state, nothing about a person."""
    body = await run_in_threadpool(_metrics, request.app.state.service)
    return Response(body, media_type=CONTENT_TYPE_PLAIN_0_0_4)


def _metrics(service: Service) -> bytes:
    registry = CollectorRegistry()
    people = Gauge(
        "resonance_registrants", "Registrants", ["focus_group", "status"], registry=registry
    )
    owed = Gauge(
        "resonance_letters", "Letters", ["focus_group", "kind", "state"], registry=registry
    )
    ready = Gauge(
        "resonance_ready", "1 when a point of /readyz holds", ["point"], registry=registry
    )
    with service.store.read() as connection:
        for group, statuses in tallies.registrations(connection).items():
            for status, count in statuses.items():
                people.labels(group, status).set(count)
        for labels, count in tallies.letters(connection).items():
            owed.labels(*labels).set(count)
    for name, point in readiness(service).items():
        ready.labels(name).set(point["ok"])
    return generate_latest(registry)
