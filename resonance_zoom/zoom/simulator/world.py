"""What people do on Zoom's pages, each act with the notification that Zoom would send."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from resonance_zoom.zoom.simulator import events
from resonance_zoom.zoom.simulator.account import Account
from resonance_zoom.zoom.simulator.deliveries import Delivery, Subscription
from resonance_zoom.zoom.simulator.records import (
    Refusal,
    SimMeeting,
    SimParticipant,
    SimRegistrant,
)
from resonance_zoom.zoom.simulator.validation import MeetingChanges, RegistrantFields


class SimulatedZoom(Account):
    """One account with one host, its people and its webhooks; thread-safe.

    `now` returns aware UTC; `scopes` None: all that are needed. The same seed and the same acts
    give the same ids, links and tokens. What Zoom would not let a person do raises Refusal.
    """

    def register(
        self,
        meeting_id: int,
        *,
        email: str,
        first_name: str,
        last_name: str = "",
        answers: Sequence[tuple[str, str]] = (),
    ) -> SimRegistrant:
        """Somebody fills in the registration page; a second time they get what they have."""
        with self.lock:
            meeting = self.meeting(meeting_id)
            form = RegistrantFields(email, first_name, last_name, tuple(answers))
            return self.add_registrant(meeting, form, status=None)

    def cancel(self, meeting_id: int, *, email: str) -> SimRegistrant:
        """The person cancels: gone from every listing; may register again."""
        with self.lock:
            meeting = self.meeting(meeting_id)
            who = self.registrant(meeting, email)
            if not who.active:
                raise Refusal(400, 300, "The registration is not active.")
            self.set_status(who, "cancelled")
            payload = events.registration_cancelled(self.account_id, meeting, who)
            self.webhooks.emit("meeting.registration_cancelled", payload)
            return who

    def approve(self, meeting_id: int, *, email: str) -> SimRegistrant:
        """The host approves somebody who waits, or who was denied."""
        return self._by_host(meeting_id, email, "approve")

    def deny(self, meeting_id: int, *, email: str) -> SimRegistrant:
        """The host denies: the person is listed as denied and cannot register again."""
        return self._by_host(meeting_id, email, "deny")

    def host_cancel(self, meeting_id: int, *, email: str) -> SimRegistrant:
        """The host cancels: notified as a cancellation, but listed as denied and blocked."""
        return self._by_host(meeting_id, email, "cancel")

    def _by_host(self, meeting_id: int, email: str, action: str) -> SimRegistrant:
        with self.lock:
            meeting = self.meeting(meeting_id)
            who = self.registrant(meeting, email)
            self.change_status(meeting, who, action)
            return who

    def create_meeting(
        self, *, topic: str, start_time: datetime, duration: int = 60, **more: Any
    ) -> SimMeeting:
        """The host schedules a meeting by hand; `more`: agenda, timezone, password, settings."""
        with self.lock:
            settings = more.pop("settings", {})
            fields = {"topic": topic, "start_time": start_time, "duration": duration} | more
            return self.add_meeting(MeetingChanges(fields, settings), source="web_portal")

    def edit_meeting(self, meeting_id: int, **changes: Any) -> SimMeeting:
        """The host edits by hand: topic, agenda, start_time (aware), duration, timezone, password,
        settings={…}."""
        with self.lock:
            meeting = self.meeting(meeting_id)
            settings = changes.pop("settings", {})
            self.change_meeting(meeting, MeetingChanges(changes, settings))
            return meeting

    def delete_meeting(self, meeting_id: int) -> None:
        """To the trash: Zoom then says that it does not exist."""
        with self.lock:
            self.trash_meeting(self.meeting(meeting_id))

    def recover_meeting(self, meeting_id: int) -> None:
        """Out of the trash, with its registrants."""
        with self.lock:
            meeting = self.meetings[meeting_id]
            meeting.deleted = False
            self.webhooks.emit("meeting.recovered", events.deleted(self.account_id, meeting))

    def purge_meeting(self, meeting_id: int) -> None:
        """Out of the trash for good."""
        with self.lock:
            meeting = self.meetings.pop(meeting_id)
            payload = events.deleted(self.account_id, meeting)
            self.webhooks.emit("meeting.permanently_deleted", payload)

    def start_meeting(self, meeting_id: int) -> None:
        """The host opens the room."""
        with self.lock:
            meeting = self.meeting(meeting_id)
            meeting.status = "started"
            self.webhooks.emit("meeting.started", events.started(self.account_id, meeting))

    def end_meeting(self, meeting_id: int) -> None:
        """The host closes the room."""
        with self.lock:
            meeting = self.meeting(meeting_id)
            meeting.status = "waiting"
            payload = events.ended(self.account_id, meeting, self.now())
            self.webhooks.emit("meeting.ended", payload)

    def join(self, meeting_id: int, email: str, *, minutes: int = 60) -> SimParticipant:
        """Somebody is in the meeting for `minutes` from now; the notice of leaving comes then."""
        with self.lock:
            meeting = self.meeting(meeting_id)
            who = meeting.registrant(email)
            now, number = self.now(), len(meeting.participants) + 1
            participant = SimParticipant(
                user_id=str(16_778_240 + 1_024 * number),
                uuid=self.ids.uuid("participant", meeting_id, number),
                name=f"{who.first_name} {who.last_name}".strip() if who else email,
                email=who.email if who else email,
                registrant_id=who.id if who else "",
                join_time=now,
                leave_time=now + timedelta(minutes=minutes),
            )
            meeting.participants.append(participant)
            joined = events.participant_joined(self.account_id, meeting, participant)
            left = events.participant_left(self.account_id, meeting, participant)
            self.webhooks.emit("meeting.participant_joined", joined)
            self.webhooks.emit("meeting.participant_left", left, at=participant.leave_time)
            return participant

    def subscribe(
        self, url: str, *, secret: str | None = None, challenge_every: timedelta | None = None
    ) -> Subscription:
        """Notifies `url` from now on. Zoom challenges every 72 hours: ask for it if it matters."""
        return self.webhooks.subscribe(url, secret=secret, challenge_every=challenge_every)

    def validate_url(self) -> bool:
        """Challenges every receiver now; whether all know their secret."""
        return self.webhooks.validate_urls()

    def next_delivery_at(self) -> datetime | None:
        """When the next try is due; None: nothing is waiting."""
        return self.webhooks.next_delivery_at()

    def deliver_due(self) -> list[Delivery]:
        """Sends every notification that is due now."""
        return self.webhooks.deliver_due()
