"""A real SMTP server on loopback that keeps what it accepts, and refuses on demand."""

import email
import email.policy
import socket
from dataclasses import dataclass, field
from email.message import EmailMessage
from types import TracebackType
from typing import Any, Self

from aiosmtpd.controller import Controller


@dataclass
class Kept:
    """One accepted letter: the envelope and the parsed message."""

    sender: str
    recipients: list[str]
    raw: bytes

    @property
    def message(self) -> EmailMessage:
        parsed = email.message_from_bytes(self.raw, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed

    @property
    def text(self) -> str:
        part = self.message.get_body(("plain",))
        assert part is not None
        return str(part.get_content())

    @property
    def kind(self) -> str:
        """The letter's name: confirmation, moved …"""
        return str(self.message["X-Letter"])

    @property
    def calendar(self) -> str:
        """The calendar file as text."""
        parts = [p for p in self.message.walk() if p.get_content_type() == "text/calendar"]
        return str(parts[0].get_payload(decode=True).decode())  # type: ignore[union-attr]


@dataclass
class MailServer:
    """`answers` holds replies to give, per verb, before the usual 250: {"RCPT": ["451 later"]}."""

    kept: list[Kept] = field(default_factory=list)
    answers: dict[str, list[str]] = field(default_factory=dict)

    def _answer(self, verb: str) -> str | None:
        planned = self.answers.get(verb)
        return planned.pop(0) if planned else None

    async def handle_MAIL(
        self, _s: Any, _session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if answer := self._answer("MAIL"):
            return answer
        envelope.mail_from, envelope.mail_options = address, options
        return "250 OK"

    async def handle_RCPT(
        self, _s: Any, _session: Any, envelope: Any, address: str, _o: Any
    ) -> str:
        if answer := self._answer("RCPT"):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _s: Any, _session: Any, envelope: Any) -> str:
        if answer := self._answer("DATA"):
            return answer
        self.kept.append(Kept(envelope.mail_from, list(envelope.rcpt_tos), envelope.content))
        return f"250 OK: queued as {len(self.kept)}"

    def __enter__(self) -> Self:
        self._controller = Controller(self, hostname="127.0.0.1", port=_free_port())
        self._controller.start()
        host, port = self._controller.server.sockets[0].getsockname()[:2]
        self.url = f"smtp://{host}:{port}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._controller.stop()

    def to(self, address: str) -> list[Kept]:
        return [kept for kept in self.kept if kept.recipients == [address]]

    def subjects(self) -> list[str]:
        return [str(kept.message["Subject"]) for kept in self.kept]


def _free_port() -> int:
    # aiosmtpd's start-up probe connects to the port that it was given, so 0 will not do.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
