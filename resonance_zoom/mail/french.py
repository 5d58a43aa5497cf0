"""French as a letter writes it: dates, hours, and the spaces around punctuation."""

import re
from datetime import date, datetime
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime, get_timezone_location

NBSP = "\u00a0"
_OF = {"Le ": "du ", "Îles ": "des Îles ", "Île ": "de l’Île "}
_NARROW_NBSP = "\u202f"  # right on a page; several mail programs draw a box in its place


def typeset(text: str) -> str:
    """The organiser's words with French spaces (U+00A0 throughout) and curved apostrophes."""
    text = text.replace(_NARROW_NBSP, NBSP)
    text = re.sub(r" +(?=[:;!?»])|(?<=«) +|(?<=\d) (?=[%€])", NBSP, text)
    return re.sub(r"(?<=\w)'(?=\w)", "’", text)


def for_page(text: str) -> str:
    """The same for a page: a narrow no-break space before ; ! and ?, where browsers have one."""
    return re.sub(f"{NBSP}(?=[;!?])", _NARROW_NBSP, text)


def day(moment: datetime, timezone: ZoneInfo) -> str:
    """`mardi 9 février 2021`, `lundi 1er mars 2021`: the local date of an aware moment."""
    local = moment.astimezone(timezone)
    number = "'1er'" if local.day == 1 else "d"
    return format_datetime(local, f"EEEE {number} MMMM y", locale="fr")


def calendar_day(moment: date) -> str:
    """`9 février 2021`, `1er mars 2021`: a day without its weekday."""
    number = "'1er'" if moment.day == 1 else "d"
    return format_date(moment, f"{number} MMMM y", locale="fr")


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
    for article, of in _OF.items():
        if city.startswith(article):
            return f"heure {of}{city.removeprefix(article)}"
    return f"heure d’{city}" if city[0] in "AEIOUÉÜ" else f"heure de {city}"


def date_hour(moment: datetime, timezone: ZoneInfo) -> str:
    """`mardi 9 février 2021 à 9 h 00`."""
    return f"{day(moment, timezone)} à {hour(moment, timezone)}"


def short(moment: datetime, timezone: ZoneInfo) -> str:
    """`09/02/2021 09:00`: for tables."""
    return f"{moment.astimezone(timezone):%d/%m/%Y %H:%M}"


def ago(moment: datetime, now: datetime) -> str:
    """`il y a 3 min`, `dans 7 min`, `à l’instant`: how far a moment is, roughly."""
    seconds = (now - moment).total_seconds()
    minutes = round(abs(seconds) / 60)
    if minutes == 0:
        return "à l’instant"
    if minutes < 60:
        far = f"{minutes}{NBSP}min"
    elif minutes < 48 * 60:
        far = f"{minutes // 60}{NBSP}h"
    else:
        far = f"{minutes // (24 * 60)}{NBSP}jours"
    return f"il y a {far}" if seconds > 0 else f"dans {far}"
