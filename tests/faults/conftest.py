"""What the rooms of faults share: Zoom's calls over HTTP, and a look into the database from outside."""

import json
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import requests

import jobs
from jobs.clock import run_job
from resonance_zoom.service import Service
from resonance_zoom.web.app import make_app
from resonance_zoom.web.server import WebServer
from resonance_zoom.zoom.protocol import sign
from resonance_zoom.zoom.simulator import SimMeeting, SimulatedZoom
from tests.conftest import WEBHOOK_SECRET, Clock


class ZoomCalls:
    """Posts registrations of ever new people, signed, and notes who was acknowledged."""

    def __init__(self, port: int, meeting_id: int, clock: Clock) -> None:
        self.port, self.url = port, f"http://127.0.0.1:{port}/webhooks/zoom"
        self.meeting_id, self.clock = meeting_id, clock
        self.told = 0
        self.acknowledged: set[str] = set()

    def post(self, body: bytes) -> requests.Response:
        return requests.post(self.url, data=body, headers=self._signed(body), timeout=30)

    def _signed(self, body: bytes) -> dict[str, str]:
        stamp = str(int(self.clock().timestamp()))
        signature = sign(WEBHOOK_SECRET, stamp, body)
        return {"x-zm-request-timestamp": stamp, "x-zm-signature": signature}

    def register(self, first_name: str = "Alice") -> int:
        body, email = self._registration(first_name)
        status = self.post(body).status_code
        if status == 200:
            self.acknowledged.add(email)
        return status

    def begin_to_register(self) -> Callable[[], int]:
        """Write a call and wait for nothing; the answer is read when it is asked for."""
        body, email = self._registration("Alice")
        head = {"Host": f"127.0.0.1:{self.port}", "Content-Length": str(len(body))}
        lines = "".join(
            f"{name}: {value}\r\n" for name, value in (head | self._signed(body)).items()
        )
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sendall(f"POST /webhooks/zoom HTTP/1.1\r\n{lines}\r\n".encode() + body)

        def answer() -> int:
            with connection:
                status = int(connection.recv(4096).split()[1])
            if status == 200:
                self.acknowledged.add(email)
            return status

        return answer

    def _registration(self, first_name: str) -> tuple[bytes, str]:
        """A body, and whose."""
        self.told += 1
        number = self.told
        registrant = {
            "id": f"r{number}",
            "email": f"alice{number}@example.org",
            "first_name": first_name,
            "status": "approved",
            "join_url": f"https://zoom.us/w/1?tk={number}",
        }
        document = {
            "event": "meeting.registration_created",
            "event_ts": int(self.clock.seconds() * 1000) + number,
            "payload": {"object": {"id": self.meeting_id, "registrant": registrant}},
        }
        return json.dumps(document).encode(), f"alice{number}@example.org"

    def challenge(self) -> int:
        body = b'{"event": "endpoint.url_validation", "payload": {"plainToken": "abc"}}'
        answer = self.post(body)
        # printf abc | openssl dgst -sha256 -hmac a-webhook-secret-of-32-characters
        known = "b6aeed845172b53f8a975309b482d778161e21bcbc496c09dbdbb748e75d9a07"
        assert answer.json()["encryptedToken"] == known
        return answer.status_code


ON_DISK = {"test_disk", "test_permissions", "test_kill", "test_migration"}


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """On the disk and not in memory, where a test is about the disk or what a kill leaves on it."""
    if request.path.stem not in ON_DISK:
        yield tmp_path
        return
    with TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def meeting(service: Service, zoom: SimulatedZoom) -> SimMeeting:
    """The first group's meeting, on Zoom."""
    assert run_job(service, jobs.job("create_meetings")) is None
    return min(zoom.meetings.values(), key=lambda one: one.start_time)


@pytest.fixture
def zoom_calls(service: Service, meeting: SimMeeting, clock: Clock) -> Iterator[ZoomCalls]:
    server = WebServer(make_app(service), host="127.0.0.1", port=0)
    server.start()
    yield ZoomCalls(server.port, meeting.id, clock)
    server.stop()


def stored(path: Path) -> set[str]:
    """The addresses of all events, as another program sees them."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return {row[0] for row in connection.execute("SELECT email_folded FROM events")}
