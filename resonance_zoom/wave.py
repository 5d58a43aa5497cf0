"""Letters leave over several connections at once, each with one letter in flight.

What became of one letter and the claim of the next are one commit, which all connections share: it
waits for the disk, and many small ones would cost more than the letters. Who comes first waits for
the others, for a moment: one that stalls holds nobody up. With one connection nothing runs beside
anything else.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from resonance_zoom.delivery import Delivery, Outcome
from resonance_zoom.errors import MailUnreachable
from resonance_zoom.mail.postman import Postman
from resonance_zoom.store.claims import Claim

GATHER_SECONDS = 0.005  # for which a connection waits for the others before they commit together


def send_ready(delivery: Delivery, go_on: Callable[[], bool] = lambda: True) -> int:
    """Send every letter that is ready, until `go_on` says no; how many were dealt with.

    Raises MailUnreachable when the relay cannot be spoken to over any connection; what was at hand
    is queued again.
    """
    delivery.settle()
    dealt = 0
    while (ready := delivery.ready()) and go_on():
        wave = _Wave(delivery, go_on)
        wave.run(delivery.postmen[:ready])
        dealt += wave.decided
        if not wave.decided:
            break  # paused, held, or at the end of the pace
    return dealt


@dataclass(slots=True)
class _Sender:
    """A connection, the letter in flight on it, and what became of the last one."""

    postman: Postman
    claim: Claim | None = None
    outcome: Outcome | None = None
    waits: bool = False
    served: bool = False
    error: BaseException | None = None


class _Wave:
    def __init__(self, delivery: Delivery, go_on: Callable[[], bool]) -> None:
        self.delivery = delivery
        self.go_on = go_on
        self.decided = 0
        self._at_work = 0  # senders that will come to a turn
        self._waiting: list[_Sender] = []
        self._in_turn = False
        self._change = threading.Condition()

    def run(self, postmen: Sequence[Postman]) -> None:
        senders = [_Sender(postman) for postman in postmen]
        self._at_work = len(senders)
        if len(senders) == 1:
            found = [self._carry(senders[0])]
        else:
            with ThreadPoolExecutor(len(senders), thread_name_prefix="sender") as pool:
                found = [*pool.map(self._carry, senders)]
        unreachable = [error for error in found if error is not None]
        # A relay may take fewer connections at once than we offer: that is no trouble.
        if len(unreachable) == len(senders):
            raise unreachable[0]

    def _carry(self, sender: _Sender) -> MailUnreachable | None:
        """Carry letters until there are none; what ended it early, if the relay did."""
        try:
            sender.postman.ready()  # before the claim: without a relay nothing is begun
            self._commit(sender, more=True)
            while sender.claim is not None:
                sender.outcome, unreachable = self.delivery.attempt(sender.claim, sender.postman)
                self._commit(sender, more=unreachable is None)
                if unreachable is not None:
                    return unreachable
        except MailUnreachable as error:
            return error
        finally:
            self._leaves(sender)
        return None

    def _leaves(self, sender: _Sender) -> None:
        with self._change:
            self._at_work -= 1
            self._change.notify_all()
        if sender.outcome is not None:
            self.delivery.keep(sender.outcome)

    def _commit(self, sender: _Sender, *, more: bool) -> None:
        """Write the sender's outcome, claim its next letter; together with whoever else waits."""
        sender.claim, sender.waits, sender.served = None, more, False
        with self._change:
            self._waiting.append(sender)
            self._change.notify_all()
            self._change.wait_for(lambda: sender.served or self._all_here(), GATHER_SECONDS)
            while not sender.served and self._in_turn:
                self._change.wait()
            group = [] if sender.served else self._waiting
            if group:
                self._waiting, self._in_turn = [], True
        if group:
            self._take_turn(group)
            with self._change:
                self._in_turn = False
                for one in group:
                    one.served = True
                self._change.notify_all()
        if sender.error is not None:
            raise sender.error

    def _all_here(self) -> bool:
        return not self._in_turn and len(self._waiting) >= self._at_work

    def _take_turn(self, group: Sequence[_Sender]) -> None:
        outcomes = [sender.outcome for sender in group if sender.outcome is not None]
        wanting = [sender for sender in group if sender.waits] if self.go_on() else []
        try:
            turn = self.delivery.turn(outcomes, wanted=len(wanting))
        except BaseException as error:  # noqa: BLE001 — each of them raises it
            for sender in group:
                sender.error = error
            return
        self.decided += turn.decided
        for sender in group:
            sender.outcome = None
        for sender, claim in zip(wanting, turn.claims, strict=False):
            sender.claim = claim
