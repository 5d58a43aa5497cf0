"""French as a letter writes it: dates, hours, and the spaces around punctuation."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from babel.dates import format_datetime, get_timezone_location

NBSP = "\u00a0"
_NARROW_NBSP = "\u202f"  # right on a page; several mail programs draw a box in its place


def typeset(text: str) -> str:
    """The organiser's words with French spaces (U+00A0 throughout) and curved apostrophes."""
    text = text.replace(_NARROW_NBSP, NBSP)
    text = re.sub(r" +(?=[:;!?»])|(?<=«) +|(?<=\d) (?=[%€])", NBSP, text)
    return re.sub(r"(?<=\w)'(?=\w)", "’", text)


def day(moment: datetime, timezone: ZoneInfo) -> str:
    """`mardi 9 février 2021`, `lundi 1er mars 2021`: the local date of an aware moment."""
    local = moment.astimezone(timezone)
    number = "'1er'" if local.day == 1 else "d"
    return format_datetime(local, f"EEEE {number} MMMM y", locale="fr")


def hour(moment: datetime, timezone: ZoneInfo) -> str:
    """`9 h 00`, with no-break spaces: the local time of an aware moment."""
    local = moment.astimezone(timezone)
    return f"{local.hour}{NBSP}h{NBSP}{local.minute:02}"


def when(start: datetime, end: datetime, timezone: ZoneInfo) -> str:
    """`mardi 9 février 2021, de 9 h 00 à 11 h 00, heure de Paris`."""
    first, last = day(start, timezone), day(end, timezone)
    begins, ends = hour(start, timezone), hour(end, timezone)
    if first == last:
        return f"{first}, de {begins} à {ends}, {zone_name(timezone)}"
    return f"du {first} à {begins} au {last} à {ends}, {zone_name(timezone)}"


def zone_name(timezone: ZoneInfo) -> str:
    """`heure de Paris`, `heure d’Abidjan`, `heure du Caire`, `heure UTC`."""
    city = get_timezone_location(timezone, locale="fr", return_city=True)
    if city.startswith(("UTC", "GMT")):
        return f"heure {city}"
    if city.startswith("Le "):
        return f"heure du {city.removeprefix('Le ')}"
    return f"heure d’{city}" if city[0] in "AEIOUÉÎ" else f"heure de {city}"
