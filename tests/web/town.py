"""A campaign with people in it, filled through production's doors: what the staff pages show."""

from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

import jobs
from jobs.clock import run_job
from resonance_zoom.service import Service
from resonance_zoom.web.server import WebServer
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import Clock
from tests.mail_server import MailServer

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    '" autofocus onfocus="alert(1)',
    "' onmouseover='alert(1)",
    "</td></tr></table><h1>x</h1>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "<!--",
    "--><script>alert(1)</script>",
    "]]><script>alert(1)</script>",
    "<a href=javascript:alert(1)>x</a>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}",
    "{% include 'base.html' %}",
    "${7*7}",
    "&lt;script&gt;",
    "&#60;script&#62;",
    "%3Cscript%3E",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content=0>",
    "<style>*{display:none}</style>",
    "<form action=//evil.example><button>x",
    "\u202egnp.exe",
    "\u2066Bob\u2069",
    'O\'Brien "Bob" <bob>',
    "Robert'); DROP TABLE registrants;--",
    "<<<<>>>>",
    "﹤script﹥alert(1)",
)


@dataclass
class Town:
    """Two groups on Zoom that call us. `people` are known by the part before the @."""

    service: Service
    zoom: SimulatedZoom
    clock: Clock
    mail_server: MailServer
    meetings: list[int]

    def run(self, *names: str) -> None:
        """Jobs, as the heartbeat runs them. A relay that is down is no failure of the test."""
        for name in names:
            run_job(self.service, next(job for job in jobs.SCHEDULE if job.name == name))

    def register(self, name: str, first: str = "", last: str = "", *, group: int = 0) -> int:
        """Somebody fills in Zoom's page and Zoom tells us; our number of them."""
        email = f"{name}@example.org"
        self.zoom.register(
            self.meetings[group], email=email, first_name=first or name.title(), last_name=last
        )
        self.zoom.deliver_due()
        return self.number(name, group=group)

    def number(self, name: str, *, group: int = 0) -> int:
        slug = ("teletravail", "espaces-exterieurs")[group]
        return int(self.query(
            f"SELECT id FROM registrants WHERE email LIKE '{name}@%' AND focus_group = '{slug}'"  # noqa: S608 — names of tests
        )[0][0])  # fmt: skip

    def query(self, statement: str) -> list[Any]:
        with self.service.store.read() as connection:
            plain = connection.execution_options(no_parameters=True)  # a % is a %
            return list(plain.exec_driver_sql(statement))


def town_of(
    service: Service,
    zoom: SimulatedZoom,
    clock: Clock,
    mail_server: MailServer,
    web_server: WebServer,
) -> Town:
    """The town, before anybody has registered."""
    town = Town(service, zoom, clock, mail_server, [])
    town.run("create_meetings")
    zoom.subscribe(f"http://127.0.0.1:{web_server.port}/webhooks/zoom")
    town.meetings = sorted(zoom.meetings, key=lambda one: zoom.meetings[one].start_time)
    return town


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.shape: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.shape.append((tag, tuple(sorted(name for name, _ in attrs))))
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "action"}]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def shape(page: str) -> list[tuple[str, tuple[str, ...]]]:
    """The tags of a page with the names of their attributes, in order: what no name may change."""
    return _read(page).shape


def links(page: str) -> list[str]:
    """Where a page leads."""
    return _read(page).links


def text(page: str) -> str:
    """What a person reads, with plain spaces."""
    words = " ".join(" ".join(_read(page).words).split())
    return words.replace(" ,", ",").replace(" .", ".")


def _read(page: str) -> _Reader:
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader
