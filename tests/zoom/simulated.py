"""What the simulator's tests share: a clock that a test turns, a caller, a receiver of webhooks."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

from resonance_zoom.zoom.simulator import SimulatedZoom, SimulatorServer

START = datetime(2021, 1, 4, 9, 0, tzinfo=UTC)
MEETING_START = datetime(2021, 2, 9, 8, 0, tzinfo=UTC)
HOST = "organisation@example.org"


class Clock:
    """The wall clock of a test: stands still until it is turned."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        return self.time

    def turn(self, **by: float) -> None:
        self.time += timedelta(**by)


class Caller:
    """Calls the simulated API over HTTP, with a token of its own."""

    def __init__(self, server: SimulatorServer, session: requests.Session, clock: Clock) -> None:
        self.server = server
        self.clock = clock
        self.session = session
        self.token = ""

    @property
    def world(self) -> SimulatedZoom:
        return self.server.world

    def ask_token(self, **changes: Any) -> requests.Response:
        request: dict[str, Any] = {
            "data": {"grant_type": "account_credentials", "account_id": "acc"},
            "auth": ("cid", "csecret"),
        }
        return self.session.post(self.server.oauth_url, timeout=5, **(request | changes))

    def call(self, method: str, path: str, *, json: object = None, **query: Any) -> Any:
        if not self.token:
            self.token = self.ask_token().json()["access_token"]
        return self.session.request(
            method,
            self.server.api_url + path,
            json=json,
            params=query,
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=5,
        )

    def get(self, path: str, **query: Any) -> Any:
        return self.call("GET", path, **query)

    def refusal(self, method: str, path: str, *, json: object = None, **query: Any) -> Any:
        """(HTTP status, code, message) of a call that must not succeed."""
        answer = self.call(method, path, json=json, **query)
        value = answer.json()
        return answer.status_code, value["code"], value["message"]

    def create(self, **changes: Any) -> dict[str, Any]:
        """A meeting with automatic approval on 9 February, 9 h in Paris."""
        answer = self.call("POST", f"/users/{HOST}/meetings", json=wanted(**changes))
        assert answer.status_code == 201, answer.text
        meeting: dict[str, Any] = answer.json()
        return meeting


@contextmanager
def caller(server: SimulatorServer, **world: Any) -> Iterator[Caller]:
    """A world of its own for one test, on a server that others use too."""
    clock = Clock()
    server.world = SimulatedZoom(now=clock, **world)
    with requests.Session() as session:
        yield Caller(server, session, clock)


def wanted(**changes: Any) -> dict[str, Any]:
    """The body of a create."""
    return {
        "type": 2,
        "topic": "Télétravail",
        "agenda": "À préparer",
        "start_time": "2021-02-09T08:00:00Z",
        "duration": 120,
        "timezone": "Europe/Paris",
        "settings": {
            "approval_type": 0,
            "registrants_confirmation_email": False,
            "registrants_email_notification": False,
        },
    } | changes


def new_meeting(world: SimulatedZoom, *, approval_type: int = 0, **changes: Any) -> int:
    """A meeting made by hand, without HTTP; its id."""
    given: dict[str, Any] = {
        "topic": "Télétravail",
        "start_time": MEETING_START,
        "duration": 120,
    } | changes
    return world.create_meeting(settings={"approval_type": approval_type}, **given).id


@dataclass(frozen=True)
class Received:
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """Takes webhooks; `statuses` are its next answers, then 200; `reply` makes the body."""

    url: str
    requests: list[Received] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    reply: Callable[[Any], dict[str, str]] = lambda _: {}

    @property
    def events(self) -> list[str]:
        return [received.json["event"] for received in self.requests]


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A receiver on loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            names = {name.lower(): value for name, value in self.headers.items()}
            box.requests.append(Received(names, body))
            answer = json.dumps(box.reply(json.loads(body))).encode()
            self.send_response(box.statuses.pop(0) if box.statuses else 200)
            self.send_header("content-length", str(len(answer)))
            self.send_header("location", "/elsewhere")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        box = Receiver(f"http://127.0.0.1:{server.server_port}/webhooks/zoom")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield box
        server.shutdown()
        thread.join()
