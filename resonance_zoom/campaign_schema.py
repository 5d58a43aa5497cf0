"""What each key of the campaign file may hold, and the sentence that says so when it does not.

The tables check one key at a time; what several keys say together is in `campaign_rules`.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from resonance_zoom.campaign_zones import nearest, zone
from resonance_zoom.zoom_timezones import ZOOM_TIMEZONES

KeyPath = tuple[str | int, ...]
Problem = tuple[KeyPath, str]  # where, and the sentence

TITLE_AT_MOST = 200  # Zoom's topic

T = TypeVar("T")

_EMAIL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]"
)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands in the values where the file has something that is no TOML value, such as 09h00."""

    literal: str


def _refusal(sentence: str) -> PydanticCustomError:
    return PydanticCustomError("rule", "{sentence}", {"sentence": sentence})


def _one_line(text: str) -> str:
    if not text:
        raise _refusal("empty; write a text")
    if any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in text):
        raise _refusal("holds a line break or another control character; write it on one line")
    return text


def _title(text: str) -> str:
    if len(_one_line(text)) > TITLE_AT_MOST:
        raise _refusal(f"{len(text):,} characters; Zoom's topic takes at most {TITLE_AT_MOST}")
    return text


def _slug(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]{1,40}", text):
        raise _refusal(
            f"{shown(text)} cannot be a slug; write 1 to 40 of a-z, 0-9 and -, such as"
            f' "{_slug_like(text)}"'
        )
    return text


def _slug_like(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40] or "my-group"


def _email(text: str) -> str:
    if len(text) > 254 or not _EMAIL.fullmatch(text):
        raise _refusal(f"{shown(text)} is no e-mail address; write one such as name@example.org")
    return text


def _zoom_host(text: str) -> str:
    if "@" in text:
        return _email(text)
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", text):
        raise _refusal(
            f"{shown(text)} is neither an e-mail address nor a Zoom user id;"
            " write the e-mail of the licensed host"
        )
    return text


def _timezone(name: str) -> str:
    known = zone(name) is not None
    if known and name in ZOOM_TIMEZONES:
        return name
    reason = "is not in Zoom's list of time zones" if known else "is no time zone"
    remedy = f'write "{near}"' if (near := nearest(name)) else 'write one such as "Europe/Paris"'
    raise _refusal(f"{shown(name)} {reason}; {remedy}")


def _language(word: str) -> str:
    if word != "fr":
        raise _refusal(f'{shown(word)}: letters exist in French only; write "fr"')
    return word


def _near_our_years(day: date) -> date:
    if not 2000 <= day.year <= 2100:
        raise _refusal(f"{day}: the year must be from 2000 to 2100")
    return day


def _whole_minutes(hour: time) -> time:
    if hour.second or hour.microsecond:
        right = hour.replace(second=0, microsecond=0)
        raise _refusal(f"{hour}: Zoom counts in whole minutes; write {right} or another minute")
    return hour


def _between(least: int, most: int, unit: str) -> Callable[[int], int]:
    def check(number: int) -> int:
        if not least <= number <= most:
            raise _refusal(f"{number} must be {least} to {most:,} {unit}")
        return number

    return check


def _at_least_one(number: int) -> int:
    if number < 1:
        raise _refusal(f"{number} must be 1 or more; leave the key out when there is no limit")
    return number


def _not_empty(least: str) -> Callable[[list[T]], list[T]]:
    def check(items: list[T]) -> list[T]:
        if not items:
            raise _refusal(f"empty; write at least one {least}")
        return items

    return check


Line = Annotated[str, AfterValidator(_one_line)]
Slug = Annotated[str, AfterValidator(_slug)]
Days = Annotated[int, AfterValidator(_between(1, 60, "days"))]
Day = Annotated[date, AfterValidator(_near_our_years)]
Hour = Annotated[time, AfterValidator(_whole_minutes)]


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", str_strip_whitespace=True)


class CampaignTable(_Table):
    """[campaign]"""

    name: Line = Field(examples=['"Mission Résonance"'])
    slug: Slug = Field(examples=['"resonance-2021"'])
    timezone: Annotated[str, AfterValidator(_timezone)] = Field(examples=['"Europe/Paris"'])
    language: Annotated[str, AfterValidator(_language)] = Field(examples=['"fr"'])
    zoom_host: Annotated[str, AfterValidator(_zoom_host)] = Field(examples=['"host@example.org"'])
    approval: Literal["automatic", "manual"] = "automatic"
    confirmation: Literal["ours", "zoom", "both"] = "ours"
    confirmations_per_day: Annotated[int, AfterValidator(_between(1, 10_000_000, "a day"))] = 500
    letters_per_minute: Annotated[int | None, AfterValidator(_between(1, 100_000, "a minute"))] = (
        None
    )
    about: str = Field(default="", examples=['"""What the campaign is for."""'])
    invited: str = Field(default="", examples=['"""Who is invited."""'])


class OrganiserTable(_Table):
    """[organiser]"""

    name: Line = Field(examples=['"Mission Résonance"'])
    email: Annotated[str, AfterValidator(_email)] = Field(examples=['"contact@example.org"'])
    phone: Line | None = Field(default=None, examples=['"+33 2 00 00 00 00"'])


class RemindersTable(_Table):
    """[reminders], optional"""

    days_before: Annotated[
        list[Days], AfterValidator(_not_empty("number of days, such as [7, 1]"))
    ] = Field(default=[7, 1], examples=["[7, 1]"])
    send_at: time = Field(default=time(9), examples=["09:00:00"])


class PrivacyTable(_Table):
    """[privacy], optional"""

    keep_days_after_last: Annotated[int, AfterValidator(_between(1, 3650, "days"))] = Field(
        default=30, examples=["30"]
    )
    controller: Line | None = Field(default=None, examples=['"Association Résonance, Tours"'])
    purpose: Line | None = Field(default=None, examples=['"Organiser les rencontres"'])
    basis: Line | None = Field(default=None, examples=['"Votre consentement"'])
    recipients: Line | None = Field(default=None, examples=['"L’équipe d’organisation et Zoom"'])
    contact: Annotated[str, AfterValidator(_email)] | None = Field(
        default=None, examples=['"donnees@example.org"']
    )


class LegalTable(_Table):
    """[legal], optional: the legal notices of the pages"""

    publisher: Line | None = Field(default=None, examples=['"Association Résonance, Tours"'])
    director: Line | None = Field(default=None, examples=['"Camille Martin"'])
    host: Line | None = Field(default=None, examples=['"Hébergeur, adresse, téléphone"'])


class FocusGroupTable(_Table):
    """[[focus_group]], one for each meeting"""

    slug: Slug = Field(examples=['"teletravail"'])
    title: Annotated[str, AfterValidator(_title)] = Field(examples=['"Développer le télétravail"'])
    date: Day = Field(examples=["2021-02-09"])
    starts: Hour = Field(examples=["09:00:00"])
    ends: Hour = Field(examples=["11:00:00"])
    capacity: Annotated[int, AfterValidator(_at_least_one)] | None = Field(
        default=None, examples=["40"]
    )
    agenda: str = Field(default="", examples=['"""What the group is about."""'])
    cancelled: bool = Field(default=False, examples=["true"])


class CampaignFile(_Table):
    """The whole file."""

    campaign: CampaignTable = Field(examples=["[campaign]"])
    organiser: OrganiserTable = Field(examples=["[organiser]"])
    reminders: RemindersTable = Field(default=RemindersTable(), examples=["[reminders]"])
    privacy: PrivacyTable = Field(default=PrivacyTable(), examples=["[privacy]"])
    legal: LegalTable = Field(default=LegalTable(), examples=["[legal]"])
    focus_group: Annotated[list[FocusGroupTable], AfterValidator(_not_empty("[[focus_group]]"))] = (
        Field(examples=["[[focus_group]]"])
    )


_TABLES: dict[tuple[str, ...], type[_Table]] = {
    (): CampaignFile,
    ("campaign",): CampaignTable,
    ("organiser",): OrganiserTable,
    ("reminders",): RemindersTable,
    ("privacy",): PrivacyTable,
    ("legal",): LegalTable,
    ("focus_group",): FocusGroupTable,
}


def problems(values: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with single keys; [] when every one is as it should be."""
    try:
        CampaignFile.model_validate(values)
    except ValidationError as error:
        return [(tuple(detail["loc"]), _sentence(detail)) for detail in error.errors()]
    return []


def _sentence(error: ErrorDetails) -> str:
    """pydantic's finding in words of our own, with what would be right."""
    names = tuple(part for part in error["loc"] if isinstance(part, str))
    table, key = _TABLES[names[:-1]], names[-1]
    value = error["input"]
    if error["type"] == "extra_forbidden":
        return _unknown(key, list(table.model_fields))
    field = table.model_fields[key]
    example = str((field.examples or [""])[0])
    match error["type"]:
        case "missing" if example.startswith("["):
            return f"missing; begin the table with a line {example}"
        case "missing":
            return f"missing; write for instance: {key} = {example}"
        case "model_type" | "model_attributes_type":
            return f"must be a table that begins with a line {example}"
        case "list_type" if key == "focus_group":
            return "must stand between double brackets: [[focus_group]]"
        case "list_type":
            return f"{shown(value)} must be a list between brackets, such as {example}"
        case "literal_error":
            words = " or ".join(f'"{word}"' for word in get_args(field.annotation))
            return f"{shown(value)} is not known; write {words}"
        case "string_type":
            return _not_a_text(value)
        case "bool_type":
            return f"{shown(value)} must be true or false, without quotes"
        case "int_type":
            return f"{shown(value)} must be a whole number, without quotes or a unit"
        case "date_type":
            return _not_a_date(value)
        case "time_type":
            return _not_a_time(value)
    return error["msg"]  # our own rules come as whole sentences


def _unknown(key: str, known: list[str]) -> str:
    near = get_close_matches(key.lower(), known, n=1)
    return (
        f"unknown key; did you mean {near[0]}?"
        if near
        else (f"unknown key; known here: {', '.join(known)}")
    )


def _not_a_text(value: object) -> str:
    if isinstance(value, Unreadable):
        inside = value.literal.strip("“”„«»‘’'\u00a0\u202f ")
        return f'{value.literal} must stand between straight double quotes: "{inside}"'
    return f'{shown(value)} must be a text between double quotes, such as "{shown(value)}"'


def _not_a_date(value: object) -> str:
    if isinstance(value, datetime):
        return f"{shown(value)} must be a day without an hour: {value.date()}"
    text = value.literal if isinstance(value, Unreadable) else value
    if isinstance(text, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        try:
            return f"{shown(value)} must stand without quotes: {date.fromisoformat(text)}"
        except ValueError:
            return f"{text} is a day that does not exist; write one of the calendar"
    return f"{shown(value)} must be a day written as year-month-day, without quotes: 2021-02-09"


def _not_a_time(value: object) -> str:
    text = value.literal if isinstance(value, Unreadable) else value
    form = r"(\d\d?)\s*[:hH.]\s*(\d\d?)?(?:\s*[:mM.]\s*(\d\d)?)?"
    if isinstance(text, str) and (found := re.fullmatch(form, text.strip())):
        try:
            hour = time(int(found[1]), int(found[2] or 0), int(found[3] or 0))
        except ValueError:
            return f"{shown(value)} is no hour of a day; write one from 00:00:00 to 23:59:00"
        return f"{shown(value)} must be written with seconds and without quotes: {hour}"
    return f"{shown(value)} must be an hour with seconds, without quotes, such as 09:00:00"


def shown(value: object) -> str:
    """A value as it stands in the file, cut when it is long."""
    match value:
        case Unreadable(literal):
            text = literal
        case str():
            text = f'"{value}"'
        case bool():
            text = str(value).lower()
        case datetime() | date() | time():
            text = value.isoformat()
        case dict():
            text = "a table"
        case list():
            text = "a list"
        case _:
            text = str(value)
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:59] + "…"
