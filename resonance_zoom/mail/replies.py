"""What a mail server said, in a form that may be kept and shown."""

import smtplib
import socket
from dataclasses import dataclass

LONGEST_REPLY = 500


@dataclass(frozen=True, slots=True)
class Accepted:
    """The server took the letter; `reply` is its words. Whether it arrives is another matter."""

    reply: str


def shown(code: int, reply: bytes | str) -> str:
    """`250 2.0.0 Ok: queued`: printable, one line, at most 500 characters."""
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    return " ".join([*([str(code)] if code > 0 else []), *text.split()])[:LONGEST_REPLY]


def fault_words(error: Exception) -> str:
    """What went wrong on the way to the server, in a few words."""
    if isinstance(error, smtplib.SMTPResponseException):
        if error.smtp_code < 0:
            return f"what answers there does not speak SMTP: {shown(0, error.smtp_error)[:80]}"
        return shown(error.smtp_code, error.smtp_error)
    if isinstance(error, socket.gaierror):
        return "no such host"
    if isinstance(error, TimeoutError):
        return "timed out"
    return shown(0, str(error)) or type(error).__name__
