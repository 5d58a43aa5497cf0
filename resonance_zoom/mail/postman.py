"""Hands letters to the mail server and knows in which phase a fault came.

Up to the server's 354 nothing has been sent and trying again is safe. Once the final dot went out
without a parsed reply the letter may have been accepted: that is MailInDoubt, never a silent retry.
https://www.rfc-editor.org/rfc/rfc5321
"""

import contextlib
import mailbox
import re
import smtplib
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from resonance_zoom.errors import MailDeferred, MailInDoubt, MailRefused, MailUnreachable

IDLE_SECONDS = 5.0
_ADDRESS = re.compile(r"[A-Za-z0-9.#$&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,189}")
_Fault = (OSError, smtplib.SMTPException)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The server took the letter; `reply` is its words. Whether it arrives is the server's matter."""

    reply: str


class Postman(Protocol):
    """Delivers bytes to one address."""

    def ready(self) -> None:
        """See that a letter could leave now. Raises MailUnreachable."""

    def send(self, *, sender: str, recipient: str, message: bytes) -> Accepted:
        """Deliver one letter. Raises MailDeferred, MailRefused, MailInDoubt or MailUnreachable."""
        ...

    def close(self) -> None:
        """Say goodbye."""


def make_postman(smtp_url: str | None, maildir: Path) -> Postman:
    """SMTP where a server is named, else a Maildir on this machine."""
    return SmtpPostman(smtp_url) if smtp_url else MaildirPostman(maildir)


def check_login(smtp_url: str) -> str:
    """Connect, secure, log in, say goodbye: the server's words. Raises MailUnreachable."""
    postman = SmtpPostman(smtp_url, timeout=10.0)
    try:
        postman.ready()
        return postman.greeting
    finally:
        postman.close()


class SmtpPostman:
    """One connection to one relay, kept open between letters. Not for several threads."""

    def __init__(
        self,
        smtp_url: str,
        *,
        timeout: float = 30.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        parts = urlsplit(smtp_url)
        self._implicit_tls = parts.scheme == "smtps"
        self._host = parts.hostname or "localhost"
        self._port = parts.port or (465 if self._implicit_tls else 587)
        self._user = unquote(parts.username or "")
        self._password = unquote(parts.password or "")
        self._timeout = timeout
        self._monotonic = monotonic
        self._smtp: smtplib.SMTP | None = None
        self._used = 0.0
        self.greeting = ""

    def ready(self) -> None:
        """Connected, secured and logged in; an idle connection is asked whether it still lives."""
        if self._smtp is not None and self._monotonic() - self._used > IDLE_SECONDS:
            try:
                if self._smtp.noop()[0] != 250:
                    self.close()
            except _Fault:
                self.close()
        if self._smtp is None:
            self._connect()

    def send(self, *, sender: str, recipient: str, message: bytes) -> Accepted:
        """One MAIL, one RCPT, one DATA. A kept connection that died is opened again once."""
        if not _ADDRESS.fullmatch(recipient):
            raise MailRefused("the address is not one that can be written to")
        self.ready()
        try:
            return self._converse(sender, recipient, message)
        except _ConnectionLost:
            self.close()
        self.ready()
        try:
            return self._converse(sender, recipient, message)
        except _ConnectionLost as error:
            self.close()
            raise MailDeferred(
                f"the connection broke before the letter was sent: {error}"
            ) from None

    def close(self) -> None:
        """QUIT, or just hang up."""
        smtp, self._smtp = self._smtp, None
        if smtp is not None:
            with contextlib.suppress(*_Fault):
                smtp.quit()
            smtp.close()

    def _converse(self, sender: str, recipient: str, message: bytes) -> Accepted:
        smtp = self._smtp
        if smtp is None:
            raise _ConnectionLost("not connected")
        self._used = self._monotonic()
        try:
            self._expect(smtp.mail(sender), {250}, "MAIL FROM")
            self._expect(smtp.rcpt(recipient), {250, 251}, "RCPT TO")
            smtp.putcmd("data")
            self._expect(smtp.getreply(), {354}, "DATA")
        except _Fault as error:
            raise _ConnectionLost(_words(error)) from None
        return self._data(smtp, message)

    def _data(self, smtp: smtplib.SMTP, message: bytes) -> Accepted:
        """The letter and the final dot. From here on a fault means doubt."""
        lines = re.sub(rb"\r\n|\r|\n", b"\r\n", message)
        stuffed = re.sub(rb"(?m)^\.", b"..", lines)
        try:
            smtp.send(stuffed + (b"" if stuffed.endswith(b"\r\n") else b"\r\n") + b".\r\n")
            code, reply = smtp.getreply()
        except _Fault as error:
            self._hang_up()
            raise MailInDoubt(f"no answer after the letter was sent: {_words(error)}") from None
        if code == -1:
            self._hang_up()
            raise MailInDoubt("the answer to the letter was not SMTP")
        self._used = self._monotonic()
        if code == 250:
            return Accepted(_shown(code, reply))
        if code == 421:
            self._hang_up()
        if 500 <= code < 600:
            raise MailRefused(_shown(code, reply), code=code)
        raise MailDeferred(_shown(code, reply), code=code)

    def _expect(self, answer: tuple[int, bytes], good: set[int], verb: str) -> None:
        code, reply = answer
        if code in good:
            return
        if code in {-1, 421}:
            raise _ConnectionLost(_shown(code, reply))
        with contextlib.suppress(*_Fault):
            if self._smtp is not None:
                self._smtp.rset()
        kind = MailRefused if 500 <= code < 600 else MailDeferred
        raise kind(f"{verb}: {_shown(code, reply)}", code=code)

    def _hang_up(self) -> None:
        smtp, self._smtp = self._smtp, None
        if smtp is not None:
            smtp.close()

    def _connect(self) -> None:
        where = f"{self._host}:{self._port}"
        try:
            smtp = self._opened()
        except (OSError, smtplib.SMTPException) as error:
            raise MailUnreachable(
                f"the mail server {where} does not answer: {_words(error)}",
                remedy="Look at SMTP_URL, and whether this machine may reach that port.",
            ) from None
        try:
            self._secure(smtp, where)
            self._log_in(smtp, where)
        except BaseException:
            smtp.close()
            raise
        self._smtp, self._used = smtp, self._monotonic()

    def _opened(self) -> smtplib.SMTP:
        if self._implicit_tls:
            context = ssl.create_default_context()
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(
                self._host, self._port, timeout=self._timeout, context=context
            )
        else:
            smtp = smtplib.SMTP(self._host, self._port, timeout=self._timeout)
        try:
            smtp.ehlo_or_helo_if_needed()
        except BaseException:
            smtp.close()
            raise
        self.greeting = _shown(250, smtp.ehlo_resp or smtp.helo_resp or b"")
        return smtp

    def _secure(self, smtp: smtplib.SMTP, where: str) -> None:
        if self._implicit_tls or is_loopback(self._host):
            return
        if not smtp.has_extn("starttls"):
            raise MailUnreachable(
                f"the mail server {where} offers no STARTTLS; nothing is sent in clear",
                remedy="Use smtps://…:465, or ask whoever runs the mail server.",
                permanent=True,
            )
        try:
            smtp.starttls(context=ssl.create_default_context())
            smtp.ehlo()
        except (OSError, smtplib.SMTPException) as error:
            raise MailUnreachable(
                f"no secure connection to {where}: {_words(error)}",
                remedy="The server's certificate must be valid for its name.",
                permanent=isinstance(error, ssl.SSLError),
            ) from None

    def _log_in(self, smtp: smtplib.SMTP, where: str) -> None:
        if not self._user:
            return
        try:
            smtp.login(self._user, self._password)
        except smtplib.SMTPAuthenticationError as error:
            raise MailUnreachable(
                f"the mail server {where} refuses the login:"
                f" {_shown(error.smtp_code, error.smtp_error)}",
                code=error.smtp_code,
                remedy="Correct the user and password in SMTP_URL (percent-encode @ : / in them).",
                permanent=True,
            ) from None
        except (OSError, smtplib.SMTPException) as error:
            raise MailUnreachable(f"login at {where} broke off: {_words(error)}") from None


class _ConnectionLost(Exception):
    """The connection died before anything of the letter was sent."""


class MaildirPostman:
    """Keeps letters in a Maildir on this machine: for trying out, and when no server is named."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._box: mailbox.Maildir | None = None

    def ready(self) -> None:
        """The folder exists. Raises MailUnreachable when it cannot be made."""
        if self._box is None:
            try:
                self._folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._box = mailbox.Maildir(self._folder)
            except OSError as error:
                raise MailUnreachable(f"{self._folder}: {error.strerror}") from error

    def send(self, *, sender: str, recipient: str, message: bytes) -> Accepted:  # noqa: ARG002 — as SMTP
        """Keep one letter."""
        self.ready()
        if self._box is None:
            raise MailUnreachable(f"{self._folder} is not open")
        try:
            key = self._box.add(message)
        except OSError as error:
            raise MailDeferred(f"{self._folder}: {error.strerror}") from error
        return Accepted(f"kept as {self._folder / 'new' / key}")

    def close(self) -> None:
        """Nothing to hang up."""
        if self._box is not None:
            self._box.close()


def is_loopback(host: str) -> bool:
    """Whether plain text to this host never leaves the machine."""
    return host in {"localhost", "::1"} or host.startswith("127.")


def _shown(code: int, reply: bytes | str) -> str:
    """A reply as it may be kept and shown: printable, one line, at most 500 characters."""
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    clean = "".join(c if c.isprintable() else " " for c in text)
    return f"{code} {' '.join(clean.split())}"[:500]


def _words(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return _shown(error.smtp_code, error.smtp_error)
    if isinstance(error, socket.gaierror):
        return "no such host"
    if isinstance(error, TimeoutError):
        return "timed out"
    return _shown(0, str(error) or type(error).__name__).removeprefix("0 ")
