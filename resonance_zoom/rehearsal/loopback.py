"""Real HTTP and SMTP on this machine between the service and its simulated world."""

import email
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller

from resonance_zoom.service import Service
from resonance_zoom.settings import Secret, Settings
from resonance_zoom.web.app import make_app
from resonance_zoom.web.server import WebServer
from resonance_zoom.zoom.simulator import SimulatedZoom, SimulatorServer


@dataclass(frozen=True, slots=True)
class Mail:
    """A letter that the mail server accepted, and when by the virtual clock."""

    at: datetime
    recipients: tuple[str, ...]
    kind: str
    text: str


def read_mail(at: datetime, recipients: tuple[str, ...], content: bytes) -> Mail:
    """What a letter says, read as any mail program reads it."""
    message = email.message_from_bytes(content)
    plain = next(part for part in message.walk() if part.get_content_type() == "text/plain")
    body = plain.get_payload(decode=True)
    text = body.decode() if isinstance(body, bytes) else ""
    return Mail(at, recipients, str(message["X-Letter"]), text)


class MailBox:
    """A real SMTP server on loopback that keeps every letter, in memory and as .eml."""

    def __init__(self, now: Callable[[], datetime], folder: Path) -> None:
        self.now = now
        self.folder = folder
        self.mails: list[Mail] = []
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.eml"):
            old.unlink()
        with socket.socket() as probe:  # aiosmtpd's start-up probe needs to know the port
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._controller = Controller(self, hostname="127.0.0.1", port=port)
        self.url = f"smtp://127.0.0.1:{port}"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 — aiosmtpd's name
        """Keep one letter."""
        mail = read_mail(self.now(), tuple(envelope.rcpt_tos), envelope.content)
        self.mails.append(mail)
        name = f"{len(self.mails):05}-{mail.kind}-{envelope.rcpt_tos[0]}.eml"
        (self.folder / name).write_bytes(envelope.content)
        return f"250 OK: letter {len(self.mails)}"

    def start(self) -> None:
        """Listen."""
        self._controller.start()

    def stop(self) -> None:
        """Stop listening."""
        self._controller.stop()


class Loopback:
    """The servers around the service: Zoom's, the mail server, and the service's own."""

    def __init__(
        self, zoom: SimulatedZoom, *, now: Callable[[], datetime], out: Path, campaign_file: Path
    ) -> None:
        self.zoom = zoom
        self._mailbox = MailBox(now, out / "letters")
        self._zoom_server = SimulatorServer(zoom)
        self._web: WebServer | None = None
        self._port = 0
        self.settings = Settings(
            campaign_file=campaign_file,
            database_url=Secret(f"sqlite:///{out / 'resonance.db'}"),
            smtp_url=Secret(self._mailbox.url),
            smtp_connections=1,  # the same seed, the same order
            mail_from=None,
            zoom_account_id=Secret("acc"),
            zoom_client_id=Secret("cid"),
            zoom_client_secret=Secret("csecret"),
            zoom_webhook_secrets=(Secret(zoom.webhook_secret),),
            zoom_api_url=self._zoom_server.api_url,
            zoom_oauth_url=self._zoom_server.oauth_url,
            webhooks=True,
            secret_key=Secret(secrets.token_hex(32)),
            public_url="http://localhost",
            host="127.0.0.1",
            port=0,
            log_format=None,
        )

    @property
    def mails(self) -> list[Mail]:
        """Every letter that was accepted, in that order."""
        return self._mailbox.mails

    def start(self) -> None:
        """Zoom and the mail server answer."""
        self._mailbox.start()
        self._zoom_server.start()

    def stop(self) -> None:
        """Nobody answers any more."""
        self.disconnect()
        self._zoom_server.stop()
        self._mailbox.stop()

    def connect(self, service: Service) -> None:
        """The service answers webhooks, always on the port it had first."""
        self._web = WebServer(make_app(service), host="127.0.0.1", port=self._port)
        self._web.start()
        if not self._port:
            self._port = self._web.port
            self.zoom.subscribe(f"http://127.0.0.1:{self._port}/webhooks/zoom")

    def disconnect(self) -> None:
        """The service is not reached any more."""
        if self._web is not None:
            self._web.stop()
            self._web = None
