"""The small world of the tests: one simulated Zoom, one mail server, one service, one clock."""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from resonance_zoom.service import Service, open_service
from resonance_zoom.settings import Settings, load_settings
from resonance_zoom.zoom.simulator import SimulatedZoom, SimulatorServer
from tests.mail_server import MailServer

WEBHOOK_SECRET = "a-webhook-secret-of-32-characters"

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
title = "Accompagner le développement du télétravail"
date = 2021-02-09
starts = 09:00:00
ends = 11:00:00
agenda = "Où, comment, avec qui ?"

[[focus_group]]
slug = "espaces-exterieurs"
title = "Réinvestir les espaces extérieurs à usages publics"
date = 2021-03-16
starts = 09:00:00
ends = 11:00:00
"""


class Clock:
    """A wall clock that stands still until it is moved."""

    def __init__(self, now: datetime) -> None:
        self.time = now

    def __call__(self) -> datetime:
        return self.time

    def seconds(self) -> float:
        return self.time.timestamp()

    def move(self, **delta: float) -> None:
        self.time += timedelta(**delta)

    def to(self, *parts: int) -> None:
        self.time = datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


@pytest.fixture
def clock() -> Clock:
    """Monday 11 January 2021, 10:00 UTC."""
    return Clock(datetime(2021, 1, 11, 10, tzinfo=UTC))


@pytest.fixture
def zoom(clock: Clock) -> SimulatedZoom:
    return SimulatedZoom(now=clock, seed=1, webhook_secret=WEBHOOK_SECRET)


@pytest.fixture
def zoom_server(zoom: SimulatedZoom) -> Iterator[SimulatorServer]:
    with SimulatorServer(zoom) as server:
        yield server


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with MailServer() as server:
        yield server


@pytest.fixture
def campaign_file(tmp_path: Path) -> Path:
    path = tmp_path / "campaign.toml"
    path.write_text(CAMPAIGN, encoding="utf-8")
    return path


@pytest.fixture
def environ(
    tmp_path: Path, campaign_file: Path, zoom_server: SimulatorServer, mail_server: MailServer
) -> dict[str, str]:
    """The environment of a service in this world."""
    return {
        "CAMPAIGN_FILE": str(campaign_file),
        "DATABASE_URL": f"sqlite:///{tmp_path}/var/resonance.db",
        "SMTP_URL": mail_server.url,
        "ZOOM_ACCOUNT_ID": "acc",
        "ZOOM_CLIENT_ID": "cid",
        "ZOOM_CLIENT_SECRET": "csecret",
        "ZOOM_WEBHOOK_SECRET_TOKEN": WEBHOOK_SECRET,
        "ZOOM_API_URL": zoom_server.api_url,
        "ZOOM_OAUTH_URL": zoom_server.oauth_url,
        "SECRET_KEY": "0123456789abcdef0123456789abcdef",
        "PORT": str(free_port()),
    }


@pytest.fixture
def settings(environ: dict[str, str], tmp_path: Path) -> Settings:
    return load_settings(environ=environ, dotenv=tmp_path / "no.env")


@pytest.fixture
def service(settings: Settings, clock: Clock) -> Iterator[Service]:
    """A service on an empty database; nothing runs by itself. `woken` collects wakes."""
    made = open_service(settings, now=clock, monotonic=clock.seconds, sleep=lambda _seconds: None)
    made.store.prepare()
    woken: list[str] = []
    made.wake = woken.append  # the list itself is `wake.__self__`
    yield made
    made.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
