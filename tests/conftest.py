"""The small world of the tests: one simulated Zoom, one mail server, one service, one clock."""

import os
import shutil
import socket
import sqlite3
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from resonance_zoom import cli
from resonance_zoom.mail.letters import LetterRoom
from resonance_zoom.service import SHIPPED_LETTERS, Service, open_service
from resonance_zoom.settings import RUN_NEEDS, Settings, load_settings
from resonance_zoom.store import sqlite
from resonance_zoom.store.opening import open_store
from resonance_zoom.web.app import make_app
from resonance_zoom.web.server import WebServer
from resonance_zoom.zoom.simulator import SimulatedZoom, SimulatorServer
from tests import leaks
from tests.mail_server import MailServer

Type = Callable[..., tuple[int, str, str]]
WEBHOOK_SECRET = leaks.WEBHOOK_SECRET
pytest_runtest_makereport = leaks.pytest_runtest_makereport  # no test may let a secret out

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


# Starting and stopping servers and migrating a database would be half of all the tests' time: one of
# each serves them all, with a new world, an empty mailbox and a copy of the database for each test.


@pytest.fixture(scope="session")
def one_zoom_server() -> Iterator[SimulatorServer]:
    nobody = SimulatedZoom(now=lambda: datetime(2021, 1, 1, tzinfo=UTC))
    with SimulatorServer(nobody) as server:
        yield server


@pytest.fixture
def zoom_server(one_zoom_server: SimulatorServer, zoom: SimulatedZoom) -> SimulatorServer:
    one_zoom_server.world = zoom
    return one_zoom_server


@pytest.fixture(scope="session")
def one_mail_server() -> Iterator[MailServer]:
    with MailServer() as server:
        yield server


@pytest.fixture
def mail_server(one_mail_server: MailServer) -> MailServer:
    one_mail_server.kept.clear()
    one_mail_server.answers.clear()
    return one_mail_server


@pytest.fixture(scope="session", autouse=True)
def statements() -> Iterator[None]:
    """What the statements of a worker compile to, kept for the database of the next test."""
    kept: dict[Any, Any] = {}
    ours = sqlite._engine
    one = create_engine("sqlite://")
    with one.connect():
        dialect = one.dialect  # the key of what is kept; it knows its version once connected

    def engine(path: Path, connect: Callable[[], sqlite3.Connection]) -> Engine:
        made = ours(path, connect)
        made.dialect = dialect
        made.update_execution_options(compiled_cache=kept)
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite, "_engine", engine)
        yield
    one.dispose()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of the present schema with nothing in it."""
    path = tmp_path_factory.mktemp("empty") / "resonance.db"
    store = open_store(f"sqlite:///{path}")
    store.prepare()
    store.close()
    return path


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=("sqlite", "postgresql"),
        default="sqlite",
        help="what the databases of the tests are: files, or those of a server of our own",
    )


MEMORY = Path("/dev/shm")
# A test of many seconds that is begun last is waited for by a whole machine.
LONG = {
    "test_campaigns.py", "test_rehearsal.py", "test_commands.py", "test_killed.py", "test_kill.py",
    "test_canaries.py", "test_migration.py", "test_clock.py",
}  # fmt: skip


@pytest.hookimpl(tryfirst=True)  # before pytest asks where its folders are
def pytest_configure(config: pytest.Config) -> None:
    # Each commit waits for the disk. What is about the disk stays there: `tmp_path` of tests/faults.
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 2**30:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
    config.addinivalue_line(
        "markers", "of_a_file(reason): about SQLite's own file; not a question to a server"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONG)
    if config.getoption("database") == "sqlite":
        return
    of_a_file = [item for item in items if item.get_closest_marker("of_a_file")]
    config.hook.pytest_deselected(items=of_a_file)
    items[:] = [item for item in items if item not in of_a_file]


@pytest.fixture(scope="session")
def database_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """The server of all databases, None where they are files."""
    if request.config.getoption("database") == "sqlite":
        yield None
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel looks for a session of the desktop
        from tests.database import Server
    # With several workers, each has a folder of its own in the one that they share.
    ours = tmp_path_factory.getbasetemp()
    server = Server((ours.parent if "PYTEST_XDIST_WORKER" in os.environ else ours) / "server")
    yield server
    server.close()


@pytest.fixture
def database_url(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    database_server: Any,
) -> Iterator[str]:
    """DATABASE_URL. On a server the database is there, and prepared where a `service` uses it."""
    if database_server is None:
        yield f"sqlite:///{tmp_path}/var/resonance.db"
        return
    monkeypatch.chdir(tmp_path)  # its data folder is `var` of wherever the process runs
    monkeypatch.setenv("PATH", str(database_server.programs), prepend=os.pathsep)  # pg_dump
    begun = "service" in request.fixturenames
    name = database_server.create(**({"like": database_server.prepared} if begun else {}))
    yield database_server.url(name)
    database_server.drop(name)


@pytest.fixture
def campaign_file(tmp_path: Path) -> Path:
    path = tmp_path / "campaign.toml"
    path.write_text(CAMPAIGN, encoding="utf-8")
    return path


@pytest.fixture
def environ(
    campaign_file: Path, zoom_server: SimulatorServer, mail_server: MailServer, database_url: str
) -> dict[str, str]:
    """The environment of a service in this world."""
    return {
        "CAMPAIGN_FILE": str(campaign_file),
        "DATABASE_URL": database_url,
        "SMTP_URL": mail_server.url,
        "SMTP_CONNECTIONS": "1",  # letters in order; `test_wave` has more
        "ZOOM_ACCOUNT_ID": "acc",
        "ZOOM_CLIENT_ID": "cid",
        "ZOOM_CLIENT_SECRET": leaks.CLIENT_SECRET,
        "ZOOM_WEBHOOK_SECRET_TOKEN": WEBHOOK_SECRET,
        "ZOOM_API_URL": zoom_server.api_url,
        "ZOOM_OAUTH_URL": zoom_server.oauth_url,
        "SECRET_KEY": leaks.SECRET_KEY,
        "PORT": str(free_port()),
    }


@pytest.fixture
def settings(environ: dict[str, str], tmp_path: Path) -> Settings:
    return load_settings(environ=environ, dotenv=tmp_path / "no.env")


class ShippedLetters(LetterRoom):
    """The shipped templates, compiled once and, as they stay what they are, checked once."""

    def __init__(self) -> None:
        super().__init__(SHIPPED_LETTERS)
        self._found: dict[str, list[str]] = {}

    def check(self, kinds: Iterable[str]) -> list[str]:
        kinds = list(kinds)
        for kind in kinds:
            if kind not in self._found:
                self._found[kind] = super().check([kind])
        return [problem for kind in kinds for problem in self._found[kind]]


@pytest.fixture(scope="session")
def shipped_letters() -> LetterRoom:
    return ShippedLetters()


@pytest.fixture
def service(
    settings: Settings,
    clock: Clock,
    empty_database: Path,
    shipped_letters: LetterRoom,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Service]:
    """A service on an empty database; nothing runs by itself. `woken` collects wakes."""
    if not (settings.campaign_file.parent / "letters").exists():
        monkeypatch.setattr("resonance_zoom.service.letter_room", lambda _settings: shipped_letters)
    settings.data_dir.mkdir(mode=0o700, exist_ok=True)
    if settings.database_file is not None:
        shutil.copy(empty_database, settings.database_file)
    made = open_service(settings, now=clock, monotonic=clock.seconds, sleep=lambda _seconds: None)
    made.store.prepare()
    woken: list[str] = []
    made.wake = woken.append  # the list itself is `wake.__self__`
    yield made
    made.close()


class Door:
    """Leads whoever comes to the pages of this test's service."""

    def __init__(self) -> None:
        self.pages: ASGIApp = Starlette()  # until the first test

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.pages(scope, receive, send)


@pytest.fixture(scope="session")
def one_web_server() -> Iterator[tuple[WebServer, Door]]:
    door = Door()
    server = WebServer(door, host="127.0.0.1", port=0)
    server.start()
    yield server, door
    server.stop()


@pytest.fixture
def web_server(one_web_server: tuple[WebServer, Door], service: Service) -> WebServer:
    """The pages of this service, and its door for Zoom's calls, over real HTTP."""
    server, door = one_web_server
    door.pages = make_app(service)
    return server


@pytest.fixture
def types(
    environ: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Type:
    """Type a command: its exit code, stdout and stderr."""
    for name in {*RUN_NEEDS, *environ}:
        monkeypatch.setenv(name, environ.get(name, ""))
    monkeypatch.chdir(tmp_path)

    def typed(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["resonance-zoom", *words])
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        else:
            code = 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return typed


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
