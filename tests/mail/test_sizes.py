"""No letter grows past what mail programs show whole, whatever people and organisers call things."""

from dataclasses import replace
from datetime import timedelta

import pytest

from resonance_zoom.mail.calendar import calendar_file
from resonance_zoom.mail.letters import DialIn, OtherMeeting
from resonance_zoom.mail.message import build_message
from tests.mail.conftest import SIX
from tests.mail.ics import opened
from tests.mail.sample import DATE, FIELDS, JOIN_URL, MESSAGE_ID, parts, render, room, words_of
from tests.mail_server import Kept

LONGEST = {"title": 200, "agenda": 2000}  # what the campaign file and Zoom allow
HOSTILE = (
    "a" * 100_000,
    "é" * 100_000,
    "&<>\"'" * 20_000,
    "👩‍💻" * 30_000,
    "\u202e" * 100_000,
    "a.b@c" * 20_000,
    "=?utf-8?q?" * 10_000,
    "\n\t\u2028" * 30_000,
    "{{ x }}" * 15_000,
)


def whole(kind: str, name: str) -> bytes:
    """A letter with everything in it, each part as long as it may be."""
    title, agenda = name[: LONGEST["title"]], name[: LONGEST["agenda"]]
    fields = replace(
        FIELDS,
        kind=kind,
        first_name=name,
        last_name=name,
        title=title,
        agenda=agenda,
        campaign_name=title,
        organiser_name=title,
        organiser_phone="+33 2 00 00 00 00",
        other_meetings=tuple(
            OtherMeeting(title, FIELDS.start + timedelta(days=n), FIELDS.end + timedelta(days=n))
            for n in range(1, 10)
        ),
        personal_url=f"https://example.org/me/{'x' * 500}",
        join_url=JOIN_URL + "a" * 1000,
        dial_in=(DialIn("+33 1 00 00 00 00", "France"),) * 3,
        meeting_number="869 3452 1190",
        was_start=FIELDS.start - timedelta(days=7),
    )
    calendar = calendar_file(
        uid="1.1@x",
        sequence=1,
        start=fields.start,
        end=fields.end,
        timezone=fields.timezone,
        title=f"{title} : {title}",
        description=agenda,
        join_url=fields.join_url,
        organiser_name=title,
        organiser_email=fields.organiser_email,
        stamp=DATE,
    )
    return build_message(
        room().render(fields),
        fields=fields,
        sender="letters@example.org",
        message_id=MESSAGE_ID,
        date=DATE,
        calendar=calendar,
    )


@pytest.mark.parametrize("kind", SIX)
@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name[:8]))
def test_no_words_make_a_letter_of_100_kilobytes(kind: str, name: str) -> None:
    raw = whole(kind, name)
    text, html, calendar = parts(raw)

    assert len(raw) < 100_000
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
    for part in (text, html):
        assert "9\u00a0h\u00a000 à 11\u00a0h\u00a000, heure de Paris" in words_of(part)
    assert opened(words_of(calendar).encode()).start == FIELDS.start


def test_a_name_is_cut_at_80_characters_in_the_greeting() -> None:
    letter = render(first_name="é" * 100_000)

    assert letter.text.startswith(f"Bonjour {'é' * 80},\n")


def test_a_subject_is_cut_at_300_characters() -> None:
    letter = render(title="é" * 100_000)

    assert len(letter.subject) == 300
    assert letter.subject.startswith("Inscription enregistrée, votre lien\u00a0: ééé")


@pytest.mark.parametrize("kind", SIX)
def test_an_ordinary_letter_is_far_below(post: dict[str, Kept], kind: str) -> None:
    assert 5_000 < len(post[kind].raw) < 20_000
