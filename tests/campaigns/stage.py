"""Plays a drawn campaign: the real service under a virtual clock, dying and coming back."""

import hashlib
import json
import logging
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

import jobs
from jobs import Job
from resonance_zoom import acts, backups, daemon, meetings, privacy, restoring
from resonance_zoom import service as service_parts
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.errors import (
    AlreadyRunning,
    DatabaseBusy,
    DatabaseUnusable,
    ResonanceError,
    ZoomRefused,
)
from resonance_zoom.mail import french
from resonance_zoom.mail.letters import LetterRoom
from resonance_zoom.rehearsal.script import Act
from resonance_zoom.rehearsal.stage import Stage
from resonance_zoom.service import SHIPPED_LETTERS, Service, open_service
from resonance_zoom.settings import Settings
from resonance_zoom.store import journal
from resonance_zoom.store.engine import Store
from resonance_zoom.store.opening import open_store
from resonance_zoom.zoom import client
from resonance_zoom.zoom.simulator import SimMeeting
from resonance_zoom.zoom.simulator.records import SimRegistrant
from tests.campaigns import invariants
from tests.campaigns.draw import PARIS, Plan, Window
from tests.campaigns.edges import Crash, Hazards, InMemory, Letter


class Room(LetterRoom):
    """The shipped letters, compiled and checked once for all campaigns of a process."""

    def check(self, kinds: Iterable[str]) -> list[str]:  # noqa: ARG002 — as the real one
        return []


ROOM = Room(list(SHIPPED_LETTERS))
_EMPTY: list[Path] = []  # a migrated database with nothing in it
BOOT_AGAIN = timedelta(seconds=10)
UNTIL_COMPARED = timedelta(minutes=65)  # meetings are compared every hour if nobody tells us


class Play(Stage):
    """One campaign. `violations` fills while it runs; `bad` are the stretches of trouble."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.file = folder / "campaign.toml"
        self.file.write_text(plan.file(), encoding="utf-8")
        self.violations: list[str] = []
        self.trace: list[str] = []
        self.bad: list[tuple[datetime, datetime, str]] = []
        self.starts: dict[int, list[tuple[datetime, datetime]]] = {}  # meeting → (since, start)
        self._windows = sorted(plan.windows, key=lambda window: window.begins)
        self._silent = bool(plan.on & {"webhooks", "webhooks down"})  # acts may go untold
        self.skew = timedelta(0)
        self.boots = 0
        self._dead = False
        self._again: set[str] = set()  # jobs to be played at their next mark, whatever else
        self._coming_up: datetime | None = None
        self._later: list[Act] = []
        self._backup: Path | None = None
        self._restored = False
        self.resent: set[int] = set()  # letters that staff asked for again
        self.by_hand: Counter[str] = Counter()  # Message-ID → how often staff asked for it again
        self.erased: dict[str, datetime] = {}  # folded address → when
        self._down_since: datetime | None = None
        self._trouble_since: dict[str, datetime] = {}
        super().__init__(
            self.file, load_campaign(self.file), plan.script(), seed=plan.seed, out=folder
        )

    # ---- the edges -------------------------------------------------------------------------

    def _edges(self, campaign_file: Path, out: Path) -> InMemory:
        self.hazards = Hazards(self.plan, self.clock)
        shutil.copy(_empty(), out / "resonance.db")
        self.memory = InMemory(
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
            faults.listing_lag = timedelta(seconds=rates["listing lags"])
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

    def _open(self, settings: Settings) -> Service:
        service = open_service(
            settings,
            now=self.service_time,
            monotonic=self.clock.seconds,
            sleep=lambda _seconds: None,
        )
        self.memory.wire_up(service)
        self._attach_witness(service.store)
        return service

    def _attach_witness(self, store: Store) -> None:
        """Every move of a letter's state is kept beside, by the database itself."""
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
        on_a_mark = now.replace(second=0, microsecond=0) + timedelta(minutes=5)
        moments = [on_a_mark if self.skew else super()._next(acts_to_come)]
        moments += [window.begins for window in self._windows if window.begins > now]
        moments += [window.ends for window in self.hazards.open]
        if self.skew and acts_to_come:
            moments.append(acts_to_come[-1].at)
        if self._coming_up is not None:
            moments.append(self._coming_up)
        moments += [act.at for act in self._later]
        if self.down_from is None:
            settles_at = self._settles_at()
            if settles_at is not None:
                moments.append(self._mark(jobs.job("watch"), max(settles_at, now)))
        return max(now, min(moments))

    def _settles_at(self) -> datetime | None:
        with self.service.store.read() as connection:
            return meetings.settles_at(connection)

    def play_out(self) -> None:
        """The whole campaign."""
        quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
        structlog.configure(wrapper_class=quiet)
        with _quick_and_paged(self.plan.page_size):
            self.play(lambda _part: None)
        self.bad += [(window.begins, self.clock(), window.what) for window in self.hazards.open]
        self.bad += [(since, self.clock(), "down") for since in [self._down_since] if since]
        self.bad += [(since, self.clock(), what) for what, since in self._trouble_since.items()]

    def _step(self, moment: datetime, acts_to_come: list[Act]) -> None:
        self.clock.time = moment
        self._turn_windows(moment)
        for act in [one for one in self._later if one.at <= moment]:
            self._later.remove(act)
            self._act(act)
        if self._coming_up is not None and self._coming_up <= moment:
            self._coming_up = None
            self._comes_up(Act(moment, "comes_up"))
        super()._step(moment, acts_to_come)
        if self._restored and not any(act.what == "staff_decides" for act in self._later):
            self._look_at_what_is_held()
        for meeting in self.zoom.meetings.values():
            self._note_start(meeting)

    def _tick(self, now: datetime) -> None:
        if not self._dead:
            try:
                super()._tick(now)
            except Crash:
                self._dies()
        if self._dead:
            self._fall()

    def _run(self, job: Job) -> str | None:
        error = super()._run(job)
        self._again.discard(job.name)
        if error or self._held():
            # What failed, or waits for the clock, is tried again at its marks.
            self._again.add(job.name)
        if error:
            self._look_closely()
        if job.name in {"create_meetings", "sync_registrants"}:
            self._again.add("send_reminders")  # who was found, or what moved, may be owed one
        return error

    def _held(self) -> bool:
        with self.service.store.read() as connection:
            return bool(journal.recall(connection, journal.HELD))

    def _turn_windows(self, now: datetime) -> None:
        for window in [one for one in self._windows if one.begins <= now]:
            self._windows.remove(window)
            self.hazards.open.append(window)
            self._begin(window)
        for window in [one for one in self.hazards.open if one.ends <= now]:
            self.hazards.open.remove(window)
            self._end(window)
            self.bad.append((window.begins, window.ends, window.what))
            self._watch_until = now + UNTIL_COMPARED

    def _begin(self, window: Window) -> None:
        if window.what == "zoom":
            self.zoom.faults.api("*", kind=window.kind, times=None, rate=window.rate)
        if window.what == "clock":
            self.skew = timedelta(seconds=int(window.kind))
            self.hazards.happened["clock jumped"] += 1

    def _end(self, window: Window) -> None:
        if window.what == "zoom":
            self.zoom.faults.api_faults.clear()
        if window.what == "clock":
            self.skew = timedelta(0)

    # ---- the process -------------------------------------------------------------------------

    def _dies(self) -> None:
        """In a handler or a job: nothing more is done, the rest of this moment is lost."""
        self._dead = True
        self.memory.disconnect()

    def _fall(self) -> None:
        self._dead = False
        self.service.close()
        under_way = self.memory.fresh("SELECT message_id FROM letters WHERE state = 'sending'")
        self.memory.relay.forgets_whether({message_id for (message_id,) in under_way})
        self.down_from = self._down_since = self.clock()
        self._woken.clear()
        self._coming_up = self.clock() + self.hazards.down_for
        self._look_closely()

    def _goes_down(self, act: Act) -> None:
        if self.down_from is None:
            super()._goes_down(act)
            self._down_since = self.clock()
            self._woken.clear()

    def _comes_up(self, act: Act) -> None:
        if self.down_from is not None:
            super()._comes_up(act)

    def _come_up(self) -> None:
        """Boot; who dies in it tries again soon."""
        self._turn_windows(self.clock())
        self.boots += 1
        since, self._down_since = self._down_since or self.clock(), None
        try:
            super()._come_up()
        except (Crash, ResonanceError):
            self._dead = False
            self.memory.disconnect()
            self.service.close()
            self._woken.clear()
            self.down_from = self._down_since = since
            self._coming_up = self.clock() + max(self.hazards.down_for, BOOT_AGAIN)
            self.hazards.happened["died while booting"] += 1
            return
        if since < self.clock():
            self.bad.append((since, self.clock(), "down"))
        self._second_daemon_starts()

    def _second_daemon_starts(self) -> None:
        """Somebody starts the daemon a second time: it must go away again."""
        if not self.hazards.by_rate("second daemon"):
            return
        second = open_service(
            self.memory.settings, now=self.service_time, monotonic=self.clock.seconds
        )
        try:
            daemon.start_up(second)
        except AlreadyRunning:
            return
        finally:
            second.close()
        self.violations.append(f"I23 {self.clock()}: a second daemon ran beside the first")

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
        self.trace.append(f"{self.clock().isoformat()} 200 {said['event']} {said['event_ts']}")
        self.violations += invariants.of_an_acknowledgement(self, said)

    # ---- people ------------------------------------------------------------------------------

    def slug_of(self, meeting: SimMeeting) -> str:
        """The group of a meeting, by our reference in its agenda."""
        found = re.search(r"campagne/([a-z0-9-]+)", meeting.agenda)
        return found[1] if found else ""

    def _meeting(self, slug: str) -> SimMeeting:
        for meeting in self.zoom.meetings.values():
            if self.slug_of(meeting) == slug:
                return meeting
        raise ZoomRefused(f"no meeting of {slug} yet")

    def _deliver(self) -> None:
        if self.zoom.next_delivery_at() is not None:
            self._again.add("send_reminders")
        super()._deliver()

    def _act(self, act: Act) -> None:
        if self._silent:
            self._look_closely()
        try:
            getattr(self, f"_{act.what}")(act)
        except Crash:  # staff asked for something, and the process died over it
            self._dies()
            self._fall()
        except (ResonanceError, KeyError) as refusal:
            self.refusals.append((act, str(refusal)))

    def _person(self, act: Act) -> tuple[SimMeeting, SimRegistrant | None]:
        meeting = self._meeting(act.group)
        return meeting, meeting.registrant(act.email)

    def _approves(self, act: Act) -> None:
        meeting, who = self._person(act)
        if who is not None and who.status == "pending":
            self.zoom.approve(meeting.id, email=act.email)

    def _denies(self, act: Act) -> None:
        meeting, who = self._person(act)
        if who is not None and who.status == "pending":
            self.zoom.deny(meeting.id, email=act.email)

    def _is_moved_on_zoom(self, act: Act) -> None:
        meeting = self._meeting(act.group)
        start = meeting.start_time + timedelta(minutes=int(act.email))
        if start <= self.clock() + timedelta(hours=1) or meeting.deleted:
            return
        self.zoom.edit_meeting(meeting.id, start_time=start)
        self.hazards.happened["moved on zoom"] += 1
        self._watch_until = self.clock() + UNTIL_COMPARED

    def _is_deleted_on_zoom(self, act: Act) -> None:
        meeting = self._meeting(act.group)
        self._deleted_at = self.clock()
        self.zoom.delete_meeting(meeting.id)
        self.hazards.happened["deleted on zoom"] += 1
        self._watch_until = self.clock() + UNTIL_COMPARED

    def _is_recovered_on_zoom(self, act: Act) -> None:
        meeting = self._meeting(act.group)
        if meeting.deleted:
            self.zoom.recover_meeting(meeting.id)
            self.bad.append((self._deleted_at, self.clock(), "deleted on zoom"))
        self._watch_until = self.clock() + UNTIL_COMPARED

    def _tokens_expire(self, _act: Act) -> None:
        self.zoom.faults.expire_tokens()

    def _file_moves(self, act: Act) -> None:
        """The organiser edits the date of a group, `act.email` days later than at first."""
        group = next(one for one in self.plan.groups if one.slug == act.group)
        moved = group.day + timedelta(days=int(act.email))
        text = self.plan.file().replace(f"date = {group.day}", f"date = {moved}", 1)
        self.file.write_text(text, encoding="utf-8")
        self.hazards.happened["file edited"] += 1
        self._again.add("watch")
        self._look_closely()

    # ---- staff -------------------------------------------------------------------------------

    def _desk(self) -> acts.Desk:
        return acts.Desk(self.service.store, self.service.campaign, self.service_time(), "Alice")

    def _staff_pause(self, _act: Act) -> None:
        if self.down_from is None:
            acts.pause(self._desk())
            self._trouble_since["paused"] = self.clock()

    def _staff_resume(self, act: Act) -> None:
        if "paused" not in self._trouble_since:
            return
        again = replace(act, at=self.clock() + timedelta(minutes=5))
        if self.down_from is not None:
            self._later.append(again)
            return
        try:
            acts.resume(self._desk())
        except ResonanceError:
            self._later.append(again)
            return
        if (since := self._trouble_since.pop("paused", None)) is not None:
            self.bad.append((since, self.clock(), "paused"))
            self._look_closely()

    def _backs_up(self, _act: Act) -> None:
        if self.down_from is None:
            self._backup = backups.make(self.service.store, self.file.with_name("backup.db"))

    def _restores(self, _act: Act) -> None:
        """The newest backup takes the place of the database, while the service is down."""
        if self._backup is None or self.down_from is None:
            return
        store = open_store(self.memory.settings.database_url)
        try:
            restoring.restore(store, self._backup, self.service_time(), by="Alice")
        finally:
            store.close()
        self.hazards.happened["backup restored"] += 1
        self.bad.append((self.down_from, self.clock() + timedelta(hours=3), "restored"))
        self._restored = True
        # A pause is restored as well; somebody ends it once they have looked.
        self._trouble_since.setdefault("paused", self.clock())
        self._later.append(Act(self.clock() + timedelta(minutes=5), "staff_resume"))

    def _look_at_what_is_held(self) -> None:
        """Staff read the alert, and decide within ten minutes."""
        if self.memory.fresh("SELECT 1 FROM letters WHERE state = 'in_doubt' AND reason IN"
                             " ('restored', 'adopted') LIMIT 1"):  # fmt: skip
            self._later.append(Act(self.clock() + timedelta(minutes=8), "staff_decides"))

    def _staff_decides(self, act: Act) -> None:
        """Of what is held, what the mail server's own log does not show is sent."""
        if self.down_from is not None:
            self._later.append(replace(act, at=self.clock() + timedelta(minutes=10)))
            return
        for number, kind, email, link, start in self.memory.fresh(
            "SELECT letters.id, kind, email, join_url, letters.start_at FROM letters"
            " JOIN registrants ON registrants.id = registrant"
            " WHERE state = 'in_doubt' AND letters.reason IN ('restored', 'adopted')"
        ):
            had = self._had(kind, email, link, datetime.fromisoformat(start).replace(tzinfo=UTC))
            if not had:
                try:
                    self.resent.add(acts.resend(self._desk(), number))
                except (DatabaseUnusable, DatabaseBusy):
                    return
                except ResonanceError:
                    had = True  # cannot go any more
                else:
                    self.hazards.happened["held letter sent"] += 1
            if had:
                acts.drop_letter(self._desk(), number)
        self._look_closely()

    def _had(self, kind: str, email: str, link: str | None, start: datetime) -> bool:
        """Whether the relay's log shows that letter."""
        says = " ".join(french.when(start, start + timedelta(hours=2), PARIS).split())
        return any(
            letter.kind == kind
            and letter.recipients[0].lower() == email.lower()
            and (kind != "confirmation" or link in letter.links)
            and (kind == "confirmation" or says in " ".join(letter.text.split()))
            for letter in self.memory.relay.accepted
        )

    def _staff_erases(self, act: Act) -> None:
        again = replace(act, at=self.clock() + timedelta(minutes=7))
        if self.down_from is not None:
            self._later.append(again)
            return
        found = self.memory.fresh(
            "SELECT id FROM registrants WHERE email_folded = ?", act.email.lower()
        )
        if not found:
            return
        try:
            privacy.erase(self._desk(), self.service.zoom, found[0][0])
        except ResonanceError:
            self._later.append(again)  # as the page says: try again
            return
        self.erased[act.email.lower()] = self.clock()
        self.hazards.happened["person erased"] += 1

    def _staff_resend(self, _act: Act) -> None:
        if self.down_from is not None:
            return
        found = self.memory.fresh(
            "SELECT id, message_id FROM letters WHERE state IN ('sent', 'failed', 'in_doubt')"
            " ORDER BY id"
        )
        if found:
            number, message_id = found[len(found) // 2]
            acts.resend(self._desk(), number)
            self.by_hand[message_id or ""] += 1
            self.resent.add(number)
            self.hazards.happened["resent by staff"] += 1

    def _has_work(self, job: Job, now: datetime) -> bool:
        return job.name in self._again or super()._has_work(job, now)

    def digest(self) -> str:
        """Of all that happened: the same seed gives the same."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()[:16]


@contextmanager
def _quick_and_paged(size: int) -> Iterator[None]:
    """Zoom's lists in pages of that size, so that few people make several; letters as in ROOM."""
    was = client.PAGE_SIZE, service_parts.letter_room
    client.PAGE_SIZE, service_parts.letter_room = size, lambda _settings: ROOM
    try:
        yield
    finally:
        client.PAGE_SIZE, service_parts.letter_room = was


def _empty() -> Path:
    if not _EMPTY:
        path = Path(tempfile.mkdtemp(prefix="resonance-empty-")) / "resonance.db"
        store = open_store(f"sqlite:///{path}")
        store.prepare()
        store.close()
        _EMPTY.append(path)
    return _EMPTY[0]
