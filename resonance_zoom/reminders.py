"""Promise 3: everyone registered gets their own link at once and each reminder once, or a reason.

`owe_due` derives who is owed which reminder now; `verdict` looks again, at the last moment, whether
a letter should still go. `delivery` does the sending.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from resonance_zoom import pace
from resonance_zoom.campaign import CANCELLED, CONFIRMATION, WITHDRAWN, Campaign, Due
from resonance_zoom.store import claims, journal, outbox, people
from resonance_zoom.store.claims import Claim

IN_GOOD_TIME = timedelta(hours=2)  # before the meeting, by when a wave should have ended
EVERYONE_AGAIN = timedelta(hours=1)


def open_waves(
    connection: Connection, campaign: Campaign, meeting: Any, now: datetime
) -> list[Due]:
    """Reminders of this meeting whose window has opened since Zoom's lists were last looked at."""
    begun = journal.recall(connection, _wave(meeting)) or {}
    return [
        due
        for due in campaign.reminders(meeting.start_at)
        if meeting.cancelled_at is None
        and due.at <= now < due.until
        and begun.get(due.kind) != outbox.occasion_of(meeting.start_at)
    ]


def looked(connection: Connection, meeting: Any, waves: list[Due]) -> None:
    """Zoom's lists were looked at before these waves: once is enough, even if nobody is owed."""
    if waves:
        begun = journal.recall(connection, _wave(meeting)) or {}
        occasion = outbox.occasion_of(meeting.start_at)
        journal.remember(
            connection, _wave(meeting), {**begun, **{due.kind: occasion for due in waves}}
        )


def _wave(meeting: Any) -> str:
    return f"wave {meeting.focus_group}"


def owe_due(
    connection: Connection, campaign: Campaign, meeting: Any, now: datetime
) -> dict[str, int]:
    """Owe every reminder that has fallen due for the meeting's present start; {kind: new letters}.

    A reminder whose time to leave has passed is written down as dropped, with the reason, for
    those it was owed to: nobody is skipped in silence. Everyone is looked at once, then only those
    of whom something was told since; and everyone again every hour, whatever was told.
    """
    owed: dict[str, int] = {}
    if now >= meeting.end_at or meeting.cancelled_at is not None:
        return owed
    newest = people.newest_event(connection)
    looks = journal.recall(connection, outbox.LOOKS + meeting.focus_group) or {}
    for due in campaign.reminders(meeting.start_at):
        if now < due.at:
            continue
        late = now >= due.until
        which = _which(meeting.start_at, due.at, late=late)
        since = _told_until(looks.get(due.kind), which, now)
        if since == newest:
            continue
        everyone = now.isoformat() if since is None else looks[due.kind]["everyone"]
        looks[due.kind] = {"which": which, "told": newest, "everyone": everyone}
        journal.remember(connection, outbox.LOOKS + meeting.focus_group, looks)
        why = why_late(connection, due.at, due.until) if late else None
        new = outbox.owe_reminder(
            connection,
            focus_group=meeting.focus_group,
            kind=due.kind,
            start_at=meeting.start_at,
            due_at=due.at,
            worth_until=due.until,
            now=now,
            told_since=since,
            state=outbox.DROPPED if late else outbox.QUEUED,
            reason="too_late" if late else None,
            detail=why,
        )
        if not new:
            continue
        owed[due.kind] = new
        figures = {
            "focus_group": meeting.focus_group,
            "letter_kind": due.kind,
            "letters": new,
            "due_at": due.at,
            "worth_until": due.until,
        }
        if late:
            words = f"{new} {due.kind} came too late to be worth sending: {why}"
            level = journal.WARNING
            journal.note(connection, now, "letters.dropped", words, level=level, **figures)
        else:
            words = f"{new} {due.kind} fell due"
            _tell_of_wave(connection, campaign, meeting, words, figures, now)
    return owed


def looked_until(
    connection: Connection, focus_group: str, kind: str, due_at: datetime, start_at: datetime
) -> int | None:
    """The newest event when it was last found out who is owed a reminder; None: it never was."""
    look = (journal.recall(connection, outbox.LOOKS + focus_group) or {}).get(kind)
    if look is None or look["which"] != _which(start_at, due_at, late=False):
        return None
    return int(look["told"])


def _which(start_at: datetime, due_at: datetime, *, late: bool) -> list[Any]:
    return [outbox.occasion_of(start_at), due_at.isoformat(), late]


def _told_until(look: Any, which: list[Any], now: datetime) -> int | None:
    """The newest event when this reminder was last looked at; None: everyone is to be looked at."""
    if look is None or look["which"] != which:
        return None
    age = now - datetime.fromisoformat(look["everyone"])
    return int(look["told"]) if timedelta(0) <= age < EVERYONE_AGAIN else None


def _tell_of_wave(
    connection: Connection,
    campaign: Campaign,
    meeting: Any,
    words: str,
    figures: dict[str, Any],
    now: datetime,
) -> None:
    """Before a wave begins: when it will have ended, and whether that is in good time."""
    # All that is ready leaves before the last of these: other groups' waves, what had to wait.
    takes = pace.lasts(campaign, claims.count_ready(connection, now))
    if takes is None:
        journal.note(connection, now, "letters.owed", words, **figures)
        return
    ends_at = now + takes
    words += f"; at {campaign.letters_per_minute} a minute the last leaves at {ends_at:%H:%M} UTC"
    late = ends_at > meeting.start_at - IN_GOOD_TIME
    if late:
        words += f", too late: the meeting begins at {meeting.start_at:%H:%M} UTC"
    kind, level = ("letters.slow", journal.ERROR) if late else ("letters.owed", journal.INFO)
    journal.note(connection, now, kind, words, level=level, ends_at=ends_at, **figures)


def why_late(connection: Connection, since: datetime, until: datetime) -> str:
    """What kept a letter from leaving between two moments, as far as we know."""
    outage = journal.outage_within(connection, since, until)
    if outage is None:
        return (
            "no letter could leave, or nobody was known yet,"
            f" from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC"
        )
    down, up = outage
    return f"daemon was down from {down:%Y-%m-%d %H:%M} to {up:%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True, slots=True)
class Send:
    """It should go now."""


@dataclass(frozen=True, slots=True)
class Drop:
    """It should never go; `reason` is a word of outbox.REASONS."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now: look again after `delay`."""

    reason: str
    delay: timedelta


def verdict(claim: Claim, now: datetime) -> Send | Drop | Wait:
    """Whether the letter should still go, from what is known in this very transaction."""
    letter: Any = claim.letter
    person: Any = claim.registrant
    meeting: Any = claim.meeting
    if letter.kind in {CANCELLED, WITHDRAWN}:
        return _news_for_who_leaves(claim, now)
    if person.status != "approved":
        return Drop(person.status)
    if meeting.cancelled_at is not None:
        return Drop("meeting_cancelled")
    if letter.episode != person.episode and _said_by_a_newer_confirmation(letter, person):
        return Drop("registered_again")
    if letter.kind != CONFIRMATION and letter.start_at != meeting.start_at:
        return Drop("moved")
    if now >= (meeting.end_at if letter.kind == CONFIRMATION else letter.worth_until):
        return Drop("too_late")
    if meeting.state == "missing":
        return Wait("meeting_missing", timedelta(minutes=5))
    if person.absent_since is not None:
        return Wait("absent", timedelta(minutes=2))
    if not person.join_url:
        return Wait("no_join_url", timedelta(minutes=2))
    return Send()


def _said_by_a_newer_confirmation(letter: Any, person: Any) -> bool:
    """Whether the person left and came back since the letter fell due, and staff did not ask."""
    if letter.kind == CONFIRMATION:
        return True
    return bool(person.registered_at > letter.due_at and letter.reason != "by_hand")


def _news_for_who_leaves(claim: Claim, now: datetime) -> Send | Drop:
    """Letters without a link: the meeting was called off, or a place was given up."""
    letter: Any = claim.letter
    person: Any = claim.registrant
    meeting: Any = claim.meeting
    holds_a_place = person.status in {"approved", "pending"}
    if not person.email:
        return Drop("erased")
    if letter.kind == CANCELLED and meeting.cancelled_at is None:
        return Drop("not_cancelled")
    if letter.kind == CANCELLED and not holds_a_place:
        return Drop(person.status)
    if letter.kind == WITHDRAWN and holds_a_place:
        return Drop("registered_again")
    return Drop("too_late") if now >= letter.worth_until else Send()
