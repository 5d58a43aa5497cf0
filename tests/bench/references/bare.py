"""The least that could keep a registration: raw ASGI, plain sqlite3, commits in groups.

`python -m tests.bench.references.bare DATABASE`. The same rows in the same tables as the service
writes for somebody new, as durable, each request answered after its commit. Nothing is verified,
nothing looked up, nobody is known already: it writes and that is all.
"""

import asyncio
import hashlib
import json
import sqlite3
import sys
import threading
from collections import deque
from datetime import UTC, datetime
from typing import Any

from resonance_zoom.store import people
from tests.bench.references.serving import serve
from tests.bench.stage import stored

MOST = 256
Waiting = tuple[bytes, "asyncio.Future[None]"]
EVENTS = """INSERT INTO events (key, event, source, zoom_meeting_id, focus_group, email_folded,
    event_ts, received_at, status, registrant_id, email, first_name, last_name, join_url)
    VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)"""
REGISTRANTS = """INSERT INTO registrants (id, focus_group, email_folded, email, registrant_id,
    first_name, last_name, status, join_url, episode, registered_at, approved_at, decided_ts,
    source, sought) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"""
LETTERS = """INSERT INTO letters (registrant, focus_group, kind, occasion, episode, start_at,
    due_at, worth_until, state, ready_at, created_at) VALUES (?,?,?,?,?,?,?,?,?,?,?)"""
JOURNAL = """INSERT INTO journal (at, level, kind, focus_group, registrant, message, data)
    VALUES (?,?,?,?,?,?,?)"""


class Writer:
    """One thread; what came during one commit makes the next."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._waiting: deque[Waiting] = deque()
        self._come = threading.Event()
        threading.Thread(target=self._work, daemon=True).start()

    async def keep(self, body: bytes) -> None:
        """Returns when it was committed."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((body, done))
        self._come.set()
        await done

    def _work(self) -> None:
        database = sqlite3.connect(self._path, isolation_level=None, timeout=60)
        database.execute("PRAGMA synchronous=FULL")
        self._meetings = {
            row[0]: row[1:]
            for row in database.execute(
                "SELECT zoom_meeting_id, focus_group, start_at, end_at FROM meetings"
            )
        }
        self._last = database.execute("SELECT coalesce(max(id), 0) FROM registrants").fetchone()[0]
        while True:
            self._come.wait()
            self._come.clear()
            while group := [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]:
                self._commit(database, [body for body, _ in group])
                answers = [done for _, done in group]
                answers[0].get_loop().call_soon_threadsafe(_answer, answers)

    def _commit(self, database: sqlite3.Connection, bodies: list[bytes]) -> None:
        rows = [self._rows(json.loads(body)) for body in bodies]
        database.execute("BEGIN IMMEDIATE")
        for statement, values in zip(
            (EVENTS, REGISTRANTS, LETTERS, JOURNAL), zip(*rows, strict=True), strict=True
        ):
            database.executemany(statement, values)
        database.execute("COMMIT")

    def _rows(self, told: dict[str, Any]) -> tuple[tuple[Any, ...], ...]:
        event, stamp = told["event"], told["event_ts"]
        meeting, who = told["payload"]["object"]["id"], told["payload"]["object"]["registrant"]
        group, start, end = self._meetings[meeting]
        folded, first, last = who["email"].casefold(), who["first_name"], who["last_name"]
        email, status, url, zoom_id = who["email"], who["status"], who["join_url"], who["id"]
        parts = (event, meeting, zoom_id, stamp)
        key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        now, began = stored(datetime.now(UTC)), stored(datetime.fromtimestamp(stamp / 1000, UTC))
        self._last += 1
        data = {"source": "webhook", "event": event, "event_ts": stamp, "before": None,
                "after": status, "episode": 1, "zoom_registrant_id": zoom_id,
                "confirmation_owed": True}  # fmt: skip
        return (
            (key, event, "webhook", meeting, group, folded, stamp, now, status, zoom_id, email,
             first, last, url),
            (self._last, group, folded, email, zoom_id, first, last, status, url, 1, began, began,
             stamp, "webhook", people.sought(first, last, email)),
            (self._last, group, "confirmation", "episode 1", 1, start, now, end, "queued", now, now),
            (now, "info", "registration.created", group, self._last, "Zoom told us: approved",
             json.dumps(data)),
        )  # fmt: skip


def _answer(answers: list["asyncio.Future[None]"]) -> None:
    for done in answers:
        if not done.done():
            done.set_result(None)


def application(path: str) -> Any:
    """ASGI: whatever is posted is kept, then answered with 200."""
    writer = Writer(path)

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        await writer.keep(body)
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]}
        )
        await send({"type": "http.response.body", "body": b""})

    async def with_lifespan(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await app(scope, receive, send)
            return
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})

    return with_lifespan


if __name__ == "__main__":
    serve(application(sys.argv[1]))
