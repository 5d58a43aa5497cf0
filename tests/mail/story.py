"""One registrant's whole post: every kind of letter, made and sent by production's own jobs."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from starlette.testclient import TestClient

import jobs
from jobs.clock import run_job
from resonance_zoom.service import open_service
from resonance_zoom.settings import load_settings
from resonance_zoom.web.app import make_app
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import Clock
from tests.mail_server import Kept, MailServer

ALICE = "alice@example.net"
NUMBERS = [
    {"country": "FR", "country_name": "France", "number": "+33 1 70 37 97 29", "type": "toll"},
    {"country": "US", "country_name": "US", "number": "+1 929 205 6099", "type": "toll"},
]
CAMPAIGN = """\
[campaign]
name = "Mission Résonance"
slug = "resonance"
timezone = "Europe/Paris"
language = "fr"
zoom_host = "organisation@example.org"

[organiser]
name = "Association Résonance"
email = "contact@example.org"
phone = "+33 2 99 00 00 00"

[[focus_group]]
slug = "first"
title = "Accompagner l'essor du télétravail"
date = {first}
starts = 09:00:00
ends = 11:00:00
agenda = "Où, comment, avec qui ?"

[[focus_group]]
slug = "second"
title = "Réinvestir les espaces extérieurs"
date = {second}
starts = 18:30:00
ends = 20:00:00
"""


class Story:
    """A campaign of two groups in which Alice is registered. `letters` are hers, oldest first."""

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str],
        *,
        zoom: SimulatedZoom,
        clock: Clock,
        mail_server: MailServer,
        first: str,
        second: str,
        name: tuple[str, str] = ("Alice", "Œuvrard"),
    ) -> None:
        self.file = folder / "campaign.toml"
        self.file.write_text(CAMPAIGN.format(first=first, second=second), encoding="utf-8")
        settings = load_settings(environ=environ, dotenv=folder / "no.env")
        self.zoom, self.clock, self.mail_server = zoom, clock, mail_server
        self.service = open_service(
            settings, now=clock, monotonic=clock.seconds, sleep=lambda _seconds: None
        )
        self.service.store.prepare()
        self.name = name
        self.run("create_meetings")
        self.meetings = sorted(zoom.meetings.values(), key=lambda one: one.start_time)
        for meeting in self.meetings:
            meeting.settings["global_dial_in_numbers"] = NUMBERS
        self.run("create_meetings")
        self.register("first", "second")

    @property
    def letters(self) -> list[Kept]:
        return self.mail_server.to(ALICE)

    def register(self, *groups: str) -> None:
        """Alice fills in Zoom's page, and is told."""
        first, second = self.meetings
        for group in groups:
            meeting = {"first": first, "second": second}[group]
            self.zoom.register(
                meeting.id, email=ALICE, first_name=self.name[0], last_name=self.name[1]
            )
        self.run("sync_registrants", "deliver_letters")

    def run(self, *names: str) -> None:
        for name in names:
            job = next(line for line in jobs.SCHEDULE if line.name == name)
            assert run_job(self.service, job) is None

    def at(self, *parts: int) -> None:
        """The clock says so (UTC), and the jobs of that minute have run."""
        self.clock.time = datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]  # a date and an hour
        self.run("watch", "create_meetings", "sync_registrants", "send_reminders")
        self.run("deliver_letters")

    def edit(self, was: str, now: str) -> None:
        """The organiser edits the file; ten minutes later it holds."""
        text = self.file.read_text(encoding="utf-8")
        assert was in text
        self.file.write_text(text.replace(was, now), encoding="utf-8")
        self.run("watch", "create_meetings")
        self.clock.move(minutes=10)
        self.run("watch", "create_meetings", "deliver_letters")

    def give_up(self, group: str) -> None:
        """Alice presses the button of her own page."""
        [*_, text] = [one.text for one in self.letters if "/me/" in one.text]
        [link] = [line for line in text.splitlines() if "/me/" in line]
        client = TestClient(make_app(self.service), base_url="http://localhost:8000")
        assert client.post(f"{link}/withdraw/{group}").status_code == 200
        self.run("deliver_letters")
