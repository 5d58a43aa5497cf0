"""What is killed and what it speaks to: the daemon as a process, and a mail server that listens."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from tests.leaks import leaks

PROJECT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds for what another process does
AT_THE_RELAY = ("MAIL", "RCPT", "DATA", "body", "dot", "250")


class Relay:
    """A mail server that keeps what it accepts and tells `heard` every step of every letter."""

    def __init__(self) -> None:
        self.accepted: list[bytes] = []
        self.heard: Callable[[str], None] = lambda _step: None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"smtp://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as lines:
            connection.sendall(b"220 mail.example.org\r\n")
            for line in lines:
                verb = line[:4].decode("latin-1").upper()
                if verb in AT_THE_RELAY:
                    self.heard(verb)
                if verb == "DATA":
                    self._take(connection, lines)
                connection.sendall(b"221 bye\r\n" if verb == "QUIT" else b"250 OK\r\n")
                if verb == "DATA":
                    self.heard("250")

    def _take(self, connection: socket.socket, lines: Iterator[bytes]) -> None:
        connection.sendall(b"354 go on\r\n")
        letter = [next(lines, b"")]
        self.heard("body")
        for line in lines:
            if line == b".\r\n":
                self.accepted.append(b"".join(letter))
                self.heard("dot")
                return
            letter.append(line)
        raise ConnectionResetError("no final dot: not a letter")


class Daemon:
    """`resonance-zoom run`, or what `program` says instead, as a process of its own."""

    def __init__(
        self,
        environ: dict[str, str],
        where: Path,
        program: Sequence[str] = ("-m", "resonance_zoom", "run"),
    ) -> None:
        self.url = ""
        self.said: list[str] = []
        self.ready = threading.Event()
        self.process = subprocess.Popen(  # noqa: S603 — our own words
            [sys.executable, *program],
            cwd=where,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), **environ},
            stderr=subprocess.PIPE,
            text=True,
        )
        self._ears = threading.Thread(target=self._listen, daemon=True)
        self._ears.start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if found := re.search(r"running on (http://[\d.:]+)", line):
                self.url = found[1]
                self.ready.set()

    def wait_until_ready(self) -> None:
        wait_for(lambda: self.ready.is_set() or self.process.poll() is not None)
        assert self.ready.is_set(), "".join(self.said)

    def kill(self) -> None:
        self.process.kill()

    def dead(self) -> bool:
        """Waits for the end; whether it was SIGKILL's."""
        code = self.process.wait(PATIENCE)
        self._ears.join(PATIENCE)
        assert self.process.stderr is not None
        self.process.stderr.close()
        assert leaks("".join(self.said)) == []
        return code == -signal.SIGKILL


def wait_for(holds: Callable[[], object]) -> None:
    """Until it holds; what is awaited is another process."""
    until = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > until:
            raise TimeoutError("it never came")
        time.sleep(0.002)
