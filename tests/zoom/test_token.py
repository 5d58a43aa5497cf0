"""One token for the whole process, asked for once however many want it."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from resonance_zoom.errors import ZoomError, ZoomUnauthorized, ZoomUnreachable
from resonance_zoom.zoom.token import Token, TokenKeeper

NOON = datetime(2021, 1, 11, 12, tzinfo=UTC)


class Oauth:
    """Gives out token-1, token-2 …, each good for an hour; `failure` is raised instead."""

    def __init__(self) -> None:
        self.now = NOON
        self.asked = 0
        self.failure: ZoomError | None = None
        self.before_answering: Callable[[], object] = lambda: None

    def __call__(self, _until: float) -> Token:
        self.asked += 1
        self.before_answering()
        if self.failure:
            raise self.failure
        return Token(f"token-{self.asked}", self.now + timedelta(hours=1), frozenset())


@pytest.fixture
def oauth() -> Oauth:
    return Oauth()


@pytest.fixture
def tokens(oauth: Oauth) -> TokenKeeper:
    return TokenKeeper(ask=oauth, now=lambda: oauth.now, monotonic=lambda: 0.0)


def together(count: int, what: Callable[[], object]) -> None:
    """Run it in so many threads that all begin at once."""
    barrier = threading.Barrier(count)

    def one() -> None:
        barrier.wait(5)
        what()

    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(one) for _ in range(count)]:
            done.result()


def test_the_first_call_asks_and_the_next_ones_use_what_it_got(
    tokens: TokenKeeper, oauth: Oauth
) -> None:
    assert [tokens.get(60).value for _ in range(3)] == ["token-1"] * 3
    assert oauth.asked == 1


def test_a_token_is_renewed_two_minutes_before_it_ends(tokens: TokenKeeper, oauth: Oauth) -> None:
    tokens.get(60)
    oauth.now = NOON + timedelta(minutes=57, seconds=59)
    assert tokens.get(60).value == "token-1"
    oauth.now = NOON + timedelta(minutes=58)
    assert tokens.get(60).value == "token-2"


def test_a_refused_token_is_replaced(tokens: TokenKeeper) -> None:
    tokens.invalidate(tokens.get(60))
    assert tokens.get(60).value == "token-2"


def test_a_token_that_another_thread_has_replaced_already_is_not_dropped_again(
    tokens: TokenKeeper, oauth: Oauth
) -> None:
    old = tokens.get(60)
    tokens.invalidate(old)
    tokens.get(60)
    tokens.invalidate(old)
    assert tokens.get(60).value == "token-2"
    assert oauth.asked == 2


def test_sixteen_threads_whose_token_is_refused_ask_for_one_new_token(
    tokens: TokenKeeper, oauth: Oauth
) -> None:
    old = tokens.get(60)

    def refused() -> None:
        tokens.invalidate(old)
        assert tokens.get(60).value == "token-2"

    together(16, refused)
    assert oauth.asked == 2


class CountedLock:
    """A lock that counts who has come to it."""

    def __init__(self) -> None:
        self.came = threading.Semaphore(0)
        self._lock = threading.Lock()

    def acquire(self, *, timeout: float) -> bool:
        self.came.release()
        return self._lock.acquire(timeout=timeout)

    def release(self) -> None:
        self._lock.release()


def test_sixteen_threads_share_one_failure(tokens: TokenKeeper, oauth: Oauth) -> None:
    """Else sixteen threads would ask a Zoom that is down one after the other."""
    tokens._lock = lock = CountedLock()  # type: ignore[assignment]
    oauth.failure = ZoomUnreachable("down")
    oauth.before_answering = lambda: [lock.came.acquire(timeout=5) for _ in range(16)]

    def get() -> None:
        with pytest.raises(ZoomUnreachable):
            tokens.get(60)

    together(16, get)
    assert oauth.asked == 1


def test_after_a_failure_the_next_call_asks_again(tokens: TokenKeeper, oauth: Oauth) -> None:
    oauth.failure = ZoomUnauthorized("wrong secret")
    for _ in range(2):
        with pytest.raises(ZoomUnauthorized):
            tokens.get(60)
    oauth.failure = None
    assert tokens.get(60).value == "token-3"


def test_nobody_waits_for_a_token_longer_than_a_call_may_last(oauth: Oauth) -> None:
    tokens = TokenKeeper(ask=oauth, now=lambda: NOON, monotonic=lambda: 100.0)
    asking, over = threading.Event(), threading.Event()
    oauth.before_answering = lambda: (asking.set(), over.wait(5))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(tokens.get, 160)
        assert asking.wait(5)
        with pytest.raises(ZoomUnreachable) as caught:
            tokens.get(100.0)
        over.set()
        assert first.result().value == "token-1"
    assert not caught.value.maybe_done


def test_a_token_does_not_show_itself() -> None:
    assert "secret" not in repr(Token("secret", NOON, frozenset()))
