"""The calendar file opens at the right hour, in any program."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icalendar import Calendar, Event

from resonance_zoom.mail.calendar import calendar_file
from tests.mail.sample import DATE, JOIN_URL, PARIS


def made(start: datetime = datetime(2021, 2, 9, 8, tzinfo=UTC), **changes: Any) -> bytes:
    arguments: dict[str, Any] = {
        "uid": "81234567890.7@resonance-2021",
        "sequence": 2,
        "start": start,
        "end": start + timedelta(hours=2),
        "timezone": PARIS,
        "title": "Mission Résonance : le télétravail",
        "description": "Où, comment ?\nAvec qui ?",
        "join_url": JOIN_URL,
        "organiser_name": "Mission Résonance",
        "organiser_email": "contact@example.org",
        "stamp": DATE,
    }
    return calendar_file(**(arguments | changes))


def event(raw: bytes) -> Event:
    [found] = Calendar.from_ical(raw).walk("VEVENT")
    assert isinstance(found, Event)
    return found


def unfolded(raw: bytes) -> list[str]:
    return raw.decode().replace("\r\n ", "").split("\r\n")


def test_the_file_says_what_the_letter_says() -> None:
    lines = unfolded(made())

    for line in (
        "METHOD:PUBLISH",
        "UID:81234567890.7@resonance-2021",
        "SEQUENCE:2",
        "STATUS:CONFIRMED",
        "CLASS:PRIVATE",
        "LOCATION:Zoom",
        "DTSTAMP:20210111T100000Z",
        "DTSTART;TZID=Europe/Paris:20210209T090000",
        "DTEND;TZID=Europe/Paris:20210209T110000",
        f"URL:{JOIN_URL}",
        f"DESCRIPTION:{JOIN_URL}\\n\\nOù\\, comment\u00a0?\\nAvec qui\u00a0?",
        "SUMMARY:Mission Résonance\u00a0: le télétravail",
        "TRIGGER:-PT15M",
    ):
        assert line in lines
    assert [line for line in lines if line.startswith("ORGANIZER")] == [
        'ORGANIZER;CN="Mission Résonance":mailto:contact@example.org'
    ]


def test_a_straight_quote_in_a_name_is_curved() -> None:
    """Most programs would show the escaped one as ^'."""
    assert "ORGANIZER;CN=Les ’Amis’:mailto:contact@example.org" in [
        line.replace('"', "") for line in unfolded(made(organiser_name='Les "Amis"'))
    ]


def test_nobody_is_an_attendee_and_the_file_is_small() -> None:
    assert b"ATTENDEE" not in made()
    assert len(made()) < 2000


@pytest.mark.parametrize(
    ("start", "local"),
    [
        (datetime(2021, 3, 27, 8, tzinfo=UTC), "20210327T090000"),
        (datetime(2021, 3, 28, 7, tzinfo=UTC), "20210328T090000"),
        (datetime(2021, 10, 30, 7, tzinfo=UTC), "20211030T090000"),
        (datetime(2021, 10, 31, 8, tzinfo=UTC), "20211031T090000"),
    ],
)
def test_it_opens_at_nine_in_paris_on_both_sides_of_a_change_of_clocks(
    start: datetime, local: str
) -> None:
    raw = made(start)

    assert event(raw).start == start
    assert f"DTSTART;TZID=Europe/Paris:{local}" in unfolded(raw)


@pytest.mark.parametrize(
    ("start", "offset"),
    [
        (datetime(2021, 3, 27, 8, tzinfo=UTC), "+0100"),
        (datetime(2021, 3, 28, 7, tzinfo=UTC), "+0200"),
        (datetime(2021, 10, 30, 7, tzinfo=UTC), "+0200"),
        (datetime(2021, 10, 31, 8, tzinfo=UTC), "+0100"),
    ],
)
def test_the_zone_that_it_carries_has_the_offset_of_that_day(start: datetime, offset: str) -> None:
    """Read by hand, for programs that know no Europe/Paris: the last onset before the event."""
    lines = unfolded(made(start))
    local = start.astimezone(PARIS).strftime("%Y%m%dT%H%M%S")
    onsets: list[tuple[str, str]] = []
    for index, line in enumerate(lines):
        if line in {"BEGIN:STANDARD", "BEGIN:DAYLIGHT"}:
            rule = lines[index : lines.index(line.replace("BEGIN", "END"), index)]
            to = next(x.removeprefix("TZOFFSETTO:") for x in rule if x.startswith("TZOFFSETTO"))
            dates = [x.partition(":")[2] for x in rule if x.startswith(("DTSTART", "RDATE"))]
            onsets += [(date, to) for joined in dates for date in joined.split(",")]

    assert max(onset for onset in onsets if onset[0] <= local)[1] == offset
    assert {line for line in lines if line in {"BEGIN:STANDARD", "BEGIN:DAYLIGHT"}} == {
        "BEGIN:STANDARD",
        "BEGIN:DAYLIGHT",
    }


def test_the_same_letter_has_the_same_file() -> None:
    assert made() == made()


def test_hostile_words_add_no_line() -> None:
    words = 'x\r\nATTENDEE:mailto:a@b\r\n"quoted"; \u2028 é' * 20

    raw = made(title=words, description=words, organiser_name=words)

    assert [line for line in unfolded(raw) if line.startswith("ATTENDEE")] == []
    assert event(raw).start == datetime(2021, 2, 9, 8, tzinfo=UTC)
    assert all(len(line) <= 75 for line in raw.split(b"\r\n"))


def test_alarms_are_the_ones_asked_for() -> None:
    raw = made(alarms=(timedelta(days=1), timedelta(minutes=10)))

    assert [line for line in unfolded(raw) if line.startswith("TRIGGER")] == [
        "TRIGGER:-P1D",
        "TRIGGER:-PT10M",
    ]


@pytest.mark.parametrize("title", ["Le télétravail", "https://link.invalid/", "UID:uid.invalid"])
@settings(max_examples=100, deadline=None)
@given(
    uid=st.text("0123456789.;,é@", min_size=1, max_size=90),
    path=st.text("abcé,;=&%?", max_size=200),
    description=st.text(max_size=300),
    stamp=st.integers(0, 10**8).map(lambda seconds: DATE + timedelta(seconds=seconds)),
)
def test_what_is_a_registrants_own_reads_back_from_the_file_that_all_share(
    title: str, uid: str, path: str, description: str, stamp: datetime
) -> None:
    link = f"https://zoom.us/w/1?{path}"
    raw = made(
        uid=uid,
        join_url=link,
        title=title,
        description=description,
        stamp=stamp,
    )

    assert max(map(len, raw.split(b"\r\n"))) <= 75
    found = event(raw)
    assert found.uid == uid
    assert found.url == link
    assert found.stamp == stamp
    assert str(found.description).startswith(link)
    assert found.summary == title
    assert [str(alarm["DESCRIPTION"]) for alarm in found.walk("VALARM")] == [title]


def test_a_link_that_holds_a_line_break_makes_no_file() -> None:
    for broken in ("https://zoom.us/\r\nATTENDEE:x", "https://zoom.us/\rX", "https://zoom.us/\nX"):
        with pytest.raises(ValueError, match="line break"):
            made(join_url=broken)
