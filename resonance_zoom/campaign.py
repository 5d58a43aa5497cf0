"""What the organiser wants: a campaign, its focus groups, and when each letter falls due.

Pure values and calendar arithmetic. The only module (with the templates) where local time exists;
everything handed out is aware and in UTC. `campaign_file` makes a Campaign from TOML.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

CONFIRMATION = "confirmation"
MOVED, CANCELLED, WITHDRAWN = "moved", "cancelled", "withdrawn"
REMINDER_STOPS_BEFORE_START = timedelta(hours=1)
EARLIER_REMINDER_STOPS_BEFORE_NEXT = timedelta(hours=24)


def reminder_kind(days: int) -> str:
    """`reminder-7` for 7: the name of a letter in tables, commands and templates."""
    return f"reminder-{days}"


def reminder_days(kind: str) -> int | None:
    """7 for `reminder-7`, None for a letter that is no reminder."""
    prefix, _, days = kind.rpartition("-")
    return int(days) if prefix == "reminder" and days.isdigit() else None


@dataclass(frozen=True, slots=True)
class Organiser:
    """Who writes the letters and how to reach them."""

    name: str
    email: str
    phone: str | None = None


@dataclass(frozen=True, slots=True)
class Notices:
    """What the pages say of personal data and of who answers for them; None: a neutral sentence."""

    controller: str | None = None
    purpose: str | None = None
    basis: str | None = None
    recipients: str | None = None
    contact: str | None = None
    publisher: str | None = None
    director: str | None = None
    host: str | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """A reminder's window: it may leave from `at` on and is worth sending before `until` (UTC)."""

    kind: str
    at: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class FocusGroup:
    """One meeting as the organiser describes it: local date and hours, Zoom's topic and agenda."""

    slug: str
    title: str
    date: date
    starts: time
    ends: time
    timezone: ZoneInfo
    agenda: str = ""
    capacity: int | None = None
    cancelled: bool = False

    @property
    def start(self) -> datetime:
        """The first moment, UTC."""
        return _utc(self.date, self.starts, self.timezone)

    @property
    def end(self) -> datetime:
        """The last moment, UTC."""
        return _utc(self.date, self.ends, self.timezone)


@dataclass(frozen=True, slots=True)
class Campaign:
    """The whole file, checked. `approval` and `confirmation` hold the file's own words."""

    name: str
    slug: str
    timezone: ZoneInfo
    language: str
    zoom_host: str
    organiser: Organiser
    focus_groups: tuple[FocusGroup, ...]
    approval: str = "automatic"
    confirmation: str = "ours"
    confirmations_per_day: int = 500
    letters_per_minute: int | None = None
    reminder_days_before: tuple[int, ...] = (7, 1)
    reminder_send_at: time = field(default=time(9, 0))
    keep_days_after_last: int = 30
    about: str = ""
    invited: str = ""
    notices: Notices = field(default=Notices())

    def focus_group(self, slug: str) -> FocusGroup | None:
        """The group of that slug, None when the file has none."""
        return next((group for group in self.focus_groups if group.slug == slug), None)

    def reference(self, group: FocusGroup) -> str:
        """`Réf. resonance-2021/teletravail`: the words by which a group's meeting is found again.

        Zoom keeps no field of our own, but it keeps the agenda.
        """
        return f"Réf. {self.slug}/{group.slug}"

    def zoom_agenda(self, group: FocusGroup) -> str:
        """What Zoom is given as agenda: the reference on a line of its own, then the file's words.

        The reference comes first because Zoom's list of meetings cuts the agenda at 250 characters.
        """
        return f"{self.reference(group)}\n{group.agenda}".rstrip()

    @property
    def sends_confirmations(self) -> bool:
        """Whether the join link leaves in a letter of ours (`ours` or `both`)."""
        return self.confirmation in {"ours", "both"}

    @property
    def keep_until(self) -> date:
        """The local day on which personal data are erased, as far as the file knows."""
        return self.kept_until(None)

    def kept_until(self, last_end: datetime | None) -> date:
        """The same with what Zoom holds: `last_end` of its meetings, some moved there by hand."""
        ends = [group.end for group in self.focus_groups]
        last = max([*ends, last_end] if last_end is not None else ends)
        return self.day_of(last) + timedelta(days=self.keep_days_after_last)

    def midnight(self, day: date) -> datetime:
        """When a local day begins (UTC)."""
        return _utc(day, time(), self.timezone)

    def day_of(self, moment: datetime) -> date:
        """The local day of a moment."""
        return moment.astimezone(self.timezone).date()

    @property
    def letter_kinds(self) -> tuple[str, ...]:
        """The letters of this campaign, in the order in which a registrant may get them."""
        reminders = (reminder_kind(n) for n in sorted(self.reminder_days_before, reverse=True))
        first = (CONFIRMATION,) if self.sends_confirmations else ()
        return (*first, *reminders, MOVED, CANCELLED, WITHDRAWN)

    def reminders(self, start: datetime) -> tuple[Due, ...]:
        """When each reminder of a meeting at `start` (UTC) may leave, the earliest first.

        A reminder of N days falls due on the local date of the start minus N days, at `send_at` in
        the campaign's zone: calendar arithmetic, because 24 h × N is another hour after a change
        of clocks. It stops being worth sending 24 hours before the next reminder falls due; the
        last one an hour before the start.
        """
        return tuple(self._reminders(start))

    def _reminders(self, start: datetime) -> Iterator[Due]:
        days = sorted(self.reminder_days_before, reverse=True)
        local_date = start.astimezone(self.timezone).date()
        due_at = [
            _utc(local_date - timedelta(days=n), self.reminder_send_at, self.timezone) for n in days
        ]
        for n, at, following in zip(days, due_at, [*due_at[1:], None], strict=True):
            until = (
                following - EARLIER_REMINDER_STOPS_BEFORE_NEXT
                if following
                else start - REMINDER_STOPS_BEFORE_START
            )
            yield Due(reminder_kind(n), at, until)


def _utc(day: date, hour: time, zone: ZoneInfo) -> datetime:
    """The UTC instant of a local wall-clock time; an hour that happens twice means the first."""
    return datetime.combine(day, hour, zone).astimezone(UTC)
