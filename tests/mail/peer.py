"""A mail server that says exactly what it is told to, and hangs up when it is told to."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

CLOSE = "close"  # hang up
RESET = "reset"  # hang up with a TCP reset
SILENCE = "silence"  # say nothing until the client hangs up
TLS = "tls"  # from here on encrypted

GREETING = "220 mail.example.org ESMTP"
EHLO = "250 mail.example.org"
OK = "250 OK"
GO = "354 go on"

SELF_SIGNED = Path(__file__).parent / "self_signed.pem"  # for mail.example.org, nobody's secret


Deed = Callable[[], object]
Step = str | Deed | tuple[str | Deed, ...]


class Peer:
    """Each script is one connection: the first line greets, each other answers one command.

    After an answer that begins with 354 the letter is read up to its final dot. A step may hold
    several words or lines: ("220 go", TLS), and deeds, which are done and may wait for something.
    What was heard is kept in `heard`, letters in `letters`.
    """

    def __init__(self, *scripts: Sequence[Step]) -> None:
        self._scripts = scripts
        self._listener = socket.create_server(("127.0.0.1", 0))
        # small, so that a long letter is still on its way when the server hangs up
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self._thread = threading.Thread(target=self._serve)
        self.port = self._listener.getsockname()[1]
        self.url = f"smtp://127.0.0.1:{self.port}"
        self.heard: list[list[str]] = []
        self.letters: list[bytes] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        self._thread.join(5)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        for script in self._scripts:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.heard.append([])
            try:
                self._converse(connection, script)
            except OSError:
                continue  # the client hung up first; what it said is in `heard`

    def _converse(self, connection: socket.socket, script: Sequence[Step]) -> None:
        connection.settimeout(5)
        try:
            heard_enough = True  # the greeting answers nothing
            for step in script:
                if not heard_enough and not self._hear(connection):
                    return
                heard_enough = False
                for words in step if isinstance(step, tuple) else (step,):
                    if callable(words):
                        words()
                        continue
                    if words == CLOSE:
                        return
                    if words == RESET:
                        now = struct.pack("ii", 1, 0)
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
                        return
                    if words == SILENCE:
                        connection.recv(1)
                        return
                    if words == TLS:
                        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                        context.load_cert_chain(SELF_SIGNED)
                        connection = context.wrap_socket(connection, server_side=True)
                        continue
                    connection.sendall(words.encode() + b"\r\n")
                    if words.startswith("354"):
                        self._take_letter(connection)
                        heard_enough = True
        finally:
            connection.close()

    def _hear(self, connection: socket.socket) -> bool:
        line = b""
        while not line.endswith(b"\n"):
            byte = connection.recv(1)
            if not byte:
                return False
            line += byte
        self.heard[-1].append(_verb_in_capitals(line.decode("latin-1").rstrip("\r\n")))
        return True

    def _take_letter(self, connection: socket.socket) -> None:
        """The letter with its final dot; the next step of the script answers it."""
        letter = b""
        while not letter.endswith(b"\r\n.\r\n"):
            received = connection.recv(65536)
            if not received:
                return
            letter += received
        self.letters.append(letter)


def _verb_in_capitals(line: str) -> str:
    verb, space, rest = line.partition(" ")
    return verb.upper() + space + rest
