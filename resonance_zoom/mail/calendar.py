"""The calendar file of a letter: opens at the right hour, and replaces its earlier versions.

RFC 5545 and RFC 5546: PUBLISH, an ORGANIZER and no ATTENDEE, a stable UID, SEQUENCE + 1 on a move.
"""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from icalendar import Alarm, Calendar, Event, vCalAddress, vText

PRODUCT = "-//Resonance Zoom//FR"


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
) -> bytes:
    """One event in `timezone`, with the zone's rules for its own days only and an alarm before."""
    event = Event()
    event.add("uid", uid)
    event.add("sequence", sequence)
    event.add("dtstamp", stamp)
    event.add("dtstart", start.astimezone(timezone))
    event.add("dtend", end.astimezone(timezone))
    event.add("summary", title)
    event.add("description", f"{join_url}\n\n{description}".strip())
    event.add("location", "Zoom")
    event.add("url", join_url)
    event.add("status", "CONFIRMED")
    organiser = vCalAddress(f"mailto:{organiser_email}")
    organiser.params["CN"] = vText(organiser_name)
    event.add("organizer", organiser)
    alarm = Alarm()
    alarm.add("action", "DISPLAY")
    alarm.add("description", title)
    alarm.add("trigger", timedelta(minutes=-15))
    event.add_component(alarm)
    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add_component(event)
    # Without bounds the zone's rules from 1970 to 2038 would be written out.
    calendar.add_missing_timezones(
        (start - timedelta(days=1)).date(), (end + timedelta(days=365)).date()
    )
    return bytes(calendar.to_ical())
