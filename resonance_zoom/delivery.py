"""What becomes of a letter: claimed, composed, handed over, and its end written down.

`queued → sending` is committed before the first byte and `sent` after the server's 250; what lies
between is `in_doubt`. After a crash nothing is guessed: see `settle_doubt`. Many letters at once,
and what they share, are `wave`'s.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection

from resonance_zoom import holds, pace
from resonance_zoom.campaign import CANCELLED, CONFIRMATION, MOVED, Campaign, reminder_kind
from resonance_zoom.correspondence import Composer
from resonance_zoom.errors import (
    MailDeferred,
    MailInDoubt,
    MailRefused,
    MailUnreachable,
    ResonanceError,
    unforeseen,
)
from resonance_zoom.mail.bounces import unaddressed
from resonance_zoom.mail.message import message_id as derived_message_id
from resonance_zoom.mail.postman import Postman, sending
from resonance_zoom.mail.replies import shown
from resonance_zoom.mail.talks import Talk
from resonance_zoom.reminders import Drop, Wait, verdict, why_late
from resonance_zoom.store import claims, journal, outbox, people
from resonance_zoom.store.claims import Claim
from resonance_zoom.store.engine import Store
from resonance_zoom.store.erasure import ERASURES

MAX_ATTEMPTS = 12
STEP_ASIDE = timedelta(minutes=10)
MOST_DECISIONS = 500  # in one transaction: others want to write too
_LOOKED_AT = (journal.PAUSED, journal.HELD, holds.WINDOWS, ERASURES)
log = structlog.get_logger("delivery")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a claimed letter: the state it goes to, and why. Not yet written."""

    claim: Claim
    at: datetime
    state: str
    words: str
    reason: str | None = None
    ready_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """What one transaction did: letters claimed `at`, and how many were decided about in all."""

    claims: Sequence[Claim] = ()
    decided: int = 0
    at: datetime | None = None


class Delivery:
    """The letters of one campaign, and the connections that carry them."""

    def __init__(
        self,
        *,
        store: Store,
        campaign: Campaign,
        composer: Composer,
        postmen: Sequence[Postman],
        now: Callable[[], datetime],
    ) -> None:
        self.store = store
        self.campaign = campaign
        self.composer = composer
        self.postmen = postmen
        self.now = now
        self._unwritten: list[Outcome] = []
        self._unbegun: list[Turn] = []  # of transactions that failed, or may have
        self._beside: Executor | None = None
        self._early: dict[int, Future[bytes]] = {}  # letters of the last turn, not yet handed over

    def settle(self) -> None:
        """Write what became of letters while the database was busy.

        Otherwise a letter that was accepted would stand in `sending`, and go again after a restart.
        One that was claimed by a commit whose answer was lost was never begun, and is queued again,
        unless it is another clock's by now.
        """
        if self._unbegun:
            with self.store.write() as connection:
                for turn in self._unbegun:
                    for claim in turn.claims:
                        self._give_back(connection, claim, turn.at)
            self._unbegun.clear()
        while self._unwritten:
            self._write_alone(self._unwritten[0])
            del self._unwritten[0]

    def _give_back(self, connection: Connection, claim: Claim, at: datetime | None) -> None:
        if outbox.give_back(connection, letter_id(claim), claimed_at=at, attempt=attempt(claim)):
            now = self.now()
            words = "not begun: the answer to the commit of its claim was lost"
            note_letter(connection, claim.letter, now, "letter.deferred", words, again_at=now)

    def _write_alone(self, outcome: Outcome) -> None:
        letter = letter_id(outcome.claim)
        try:
            with self.store.read() as connection:
                this = attempt(outcome.claim)
                if not outbox.is_under_way(connection, letter, attempt=this):
                    return  # written, by the commit whose answer was lost
            self.turn([outcome], wanted=0)
        except ResonanceError:
            raise
        except Exception:
            # Otherwise it would be tried for ever, before every letter, and none would leave.
            log.exception("what became of a letter cannot be written", letter=letter)
            with self.store.write() as connection:
                outbox.doubt(connection, letter, reason="error", detail="")

    def keep(self, outcome: Outcome) -> None:
        """An outcome that could not be written: it will be by the next `settle`."""
        self._unwritten.append(outcome)

    @contextmanager
    def composing_beside(self) -> Iterator[None]:
        """Until it ends, letters are composed on a thread, while their claim waits for the disk."""
        with ThreadPoolExecutor(1, "composer") as self._beside:
            try:
                yield
            finally:
                self._beside = None
                self._early.clear()

    def ready(self) -> int:
        """How many letters could leave now; no more are counted than there are connections."""
        with self.store.read() as connection:
            return claims.count_ready(connection, self.now(), most=len(self.postmen))

    def turn(self, outcomes: Sequence[Outcome], *, wanted: int) -> Turn:
        """One transaction: write what became of letters, and claim the next `wanted`."""
        turn = Turn()
        try:
            with self.store.write() as connection:
                known = journal.recall_all(connection, _LOOKED_AT)
                self._write(connection, outcomes, known.get(ERASURES, 0))
                if wanted:
                    turn = self._claim(connection, wanted, known)
                if (beside := self._beside) is not None:
                    self._early = {
                        letter_id(claim): beside.submit(self._compose, claim)
                        for claim in turn.claims
                    }
        except ResonanceError:
            self._unbegun.append(turn)
            raise
        return turn

    def _claim(self, connection: Connection, wanted: int, known: Mapping[str, Any]) -> Turn:
        now, erasures = self.now(), known.get(ERASURES, 0)
        if known.get(journal.PAUSED) or known.get(journal.HELD):
            return Turn()  # since the wave began
        if known.get(holds.WINDOWS):
            holds.hold_what_may_have_gone(connection, now)
        wanted = pace.allowed(connection, self.campaign, wanted, now)
        taken: list[Claim] = []
        decided = 0
        while len(taken) < wanted and decided < MOST_DECISIONS:
            found = claims.ready(connection, now, limit=wanted - len(taken), erasures=erasures)
            if not found:
                break
            decided += len(found)
            going = [claim for claim in found if self._still_goes(connection, claim, now)]
            ids = [message_id(self.campaign, claim) for claim in going]
            claims.begin(connection, going, now=now, message_ids=ids)
            taken += going
        pace.spend(connection, self.campaign, len(taken), now)
        return Turn(taken, decided, now)

    def _still_goes(self, connection: Connection, claim: Claim, now: datetime) -> bool:
        """The last look; a letter that does not go, or not now, is told so."""
        decision = verdict(claim, now)
        if isinstance(decision, Drop):
            drop(connection, claim, decision.reason, now)
        elif isinstance(decision, Wait):
            letter: Any = claim.letter
            ready_at, reason = now + decision.delay, decision.reason
            outbox.wait(connection, letter.id, ready_at=ready_at, reason=reason)
            if letter.reason != reason:
                words = outbox.REASONS[reason]
                note_letter(
                    connection, letter, now, "letter.waits", words, journal.WARNING, reason=reason
                )
        else:
            return True
        return False

    def attempt(
        self, claim: Claim, postman: Postman
    ) -> Talk[tuple[Outcome, MailUnreachable | None]]:
        """Compose a claimed letter and hand it over: what became of it.

        And the error, when it is one of the relay's that would hold up any other letter too.
        """
        try:
            reply = yield from self._hand_over(claim, postman)
        except MailInDoubt as error:
            return self._became(claim, outbox.IN_DOUBT, str(error), "answer_lost"), None
        except MailRefused as error:
            return self._became(claim, outbox.FAILED, str(error), "refused"), None
        except MailDeferred as error:
            return self._put_back(claim, error), None
        except MailUnreachable as error:
            return self._put_back(claim, error), error
        except ResonanceError as error:
            return self._became(claim, outbox.FAILED, str(error), "template"), None
        except Exception as error:  # noqa: BLE001 — the one catch: a bad letter steps aside
            return self._became(claim, outbox.FAILED, unforeseen(error), "error"), None
        return self._became(claim, outbox.SENT, reply), None

    def _compose(self, claim: Claim) -> bytes:
        letter: Any = claim.letter
        return self.composer.compose(
            kind=letter.kind,
            person=claim.registrant,
            meeting=claim.meeting,
            others=claim.others,
            told_start=claim.told_start,
            last_end=claim.last_end,
            message_id=message_id(self.campaign, claim),
            date=self.now(),
        )

    def _hand_over(self, claim: Claim, postman: Postman) -> Talk[str]:
        person: Any = claim.registrant
        early = self._early.pop(letter_id(claim), None)
        message = self._compose(claim) if early is None else early.result()
        sender = self.composer.sender
        talk = sending(postman, sender=sender, recipient=person.email, message=message)
        return (yield from talk).reply

    def _became(
        self,
        claim: Claim,
        state: str,
        words: str,
        reason: str | None = None,
        ready_at: datetime | None = None,
    ) -> Outcome:
        # Whatever was said, by whomever: a row and a line of the journal must be able to hold it.
        return Outcome(claim, self.now(), state, shown(0, words), reason, ready_at)

    def _put_back(self, claim: Claim, error: MailDeferred | MailUnreachable) -> Outcome:
        attempts, words = attempt(claim), str(error)
        ready_at = outbox.retry_at(self.now(), attempts)
        if isinstance(error, MailUnreachable):
            # The relay's trouble is none of the letter's: it steps aside and is never given up.
            ready_at = min(ready_at, self.now() + STEP_ASIDE)
        elif attempts >= MAX_ATTEMPTS:
            words = f"after {attempts} attempts: {words}"
            return self._became(claim, outbox.FAILED, words, "deferred")
        return self._became(claim, outbox.QUEUED, words, "deferred", ready_at)

    def _write(self, connection: Connection, outcomes: Sequence[Outcome], erasures: int) -> None:
        if any(one.claim.erasures != erasures for one in outcomes):
            outcomes = _without_the_erased(connection, outcomes)
        sent = [one for one in outcomes if one.state == outbox.SENT]
        claims.sent(connection, [(letter_id(one.claim), one.at, one.words) for one in sent])
        journal.note_all(connection, [_line(one, "letter.sent") for one in sent])
        for one in outcomes:
            if one.state != outbox.SENT:
                self._write_trouble(connection, one)

    def _write_trouble(self, connection: Connection, one: Outcome) -> None:
        letter, reason = letter_id(one.claim), one.reason or ""
        said = {"reason": reason, "detail": one.words}
        this = attempt(one.claim)
        if one.state == outbox.FAILED:
            moved = outbox.failed(connection, letter, **said, attempt=this)
            line = _line(one, "letter.failed", journal.ERROR, reason=reason)
        elif one.ready_at is not None:
            moved = outbox.put_back(connection, letter, ready_at=one.ready_at, **said, attempt=this)
            line = _line(one, "letter.deferred", journal.WARNING, again_at=one.ready_at)
        else:
            moved = outbox.doubt(connection, letter, **said, attempt=this)
            line = _line(one, "letter.in_doubt", journal.WARNING)
        if not moved:
            return  # written before, by a commit whose answer was lost; or another clock's by now
        journal.note_all(connection, [line])
        if one.state == outbox.IN_DOUBT:
            settle_doubt(connection, self.campaign, one.claim.letter, self.now())


def _without_the_erased(connection: Connection, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    """Whoever was erased while their letter was on its way: nothing that may name them is kept."""
    persons: list[Any] = [one.claim.registrant for one in outcomes]
    erased = people.erased(connection, [person.id for person in persons])
    return [
        replace(one, words="") if person.id in erased else one
        for one, person in zip(outcomes, persons, strict=True)
    ]


def _line(one: Outcome, kind: str, level: str = journal.INFO, **data: Any) -> dict[str, Any]:
    person: Any = one.claim.registrant
    words = unnamed(one.words, person.email)
    return _letter_line(one.claim.letter, one.at, kind, words, level, **data)


def unnamed(words: str, address: str) -> str:
    """A mail server's words for the journal, which names nobody; the letter's row keeps them whole.

    Many servers quote the recipient whom they refuse, or the address that they forward to. The
    recipient first: it may hold signs that end an address elsewhere.
    """
    # To make a pattern for each letter would cost as much as the letter.
    if address and address.lower() in words.lower():
        words = re.sub(re.escape(address), "…", words, flags=re.IGNORECASE)
    return unaddressed(words)


def letter_id(claim: Claim) -> int:
    """The id of the letter at hand."""
    letter: Any = claim.letter
    return int(letter.id)


def attempt(claim: Claim) -> int:
    """Which attempt at its letter a claim is; its rows are as they were before it."""
    letter: Any = claim.letter
    return int(letter.attempts) + 1


def message_id(campaign: Campaign, claim: Claim) -> str:
    """The Message-ID of a letter: of its key, so that every attempt carries the same.

    Link and start are part of it. Mail programs hide what comes under an id that they have seen:
    someone whose earlier registration was forgotten (erased, or before a restore) must see the new
    link, and whoever may have got a letter before a move, the new date.
    """
    letter: Any = claim.letter
    person: Any = claim.registrant
    meeting: Any = claim.meeting
    return derived_message_id(
        campaign.slug,
        letter.focus_group,
        person.email_folded,
        letter.kind,
        letter.occasion,
        person.join_url or "",
        outbox.occasion_of(meeting.start_at),
        domain=campaign.organiser.email.rpartition("@")[2],
    )


def drop(connection: Connection, claim: Claim, reason: str, now: datetime) -> None:
    """Take a queued letter out, with the reason that staff will read."""
    letter: Any = claim.letter
    detail = why_late(connection, letter.due_at, now) if reason == "too_late" else None
    if outbox.drop(connection, letter.id, reason=reason, detail=detail):
        words = outbox.REASONS[reason] + (f": {detail}" if detail else "")
        level = journal.WARNING if reason == "too_late" else journal.INFO
        note_letter(connection, letter, now, "letter.dropped", words, level, reason=reason)


def recover(connection: Connection, campaign: Campaign, now: datetime) -> int:
    """After a crash: letters found in `sending` are in doubt, and settled by their kind."""
    found = outbox.found_sending(connection)
    for letter in found:
        outbox.doubt(connection, int(letter.id), reason="crashed", detail="")
        words = outbox.REASONS["crashed"]
        note_letter(connection, letter, now, "letter.in_doubt", words, journal.WARNING)
        settle_doubt(connection, campaign, letter, now)
    return len(found)


def settle_doubt(connection: Connection, campaign: Campaign, letter: Any, now: datetime) -> None:
    """What people cannot do without goes once more under the same Message-ID; others wait.

    Losing the link, or a move, is worse than reading it twice; for an early reminder it is not.
    """
    last = {reminder_kind(days) for days in sorted(campaign.reminder_days_before)[:1]}
    needed = letter.kind in {CONFIRMATION, MOVED, CANCELLED} | last
    again = needed and outbox.once_more(connection, letter.id, now=now)
    words = (
        "it goes once more under the same Message-ID"
        if again
        else f"it waits for staff: resonance-zoom resend {letter.id}, or leave it"
    )
    level = journal.WARNING if again else journal.ERROR
    note_letter(connection, letter, now, "letter.doubt_settled", words, level)


def note_letter(
    connection: Connection,
    letter: Any,
    now: datetime,
    kind: str,
    words: str,
    level: str = journal.INFO,
    **data: Any,
) -> None:
    """One journal line about one letter."""
    journal.note_all(connection, [_letter_line(letter, now, kind, words, level, **data)])


def _letter_line(
    letter: Any, now: datetime, kind: str, words: str, level: str, **data: Any
) -> dict[str, Any]:
    return journal.line(
        now,
        kind,
        f"{letter.kind}: {words}",
        level=level,
        focus_group=letter.focus_group,
        registrant=letter.registrant,
        letter=letter.id,
        letter_kind=letter.kind,
        **data,
    )
