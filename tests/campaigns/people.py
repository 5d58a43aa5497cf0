"""What people do in a campaign: on Zoom, and with the campaign file and the environment."""

import re
from dataclasses import replace
from datetime import date, time, timedelta
from typing import TYPE_CHECKING

from resonance_zoom.errors import ResonanceError, ZoomRefused
from resonance_zoom.rehearsal.script import Act
from resonance_zoom.settings import Secret
from resonance_zoom.zoom.simulator import SimMeeting
from resonance_zoom.zoom.simulator.records import SimRegistrant
from tests.campaigns.edges import NEW_SECRET, SECRET
from tests.campaigns.hazards import Crash

if TYPE_CHECKING:
    from resonance_zoom.rehearsal.stage import Stage
else:
    Stage = object

UNTIL_COMPARED = timedelta(minutes=65)  # meetings are compared every hour if nobody tells us


class People(Stage):  # type: ignore[misc]
    """Each method is an act of the script, named as there."""

    def _prepare_people(self) -> None:
        self.days: dict[str, date] = {}  # as the organiser has moved them in the file
        self.hours = [(self.plan.opens, self.plan.send_at)]  # since when reminders leave at which
        self.acts_cut_short = 0

    # ---- on Zoom -----------------------------------------------------------------------------

    def slug_of(self, meeting: SimMeeting) -> str:
        """The group of a meeting, by our reference in its agenda."""
        found = re.search(r"campagne/([a-z0-9-]+)", meeting.agenda)
        return found[1] if found else ""

    def _meeting(self, slug: str) -> SimMeeting:
        for meeting in self.zoom.meetings.values():
            if self.slug_of(meeting) == slug:
                return meeting
        raise ZoomRefused(f"no meeting of {slug} yet")

    def _act(self, act: Act) -> None:
        if self._silent:
            self._look_closely()
        try:
            getattr(self, f"_{act.what}")(act)
        except Crash:  # staff asked for something, and the process died over it
            self.acts_cut_short += 1
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
        self._look_until_compared()

    def _look_until_compared(self) -> None:
        self._watch_until = max(self._watch_until, self.clock() + UNTIL_COMPARED)
        self._compare_until = self.clock() + UNTIL_COMPARED

    def _is_deleted_on_zoom(self, act: Act) -> None:
        meeting = self._meeting(act.group)
        if not self.memory.fresh("SELECT 1 FROM meetings WHERE zoom_meeting_id = ?", meeting.id):
            return  # unknown here it would be made again, and what is recovered be a second one
        self._deleted_at = self.clock()
        self.zoom.delete_meeting(meeting.id)
        self.hazards.happened["deleted on zoom"] += 1
        self._look_until_compared()
        self.alarms.expect_of_meeting(meeting)

    def _is_recovered_on_zoom(self, act: Act) -> None:
        meeting = self._meeting(act.group)
        if meeting.deleted:
            self.zoom.recover_meeting(meeting.id)
            self.bad.append((self._deleted_at, self.clock(), "deleted on zoom"))
        self._look_until_compared()

    def _many_are_deleted(self, act: Act) -> None:
        """The host deletes a crowd, of which Zoom tells nobody."""
        meeting = self._meeting(act.group)
        crowd = [who for who in meeting.registrants.values()
                 if who.active and who.email.startswith("foule")]  # fmt: skip
        for who in crowd:
            self.zoom.delete_registrant(who)
        self._trouble_since["many left"] = self.clock()
        self.crowds_gone.add(act.group)
        self._look_until_compared()
        self.alarms.expect_of_crowd(act.group)
        later = self.clock() + timedelta(minutes=70)
        self._later.append(Act(later, "staff_agrees_gone", act.group))

    def _zoom_stops_asking(self, _act: Act) -> None:
        """It no longer validates our address, as when the app is switched off."""
        for subscription in self.zoom.webhooks.subscriptions:
            subscription.challenge_every = None
        self.hazards.happened["challenges stopped"] += 1
        self.alarms.expect_of_challenges()

    def _tokens_expire(self, _act: Act) -> None:
        self.zoom.faults.expire_tokens()

    # ---- the campaign file, the environment ----------------------------------------------------

    def _write_file(self) -> None:
        text = self.plan.file(days=self.days, send_at=self.hours[-1][1])
        self.file.write_text(text, encoding="utf-8")
        if (since := self._trouble_since.pop("file broken", None)) is not None:
            self.bad.append((since, self.clock(), "file broken"))
        self._again.setdefault("watch", self.clock())
        self._look_until_compared()

    def _file_moves(self, act: Act) -> None:
        """The organiser edits the date of a group, `act.email` days later than at first."""
        group = next(one for one in self.plan.groups if one.slug == act.group)
        self.days[act.group] = group.day + timedelta(days=int(act.email))
        self._write_file()
        self.hazards.happened["file edited"] += 1

    def _file_sets_hour(self, act: Act) -> None:
        """From now on reminders leave at another hour."""
        self.hours.append((self.clock(), time.fromisoformat(act.email)))
        self._write_file()
        self.hazards.happened["hour changed"] += 1

    def _file_breaks(self, _act: Act) -> None:
        text = self.file.read_text(encoding="utf-8").replace('slug = "groupe-1"', 'slug = "groupe')
        self.file.write_text(text, encoding="utf-8")
        self._again.setdefault("watch", self.clock())
        self._trouble_since["file broken"] = self.clock()
        self.hazards.happened["file with mistakes"] += 1
        self.alarms.expect_of_file()

    def _file_is_mended(self, _act: Act) -> None:
        self._write_file()

    def _accepts_both_secrets(self, _act: Act) -> None:
        self._restart_with((NEW_SECRET, SECRET))

    def _rotates_secret(self, _act: Act) -> None:
        if len(self.memory.settings.zoom_webhook_secrets) == 2:
            self.zoom.webhook_secret = NEW_SECRET
            self.hazards.happened["secret rotated"] += 1

    def _accepts_the_new_secret(self, _act: Act) -> None:
        self._restart_with((NEW_SECRET,))

    def _restart_with(self, secrets: tuple[str, ...]) -> None:
        settings = self.memory.settings
        self.memory.settings = replace(settings, zoom_webhook_secrets=tuple(map(Secret, secrets)))
        self._later.append(Act(self.clock(), "goes_down"))
        self._later.append(Act(self.clock() + timedelta(seconds=5), "comes_up"))
