"""One notification that comes many times at the same moment is one registration and one letter.

SAME_EVENT_ROUNDS asks for more rounds than the few that run every time.
"""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from sqlalchemy import select

from resonance_zoom.service import Service
from resonance_zoom.store.tables import events, letters, registrants
from resonance_zoom.zoom.simulator import SimMeeting
from tests.conftest import Clock
from tests.faults.conftest import ZoomCalls
from tests.faults.wire import line, signed

ROUNDS = int(os.environ.get("SAME_EVENT_ROUNDS", "5"))
THREADS = 32


def registration(meeting: SimMeeting, clock: Clock, name: str) -> bytes:
    registrant = {
        "id": name,
        "email": f"{name}@example.org",
        "first_name": "Alice",
        "status": "approved",
        "join_url": f"https://zoom.us/w/1?tk={name}",
    }
    document = {
        "event": "meeting.registration_created",
        "event_ts": int(clock.seconds() * 1000),
        "payload": {"object": {"id": meeting.id, "registrant": registrant}},
    }
    return json.dumps(document).encode()


def test_what_comes_32_times_at_once_is_answered_200_each_time_and_has_one_effect(
    service: Service, meeting: SimMeeting, clock: Clock, zoom_calls: ZoomCalls
) -> None:
    """All connections stand, and all but the last byte was sent, before any of them goes on."""
    names = [f"alice{number}" for number in range(ROUNDS)]
    together = Barrier(THREADS)

    def told(request: bytes) -> int:
        with line(zoom_calls.port) as connection:
            connection.send(request[:-1])
            together.wait(30)
            connection.send(request[-1:])
            return connection.answer().status

    with ThreadPoolExecutor(THREADS) as threads:
        for name in names:
            body = registration(meeting, clock, name)
            request = signed(body, clock) + body
            assert list(threads.map(told, [request] * THREADS)) == [200] * THREADS
    folded = [f"{name}@example.org" for name in names]
    with service.store.read() as connection:
        known = connection.execute(select(events.c.email_folded).order_by(events.c.id))
        assert list(known.scalars()) == folded
        people = connection.execute(select(registrants).order_by(registrants.c.id)).all()
        owed = connection.execute(select(letters).order_by(letters.c.id)).all()
    assert [row.email_folded for row in people] == folded
    assert {(row.status, row.episode) for row in people} == {("approved", 1)}
    assert [(row.registrant, row.kind, row.state) for row in owed] == [
        (row.id, "confirmation", "queued") for row in people
    ]
