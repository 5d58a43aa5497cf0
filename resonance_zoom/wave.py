"""Letters leave over several connections at once, each with one letter in flight.

What became of one letter and the claim of the next are one commit, which all connections share: it
waits for the disk, and many small ones would cost more than the letters. Who comes first waits for
the others, for a moment: one that stalls holds nobody up. With one connection nothing runs beside
anything else.

While a letter hangs, the other connections look for new ones until it is over. One that has nothing
to carry is not opened.
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
LOOK_AGAIN_SECONDS = 1.0


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


@dataclass(slots=True)
class _Sender:
    """A connection, the letter in flight on it, and what became of the last one.

    `busy`: it will come to a turn of the wave; `waits`: it is there, and wants another letter;
    `served`: its turn was taken.
    """

    postman: Postman
    claim: Claim | None = None
    outcome: Outcome | None = None
    waits: bool = False
    served: bool = False
    busy: bool = True
    was_tried: bool = False
    error: BaseException | None = None


class _Wave:
    def __init__(self, delivery: Delivery, go_on: Callable[[], bool]) -> None:
        self.delivery = delivery
        self.go_on = go_on
        self.decided = 0
        self._senders: list[_Sender] = []
        self._waiting: list[_Sender] = []
        self._in_turn = False
        self._change = threading.Condition()  # guards all of this; told when a turn was taken

    def run(self, ready: int) -> None:
        """Carry letters over every connection, beginning with as many as letters are ready."""
        senders = self._senders = [_Sender(postman) for postman in self.delivery.postmen]
        for sender in senders[ready:]:
            sender.busy = False
        if len(senders) == 1:
            found = [self._carry(senders[0])]
        else:
            with ThreadPoolExecutor(len(senders), thread_name_prefix="sender") as pool:
                found = [*pool.map(self._carry, senders)]
        unreachable = [error for error in found if error is not None]
        # A relay may take fewer connections at once than we offer: that is no trouble.
        if unreachable and len(unreachable) == sum(sender.was_tried for sender in senders):
            raise unreachable[0]

    def _carry(self, sender: _Sender) -> MailUnreachable | None:
        """Carry letters until there are none; what ended it early, if the relay did."""
        try:
            if not sender.busy:
                self._wait_for_more(sender)
            while sender.busy:
                sender.was_tried = True
                sender.postman.ready()  # before the claim: without a relay nothing is begun
                self._commit(sender, more=True)
                while sender.claim is not None:
                    sender.outcome, trouble = self.delivery.attempt(sender.claim, sender.postman)
                    self._commit(sender, more=trouble is None)
                    if trouble is not None:
                        return trouble
                self._wait_for_more(sender)
        except MailUnreachable as error:
            return error
        finally:
            if sender.outcome is not None:
                self.delivery.keep(sender.outcome)
            self._rest(sender)
        return None

    def _wait_for_more(self, sender: _Sender) -> None:
        """Be busy again if letters become ready while another connection is still at work."""
        self._rest(sender)
        while self.go_on() and self._others_are_busy() and not self._all_rest():
            if self.delivery.ready():
                sender.busy = True
                return

    def _rest(self, sender: _Sender) -> None:
        with self._change:
            sender.busy = False
            self._change.notify_all()

    def _others_are_busy(self) -> bool:
        return any(one.busy for one in self._senders)

    def _all_rest(self) -> bool:
        """Wait until no connection is busy, but not for long: whether there is none."""
        with self._change:
            return self._change.wait_for(lambda: not self._others_are_busy(), LOOK_AGAIN_SECONDS)

    def _commit(self, sender: _Sender, *, more: bool) -> None:
        """Write the sender's outcome, claim its next letter; together with whoever else comes."""
        if group := self._gathered(sender, more=more):
            self._take_turn(group)
            with self._change:
                self._in_turn = False
                for one in group:
                    one.served = True
                self._change.notify_all()
        if sender.error is not None:
            raise sender.error

    def _gathered(self, sender: _Sender, *, more: bool) -> list[_Sender]:
        """Those whose turn the sender is to take, itself among them; none if another took it."""
        with self._change:
            sender.claim, sender.waits, sender.served = None, more, False
            self._waiting.append(sender)
            # Nobody is woken: whoever comes last finds all here, and takes the turn.
            self._change.wait_for(lambda: sender.served or self._all_are_here(), GATHER_SECONDS)
            self._change.wait_for(lambda: sender.served or not self._in_turn)
            if sender.served:
                return []
            group, self._waiting, self._in_turn = self._waiting, [], True
            return group

    def _all_are_here(self) -> bool:
        busy = sum(one.busy for one in self._senders)
        return not self._in_turn and len(self._waiting) >= busy

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
