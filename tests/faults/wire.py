"""Bytes to the web server over a socket of our own, as no well-behaved client would send them."""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from resonance_zoom.zoom.protocol import sign
from tests.conftest import WEBHOOK_SECRET, Clock

PATIENCE = 10.0


@dataclass(frozen=True)
class Answer:
    """What came back until the end of one answer; `ended`: the connection was closed after it."""

    status: int
    headers: dict[str, str]
    body: bytes


class Line:
    """One connection to the server on a port of this machine."""

    def __init__(self, port: int, *, source: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(
            ("127.0.0.1", port), PATIENCE, source_address=(source, 0)
        )

    def send(self, data: bytes) -> bool:
        """False when the other side has hung up."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def answer(self) -> Answer:
        """The next answer with a length. Raises EOFError when there is none."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._some(1)
        first, *lines = head.decode("latin-1").rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
        length, body = int(headers.get("content-length", "0")), b""
        while len(body) < length:
            body += self._some(length - len(body))
        return Answer(int(first.split()[1]), headers, body)

    def _some(self, at_most: int) -> bytes:
        received = self.socket.recv(at_most)
        if not received:
            raise EOFError
        return received

    def rest(self) -> bytes:
        """Everything until the other side hangs up. Raises TimeoutError when it does not."""
        said = b""
        try:
            while received := self.socket.recv(65536):
                said += received
        except ConnectionResetError:
            pass
        return said

    def trickle(self, data: bytes, *, pause: float = 0.01) -> float:
        """A byte at a time until the other side hangs up; the seconds that it took."""
        begun = time.monotonic()
        self.socket.settimeout(pause)
        for byte in data:
            if not self.send(bytes([byte])) or self._hung_up():
                return time.monotonic() - begun
        raise AssertionError("all of it was waited for")

    def _hung_up(self) -> bool:
        try:
            return self.socket.recv(65536) == b""
        except TimeoutError:
            return False
        except ConnectionResetError:
            return True

    def reset(self) -> None:
        """Hang up with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


@contextmanager
def line(port: int, *, source: str = "127.0.0.1") -> Iterator[Line]:
    made = Line(port, source=source)
    yield made
    made.socket.close()


def head(start: str, *lines: str) -> bytes:
    """The head of a request to ourselves."""
    return "\r\n".join([start, "Host: localhost", *lines, "", ""]).encode("latin-1")


def signed(body: bytes, clock: Clock, *more: str, length: bool = True) -> bytes:
    """The head of a genuine notification with this body."""
    stamp = str(int(clock().timestamp()))
    lines = [
        f"x-zm-request-timestamp: {stamp}",
        f"x-zm-signature: {sign(WEBHOOK_SECRET, stamp, body)}",
        *([f"Content-Length: {len(body)}"] if length else []),
        *more,
    ]
    return head("POST /webhooks/zoom HTTP/1.1", *lines)


def chunked(body: bytes, size: int = 1000) -> bytes:
    """A body of no announced length."""
    parts = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
