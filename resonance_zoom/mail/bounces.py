"""Reads what a mail server reports of letters that did not arrive: bytes in, values out, no trust.

Anybody may write to the address that letters come from: whatever they send is read, or refused with
the reason, and never raises anything else. https://www.rfc-editor.org/rfc/rfc3464
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from email.policy import compat32

from resonance_zoom.errors import ResonanceError
from resonance_zoom.mail.names import clean_header

LARGEST = 1_000_000  # bytes
MOST_RECIPIENTS = 50  # of one report; each of our letters goes to one
LONGEST_WORDS = 300
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,250}>")
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_ADDRESS = re.compile(r"[^\s<>(\[,;:\"']+(?:@|%40)[^\s<>)\],;\"']+")
# What Python's parser lets through of crooked headers and of parts within parts without end.
_FAULTS = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


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


def read(raw: bytes) -> list[Report]:
    """What a report says of each recipient whom the letter did not reach, or not yet.

    Empty for good news. Raises NoReport for everything else that lies in a mailbox.
    """
    if len(raw) > LARGEST:
        raise NoReport(f"it is larger than {LARGEST // 1_000_000} MB")
    try:
        return list(_read(message_from_bytes(raw, policy=compat32)))
    except _FAULTS as error:
        raise NoReport("it is not built as a message is") from error


def _read(message: Message) -> Iterator[Report]:
    if message.get_content_type() != "multipart/report" or not message.is_multipart():
        raise NoReport("it is no report of a mail server")
    parts = {part.get_content_type(): part for part in reversed(_parts(message))}
    told = parts.get("message/delivery-status")
    if told is None:
        raise NoReport("it is a report, but not about the delivery of a letter")
    letter = parts.get("message/rfc822") or parts.get("text/rfc822-headers")
    message_id = _message_id(letter) if letter is not None else None
    if message_id is None:
        raise NoReport("it does not say of which letter it speaks")
    for block in _parts(told)[:MOST_RECIPIENTS]:
        if report := _of_recipient(block, message_id):
            yield report


def _parts(message: Message) -> list[Message]:
    payload = message.get_payload()
    return [one for one in payload if isinstance(one, Message)] if isinstance(payload, list) else []


def _message_id(part: Message) -> str | None:
    """The Message-ID of the letter that came back, whole or as its headers alone."""
    if inner := _parts(part):
        headers = inner[0]
    else:
        body = part.get_payload(decode=True)
        headers = message_from_bytes(body if isinstance(body, bytes) else b"", policy=compat32)
    found = _MESSAGE_ID.search(str(headers.get("Message-ID", "")))
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
