"""The one place that sends: always with time limits, never after a redirect, one try.

A fault of the network comes out as ZoomUnreachable, an answer as it is, whatever it says.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests
import urllib3
from requests.auth import AuthBase

from resonance_zoom.errors import ZoomUnreachable

MAX_ANSWER = 16 * 1024 * 1024
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `headers` by lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Bearer(AuthBase):
    """An access token as `auth`: given as a header only, a ~/.netrc would replace it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Wire:
    """Connections that are kept between calls. Thread-safe: each session is lent to one call."""

    def __init__(
        self, *, timeout: tuple[float, float], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._timeout = timeout
        self._monotonic = monotonic
        self._idle: list[requests.Session] = []
        self._closed = False

    def close(self) -> None:
        """Close every connection; one that is in use, when its call is over."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def send(self, method: str, url: str, *, until: float, **sending: Any) -> Answer:
        """One request, one answer. `until`, by the monotonic clock, bounds the time limits.

        Raises ZoomUnreachable; `maybe_done` unless no connection was made.
        """
        left = max(0.1, until - self._monotonic())
        connect, read = (min(limit, left) for limit in self._timeout)
        session = self._borrow()
        try:
            with session.request(
                method,
                url,
                timeout=(connect, read),
                allow_redirects=False,
                stream=True,
                **sending,
            ) as response:
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status_code, headers, self._body(response, until))
        except (requests.RequestException, urllib3.exceptions.HTTPError) as fault:
            raise ZoomUnreachable(
                f"no answer from Zoom ({type(fault).__name__})",
                maybe_done=not _never_connected(fault),
                remedy="Check the network of this machine and status.zoom.us.",
            ) from None
        finally:
            self._give_back(session)

    def _body(self, response: requests.Response, until: float) -> bytes:
        """The whole body, unless it trickles in past the time or is larger than any list."""
        chunks, size = [], 0
        while chunk := response.raw.read1(_CHUNK, decode_content=True):
            chunks.append(chunk)
            size += len(chunk)
            if size > MAX_ANSWER or self._monotonic() > until:
                raise requests.ReadTimeout
        return b"".join(chunks)

    def _borrow(self) -> requests.Session:
        try:
            return self._idle.pop()
        except IndexError:
            return requests.Session()

    def _give_back(self, session: requests.Session) -> None:
        self._idle.append(session)
        if self._closed:
            self.close()


def _never_connected(fault: Exception) -> bool:
    """Whether the connection was never made, so that Zoom cannot have done anything."""
    cause = fault.args[0] if fault.args else None
    return isinstance(fault, requests.ConnectTimeout) or isinstance(
        getattr(cause, "reason", None), urllib3.exceptions.NewConnectionError
    )
