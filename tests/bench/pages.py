"""Every page that can be looked at, and a browser that looks and takes the time."""

import http.client
import statistics
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from resonance_zoom.service import Service
from resonance_zoom.web import pages
from tests.bench.bench_journal import stored
from tests.bench.full_house import LINES

REFERENCE = "healthz"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Page:
    """One address, and what was measured there: milliseconds to the first byte, bytes of body."""

    name: str
    path: str
    status: int = 200
    times: list[float] = field(default_factory=list)
    size: int = 0

    @property
    def middle(self) -> float:
        return statistics.median(self.times)


def addresses(service: Service, *, lines: int = LINES) -> list[Page]:
    """Every page that can be looked at, with something on it; the journal has so many `lines`."""
    with service.store.read() as connection:
        both: Any = connection.exec_driver_sql(  # somebody in two groups, with letters
            "SELECT max(id) AS id, focus_group, email FROM registrants WHERE status = 'approved'"
            " AND focus_group IN (SELECT focus_group FROM meetings WHERE start_at > ?)"
            " GROUP BY email_folded HAVING count(*) = 2 ORDER BY id DESC LIMIT 1",
            (stored(service.now()),),
        ).one()
        letter = connection.exec_driver_sql(
            "SELECT max(id) FROM letters WHERE state = 'failed'"
        ).scalar()
    link = service.links.personal(both.id)
    assert link is not None
    me = urlsplit(link).path
    preview = f"/staff/letters/preview/{{}}/{both.id}"
    return [
        Page(REFERENCE, "/healthz"),
        Page("readyz", "/readyz"),
        Page("metrics", "/metrics"),
        Page("stylesheet", pages.stylesheet_path()),
        Page("campaign page", "/"),
        Page("nowhere", "/nulle-part", 404),
        Page("personal page", me),
        Page("personal: calendar", f"{me}/{both.focus_group}.ics"),
        Page("personal: give up place", f"{me}/withdraw/{both.focus_group}"),
        Page("personal: data.json", f"{me}/data.json"),
        Page("sign-in", _path(invitation(service))),
        Page("overview", "/staff/"),
        Page("journal", "/staff/journal"),
        Page("journal: everything", "/staff/journal?level=all&size=200"),
        Page("journal: a group's letters", "/staff/journal?kind=letters&group=teletravail"),
        Page("journal: errors", "/staff/journal?level=error"),
        Page("journal: a name", "/staff/journal?person=oeuvrard+1"),
        Page("journal line", f"/staff/journal/{lines // 2}"),
        Page("registrants", "/staff/registrants"),
        Page("registrants: a name", "/staff/registrants?q=martin"),
        Page("registrants: one person", f"/staff/registrants?q={both.email}"),
        Page("registrants: CSV", "/staff/registrants.csv"),
        Page("registrants: XLSX", "/staff/registrants.xlsx"),
        Page("person", f"/staff/people/{both.id}"),
        Page("letters", "/staff/letters"),
        Page("letters: failed", "/staff/letters?state=failed"),
        Page("letters: a name", "/staff/letters?person=martin"),
        Page("letter preview", preview.format("confirmation")),
        Page("letter preview: HTML", preview.format("confirmation") + "/html"),
        Page("meetings", "/staff/meetings"),
        Page("ask: send again", f"/staff/act/resend/{letter}"),
    ]


class Browser:
    """One kept connection, as a browser has it, with the cookie of whoever has signed in."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers: dict[str, str] = {}

    def sign_in(self, link: str) -> None:
        """Press the button behind a staff link."""
        self._connection.request("POST", _path(link), headers=FORM)
        answer = self._connection.getresponse()
        answer.read()
        assert answer.status == 303, answer.status
        self._headers["Cookie"] = (answer.getheader("Set-Cookie") or "").partition(";")[0]

    def look(self, page: Page) -> None:
        """Once more at this page."""
        began = time.perf_counter()
        self._connection.request("GET", page.path, headers=self._headers)
        answer = self._connection.getresponse()
        page.times.append((time.perf_counter() - began) * 1000)
        page.size = len(answer.read())
        assert answer.status == page.status, f"{page.path}: {answer.status}"

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def invitation(service: Service) -> str:
    """A link that lets its holder in as admin."""
    now = service.now()
    return service.links.invitation("A", "admin", now=now, ends_at=now + timedelta(days=1))


def _path(link: str) -> str:
    return urlsplit(link).path
