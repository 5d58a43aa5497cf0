"""One letter as the tests know it, and what an independent reader makes of its bytes."""

import email
import email.header
from dataclasses import replace
from datetime import UTC, datetime
from email.message import Message
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from resonance_zoom.mail.letters import LetterFields, LetterRoom, RenderedLetter
from resonance_zoom.mail.message import build_message

SHIPPED = Path(__file__).parents[2] / "config" / "letters"
KINDS = ("confirmation", "reminder-7", "reminder-1")
PARIS = ZoneInfo("Europe/Paris")
JOIN_URL = "https://us02web.zoom.us/w/81234567890?tk=Zb3_dQ.DQMA&pwd=eXh5"
MESSAGE_ID = "<0123456789abcdef@example.org>"
DATE = datetime(2021, 1, 11, 10, tzinfo=UTC)

FIELDS = LetterFields(
    kind="confirmation",
    campaign_name="Mission Résonance",
    organiser_name="Mission Résonance",
    organiser_email="contact@example.org",
    organiser_phone=None,
    title="Accompagner le développement du télétravail",
    start=datetime(2021, 2, 9, 8, tzinfo=UTC),
    end=datetime(2021, 2, 9, 10, tzinfo=UTC),
    timezone=PARIS,
    first_name="Camille",
    last_name="Martin",
    email="camille@example.net",
    join_url=JOIN_URL,
    keep_days=30,
    agenda="Où, comment, avec qui ?",
)


@cache
def room() -> LetterRoom:
    return LetterRoom([SHIPPED])


def render(**changes: Any) -> RenderedLetter:
    return room().render(replace(FIELDS, **changes))


def built(
    *,
    subject: str = "Bonjour",
    calendar: bytes | None = b"BEGIN:VCALENDAR",
    message_id: str = MESSAGE_ID,
    **changes: Any,
) -> bytes:
    return build_message(
        RenderedLetter(subject, "Bonjour\n", "<p>Bonjour</p>"),
        fields=replace(FIELDS, **changes),
        sender="letters@example.org",
        message_id=message_id,
        date=DATE,
        calendar=calendar,
    )


def headers(raw: bytes) -> list[tuple[str, str]]:
    """Name and decoded value of each header, unfolded by hand: not by the code that wrote them."""
    block = raw.split(b"\r\n\r\n", 1)[0].decode("ascii")
    unfolded = block.replace("\r\n ", " ").replace("\r\n\t", "\t")
    pairs = (line.partition(":") for line in unfolded.split("\r\n"))
    return [(name, decoded(value.strip())) for name, _, value in pairs]


def decoded(value: str) -> str:
    return str(email.header.make_header(email.header.decode_header(value)))


def header(raw: bytes, name: str) -> str:
    [value] = [value for known, value in headers(raw) if known == name]
    return value


def parts(raw: bytes) -> list[Message]:
    return [part for part in email.message_from_bytes(raw).walk() if not part.is_multipart()]


def words_of(part: Message) -> str:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode("utf-8")
