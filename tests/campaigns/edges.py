"""What surrounds the real service in a campaign: Zoom without sockets, a disk that fails.

Only the edges are ours: the calls of the real client reach the simulated Zoom's own answers, the
notifications the real handler, the letters of the real delivery a relay that remembers them.
"""

import base64
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import requests
from sqlalchemy import Connection, Engine

from resonance_zoom.errors import (
    BadNotification,
    DatabaseBusy,
    DatabaseUnusable,
    ZoomUnreachable,
)
from resonance_zoom.service import Service
from resonance_zoom.settings import Secret, Settings
from resonance_zoom.web import webhooks
from resonance_zoom.web.challenges import Challenges
from resonance_zoom.zoom import wire
from resonance_zoom.zoom.payloads import Challenge
from resonance_zoom.zoom.simulator import SimulatedZoom
from resonance_zoom.zoom.simulator.api import answer
from resonance_zoom.zoom.simulator.records import SimRequest
from tests.campaigns.draw import Plan
from tests.campaigns.hazards import Crash, Hazards
from tests.campaigns.relay import Letter, Relay

RECEIVER = "http://localhost/webhooks/zoom"
SECRET, NEW_SECRET = "rehearsal-webhook-secret-0001", "rehearsal-webhook-secret-0002"
SECRETS = (SECRET, NEW_SECRET, "csecret", "login-of-the-relay", "0123456789abcdef" * 4)


class Wire:
    """Stands where the real client's HTTP stands; Zoom's answers are the simulator's own."""

    def __init__(
        self, plan: Plan, zoom: SimulatedZoom, hazards: Hazards, calls: Counter[datetime]
    ) -> None:
        self.plan = plan
        self.zoom = zoom
        self.hazards = hazards
        self.calls = calls

    def send(self, method: str, url: str, *, until: float, **sending: Any) -> wire.Answer:  # noqa: ARG002 — as the real one
        self.hazards.point("zoom before")
        self.calls[self.hazards.now()] += 1
        if self.hazards.strikes("zoom down"):
            raise ZoomUnreachable("no answer from Zoom (NewConnectionError)")
        given = answer(self.zoom, _request(method, url, **sending))
        self.hazards.point("zoom after")
        if given.wire != "whole":
            raise ZoomUnreachable(f"no answer from Zoom ({given.wire})", maybe_done=True)
        headers = {name.lower(): value for name, value in given.headers.items()}
        return wire.Answer(given.status, headers, self._spoiled(given.body))

    def _spoiled(self, body: bytes) -> bytes:
        """One line of a listing holds no address."""
        poison = self.plan.poison
        if poison is None or poison.how != "unreadable":
            return body
        address = f'"email":"{poison.email}"'.encode()
        self.hazards.happened["poison unreadable"] += body.lower().count(address)
        place = body.lower().find(address)
        return body if place < 0 else body[:place] + b'"email":""' + body[place + len(address) :]

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


class InMemory:
    """The edges of a stage without sockets. `died` is told when the process dies in a handler."""

    def __init__(
        self,
        plan: Plan,
        zoom: SimulatedZoom,
        hazards: Hazards,
        *,
        out: Path,
        campaign_file: Path,
        begins: Callable[[Letter], None],
        acknowledged: Callable[[bytes, int], None],
        died: Callable[[], None],
    ) -> None:
        self.plan = plan
        self.zoom = zoom
        self.hazards = hazards
        self.relay = Relay(plan, hazards, begins=begins)
        self.calls: Counter[datetime] = Counter()  # of Zoom, when, by the true clock
        self.acknowledged = acknowledged
        self.died = died
        self._service: Service | None = None
        self.database = out / "resonance.db"
        self.settings = Settings(
            campaign_file=campaign_file,
            database_url=Secret(f"sqlite:///{self.database}"),
            smtp_url=Secret("smtp://someone:login-of-the-relay@127.0.0.1:2525"),
            smtp_connections=1,
            mail_from=None,
            zoom_account_id=Secret("acc"),
            zoom_client_id=Secret("cid"),
            zoom_client_secret=Secret("csecret"),
            zoom_webhook_secrets=(Secret(zoom.webhook_secret),),
            zoom_api_url="https://api.zoom.us/v2",
            zoom_oauth_url="https://zoom.us/oauth/token",
            webhooks=True,
            secret_key=Secret("0123456789abcdef" * 4),
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
        self.zoom.subscribe(RECEIVER, challenge_every=timedelta(hours=72))

    def stop(self) -> None:
        """The service is not reached any more."""
        self.disconnect()

    def wire_up(self, service: Service) -> None:
        """Put these edges in place of the real ones; the disk fails as the plan says."""
        _compile_once(service.store.engine)
        service.zoom._wire = Wire(self.plan, self.zoom, self.hazards, self.calls)  # type: ignore[assignment]
        service.zoom._random = lambda: 0.5
        service.postmen = service.delivery.postmen = [self.relay]
        self._poison(service)
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

    def _poison(self, service: Service) -> None:
        """A letter to one person cannot be made."""
        poison, compose = self.plan.poison, service.composer.compose
        if poison is None or poison.how != "unmade":
            return

        def unless_poison(*, person: Any, **more: Any) -> bytes:
            if person.email.lower() == poison.email:
                self.hazards.happened["poison unmade"] += 1
                raise ZeroDivisionError(f"a template that fails for {person.email}")
            return compose(person=person, **more)

        service.composer.compose = unless_poison  # type: ignore[method-assign]

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


_COMPILED: list[Engine] = []  # the first engine of the process


def _compile_once(engine: Engine) -> None:
    """Each start makes an engine: one dialect and one cache of compiled statements serve them all."""
    if not _COMPILED:
        engine.connect().close()  # which makes its dialect complete
        _COMPILED.append(engine)
    engine.dialect = _COMPILED[0].dialect
    engine._compiled_cache = _COMPILED[0]._compiled_cache


def _receive(service: Service, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    """The real handler, without the event loop around it."""
    try:
        verified, said = webhooks._understand(service, headers, body)
        if isinstance(said, Challenge):
            given = webhooks._challenged(service, Challenges(), said, verified, from_zoom=True)
            if given.background is not None:  # after the answer
                given.background.func(*given.background.args)
            return given.status_code, bytes(given.body)
        (wake,) = webhooks.keep(service, [webhooks.Call(said, verified)])
    except BadNotification as error:
        return error.status, error.message.encode()
    except (DatabaseBusy, DatabaseUnusable) as error:
        given = webhooks.not_stored(error)
        return given.status_code, bytes(given.body)
    for job in wake:
        service.wake(job)
    return 200, b""
