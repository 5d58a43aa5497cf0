"""Serves an ASGI application from a thread: started when it listens, drained when it stops."""

import socket
import threading
import time
from typing import Any

import uvicorn

from resonance_zoom.errors import ResonanceError, TryAgainLater

DRAIN_SECONDS = 10


class WebServer:
    """uvicorn in a thread. The main thread keeps the signals: `uvicorn.run` would take them."""

    def __init__(self, app: Any, *, host: str, port: int) -> None:
        self.host = host
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=15,
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
