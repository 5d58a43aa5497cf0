"""Letters leave over several connections at once, each with one letter in flight.

One thread carries them all: while one connection waits for its relay, the letters of the others go
on. What became of one letter and the claim of the next are one commit, which all connections share:
it waits for the disk, and many small ones would cost more than the letters; meanwhile the letters
that it claims are composed. Who comes first waits for the others, for a moment: one that stalls
holds nobody up. With one connection nothing runs beside anything else.

While a letter hangs, the other connections look for new ones until it is over. One that has nothing
to carry is not opened.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from resonance_zoom.delivery import Delivery, Outcome
from resonance_zoom.errors import MailUnreachable
from resonance_zoom.mail.postman import Postman, getting_ready
from resonance_zoom.mail.talks import Talk, Wait, Waiting, Wish
from resonance_zoom.store.claims import Claim

GATHER_SECONDS = 0.005  # for which a connection waits for the others before they commit together
LOOK_AGAIN_SECONDS = 1.0
_TURN = Wait(math.inf)  # until the wave has taken it


def send_ready(delivery: Delivery, go_on: Callable[[], bool] = lambda: True) -> int:
    """Send every letter that is ready, until `go_on` says no; how many were dealt with.

    Raises MailUnreachable when the relay cannot be spoken to over any connection; what was at hand
    is queued again.
    """
    delivery.settle()
    dealt = 0
    while (ready := delivery.ready()) and go_on():
        wave = _Wave(delivery, go_on)
        wave.run(ready)
        dealt += wave.decided
        if not wave.decided:
            break  # paused, held, or at the end of the pace
    return dealt


@dataclass(slots=True, eq=False)
class _Sender:
    """A connection, the letter in flight on it, and what became of the last one.

    `busy`: it will come to a turn of the wave, where it is `since`; `wants`: another letter, then;
    `wish`: what it waits for, None when it has ended.
    """

    postman: Postman
    claim: Claim | None = None
    outcome: Outcome | None = None
    wish: Wish | None = None
    since: float = 0.0
    wants: bool = False
    busy: bool = True
    was_tried: bool = False
    trouble: MailUnreachable | None = None
    error: Exception | None = None


class _Wave:
    def __init__(self, delivery: Delivery, go_on: Callable[[], bool]) -> None:
        self.delivery = delivery
        self.go_on = go_on
        self.decided = 0
        self._senders = [_Sender(postman) for postman in delivery.postmen]

    def run(self, ready: int) -> None:
        """Carry letters over every connection, beginning with as many as letters are ready."""
        senders = self._senders
        for sender in senders[ready:]:
            sender.busy = False
        talks = {sender: self._carry(sender) for sender in senders}
        several = len(senders) > 1
        with (
            self.delivery.composing_beside() if several else nullcontext(),
            Waiting(threads=len(senders) if several else 0) as waiting,
        ):
            try:
                self._drive(talks, waiting)
            finally:
                for talk in talks.values():
                    talk.close()
        for sender in senders:
            if sender.error is not None:
                raise sender.error
        unreachable = [sender.trouble for sender in senders if sender.trouble is not None]
        # A relay may take fewer connections at once than we offer: that is no trouble.
        if unreachable and len(unreachable) == sum(sender.was_tried for sender in senders):
            raise unreachable[0]

    def _drive(self, talks: dict[_Sender, Talk[None]], waiting: Waiting) -> None:
        """Resume each talk when what it waits for is over, until all have ended."""
        due: Sequence[_Sender] = self._senders
        while True:
            for sender in due:
                _resume(sender, talks[sender])
            wishes = {one: one.wish for one in self._senders if one.wish is not None}
            if not wishes:
                return
            here = [sender for sender in self._senders if sender.wish is _TURN]
            busy = sum(sender.busy for sender in self._senders)
            until = min((sender.since for sender in here), default=math.inf) + GATHER_SECONDS
            if here and (len(here) == busy or until <= time.monotonic()):
                self._take_turn(here)
                due = here
            elif busy:
                due = waiting.for_some(wishes, until)
            else:
                due = [*wishes]

    def _carry(self, sender: _Sender) -> Talk[None]:
        """Carry letters until there are none, or the relay ends it early."""
        try:
            if not sender.busy:
                yield from self._wait_for_more(sender)
            while sender.busy:
                sender.was_tried = True
                yield from getting_ready(sender.postman)  # without a relay nothing is begun
                yield from self._commit(sender, more=True)
                while sender.claim is not None:
                    attempt = self.delivery.attempt(sender.claim, sender.postman)
                    sender.outcome, sender.trouble = yield from attempt
                    yield from self._commit(sender, more=sender.trouble is None)
                    if sender.trouble is not None:
                        return
                yield from self._wait_for_more(sender)
        except MailUnreachable as error:
            sender.trouble = error
        finally:
            if sender.outcome is not None:
                self.delivery.keep(sender.outcome)
            sender.busy = False

    def _commit(self, sender: _Sender, *, more: bool) -> Talk[None]:
        """Write the sender's outcome, claim its next letter; together with whoever else comes."""
        sender.claim, sender.wants, sender.since = None, more, time.monotonic()
        yield _TURN
        if sender.error is not None:
            raise sender.error

    def _wait_for_more(self, sender: _Sender) -> Talk[None]:
        """Be busy again if letters become ready while another connection is still at work."""
        sender.busy = False
        while self.go_on() and self._busy():
            yield Wait(time.monotonic() + LOOK_AGAIN_SECONDS)
            if (busy := self._busy()) and self.delivery.ready() > sum(
                not one.claim for one in busy
            ):
                sender.busy = True
                return

    def _busy(self) -> Sequence[_Sender]:
        return [sender for sender in self._senders if sender.busy]

    def _take_turn(self, group: Sequence[_Sender]) -> None:
        outcomes = [sender.outcome for sender in group if sender.outcome is not None]
        try:
            wanting = [sender for sender in group if sender.wants] if self.go_on() else []
            turn = self.delivery.turn(outcomes, wanted=len(wanting))
        except Exception as error:  # noqa: BLE001 — each of them raises it
            for sender in group:
                sender.error = error
            return
        self.decided += turn.decided
        for sender in group:
            sender.outcome = None
        for sender, claim in zip(wanting, turn.claims, strict=False):
            sender.claim = claim


def _resume(sender: _Sender, talk: Talk[None]) -> None:
    sender.wish = None
    try:
        sender.wish = next(talk)
    except StopIteration:
        return
    except Exception as error:  # noqa: BLE001 — the wave raises it when all have ended
        sender.error = error
