"""Builds the message of a letter: RFC 5322 bytes, 7 bit, CRLF; every header decodes as meant.

What the letters of a wave share is encoded once; the parts are written directly, because building
objects of `email` for each letter would cost more than everything else that is done for it.
"""

import hashlib
import re
from datetime import datetime
from email.header import Header
from email.policy import Compat32
from email.utils import format_datetime
from functools import lru_cache
from urllib.parse import quote

from resonance_zoom.mail.addresses import plain_address, plain_domain, sender_address
from resonance_zoom.mail.frames import Letter
from resonance_zoom.mail.letters import LetterFields, LetterRefused
from resonance_zoom.mail.names import clean_header
from resonance_zoom.mail.quoting import in_base64

LONGEST_LINE = 75
# The older policy leaves a Header object alone. The newer one encodes again by itself: CPython 3.11
# loses spaces of long French subjects, 3.13 writes what some servers refuse.
POLICY = Compat32(linesep="\r\n", cte_type="7bit", max_line_length=LONGEST_LINE, mangle_from_=False)
_PLAIN_WORDS = re.compile(r"[A-Za-z0-9 ,.'-]{0,50}")
_once = lru_cache(maxsize=256)  # what a whole wave shares, and a few waves beside it


def message_id(*key: str, domain: str) -> str:
    """A Message-ID that follows from a letter's key: every attempt at it carries the same."""
    digest = hashlib.sha256("\n".join(key).encode("utf-8", "replace")).hexdigest()[:32]
    return f"<{digest}@{plain_domain(domain)}>"


def build_message(
    letter: Letter,
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
    boundary = hashlib.sha256(message_id.encode()).hexdigest()[:32]
    content_type, body = _body(letter, calendar, boundary)
    headers = [
        *_multipart(content_type),
        *_of_the_sender(fields.organiser_name, fields.organiser_email, sender),
        # bare: a name may hold a second address
        ("To", _line("To", plain_address(fields.email))),
        ("Subject", _subject(letter.subject)),
        ("Date", _line("Date", _date(date.replace(microsecond=0)))),
        ("Message-ID", _line("Message-ID", message_id)),
        *_FIXED,
        # what a mail log or a filter can tell letters apart by
        ("X-Letter", _line("X-Letter", fields.kind)),
        ("List-Unsubscribe", _unsubscribe(fields.organiser_email, fields.title)),
    ]
    block = "".join(line for _, line in headers).encode("ascii")
    if _header_names(block) != [name for name, _ in headers]:
        raise LetterRefused("the headers of this letter do not read back as they were written")
    return b"%b\r\n%b" % (block, body)


_FIXED = (
    # https://www.rfc-editor.org/rfc/rfc3834: nobody's holiday answer comes back
    ("Auto-Submitted", "Auto-Submitted: auto-generated\r\n"),
    ("X-Auto-Response-Suppress", "X-Auto-Response-Suppress: OOF, AutoReply\r\n"),
    ("Content-Language", "Content-Language: fr\r\n"),
)


@_once
def _of_the_sender(name: str, organiser: str, sender: str) -> tuple[tuple[str, str], ...]:
    """From, and Reply-To where answers must not come back to the sender."""
    organiser, sender = sender_address(organiser), sender_address(sender)
    headers = [("From", _mailbox(name, sender))]
    if organiser.lower() != sender.lower():
        headers.append(("Reply-To", _line("Reply-To", organiser)))
    return tuple(headers)


def _body(letter: Letter, calendar: bytes | None, boundary: str) -> tuple[str, bytes]:
    """Text and HTML as alternatives, the calendar file beside them: Outlook shows all three so."""
    # `=_` stands in no text that is encoded: nothing that anybody typed can pass for a boundary.
    inner, outer = f"=_a-{boundary}", f"=_m-{boundary}"
    content_type, alternatives = _content_type("alternative", inner), _joined(inner, letter.parts())
    if calendar is None:
        return content_type, alternatives
    head = "".join(line for _, line in _multipart(content_type)).encode("ascii")
    both = b"%b\r\n%b" % (head, alternatives), _calendar(calendar)
    return _content_type("mixed", outer), _joined(outer, both)


def _multipart(content_type: str) -> tuple[tuple[str, str], ...]:
    return ("Content-Type", content_type), ("MIME-Version", "MIME-Version: 1.0\r\n")


def _content_type(subtype: str, boundary: str) -> str:
    return f'Content-Type: multipart/{subtype};\r\n boundary="{boundary}"\r\n'


def _joined(boundary: str, parts: tuple[bytes, ...]) -> bytes:
    """https://www.rfc-editor.org/rfc/rfc2046#section-5.1: each part between lines of its own."""
    line = f"--{boundary}".encode("ascii")
    pieces = [b"%b\r\n%b\r\n" % (line, part) for part in parts]
    return b"%b%b--\r\n" % (b"".join(pieces), line)


def _calendar(calendar: bytes) -> bytes:
    method = "CANCEL" if b"METHOD:CANCEL" in calendar else "PUBLISH"
    head = (
        f'Content-Type: text/calendar; charset="utf-8"; method="{method}";\r\n'
        ' name="invitation.ics"\r\n'
        "MIME-Version: 1.0\r\n"
        'Content-Disposition: attachment; filename="invitation.ics"\r\n'
        "Content-Transfer-Encoding: base64\r\n\r\n"
    )
    return head.encode("ascii") + in_base64(calendar)


def _line(name: str, value: str) -> str:
    """One header of plain ASCII."""
    if len(name) + len(": ") + len(value) <= LONGEST_LINE and value.isprintable():
        return f"{name}: {value}\r\n"
    return POLICY.fold(name, value)


@_once
def _subject(subject: str) -> str:
    """Free text: as it is when short and plain, else in encoded words."""
    words = clean_header(subject)
    charset = "us-ascii" if _PLAIN_WORDS.fullmatch(words) else "utf-8"
    return _encoded(
        "Subject", Header(words, charset, maxlinelen=LONGEST_LINE, header_name="Subject")
    )


def _mailbox(name: str, address: str) -> str:
    """`Mission Résonance <contact@example.org>`, the name quoted or encoded."""
    words = clean_header(name)
    if _PLAIN_WORDS.fullmatch(words):
        return _encoded("From", Header(f'"{words}" <{address}>', header_name="From"))
    header = Header(words, "utf-8", maxlinelen=LONGEST_LINE, header_name="From")
    header.append(f"<{address}>", "us-ascii")
    return _encoded("From", header)


def _encoded(name: str, header: Header) -> str:
    # typeshed knows only str as a header's value; Compat32 takes Header as well
    return POLICY.fold(name, header)  # type: ignore[arg-type]


@_once
def _unsubscribe(organiser: str, title: str) -> str:
    """A letter to the organiser, who is the one to strike somebody off."""
    subject = quote(f"Désinscription : {clean_header(title)[:60]}")
    address = quote(sender_address(organiser), safe="@")
    return _line("List-Unsubscribe", f"<mailto:{address}?subject={subject}>")


@_once
def _date(date: datetime) -> str:
    return format_datetime(date)


def _header_names(block: bytes) -> list[str]:
    """The names of the headers as any other program will read them."""
    names = [line.partition(b":")[0] for line in block.splitlines() if line[:1] not in b" \t"]
    return [name.decode("ascii", "replace") for name in names if name]
