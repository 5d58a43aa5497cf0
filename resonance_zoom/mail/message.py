"""Builds the message of a letter: RFC 5322 bytes, 7 bit, CRLF, every header safe to decode again."""

import hashlib
from datetime import datetime
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

from resonance_zoom.mail.letters import LetterFields, RenderedLetter
from resonance_zoom.mail.names import clean_header


class LetterPolicy(EmailPolicy):
    """Encodes unstructured headers with email.header.

    The library's own folding loses spaces in long French subjects (CPython 3.11) or writes a form
    that some providers refuse (3.13).
    """

    def fold(self, name: str, value: Any) -> str:
        if name.lower() == "subject":
            encoded = Header(str(value), "utf-8", maxlinelen=75, header_name=name).encode()
            return f"{name}: {encoded.replace(chr(10), self.linesep)}{self.linesep}"
        return super().fold(name, value)


POLICY = LetterPolicy(linesep="\r\n", cte_type="7bit", max_line_length=SMTP.max_line_length)


def message_id(*parts: str, domain: str) -> str:
    """A Message-ID that follows from its parts: every attempt at one letter carries the same."""
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
    return f"<{digest}@{domain}>"


def build_message(
    rendered: RenderedLetter,
    *,
    fields: LetterFields,
    sender: str,
    message_id: str,
    date: datetime,
    calendar: bytes | None,
) -> bytes:
    """The bytes of one letter to one address: text, HTML and the calendar file."""
    message = EmailMessage(policy=POLICY)
    message["From"] = f"{_quoted(fields.organiser_name)} <{sender}>"
    if fields.organiser_email.lower() != sender.lower():
        message["Reply-To"] = fields.organiser_email
    message["To"] = fields.email
    message["Subject"] = clean_header(rendered.subject)
    message["Date"] = format_datetime(date)
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "OOF, AutoReply"
    message["Content-Language"] = "fr"
    message["X-Letter"] = fields.kind
    subject = quote(f"Désinscription : {fields.title}"[:120])
    message["List-Unsubscribe"] = f"<mailto:{fields.organiser_email}?subject={subject}>"
    message.set_content(rendered.text, cte="quoted-printable")
    message.add_alternative(rendered.html, subtype="html", cte="quoted-printable")
    if calendar is not None:
        message.add_attachment(
            calendar,
            maintype="text",
            subtype="calendar",
            filename="rencontre.ics",
            params={"charset": "utf-8", "method": "PUBLISH"},
            cte="base64",
        )
    return message.as_bytes()


def _quoted(name: str) -> str:
    escaped = clean_header(name).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
