"""Calls that share a commit share nothing else: each has its own answer, and one alone can fail."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from resonance_zoom.errors import DatabaseBusy, DatabaseLost
from resonance_zoom.store import groups
from resonance_zoom.store.groups import GroupCommit


class Work:
    """Doubles numbers; what it was given, group by group. The first group waits for `go`."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.go = threading.Event()
        self.fails: dict[int, Exception] = {}

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.groups.append([*items])
        assert self.go.wait(10)
        for item in items:
            if item in self.fails:
                raise self.fails[item]
        return [2 * item for item in items]


def answers(work: Work, last: int) -> list[int | BaseException]:
    """What becomes of 0, and of 1 to `last`, which come while 0 is at work."""
    made = GroupCommit(work, name="test")

    async def all_of_them() -> list[int | BaseException]:
        first = asyncio.ensure_future(made.commit(0))
        while not work.groups:
            await asyncio.sleep(0)
        others = [asyncio.ensure_future(made.commit(number)) for number in range(1, last + 1)]
        await asyncio.sleep(0)
        work.go.set()
        return await asyncio.gather(first, *others, return_exceptions=True)

    return asyncio.run(asyncio.wait_for(all_of_them(), 10))


def test_whoever_comes_during_a_commit_shares_the_next_one_and_has_an_answer_of_their_own() -> None:
    work = Work()
    assert answers(work, 5) == [0, 2, 4, 6, 8, 10]
    assert work.groups == [[0], [1, 2, 3, 4, 5]]


def test_who_came_during_a_commit_and_who_was_answered_by_it_share_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise two halves take turns for ever, and each commit is paid for by half as many."""
    monkeypatch.setattr(groups, "GATHER_SECONDS", 60)
    work = Work()
    made = GroupCommit(work, name="test")

    async def again_and_again(number: int) -> list[int]:
        return [await made.commit(number) for _ in range(2)]

    async def all_of_them() -> list[list[int]]:
        early = [asyncio.ensure_future(again_and_again(number)) for number in (1, 2)]
        while not work.groups:
            await asyncio.sleep(0)
        late = [asyncio.ensure_future(made.commit(number)) for number in (3, 4)]
        await asyncio.sleep(0)
        work.go.set()
        assert await asyncio.gather(*late) == [6, 8]
        return await asyncio.gather(*early)

    assert asyncio.run(asyncio.wait_for(all_of_them(), 10)) == [[2, 2], [4, 4]]
    assert [sorted(group) for group in work.groups] == [[1, 2], [1, 2, 3, 4]]


def test_who_is_alone_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "GATHER_SECONDS", 60)
    work = Work()
    work.go.set()
    made = GroupCommit(work, name="test")

    async def one_after_the_other() -> list[int]:
        return [await made.commit(number) for number in range(4)]

    assert asyncio.run(asyncio.wait_for(one_after_the_other(), 10)) == [0, 2, 4, 6]
    assert work.groups == [[0], [1], [2], [3]]


def test_who_comes_alone_when_a_crowd_has_long_been_answered_waits_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1_000.0]
    monkeypatch.setattr(groups, "GATHER_SECONDS", 60)
    monkeypatch.setattr(groups, "monotonic", lambda: now[0])
    work = Work()
    work.go.set()
    made = GroupCommit(work, name="test")

    async def a_crowd_and_then_one() -> int:
        await asyncio.gather(*(made.commit(number) for number in range(5)))
        now[0] += 61
        return await made.commit(5)

    assert asyncio.run(asyncio.wait_for(a_crowd_and_then_one(), 10)) == 10


def test_a_crowd_that_does_not_come_again_is_not_waited_for_long() -> None:
    work = Work()
    work.go.set()
    made = GroupCommit(work, name="test")

    async def a_crowd_and_then_one() -> list[int]:
        await asyncio.gather(*(made.commit(number) for number in range(5)))
        return [await made.commit(5)]

    assert asyncio.run(asyncio.wait_for(a_crowd_and_then_one(), 10)) == [10]


def test_a_full_group_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "GATHER_SECONDS", 60)
    work = Work()
    assert answers(work, 256) == [2 * number for number in range(257)]
    assert [len(group) for group in work.groups] == [1, 256]


def test_no_group_is_larger_than_256() -> None:
    work = Work()
    assert answers(work, 300) == [2 * number for number in range(301)]
    assert [len(group) for group in work.groups] == [1, 256, 44]


def test_one_that_is_poison_fails_alone() -> None:
    work = Work()
    work.fails = {3: ValueError("poison")}
    *before, third, fourth = answers(work, 4)
    assert (before, fourth) == ([0, 2, 4], 8)
    assert isinstance(third, ValueError)
    assert work.groups == [[0], [1, 2, 3, 4], [1], [2], [3], [4]]


def test_a_database_that_is_busy_is_everybodys_trouble_and_is_asked_once() -> None:
    work = Work()
    work.fails = {3: DatabaseBusy("somebody writes")}
    *_, fourth = found = answers(work, 4)
    assert isinstance(fourth, DatabaseBusy)
    assert [isinstance(one, DatabaseBusy) for one in found] == [False, True, True, True, True]
    assert work.groups == [[0], [1, 2, 3, 4]]


@pytest.mark.parametrize("times", [1, 2])
def test_a_group_whose_connection_broke_is_tried_once_more(times: int) -> None:
    work = Work()
    breaks = [DatabaseLost("gone")] * times

    class Breaking(Work):
        def __call__(self, items: Sequence[int]) -> list[int]:
            found = super().__call__(items)
            if len(items) > 1 and breaks:
                raise breaks.pop()
            return found

    work = Breaking()
    first, *others = answers(work, 2)
    assert first == 0
    assert work.groups == [[0], [1, 2], [1, 2]]
    if times == 1:
        assert others == [2, 4]
    else:
        assert all(isinstance(one, DatabaseLost) for one in others)
