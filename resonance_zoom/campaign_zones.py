"""Whether a time zone can be used on Zoom, and which one to write instead."""

from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from resonance_zoom.zoom_timezones import ZOOM_TIMEZONES

_WEEKS = tuple(datetime(2021, 1, 1, tzinfo=UTC) + timedelta(weeks=n) for n in range(52 * 15))


def zone(name: str) -> ZoneInfo | None:
    """The zone of that IANA name, None when there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # ValueError: "../etc"; OSError: "Europe" is a folder of the database, not a zone.
        return None


def nearest(name: str) -> str | None:
    """The zone of Zoom's list to write instead of `name`: same clock first, then alike in writing.

    Same clock means the same distance from UTC in every week of 2021 to 2035. None when nothing
    in the list resembles it.
    """
    wanted = zone(name)
    same_clock = [other for other in sorted(ZOOM_TIMEZONES) if wanted and _agree(wanted, other)]
    if same_clock:
        return get_close_matches(name, same_clock, n=1, cutoff=0)[0]
    by_writing = {other.rpartition("/")[2].casefold(): other for other in ZOOM_TIMEZONES}
    by_writing |= {other.casefold(): other for other in ZOOM_TIMEZONES}
    alike = get_close_matches(name.casefold().replace(" ", "_"), sorted(by_writing), n=1)
    return by_writing[alike[0]] if alike else None


def _agree(wanted: ZoneInfo, other: str) -> bool:
    zoom = ZoneInfo(other)
    return all(
        at.astimezone(wanted).utcoffset() == at.astimezone(zoom).utcoffset() for at in _WEEKS
    )
