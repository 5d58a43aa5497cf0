"""What a wave of letters is compared with: smtplib alone, and the loop that many would write."""

import smtplib
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader

from resonance_zoom.service import SHIPPED_LETTERS, utc_now
from tests.bench.stage import REMINDER, stored

SENDER = "contact@example.org"
CALENDAR = """\
BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//example//FR\r\nMETHOD:PUBLISH\r\nBEGIN:VEVENT\r
UID:{id}@example.org\r\nDTSTAMP:20210202T080000Z\r\nDTSTART:20210209T080000Z\r
DTEND:20210209T100000Z\r\nSUMMARY:Mission Résonance\r\nURL:{join_url}\r\nEND:VEVENT\r
END:VCALENDAR\r\n"""
THEIRS = """SELECT letters.id, first_name, last_name, email, join_url, start_at
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


def plain_loop(url: str, database: Path, letters: int) -> float:
    """Letter by letter: looked up, rendered, built, sent, written down and committed; seconds."""
    render = _rendering()
    began = time.perf_counter()
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous=FULL")
        for _ in range(letters):
            letter = connection.execute(THEIRS).fetchone()
            with _connected(url) as smtp:
                smtp.send_message(_message(render, letter))
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


def _rendering() -> Callable[[str, dict[str, Any]], str]:
    """The service's own templates, parsed for every letter."""
    folder = next(folder for folder in SHIPPED_LETTERS if folder.exists())
    room = Environment(loader=FileSystemLoader(folder), autoescape=True, cache_size=0)
    return lambda part, values: room.get_template(f"{REMINDER}.{part}").render(values)


def _message(render: Callable[[str, dict[str, Any]], str], letter: Any) -> EmailMessage:
    values = {
        "campaign_name": "Mission Résonance", "organiser_name": "Mission Résonance",
        "organiser_email": SENDER, "organiser_phone": "", "title": "Le télétravail",
        "day": "mardi 9 février 2021", "hour": "9 h 00",
        "when": "mardi 9 février 2021, de 9 h 00 à 11 h 00 (heure de Paris)",
        "first_name": letter["first_name"], "last_name": letter["last_name"],
        "email": letter["email"], "join_url": letter["join_url"], "keep_days": 30,
        "agenda": "", "other_meetings": (), "personal_url": "https://example.org/me/x",
        "was": "", "dial_in": (), "meeting_number": "", "keep_until": "",
    }  # fmt: skip
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"] = f"Mission Résonance <{SENDER}>", letter["email"]
    message["Subject"] = values["subject"] = render("subject", values).strip()
    message["Date"], message["Message-ID"] = format_datetime(utc_now()), make_msgid()
    message.set_content(render("txt", values))
    message.add_alternative(render("html", values), subtype="html")
    calendar = CALENDAR.format(id=letter["id"], join_url=letter["join_url"])
    message.add_attachment(calendar.encode(), "text", "calendar", filename="invitation.ics")
    return message
