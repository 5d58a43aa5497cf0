"""What surrounds the real service in a campaign: Zoom without sockets, a relay, a disk that fails.

Only the edges are ours: the calls of the real client reach the simulated Zoom's own answers, the
notifications the real handler, the letters of the real delivery a relay that remembers them.
"""

import base64
import json
import random
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import requests
from sqlalchemy import Connection

from resonance_zoom.errors import (
    BadNotification,
    DatabaseBusy,
    DatabaseUnusable,
    MailDeferred,
    MailInDoubt,
    MailRefused,
    MailUnreachable,
    ZoomUnreachable,
)
from resonance_zoom.mail.replies import Accepted
from resonance_zoom.rehearsal.loopback import read_mail
from resonance_zoom.service import Service
from resonance_zoom.settings import Secret, Settings
from resonance_zoom.web import webhooks
from resonance_zoom.web.challenges import Challenges
from resonance_zoom.zoom import wire
from resonance_zoom.zoom.payloads import Challenge
from resonance_zoom.zoom.simulator import SimulatedZoom
from resonance_zoom.zoom.simulator.api import answer
from resonance_zoom.zoom.simulator.records import SimRequest
from tests.campaigns.draw import CrashPlan, Plan, Window

RECEIVER = "http://localhost/webhooks/zoom"
JOIN_LINK = re.compile(r"https://[\w.]+/w/(\d+)\?tk=[\w-]+(?:&pwd=[\w-]+)?")


class Crash(BaseException):
    """The process dies here."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter that the relay accepted, by the true clock."""

    at: datetime
    recipients: tuple[str, ...]
    kind: str
    message_id: str
    text: str
    links: tuple[str, ...]

    @property
    def meeting_id(self) -> int | None:
        found = JOIN_LINK.search(self.text)
        return int(found[1]) if found else None


class Hazards:
    """Everything that goes wrong, as the plan of a seed says; counts what really happened."""

    def __init__(self, plan: Plan, now: Callable[[], datetime]) -> None:
        self.now = now
        self.rng = random.Random(f"hazards {plan.seed}")  # noqa: S311 — it must repeat
        self.rates = plan.rates
        self.crashes: list[CrashPlan] = sorted(plan.crashes, key=lambda crash: crash.at)
        self.passed: Counter[str] = Counter()  # point → how often
        self.fails: tuple[str, int, BaseException] | None = None  # point, which time, with what
        self._passed: Counter[CrashPlan] = Counter()
        self.open: list[Window] = []
        self.happened: Counter[str] = Counter()
        self.down_for: timedelta = timedelta(seconds=5)

    def strikes(self, what: str) -> Window | None:
        """The open window of that kind which strikes this time."""
        for window in self.open:
            if window.what == what and (window.rate >= 1 or self.rng.random() < window.rate):
                self.happened[f"{what} {window.kind}".strip()] += 1
                return window
        return None

    def by_rate(self, name: str) -> bool:
        """Whether a fault that may strike at any time does now."""
        rate = self.rates.get(name, 0.0)
        if rate and self.rng.random() < rate:
            self.happened[name] += 1
            return True
        return False

    def point(self, name: str) -> None:
        """A named point of the code: the process may die here, or the one planned failure come."""
        self.passed[name] += 1
        if self.fails is not None and (name, self.passed[name]) == self.fails[:2]:
            self.happened[f"failed at {name}"] += 1
            raise self.fails[2]
        for crash in list(self.crashes):
            if crash.at > self.now():
                return
            if crash.point == name:
                self._passed[crash] += 1
                if self._passed[crash] <= crash.skip:
                    continue
                self.crashes.remove(crash)
                self.happened[f"crash {name}"] += 1
                self.down_for = crash.down
                raise Crash(name)


class Wire:
    """Stands where the real client's HTTP stands; Zoom's answers are the simulator's own."""

    def __init__(self, zoom: SimulatedZoom, hazards: Hazards) -> None:
        self.zoom = zoom
        self.hazards = hazards

    def send(self, method: str, url: str, *, until: float, **sending: Any) -> wire.Answer:  # noqa: ARG002 — as the real one
        self.hazards.point("zoom before")
        if self.hazards.strikes("zoom down"):
            raise ZoomUnreachable("no answer from Zoom (NewConnectionError)")
        given = answer(self.zoom, _request(method, url, **sending))
        self.hazards.point("zoom after")
        if given.wire != "whole":
            raise ZoomUnreachable(f"no answer from Zoom ({given.wire})", maybe_done=True)
        headers = {name.lower(): value for name, value in given.headers.items()}
        return wire.Answer(given.status, headers, given.body)

    def close(self) -> None:
        """Nothing to hang up."""


def _request(
    method: str,
    url: str,
    *,
    auth: Any = None,
    params: Mapping[str, Any] | None = None,
    **body: Any,
) -> SimRequest:
    parts = urlsplit(url)
    headers: dict[str, str] = {}
    if isinstance(auth, tuple):
        headers["authorization"] = "Basic " + base64.b64encode(b":".join(auth)).decode()
    elif auth is not None:
        headers["authorization"] = auth(SimpleNamespace(headers={})).headers["Authorization"]
    raw = b""
    if body.get("data") is not None:
        headers["content-type"] = "application/x-www-form-urlencoded"
        raw = requests.models.RequestEncodingMixin._encode_params(body["data"]).encode()
    elif body.get("json") is not None:
        headers["content-type"] = "application/json"
        raw = json.dumps(body["json"]).encode()
    query = dict(parse_qsl(parts.query)) | {k: str(v) for k, v in (params or {}).items()}
    return SimRequest(method, unquote(parts.path), query, headers, raw)


class Relay:
    """A mail server that remembers what it accepted, and fails as the plan says."""

    def __init__(self, hazards: Hazards, *, begins: Callable[[Letter], None]) -> None:
        self.hazards = hazards
        self.begins = begins  # told of every conversation before anything is accepted
        self.accepted: list[Letter] = []
        self.doubts: Counter[str] = Counter()  # Message-ID → how often nobody could know
        self.doubted: list[Letter] = []

    def ready(self) -> None:
        window = next((one for one in self.hazards.open if one.kind == "unreachable"), None)
        if window is not None and self.hazards.strikes("mail"):
            raise MailUnreachable("the mail server cannot be spoken to: refused")

    def send(self, *, sender: str, recipient: str, message: bytes) -> Accepted:  # noqa: ARG002 — as the real one
        mail = read_mail(self.hazards.now(), (recipient,), message)
        found = re.search(rb"(?im)^message-id: (<[^>]+>)", message)
        letter = Letter(
            mail.at,
            mail.recipients,
            mail.kind,
            found[1].decode() if found else "",
            mail.text,
            tuple(match[0] for match in JOIN_LINK.finditer(mail.text)),
        )
        self.begins(letter)
        self._die("mail before", letter)
        if (window := self.hazards.strikes("mail")) is not None:
            self._refuse(window.kind)
        self.accepted.append(letter)
        self._die("mail after", letter)
        if self.hazards.by_rate("answer lost"):
            self.doubts[letter.message_id] += 1
            self.doubted.append(letter)
            raise MailInDoubt("the letter was sent, the answer was lost: reset")
        return Accepted(f"250 OK: letter {len(self.accepted)}")

    def _die(self, point: str, letter: Letter) -> None:
        try:
            self.hazards.point(point)
        except (Crash, MailInDoubt):
            self.doubts[letter.message_id] += 1
            self.doubted.append(letter)
            raise

    def forgets_whether(self, under_way: set[str]) -> None:
        """The process died before it had written down that these were accepted, if they were."""
        for letter in self.accepted:
            if letter.message_id in under_way and not any(letter is one for one in self.doubted):
                under_way.discard(letter.message_id)
                self.doubts[letter.message_id] += 1
                self.doubted.append(letter)

    def _refuse(self, kind: str) -> None:
        if kind == "unreachable":
            raise MailUnreachable("the mail server hung up")
        if kind == "broken before":
            raise MailDeferred("DATA: the connection broke: reset")
        if kind == "5xx once":
            raise MailRefused("550 no such user", code=550)
        raise MailDeferred("451 try again later", code=451)

    def close(self) -> None:
        """Nothing to hang up."""


class InMemory:
    """The edges of a stage without sockets. `died` is told when the process dies in a handler."""

    def __init__(
        self,
        zoom: SimulatedZoom,
        hazards: Hazards,
        *,
        out: Path,
        campaign_file: Path,
        begins: Callable[[Letter], None],
        acknowledged: Callable[[bytes, int], None],
        died: Callable[[], None],
    ) -> None:
        self.zoom = zoom
        self.hazards = hazards
        self.relay = Relay(hazards, begins=begins)
        self.acknowledged = acknowledged
        self.died = died
        self._service: Service | None = None
        self.database = out / "resonance.db"
        self.settings = Settings(
            campaign_file=campaign_file,
            database_url=Secret(f"sqlite:///{self.database}"),
            smtp_url=None,
            mail_from=None,
            zoom_account_id=Secret("acc"),
            zoom_client_id=Secret("cid"),
            zoom_client_secret=Secret("csecret"),
            zoom_webhook_secrets=(Secret(zoom.webhook_secret),),
            zoom_api_url="https://api.zoom.us/v2",
            zoom_oauth_url="https://zoom.us/oauth/token",
            webhooks=True,
            secret_key=Secret("0" * 64),
            public_url="http://localhost",
            host="127.0.0.1",
            port=0,
            log_format=None,
        )

    @property
    def mails(self) -> list[Any]:
        """Every letter that was accepted, in that order."""
        return list(self.relay.accepted)

    def start(self) -> None:
        """Zoom notifies the service, if it is there."""
        self.zoom.webhooks.carry = self._carry
        self.zoom.subscribe(RECEIVER)

    def stop(self) -> None:
        """The service is not reached any more."""
        self.disconnect()

    def wire_up(self, service: Service) -> None:
        """Put these edges in place of the real ones; the disk fails as the plan says."""
        service.zoom._wire = Wire(self.zoom, self.hazards)  # type: ignore[assignment]
        service.zoom._random = lambda: 0.5
        service.postmen = service.delivery.postmen = [self.relay]
        durable = service.store.write

        @contextmanager
        def write() -> Iterator[Connection]:
            if (window := self.hazards.strikes("database")) is not None:
                if window.kind == "busy":
                    raise DatabaseBusy("another process held the database")
                raise DatabaseUnusable("database or disk is full")
            with durable() as connection:
                yield connection
                self.hazards.point("commit before")
            self.hazards.point("commit after")

        service.store.write = write  # type: ignore[method-assign]

    def connect(self, service: Service) -> None:
        """Webhooks are answered."""
        self._service = service

    def disconnect(self) -> None:
        """Webhooks find nobody."""
        self._service = None

    def fresh(self, question: str, *values: Any) -> list[Any]:
        """What the database says to somebody who has just come in."""
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        try:
            return connection.execute(question, values).fetchall()
        finally:
            connection.close()

    def _carry(
        self, _session: requests.Session, _url: str, body: bytes, headers: dict[str, str]
    ) -> requests.Response | None:
        service = self._service
        if service is None or self.hazards.strikes("webhooks down"):
            return None
        try:
            status, content = _receive(service, {k.lower(): v for k, v in headers.items()}, body)
            self.hazards.point("webhook after")
        except Crash:
            self.died()
            return None
        if status == 200:
            self.acknowledged(body, status)
        response = requests.Response()
        response.status_code = status
        response._content = content
        return response


def _receive(service: Service, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    """The real handler, without the event loop around it."""
    try:
        verified, said = webhooks._understand(service, headers, body)
        if isinstance(said, Challenge):
            given = webhooks._challenged(service, Challenges(), said, verified, from_zoom=True)
            return given.status_code, bytes(given.body)
        (wake,) = webhooks.keep(service, [webhooks.Call(said, verified)])
        given = webhooks.stored(service, wake)
    except BadNotification as error:
        return error.status, error.message.encode()
    except (DatabaseBusy, DatabaseUnusable) as error:
        given = webhooks.not_stored(error)
    return given.status_code, bytes(given.body)
