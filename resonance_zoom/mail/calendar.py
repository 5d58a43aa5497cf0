"""The calendar file of a letter: opens at the right hour, and replaces its earlier versions.

RFC 5545 and RFC 5546: PUBLISH, an ORGANIZER and no ATTENDEE, a stable UID, SEQUENCE + 1 on a move.
What all registrants of a meeting share is made once; a file differs in its UID, stamp and link.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from icalendar import Alarm, Calendar, Event, vCalAddress, vText
from icalendar.enums import CLASS, STATUS
from icalendar.parser import Contentline

from resonance_zoom.mail.french import typeset
from resonance_zoom.mail.names import clean_header, clean_text

PRODUCT = "-//Resonance Zoom//FR"
QUARTER_OF_AN_HOUR = (timedelta(minutes=15),)
LONGEST_LINE = 74  # octets, and the space before those that go on
# What stands in the shared file in place of a registrant's own; each begins a line, where nothing
# that anybody typed can stand.
_ANY_UID, _ANY_LINK, _ANY_TIME = (
    "uid.invalid",
    "https://link.invalid/",
    datetime(1970, 1, 1, tzinfo=UTC),
)
_STAMP, _UID, _LINK, _WORDS = (
    "DTSTAMP:19700101T000000Z",
    f"UID:{_ANY_UID}",
    f"URL:{_ANY_LINK}",
    f"DESCRIPTION:{_ANY_LINK}",
)
_OWN = re.compile(
    f"^({'|'.join(map(re.escape, (_STAMP, _UID, _LINK, _WORDS)))})(?:\r\n )?", re.MULTILINE
)
_PLAIN = re.compile(r"[^\\;,\r\n]*")
_ALARM = re.compile("^(?=BEGIN:VALARM\r\n)", re.MULTILINE)


def calendar_file(
    *,
    uid: str,
    sequence: int,
    start: datetime,
    end: datetime,
    timezone: ZoneInfo,
    title: str,
    description: str,
    join_url: str,
    organiser_name: str,
    organiser_email: str,
    stamp: datetime,
    alarms: Sequence[timedelta] = QUARTER_OF_AN_HOUR,
    cancelled: bool = False,
) -> bytes:
    """One event in `timezone`; `alarms` say how long before the start. The link comes first.

    Marked private, because the join link is personal and calendars are often shared. `cancelled`
    takes the event out of the calendar again: no link, no alarm.
    """
    join_url = join_url.strip()
    shared = _shared(
        sequence=sequence,
        start=start,
        end=end,
        timezone=timezone,
        title=title,
        description=description,
        linked=bool(join_url),
        organiser_name=organiser_name,
        organiser_email=organiser_email,
        alarms=tuple(alarms),
        cancelled=cancelled,
    )
    words = _folded(f"DESCRIPTION:{_escaped(join_url)}")
    own = {
        _STAMP: f"DTSTAMP:{stamp.astimezone(UTC):%Y%m%dT%H%M%SZ}",
        _UID: _folded(f"UID:{_escaped(uid)}"),
        _LINK: _folded(f"URL:{join_url}"),
        _WORDS: f"{words}\r\n " if _says_something(description) else words,
    }
    return "".join([own.get(piece, piece) for piece in shared]).encode("utf-8")


@lru_cache(maxsize=64)
def _shared(
    *,
    sequence: int,
    start: datetime,
    end: datetime,
    timezone: ZoneInfo,
    title: str,
    description: str,
    linked: bool,
    organiser_name: str,
    organiser_email: str,
    alarms: tuple[timedelta, ...],
    cancelled: bool,
) -> tuple[str, ...]:
    """The file in pieces; some are the lines that differ, in the form of `_OWN`."""
    title = typeset(clean_header(title))
    link = _ANY_LINK if linked else ""
    event = Event.new(
        uid=_ANY_UID,
        sequence=sequence,
        stamp=_ANY_TIME,
        start=start.astimezone(timezone),
        end=end.astimezone(timezone),
        summary=title,
        description=f"{link}\n\n{typeset(clean_text(description))}".strip(),
        location="Zoom",
        url=link or None,
        status=STATUS.CANCELLED if cancelled else STATUS.CONFIRMED,
        classification=CLASS.PRIVATE,
        organizer=_organiser(organiser_name, organiser_email),
        subcomponents=[] if cancelled else [_alarm(before, title) for before in alarms],
    )
    calendar = Calendar.new(
        method="CANCEL" if cancelled else "PUBLISH",
        prodid=PRODUCT,
        uid=_ANY_UID,
        subcomponents=[event],
    )
    # Without bounds, 3 kB of rules from 1970 to 2038. A year back, so that both winter and summer
    # time are there: some programs distrust a zone that has only one of them.
    calendar.add_missing_timezones(
        (start - timedelta(days=365)).date(), (end + timedelta(days=1)).date()
    )
    # An alarm is the same for all, and has a DESCRIPTION too: the title, which may say anything.
    event_lines, *alarm_lines = _ALARM.split(calendar.to_ical().decode("utf-8"), maxsplit=1)
    return (*_OWN.split(event_lines), *alarm_lines)


@lru_cache(maxsize=64)
def _says_something(description: str) -> bool:
    return bool(clean_text(description))


def _escaped(words: str) -> str:
    """https://www.rfc-editor.org/rfc/rfc5545#section-3.3.11"""
    return words if _PLAIN.fullmatch(words) else vText(words).to_ical().decode()


def _folded(line: str) -> str:
    """https://www.rfc-editor.org/rfc/rfc5545#section-3.1; the common kind of line at less cost."""
    if "\n" in line or "\r" in line:
        raise ValueError(f"a line of a calendar file cannot hold a line break: {line!r}")
    if not line.isascii() or "\\" in line:  # characters and escapes that must not be cut in two
        return str(Contentline(line).to_ical(), "utf-8")  # type: ignore[no-untyped-call]
    cuts = range(0, len(line), LONGEST_LINE)
    return "\r\n ".join([line[cut : cut + LONGEST_LINE] for cut in cuts])


def _organiser(name: str, email: str) -> vCalAddress:
    """ORGANIZER. A straight quote in a parameter would be shown as ^' by most programs."""
    return vCalAddress.new(email, cn=clean_header(name).replace('"', "’"))


def _alarm(before: timedelta, title: str) -> Alarm:
    alarm = Alarm.new(description=title)
    alarm.add("action", "DISPLAY")
    alarm.TRIGGER = -before
    return alarm
