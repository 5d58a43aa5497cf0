"""The bytes of a letter say exactly what was meant, to any reader."""

import email
import email.policy
import re
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resonance_zoom.errors import MailRefused, MailUnreachable
from resonance_zoom.mail.letters import LetterRefused, RenderedLetter
from resonance_zoom.mail.message import build_message, message_id
from resonance_zoom.mail.names import clean_header
from tests.mail.sample import (
    DATE,
    FIELDS,
    MESSAGE_ID,
    built,
    header,
    headers,
    parts,
    words_of,
)

HEADERS = [
    "Content-Type",
    "MIME-Version",
    "From",
    "Reply-To",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "Content-Language",
    "X-Letter",
    "List-Unsubscribe",
]
HOSTILE = [
    "=?UTF-8?Q?=0D=0A?=Bcc: all@example.org",
    "Zoé\r\nBcc: all@example.org",
    "Zoé\nBcc: all@example.org\n\nbody",
    "Zoé\u2028Bcc: x\u2029\u0085\x0b\x0c\x00",
    "\u202eeliimaC",
    "אבי גרינברג",
    "Zoé 🎉👩‍💻",
    "é" * 10_000,
    "a" * 10_000,
    "a " * 5_000,
    '"Zoé" <evil@example.org>, other@example.org',
    "\ud800\udfff lone",
    "{{7*7}} {0.__class__} %(x)s ${x}",
    "=?utf-8?b?" * 30,
    " ",
]


def test_the_headers_of_a_letter() -> None:
    assert headers(built())[2:] == [
        ("From", "Mission Résonance <letters@example.org>"),
        ("Reply-To", "contact@example.org"),
        ("To", "camille@example.net"),
        ("Subject", "Bonjour"),
        ("Date", "Mon, 11 Jan 2021 10:00:00 +0000"),
        ("Message-ID", "<0123456789abcdef@example.org>"),
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "OOF, AutoReply"),
        ("Content-Language", "fr"),
        ("X-Letter", "confirmation"),
        (
            "List-Unsubscribe",
            "<mailto:contact@example.org?subject=D%C3%A9sinscription%20%3A%20"
            "Accompagner%20le%20d%C3%A9veloppement%20du%20t%C3%A9l%C3%A9travail>",
        ),
    ]


def test_answers_come_to_the_sender_when_the_organiser_sends() -> None:
    assert "Reply-To" not in dict(headers(built(organiser_email="Letters@example.org")))


def test_a_letter_has_a_text_an_html_and_a_calendar_file() -> None:
    text, html, calendar = parts(built())

    assert [part.get_content_type() for part in (text, html)] == ["text/plain", "text/html"]
    assert (words_of(text), words_of(html)) == ("Bonjour\r\n", "<p>Bonjour</p>")
    assert calendar.get_content_type() == "text/calendar"
    assert calendar.get_param("method") == "PUBLISH"
    assert calendar.get_filename() == "invitation.ics"
    assert calendar.get_content_disposition() == "attachment"
    assert words_of(calendar) == "BEGIN:VCALENDAR"


def test_without_a_calendar_file_the_alternatives_stand_alone() -> None:
    raw = built(calendar=None)

    assert header(raw, "Content-Type").startswith("multipart/alternative")
    assert len(parts(raw)) == 2


def test_long_lines_and_odd_line_ends_travel_unharmed_in_short_ascii_lines() -> None:
    body = "From the start\r.\n" + "é" * 2000 + "\r\nfin \n"
    raw = build_message(
        RenderedLetter("Bonjour", body, body),
        fields=FIELDS,
        sender="letters@example.org",
        message_id=MESSAGE_ID,
        date=DATE,
        calendar=b"\x00\r\n" * 100,
    )

    assert raw.isascii()
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert max(map(len, raw.split(b"\r\n\r\n", 1)[1].split(b"\r\n"))) <= 76
    text, _, calendar = parts(raw)
    assert words_of(text) == "From the start\r\n.\r\n" + "é" * 2000 + "\r\nfin \r\n"
    assert calendar.get_payload(decode=True) == b"\x00\r\n" * 100


@pytest.mark.parametrize(
    ("body", "encoding", "longest"),
    [
        ("Bonjour à tous, l’été arrive\r\n" * 100, "quoted-printable", 6_000),
        ("Bonjour 👩‍💻👩‍💻👩‍💻👩‍💻👩‍💻\r\n" * 100, "base64", 9_600),
    ],
)
def test_french_stays_legible_and_no_words_double_the_size(
    body: str, encoding: str, longest: int
) -> None:
    raw = build_message(
        RenderedLetter("Bonjour", body, body),
        fields=FIELDS,
        sender="letters@example.org",
        message_id=MESSAGE_ID,
        date=DATE,
        calendar=None,
    )

    for part in parts(raw):
        assert part["Content-Transfer-Encoding"] == encoding
        assert words_of(part) == body
        assert len(str(part.get_payload())) < longest


def test_every_attempt_at_a_letter_has_the_same_bytes() -> None:
    assert built() == built()


def test_what_parts_a_letter_differs_in_each_so_that_nobody_can_write_it_into_a_name() -> None:
    ours, theirs = (
        set(re.findall(rb'boundary="([^"]+)"', built(message_id=known)))
        for known in ("<one@example.org>", "<two@example.org>")
    )
    assert (len(ours), len(theirs)) == (2, 2)
    assert ours.isdisjoint(theirs)


@pytest.mark.parametrize("words", HOSTILE)
def test_no_words_add_a_header_or_make_the_builder_raise(words: str) -> None:
    raw = built(subject=words, title=words, organiser_name=words, first_name=words, last_name=words)

    assert [name for name, _ in headers(raw)] == HEADERS
    assert header(raw, "Subject") == clean_header(words)
    assert header(raw, "To") == "camille@example.net"
    assert header(raw, "From").endswith("<letters@example.org>")
    assert max(map(len, raw.split(b"\r\n"))) < 998


@pytest.mark.parametrize("line_end", ["\r\n", "\n", "\r"])
def test_a_header_that_reads_as_two_is_refused_whoever_made_it(
    monkeypatch: pytest.MonkeyPatch, line_end: str
) -> None:
    """The last look, should a library or a cleaner let one through."""
    two = f"Subject: a{line_end}Bcc: all@example.org\r\n"
    monkeypatch.setattr("resonance_zoom.mail.message._subject", lambda _words: two)
    with pytest.raises(LetterRefused, match="do not read back"):
        built()


@given(st.text(st.characters(), max_size=200))
@settings(max_examples=150, deadline=None)
def test_a_subject_decodes_to_what_was_encoded(words: str) -> None:
    subject = clean_header(words)
    raw = built(subject=subject, calendar=None)

    assert header(raw, "Subject") == subject
    block = raw.split(b"\r\n\r\n", 1)[0]
    assert all(len(line) <= 76 for line in block.split(b"\r\n") if b"=?utf-8?" in line)


@given(
    st.lists(
        st.sampled_from(
            ["réancrer", "l’été", "à", "ŒUVRE", "le", "télé\u00a0: ", "=", "?", "_", "💻"]
        ),
        max_size=30,
    ).map(" ".join)
)
@settings(max_examples=150, deadline=None)
def test_a_french_subject_loses_no_space(words: str) -> None:
    assert header(built(subject=words, calendar=None), "Subject") == clean_header(words)


@given(st.text(st.characters(), max_size=100))
@settings(max_examples=80, deadline=None)
def test_the_organisers_name_decodes_to_what_it_is(name: str) -> None:
    shown = header(built(organiser_name=name, calendar=None), "From")

    assert shown.removesuffix("<letters@example.org>").strip(' "') == clean_header(name).strip(' "')


@given(
    subject=st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(), max_size=120)),
    name=st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(), max_size=60)),
    title=st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(), max_size=60)),
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=500),
    html=st.text("<p>é👩\r\n. =\t-\x00", max_size=500),
    calendar=st.one_of(st.none(), st.binary(max_size=300)),
)
@settings(max_examples=300, deadline=None)
def test_the_parser_of_email_itself_reads_every_header_and_part_as_meant(
    subject: str, name: str, title: str, text: str, html: str, calendar: bytes | None
) -> None:
    raw = build_message(
        RenderedLetter(subject, text, html),
        fields=replace(FIELDS, organiser_name=name, title=title),
        sender="letters@example.org",
        message_id=MESSAGE_ID,
        date=DATE,
        calendar=calendar,
    )
    read = email.message_from_bytes(raw, policy=email.policy.default)

    assert [part.defects for part in read.walk()] == [[]] * len(list(read.walk()))
    assert read.keys() == HEADERS
    [sender], [answers], [to] = (read[key].addresses for key in ("From", "Reply-To", "To"))
    assert sender.addr_spec == "letters@example.org"
    assert (answers.addr_spec, to.addr_spec) == ("contact@example.org", "camille@example.net")
    assert (read["Date"].datetime, read["Message-ID"]) == (DATE, MESSAGE_ID)
    assert (read["X-Letter"], read["Content-Language"]) == ("confirmation", "fr")
    kinds = ["text/plain", "text/html", *(["text/calendar"] if calendar is not None else [])]
    words, page, *file = leaves = [part for part in read.walk() if not part.is_multipart()]
    assert [part.get_content_type() for part in leaves] == kinds
    for part, meant in ((words, text), (page, html)):
        assert words_of(part) == "\r\n".join(re.split("\r\n|\r|\n", meant))
    assert [part.get_payload(decode=True) for part in file] == [calendar] * len(file)
    assert [part.get_filename() for part in file] == ["invitation.ics"] * len(file)


def test_no_line_of_a_subject_is_longer_than_an_encoded_word_may_be() -> None:
    """https://www.rfc-editor.org/rfc/rfc2047#section-2: 75 characters, and the space before it."""
    block = built(subject="réancrer l’économie " * 14).split(b"\r\n\r\n", 1)[0]
    lines = [line for line in block.split(b"\r\n") if b"=?utf-8?" in line]

    assert len(lines) > 5
    assert max(map(len, lines)) <= 76


def test_a_long_title_leaves_the_way_out_short() -> None:
    way_out = header(built(title="a" * 10_000), "List-Unsubscribe")

    assert way_out.endswith(f"%20%3A%20{'a' * 60}>")


def test_an_address_that_cannot_be_written_to_refuses_this_letter() -> None:
    with pytest.raises(MailRefused):
        built(email="a@example.net, b@example.net")


def test_an_address_of_ours_that_cannot_write_holds_every_letter_back() -> None:
    with pytest.raises(MailUnreachable):
        built(organiser_email="Mission <contact@example.org>")


def test_a_message_id_follows_from_its_key() -> None:
    first = message_id("resonance-2021", "teletravail", "confirmation", domain="example.org")

    assert first == "<3069c78acc27b0a529ecf707c3b02a05@example.org>"
    assert first != message_id("resonance-2021", "teletravail", "reminder-7", domain="example.org")
    assert message_id("ab", "c", domain="x.org") != message_id("a", "bc", domain="x.org")
    assert message_id("a", domain="théâtre.example").endswith("@xn--thtre-4qa2c.example>")


def test_the_date_is_the_one_given() -> None:
    raw = build_message(
        RenderedLetter("a", "b", "c"),
        fields=FIELDS,
        sender="letters@example.org",
        message_id=MESSAGE_ID,
        date=datetime.fromisoformat("2021-03-28T09:00:00+02:00"),
        calendar=None,
    )

    assert header(raw, "Date") == "Sun, 28 Mar 2021 09:00:00 +0200"
