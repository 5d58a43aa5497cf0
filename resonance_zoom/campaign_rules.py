"""What the keys of a campaign file must say together: hours, lengths, names and reminders.

Each rule looks only at values that stand on their own, so that a file with several faults has
them all told at once and none of them told twice.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from resonance_zoom.campaign import Campaign, FocusGroup, Organiser
from resonance_zoom.campaign_schema import CampaignFile, KeyPath, Problem

AGENDA_AT_MOST = 2000  # characters; Zoom's limit, which holds for our reference too
MEETING_AT_MOST = timedelta(minutes=1440)  # Zoom's limit of `duration`


@dataclass(frozen=True, slots=True)
class Sound:
    """The values of a file without those that are `broken`."""

    values: Mapping[str, Any]
    broken: Collection[KeyPath]

    def get(self, *path: str | int) -> Any:
        """The value at `path`, its default when the file leaves it out, None when it is broken."""
        if any(path[: len(bad)] == bad or bad[: len(path)] == path for bad in self.broken):
            return None
        value: Any = self.values
        for part in path:
            if isinstance(part, str) and part not in value:
                return _DEFAULTS.get(path)
            value = value[part]
        return value.strip() if isinstance(value, str) else value

    @property
    def groups(self) -> range:
        """The indexes of the focus groups, none when that part of the file is no list."""
        groups = self.values.get("focus_group")
        return range(len(groups) if isinstance(groups, list) else 0)

    @property
    def zone(self) -> ZoneInfo | None:
        name = self.get("campaign", "timezone")
        return ZoneInfo(name) if name else None


_OPTIONAL = CampaignFile.model_fields
_DEFAULTS: dict[KeyPath, Any] = {
    (table, key): value
    for table in ("reminders", "privacy")
    for key, value in _OPTIONAL[table].get_default().model_dump().items()
}


def problems(sound: Sound) -> Iterator[Problem]:
    """Every rule between keys that the file breaks."""
    yield from _slugs_used_twice(sound)
    for index in sound.groups:
        yield from _hours(sound, index)
        yield from _agenda_length(sound, index)
    yield from _days_written_twice(sound)
    yield from _reminders(sound)


def _slugs_used_twice(sound: Sound) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index in sound.groups:
        slug = sound.get("focus_group", index, "slug")
        if slug is not None and first.setdefault(slug, index) != index:
            other = f"focus_group[{first[slug] + 1}]"
            why = f'"{slug}" is already the slug of {other}; each group needs its own'
            yield ("focus_group", index, "slug"), why


def _hours(sound: Sound, index: int) -> Iterator[Problem]:
    day, starts, ends = (sound.get("focus_group", index, key) for key in ("date", "starts", "ends"))
    at_ends: KeyPath = ("focus_group", index, "ends")
    if starts is not None and ends is not None and ends <= starts:
        yield (
            at_ends,
            f"{ends} is not after starts ({starts}); a meeting ends later on the day it starts",
        )
    if day is None or sound.zone is None:
        return
    doubtful = False
    for key, hour in (("starts", starts), ("ends", ends)):
        if hour is not None and (doubt := _doubt(day, hour, sound.zone)):
            doubtful = True
            yield ("focus_group", index, key), doubt
    if not doubtful and starts is not None and ends is not None:
        lasts = _utc(day, ends, sound.zone) - _utc(day, starts, sound.zone)
        if lasts > MEETING_AT_MOST:
            minutes = int(lasts / timedelta(minutes=1))
            why = f"the clocks go back that day, so the meeting would last {minutes:,} minutes"
            yield at_ends, f"{why}; Zoom takes at most 1,440 (24 hours)"


def _agenda_length(sound: Sound, index: int) -> Iterator[Problem]:
    agenda = sound.get("focus_group", index, "agenda") or ""
    draft = _draft(slug=sound.get("campaign", "slug") or "")
    group = FocusGroup(
        slug=sound.get("focus_group", index, "slug") or "",
        title="",
        date=date.min,
        starts=time.min,
        ends=time.min,
        timezone=ZoneInfo("UTC"),
        agenda=agenda,
    )
    length = len(draft.zoom_agenda(group))
    if length > AGENDA_AT_MOST:
        why = (
            f"{length:,} characters; Zoom takes at most {AGENDA_AT_MOST:,}, of which our reference"
            f' line "{draft.reference(group)}" needs {length - len(agenda)}:'
            f" shorten it by {length - AGENDA_AT_MOST:,}"
        )
        yield ("focus_group", index, "agenda"), why


def _days_written_twice(sound: Sound) -> Iterator[Problem]:
    if ("reminders",) in sound.broken or ("reminders", "days_before") in sound.broken:
        return
    # Not from sound.get(): one bad number must not hide that another stands there twice.
    days = sound.values.get("reminders", {}).get("days_before", [])
    for index, number in enumerate(days):
        if number in days[:index]:
            yield ("reminders", "days_before", index), f"{number} stands there already; remove it"


def _reminders(sound: Sound) -> Iterator[Problem]:
    zone, days = sound.zone, sound.get("reminders", "days_before")
    send_at = sound.get("reminders", "send_at")
    if zone is None or days is None or send_at is None:
        return
    draft = _draft(zone=zone, days=tuple(set(days)), send_at=send_at)
    told: set[date] = set()
    for index in sound.groups:
        day = sound.get("focus_group", index, "date")
        if day is None:
            continue
        for due in sorted(day - timedelta(days=n) for n in set(days)):
            doubt = _doubt(due, send_at, zone, twice_is_fine=True)
            if doubt and due not in told:
                told.add(due)
                yield ("reminders", "send_at"), f"{doubt}, for a reminder falls due on that day"
        starts = sound.get("focus_group", index, "starts")
        if starts is not None:
            yield from _hopeless_reminders(draft, _utc(day, starts, zone))


def _hopeless_reminders(draft: Campaign, start: datetime) -> Iterator[Problem]:
    """A reminder that is too late from the moment at which it falls due would never leave."""
    for due in draft.reminders(start):
        if due.until <= due.at:
            at, until, local = (
                moment.astimezone(draft.timezone) for moment in (due.at, due.until, start)
            )
            why = (
                f"{due.kind} of the meeting of {local:%Y-%m-%d %H:%M} would never leave: it falls"
                f" due at {at:%Y-%m-%d %H:%M} and is too late from {until:%Y-%m-%d %H:%M} on;"
                " keep reminders two days apart and the last one over an hour before the start"
            )
            yield ("reminders", "days_before"), why


def _doubt(day: date, hour: time, zone: ZoneInfo, *, twice_is_fine: bool = False) -> str:
    """Why a wall-clock time does not name one moment, "" when it does."""
    local = datetime.combine(day, hour, zone)
    if local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local.replace(tzinfo=None):
        return (
            f"{hour} does not exist on {day} in {zone.key}: the clocks go forward over it;"
            " choose another hour"
        )
    if not twice_is_fine and local.utcoffset() != local.replace(fold=1).utcoffset():
        return (
            f"{hour} comes twice on {day} in {zone.key}: the clocks go back over it and nobody"
            " would know which is meant; choose another hour"
        )
    return ""


def _utc(day: date, hour: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, hour, zone).astimezone(UTC)


def _draft(
    *,
    slug: str = "",
    zone: ZoneInfo | None = None,
    days: tuple[int, ...] = (),
    send_at: time = time.min,
) -> Campaign:
    """A campaign of which only the given parts mean something, to ask it what they lead to."""
    return Campaign(
        name="",
        slug=slug,
        timezone=zone or ZoneInfo("UTC"),
        language="fr",
        zoom_host="",
        organiser=Organiser("", ""),
        focus_groups=(),
        reminder_days_before=days,
        reminder_send_at=send_at,
    )
