"""The real application on a real database, called without a socket, and who judges its answers.

`synchronous` is OFF here, and only here: what a power cut would lose is not what a fuzz looks for,
and waiting for the disk would be most of its time.
"""

import asyncio
import hashlib
import hmac
import json
import re
import sqlite3
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import structlog
from sqlalchemy import event, insert

from resonance_zoom.errors import DatabaseUnusable
from resonance_zoom.service import open_service
from resonance_zoom.settings import load_settings
from resonance_zoom.store.tables import meetings
from resonance_zoom.web.app import make_app
from tests.fuzz.calls import MAX_BODY, OURS, SECRETS, Call
from tests.fuzz.reading import Reading, read

CAMPAIGN = """\
[campaign]
name = "Mission Résonance"
slug = "resonance-2021"
timezone = "Europe/Paris"
language = "fr"
zoom_host = "organisation@example.org"
[organiser]
name = "Mission Résonance"
email = "contact@example.org"
[[focus_group]]
slug = "teletravail"
title = "Le télétravail"
date = 2021-02-09
starts = 09:00:00
ends = 11:00:00
[[focus_group]]
slug = "espaces-exterieurs"
title = "Les espaces extérieurs"
date = 2021-03-16
starts = 09:00:00
ends = 11:00:00
"""
BEGIN = 1_610_359_200  # Monday 11 January 2021, 10:00 UTC
STATES = {"approved", "pending", "denied", "cancelled"}
Result = TypeVar("Result")
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `error`: what came out of the application instead, or as well."""

    status: int
    body: bytes
    error: str = ""


class House:
    """A service that nobody else speaks to. `begin` makes it as it was at first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        file = folder / "campaign.toml"
        file.write_text(CAMPAIGN, encoding="utf-8")
        environ = {
            "CAMPAIGN_FILE": str(file),
            "DATABASE_URL": f"sqlite:///{folder}/var/resonance.db",
            "ZOOM_WEBHOOK_SECRET_TOKEN": ",".join(SECRETS),
            "SECRET_KEY": "0123456789abcdef0123456789abcdef",
        }
        settings = load_settings(environ=environ, dotenv=folder / "no.env")
        self.now = BEGIN
        self.service = open_service(settings, now=lambda: datetime.fromtimestamp(self.now, UTC))
        store = self.service.store
        store.hold_alone()  # as the daemon does: then it also keeps SQLite's log short
        store.prepare()
        store.engine.dispose()
        event.listen(store.engine, "connect", _without_waiting_for_the_disk)
        self.woken: list[str] = []
        self.service.wake = self.woken.append
        with store.write() as connection:
            connection.execute(insert(meetings), _two_meetings())
        database = folder / "var" / "resonance.db"
        self._own = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
        self._first = sqlite3.connect(":memory:", check_same_thread=False)
        self._own.backup(self._first)
        self._runner = asyncio.Runner()
        # A browser's test in the same process leaves a loop running in the main thread.
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._logged = structlog.get_config()
        structlog.configure(processors=[_drop])
        self.begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        structlog.configure(**self._logged)
        self._thread.submit(self._runner.close).result()
        self._thread.shutdown()
        self._own.close()
        self._first.close()
        self.service.close()

    def begin(self) -> None:
        """An empty database with two meetings; a new application before it."""
        self.app = make_app(self.service)
        self.now = BEGIN
        self._first.backup(self._own)
        self._own.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._challenges: deque[int] = deque(maxlen=10)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """In the one loop of this house."""
        return self._thread.submit(self._runner.run, work).result()

    async def answers(self, calls: Sequence[Call]) -> tuple[list[Answer], str]:
        """The answers to calls that come at once, and what is wrong with them, "" for nothing."""
        self.now += sum(call.moves for call in calls)
        self._unwritable = any(call.unwritable for call in calls)
        self.service.store.lost = DatabaseUnusable("no room") if self._unwritable else None
        writings = self._one("PRAGMA data_version")
        self._last_line = self._one("SELECT max(id) FROM journal") or 0
        if len(calls) == 1:
            answers = [await self._answer(calls[0])]
        else:
            answers = list(await asyncio.gather(*map(self._answer, calls)))
        self.service.store.lost = None
        self.woken.clear()
        silent = len(calls) > 1 or writings == self._one("PRAGMA data_version")
        found = (
            self._judged(call, answer, silent=silent)
            for call, answer in zip(calls, answers, strict=True)
        )
        return answers, next(filter(None, found), "")

    async def _answer(self, call: Call) -> Answer:
        incoming = [
            {"type": "http.request", "body": chunk, "more_body": True} for chunk in call.chunks
        ]
        incoming[-1]["more_body"] = False
        if call.cut:
            incoming[-1] = {"type": "http.disconnect"}
        incoming.reverse()
        sent: list[Any] = []

        async def receive() -> Any:
            return incoming.pop() if incoming else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        error = ""
        try:
            await self.app(_scope(call), receive, send)
        except Exception as problem:  # noqa: BLE001 — that any comes out is what is looked for
            error = f"{type(problem).__name__}: {problem}"
        starts = [message for message in sent if message["type"] == "http.response.start"]
        body = b"".join(message.get("body", b"") for message in sent)
        if len(starts) != 1 and not error and not call.cut:
            error = f"{len(starts)} answers"
        return Answer(starts[0]["status"] if starts else 0, body, error)

    # ---- the judge -------------------------------------------------------------------------------

    def _judged(self, call: Call, answer: Answer, *, silent: bool) -> str:
        """What is wrong, "" when nothing is."""
        if answer.error or answer.status not in self._wanted(call):
            wanted = " or ".join(map(str, sorted(self._wanted(call))))
            return f"answered {answer.status}, not {wanted} {answer.error}".rstrip()
        if answer.status == 200:
            reading = read(call.body)
            return (
                self._challenged(call, answer) if reading.challenge else self._kept(reading, call)
            )
        if not silent and answer.status != 429:
            return f"answered {answer.status} and wrote into the database"
        return ""

    def _wanted(self, call: Call) -> set[int]:
        """The statuses that this call may get."""
        encoding = call.header(b"content-encoding")
        if encoding is not None and encoding.lower() != b"identity":
            return {415}
        if sum(map(len, call.chunks[:-1] if call.cut else call.chunks)) > MAX_BODY:
            return {413}
        if call.cut:
            return {0, 400}  # nobody is there to read it: no answer will do
        if call.stamp is None:
            return {401}
        reading = read(call.body)
        if reading.unfit:
            return {400}
        good = 503 if self._unwritable else 200
        if reading.challenge:
            good = 429 if sum(self.now - at < 60 for at in self._challenges) == 10 else 200
        return {good} if call.sound else {good, 400}

    def _challenged(self, call: Call, answer: Answer) -> str:
        """The proof that Zoom asks for, and never what could pass as a signature."""
        self._challenges.append(self.now)
        said = json.loads(answer.body)
        token = said["plainToken"]
        if not TOKEN.fullmatch(token) or json.loads(call.body)["payload"]["plainToken"] != token:
            return f"signed {token!r} for who sent a challenge"
        proofs = [hmac.new(one.encode(), token.encode(), hashlib.sha256) for one in SECRETS]
        if said["encryptedToken"] not in [proof.hexdigest() for proof in proofs]:
            return "gave no proof that it knows the secret"
        return ""

    def _kept(self, reading: Reading, call: Call) -> str:
        """Where the row is that a 200 promises."""
        if not reading.is_to_be_applied(call.stamp or 0, self.now):
            line = "SELECT count(*) FROM journal WHERE id > ? AND kind = 'webhook.received'"
            return "" if self._one(line, self._last_line) else "answered 200 and wrote no line"
        stamp = reading.said.get("event_ts") or 0
        person = reading.object["registrant"]
        state = self._one(
            "SELECT r.status FROM events e JOIN registrants r USING (focus_group, email_folded)"
            " WHERE e.event = ? AND e.zoom_meeting_id = ? AND e.registrant_id = ?"
            " AND (e.event_ts = ? OR ? = 0)",
            *(reading.event, int(reading.object["id"]), person.get("id") or "", stamp, stamp),
        )
        return "" if state in STATES else "answered 200 and kept no event"

    def _one(self, question: str, *values: Any) -> Any:
        found = self._own.execute(question, values).fetchone()
        return found and found[0]


def _scope(call: Call) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": "/webhooks/zoom",
        "raw_path": b"/webhooks/zoom",
        "query_string": b"",
        "root_path": "",
        "headers": list(call.headers),
        "client": ("203.0.113.7", 4711),
        "server": ("127.0.0.1", 8000),
    }


def _two_meetings() -> list[dict[str, Any]]:
    return [
        {
            "focus_group": group,
            "reference": f"Réf. resonance-2021/{group}",
            "state": "open",
            "zoom_meeting_id": zoom_meeting_id,
            "start_at": datetime(2021, month, day, 8, tzinfo=UTC),
            "end_at": datetime(2021, month, day, 10, tzinfo=UTC),
            "intended_at": datetime(2021, 1, 4, tzinfo=UTC),
        }
        for group, zoom_meeting_id, month, day in (
            ("teletravail", OURS[0], 2, 9),
            ("espaces-exterieurs", OURS[1], 3, 16),
        )
    ]


def _without_waiting_for_the_disk(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA synchronous=OFF")


def _drop(_logger: object, _name: str, _line: Mapping[str, Any]) -> str:
    raise structlog.DropEvent
