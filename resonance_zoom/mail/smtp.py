"""Hands letters to the mail server, and knows in which phase a fault came.

Up to the server's 354 nothing has been sent, and trying again is safe. Once the final dot went out
without a reply that can be read, the letter may have been accepted: MailInDoubt, never a silent
second try. https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.2 and RFC 1047.
"""

import contextlib
import re
import smtplib
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from urllib.parse import unquote, urlsplit

from resonance_zoom.errors import MailDeferred, MailInDoubt, MailRefused, MailUnreachable
from resonance_zoom.mail.addresses import is_this_machine, plain_address, sender_address
from resonance_zoom.mail.line import Line
from resonance_zoom.mail.replies import Accepted, fault_words, shown
from resonance_zoom.mail.talks import Errand, Talk, finish

IDLE_SECONDS = 5.0  # after which a kept connection is asked whether it still lives
LETTERS_A_CONNECTION = 50  # many relays refuse more in one session
GOODBYE_SECONDS = 2.0
LOGINS = frozenset({"CRAM-MD5", "LOGIN", "PLAIN"})  # the ways to log in that smtplib knows
LOGIN_REFUSED = frozenset({530, 534, 535, 538})  # https://www.rfc-editor.org/rfc/rfc4954
_FAULTS = (OSError, smtplib.SMTPException)
# Looked for before anything is replaced: a letter of ours has none of either.
_LONE_CR, _DOTTED = re.compile(rb"\r(?!\n)"), re.compile(rb"\n\.")


class SmtpPostman:
    """One connection to one relay, kept open between letters. Not for several threads.

    `timeout` (seconds) holds for every step but the answer to the final dot, where `patience` does:
    the relay may filter a letter before it answers, and giving up would leave it in doubt.
    `tls` replaces the context that checks certificates against the machine's authorities.
    """

    def __init__(
        self,
        smtp_url: str,
        *,
        timeout: float = 30.0,
        patience: float = 120.0,
        tls: ssl.SSLContext | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        parts = urlsplit(smtp_url)
        self._implicit_tls = parts.scheme == "smtps"
        self._host = parts.hostname or "localhost"
        self._port = parts.port or (465 if self._implicit_tls else 587)
        self._user = unquote(parts.username or "")
        self._password = unquote(parts.password or "")
        self._timeout = timeout
        self._patience = patience
        self._tls = tls
        self._monotonic = monotonic
        self._line: Line | None = None
        self._takes_all_at_once = False
        self._used = 0.0
        self._letters = 0
        self._unanswered = 0  # commands whose answers are still to be read
        self.words = ""  # the server's, at the end of the last greeting or login

    def ready(self) -> None:
        """`getting_ready`, to its end."""
        finish(self.getting_ready())

    def send(self, *, sender: str, recipient: str, message: bytes) -> Accepted:
        """`sending`, to its end."""
        return finish(self.sending(sender=sender, recipient=recipient, message=message))

    def close(self) -> None:
        """Say goodbye, or just hang up."""
        finish(self._goodbye())

    def getting_ready(self) -> Talk[None]:
        """See that a letter could leave now: connected, secured, logged in and alive.

        Raises MailUnreachable, `permanent` when only a person can mend it.
        """
        yield from self._open_line()

    def sending(self, *, sender: str, recipient: str, message: bytes) -> Talk[Accepted]:
        """One MAIL, one RCPT, one DATA; in one go where the relay takes them so (RFC 2920).

        Raises MailDeferred (4xx, or a fault before the final dot), MailRefused (5xx for this
        letter), MailInDoubt (no answer to the final dot), MailUnreachable (what would hold up any
        other letter too).
        """
        sender, recipient = sender_address(sender), plain_address(recipient)
        try:
            line = yield from self._begun(sender, recipient)
            self._letters += 1
            yield from self._ask(line, f"RCPT TO:<{recipient}>", expected=2)
            yield from self._ask(line, "DATA", expected=3)
            return (yield from self._hand_over(line, message))
        except GeneratorExit:
            self._hang_up()  # in the middle of a letter; the next one would be taken for its rest
            raise

    def _open_line(self) -> Talk[Line]:
        if self._letters >= LETTERS_A_CONNECTION:
            yield from self._goodbye()
        elif self._line is not None and self._monotonic() - self._used > IDLE_SECONDS:
            yield from self._ask_whether_alive(self._line)
        if self._line is None:
            self._line = yield from Errand(self._connected)
            self._used, self._letters = self._monotonic(), 0
        return self._line

    def _goodbye(self) -> Talk[None]:
        if self._line is not None:
            with contextlib.suppress(*_FAULTS):
                yield from self._line.ask("QUIT", GOODBYE_SECONDS)
        self._hang_up()

    def _begun(self, sender: str, recipient: str) -> Talk[Line]:
        """A connection on which MAIL FROM was accepted.

        A kept one may have died, or reached the relay's limit, since it was last used: then a new
        one is tried, once.
        """
        kept = self._line is not None
        line = yield from self._open_line()
        try:
            yield from self._mail_from(line, sender, recipient)
        except (MailDeferred, MailUnreachable):
            if not kept:
                raise
            yield from self._goodbye()
            line = yield from self._open_line()
            yield from self._mail_from(line, sender, recipient)
        return line

    def _mail_from(self, line: Line, sender: str, recipient: str) -> Talk[None]:
        # one round trip in place of three
        behind = (f"RCPT TO:<{recipient}>", "DATA") if self._takes_all_at_once else ()
        try:
            yield from self._ask(line, f"MAIL FROM:<{sender}>", expected=2, behind=behind)
        except MailRefused as error:
            # MAIL FROM knows nothing of the recipient: any other letter would be refused as well,
            # and giving them all up because of one wrong setting would lose a whole campaign.
            raise MailUnreachable(
                f"the mail server takes no letter from {sender}: {error.message}",
                code=error.code,
                remedy="MAIL_FROM must be an address that this mail server lets us use.",
                permanent=True,
            ) from error

    def _ask(
        self, line: Line, words: str, *, expected: int, behind: Sequence[str] = ()
    ) -> Talk[None]:
        """One command before the letter itself; its answer must begin with the digit `expected`.

        Those `behind` it leave with it, and are asked next: then only their answers are read.
        """
        verb = words[:4]
        try:
            if self._unanswered:
                self._unanswered -= 1
                code, reply = yield from line.answer(self._timeout)
            else:
                self._unanswered = len(behind)
                code, reply = yield from line.ask("\r\n".join((words, *behind)), self._timeout)
        except _FAULTS as error:
            self._hang_up()
            raise MailDeferred(f"{verb}: the connection broke: {fault_words(error)}") from error
        self._used = self._monotonic()
        if code // 100 == expected:
            return
        said = f"{verb}: {shown(code, reply)}"
        if code == 421 or code // 100 not in {4, 5}:
            self._hang_up()  # it is closing, or we no longer understand each other
        else:
            yield from self._forget(line)
        if code in LOGIN_REFUSED:
            # This becomes the relay's trouble, told in places where nobody looks for a person.
            said = re.sub(r"[^\s<>\"]+@[^\s<>\"]+", "…", said)
            raise MailUnreachable(
                said, code=code, remedy="SMTP_URL needs a user and a password.", permanent=True
            )
        if code // 100 == 5:
            raise MailRefused(said, code=code)
        raise MailDeferred(said, code=max(code, 0))

    def _hand_over(self, line: Line, message: bytes) -> Talk[Accepted]:
        """The letter, the final dot, and the server's answer to it."""
        try:
            yield from line.tell(stuffed(message) + b".\r\n", self._timeout)
        except _FAULTS as error:
            # What did not leave holds at least the end of the line with the final dot, and without
            # it a letter is nothing to the server.
            self._hang_up()
            raise MailDeferred(f"the connection broke: {fault_words(error)}") from error
        try:
            code, reply = yield from line.answer(self._patience)
        except _FAULTS as error:
            self._hang_up()
            raise MailInDoubt(
                f"the letter was sent, the answer was lost: {fault_words(error)}"
            ) from error
        self._used = self._monotonic()
        return self._verdict(code, shown(code, reply))

    def _verdict(self, code: int, said: str) -> Accepted:
        if code // 100 == 2:
            return Accepted(said)
        if code == 421 or code // 100 not in {4, 5}:
            self._hang_up()
        if code // 100 == 5:
            raise MailRefused(said, code=code)
        if code // 100 == 4:
            raise MailDeferred(said, code=code)
        raise MailInDoubt(f"the letter was sent, the answer makes no sense: {said}")

    def _ask_whether_alive(self, line: Line) -> Talk[None]:
        with contextlib.suppress(*_FAULTS):
            code, _ = yield from line.ask("NOOP", self._timeout)
            if code == 250:
                self._used = self._monotonic()
                return
        self._hang_up()

    def _forget(self, line: Line) -> Talk[None]:
        """RSET, so that nothing of this letter meets the next one.

        Whoever waits for a letter all the same, though nobody is to get it, is hung up on.
        """
        with contextlib.suppress(*_FAULTS):
            code = 500
            while self._unanswered:
                self._unanswered -= 1
                code, _ = yield from line.answer(self._timeout)
            if code // 100 in {4, 5}:
                code, _ = yield from line.ask("RSET", self._timeout)
                if code == 250:
                    return
        self._hang_up()

    def _hang_up(self) -> None:
        line, self._line, self._letters, self._unanswered = self._line, None, 0, 0
        if line is not None:
            line.close()

    def _connected(self) -> Line:
        where = f"{self._host}:{self._port}"
        smtp = self._greeted(where)
        try:
            self._secure(smtp, where)
            self._log_in(smtp, where)
        except BaseException:
            smtp.close()
            raise
        self._takes_all_at_once = smtp.has_extn("pipelining")
        return _taken_over(smtp)

    def _greeted(self, where: str) -> smtplib.SMTP:
        try:
            smtp = self._opened()
        except _FAULTS as error:
            raise _unreachable(f"the mail server {where} cannot be spoken to", error) from error
        try:
            smtp.ehlo_or_helo_if_needed()
        except _FAULTS as error:
            smtp.close()
            raise _unreachable(f"the mail server {where} refuses our greeting", error) from error
        self.words = shown(250, (smtp.ehlo_resp or smtp.helo_resp or b"").partition(b"\n")[0])
        return smtp

    def _opened(self) -> smtplib.SMTP:
        smtp: smtplib.SMTP
        if self._implicit_tls:
            smtp = smtplib.SMTP_SSL(
                self._host, self._port, timeout=self._timeout, context=self._checking()
            )
        else:
            smtp = smtplib.SMTP(self._host, self._port, timeout=self._timeout)
        if smtp.sock is not None:
            # Or the end of a letter waits 40 ms for the server's system to tell that the rest came.
            smtp.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return smtp

    def _secure(self, smtp: smtplib.SMTP, where: str) -> None:
        if self._implicit_tls or not needs_starttls(self._host):
            return
        if not smtp.has_extn("starttls"):
            # Also what somebody in between would make us see, to read along.
            raise MailUnreachable(
                f"the mail server {where} offers no STARTTLS; nothing is sent in clear",
                remedy="Use smtps://…:465, or ask whoever runs the mail server.",
                permanent=True,
            )
        try:
            code, reply = smtp.starttls(context=self._checking())
            if code != 220:
                raise smtplib.SMTPResponseException(code, reply)
            smtp.ehlo_or_helo_if_needed()
        except _FAULTS as error:
            raise _unreachable(f"no secure connection to {where}", error) from error

    def _log_in(self, smtp: smtplib.SMTP, where: str) -> None:
        if not self._user:
            return
        offered = smtp.esmtp_features.get("auth", "").split()
        if not LOGINS & {*offered}:
            what = f"only {' '.join(offered)[:80]}" if offered else "no login at all"
            raise MailUnreachable(
                f"the mail server {where} offers {what}, and SMTP_URL names a user",
                remedy="Use the port where one logs in (smtp://…:587 or smtps://…:465); or, if this"
                " server wants no login, take USER:PASSWORD@ out of SMTP_URL.",
                permanent=True,
            )
        try:
            self.words = shown(*smtp.login(self._user, self._password))
        except UnicodeError as error:
            raise MailUnreachable(
                f"login at {where}: the password in SMTP_URL holds characters outside ASCII",
                remedy="Choose a password of plain letters, digits and signs.",
                permanent=True,
            ) from error
        except _FAULTS as error:
            unreachable = _unreachable(f"the mail server {where} refuses the login", error)
            unreachable.remedy = "Correct user and password in SMTP_URL (write @ : / % as %40 …)."
            raise unreachable from error

    def _checking(self) -> ssl.SSLContext:
        return self._tls or ssl.create_default_context()


def needs_starttls(host: str) -> bool:
    """Whether plain text to this host would leave the machine."""
    return not is_this_machine(host)


def stuffed(message: bytes) -> bytes:
    """The bytes between 354 and the final dot: lines end in CRLF, a leading dot is doubled.

    A lone CR or LF never leaves: some servers take one for the end of a line, and then what stands
    behind it could pass for commands (CVE-2023-51764).
    """
    ends = message.count(b"\r")
    crooked = message.count(b"\n") != ends or _LONE_CR.search(message)
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", message) if crooked else message
    if lines.startswith(b".") or _DOTTED.search(lines):
        lines = re.sub(rb"(?m)^\.", b"..", lines)
    return lines if lines.endswith(b"\r\n") else lines + b"\r\n"


def _taken_over(smtp: smtplib.SMTP) -> Line:
    """The connection alone, with what the server may have said unasked."""
    sock, file = smtp.sock, smtp.file
    if sock is None or file is None:
        raise MailUnreachable("the mail server hung up")
    smtp.sock = smtp.file = None
    sock.settimeout(0)
    with file, contextlib.suppress(OSError):
        return Line(sock, file.peek())
    return Line(sock)


def _unreachable(what: str, error: Exception) -> MailUnreachable:
    """`permanent` for a refusal and a bad certificate; not for what time may mend."""
    code = error.smtp_code if isinstance(error, smtplib.SMTPResponseException) else 0
    broke_off = isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
    permanent = (
        code // 100 == 5
        or isinstance(error, smtplib.SMTPNotSupportedError)
        or (isinstance(error, ssl.SSLError) and not broke_off)
    )
    remedy = "Look at SMTP_URL, and whether this machine may reach that port."
    if isinstance(error, ssl.SSLError):
        remedy = "The server's certificate must be valid for the name in SMTP_URL."
    return MailUnreachable(
        f"{what}: {fault_words(error)}", code=max(code, 0), remedy=remedy, permanent=permanent
    )
