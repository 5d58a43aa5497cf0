"""What a wave of letters is compared with: smtplib alone, and the loop that many would write."""

import re
import smtplib
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Template

from resonance_zoom.service import utc_now
from tests.bench.stage import stored

SENDER = "contact@example.org"
CALENDAR = """\
BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//example//FR\r\nMETHOD:PUBLISH\r\nBEGIN:VEVENT\r
UID:{id}@example.org\r\nDTSTAMP:20210202T080000Z\r\nDTSTART:20210209T080000Z\r
DTEND:20210209T100000Z\r\nSUMMARY:Mission Résonance\r\nURL:{join_url}\r\nEND:VEVENT\r
END:VCALENDAR\r\n"""
THEIRS = """SELECT letters.id, first_name, email, join_url
    FROM letters JOIN registrants ON registrants.id = letters.registrant
    WHERE state = 'queued' ORDER BY ready_at, letters.id LIMIT 1"""


def prebuilt(url: str, message: bytes, recipients: Sequence[str], *, connections: int) -> float:
    """The same bytes to everybody over so many kept connections, a thread each; seconds."""
    began = time.perf_counter()
    shares = [recipients[first::connections] for first in range(connections)]
    with ThreadPoolExecutor(connections) as threads:
        for sending in [threads.submit(_send_all, url, message, share) for share in shares]:
            sending.result()
    return time.perf_counter() - began


def _send_all(url: str, message: bytes, recipients: Sequence[str]) -> None:
    with _connected(url) as smtp:
        for recipient in recipients:
            smtp.sendmail(SENDER, [recipient], message)


def _connected(url: str) -> smtplib.SMTP:
    parts = urlsplit(url)
    return smtplib.SMTP(parts.hostname or "", parts.port or 25)


def plain_loop(url: str, database: Path, letters: int, *, like: bytes) -> float:
    """Letter by letter: looked up, rendered, built, sent, written down and committed; seconds.

    `like` is one of the service's: its words, with the fields of a person in it, are the templates.
    """
    text, html = _templates(like)
    began = time.perf_counter()
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous=FULL")
        for _ in range(letters):
            letter = connection.execute(THEIRS).fetchone()
            with _connected(url) as smtp:
                smtp.send_message(_message(letter, text, html))
            connection.execute(
                "UPDATE letters SET state = 'sent', sent_at = ? WHERE id = ?",
                (stored(utc_now()), letter["id"]),
            )
            connection.execute(
                "INSERT INTO journal (at, level, kind, message, data) VALUES (?,?,?,?,?)",
                (stored(utc_now()), "info", "letter.sent", "sent", "{}"),
            )
            connection.commit()
    return time.perf_counter() - began


def _templates(like: bytes) -> tuple[str, str]:
    """Plain text and HTML of a letter, with fields where its person stands."""
    letter = message_from_bytes(like, policy=SMTP)
    sources = []
    for kind in ("plain", "html"):
        body = letter.get_body((kind,))
        assert body is not None
        source = body.get_content().replace("Maëlle", "{{ first_name }}")
        sources.append(re.sub(r"https://zoom\.us/w/[^\s\"<]+", "{{ join_url }}", source))
    return sources[0], sources[1]


def _message(letter: Any, text: str, html: str) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"] = f"Mission Résonance <{SENDER}>", letter["email"]
    message["Subject"] = "Rappel : accompagner le développement du télétravail, mardi 9 février"
    message["Date"], message["Message-ID"] = format_datetime(utc_now()), make_msgid()
    values = {name: letter[name] for name in ("first_name", "join_url")}
    message.set_content(Template(text).render(values))
    message.add_alternative(Template(html, autoescape=True).render(values), subtype="html")
    calendar = CALENDAR.format(id=letter["id"], join_url=letter["join_url"])
    message.add_attachment(calendar.encode(), "text", "calendar", filename="invitation.ics")
    return message
