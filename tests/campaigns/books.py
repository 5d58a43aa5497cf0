"""I19, I20, I25 to I27: every letter ends, every deed has its line, no effort is without an end."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from jobs import SCHEDULE
from tests.campaigns.edges import SECRETS
from tests.campaigns.timely import SOON, deadline

if TYPE_CHECKING:
    from tests.campaigns.stage import Play

LEGAL = {
    ("queued", "sending"),
    ("queued", "dropped"),
    ("sending", "sent"),
    ("sending", "failed"),
    ("sending", "queued"),
    ("sending", "in_doubt"),
    ("in_doubt", "queued"),
    ("in_doubt", "dropped"),
    ("failed", "queued"),
    ("failed", "dropped"),
    ("dropped", "queued"),
}
MOST_ATTEMPTS = 12  # at a letter that is put off
OFTEN = 4  # runs of a job with nothing to do, one of which at least was for no wave
MOST_CALLS = 2000  # of Zoom in a day
TECHNICAL = timedelta(days=13)  # technical lines are kept for two weeks
# Every move of one letter, and the line that tells of it.
TOLD_BY = {
    ("sending", "sent"): ("letter.sent",),
    ("sending", "failed"): ("letter.failed",),
    ("sending", "queued"): ("letter.deferred",),
    ("sending", "in_doubt"): ("letter.in_doubt",),
    ("in_doubt", "queued"): ("letter.doubt_settled", "staff.resend"),
    ("failed", "queued"): ("staff.resend",),
    ("queued", "dropped"): ("letter.dropped", "staff.drop"),
    ("in_doubt", "dropped"): ("staff.drop",),
    ("failed", "dropped"): ("staff.drop",),
}


def letters_are_settled(play: "Play") -> Iterator[str]:
    """I19, I20, I27: each letter came to an end by legal moves, and what is sent was accepted."""
    accepted = Counter(letter.message_id for letter in play.memory.relay.accepted)
    doubts = play.memory.relay.doubts
    rows = play.memory.fresh(
        "SELECT id, kind, state, reason, message_id, recoveries, due_at FROM letters"
    )
    states = {row[4]: row[2] for row in rows if row[4]}
    trouble = deadline(play, play.plan.ends - timedelta(hours=2), SOON) > play.plan.ends
    for number, kind, state, reason, message_id, recoveries, due_at in rows:
        due = datetime.fromisoformat(due_at).replace(tzinfo=UTC)
        if state == "sending" and not trouble:
            yield f"I27 letter {number} ({kind}) is still sending"
        if state == "queued" and not trouble and deadline(play, due, SOON) <= play.plan.ends:
            yield f"I20 letter {number} ({kind}) is still queued: {reason}"
        if state == "sent" and message_id and not accepted[message_id]:
            yield f"I20 letter {number} ({kind}) is sent, the relay never had it"
        if state in {"dropped", "failed"} and not reason:
            yield f"I25 letter {number} is {state} without a reason"
        if recoveries > 1:
            yield f"I26 letter {number}: {recoveries} recoveries"
    forgets = play.erased or play.restores
    for message_id in accepted:
        if forgets and message_id not in states:
            continue
        state = states.get(message_id)
        if state == "dropped" and play.restores:
            continue  # staff, of what the restored database did not know to have gone
        if state not in {"sent", "in_doubt"} and not doubts[message_id]:
            yield f"I20 {message_id} was accepted, its letter is {state}"
    for was, became, letter in play.memory.fresh("SELECT was, became, letter FROM seen_moves"):
        held = (was, became) == ("queued", "in_doubt") and forgets
        if (was, became) not in LEGAL and not held:
            yield f"I19 letter {letter} went from {was} to {became}"


def every_deed_has_its_line(play: "Play") -> Iterator[str]:
    """I25: announcements, calls, letters' moves, acts of staff; and the lines are without a gap."""
    yield from _moves_are_told(play)
    yield from _announcements_are_told(play)
    yield from _calls_are_told(play)
    told = Counter(dict(play.memory.fresh(
        "SELECT kind, count(*) FROM journal WHERE kind LIKE 'staff.%' GROUP BY 1")))  # fmt: skip
    for kind, times in play.staff_acts.items():
        if not 0 <= told[kind] - times <= play.acts_cut_short:
            yield f"I25 {kind} was done {times} times and told {told[kind]} times"
    since = f"{play.plan.ends - TECHNICAL:%Y-%m-%d %H:%M:%S.%f}"
    first, last, count = play.memory.fresh(
        "SELECT min(id), max(id), count(*) FROM journal"
        " WHERE id > (SELECT coalesce(max(id), 0) FROM journal WHERE at < ?)",
        since,
    )[0]
    if count and count != last - first + 1:
        yield f"I25 the journal has {count} lines from {first} to {last}"


def _moves_are_told(play: "Play") -> Iterator[str]:
    moves = play.memory.fresh(
        "SELECT letter, was, became, count(*) FROM seen_moves GROUP BY 1, 2, 3"
    )
    lines: Counter[tuple[int, str]] = Counter()
    for letter, kind, count in play.memory.fresh(
        "SELECT json_extract(data, '$.letter'), kind, count(*) FROM journal"
        " WHERE json_extract(data, '$.letter') IS NOT NULL GROUP BY 1, 2"
    ):
        lines[letter, kind] = count
    # What is said of many at once: erasures, a group that is called off, a new registration.
    erased = {number for (number,) in play.memory.fresh(
        "SELECT letters.id FROM letters JOIN registrants ON registrants.id = registrant"
        " WHERE registrants.email = ''")}  # fmt: skip
    for letter, was, became, count in moves:
        kinds = TOLD_BY.get((was, became))
        if kinds is None or (letter in erased and became == "dropped"):
            continue
        told = sum(lines[letter, kind] for kind in kinds)
        exact = "letter.doubt_settled" not in kinds and "staff.resend" not in kinds
        if told < count or (exact and told > count and not _by_hand_too(lines, letter, kinds)):
            yield f"I25 letter {letter} went {count} times from {was} to {became}, told {told} times"


def _by_hand_too(lines: Counter[tuple[int, str]], letter: int, kinds: tuple[str, ...]) -> bool:
    """`staff.drop` tells of letters in several states."""
    return "staff.drop" in kinds and lines[letter, "staff.drop"] > 0


def _announcements_are_told(play: "Play") -> Iterator[str]:
    """One line each, however often it came."""
    lines: Counter[tuple[str, int, str]] = Counter()
    for event, event_ts, registrant, meeting in play.memory.fresh(
        "SELECT json_extract(data, '$.event'), json_extract(data, '$.event_ts'),"
        " json_extract(data, '$.zoom_registrant_id'), json_extract(data, '$.zoom_meeting_id')"
        " FROM journal WHERE json_extract(data, '$.event_ts') IS NOT NULL"
    ):
        lines[event, event_ts, registrant or str(meeting)] += 1
    if play.erased or play.hazards.happened["person erased"]:
        return  # their lines have lost what they are recognised by
    again = {one.event_ts for one in play.zoom.webhooks.log if one.attempt > 1}
    often = play.zoom.faults.happened["stale"] + play.zoom.faults.happened["duplicated"]
    for event, event_ts, about in play.acknowledged:
        told = lines[event, event_ts, about]
        # What is not applied has no key: it is told as often as it comes.
        came = sum((one.event, one.event_ts) == (event, event_ts) for one in play.zoom.webhooks.log)
        if told != 1 and not (told > 1 and (often or event_ts in again or came >= told)):
            as_received = [key for key in lines if key[:2] == (event, event_ts)]
            if told or not as_received:
                yield f"I25 {event} of {event_ts} about {about} is told {told} times"


def _calls_are_told(play: "Play") -> Iterator[str]:
    """A line for each call of Zoom, as far as the database could be written to at that moment."""
    lines = Counter(dict(play.memory.fresh(
        "SELECT at, count(*) FROM journal WHERE kind = 'zoom.call' GROUP BY 1")))  # fmt: skip
    unsure = [(begins, ends) for begins, ends, what in play.bad if what in {"database", "clock"}]
    unsure += [(at, at) for at in play.hazards.crashed_at]
    since = play.plan.ends - TECHNICAL
    for at, made in play.memory.calls.items():
        if at < since or any(begins <= at <= ends for begins, ends in unsure):
            continue
        told = lines[f"{at:%Y-%m-%d %H:%M:%S.%f}"]
        if told < made or (told > made and not play.hazards.happened["clock jumped"]):
            yield f"I25 Zoom was called {made} times at {at}, told {told} times"


def effort_is_bounded(play: "Play") -> Iterator[str]:
    """I26: attempts at a letter, and calls of Zoom in a day: made, and by a day without news."""
    happened = play.hazards.happened
    by_hand = happened["refused letter tried again"] + happened["held letter sent"]
    for message_id, count in play.memory.relay.deferred.items():
        if count > MOST_ATTEMPTS * (1 + by_hand + play.by_hand[message_id]):
            yield f"I26 {message_id} was tried {count} times"
    days: Counter[str] = Counter()
    for at, made in play.memory.calls.items():
        days[f"{at:%Y-%m-%d}"] += made
    for day, made in days.items():
        if made > MOST_CALLS:
            yield f"I26 Zoom was called {made} times on {day}"
    quiet = sum(
        play.idle_calls.get(job.name, 0) * (timedelta(days=1) / job.every)
        for job in SCHEDULE
        if play.idle_runs[job.name] >= OFTEN
    )
    held = quiet + (play.held_calls or 0) * timedelta(days=1) / timedelta(minutes=1)
    if play.held_calls and held > MOST_CALLS:
        yield f"I26 while letters are held Zoom is called {held:.0f} times a day"
    if quiet > MOST_CALLS:
        yield f"I26 on a day without news Zoom is called {quiet:.0f} times: {play.idle_calls}"


def names_nobody(play: "Play") -> Iterator[str]:
    """I25: no address, no name, no link and no secret in the journal or the technical log."""
    people = [
        who for meeting in play.zoom.meetings.values() for who in meeting.registrants.values()
    ]
    marks = {who.email.lower() for who in people} | {mark.lower() for mark in SECRETS}
    marks |= {who.last_name.rpartition(" ")[2].lower() for who in people if "Nom" in who.last_name}
    marks |= {who.join_url.lower() for who in people if who.join_url}
    marks |= {token.lower() for token in play.zoom.tokens}
    any_mark = re.compile("|".join(map(re.escape, sorted(marks))))
    for kind, message, data in play.memory.fresh("SELECT kind, message, data FROM journal"):
        # As they stand: no mark has a character that JSON writes in another way.
        if found := any_mark.search(f"{message} {data}".lower()):
            yield f"I25 the journal says {found[0]}: {kind}: {message}"
    for line in play.log.getvalue().splitlines():
        if found := any_mark.search(line.lower()):
            yield f"I25 the technical log says {found[0]}: {line[:200]}"
