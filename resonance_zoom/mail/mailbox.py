"""Reads the reports that lie in a mailbox (IMAP), which may hold private mail as well.

It is opened read-only and nothing in it is changed, not even what counts as read. Of each message
that is new since the last time the size and the Content-Type are asked for; only one that can be a
report is fetched. https://www.rfc-editor.org/rfc/rfc3501
"""

import hashlib
import imaplib
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from resonance_zoom.errors import MailboxUnreadable
from resonance_zoom.mail import bounces
from resonance_zoom.mail.replies import fault_words, shown

LOOKED_AT = 500  # messages in one batch
FETCHED = 50  # reports in one batch
TRIES = 3  # after which a message that breaks the connection is passed over
_FAULTS = (OSError, imaplib.IMAP4.error, ValueError)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UID, _SIZE = re.compile(rb"\bUID (\d+)"), re.compile(rb"\bRFC822\.SIZE (\d+)")


@dataclass(frozen=True, slots=True)
class Seen:
    """How far a mailbox was read. Under another `validity` its numbers mean other messages."""

    validity: int
    uid: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages that can be reports; how far the mailbox is read with them; is there more?"""

    messages: Sequence[bytes]
    seen: Seen
    more: bool


class Mailbox:
    """The mailbox of BOUNCES_URL. Not for several threads.

    `timeout` (seconds) holds for every answer, `patience` for the whole of a visit; `tls` as of
    SmtpPostman. `name` tells one mailbox from another without naming whose it is. `rests_until`:
    after a refused login, which providers take badly when it is repeated.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 20.0,
        patience: float = 120.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        parts = urlsplit(url)
        self._in_tls, self._tls = parts.scheme == "imaps", tls
        self._host = parts.hostname or "localhost"
        self._port = parts.port or (993 if self._in_tls else 143)
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._folder = unquote(parts.path).strip("/") or "INBOX"
        self._timeout, self._patience = timeout, patience
        self._broke: dict[int, int] = {}  # how often the connection broke at a message
        whole = f"{self._user}\n{self._host}\n{self._port}\n{self._folder}"
        self.name = hashlib.sha256(whole.encode()).hexdigest()[:16]
        self.rests_until: datetime | None = None

    def count(self) -> int:
        """How many messages lie there. Raises MailboxUnreadable."""
        with self._open() as (_, messages, _validity):
            return messages

    def read_on(self, since: date, seen: Seen | None) -> Batch:
        """What has come after `seen`, and not before the day `since`. Raises MailboxUnreadable."""
        with self._open() as (imap, _, validity):
            last = seen.uid if seen is not None and seen.validity == validity else 0
            new = _new(imap, since, last)
            upto = new[:LOOKED_AT][-1] if new else last
            reports = list(_reports(imap, new[:LOOKED_AT]))
            if len(reports) > FETCHED:
                reports = reports[:FETCHED]
                upto = reports[-1]
            messages = [self._fetched(imap, uid) for uid in reports]
            return Batch(
                [message for message in messages if message],
                Seen(validity, upto),
                more=bool(new) and upto < new[-1],
            )

    def _fetched(self, imap: imaplib.IMAP4, uid: int) -> bytes:
        """One message, b"" for one that has gone, or at which the connection broke too often."""
        if self._broke.get(uid, 0) >= TRIES:
            return b""
        try:
            return _whole(imap, uid)
        except _FAULTS:
            self._broke[uid] = self._broke.get(uid, 0) + 1
            raise

    @contextmanager
    def _open(self) -> Iterator[tuple[imaplib.IMAP4, int, int]]:
        """(connection, how many messages, UIDVALIDITY) of the folder, opened by EXAMINE."""
        try:
            imap = self._connected()
            try:
                self._log_in(imap)
                yield imap, *self._examined(imap)
            finally:
                with suppress(*_FAULTS):
                    imap.logout()
                with suppress(*_FAULTS):
                    imap.shutdown()
        except _FAULTS as error:
            raise self._unreadable(error) from error

    def _connected(self) -> imaplib.IMAP4:
        limits = self._timeout, self._patience
        if not self._in_tls:
            return _Bounded(self._host, self._port, *limits)
        tls = self._tls or ssl.create_default_context()
        return _Encrypted(self._host, self._port, *limits, ssl_context=tls)

    def _log_in(self, imap: imaplib.IMAP4) -> None:
        """PLAIN where it is offered: LOGIN takes no password with an accent."""
        try:
            if "AUTH=PLAIN" in imap.capabilities:
                words = f"\0{self._user}\0{self._password}".encode()
                imap.authenticate("PLAIN", lambda _challenge: words)
            else:
                imap.login(_quoted(self._user), self._password)
        except imaplib.IMAP4.abort:
            raise  # the connection broke: nothing was said of the password
        except (imaplib.IMAP4.error, ValueError) as error:
            said = _said(error)
            raise MailboxUnreadable(
                f"the mailbox at {self._host} refuses the login: {said}",
                remedy="Correct user and password in BOUNCES_URL (write @ : / % as %40 …). Many"
                " providers want a password made for programs.",
                # https://www.rfc-editor.org/rfc/rfc5530: it cannot say whether they are right
                permanent="[UNAVAILABLE]" not in said,
            ) from error

    def _examined(self, imap: imaplib.IMAP4) -> tuple[int, int]:
        answer, found = imap.select(_quoted(self._folder), readonly=True)
        if answer != "OK":
            raise MailboxUnreadable(
                f"the mailbox at {self._host} has no folder {self._folder}: {_shown(found)}",
                remedy="BOUNCES_URL ends with the folder's name, such as /INBOX.",
                permanent=True,
            )
        validity = imap.response("UIDVALIDITY")[1][-1]
        return _number(found[-1]), _number(validity)

    def _unreadable(self, error: Exception) -> MailboxUnreadable:
        remedy = "Look at BOUNCES_URL, and whether this machine may reach that port."
        if isinstance(error, ssl.SSLError):
            remedy = "The server's certificate must be valid for the name in BOUNCES_URL."
        return MailboxUnreadable(
            f"the mailbox at {self._host}:{self._port} cannot be read: {_said(error)}",
            remedy=remedy,
            permanent=isinstance(error, ssl.SSLCertVerificationError),
        )


class _Bounded(imaplib.IMAP4):
    """A connection that ends when its time is up, and takes no more bytes than a report has."""

    def __init__(self, host: str, port: int, timeout: float, patience: float, **more: Any) -> None:
        self._patience = patience
        super().__init__(host, port, timeout=timeout, **more)

    def open(self, *where: Any, **more: Any) -> None:
        super().open(*where, **more)
        self._end = threading.Timer(self._patience, self._hang_up)
        self._end.daemon = True
        self._end.start()

    def _hang_up(self) -> None:
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)  # wakes whoever waits for an answer

    def read(self, size: int) -> bytes:
        if size > 2 * bounces.LARGEST:
            raise self.abort(f"the server sends {size} bytes where less was asked for")
        return super().read(size)

    def shutdown(self) -> None:
        self._end.cancel()
        super().shutdown()


class _Encrypted(_Bounded, imaplib.IMAP4_SSL):
    pass


def _new(imap: imaplib.IMAP4, since: date, last: int) -> list[int]:
    day = f"{since.day}-{_MONTHS[since.month - 1]}-{since.year}"
    found = _ask(imap, "SEARCH", f"UID {last + 1}:*", f"SINCE {day}")
    uids = {int(uid) for line in found if isinstance(line, bytes) for uid in line.split()}
    return sorted(uid for uid in uids if uid > last)  # `*` is the last one, however low it is


def _reports(imap: imaplib.IMAP4, uids: Sequence[int]) -> Iterator[int]:
    """Those of the messages that can be reports, by what their headers say."""
    if not uids:
        return
    wanted = set(uids)
    numbers = ",".join(map(str, uids))
    asked = "(UID RFC822.SIZE BODY.PEEK[HEADER.FIELDS (CONTENT-TYPE)])"
    for words, headers in sorted(_answers(_ask(imap, "FETCH", numbers, asked)), key=_uid_of):
        uid, size = _uid_of((words, headers)), _SIZE.search(words)
        small = size is not None and int(size[1]) <= bounces.LARGEST
        if uid in wanted and small and bounces.may_be_report(headers):
            wanted.discard(uid)
            yield uid


def _whole(imap: imaplib.IMAP4, uid: int) -> bytes:
    """At most a byte more than a report may have, whatever was said of its size."""
    found = _ask(imap, "FETCH", str(uid), f"(UID BODY.PEEK[]<0.{bounces.LARGEST + 1}>)")
    return next((body for words, body in _answers(found) if _uid_of((words, body)) == uid), b"")


def _ask(imap: imaplib.IMAP4, *words: str) -> list[Any]:
    answer, found = imap.uid(*words)
    if answer != "OK":
        raise imap.error(f"{words[0]}: {_shown(found)}")
    return found


def _answers(found: Sequence[Any]) -> Iterator[tuple[bytes, bytes]]:
    """(all words of an answer, what it holds): servers name the UID before or after that."""
    words, held = b"", b""
    for piece in found:
        if isinstance(piece, tuple):
            words, held = words + piece[0], piece[1]
        elif isinstance(piece, bytes):
            yield words + piece, held
            words, held = b"", b""


def _uid_of(answer: tuple[bytes, bytes]) -> int:
    found = _UID.search(answer[0])
    return int(found[1]) if found else 0


def _number(found: bytes | None) -> int:
    return int(found) if found and found.isdigit() else 0


def _quoted(words: str) -> str:
    return '"' + words.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _shown(found: Sequence[Any]) -> str:
    """A server's words, without the addresses that it likes to repeat."""
    return bounces.unaddressed(shown(0, b" ".join(one for one in found if isinstance(one, bytes))))


def _said(error: Exception) -> str:
    if error.args and isinstance(error.args[0], bytes):  # imaplib's own, for a refused LOGIN
        return _shown(error.args[:1])
    return bounces.unaddressed(fault_words(error))
