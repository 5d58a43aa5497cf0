"""Serves an ASGI application from a thread: started when it listens, drained when it stops."""

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from resonance_zoom.errors import ResonanceError, TryAgainLater
from resonance_zoom.web.security import HEADERS

DRAIN_SECONDS = 10
# How long another thread may go on computing (a wave of letters) while a request waits to be read.
# Python's own 5 ms would be paid several times a request.
TURN_SECONDS = 0.0005


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may take: seconds for each part of a request, bytes around its body.

    `connections` stay open at most; then who has waited longest without a whole request goes.
    """

    head: float = 5.0
    body: float = 10.0
    answer: float = 30.0  # for the other side to take what we have written
    idle: int = 15  # between two requests
    head_bytes: int = 64 * 1024
    connections: int = 700  # a process may open 1,024 files, and the database needs some


class WebServer:
    """uvicorn in a thread. The main thread keeps the signals: `uvicorn.run` would take them."""

    def __init__(
        self,
        app: Any,
        *,
        host: str,
        port: int,
        limits: Limits | None = None,
    ) -> None:
        self.host = host
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        limits = limits or Limits()
        config = uvicorn.Config(
            app,
            # uvicorn wants a class, and calls it.
            http=cast("type[asyncio.Protocol]", partial(_Connection, limits, {})),
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # the application knows whom to believe
            timeout_keep_alive=limits.idle,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="web", daemon=True)

    def start(self) -> None:
        """Returns when requests are answered. Raises ResonanceError if that fails."""
        self._thread.start()
        while not self._server.started:  # uvicorn offers a flag, no event
            if not self._thread.is_alive():
                raise ResonanceError(f"the web server on {self.host}:{self.port} did not start")
            time.sleep(0.005)

    def _serve(self) -> None:
        sys.setswitchinterval(TURN_SECONDS)
        self._server.run(sockets=[self._socket])

    @property
    def alive(self) -> bool:
        """Whether the thread still serves."""
        return self._thread.is_alive()

    def give_up(self) -> None:
        """Leave the port again without having served."""
        self._socket.close()

    def stop(self) -> None:
        """Answer what is in flight, then stop."""
        self._server.should_exit = True
        self._thread.join(DRAIN_SECONDS + 5)
        self._socket.close()


class _Connection(HttpToolsProtocol):
    """uvicorn's connection, with an end to its patience and to what it keeps in memory.

    By itself it waits for ever for the rest of a request and for an answer to be taken, and keeps
    headers of any length.
    """

    def __init__(
        self, limits: Limits, waiting: dict["_Connection", None], *arguments: Any, **named: Any
    ) -> None:
        super().__init__(*arguments, **named)
        self._limits = limits
        self._waiting = waiting  # those that owe us a request, the longest first
        self._reading = ""  # "head" or "body"; "" when no request has begun
        self._begun = 0  # heads and bodies so far
        self._timed = 0  # the one whose patience is measured
        self._head = 0  # bytes of the request's headers, those behind its body too
        self._around = 0  # bytes of the request that are none of its body
        self._due: dict[str, tuple[float, Callable[[], None]]] = {}  # what patience ends when
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own narrowing
        super().connection_made(transport)
        self._waiting[self] = None
        if len(self.connections) > self._limits.connections:
            longest = next(iter(self._waiting))
            del self._waiting[longest]
            longest.transport.abort()
        self._begin("head")
        self._have_patience()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._waiting.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._reading:
            self._begin("head")  # empty lines, too, must lead to a request
        self._around += len(data)
        super().data_received(data)
        if self._begun != self._timed:  # nearly always it has ended by now as well
            self._have_patience()
        if self._around > self._limits.head_bytes and not self.transport.is_closing():
            self.send_400_response("Too much around the body.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = 0
        if self._reading != "head":
            self._begin("head")

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._begin("body")

    def on_body(self, body: bytes) -> None:
        self._around = max(0, self._around - len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._reading, self._around = "", 0
        self._cancel("request")
        if self.cycle is not None and self.cycle.response_complete:
            # Answered before it had come whole, when uvicorn began to wait for the next one: what
            # came since has ended that.
            self._waiting[self] = None
            self._in(self._limits.idle, "request", self.transport.abort)
        else:
            self._waiting.pop(self, None)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing():
            self._waiting[self] = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._in(self._limits.answer, "answer", self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel("answer")

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        # Closing waits until the other side has taken everything.
        self._in(self._limits.answer, "answer", self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        if self.cycle is not None and self.cycle.response_started:
            self.transport.abort()  # in the middle of an answer, or after one
            return
        named = {**HEADERS, "Content-Length": str(len(msg)), "Connection": "close"}
        lines = [f"{name}: {value}\r\n" for name, value in named.items()]
        head = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
        self.transport.write(f"{head}{''.join(lines)}\r\n{msg}".encode("ascii"))
        self.transport.close()

    def _count(self, length: int) -> None:
        self._head += length
        if self._head > self._limits.head_bytes:
            raise ValueError("a head that is too long")  # the parser's caller answers 400

    def _begin(self, part: str) -> None:
        self._reading = part
        self._begun += 1

    def _have_patience(self) -> None:
        """With the part that is being read; between two requests none is needed."""
        self._timed = self._begun
        if self._reading:
            seconds = self._limits.head if self._reading == "head" else self._limits.body
            self._in(seconds, "request", self._lose_patience)

    def _lose_patience(self) -> None:
        cycle = self.cycle
        answering = cycle is not None and not cycle.response_complete and self._reading == "head"
        if answering or self.flow.read_paused:
            self._have_patience()  # it is for us to go on
        else:
            self.transport.abort()

    def _in(self, seconds: float, name: str, act: Callable[[], None]) -> None:
        due = self.loop.time() + seconds
        self._due[name] = due, act
        # With each request the end is put off: a timer that rings too early looks again then.
        timer = self._timers.get(name)
        if timer is None or timer.when() > due:
            self._set_timer(name, due)

    def _cancel(self, name: str) -> None:
        self._due.pop(name, None)

    def _set_timer(self, name: str, due: float) -> None:
        if timer := self._timers.get(name):
            timer.cancel()
        self._timers[name] = self.loop.call_at(due, self._ring, name)

    def _ring(self, name: str) -> None:
        del self._timers[name]
        if name not in self._due:
            return
        due, act = self._due[name]
        if due > self.loop.time():
            self._set_timer(name, due)
        else:
            del self._due[name]
            act()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, because asyncio turns Nagle off for TCP sockets that say so: else 40 ms an answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise TryAgainLater(
            f"cannot listen on {host}:{port} ({error.strerror})",
            remedy="Another program has this port: stop it, or set PORT to a free one.",
        ) from error
    listener.listen(1024)
    return listener
