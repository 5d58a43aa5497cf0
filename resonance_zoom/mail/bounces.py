"""Reads what a mail server reports of letters that did not arrive: bytes in, values out, no trust.

Anybody may write to the address that letters come from: whatever they send is read, or refused with
the reason, in a time that grows with its length alone, and nothing else is ever raised. That is why
a message is cut up here: the library's parser looks at every line once for each part that is open,
and a hundred thousand bytes of parts within parts keep it busy for ten seconds.
https://www.rfc-editor.org/rfc/rfc3464
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser
from email.policy import compat32

from resonance_zoom.errors import ResonanceError
from resonance_zoom.mail.names import clean_header

LARGEST = 300_000  # bytes; with the whole letter in it, a report has a fifth of that
MOST_PARTS = 10  # a report has three
MOST_RECIPIENTS = 50  # of one report; each of our letters goes to one
LONGEST_WORDS = 300
LONGEST_HEADER = 1000  # of those whose parameters are looked at: the library's reader is quadratic
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,250}>")
_STATUS = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b", re.ASCII)
_ADDRESS = re.compile(r"[^\s<>(\[,;:\"']+(?:@|%40)[^\s<>)\],;\"']+")
_EMPTY_LINE = re.compile(rb"\n[ \t]*\r?\n")
_FAULTS = (ValueError, LookupError, TypeError, AttributeError)  # of the library, on crooked headers


class NoReport(ResonanceError):
    """A message that is not the report of a mail server about a letter."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one letter for one recipient.

    `lost`: the server gave up, else it still tries. `recipients`: the final one, and the one that
    was written to where it was forwarded; in small letters. `words`: one line, without addresses.
    """

    message_id: str
    recipients: tuple[str, ...]
    lost: bool
    status: str
    words: str


def may_be_report(headers: bytes) -> bool:
    """Whether a message whose Content-Type is among these headers is worth a closer look."""
    try:
        message = _headers(headers)
        kind = message.get_param("report-type", "delivery-status") if _is_report(message) else ""
    except (NoReport, *_FAULTS):
        return False
    return str(kind).lower() == "delivery-status"


def read(raw: bytes) -> list[Report]:
    """What a report says of each recipient whom the letter did not reach, or not yet.

    Empty for good news. Raises NoReport for everything else that lies in a mailbox.
    """
    if len(raw) > LARGEST:
        raise NoReport(f"it is larger than {LARGEST // 1000} kB")
    try:
        return list(_read(_headers(raw)))
    except _FAULTS as error:
        raise NoReport("it is not built as a message is") from error


def _read(message: Message) -> Iterator[Report]:
    if not _is_report(message):
        raise NoReport("it is no report of a mail server")
    parts = {_kind(part): part for part in reversed(_parts(message))}
    told = parts.get("message/delivery-status")
    if told is None:
        raise NoReport("it is a report, but not about the delivery of a letter")
    letter = parts.get("message/rfc822") or parts.get("text/rfc822-headers")
    message_id = _message_id(letter) if letter is not None else None
    if message_id is None:
        raise NoReport("it does not say of which letter it speaks")
    for block in _EMPTY_LINE.split(_body(told), MOST_RECIPIENTS + 1)[: MOST_RECIPIENTS + 1]:
        if report := _of_recipient(_headers(block), message_id):
            yield report


def _headers(raw: bytes) -> Message:
    """The headers, and the rest as it is: the part after them is not read."""
    return BytesHeaderParser(policy=compat32).parsebytes(raw)


def _kind(message: Message) -> str:
    if any(len(str(value)) > LONGEST_HEADER for value in message.get_all("Content-Type", [])):
        raise NoReport("its headers are longer than those of a report")
    return message.get_content_type()


def _is_report(message: Message) -> bool:
    return _kind(message) == "multipart/report"


def _parts(message: Message) -> list[Message]:
    """What stands between the lines of the boundary."""
    boundary = message.get_boundary()
    if not boundary:
        raise NoReport("it has no parts")
    line = rb"(?m)^--" + re.escape(boundary.encode())
    whole = re.split(line + rb"--", _body(message), maxsplit=1)[0]
    parts = re.split(line + rb"[ \t]*\r?\n", whole, maxsplit=MOST_PARTS)
    return [_headers(part) for part in parts[1:]]


def _body(message: Message) -> bytes:
    body = message.get_payload(decode=True)
    return body if isinstance(body, bytes) else b""


def _message_id(part: Message) -> str | None:
    """The Message-ID of the letter that came back, whole or as its headers alone."""
    found = _MESSAGE_ID.search(str(_headers(_body(part)).get("Message-ID", "")))
    return found[0] if found else None


def _of_recipient(block: Message, message_id: str) -> Report | None:
    """None for the block about the whole letter, and for one that tells of success."""
    named = [_recipient(block.get(name)) for name in ("Final-Recipient", "Original-Recipient")]
    recipients = tuple(dict.fromkeys(filter(None, named)))
    found = _STATUS.search(str(block.get("Status", "")))
    status = found[0] if found else ""
    action = str(block.get("Action", "")).strip().lower()
    # A server that has tried for days gives up with Action: failed and its last 4.x.x.
    lost = action == "failed" or (action != "delayed" and status.startswith("5"))
    if not recipients or not (lost or action == "delayed" or status.startswith("4")):
        return None
    said = unaddressed(str(block.get("Diagnostic-Code", "")).partition(";")[2])
    return Report(message_id, recipients, lost, status, said)


def _recipient(field: object) -> str:
    """`rfc822; <Alice@example.org>` as alice@example.org."""
    kind, _, address = str(field or "").partition(";")
    return address.strip().strip("<>").lower() if kind.strip().lower() == "rfc822" else ""


def unaddressed(words: str) -> str:
    """A server's words on one line, of bounded length, with an ellipsis for every address."""
    return _ADDRESS.sub("…", clean_header(words[: 4 * LONGEST_WORDS]))[:LONGEST_WORDS].strip()
