"""Commits what many ask for at once in one transaction; each is answered after its own commit.

A commit waits for the disk, and while it does others come: they make the next group. Before it
begins, those who were just answered may come again, for a moment: one group of all costs less than
two halves that take turns. One who is alone is a group of one and waits for nobody.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Generic, TypeVar

from resonance_zoom.errors import DatabaseLost, ResonanceError

Item = TypeVar("Item")
Result = TypeVar("Result")

GATHER_SECONDS = 0.004  # from an answer on, for which the next group waits for who had it
MOST = 256  # so many share a transaction at most: others want to write too


class GroupCommit(Generic[Item, Result]):
    """Runs `work`, which commits a group and returns a result for each item, one group at a time.

    A group that fails because of one of its items is tried again item by item; one for which the
    database is to blame fails as a whole; where only the connection broke, it is tried once more,
    so that `work` must be harmless to repeat.
    """

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Result]], *, name: str) -> None:
        self._work = work
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._turn = threading.Condition()
        self._busy = False
        self._expected = 0  # so many may make the next group, if they come
        self._gather_until = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def commit(self, item: Item) -> Result:
        """The item's result, once its group was committed. Raises what kept it from that."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Result] = loop.create_future()
        with self._turn:
            self._waiting.append((item, answer))
            begin, self._busy = not self._busy, True
            if len(self._waiting) == self._expected:
                self._turn.notify()
        if begin:
            # After whatever else the loop finds to do in this turn: it may be of the same group.
            loop.call_soon(self._thread.submit, self._work_off)
        return await answer

    def _work_off(self) -> None:
        while group := self._next_group():
            found = self._results([item for item, _ in group])
            answers = [answer for _, answer in group]
            with self._turn:
                # Who came during the commit, and who is answered now.
                self._expected = min(MOST, len(self._waiting) + len(group))
                self._gather_until = monotonic() + GATHER_SECONDS
            for loop in {answer.get_loop() for answer in answers}:
                loop.call_soon_threadsafe(_give, loop, answers, found)

    def _next_group(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        with self._turn:
            if self._waiting:
                left = self._gather_until - monotonic()
                self._turn.wait_for(lambda: len(self._waiting) >= self._expected, left)
            group = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
            self._busy = bool(group)
        return group

    def _results(
        self, items: Sequence[Item], *, again: bool = True
    ) -> list[Result | BaseException]:
        try:
            return [*self._work(items)]
        except DatabaseLost as error:
            # A failover, a restart of the server: the next connection is a new one. Zoom would come
            # again only in five minutes.
            return self._results(items, again=False) if again else [error] * len(items)
        except ResonanceError as error:
            return [error] * len(items)
        except BaseException as error:  # noqa: BLE001 — whoever waits must be told of anything
            if len(items) == 1:
                return [error]
        return [self._results([item])[0] for item in items]


def _give(
    loop: asyncio.AbstractEventLoop,
    answers: Sequence[asyncio.Future[Result]],
    found: Sequence[Result | BaseException],
) -> None:
    for answer, result in zip(answers, found, strict=True):
        if answer.get_loop() is not loop or answer.done():
            continue  # done: whoever asked has gone
        if isinstance(result, BaseException):
            answer.set_exception(result)
        else:
            answer.set_result(result)
