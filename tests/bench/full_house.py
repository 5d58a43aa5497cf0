"""A campaign at its height, for measuring: four groups, 1,000 registrations, 100,000 lines.

The meetings are made the real way, by the job on a simulated Zoom; the rest is written to the
database at once, the same each time.
"""

import random
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jobs
from jobs.clock import run_job
from resonance_zoom.campaign import CANCELLED, CONFIRMATION, MOVED, WITHDRAWN
from resonance_zoom.service import Service, open_service
from resonance_zoom.settings import load_settings
from resonance_zoom.zoom.simulator import SimulatedZoom, SimulatorServer
from tests.bench.bench_journal import BEGAN, NOW, fill_journal, fill_runs, stored
from tests.conftest import CAMPAIGN, WEBHOOK_SECRET, Clock

PEOPLE, REGISTRATIONS, LINES, RUNS = 700, 1_000, 100_000, 300_000
AN_HOUR, A_DAY = timedelta(hours=1), timedelta(days=1)
MORE_GROUPS = """
[[focus_group]]
slug = "biodiversite"
title = "Faire une place au vivant dans les quartiers denses"
date = 2021-01-19
starts = 14:00:00
ends = 16:00:00

[[focus_group]]
slug = "rez-de-chaussee"
title = "Partager les rez-de-chaussée : commerces, ateliers, associations"
date = 2021-03-30
starts = 18:00:00
ends = 20:00:00
agenda = "Qui les ouvre, qui les paie, à quelles heures ?"
"""
STATUSES = ("approved",) * 88 + ("cancelled",) * 8 + ("pending", "pending", "denied", "denied")
FIRST_NAMES = ("Alice", "Émile", "Inès", "Jean-Baptiste", "Maëlle", "Oumar", "Søren", "Zoé")
LAST_NAMES = ("Martin", "Œuvrard", "Le Goff", "d’Ornano", "Nguyễn", "Lefèvre", "Bousquet")
# (state, reason, what was said) of a letter that should have left by now, of each hundred
FATES = (
    *[("sent", None, "250 2.0.0 Ok: queued as 4F2A1C0")] * 90,
    *[("failed", "refused", "550 5.1.1 mailbox unavailable")] * 3,
    *[("dropped", "too_late", "the mail server was down")] * 3,
    *[("in_doubt", "answer_lost", "connection lost after DATA")] * 2,
    *[("queued", "deferred", "451 4.7.1 greylisted")] * 2,
)


def opened(folder: Path) -> Service:
    """A service on that database, its clock standing at NOW. The caller closes it."""
    clock = Clock(BEGAN)
    service = begun(folder, clock)
    clock.time = NOW
    database = sqlite3.connect(service.store.path)
    database.row_factory = sqlite3.Row
    database.execute("PRAGMA synchronous=OFF")
    _fill(database)
    database.commit()
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return service


def begun(folder: Path, clock: Clock) -> Service:
    """A service whose meetings were made, on a simulated Zoom that is gone afterwards."""
    zoom = SimulatedZoom(now=clock, seed=1, webhook_secret=WEBHOOK_SECRET)
    with SimulatorServer(zoom) as server:
        service = service_in(folder, clock, origin=server.origin)
        service.store.prepare()
        job = next(line for line in jobs.SCHEDULE if line.name == "create_meetings")
        if trouble := run_job(service, job):
            raise RuntimeError(f"the meetings could not be made: {trouble}")
    return service


def service_in(
    folder: Path, clock: Clock, *, origin: str = "http://127.0.0.1:9", smtp_url: str = ""
) -> Service:
    """The service of the campaign in a folder; by itself it finds no Zoom."""
    (folder / "campaign.toml").write_text(CAMPAIGN + MORE_GROUPS, encoding="utf-8")
    environ = {
        "CAMPAIGN_FILE": str(folder / "campaign.toml"),
        "DATABASE_URL": f"sqlite:///{folder}/resonance.db",
        "SMTP_URL": smtp_url,
        "ZOOM_ACCOUNT_ID": "acc",
        "ZOOM_CLIENT_ID": "cid",
        "ZOOM_CLIENT_SECRET": "csecret",
        "ZOOM_WEBHOOK_SECRET_TOKEN": WEBHOOK_SECRET,
        "ZOOM_API_URL": f"{origin}/v2",
        "ZOOM_OAUTH_URL": f"{origin}/oauth/token",
        "SECRET_KEY": "0123456789abcdef0123456789abcdef",
    }
    settings = load_settings(environ=environ, dotenv=folder / "no.env")
    return open_service(settings, now=clock, monotonic=clock.seconds, sleep=lambda _seconds: None)


def _fill(database: sqlite3.Connection) -> None:
    dice = random.Random(1)  # noqa: S311 — a benchmark, the same each time
    held = database.execute("SELECT * FROM meetings ORDER BY start_at").fetchall()
    people = [_registration(dice, n, held[n * len(held) // REGISTRATIONS])
              for n in range(REGISTRATIONS)]  # fmt: skip
    _insert(database, "registrants", people)
    _insert(database, "events", [_event(person) for person in people])
    meetings = {row["focus_group"]: row for row in held}
    owed = [
        letter
        for person in people
        for letter in _letters(dice, person, meetings[person["focus_group"]])
    ]
    _insert(database, "letters", sorted(owed, key=lambda letter: letter["due_at"]))
    fill_journal(database, LINES, groups=tuple(meetings), people=REGISTRATIONS)
    fill_runs(database, RUNS)
    _insert(database, "runs", [
        {"job": "sync_registrants", "started_at": stored(NOW - n * timedelta(minutes=10)),
         "seconds": 1.2, "did": "4 meetings listed"}
        for n in range(1_000, 0, -1)
    ])  # fmt: skip


def _registration(dice: random.Random, n: int, meeting: Any) -> dict[str, Any]:
    """The n-th: everybody is in one group, three in seven in another one as well."""
    who = n % PEOPLE
    first, last = FIRST_NAMES[who % len(FIRST_NAMES)], f"{LAST_NAMES[who % len(LAST_NAMES)]} {who}"
    address = f"personne{who}@example.org"
    status = dice.choice(STATUSES)
    began = BEGAN + dice.random() * (min(NOW, _time(meeting["start_at"])) - BEGAN - A_DAY)
    return {
        "id": n + 1,
        "focus_group": meeting["focus_group"],
        "email_folded": address,
        "email": address,
        "registrant_id": f"R{n}",
        "first_name": first,
        "last_name": last,
        "status": status,
        "join_url": f"https://zoom.us/w/{meeting['zoom_meeting_id']}?tk=exemple{n}.DQMAAAA&pwd=x",
        "episode": 1,
        "registered_at": stored(began),
        "approved_at": stored(began) if status in {"approved", "cancelled"} else None,
        "decided_ts": int(began.timestamp() * 1000),
        "source": "sweep" if n % 20 == 0 else "webhook",
        "sought": f"{first} {last} {address}".casefold(),
    }


def _event(person: dict[str, Any]) -> dict[str, Any]:
    kept = ("source", "focus_group", "email_folded", "status", "registrant_id", "email",
            "first_name", "last_name", "join_url")  # fmt: skip
    return {name: person[name] for name in kept} | {
        "key": f"key-{person['id']}",
        "event": "meeting.registration_created",
        "event_ts": person["decided_ts"],
        "received_at": person["registered_at"],
    }


def _letters(dice: random.Random, person: dict[str, Any], meeting: Any) -> Iterator[dict[str, Any]]:
    """What a registration was owed until NOW: each letter with the fate of its own."""
    start, began = _time(meeting["start_at"]), _time(person["registered_at"])
    owed = [(CONFIRMATION, began), ("reminder-7", start - 7 * A_DAY), ("reminder-1", start - A_DAY)]
    if person["id"] % 25 == 0:
        owed.append((MOVED, began + AN_HOUR))
    if person["status"] == "cancelled":
        owed = [
            (CONFIRMATION, began),
            (WITHDRAWN if person["id"] % 2 else CANCELLED, began + A_DAY),
        ]
    if person["status"] in {"pending", "denied"}:
        owed = []
    for kind, due in owed:
        if not began <= due <= NOW:
            continue
        state, reason, said = dice.choice(FATES)
        yield {
            "registrant": person["id"],
            "focus_group": person["focus_group"],
            "kind": kind,
            "occasion": "episode 1" if kind == CONFIRMATION else meeting["start_at"][:16],
            "episode": 1,
            "start_at": meeting["start_at"],
            "due_at": stored(due),
            "worth_until": meeting["end_at"],
            "state": state,
            "ready_at": stored(NOW + AN_HOUR if state == "queued" else due),
            "reason": reason,
            "detail": said,
            "attempts": 1,
            "claimed_at": stored(due),
            "sent_at": stored(due) if state == "sent" else None,
            "message_id": f"<{person['id']}.{kind}@example.org>",
            "created_at": stored(due),
        }


def _insert(database: sqlite3.Connection, table: str, rows: list[dict[str, Any]]) -> None:
    names = list(rows[0])
    database.executemany(
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",  # noqa: S608 — names of ours
        [tuple(row[name] for name in names) for row in rows],
    )


def _time(kept: str) -> datetime:
    """A time as SQLite holds it."""
    return datetime.fromisoformat(kept).replace(tzinfo=UTC)
