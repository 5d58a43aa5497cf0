"""What a mail server says is understood however it comes, and nothing is waited for without an end."""

import math
import select
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from resonance_zoom.errors import MailDeferred
from resonance_zoom.mail.line import AT_ONCE, Line
from resonance_zoom.mail.postman import SmtpPostman
from resonance_zoom.mail.talks import READABLE, WRITABLE, Errand, Talk, Wait, Waiting, finish
from tests.mail.peer import CLOSE, EHLO, GO, GREETING, OK, Peer

LETTER: dict[str, Any] = {
    "sender": "letters@example.org",
    "recipient": "camille@example.net",
    "message": b"Subject: a\r\n\r\nBonjour\r\n",
}


class Far:
    """A line, and the server's end of it."""

    def __init__(self) -> None:
        near, self.end = socket.socketpair()
        self.line = Line(near)

    def says(self, words: bytes) -> None:
        self.end.sendall(words)


@pytest.fixture
def far() -> Iterator[Far]:
    made = Far()
    yield made
    made.line.close()
    made.end.close()


def step(talk: Talk[Any]) -> Any:
    """What the talk waits for; or its result in a list, when it has ended."""
    try:
        return next(talk)
    except StopIteration as end:
        return [end.value]


def test_an_answer_that_drips_in_byte_by_byte_is_one_answer(far: Far) -> None:
    answer = b"250-mail.example.org\r\n250-PIPELINING\r\n250 OK\r\n"
    talk = far.line.answer(5)
    for number in range(len(answer)):
        wish = step(talk)
        assert (type(wish), wish.events) == (Wait, READABLE)
        far.says(answer[number : number + 1])
    assert step(talk) == [(250, b"mail.example.org\nPIPELINING\nOK")]


def test_answers_that_come_in_one_packet_are_read_one_by_one(far: Far) -> None:
    far.says(b"250 MAIL\r\n250-RCPT\r\n250 too\r\n354 DATA\r\n25")
    assert step(far.line.answer(5)) == [(250, b"MAIL")]
    assert step(far.line.answer(5)) == [(250, b"RCPT\ntoo")]
    assert step(far.line.answer(5)) == [(354, b"DATA")]
    fourth = far.line.answer(5)
    assert step(fourth).events == READABLE
    far.says(b"0 dot\r\n")
    assert step(fourth) == [(250, b"dot")]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"250\r\n", (250, b"")),
        (b"250 OK\n", (250, b"OK")),
        (b"hello\r\n", (-1, b"o")),
        (b"\r\n", (-1, b"")),
        (b"250-a\r\nwhat?\r\n250 b\r\n", (-1, b"a\n?")),
        (b"250 " + b"x" * 8186 + b"\r\n", (250, b"x" * 8186)),
    ],
)
def test_what_is_no_answer_has_no_code(far: Far, said: bytes, answer: tuple[int, bytes]) -> None:
    far.says(said)
    assert finish(far.line.answer(5)) == answer


def test_the_last_words_of_who_hangs_up_count(far: Far) -> None:
    far.says(b"250 OK")
    far.end.close()
    assert finish(far.line.answer(5)) == (250, b"OK")
    with pytest.raises(ConnectionError, match="^Connection unexpectedly closed$"):
        finish(far.line.answer(5))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"250 " + b"x" * 8187 + b"\r\n", "Line too long"),
        (b"250 " + b"x" * 9000, "Line too long"),
        (b"250-x\r\n" * 1001, "Too many lines"),
    ],
)
def test_who_talks_without_an_end_is_not_listened_to(far: Far, said: bytes, told: str) -> None:
    far.says(said)
    with pytest.raises(Exception, match=told):
        finish(far.line.answer(5))


def test_a_silence_is_over_when_its_time_is(far: Far) -> None:
    with pytest.raises(ConnectionError, match="closed: timed out"):
        finish(far.line.answer(0.01))


def test_what_came_while_nobody_looked_is_no_silence(far: Far) -> None:
    talk = far.line.answer(0)
    far.says(b"250 OK\r\n")
    assert step(talk) == [(250, b"OK")]


def test_what_the_network_does_not_take_yet_waits_until_it_does(far: Far) -> None:
    letter = b"x" * 8_000_000
    talk = far.line.tell(letter, 5)
    heard = 0
    while (wish := step(talk)) != [None]:
        assert wish.events == WRITABLE
        heard += len(far.end.recv(AT_ONCE))
    while heard < len(letter):
        heard += len(far.end.recv(AT_ONCE))
    assert heard == len(letter)


def test_who_reads_nothing_is_waited_for_as_long_as_for_an_answer(far: Far) -> None:
    with pytest.raises(TimeoutError, match="^timed out$"):
        finish(far.line.tell(b"x" * 8_000_000, 0.01))


def test_of_several_waits_those_are_over_whose_time_or_socket_has_come(far: Far) -> None:
    _, other = pair = socket.socketpair()
    soon, late = time.monotonic() + 0.01, time.monotonic() + 600
    with Waiting(threads=0) as waiting:
        wishes = {"time": Wait(soon), "socket": Wait(late, far.end, READABLE)}
        assert waiting.for_some(wishes) == ["time"]
        del wishes["time"]
        finish(far.line.tell(b"x", 5))
        wishes["silent"] = Wait(late, other, READABLE)
        assert waiting.for_some(wishes) == ["socket"]
        assert waiting.for_some({"silent": wishes["silent"]}, time.monotonic() + 0.01) == []
    for one in pair:
        one.close()


def test_a_socket_that_somebody_closed_is_waited_for_no_longer(far: Far) -> None:
    far.end.close()
    with Waiting(threads=0) as waiting:
        assert waiting.for_some({"gone": Wait(math.inf, far.end, READABLE)}) == ["gone"]


@pytest.mark.parametrize("threads", [0, 1])
def test_an_errand_gives_and_raises_what_its_deed_does(threads: int) -> None:
    def fails() -> int:
        raise ValueError("no")

    def talk() -> Talk[int]:
        with pytest.raises(ValueError, match="no"):
            yield from Errand(fails)
        return (yield from Errand(lambda: 7))

    errands = talk()
    with Waiting(threads=threads) as waiting:
        while isinstance(wish := step(errands), Errand):
            while not wish.over:
                waiting.for_some({"talk": wish})
    assert wish == [7]
    assert finish(talk()) == 7


def test_while_an_errand_is_under_way_nobody_else_waits_for_it(far: Far) -> None:
    with Waiting(threads=1) as waiting:
        errand = Errand(lambda: select.select([far.end], [], [], 10)[0] == [far.end])
        moment = Wait(time.monotonic() + 0.01)
        assert waiting.for_some({"errand": errand, "moment": moment}) == ["moment"]
        finish(far.line.tell(b"x", 5))
        while waiting.for_some({"errand": errand}) != ["errand"]:
            pass


def test_a_letter_that_is_broken_off_is_not_taken_for_the_beginning_of_the_next() -> None:
    letter = [OK, OK, GO, "250 queued", "221 bye"]
    with Peer([GREETING, EHLO, (), *letter], [GREETING, EHLO, *letter]) as peer:
        postman = SmtpPostman(peer.url, timeout=5)
        postman.ready()
        broken_off = postman.sending(**LETTER)
        next(broken_off)  # waits for the answer to MAIL
        broken_off.close()
        assert postman.send(**LETTER).reply == "250 queued"
        postman.close()
    assert [len(lines) for lines in peer.heard] == [2, 5]


def test_what_a_server_says_unasked_behind_its_greeting_is_heard() -> None:
    with Peer([GREETING, (f"{EHLO}\r\n421 4.3.2 closing", CLOSE)]) as peer:
        postman = SmtpPostman(peer.url, timeout=5)
        with pytest.raises(MailDeferred, match=r"421 4\.3\.2 closing"):
            postman.send(**LETTER)
