"""A mail server on loopback that delivers to nobody: it keeps each letter for the mailbox page."""

import email
import email.policy
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage, MIMEPart
from typing import Any, cast

from aiosmtpd.controller import Controller

KEPT = 500  # letters; a demonstration left alone for days must not fill the memory


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter that the server accepted: its number from 1, when (UTC), and for whom."""

    number: int
    at: datetime
    recipients: tuple[str, ...]
    message: EmailMessage

    @property
    def kind(self) -> str:
        """confirmation, moved …; empty when the letter does not say."""
        return str(self.message.get("X-Letter", ""))

    @property
    def subject(self) -> str:
        """As a mail program lists it."""
        return str(self.message.get("Subject", ""))

    @property
    def headers(self) -> list[tuple[str, str]]:
        """All of them, decoded, in their order."""
        return [(name, str(value)) for name, value in self.message.items()]

    def body(self, subtype: str) -> str | None:
        """The `plain` or the `html` part, None when there is none."""
        part = self.message.get_body((subtype,))
        return None if part is None else str(part.get_content())

    @property
    def attachments(self) -> list[MIMEPart]:
        """The parts with a file name."""
        return [
            cast("MIMEPart", part)
            for part in self.message.walk()
            if part.get_filename() and not part.is_multipart()
        ]


class MailBox:
    """A real SMTP server; `letters()` is what has arrived, the newest first."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self._lock = threading.Lock()
        self._letters: list[Letter] = []
        self._count = 0
        with socket.socket() as probe:  # aiosmtpd's start-up probe needs to know the port
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._controller = Controller(self, hostname="127.0.0.1", port=port)
        self.url = f"smtp://127.0.0.1:{port}"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 — aiosmtpd's name
        """Keep one letter."""
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        with self._lock:
            self._count += 1
            recipients = tuple(envelope.rcpt_tos)
            self._letters.append(Letter(self._count, self.now(), recipients, message))
            del self._letters[:-KEPT]
        return f"250 OK: letter {self._count}"

    def letters(self) -> list[Letter]:
        """What has arrived, the newest first."""
        with self._lock:
            return self._letters[::-1]

    def letter(self, number: int) -> Letter | None:
        """One letter, None when there is none of that number (any more)."""
        return next((one for one in self.letters() if one.number == number), None)

    def start(self) -> None:
        """Listen."""
        self._controller.start()

    def stop(self) -> None:
        """Stop listening."""
        self._controller.stop()
