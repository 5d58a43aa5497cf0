"""One access token per process, asked for by one thread at a time, renewed before it ends.

Server-to-Server OAuth: https://developers.zoom.us/docs/internal-apps/s2s-oauth/
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from resonance_zoom.errors import ZoomError, ZoomUnreachable

RENEW_BEFORE = timedelta(seconds=120)


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, opaque to us. `ends` by our own clock, from Zoom's `expires_in`."""

    value: str
    ends: datetime
    scopes: frozenset[str]

    def __repr__(self) -> str:
        return f"Token(***, ends={self.ends})"


class TokenKeeper:
    """Hands out the token. `ask` is the call to Zoom's OAuth; each `until` is a monotonic time."""

    def __init__(
        self,
        *,
        ask: Callable[[float], Token],
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._now = now
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._failure: ZoomError | None = None
        self._failures = 0

    def get(self, until: float) -> Token:
        """The token at hand, or a new one when it ends within two minutes.

        Threads that come while one asks wait for it and share what it got, be it a refusal: else
        each of them would ask a Zoom that is down, one after the other.
        """
        failures = self._failures
        if not self._lock.acquire(timeout=max(0.0, until - self._monotonic())):
            raise ZoomUnreachable("no access token in time")
        try:
            if self._token is not None and self._now() < self._token.ends - RENEW_BEFORE:
                return self._token
            if self._failure is not None and self._failures != failures:
                raise self._failure.with_traceback(None)
            self._token = self._asked(until)
            return self._token
        finally:
            self._lock.release()

    def _asked(self, until: float) -> Token:
        try:
            return self._ask(until)
        except ZoomError as error:
            self._failure = error
            self._failures += 1
            raise

    def invalidate(self, refused: Token) -> None:
        """Zoom refused this one: forget it, unless another thread has renewed it meanwhile."""
        with self._lock:
            if self._token is refused:
                self._token = None
