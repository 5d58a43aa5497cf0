"""An open connection to a mail server: commands and letters out, whole answers in, as talks."""

import smtplib
import socket
import ssl
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from resonance_zoom.mail.talks import READABLE, WRITABLE, Talk, Wait

LONGEST_LINE = 8192  # bytes of an answer, as smtplib has it
MOST_LINES = 1000
AT_ONCE = 65536
T = TypeVar("T")


class Line:
    """One at which nothing waits for ever: each step has so many `seconds`.

    `heard` is what the server said already. Raises OSError and SMTPResponseException.
    """

    def __init__(self, sock: socket.socket, heard: bytes = b"") -> None:
        sock.settimeout(0)
        self._sock = sock
        self._heard = heard
        self._ended = False

    def close(self) -> None:
        """Hang up."""
        self._sock.close()

    def ask(self, words: str, seconds: float) -> Talk[tuple[int, bytes]]:
        """Say a command, or several at once; the answer to the first."""
        try:
            yield from self.tell(f"{words}\r\n".encode("ascii"), seconds)
        except OSError as error:
            raise ConnectionError("Server not connected") from error
        return (yield from self.answer(seconds))

    def tell(self, words: bytes, seconds: float) -> Talk[None]:
        """Returns when all has left for the network."""
        rest = memoryview(words)
        while rest:
            send = partial(self._sock.send, rest)
            rest = rest[(yield from self._when_possible(send, WRITABLE, seconds)) :]

    def answer(self, seconds: float) -> Talk[tuple[int, bytes]]:
        """Code and words of the next answer, all its lines; the code is -1 for what is none.

        https://www.rfc-editor.org/rfc/rfc5321#section-4.2.1
        """
        said: list[bytes] = []
        while len(said) < MOST_LINES:
            while (line := self._heard_line()) is None:
                yield from self._hear(seconds)
            said.append(line[4:].strip(b" \t\r\n"))
            try:
                code = int(line[:3])
            except ValueError:
                code = -1
            if code == -1 or line[3:4] != b"-":
                return code, b"\n".join(said)
        raise smtplib.SMTPResponseException(500, "Too many lines.")

    def _heard_line(self) -> bytes | None:
        """The next line, if all of it is here; its end was the connection's, perhaps."""
        line, end, rest = self._heard.partition(b"\n")
        if len(line) + len(end) > LONGEST_LINE:
            raise smtplib.SMTPResponseException(500, "Line too long.")
        if not end and not (line and self._ended):
            return None
        self._heard = rest
        return line

    def _hear(self, seconds: float) -> Talk[None]:
        hear = partial(self._sock.recv, AT_ONCE)
        try:
            more = yield from self._when_possible(hear, READABLE, seconds)
        except OSError as error:
            raise ConnectionError(f"Connection unexpectedly closed: {error}") from error
        self._ended = not more
        self._heard += more
        if not self._heard:
            raise ConnectionError("Connection unexpectedly closed")

    def _when_possible(self, do: Callable[[], T], events: int, seconds: float) -> Talk[T]:
        # Tried before it is waited for: TLS may hold bytes that no wait for the socket sees.
        until = time.monotonic() + seconds
        while True:
            try:
                return do()
            except ssl.SSLWantReadError:
                events = READABLE
            except ssl.SSLWantWriteError:
                events = WRITABLE
            except BlockingIOError:
                pass
            if time.monotonic() >= until:
                raise TimeoutError("timed out")
            yield Wait(until, self._sock, events)
