"""The simulated Zoom on loopback: real HTTP from a thread, broken connections included."""

import asyncio
import logging
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Any, Self, cast

import uvicorn
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from resonance_zoom.errors import ResonanceError
from resonance_zoom.zoom.simulator.api import API_PREFIX, TOKEN_PATH, answer
from resonance_zoom.zoom.simulator.records import Answer, SimRequest
from resonance_zoom.zoom.simulator.world import SimulatedZoom

DELIVER_EVERY = 0.02
logger = logging.getLogger(__name__)


class _Connection(H11Protocol):
    """uvicorn's own, but the application can reach the transport to break it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class SimulatorServer:
    """Serves `world` while the `with` block lasts; port 0 picks a free one.

    `deliver`: a second thread sends notifications as they fall due, for worlds in real time.
    `pages`: what a browser sees beside the API; without it there are no pages.
    `world` may be replaced while nothing is asked.
    """

    def __init__(
        self,
        world: SimulatedZoom,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        deliver: bool = False,
        pages: ASGIApp | None = None,
    ) -> None:
        self.world = world
        self._pages = pages
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        self.origin = f"http://{host}:{self.port}"
        self.api_url = f"{self.origin}/v2"
        self.oauth_url = f"{self.origin}/oauth/token"
        config = uvicorn.Config(
            self._app,
            http=_Connection,
            loop="asyncio",
            interface="asgi3",
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,  # the world has a clock of its own
            proxy_headers=False,
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)
        self._threads = [threading.Thread(target=self._serve, name="simulated-zoom", daemon=True)]
        self._stopping = threading.Event()
        if deliver:
            self._threads.append(
                threading.Thread(target=self._deliver, name="simulated-webhooks", daemon=True)
            )

    def start(self) -> Self:
        """Returns when calls are answered."""
        for thread in self._threads:
            thread.start()
        while not self._server.started:  # uvicorn offers a flag, no event
            if not self._threads[0].is_alive():
                raise ResonanceError(f"the simulated Zoom on port {self.port} did not start")
            time.sleep(0.002)
        return self

    def stop(self) -> None:
        """Closes the connections and waits for the threads."""
        self._stopping.set()
        self._server.should_exit = True
        for thread in self._threads:
            thread.join(10)
        self._socket.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])

    def _deliver(self) -> None:
        while not self._stopping.wait(DELIVER_EVERY):
            self.world.deliver_due()

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._pages is not None and not scope["path"].startswith((f"{API_PREFIX}/", TOKEN_PATH)):
            await self._pages(scope, receive, send)
            return
        request = Request(scope, receive)
        given = answer(
            self.world,
            SimRequest(
                method=request.method,
                path=scope["path"],
                query=dict(request.query_params),
                headers={name.lower(): value for name, value in request.headers.items()},
                body=await request.body(),
                origin=self.origin,
            ),
        )
        transport = cast("asyncio.Transport", scope["state"]["transport"])
        await _Reply(given, transport, receive, send).go()


def _listen(host: str, port: int) -> socket.socket:
    # asyncio turns Nagle's algorithm off only where the protocol is named: 40 ms for each answer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.listen(512)
    return listener


class _Reply:
    """One answer on its way, whole or broken."""

    def __init__(
        self, given: Answer, transport: asyncio.Transport, receive: Receive, send: Send
    ) -> None:
        self._answer = given
        self._transport = transport
        self._receive = receive
        self._send = send

    async def go(self) -> None:
        """Sends it, or breaks the connection the way the fault wants."""
        if self._answer.wire == "whole":
            await self._send(self._head())
            await self._send({"type": "http.response.body", "body": self._answer.body})
            return
        if self._answer.wire == "cut":
            await self._send(self._head())
            half = self._answer.body[: len(self._answer.body) // 2]
            await self._send({"type": "http.response.body", "body": half, "more_body": True})
            self._transport.close()  # sends what is written, then ends
        else:
            self._hang_up()
        while (await self._receive())["type"] != "http.disconnect":
            pass  # uvicorn complains of a missing answer unless the connection is gone by then

    def _hang_up(self) -> None:
        if self._answer.wire == "reset":
            connection = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _head(self) -> Message:
        headers: list[tuple[bytes, bytes]] = [
            (name.encode(), value.encode("latin-1", "replace"))
            for name, value in self._answer.headers.items()
        ]
        if self._answer.status != 204:
            headers.append((b"content-length", str(len(self._answer.body)).encode()))
        start: dict[str, Any] = {"type": "http.response.start", "status": self._answer.status}
        return start | {"headers": headers}
