"""Builds the message of a letter: RFC 5322 bytes, 7 bit, CRLF; every header decodes as meant."""

import binascii
import hashlib
import re
from datetime import datetime
from email.encoders import encode_base64
from email.header import Header
from email.message import Message
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.policy import Compat32
from email.utils import format_datetime
from urllib.parse import quote

from resonance_zoom.mail.addresses import plain_address, plain_domain, sender_address
from resonance_zoom.mail.letters import LetterFields, LetterRefused, RenderedLetter
from resonance_zoom.mail.names import clean_header

LONGEST_LINE = 75
# The older policy leaves a Header object alone. The newer one encodes again by itself: CPython 3.11
# loses spaces of long French subjects, 3.13 writes what some servers refuse.
POLICY = Compat32(linesep="\r\n", cte_type="7bit", max_line_length=LONGEST_LINE, mangle_from_=False)
_PLAIN_WORDS = re.compile(r"[A-Za-z0-9 ,.'-]{0,50}")


def message_id(*key: str, domain: str) -> str:
    """A Message-ID that follows from a letter's key: every attempt at it carries the same."""
    digest = hashlib.sha256("\n".join(key).encode("utf-8", "replace")).hexdigest()[:32]
    return f"<{digest}@{plain_domain(domain)}>"


def build_message(
    rendered: RenderedLetter,
    *,
    fields: LetterFields,
    sender: str,
    message_id: str,
    date: datetime,
    calendar: bytes | None,
) -> bytes:
    """The bytes of one letter to one address: text, HTML and the calendar file.

    The same arguments give the same bytes. Raises MailRefused for an address that no letter can go
    to, MailUnreachable for one of ours that none can come from, LetterRefused if the headers would
    not read back as the ones written here.
    """
    organiser, sender = sender_address(fields.organiser_email), sender_address(sender)
    message = _body(rendered, calendar, boundary=hashlib.sha256(message_id.encode()).hexdigest())
    # typeshed knows only str as a header of these classes; Compat32 takes Header as well
    message["From"] = _mailbox(fields.organiser_name, sender)  # type: ignore[assignment]
    if organiser.lower() != sender.lower():
        message["Reply-To"] = organiser
    message["To"] = plain_address(fields.email)  # bare: a name may hold a second address
    message["Subject"] = _words(rendered.subject, "Subject")  # type: ignore[assignment]  # idem
    message["Date"] = format_datetime(date)
    message["Message-ID"] = message_id
    # https://www.rfc-editor.org/rfc/rfc3834: nobody's holiday answer comes back
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "OOF, AutoReply"
    message["Content-Language"] = "fr"
    message["X-Letter"] = fields.kind  # what a mail log or a filter can tell letters apart by
    message["List-Unsubscribe"] = _unsubscribe(organiser, fields.title)
    written = message.as_bytes(policy=POLICY)
    if _header_names(written) != message.keys():
        raise LetterRefused("the headers of this letter do not read back as they were written")
    return written


def _body(rendered: RenderedLetter, calendar: bytes | None, *, boundary: str) -> MIMEMultipart:
    """Text and HTML as alternatives, the calendar file beside them: Outlook shows all three so."""
    alternatives = MIMEMultipart("alternative", boundary=f"a-{boundary[:32]}", policy=POLICY)
    alternatives.attach(_text("plain", rendered.text))
    alternatives.attach(_text("html", rendered.html))
    if calendar is None:
        return alternatives
    mixed = MIMEMultipart("mixed", boundary=f"m-{boundary[:32]}", policy=POLICY)
    mixed.attach(alternatives)
    mixed.attach(_calendar(calendar))
    return mixed


def _text(subtype: str, words: str) -> Message:
    """Quoted-printable, which French stays legible in; base64 where that would double the size."""
    part = MIMENonMultipart("text", subtype, charset="utf-8", policy=POLICY)
    lines = words.encode("utf-8", "replace").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    quoted = binascii.b2a_qp(lines, istext=True)
    if len(quoted) > 2 * len(lines):
        part.set_payload(lines.replace(b"\n", b"\r\n"))
        encode_base64(part)
    else:
        part["Content-Transfer-Encoding"] = "quoted-printable"
        part.set_payload(quoted.decode("ascii"))
    return part


def _calendar(calendar: bytes) -> Message:
    part = MIMENonMultipart(
        "text",
        "calendar",
        charset="utf-8",
        method="CANCEL" if b"METHOD:CANCEL" in calendar else "PUBLISH",
        name="invitation.ics",
        policy=POLICY,
    )
    part.add_header("Content-Disposition", "attachment", filename="invitation.ics")
    part.set_payload(calendar)
    encode_base64(part)
    return part


def _words(text: str, header_name: str) -> Header:
    """A header's free text: as it is when short and plain, else in encoded words."""
    words = clean_header(text)
    plain = _PLAIN_WORDS.fullmatch(words)
    charset = "us-ascii" if plain else "utf-8"
    return Header(words, charset, maxlinelen=LONGEST_LINE, header_name=header_name)


def _mailbox(name: str, address: str) -> Header:
    """`Mission Résonance <contact@example.org>`, the name quoted or encoded."""
    words = clean_header(name)
    if _PLAIN_WORDS.fullmatch(words):
        return Header(f'"{words}" <{address}>', header_name="From")
    header = Header(words, "utf-8", maxlinelen=LONGEST_LINE, header_name="From")
    header.append(f"<{address}>", "us-ascii")
    return header


def _unsubscribe(organiser: str, title: str) -> str:
    """A letter to the organiser, who is the one to strike somebody off."""
    subject = quote(f"Désinscription : {clean_header(title)[:60]}")
    return f"<mailto:{quote(organiser, safe='@')}?subject={subject}>"


def _header_names(written: bytes) -> list[str]:
    """The names of the headers as any other program will read them."""
    block = written.split(b"\r\n\r\n", 1)[0]
    lines = re.split(rb"\r\n|\r|\n", block)
    return [
        line.split(b":", 1)[0].decode("ascii", "replace")
        for line in lines
        if not line.startswith((b" ", b"\t"))
    ]
