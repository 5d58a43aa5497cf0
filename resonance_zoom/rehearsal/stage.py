"""The stage of a rehearsal: a simulated Zoom, a mail server, the real service, one virtual clock.

Everything real speaks real HTTP and SMTP on loopback. Time jumps over the stretches in which no job
could find anything to do: nobody acts, nothing is on its way, no letter is ready or falls due.
"""

import email
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller

from jobs import SCHEDULE, Job
from jobs.clock import next_firing, run_job, triggers
from resonance_zoom import daemon, meetings
from resonance_zoom.errors import ZoomRefused
from resonance_zoom.rehearsal.script import Act, Script
from resonance_zoom.service import Service, open_service
from resonance_zoom.settings import Secret, Settings
from resonance_zoom.store import outbox
from resonance_zoom.web.app import make_app
from resonance_zoom.web.server import WebServer
from resonance_zoom.zoom.simulator import SimMeeting, SimulatedZoom, SimulatorServer

WATCHED = timedelta(minutes=31)  # after something silent, Zoom is asked at every mark for so long
EDIT = timedelta(minutes=30)  # how far the meeting edited by hand moves


@dataclass(frozen=True, slots=True)
class Mail:
    """A letter that the mail server accepted, and when by the virtual clock."""

    at: datetime
    recipients: tuple[str, ...]
    kind: str
    text: str


def _mail(at: datetime, recipients: tuple[str, ...], content: bytes) -> Mail:
    message = email.message_from_bytes(content)
    plain = next(part for part in message.walk() if part.get_content_type() == "text/plain")
    body = plain.get_payload(decode=True)
    text = body.decode() if isinstance(body, bytes) else ""
    return Mail(at, recipients, str(message["X-Letter"]), text)


class VirtualClock:
    """A clock that only the stage moves."""

    def __init__(self, now: datetime) -> None:
        self.time = now

    def __call__(self) -> datetime:
        return self.time

    def seconds(self) -> float:
        """The same for the monotonic clock: a rehearsal has no jumps."""
        return self.time.timestamp()


class MailBox:
    """A real SMTP server on loopback that keeps every letter, in memory and as .eml."""

    def __init__(self, clock: VirtualClock, folder: Path) -> None:
        self.clock = clock
        self.folder = folder
        self.mails: list[Mail] = []
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.eml"):
            old.unlink()
        with socket.socket() as probe:  # aiosmtpd's start-up probe needs to know the port
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._controller = Controller(self, hostname="127.0.0.1", port=port)
        self.url = f"smtp://127.0.0.1:{port}"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 — aiosmtpd's name
        """Keep one letter."""
        mail = _mail(self.clock(), tuple(envelope.rcpt_tos), envelope.content)
        self.mails.append(mail)
        name = f"{len(self.mails):05}-{mail.kind}-{envelope.rcpt_tos[0]}.eml"
        (self.folder / name).write_bytes(envelope.content)
        return f"250 OK: letter {len(self.mails)}"

    def start(self) -> None:
        """Listen."""
        self._controller.start()

    def stop(self) -> None:
        """Stop listening."""
        self._controller.stop()


class Stage:
    """Plays a script. Then `zoom` is the truth, `mailbox` what left, `service` what we know."""

    def __init__(self, campaign_file: Path, campaign: Any, script: Script, *, seed: int, out: Path):
        self.script = script
        self.clock = VirtualClock(script.opens)
        self.zoom = SimulatedZoom(
            now=self.clock,
            seed=seed,
            host_email=campaign.zoom_host,
            webhook_secret="rehearsal-webhook-secret-0001",  # noqa: S106 — of the simulated Zoom
        )
        self.mailbox = MailBox(self.clock, out / "letters")
        self.zoom_server = SimulatorServer(self.zoom)
        self._database = out / "resonance.db"
        for old in out.glob("resonance.db*"):
            old.unlink()
        self._campaign_file = campaign_file
        self.runs = 0  # of jobs, whatever called for them
        self.marks_played = 0
        self.down_from: datetime | None = None
        self.outages: list[tuple[datetime, datetime]] = []
        self.edited: dict[str, tuple[datetime, datetime]] = {}  # group → when, its new start
        self.refusals: list[tuple[Act, str]] = []
        self._woken: list[str] = []
        self._watch_until = script.opens
        self.service: Service
        self.web: WebServer | None = None

    def play(self, progress: Callable[[float], None]) -> None:
        """The whole campaign; `progress` hears the part of it that is over, 0 to 1."""
        self.mailbox.start()
        self.zoom_server.start()
        try:
            self._come_up()
            acts = list(reversed(self.script.acts))
            whole = self.script.ends - self.script.opens
            while (moment := self._next(acts)) <= self.script.ends:
                self.clock.time = moment
                progress((moment - self.script.opens) / whole)
                while acts and acts[-1].at <= moment:
                    self._act(acts.pop())
                self._deliver()
                self._tick(moment)
            self.clock.time = self.script.ends
            progress(1.0)
        finally:
            if self.down_from is None and self.web is not None:
                self.web.stop()
            self.zoom_server.stop()
            self.mailbox.stop()

    # ---- time ----------------------------------------------------------------------------

    def _next(self, acts: list[Act]) -> datetime:
        """The next moment at which anything can happen."""
        now = self.clock()
        moments = [self.script.ends + timedelta(seconds=1)]
        if acts:
            moments.append(acts[-1].at)
        if (delivery := self.zoom.next_delivery_at()) is not None:
            moments.append(delivery)
        if self.down_from is None:
            moments += [self._mark(job, now) for job in SCHEDULE if self._has_work(job, now)]
            moments += [self._mark(_named("send_reminders"), at) for at in self._dues(now)]
            moments.append(self._mark(_named("sync_registrants"), _next_monday(now)))
            with self.service.store.read() as connection:
                ready = outbox.next_ready_at(connection)
            if ready is not None:
                moments.append(self._mark(_named("deliver_letters"), max(ready, now)))
        return max(now, min(moments))

    def _has_work(self, job: Job, now: datetime) -> bool:
        """While something silent may be found, the jobs that ask Zoom run at their marks."""
        return now < self._watch_until and job.name in {"create_meetings", "sync_registrants"}

    def _dues(self, now: datetime) -> list[datetime]:
        with self.service.store.read() as connection:
            rows: list[Any] = list(meetings.open_rows(connection))
        return [
            due.at - timedelta(microseconds=1)  # the mark at the due moment itself
            for row in rows
            for due in self.service.campaign.reminders(row.start_at)
            if due.at > now
        ]

    def _mark(self, job: Job, now: datetime) -> datetime:
        return next_firing(self._triggers[job.name], now)

    def _tick(self, now: datetime) -> None:
        """Run what the SCHEDULE fires at this moment, and what was woken."""
        if self.down_from is not None:
            return
        for job in SCHEDULE:
            fires = next_firing(self._triggers[job.name], now - timedelta(seconds=1)) <= now
            self.marks_played += fires
            if job.name in self._woken or fires:
                self._run(job)
        while self._woken:
            self._run(_named(self._woken[0]))

    def marks_skipped(self) -> int:
        """How often the clock would have fired a job that provably could find nothing to do."""
        down = sum(((up - since) for since, up in self.outages), timedelta())
        up = self.script.ends - self.script.opens - down
        return sum(up // job.every for job in SCHEDULE) - self.marks_played

    def _run(self, job: Job) -> None:
        self._woken = [name for name in self._woken if name != job.name]
        self.runs += 1
        run_job(self.service, job)

    def _deliver(self) -> None:
        for delivery in self.zoom.deliver_due():
            if delivery.outcome == "lost":
                self._look_closely()

    def _look_closely(self) -> None:
        self._watch_until = self.clock() + WATCHED

    # ---- acts ----------------------------------------------------------------------------

    def _act(self, act: Act) -> None:
        try:
            getattr(self, f"_{act.what}")(act)
        except ZoomRefused as refusal:
            self.refusals.append((act, refusal.message))

    def _meeting(self, slug: str) -> SimMeeting:
        group = self.service.campaign.focus_group(slug)
        topic = group.title if group else ""
        return next(one for one in self.zoom.meetings.values() if one.topic == topic)

    def _registers(self, act: Act) -> None:
        self.zoom.register(
            self._meeting(act.group).id,
            email=act.email,
            first_name=act.first_name,
            last_name=act.last_name,
        )

    def _cancels(self, act: Act) -> None:
        self.zoom.cancel(self._meeting(act.group).id, email=act.email)

    def _loses_next_webhook(self, _act: Act) -> None:
        self.zoom.faults.lose_next_webhooks(1)
        self._watch_until = self.clock() + WATCHED

    def _is_edited_on_zoom(self, act: Act) -> None:
        meeting = self._meeting(act.group)
        self.zoom.edit_meeting(meeting.id, start_time=meeting.start_time + EDIT)
        self.edited[act.group] = (self.clock(), meeting.start_time)
        self._look_closely()

    def _goes_down(self, _act: Act) -> None:
        if self.web is not None:
            self.web.stop()
        self.service.close()
        self.down_from = self.clock()

    def _comes_up(self, _act: Act) -> None:
        if self.down_from is not None:
            self.outages.append((self.down_from, self.clock()))
            self.down_from = None
        self._come_up()
        self._look_closely()

    def _come_up(self) -> None:
        """What `run` does at start: the lock, the database, every job once."""
        settings = self._settings(self.web)
        self._triggers = triggers(webhooks=settings.webhooks)
        self.service = open_service(
            settings, now=self.clock, monotonic=self.clock.seconds, sleep=lambda _seconds: None
        )
        self.service.wake = self._woken.append
        daemon.start_up(self.service)
        self.web = WebServer(make_app(self.service), host=settings.host, port=settings.port)
        self.web.start()
        if settings.port == 0:
            self.zoom.subscribe(f"http://127.0.0.1:{self.web.port}/webhooks/zoom")
        for job in SCHEDULE:
            self._run(job)

    def _settings(self, web: WebServer | None) -> Settings:
        return Settings(
            campaign_file=self._campaign_file,
            database_url=Secret(f"sqlite:///{self._database}"),
            smtp_url=Secret(self.mailbox.url),
            mail_from=None,
            zoom_account_id=Secret("acc"),
            zoom_client_id=Secret("cid"),
            zoom_client_secret=Secret("csecret"),
            zoom_webhook_secrets=(Secret(self.zoom.webhook_secret),),
            zoom_api_url=self.zoom_server.api_url,
            zoom_oauth_url=self.zoom_server.oauth_url,
            webhooks=True,
            secret_key=Secret(secrets.token_hex(32)),
            public_url="http://localhost",
            host="127.0.0.1",
            port=web.port if web else 0,
            log_format=None,
        )


def _named(name: str) -> Job:
    return next(job for job in SCHEDULE if job.name == name)


def _next_monday(now: datetime) -> datetime:
    """Once a week the regular sweep is played even when nothing calls for it."""
    monday = now.replace(hour=4, minute=59, second=59, microsecond=0)
    monday += timedelta(days=-monday.weekday() % 7)
    return monday if monday > now else monday + timedelta(days=7)
