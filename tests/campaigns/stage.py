"""Plays a drawn campaign: the real service under a virtual clock, dying and coming back."""

import hashlib
import io
import json
import logging
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import structlog

import jobs
from jobs import Job, watch
from resonance_zoom import meetings
from resonance_zoom import service as service_parts
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.logs import where_not_with_what
from resonance_zoom.mail.letters import LetterRoom
from resonance_zoom.rehearsal.script import Act
from resonance_zoom.rehearsal.stage import Stage
from resonance_zoom.service import SHIPPED_LETTERS, Service, open_service
from resonance_zoom.settings import Settings
from resonance_zoom.store import journal
from resonance_zoom.store.engine import Store
from resonance_zoom.store.opening import open_store
from resonance_zoom.sweep import LISTINGS
from resonance_zoom.zoom import client
from resonance_zoom.zoom.simulator import SimMeeting
from tests.campaigns import invariants
from tests.campaigns.alarms import Alarms
from tests.campaigns.draw import Plan
from tests.campaigns.edges import InMemory
from tests.campaigns.hazards import Crash, Hazards
from tests.campaigns.people import People
from tests.campaigns.process import Process
from tests.campaigns.relay import Letter
from tests.campaigns.staff import Staff
from tests.campaigns.stretches import Stretches, label


class Room(LetterRoom):
    """The shipped letters, compiled and checked once for all campaigns of a process."""

    def check(self, kinds: Iterable[str]) -> list[str]:  # noqa: ARG002 — as the real one
        return []


ROOM = Room(list(SHIPPED_LETTERS))
_EMPTY: list[Path] = []  # a migrated database with nothing in it
LONG_LAG = 600  # seconds; beyond it one list lacks somebody who came long ago


class Play(People, Staff, Stretches, Process, Stage):
    """One campaign. `violations` fills while it runs; `bad` are the stretches of trouble."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.file = folder / "campaign.toml"
        self.file.write_text(plan.file(), encoding="utf-8")
        self.violations: list[str] = []
        self.trace: list[str] = []
        self.log = io.StringIO()  # the technical log
        self.bad: list[tuple[datetime, datetime, str]] = []
        self.starts: dict[int, list[tuple[datetime, datetime]]] = {}  # meeting → (since, start)
        # Event, stamp, registrant or meeting → when it was first answered 200.
        self.acknowledged: dict[tuple[str, int, str], datetime] = {}
        self.late_by_right: set[str] = set()  # Message-IDs of what staff asked for
        self.idle_runs: Counter[str] = Counter()
        self.idle_calls: dict[str, int] = {}  # of Zoom, by a run of a job with nothing to do
        self._windows = sorted(plan.windows, key=lambda window: window.begins)
        # Acts may go untold, or be missed by the next sweep.
        lists_lag = plan.rates.get("listing lags", 0) > LONG_LAG
        self._silent = bool(plan.on & {"webhooks", "webhooks down"}) or lists_lag
        self.held_calls: int | None = None  # of Zoom, a minute, while the clock is wrong for long
        self.skew = timedelta(0)
        self.lag = timedelta(0)  # of the monotonic clock, behind the true one
        self.boots = self._boots_in_a_row = 0
        self._dead = False
        self._again: dict[str, datetime] = {}  # jobs to be played at a mark from then on
        self._failures: Counter[str] = Counter()  # of a job, in a row
        self._compare_until = plan.opens
        self._reminded_at = plan.opens
        self._swept = False  # since something silent may have happened
        self._met: tuple[int, int] | None = None  # what reminders followed from, when last derived
        self._coming_up: datetime | None = None
        self._asleep_until: datetime | None = None
        self._later: list[Act] = []
        self._down_since: datetime | None = None
        self._trouble_since: dict[str, datetime] = {}
        self._prepare_people()
        self._prepare_staff()
        self.alarms = Alarms(self)
        super().__init__(
            self.file, load_campaign(self.file), plan.script(), seed=plan.seed, out=folder
        )

    # ---- the edges -------------------------------------------------------------------------

    def _edges(self, campaign_file: Path, out: Path) -> InMemory:
        self.hazards = Hazards(self.plan, self.clock)
        shutil.copy(_empty(), out / "resonance.db")
        self.memory = InMemory(
            self.plan,
            self.zoom,
            self.hazards,
            out=out,
            campaign_file=campaign_file,
            begins=self._letter_begins,
            acknowledged=self._acknowledged,
            died=self._dies,
        )
        faults, rates = self.zoom.faults, self.plan.rates
        if "listing lags" in rates:
            lag = timedelta(seconds=rates["listing lags"])
            faults.registrants_lag = lag
            faults.listing_lag = min(lag, timedelta(seconds=LONG_LAG))
        for kind in ("lost", "duplicated", "reordered", "bad-signature"):
            if kind in rates:
                faults.webhook(kind, times=None, rate=rates[kind])  # type: ignore[arg-type]
        for kind, by in (("delayed", timedelta(minutes=37)), ("stale", timedelta(minutes=6))):
            if kind in rates:
                faults.webhook(kind, times=None, rate=rates[kind], by=by)  # type: ignore[arg-type]
        return self.memory

    def service_time(self) -> datetime:
        """What the machine's clock says."""
        return self.clock() + self.skew

    def steady(self) -> float:
        """What its monotonic clock says."""
        return self.clock.seconds() - self.lag.total_seconds()

    def _open(self, settings: Settings) -> Service:  # noqa: ARG002 — they may have changed since
        service = open_service(
            self.memory.settings,
            now=self.service_time,
            monotonic=self.steady,
            sleep=lambda _seconds: None,
        )
        self.memory.wire_up(service)
        self._attach_witness(service.store)
        return service

    def _attach_witness(self, store: Store) -> None:
        """Every move of a letter's state is kept beside, by the database itself."""
        if self.damaged:
            return
        with store.engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE TABLE IF NOT EXISTS seen_moves (letter INTEGER, was TEXT, became TEXT)"
            )
            connection.exec_driver_sql(
                "CREATE TRIGGER IF NOT EXISTS see_moves AFTER UPDATE OF state ON letters"
                " WHEN old.state <> new.state BEGIN"
                " INSERT INTO seen_moves VALUES (new.id, old.state, new.state); END"
            )

    # ---- time --------------------------------------------------------------------------------

    def _next(self, acts_to_come: list[Act]) -> datetime:
        now = self.clock()
        moments = [self._next_by_a_wrong_clock() if self.skew else super()._next(acts_to_come)]
        moments += [window.begins for window in self._windows if window.begins > now]
        moments += [window.ends for window in self.hazards.open]
        if self.skew and acts_to_come:
            moments.append(acts_to_come[-1].at)
        for moment in (self._coming_up, self._asleep_until, self.alarms.next_at()):
            if moment is not None:
                moments.append(moment)
        moments += [act.at for act in self._later]
        if self.down_from is None:
            if not self.skew:
                moments += [
                    self._mark(jobs.job(name), max(now, since))
                    for name, since in self._again.items()
                ]
            settles_at = self._settles_at()
            if settles_at is not None:
                moments.append(self._mark(jobs.job("watch"), max(settles_at, now)))
        return max(now, min(moments))

    def _next_by_a_wrong_clock(self) -> datetime:
        """Every minute at first, then every five, and once it has been wrong for long every hour."""
        now = self.clock().replace(second=0, microsecond=0)
        since = max(window.begins for window in self.hazards.open if window.what == "clock")
        if now - since < timedelta(minutes=10):
            return now + timedelta(minutes=1)
        if now - since < timedelta(hours=3):
            return now + timedelta(minutes=5)
        return now.replace(minute=0) + timedelta(hours=1)

    def _settles_at(self) -> datetime | None:
        with self.service.store.read() as connection:
            return meetings.settles_at(connection)

    def _has_work(self, job: Job, now: datetime) -> bool:
        """While something silent may be found, the jobs that ask Zoom run at their marks."""
        if job.name == "sync_registrants":
            return now < self._watch_until and not (self._swept and self._is_as_on_zoom())
        return job.name == "create_meetings" and now < self._compare_until

    def _look_closely(self) -> None:
        self._swept = False
        super()._look_closely()

    def _is_as_on_zoom(self) -> bool:
        """Whether a sweep, whenever it came, could find nothing: all is known as the lists have it."""
        if self.plan.rates.get("listing lags") or self.hazards.open or self.skew:
            return False
        coming = [one for one in self.zoom.meetings.values() if one.end_time > self.clock()]
        if any(meeting.deleted for meeting in coming):
            return False
        truth = {
            (self.slug_of(meeting), who.email.lower(), who.status, who.join_url)
            for meeting in coming
            for person in meeting.registrants.values()
            if (who := meeting.registrant(person.email)) and who.status in LISTINGS
        }
        groups = {self.slug_of(meeting) for meeting in coming}
        with self.service.store.read() as connection:
            rows = connection.exec_driver_sql(
                "SELECT focus_group, email_folded, status, join_url, absent_since FROM registrants"
                " WHERE status IN ('approved', 'pending', 'denied')"
            ).all()
        known = {tuple(row[:4]) for row in rows if row[0] in groups}
        return truth == known and not any(row[4] for row in rows)

    def play_out(self) -> None:
        """The whole campaign, to the end of the last meeting."""
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.ExceptionRenderer(where_not_with_what),
                structlog.processors.JSONRenderer(),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            logger_factory=structlog.PrintLoggerFactory(self.log),
        )
        with _quick_and_paged(self):
            self.play(lambda _part: None)
        self.bad += [(window.begins, self.clock(), label(window)) for window in self.hazards.open]
        self.bad += [(since, self.clock(), "down") for since in [self._down_since] if since]
        self.bad += [(since, self.clock(), what) for what, since in self._trouble_since.items()]

    def end_for_good(self) -> None:
        """Weeks later: everybody is erased, by staff or because the day has come."""
        with _quick_and_paged(self):
            self.ends_for_good()

    def _step(self, moment: datetime, acts_to_come: list[Act]) -> None:
        self.clock.time = moment
        self._turn_windows(moment)
        for act in [one for one in self._later if one.at <= moment]:
            self._later.remove(act)
            self._act(act)
        if self._asleep_until is not None and self._asleep_until <= moment:
            self._wakes_up()
        if self._coming_up is not None and self._coming_up <= moment:
            self._coming_up = None
            self._comes_up(Act(moment, "comes_up"))
        calls = self.memory.calls.total()
        super()._step(moment, acts_to_come)
        if self.skew and moment.minute % 10 and self.down_from is None and self._held_for_long():
            made = self.memory.calls.total() - calls
            self.held_calls = min(made, self.held_calls if self.held_calls is not None else made)
        self._staff_look()
        self.alarms.look(moment)
        for meeting in self.zoom.meetings.values():
            self._note_start(meeting)

    def _held_for_long(self) -> bool:
        since = max(window.begins for window in self.hazards.open if window.what == "clock")
        return self.clock() - since > timedelta(minutes=20) and self._held()

    def _tick(self, now: datetime) -> None:
        if not self._dead and self.down_from is None:
            try:
                self._fire(now)
            except Crash:
                self._dies()
        if self._dead:
            self._fall()

    def _fire(self, now: datetime) -> None:
        """What the timetable fires at this moment, unless there is nothing to do, and what woke."""
        for job in self._jobs:
            fires = self._mark(job, now - timedelta(seconds=1)) <= now
            if job.name in self._woken or (fires and not self._is_idle(job, now)):
                self._run(job)
        while self._woken:
            self._run(jobs.job(self._woken[0]))

    def _is_idle(self, job: Job, now: datetime) -> bool:
        """Whether this run provably could find nothing to do."""
        if self.alarms.next_at() == now or self.skew:
            return False  # every job runs
        if job.name in self._again:
            return self._again[job.name] > now
        if job.name == "deliver_letters":
            leaves_at = self._letter_leaves_at()
            return leaves_at is None or leaves_at > now
        if job.name == "send_reminders":
            return not any(due <= now for due in self._dues(self._reminded_at))
        if job.name == "watch":
            return bool(now.minute)
        return False

    def _run(self, job: Job) -> str | None:
        quiet = job.name not in self._woken and job.name not in self._again
        if job.name == "send_reminders":
            quiet &= not any(due <= self.clock() for due in self._dues(self._reminded_at))
        calls = self.memory.calls.total()
        error = super()._run(job)
        self._again.pop(job.name, None)
        if self._always_fails(job):
            pass
        elif error or self._held():
            self._try_again(job)
        else:
            self._failures[job.name] = 0
        if error and not self._always_fails(job):
            self._look_closely()
        elif quiet and self.plan.page_size == client.PAGE_SIZE == 300 and not self.hazards.open:
            made = self.memory.calls.total() - calls
            self.idle_runs[job.name] += 1
            self.idle_calls[job.name] = min(made, self.idle_calls.get(job.name, made))
        if job.name == "sync_registrants" and not error:
            self._swept = True
        if job.name == "send_reminders" and not error:
            self._reminded_at = self.clock()
        elif job.name in {"create_meetings", "sync_registrants", "watch"} and self._has_news():
            self._again.setdefault("send_reminders", self.clock())  # somebody may be owed one
        return error

    def _always_fails(self, job: Job) -> bool:
        """A list with a line that cannot be read is never whole, and always read to its end."""
        poison = self.plan.poison
        unreadable = poison is not None and poison.how == "unreadable"
        return unreadable and job.name == "sync_registrants" and not self.hazards.open

    def _try_again(self, job: Job) -> None:
        """What failed, or waits for the clock, comes at its next marks, and after some more rarely.

        The end of a stretch of trouble brings it back at once.
        """
        self._failures[job.name] += 1
        beyond = self._failures[job.name] - 4
        pause = timedelta(minutes=min(2**beyond, 5)) if beyond >= 0 else timedelta(0)
        self._again[job.name] = self.clock() + pause

    def _has_news(self) -> bool:
        """Whether people, starts or the file are others than when this was last asked."""
        with self.service.store.read() as connection:
            found = connection.exec_driver_sql(
                "SELECT (SELECT max(id) FROM events), (SELECT sum(revision) FROM meetings)"
            ).one()
        met = (hash(tuple(found)), hash(self.service.campaign.reminder_send_at))
        was, self._met = self._met, met
        return met != was

    def _held(self) -> bool:
        with self.service.store.read() as connection:
            return bool(journal.recall(connection, journal.HELD))

    def _note_start(self, meeting: SimMeeting) -> None:
        starts = self.starts.setdefault(meeting.id, [])
        if not starts or starts[-1][1] != meeting.start_time:
            starts.append((self.clock(), meeting.start_time))

    # ---- what is watched while it runs ---------------------------------------------------------

    def _letter_begins(self, letter: Letter) -> None:
        for meeting in self.zoom.meetings.values():
            self._note_start(meeting)
        self._second_daemon_starts()
        self.trace.append(f"{letter.at.isoformat()} {letter.kind} {letter.message_id}")
        self.violations += invariants.of_a_beginning(self, letter)

    def _acknowledged(self, body: bytes, _status: int) -> None:
        said = json.loads(body)
        if "object" not in said["payload"]:
            return  # the challenge
        self.trace.append(f"{self.clock().isoformat()} 200 {said['event']} {said['event_ts']}")
        self.violations += invariants.of_an_acknowledgement(self, said)
        about = said["payload"]["object"]
        who = about.get("registrant", {}).get("id", "") or str(about.get("id"))
        key = said["event"], said["event_ts"], who
        self.acknowledged.setdefault(key, self.clock())

    def _deliver(self) -> None:
        due_at = self.zoom.next_delivery_at()
        if due_at is not None and due_at <= self.clock():
            self._again.setdefault("send_reminders", self.clock())
        super()._deliver()

    def digest(self) -> str:
        """Of all that happened: the same seed gives the same."""
        letters = self.memory.fresh(
            "SELECT focus_group, kind, occasion, state, reason, attempts, sent_at FROM letters"
            " ORDER BY id"
        )
        whole = "\n".join((*self.trace, *map(str, letters)))
        return hashlib.sha256(whole.encode()).hexdigest()[:16]


@contextmanager
def _quick_and_paged(play: Play) -> Iterator[None]:
    """Zoom's lists in pages of the plan's size, so that few people make several; letters as in
    ROOM, a disk as full as the plan says.
    """
    was = client.PAGE_SIZE, service_parts.letter_room, watch.free_bytes
    client.PAGE_SIZE = play.plan.page_size
    service_parts.letter_room = lambda _settings: ROOM
    watch.free_bytes = play.free_bytes
    try:
        yield
    finally:
        client.PAGE_SIZE, service_parts.letter_room, watch.free_bytes = was


def _empty() -> Path:
    if not _EMPTY:
        path = Path(tempfile.mkdtemp(prefix="resonance-empty-")) / "resonance.db"
        store = open_store(f"sqlite:///{path}")
        store.prepare()
        store.close()
        _EMPTY.append(path)
    return _EMPTY[0]
