"""A calendar program as small as can be: reads RFC 5545 by itself, knows no time zone by name.

It believes the rules in the file, so that a file with the wrong ones opens at the wrong hour here.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Self


@dataclass
class Component:
    """`BEGIN:NAME` to `END:NAME`: its lines as (name, parameters, value), and what it holds."""

    name: str
    lines: list[tuple[str, dict[str, str], str]] = field(default_factory=list)
    parts: list[Self] = field(default_factory=list)

    def line(self, name: str) -> tuple[dict[str, str], str]:
        """The parameters and the value of the only line of that name."""
        [found] = [(parameters, value) for known, parameters, value in self.lines if known == name]
        return found

    def value(self, name: str) -> str:
        return self.line(name)[1]

    def text(self, name: str) -> str:
        """A value as a reader sees it."""
        return re.sub(
            r"\\(.)", lambda found: "\n" if found[1] in "nN" else found[1], self.value(name)
        )

    def has(self, name: str) -> bool:
        return any(known == name for known, _, _ in self.lines)

    def all(self, name: str) -> list[Self]:
        return [part for part in self.parts if part.name == name]


@dataclass(frozen=True)
class Entry:
    """What stands in a calendar after the file was opened."""

    calendar: Component
    event: Component
    start: datetime  # UTC
    end: datetime


def opened(raw: bytes) -> Entry:
    """The one event of a file. Fails for whatever RFC 5545 does not allow, as far as we write it."""
    assert raw.endswith(b"\r\n")
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert all(len(line) <= 75 for line in raw.split(b"\r\n"))
    calendar = _component(raw.decode().replace("\r\n ", "").removesuffix("\r\n").split("\r\n"))
    assert (calendar.name, calendar.value("VERSION")) == ("VCALENDAR", "2.0")
    [event] = calendar.all("VEVENT")
    return Entry(
        calendar, event, _moment(calendar, event, "DTSTART"), _moment(calendar, event, "DTEND")
    )


def _component(lines: list[str]) -> Component:
    open_ones = [Component("")]
    for line in lines:
        name, parameters, value = _line(line)
        if name == "BEGIN":
            open_ones.append(Component(value))
        elif name == "END":
            closed = open_ones.pop()
            assert closed.name == value
            open_ones[-1].parts.append(closed)
        else:
            open_ones[-1].lines.append((name, parameters, value))
    [outside] = open_ones
    [whole] = outside.parts
    assert outside.lines == []
    return whole


def _line(line: str) -> tuple[str, dict[str, str], str]:
    found = re.fullmatch(
        r'(?P<name>[A-Z-]+)(?P<parameters>(;[A-Z-]+=("[^"]*"|[^";:]*))*):(?P<value>.*)', line
    )
    assert found is not None, line
    parameters = re.findall(r';([A-Z-]+)=(?:"([^"]*)"|([^";:]*))', found["parameters"])
    return (
        found["name"],
        {name: quoted or bare for name, quoted, bare in parameters},
        found["value"],
    )


def _moment(calendar: Component, event: Component, name: str) -> datetime:
    parameters, value = event.line(name)
    local = datetime.strptime(value, "%Y%m%dT%H%M%S")  # noqa: DTZ007  # local, made aware below
    [zone] = [
        zone for zone in calendar.all("VTIMEZONE") if zone.value("TZID") == parameters["TZID"]
    ]
    onsets: list[tuple[datetime, timedelta]] = []
    for rule in zone.parts:
        assert not rule.has("RRULE"), "this reader knows only dates"
        dates = [value for name, _, value in rule.lines if name in {"DTSTART", "RDATE"}]
        offset = _offset(rule.value("TZOFFSETTO"))
        for date in ",".join(dates).split(","):
            onsets.append((datetime.strptime(date, "%Y%m%dT%H%M%S"), offset))  # noqa: DTZ007  # idem
    _, offset = max(onset for onset in onsets if onset[0] <= local)
    return (local - offset).replace(tzinfo=UTC)


def _offset(written: str) -> timedelta:
    sign = -1 if written.startswith("-") else 1
    return sign * timedelta(hours=int(written[1:3]), minutes=int(written[3:5]))
