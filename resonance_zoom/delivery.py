"""Sends what is owed, one letter at a time, and knows afterwards what became of it.

`queued → sending` is committed before the first byte and `sent` after the server's 250; what lies
between is `in_doubt`. After a crash nothing is guessed: see `settle_doubt`.
"""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from resonance_zoom import holds
from resonance_zoom.campaign import CANCELLED, CONFIRMATION, MOVED, Campaign, reminder_kind
from resonance_zoom.correspondence import Composer
from resonance_zoom.errors import (
    MailDeferred,
    MailInDoubt,
    MailRefused,
    MailUnreachable,
    ResonanceError,
)
from resonance_zoom.mail.message import message_id as derived_message_id
from resonance_zoom.mail.postman import Postman
from resonance_zoom.reminders import Drop, Wait, verdict, why_late
from resonance_zoom.store import journal, outbox
from resonance_zoom.store.engine import Store
from resonance_zoom.store.outbox import Claim

MAX_ATTEMPTS = 12
STEP_ASIDE = timedelta(minutes=10)


class Delivery:
    """Sends the letters of one campaign, one at a time, through one postman."""

    def __init__(
        self,
        *,
        store: Store,
        campaign: Campaign,
        composer: Composer,
        postman: Postman,
        now: Callable[[], datetime],
    ) -> None:
        self.store = store
        self.campaign = campaign
        self.composer = composer
        self.postman = postman
        self.now = now
        self._outcomes: list[Callable[[Connection], None]] = []  # known here, not yet written

    def send_one(self) -> bool:
        """Deal with the letter that has been ready for longest. False: there is none.

        Raises MailUnreachable when the relay cannot be spoken to; the letter at hand is queued.
        """
        self.settle()
        with self.store.read() as connection:
            if outbox.next_ready(connection, self.now()) is None:
                return False
        self.postman.ready()  # before the claim: without a relay nothing is begun
        claim = self._claim()
        if claim is not None:
            self._send(claim)
        return True

    def settle(self) -> None:
        """Write what became of letters while the database was busy.

        Otherwise a letter that was accepted would stand in `sending`, and go again after a restart.
        """
        while self._outcomes:
            with self.store.write() as connection:
                self._outcomes[0](connection)
            self._outcomes.pop(0)

    def _became(self, outcome: Callable[[Connection], None]) -> None:
        self._outcomes.append(outcome)
        self.settle()

    def _claim(self) -> Claim | None:
        now = self.now()
        with self.store.write() as connection:
            holds.hold_what_may_have_gone(connection, now)
            claim = outbox.next_ready(connection, now)
            if claim is None:
                return None
            letter: Any = claim.letter
            decision = verdict(claim, now)
            if isinstance(decision, Wait):
                outbox.wait(
                    connection, letter.id, ready_at=now + decision.delay, reason=decision.reason
                )
                if letter.reason != decision.reason:
                    self._note(
                        connection,
                        claim,
                        "letter.waits",
                        outbox.REASONS[decision.reason],
                        journal.WARNING,
                        reason=decision.reason,
                    )
                return None
            if isinstance(decision, Drop):
                drop(connection, claim, decision.reason, now)
                return None
            begun = outbox.begin(
                connection, letter.id, now=now, message_id=message_id(self.campaign, claim)
            )
            return claim if begun else None

    def _send(self, claim: Claim) -> None:
        letter: Any = claim.letter
        person: Any = claim.registrant
        try:
            message = self.composer.compose(
                kind=letter.kind,
                person=person,
                meeting=claim.meeting,
                others=claim.others,
                told_start=claim.told_start,
                message_id=message_id(self.campaign, claim),
                date=self.now(),
            )
            accepted = self.postman.send(
                sender=self.composer.sender, recipient=person.email, message=message
            )
        except MailInDoubt as error:
            self._in_doubt(claim, str(error))
        except MailRefused as error:
            self._failed(claim, "refused", str(error))
        except (MailDeferred, MailUnreachable) as error:
            self._put_back(claim, error)
            if isinstance(error, MailUnreachable):
                raise
        except ResonanceError as error:
            self._failed(claim, "template", str(error))
        except Exception as error:  # noqa: BLE001 — the loop's one catch: a bad letter steps aside
            self._failed(claim, "error", f"{type(error).__name__}: {error}")
        else:
            self._sent(claim, accepted.reply)

    def _sent(self, claim: Claim, reply: str) -> None:
        now = self.now()

        def outcome(connection: Connection) -> None:
            outbox.sent(connection, letter_id(claim), now=now, reply=reply)
            self._note(connection, claim, "letter.sent", reply)

        self._became(outcome)

    def _in_doubt(self, claim: Claim, words: str) -> None:
        def outcome(connection: Connection) -> None:
            outbox.doubt(connection, letter_id(claim), reason="answer_lost", detail=words)
            self._note(connection, claim, "letter.in_doubt", words, journal.WARNING)
            settle_doubt(connection, self.campaign, claim.letter, self.now())

        self._became(outcome)

    def _failed(self, claim: Claim, reason: str, words: str) -> None:
        def outcome(connection: Connection) -> None:
            outbox.failed(connection, letter_id(claim), reason=reason, detail=words)
            self._note(connection, claim, "letter.failed", words, journal.ERROR, reason=reason)

        self._became(outcome)

    def _put_back(self, claim: Claim, error: MailDeferred | MailUnreachable) -> None:
        letter: Any = claim.letter
        attempts, words = letter.attempts + 1, str(error)
        ready_at = outbox.retry_at(self.now(), attempts)
        if isinstance(error, MailUnreachable):
            # The relay's trouble is none of the letter's: it steps aside and is never given up.
            ready_at = min(ready_at, self.now() + STEP_ASIDE)
        elif attempts >= MAX_ATTEMPTS:
            self._failed(claim, "deferred", f"after {attempts} attempts: {words}")
            return

        def outcome(connection: Connection) -> None:
            outbox.put_back(
                connection, letter.id, ready_at=ready_at, reason="deferred", detail=words
            )
            self._note(
                connection, claim, "letter.deferred", words, journal.WARNING, again_at=ready_at
            )

        self._became(outcome)

    def _note(
        self,
        connection: Connection,
        claim: Claim,
        kind: str,
        words: str,
        level: str = journal.INFO,
        **data: Any,
    ) -> None:
        person: Any = claim.registrant
        words = unnamed(words, person.email)
        note_letter(connection, claim.letter, self.now(), kind, words, level, **data)


def unnamed(words: str, address: str) -> str:
    """A mail server's words for the journal, which names nobody; the letter's row keeps them whole.

    Many servers quote the recipient whom they refuse.
    """
    return re.sub(re.escape(address), "…", words, flags=re.IGNORECASE) if address else words


def letter_id(claim: Claim) -> int:
    """The id of the letter at hand."""
    letter: Any = claim.letter
    return int(letter.id)


def message_id(campaign: Campaign, claim: Claim) -> str:
    """The Message-ID of a letter: of its key, so that every attempt carries the same.

    The link is part of it. Mail programs hide what comes under an id that they have seen: someone
    whose earlier registration was forgotten (erased, or before a restore) must see the new link.
    """
    letter: Any = claim.letter
    person: Any = claim.registrant
    return derived_message_id(
        campaign.slug,
        letter.focus_group,
        person.email_folded,
        letter.kind,
        letter.occasion,
        person.join_url or "",
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
    journal.note(
        connection,
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
