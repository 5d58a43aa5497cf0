"""Talks that wait without blocking: whoever drives one decides what goes on meanwhile.

A talk is a generator. It yields what it waits for, and is resumed when that is over; what it
returns is its result. One thread drives as many as there are: while one waits, others go on.
"""

import math
import select
import socket
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, Self, TypeAlias, TypeVar

T = TypeVar("T")
Who = TypeVar("Who")
READABLE, WRITABLE = select.POLLIN, select.POLLOUT
_CLOSED = -1  # such a socket has no number any more: whoever waits for it is told by using it


class Wait(NamedTuple):
    """For a socket, or for a moment of `time.monotonic`; over when the first of them came."""

    until: float
    sock: socket.socket | None = None
    events: int = 0


class Errand(Generic[T]):
    """A deed that blocks, and is done on another thread where others would wait for it.

    `result = yield from Errand(deed)` in a talk; what the deed raises is raised there.
    """

    def __init__(self, deed: Callable[[], T]) -> None:
        self._deed = deed
        self._result: Any = None
        self._error: BaseException | None = None
        self.begun = self.over = False

    def run(self) -> None:
        """Do it. Raises nothing."""
        try:
            self._result = self._deed()
        except BaseException as error:  # noqa: BLE001 — the talk raises it
            self._error = error
        self.over = True

    def __iter__(self) -> Generator["Wish", None, T]:
        yield self
        if self._error is not None:
            raise self._error
        result: T = self._result
        return result


Wish: TypeAlias = Wait | Errand[Any]
Talk: TypeAlias = Generator[Wish, None, T]


class Waiting:
    """Waits for what talks wish for. With no `threads`, an errand is done in its place."""

    def __init__(self, *, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, "errand") if threads else None
        self._bell, self._rope = socket.socketpair()  # who ends an errand pulls
        self._bell.settimeout(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        self._bell.close()
        self._rope.close()

    def for_some(self, wishes: Mapping[Who, Wish], until: float = math.inf) -> list[Who]:
        """Whose wishes are over, at the latest when it is `until`: then, and now and then, none."""
        poll = select.poll()
        poll.register(self._bell, READABLE)
        for wish in wishes.values():
            if isinstance(wish, Errand):
                self._begin(wish)
                until = -math.inf if wish.over else until
                continue
            until = min(until, wish.until)
            if wish.sock is not None and wish.sock.fileno() == _CLOSED:
                until = -math.inf
            elif wish.sock is not None:
                poll.register(wish.sock, wish.events)
        came = {descriptor for descriptor, _ in poll.poll(_milliseconds(until))} | {_CLOSED}
        if self._bell.fileno() in came:
            self._bell.recv(4096)
        now = time.monotonic()
        return [who for who, wish in wishes.items() if _is_over(wish, came, now)]

    def _begin(self, errand: Errand[Any]) -> None:
        if errand.begun:
            return
        errand.begun = True
        if self._pool is None:
            errand.run()
        else:
            self._pool.submit(self._run, errand)

    def _run(self, errand: Errand[Any]) -> None:
        errand.run()
        self._rope.send(b".")


def _is_over(wish: Wish, came: set[int], now: float) -> bool:
    if isinstance(wish, Errand):
        return wish.over
    return wish.until <= now or (wish.sock is not None and wish.sock.fileno() in came)


def _milliseconds(until: float) -> int | None:
    if until == math.inf:
        return None
    return max(0, math.ceil((until - time.monotonic()) * 1000)) if until > 0 else 0


def finish(talk: Talk[T]) -> T:
    """Drive one talk to its end, and wait for whatever it waits for."""
    with Waiting(threads=0) as waiting:
        while True:
            try:
                wish = next(talk)
            except StopIteration as end:
                result: T = end.value
                return result
            waiting.for_some({talk: wish})
