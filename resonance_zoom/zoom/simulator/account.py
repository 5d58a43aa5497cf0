"""A Zoom account in memory: its truth and its rules, which people and the API share.

Time comes from `now` alone, every id from the seed. Whoever calls a rule holds `lock`.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from resonance_zoom.zoom.simulator import events
from resonance_zoom.zoom.simulator.faults import Faults
from resonance_zoom.zoom.simulator.ids import Ids
from resonance_zoom.zoom.simulator.quotas import Quotas
from resonance_zoom.zoom.simulator.records import (
    WEB,
    IssuedToken,
    Refusal,
    SimCall,
    SimMeeting,
    SimRegistrant,
    stamp,
)
from resonance_zoom.zoom.simulator.validation import (
    DEFAULT_SETTINGS,
    MeetingChanges,
    RegistrantFields,
)
from resonance_zoom.zoom.simulator.webhooks import Notifier

BASIC, LICENSED = 1, 2
MAX_REGISTRANTS = 4_999
SCOPES = frozenset(
    {
        "meeting:read:list_meetings:admin",
        "meeting:write:meeting:admin",
        "meeting:read:meeting:admin",
        "meeting:update:meeting:admin",
        "meeting:delete:meeting:admin",
        "meeting:read:list_registrants:admin",
        "meeting:write:registrant:admin",
        "meeting:read:registrant:admin",
        "meeting:delete:registrant:admin",
        "meeting:update:registrant_status:admin",
        "meeting:read:list_registration_questions:admin",
        "meeting:update:registration_question:admin",
        "meeting:read:list_past_participants:admin",
        "report:read:list_meeting_participants:admin",
        "user:read:user:admin",
    }
)


class Account:
    """One account with one host. What its rules forbid raises Refusal with Zoom's code."""

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        seed: int = 0,
        account_id: str = "acc",
        client_id: str = "cid",
        client_secret: str = "csecret",  # noqa: S107 - opens nothing but this simulator
        webhook_secret: str = "simulated-webhook-secret-0",  # noqa: S107 - as above
        host_email: str = "organisation@example.org",
        host_type: int = LICENSED,
        timezone: str = "Europe/Paris",
        scopes: Iterable[str] | None = None,
    ) -> None:
        self.lock = threading.RLock()
        self._clock = now
        self.ids = Ids(seed)
        self.account_id = account_id
        self.client_id = client_id
        self.client_secret = client_secret
        self.webhook_secret = webhook_secret
        self.host_email = host_email
        self.host_id = self.ids.text(22, "host")
        self.host_type = host_type
        self.timezone = timezone
        self.web = WEB  # where links to pages lead; elsewhere when somebody serves them
        self.scopes = frozenset(SCOPES if scopes is None else scopes)
        self.faults = Faults(seed=seed)
        self.quotas = Quotas()
        self.meetings: dict[int, SimMeeting] = {}
        self.calls: list[SimCall] = []
        self.tokens: dict[str, IssuedToken] = {}
        self._created = 0
        self.webhooks = Notifier(
            now=self.now,
            lock=self.lock,
            ids=self.ids,
            faults=self.faults,
            secret=lambda: self.webhook_secret,
        )

    def now(self) -> datetime:
        """The world's moment, UTC."""
        return self._clock().astimezone(UTC)

    def meeting(self, meeting_id: int) -> SimMeeting:
        """The meeting, unless Zoom would say that it does not exist (3001)."""
        found = self.meetings.get(meeting_id)
        if found is None or found.gone(self.now()):
            raise Refusal(404, 3001, f"Meeting does not exist: {meeting_id}.")
        return found

    def add_meeting(self, changes: MeetingChanges, *, source: str) -> SimMeeting:
        """A new scheduled meeting; an absent or past start becomes now, without an error."""
        now = self.now().replace(microsecond=0)
        self._created += 1
        meeting_id = self.ids.meeting_id(self._created)
        fields = changes.fields
        token = self.ids.text(22, "registration", meeting_id)
        settings = self._settled(
            DEFAULT_SETTINGS | dict(changes.settings),
            password=(password := fields.get("password") or self.ids.text(6, "pass", meeting_id)),
        )
        meeting = SimMeeting(
            id=meeting_id,
            uuid=self.ids.uuid(meeting_id),
            host_id=self.host_id,
            host_email=self.host_email,
            topic=fields.get("topic", "Zoom Meeting"),
            agenda=fields.get("agenda", ""),
            start_time=max(fields.get("start_time") or now, now).astimezone(UTC),
            duration=fields.get("duration", 60),
            timezone=fields.get("timezone", self.timezone),
            password=password,
            settings=settings,
            created_at=now,
            creation_source=source,
            registration_url=f"{self.web}/meeting/register/{token}",
            encrypted_password=self.ids.text(32, "pwd", meeting_id, password),
            questions=[{"field_name": "last_name", "required": False}],
            web=self.web,
        )
        self.meetings[meeting_id] = meeting
        self.webhooks.emit("meeting.created", events.created(self.account_id, meeting))
        return meeting

    def change_meeting(self, meeting: SimMeeting, changes: MeetingChanges) -> None:
        """Applies what differs and notifies it; a start in the past is ignored."""
        fields = dict(changes.fields)
        start = fields.pop("start_time", None)
        if start is not None and start > self.now():
            fields["start_time"] = start.astimezone(UTC)
        password = fields.get("password", meeting.password)
        settings = self._settled(meeting.settings | dict(changes.settings), password=password)
        new = {n: value for n, value in fields.items() if getattr(meeting, n) != value}
        old = {n: getattr(meeting, n) for n in new}
        before = meeting.settings
        changed = {n: value for n, value in settings.items() if before[n] != value}
        for name, value in new.items():
            setattr(meeting, name, value)
        meeting.settings = settings
        meeting.encrypted_password = self.ids.text(32, "pwd", meeting.id, meeting.password)
        if self.faults.new_links_when_moved and new.keys() & {"start_time", "password"}:
            for who in meeting.registrants.values():
                who.join_url = who.join_url and self._link(meeting, who, moved=self.now())
        if changed:
            new["settings"], old["settings"] = changed, {n: before[n] for n in changed}
        if new:
            self._notify_update(meeting, new, old)

    def trash_meeting(self, meeting: SimMeeting) -> None:
        """Deletes as Zoom does: it may still be recovered."""
        meeting.deleted = True
        self.webhooks.emit("meeting.deleted", events.deleted(self.account_id, meeting))

    def _notify_update(
        self, meeting: SimMeeting, new: Mapping[str, Any], old: Mapping[str, Any]
    ) -> None:
        spoken = [
            {n: stamp(v) if isinstance(v, datetime) else v for n, v in side.items()}
            for side in (new, old)
        ]
        payload = events.updated(
            self.account_id, meeting, new=spoken[0], old=spoken[1], at=self.now()
        )
        self.webhooks.emit("meeting.updated", payload)

    def _settled(self, settings: dict[str, Any], *, password: str) -> dict[str, Any]:
        """The settings as Zoom keeps them: it overrules some without a word."""
        registration = settings["approval_type"] != 2
        if registration and self.host_type != LICENSED and self.faults.basic_host_refused:
            raise Refusal(400, 300, "Registration cannot be enabled for a basic user.")
        if self.host_type != LICENSED or settings["use_pmi"]:
            settings["approval_type"] = 2
        if not (password or settings["waiting_room"] or settings["meeting_authentication"]):
            settings["waiting_room"] = True
        if settings["waiting_room"]:
            settings["join_before_host"] = False
        return settings

    def add_registrant(
        self,
        meeting: SimMeeting,
        form: RegistrantFields,
        *,
        status: str | None,
        notify: bool = True,
    ) -> SimRegistrant:
        """A registration by page or API. `status` None: as the meeting's approval says."""
        who = meeting.registrant(form.email)
        self._may_register(meeting, form.email, who)
        if who is not None and who.active:
            return who
        episode = len(meeting.registrants)
        if who is None or not self.faults.same_id_after_cancel:
            folded = form.email.casefold()
            id_ = self.ids.text(22, "registrant", meeting.id, folded, episode)
            pin_code = 100_000 + self.ids.number("pin", id_) % 900_000
            who = SimRegistrant(id_, "", "", "", "", self.now(), pin_code=pin_code)
        meeting.registrants.pop(who.id, None)  # who comes back goes to the end of the listing
        meeting.registrants[who.id] = who
        who.email, who.first_name, who.last_name = form.email, form.first_name, form.last_name
        who.answers, who.details = form.answers, dict(form.details)
        who.create_time = self.now()
        automatic = meeting.settings["approval_type"] == 0
        self.set_status(who, status or ("approved" if automatic else "pending"))
        who.join_url = self._link(meeting, who) if who.status == "approved" else None
        if notify:
            self._notify_registration(meeting, who)
        return who

    def _may_register(self, meeting: SimMeeting, email: str, who: SimRegistrant | None) -> None:
        if not meeting.registration_on:
            message = f"Registration has not been enabled for this meeting: {meeting.id}."
            raise Refusal(400, 404, message)
        if self.now() >= meeting.end_time:
            raise Refusal(400, 3038, "Meeting is over, you can not register now.")
        if email.casefold() in meeting.hosts():
            raise Refusal(400, 3027, "Host can not register.")
        if who is not None and who.status == "denied":
            raise Refusal(400, 3000, "The registrant has been denied by the host.")
        everyone = meeting.registrants.values()
        if len(everyone) >= MAX_REGISTRANTS <= sum(r.active for r in everyone):
            raise Refusal(400, 3043, "Meeting has reached maximum attendee capacity.")

    def _notify_registration(self, meeting: SimMeeting, who: SimRegistrant) -> None:
        payload = events.registration_created(self.account_id, meeting, who)
        self.webhooks.emit("meeting.registration_created", payload)
        if who.status == "approved" and self.faults.approved_event_too:
            payload = events.registration_approved(self.account_id, meeting, who)
            self.webhooks.emit("meeting.registration_approved", payload)

    def change_status(self, meeting: SimMeeting, who: SimRegistrant, action: str) -> None:
        """The host's approve, deny or cancel; doing it again changes and notifies nothing."""
        status = "approved" if action == "approve" else "denied"
        if who.status == status or who.status not in {"approved", "pending", "denied"}:
            return
        self.set_status(who, status)
        build = events.registration_denied
        if action == "approve":
            who.join_url = self._link(meeting, who)
            build = events.registration_approved
        words = {"approve": "approved", "deny": "denied", "cancel": "cancelled"}
        payload = build(self.account_id, meeting, who)
        self.webhooks.emit(f"meeting.registration_{words[action]}", payload)

    def delete_registrant(self, who: SimRegistrant) -> None:
        """Frees the place. Zoom has no notification for it: only a listing shows it."""
        self.set_status(who, "deleted")

    def set_status(self, who: SimRegistrant, status: str) -> None:
        """The new status, remembered with its moment."""
        who.status = status
        who.history.append((self.now(), status))

    def _link(
        self, meeting: SimMeeting, who: SimRegistrant, *, moved: datetime | None = None
    ) -> str:
        token = self.ids.text(43, "tk", meeting.id, who.id, len(who.history), moved)
        return f"{self.web}/w/{meeting.id}?tk={token}&pwd={meeting.encrypted_password}"

    @staticmethod
    def registrant(meeting: SimMeeting, email: str) -> SimRegistrant:
        """The latest registration of that address; Refusal 300 if there is none."""
        found = meeting.registrant(email)
        if found is None:
            raise Refusal(400, 300, f"Registrant {email} was not found.")
        return found
