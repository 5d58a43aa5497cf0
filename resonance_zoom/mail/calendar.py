"""The calendar file of a letter: opens at the right hour, and replaces its earlier versions.

RFC 5545 and RFC 5546: PUBLISH, an ORGANIZER and no ATTENDEE, a stable UID, SEQUENCE + 1 on a move.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from icalendar import Alarm, Calendar, Event, vCalAddress
from icalendar.enums import CLASS, STATUS

from resonance_zoom.mail.french import typeset
from resonance_zoom.mail.names import clean_header, clean_text

PRODUCT = "-//Resonance Zoom//FR"
QUARTER_OF_AN_HOUR = (timedelta(minutes=15),)


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
    title = typeset(clean_header(title))
    event = Event.new(
        uid=uid,
        sequence=sequence,
        stamp=stamp,
        start=start.astimezone(timezone),
        end=end.astimezone(timezone),
        summary=title,
        description=f"{join_url}\n\n{typeset(clean_text(description))}".strip(),
        location="Zoom",
        url=join_url or None,
        status=STATUS.CANCELLED if cancelled else STATUS.CONFIRMED,
        classification=CLASS.PRIVATE,
        organizer=_organiser(organiser_name, organiser_email),
        subcomponents=[] if cancelled else [_alarm(before, title) for before in alarms],
    )
    calendar = Calendar.new(
        method="CANCEL" if cancelled else "PUBLISH",
        prodid=PRODUCT,
        uid=uid,
        subcomponents=[event],
    )
    # Without bounds, 3 kB of rules from 1970 to 2038. A year back, so that both winter and summer
    # time are there: some programs distrust a zone that has only one of them.
    calendar.add_missing_timezones(
        (start - timedelta(days=365)).date(), (end + timedelta(days=1)).date()
    )
    return bytes(calendar.to_ical())


def _organiser(name: str, email: str) -> vCalAddress:
    """ORGANIZER. A straight quote in a parameter would be shown as ^' by most programs."""
    return vCalAddress.new(email, cn=clean_header(name).replace('"', "’"))


def _alarm(before: timedelta, title: str) -> Alarm:
    alarm = Alarm.new(description=title)
    alarm.add("action", "DISPLAY")
    alarm.TRIGGER = -before
    return alarm
