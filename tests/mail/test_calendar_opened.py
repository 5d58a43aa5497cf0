"""The calendar files that production's jobs sent, opened by a program that is not ours.

It knows no time zone by name: it believes the rules in the file.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import Clock
from tests.mail.conftest import SIX
from tests.mail.ics import Entry, opened
from tests.mail.story import Story
from tests.mail.test_calendar import made
from tests.mail_server import Kept, MailServer

GOOD = made()


def entry(letter: Kept) -> Entry:
    [part] = [one for one in letter.message.walk() if one.get_content_type() == "text/calendar"]
    raw = part.get_payload(decode=True)
    assert isinstance(raw, bytes)
    found = opened(raw)
    assert part.get_param("method") == found.calendar.value("METHOD")
    return found


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]  # a date and an hour


@pytest.mark.parametrize(
    ("kind", "start", "end"),
    [
        ("confirmation", utc(2026, 10, 24, 7), utc(2026, 10, 24, 9)),
        ("moved", utc(2026, 10, 27, 8), utc(2026, 10, 27, 10)),
        ("reminder-7", utc(2026, 10, 27, 8), utc(2026, 10, 27, 10)),
        ("reminder-1", utc(2026, 10, 27, 8), utc(2026, 10, 27, 10)),
        ("cancelled", utc(2026, 10, 27, 8), utc(2026, 10, 27, 10)),
        ("withdrawn", utc(2026, 11, 17, 17, 30), utc(2026, 11, 17, 19)),
    ],
)
def test_each_opens_at_the_hour_that_its_letter_says(
    post: dict[str, Kept], kind: str, start: datetime, end: datetime
) -> None:
    """9:00 in Paris is 7:00 UTC on 24 October 2026 and 8:00 from the 25th on."""
    found = entry(post[kind])

    assert (found.start, found.end) == (start, end)


@pytest.mark.parametrize(
    ("kind", "method", "status", "sequence"),
    [
        ("confirmation", "PUBLISH", "CONFIRMED", "0"),
        ("moved", "PUBLISH", "CONFIRMED", "1"),
        ("reminder-7", "PUBLISH", "CONFIRMED", "1"),
        ("reminder-1", "PUBLISH", "CONFIRMED", "1"),
        ("cancelled", "CANCEL", "CANCELLED", "2"),
        ("withdrawn", "CANCEL", "CANCELLED", "1"),
    ],
)
def test_each_replaces_the_ones_before_it(
    post: dict[str, Kept], kind: str, method: str, status: str, sequence: str
) -> None:
    found = entry(post[kind])

    assert found.calendar.value("METHOD") == method
    assert found.event.value("STATUS") == status
    assert found.event.value("SEQUENCE") == sequence


def test_one_meeting_of_one_person_is_one_entry_for_ever(post: dict[str, Kept]) -> None:
    names = {kind: entry(post[kind]).event.value("UID") for kind in SIX}
    other = names.pop("withdrawn")

    assert len(set(names.values())) == 1
    assert other not in names.values()
    assert all(re.fullmatch(r"\d+\.\d+@resonance", name) for name in (other, *names.values()))


@pytest.mark.parametrize("kind", ["confirmation", "moved", "reminder-7", "reminder-1"])
def test_it_rings_a_quarter_of_an_hour_before_and_holds_the_link(
    post: dict[str, Kept], kind: str
) -> None:
    event = entry(post[kind]).event
    [alarm] = event.all("VALARM")
    [link] = set(re.findall(r"https://us02web\.zoom\.us/w/\S+", post[kind].text))

    assert (alarm.value("ACTION"), alarm.value("TRIGGER")) == ("DISPLAY", "-PT15M")
    assert event.text("URL") == link
    assert event.text("DESCRIPTION") == f"{link}\n\nOù, comment, avec qui\u00a0?"
    for component in (event, alarm):
        name = "SUMMARY" if component is event else "DESCRIPTION"
        assert component.text(name) == "Mission Résonance\u00a0: Accompagner l’essor du télétravail"


@pytest.mark.parametrize("kind", ["cancelled", "withdrawn"])
def test_what_was_called_off_rings_no_more_and_leads_nowhere(
    post: dict[str, Kept], kind: str
) -> None:
    event = entry(post[kind]).event

    assert event.parts == []
    assert not event.has("URL")
    assert "http" not in event.value("DESCRIPTION")


@pytest.mark.parametrize("kind", SIX)
def test_it_invites_nobody_and_says_when_it_was_made(post: dict[str, Kept], kind: str) -> None:
    """RFC 5546: PUBLISH has an ORGANIZER and no ATTENDEE, and so has the CANCEL after it."""
    found = entry(post[kind])
    sent = datetime.strptime(str(post[kind].message["Date"]), "%a, %d %b %Y %H:%M:%S %z")

    assert not found.event.has("ATTENDEE")
    assert found.event.line("ORGANIZER") == (
        {"CN": "Association Résonance"},
        "mailto:contact@example.org",
    )
    assert found.event.value("CLASS") == "PRIVATE"
    assert found.event.value("DTSTAMP") == f"{sent:%Y%m%dT%H%M%SZ}"
    assert post[kind].calendar.count("\r\n") > 20


class TestInSpring:
    """The clocks go forward on 28 March 2027."""

    @pytest.fixture
    def story(
        self,
        environ: dict[str, str],
        tmp_path: Path,
        zoom: SimulatedZoom,
        clock: Clock,
        mail_server: MailServer,
    ) -> Iterator[Story]:
        clock.to(2027, 3, 1, 10)
        made = Story(
            tmp_path,
            environ,
            zoom=zoom,
            clock=clock,
            mail_server=mail_server,
            first="2027-03-27",
            second="2027-03-29",
        )
        yield made
        made.service.close()

    def test_the_day_before_and_the_day_after_open_right(self, story: Story) -> None:
        found = [entry(letter) for letter in story.letters]

        assert [(one.start, one.end - one.start) for one in found] == [
            (utc(2027, 3, 27, 8), timedelta(hours=2)),
            (utc(2027, 3, 29, 16, 30), timedelta(hours=1, minutes=30)),
        ]

    def test_so_do_the_ones_that_cancel_them(self, story: Story) -> None:
        story.give_up("first")
        story.give_up("second")

        found = [entry(letter) for letter in story.letters if letter.kind == "withdrawn"]

        assert [one.start for one in found] == [utc(2027, 3, 27, 8), utc(2027, 3, 29, 16, 30)]

    def test_who_comes_back_has_the_same_entry_again_with_a_higher_number(
        self, story: Story
    ) -> None:
        story.give_up("first")
        story.clock.move(hours=1)
        story.register("first")

        mine = [entry(one).event for one in story.letters if "télétravail" in one.text]
        mine = [one for one in mine if "télétravail" in one.text("SUMMARY")]

        assert len({one.value("UID") for one in mine}) == 1
        assert [one.value("SEQUENCE") for one in mine] == ["0", "1", "2"]
        assert [one.value("STATUS") for one in mine] == ["CONFIRMED", "CANCELLED", "CONFIRMED"]


@pytest.mark.parametrize(
    "broken",
    [
        GOOD.replace(b"\r\n", b"\n"),
        GOOD.removesuffix(b"\r\n"),
        GOOD.replace(b"\r\n ", b""),
        GOOD.replace(b"SUMMARY", "SUMMARY;X=é".encode() * 9),
        GOOD.replace(b"END:VEVENT", b"END:VTODO"),
        GOOD.replace(b"END:VCALENDAR\r\n", b""),
        GOOD.replace(b"VERSION:2.0", b"VERSION:1.0"),
        GOOD.replace(b"UID:8123", b"UID 8123"),
        GOOD.replace(b"TZID:Europe/Paris", b"TZID:Europe/London"),
        GOOD.replace(b"BEGIN:VEVENT", b"BEGIN:VEVENT\r\nEND:VEVENT\r\nBEGIN:VEVENT"),
    ],
)
def test_a_file_that_is_none_does_not_open(broken: bytes) -> None:
    """Or the tests above would prove nothing."""
    assert broken != GOOD
    with pytest.raises((AssertionError, ValueError)):
        opened(broken)


def test_wrong_rules_in_a_file_open_at_the_wrong_hour() -> None:
    wrong = GOOD.replace(b"TZOFFSETTO:+0100", b"TZOFFSETTO:+0300")

    assert opened(GOOD).start == utc(2021, 2, 9, 8)
    assert opened(wrong).start == utc(2021, 2, 9, 6)
