"""What staff do in a campaign: on their pages, and with backups of what was damaged."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs import SCHEDULE, sync_registrants
from resonance_zoom import acts, backups, meetings, privacy, restoring
from resonance_zoom.errors import (
    DatabaseBusy,
    DatabaseUnusable,
    ResonanceError,
    ZoomError,
)
from resonance_zoom.mail import french
from resonance_zoom.rehearsal.script import Act
from resonance_zoom.store.opening import open_store
from tests.campaigns.draw import PARIS
from tests.campaigns.hazards import Crash

if TYPE_CHECKING:
    from resonance_zoom.rehearsal.stage import Stage
else:
    Stage = object

HOLDS_A_PLACE = ("approved", "pending")
UNTIL_RESTORED = timedelta(minutes=45)  # until staff have decided on all that a restore has held


class Staff(Stage):  # type: ignore[misc]
    """Each method is an act of the script, named as there."""

    def _prepare_staff(self) -> None:
        self._backup: Path | None = None
        self.damaged = False
        self.restores: list[tuple[datetime, datetime]] = []  # when, and how old the backup was
        self.resent: set[int] = set()  # letters that staff asked for again
        self.by_hand: Counter[str] = Counter()  # Message-ID → how often staff asked for it again
        self.said_yes: set[str] = set()  # Message-IDs of held letters that staff let go
        self.erased: dict[str, datetime] = {}  # folded address → when
        self.erasures: list[tuple[str, datetime]] = []  # those too that a lost database forgot
        self.staff_acts: Counter[str] = Counter()  # kind of journal line → how many there must be
        self.crowds_gone: set[str] = set()  # groups of which a crowd was deleted on Zoom
        self.agreed: list[datetime] = []  # that a crowd is gone
        self._failed_since: datetime | None = None

    def _did(self, what: str, times: int = 1) -> None:
        self.staff_acts[f"staff.{what}"] += times

    def _desk(self) -> acts.Desk:
        return acts.Desk(self.service.store, self.service.campaign, self.service_time(), "Odile")

    def _staff_pause(self, _act: Act) -> None:
        if self.down_from is None:
            acts.pause(self._desk())
            self._did("pause")
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
        self._did("resume")
        if (since := self._trouble_since.pop("paused", None)) is not None:
            self.bad.append((since, self.clock(), "paused"))
            self._look_closely()

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
            groups = privacy.erase(self._desk(), self.service.zoom, found[0][0])
        except ResonanceError:
            self._later.append(again)  # as the page says: try again
            return
        self._did("erase", groups)
        self.erased[act.email.lower()] = self.clock()
        self.erasures.append((act.email.lower(), self.clock()))
        self.hazards.happened["person erased"] += 1

    def _staff_corrects(self, act: Act) -> None:
        """Somebody's address was wrong: they are registered under the right one."""
        if self.down_from is not None:
            self._later.append(replace(act, at=self.clock() + timedelta(minutes=7)))
            return
        found = self.memory.fresh(
            "SELECT id, status FROM registrants WHERE focus_group = ? AND email_folded = ?",
            act.group,
            act.email.lower(),
        )
        if not found or found[0][1] not in HOLDS_A_PLACE:
            return
        acts.correct_address(self._desk(), self.service.zoom, found[0][0], act.first_name)
        self._did("correct_address")
        gave_up = self.memory.fresh("SELECT status FROM registrants WHERE id = ?", found[0][0])
        self._did("cancel", int(gave_up[0][0] == "cancelled"))
        self.hazards.happened["address corrected"] += 1
        if self.plan.approval == "manual":
            decided = self.clock() + timedelta(minutes=30)
            self._later.append(Act(decided, "approves", act.group, act.first_name))

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
            self._did("resend")
            self.by_hand[message_id or ""] += 1
            self.resent.add(number)
            self.hazards.happened["resent by staff"] += 1

    def _staff_agrees_gone(self, act: Act) -> None:
        """Staff say that those whom Zoom no longer lists are gone."""
        again = replace(act, at=self.clock() + timedelta(minutes=15))
        if self.down_from is not None or self.skew:
            self._later.append(again)
            return
        with self.service.store.read() as connection:
            row: Any = meetings.row_in(connection, act.group)
        self.agreed.append(self.service_time())
        try:
            sync_registrants.sweep(self.service, row, gone_is_agreed=True)
        except ZoomError:
            self._later.append(again)
            return
        left = self.memory.fresh(
            "SELECT 1 FROM registrants WHERE focus_group = ? AND email_folded LIKE 'foule%'"
            " AND status IN ('approved', 'pending')",
            act.group,
        )
        if left:
            self._later.append(again)
            return
        since = self._trouble_since.pop("many left", self.clock())
        self.bad.append((since, self.clock(), "many left"))
        self.hazards.happened["many left, and staff agreed"] += 1

    def _staff_look(self) -> None:
        """They read the alerts, and act on what is held or was refused within ten minutes."""
        if self.down_from is not None:
            return
        coming = {act.what for act in self._later}
        if self.restores and "staff_decides" not in coming and self.memory.fresh(
            "SELECT 1 FROM letters WHERE state = 'in_doubt' AND reason IN ('restored', 'adopted')"
            " LIMIT 1"
        ):  # fmt: skip
            self._later.append(Act(self.clock() + timedelta(minutes=8), "staff_decides"))
        may_fail = self.plan.on & {"letters refused", "letters put off for long"}
        if may_fail and "staff_tries_again" not in coming and self._failed():
            self._failed_since = self.clock()
            self._later.append(Act(self.clock() + timedelta(minutes=9), "staff_tries_again"))

    def _failed(self) -> list[tuple[int, str]]:
        """Letters that failed, of people who hold a place in a meeting to come."""
        found = self.memory.fresh(
            "SELECT letters.id, message_id FROM letters"
            " JOIN registrants ON registrants.id = registrant"
            " JOIN meetings ON meetings.focus_group = letters.focus_group"
            " WHERE letters.state = 'failed' AND status = 'approved' AND meetings.end_at > ?"
            " ORDER BY letters.id",
            f"{self.service_time():%Y-%m-%d %H:%M:%S.%f}",
        )
        return [(number, message_id) for number, message_id in found]

    def _staff_tries_again(self, _act: Act) -> None:
        since = self._failed_since or self.clock()
        if self.down_from is None:
            gone = {letter.message_id for letter in self.memory.relay.accepted}
            for number, message_id in self._failed():
                # A restored database may have forgotten that it went; staff said yes all the same.
                self.by_hand[message_id] += message_id in gone
                self.resent.add(acts.resend(self._desk(), number))
                self._did("resend")
                self.hazards.happened["refused letter tried again"] += 1
        # What was refused has waited since the trouble began.
        begins = [window.begins for window in self.plan.windows if window.what == "mail"]
        since = max([one for one in begins if one <= since], default=since)
        self.bad.append((since, self.clock(), "refused"))
        self._look_closely()

    # ---- backups, and what happens to databases --------------------------------------------------

    def _backs_up(self, _act: Act) -> None:
        if self.down_from is None:
            self._backup = backups.make(self.service.store, self.file.with_name("backup.db"))

    def _restores(self, _act: Act) -> None:
        """A backup takes the place of the database, while the service is down."""
        if self._backup is not None:
            self._restore(self._backup)

    def _is_damaged(self, act: Act) -> None:
        """The file of a stopped service is damaged."""
        if self.down_from is None or self._asleep_until is not None:
            return
        path = self.memory.database
        if not backups.daily(self.service.store):
            return
        size = path.stat().st_size
        for log in restoring.LOGS:
            path.with_name(path.name + log).unlink(missing_ok=True)
        if act.email == "overwritten":
            with path.open("r+b") as file:
                file.seek(4096)
                file.write(b"\xa5" * (size - 4096))
        elif act.email == "deleted":
            path.unlink()
        else:
            with path.open("r+b") as file:
                file.truncate(size // 3 if act.email == "truncated" else 0)
        self.damaged = True
        self.hazards.happened[f"database {act.email}"] += 1

    def _restores_newest(self, _act: Act) -> None:
        if self.damaged:
            self._restore(backups.daily(self.service.store)[-1])

    def _restore(self, backup: Path) -> None:
        if self.down_from is None or self._asleep_until is not None:
            return
        store = open_store(self.memory.settings.database_url)
        try:
            found = restoring.restore(store, backup, self.service_time(), by="Odile")
        finally:
            store.close()
        self.damaged = False
        self.hazards.happened["backup restored"] += 1
        self.restores.append((self.clock(), found.as_of or self.plan.opens))
        self.bad.append((self.down_from, self.clock() + UNTIL_RESTORED, "restored"))
        # What was written since the backup is not known any more.
        self.staff_acts = Counter(dict(self.memory.fresh(
            "SELECT kind, count(*) FROM journal WHERE kind LIKE 'staff.%' GROUP BY 1")))  # fmt: skip
        self.memory.calls.clear()
        self.acknowledged.clear()
        # A pause is restored as well; somebody ends it once they have looked.
        self._trouble_since.setdefault("paused", self.clock())
        self._later.append(Act(self.clock() + timedelta(minutes=5), "staff_resume"))
        for slug in self.crowds_gone:  # the backup may know them still: staff are asked again
            self._trouble_since.setdefault("many left", self.clock())
            again = self.clock() + timedelta(minutes=70)
            self._later.append(Act(again, "staff_agrees_gone", slug))
        if not found.erasures_known:
            for email in [*self.erased]:
                del self.erased[email]
                again = self.clock() + timedelta(minutes=2)
                self._later.append(Act(again, "staff_erases", email=email))

    def _staff_decides(self, act: Act) -> None:
        """Of what is held, what the mail server's own log does not show is sent."""
        if self.down_from is not None:
            self._later.append(replace(act, at=self.clock() + timedelta(minutes=10)))
            return
        for number, kind, group, email, link, start, message_id in self.memory.fresh(
            "SELECT letters.id, kind, letters.focus_group, email, join_url, letters.start_at,"
            " message_id FROM letters"
            " JOIN registrants ON registrants.id = registrant"
            " WHERE state = 'in_doubt' AND letters.reason IN ('restored', 'adopted')"
        ):
            begins = datetime.fromisoformat(start).replace(tzinfo=UTC)
            had = self._had(kind, group, email, link, begins)
            if not had:
                try:
                    self.resent.add(acts.resend(self._desk(), number))
                except (DatabaseUnusable, DatabaseBusy):
                    return
                except ResonanceError:
                    had = True  # cannot go any more
                else:
                    self._did("resend")
                    self.said_yes.add(message_id or "")
                    self.hazards.happened["held letter sent"] += 1
            if had:
                acts.drop_letter(self._desk(), number)
                self._did("drop")
        self._look_closely()

    def _had(self, kind: str, group: str, email: str, link: str | None, start: datetime) -> bool:
        """Whether the relay's log shows that letter."""
        ours = [number for number, one in self.zoom.meetings.items() if self.slug_of(one) == group]
        says = " ".join(french.when(start, start + timedelta(hours=2), PARIS).split())
        return any(
            letter.kind == kind
            and letter.meeting_id in ours
            and letter.recipients[0].lower() == email.lower()
            and (kind != "confirmation" or link in letter.links)
            and (kind == "confirmation" or says in " ".join(letter.text.split()))
            for letter in self.memory.relay.accepted
        )

    # ---- the end -----------------------------------------------------------------------------

    def ends_for_good(self) -> None:
        """Everybody is erased: by staff the day after, or because the day has come."""
        for _ in range(9):
            if self.down_from is not None:
                self._asleep_until = None
                self.clock.time += timedelta(hours=1)
                self._comes_up(Act(self.clock(), "comes_up"))
        if self.down_from is not None:
            self.violations.append(f"I27 {self.clock()}: it does not start any more")
            return
        self.memory.connect(self.service)
        if self.plan.closing == "close":
            self._closes()
        else:
            with self.service.store.read() as connection:
                self.clock.time = privacy.due_at(connection, self.service.campaign)
        for _ in range(3):  # what could not be done is done within the hour
            self.clock.time += timedelta(minutes=61)
            self._turn_windows(self.clock())
            for job in SCHEDULE:
                self._run(job)
        self.hazards.happened[f"ended by {self.plan.closing}"] += 1

    def _closes(self) -> None:
        """The day after, and again where it was refused or the process died over it."""
        for _ in range(9):
            self.clock.time += timedelta(days=1)
            self._turn_windows(self.clock())
            try:
                privacy.close(self._desk(), self.service.zoom)
            except Crash:
                self._fall()
                self._coming_up = None
                self._come_up()
            except ResonanceError as refusal:
                self.refusals.append((Act(self.clock(), "closes"), str(refusal)))
            else:
                return
