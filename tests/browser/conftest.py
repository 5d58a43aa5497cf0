"""A real browser on a real server: the campaign of the tests with people in it.

Chromium is Debian's (`apt-get install chromium`). Where it is missing these tests are skipped with
a line that says so, except in CI.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import jobs
from jobs.clock import run_job
from resonance_zoom.service import Service
from resonance_zoom.web.app import make_app
from resonance_zoom.web.server import WebServer
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import Clock

if TYPE_CHECKING:  # half a second, which those who run no test of a browser need not wait
    from playwright.sync_api import Browser, BrowserContext, Dialog, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 740}


@pytest.fixture(scope="session")
def chromium() -> Iterator["Browser"]:
    """Debian's browser, one for all tests."""
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        message = "no chromium here: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class World:
    """A running campaign with people in it. `at(path)` is an address in a browser."""

    service: Service
    zoom: SimulatedZoom
    clock: Clock
    server: WebServer
    people: dict[str, int] = field(default_factory=dict)  # e-mail → our number

    def at(self, path: str) -> str:
        return f"http://localhost:{self.server.port}{path}"

    def run(self, *names: str) -> None:
        for name in names:
            job = next(line for line in jobs.SCHEDULE if line.name == name)
            assert run_job(self.service, job) is None

    def invitation(self, role: str) -> str:
        ends_at = self.service.now() + timedelta(days=7)
        return self.service.links.invitation("Alice", role, now=self.service.now(), ends_at=ends_at)

    def personal(self, email: str) -> str:
        link = self.service.links.personal(self.people[email])
        assert link is not None
        return link


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    """Links lead to the server of this test."""
    return environ | {"PUBLIC_URL": f"http://localhost:{environ['PORT']}"}


HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'


@pytest.fixture
def world(service: Service, zoom: SimulatedZoom, clock: Clock) -> Iterator[World]:
    server = WebServer(make_app(service), host="127.0.0.1", port=service.settings.port)
    server.start()
    made = World(service, zoom, clock, server)
    made.run("create_meetings", "watch")
    first, second = sorted(zoom.meetings, key=lambda one: zoom.meetings[one].start_time)
    zoom.subscribe(made.at("/webhooks/zoom"))
    for meeting, email, name, surname in (
        (first, "alice@example.org", "Alice", "Œuvrard"),
        (second, "alice@example.org", "Alice", "Œuvrard"),
        (first, "bob@example.org", "Bob", "Étienne"),
        (second, "eve@example.org", HOSTILE, "Dupont"),
    ):
        clock.move(hours=5)
        zoom.register(meeting, email=email, first_name=name, last_name=surname)
        zoom.deliver_due()
    zoom.cancel(first, email="bob@example.org")
    zoom.deliver_due()
    made.run("sync_registrants", "deliver_letters", "watch")
    clock.move(minutes=3)
    with service.store.read() as connection:
        rows = connection.exec_driver_sql(
            "SELECT email, max(id) AS number FROM registrants GROUP BY email"
        )
        made.people = {row.email: row.number for row in rows}
    yield made
    server.stop()


@dataclass
class Tab:
    """One page in a browser, with all that went wrong in it."""

    page: "Page"
    origin: str
    troubles: list[str] = field(default_factory=list)

    def go(self, address: str) -> None:
        answer = self.page.goto(address)
        assert answer is not None
        assert answer.status < 500, f"{address}: {answer.status}"

    def check(self) -> None:
        """Nothing left the origin, nothing was complained of, nobody runs scripts, all can read."""
        from axe_playwright_python.sync_playwright import Axe

        assert self.troubles == []
        assert self.page.locator("script").count() == 0
        results = Axe().run(self.page)
        found = [
            f"{violation['id']}: {node['html'][:120]} ({node['failureSummary'][:200]})"
            for violation in results.response["violations"]
            for node in violation["nodes"]
        ]
        assert found == [], f"{self.page.url}: axe"
        width = self.page.evaluate("document.documentElement.scrollWidth")
        assert width <= self.page.viewport_size["width"], f"{self.page.url}: {width} px wide"  # type: ignore[index]


@pytest.fixture
def open_tab(chromium: "Browser", world: World) -> Iterator[Callable[..., Tab]]:
    """`open_tab(size=NARROW, dark=True)`: a fresh browser window; `bare`: without our own policy."""
    contexts: list[BrowserContext] = []

    def opened(*, size: Any = WIDE, dark: bool = False, bare: bool = False) -> Tab:
        context = chromium.new_context(
            viewport=size,
            color_scheme="dark" if dark else "light",
            locale="fr-FR",
            bypass_csp=bare,
        )
        contexts.append(context)
        context.set_default_timeout(5000)
        tab = Tab(context.new_page(), world.at(""))
        tab.page.on("console", lambda said: tab.troubles.append(f"console: {said.text}"))
        tab.page.on("dialog", lambda dialog: _opened(tab, dialog))
        tab.page.on("pageerror", lambda error: tab.troubles.append(f"error: {error}"))
        tab.page.on(
            "request",
            lambda asked: (
                None
                if asked.url.startswith((tab.origin, "about:", "data:"))
                else tab.troubles.append(f"request to {asked.url}")
            ),
        )
        return tab

    yield opened
    for context in contexts:
        context.close()


def _opened(tab: Tab, dialog: "Dialog") -> None:
    tab.troubles.append(f"dialog: {dialog.message}")
    dialog.dismiss()


@pytest.fixture
def screenshots() -> Path | None:
    """Where to leave pictures (`make screenshots`), None in ordinary runs."""
    folder = os.environ.get("SCREENSHOTS")
    return Path(folder) if folder else None
