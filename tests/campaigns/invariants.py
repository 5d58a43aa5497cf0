"""What must hold in every campaign, whatever goes wrong; judged by the simulated world's truth.

The numbers are those of tests/faults/README.md, where each stands with the function that checks it.
Here is what is judged while letters leave, and the table of what is judged at the end.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from resonance_zoom.zoom.simulator import SimMeeting, SimRegistrant
from tests.campaigns import alarms, books, erasures, known, timely
from tests.campaigns.relay import Letter
from tests.campaigns.timely import SOON, calm, early, in_one_line, starts_told

if TYPE_CHECKING:
    from tests.campaigns.stage import Play

TOLERATED = timedelta(seconds=120)  # of a clock that is wrong
FRESH = timedelta(minutes=27)  # told lately counts as fresh for 15 minutes, then one sweep


# ---- while it runs --------------------------------------------------------------------------------


def of_a_beginning(play: "Play", letter: Letter) -> Iterator[str]:
    """Before a letter is handed over: may it go, now, to this person, with these words?"""
    at = letter.at
    if len(letter.recipients) != 1:
        yield f"I11 {at}: one letter to {letter.recipients}"
    if letter.kind in {"cancelled", "withdrawn"}:
        return
    found = _addressee(play, letter)
    if found is None:
        yield f"I11 {at}: {letter.kind} to {letter.recipients} with a link of nobody's"
        return
    meeting, person = found
    yield from _of_nobody_else(play, letter, meeting, person)
    yield from _not_known_gone(play, letter, meeting, person)
    yield from _at_the_right_time(play, letter, meeting, person)


def _addressee(play: "Play", letter: Letter) -> tuple[SimMeeting, SimRegistrant] | None:
    for meeting in play.zoom.meetings.values():
        for person in meeting.registrants.values():
            if person.join_url and person.join_url in letter.links:
                return meeting, person
    return None


def _people(play: "Play") -> Iterator[SimRegistrant]:
    for meeting in play.zoom.meetings.values():
        yield from meeting.registrants.values()


def _of_nobody_else(
    play: "Play", letter: Letter, meeting: SimMeeting, person: SimRegistrant
) -> Iterator[str]:
    """I11, I12: it goes to whose link it holds, and names no other person and no other group."""
    if person.email.casefold() != letter.recipients[0].casefold():
        yield f"I11 {letter.at}: the link of {person.email} goes to {letter.recipients}"
    theirs = {who.email.casefold() for who in _people(play) if who.last_name == person.last_name}
    for other in _people(play):
        stranger = other.email.casefold() != person.email.casefold()
        marks = [other.email, other.join_url or "?tk=?"]
        if other.email.casefold() not in theirs and "Nom" in other.last_name:
            marks.append(other.last_name.rpartition(" ")[2])
        if stranger and any(mark in letter.everything for mark in marks):
            yield f"I11 {letter.at}: a letter to {person.email} names {other.email}"
    if in_one_line(meeting.topic) not in in_one_line(letter.text):
        yield f"I12 {letter.at}: {letter.kind} of {meeting.topic} does not name it"
    for another in play.zoom.meetings.values():
        ever = any(who.email.casefold() == person.email.casefold() for who in another.registrants.values())  # fmt: skip
        if not ever and another.topic in letter.everything:
            yield f"I12 {letter.at}: a letter to {person.email} speaks of {another.topic}"


def _not_known_gone(
    play: "Play", letter: Letter, meeting: SimMeeting, person: SimRegistrant
) -> Iterator[str]:
    """I5, I6: not to whom we know to be gone, and to nobody who is gone for long."""
    rows = play.memory.fresh(
        "SELECT status FROM registrants WHERE focus_group = ? AND email_folded = ?",
        play.slug_of(meeting),
        person.email.lower(),
    )
    if [row[0] for row in rows] != ["approved"]:
        yield f"I5 {letter.at}: {letter.kind} to {person.email}, known as {rows}"
    at, status = person.history[-1]
    if status != "approved" and letter.at - at > FRESH and calm(play, at, letter.at):
        yield f"I6 {letter.at}: {letter.kind} to {person.email}, {status} since {at}"


def _at_the_right_time(
    play: "Play", letter: Letter, meeting: SimMeeting, person: SimRegistrant
) -> Iterator[str]:
    """I4, I7, I9, I10: not early, not late, not to latecomers, and with the true date."""
    now = letter.at
    told = [start for _, start in starts_told(play, meeting.id, letter.text)]
    held_at, start = play.starts[meeting.id][-1]
    if start not in told and now - held_at > SOON and calm(play, held_at, now):
        yield f"I10 {now}: {letter.kind} says another date than {start}, Zoom's since {held_at}"
    if not told:
        yield f"I10 {now}: {letter.kind} says no date that the meeting ever had"
        return
    tolerance = abs(play.skew) if abs(play.skew) <= TOLERATED else timedelta(0)
    ends = max(start, *told) + timedelta(hours=2) + tolerance
    if now > ends:
        yield f"I9 {now}: {letter.kind} after the end at {ends}"
    if play.plan.letters_a_minute and not play.plan.on & {"clock", "clock wrong for a day"}:
        yield from _at_the_pace(play, letter, play.plan.letters_a_minute)
    owed_at, by_hand = _of_its_row(play, letter)
    if by_hand:
        play.late_by_right.add(letter.message_id)
    windows = [
        window
        for hour in timely.hours_at(play, owed_at)
        for window in timely.windows_of(play, told[-1], hour)
        if window.kind == letter.kind
    ]
    if not windows:
        return
    due, until = min(one.due for one in windows), max(one.until for one in windows)
    if now < due - tolerance:
        yield f"I7 {now}: {letter.kind} before {due}"
    if now > until + tolerance and not by_hand:
        yield f"I9 {now}: {letter.kind} after {until}"
    latest = max(one.due for one in windows)
    if person.history[0][0] > latest + tolerance and not by_hand:
        yield f"I4 {now}: {letter.kind} due {latest} to who came at {person.history[0][0]}"


def _at_the_pace(play: "Play", letter: Letter, a_minute: int) -> Iterator[str]:
    """I26: a relay with a quota is never offered more, but for a bucket that was full."""
    lately = [at for at in play.memory.relay.offered if letter.at - at < timedelta(minutes=1)]
    if len(lately) > a_minute + max(1, a_minute // 4):
        yield f"I26 {letter.at}: {len(lately)} letters within a minute, the pace is {a_minute}"


def _of_its_row(play: "Play", letter: Letter) -> tuple[datetime, bool]:
    """When a letter was owed, and whether staff asked for it."""
    found = play.memory.fresh(
        "SELECT id, occasion, created_at FROM letters WHERE message_id = ?", letter.message_id
    )
    by_hand = any(number in play.resent or " copy " in occasion for number, occasion, _ in found)
    owed = [datetime.fromisoformat(created_at).replace(tzinfo=UTC) for *_, created_at in found]
    return min(owed, default=letter.at), by_hand


def of_an_acknowledgement(play: "Play", said: dict[str, Any]) -> Iterator[str]:
    """I14: Zoom was answered 200: then it is stored, for whoever opens the database now."""
    registrant = said["payload"]["object"].get("registrant", {})
    if registrant.get("email", "").lower() in play.erased:
        return
    if not known.is_stored(play, said["event"], said["event_ts"], registrant.get("id", "")):
        yield f"I14 {play.clock()}: {said['event']} was answered 200 and is not stored"


# ---- at the end -----------------------------------------------------------------------------------


def at_the_end(play: "Play") -> Iterator[str]:
    """Every invariant that needs the whole campaign."""
    yield from _one_meeting_each(play)
    yield from _no_copies(play)
    yield from _nothing_again_after_a_restore(play)
    yield from timely.everybody_got_theirs(play)
    yield from timely.no_letter_is_late(play)
    yield from known.as_they_are(play)
    yield from known.still_stored(play)
    yield from known.in_any_order(play)
    yield from known.repairs_are_accounted_for(play)
    yield from known.nobody_vanished(play)
    yield from books.letters_are_settled(play)
    yield from books.every_deed_has_its_line(play)
    yield from books.effort_is_bounded(play)
    yield from books.names_nobody(play)
    yield from erasures.erased_for_good(play)
    yield from alarms.nothing_else(play)


def _one_meeting_each(play: "Play") -> Iterator[str]:
    """I13: and none was deleted."""
    for group in play.plan.groups:
        ours = [one for one in play.zoom.meetings.values() if play.slug_of(one) == group.slug]
        if len(ours) != 1:
            yield f"I13 {group.slug} has {len(ours)} meetings"
    if any(call.operation == "meetingDelete" for call in play.zoom.calls):
        yield "I13 a meeting was deleted by the service"


def _no_copies(play: "Play") -> Iterator[str]:
    """I1: once, and once more only where nobody can know and nobody can do without it."""
    relay = play.memory.relay
    copies = {row[0] for row in play.memory.fresh(
        "SELECT message_id FROM letters WHERE occasion LIKE '% copy %'")}  # fmt: skip
    by_id = Counter(letter.message_id for letter in relay.accepted)
    kinds = {letter.message_id: letter.kind for letter in relay.accepted}
    for message_id, count in by_id.items():
        # Once more where nobody can do without it, and never an early reminder.
        again = 0 if kinds[message_id] == early(play) else min(1, relay.doubts[message_id])
        allowed = 1 + again + play.by_hand[message_id]
        if count > allowed:
            yield f"I1 {message_id} was accepted {count} times, {allowed} allowed"
    by_meaning: Counter[tuple[str, str]] = Counter()
    more: Counter[tuple[str, str]] = Counter()
    seen: set[str] = set()
    for letter in relay.accepted:
        if letter.message_id in copies or (key := meaning_of(play, letter)) is None:
            continue
        by_meaning[key] += 1
        if letter.message_id not in seen:
            seen.add(letter.message_id)
            once = letter.kind == early(play)
            more[key] += 0 if once else min(1, relay.doubts[letter.message_id])
            more[key] += play.by_hand[letter.message_id]
    for key, count in by_meaning.items():
        if count > 1 + more[key]:
            yield f"I1 {key[0]} with {key[1]} was accepted {count} times"


def meaning_of(play: "Play", letter: Letter) -> tuple[str, str] | None:
    """What a letter says to whom; None for those that may go again, and to who was forgotten."""
    is_reminder = letter.kind.startswith("reminder-")
    if not (is_reminder or letter.kind == "confirmation"):
        return None
    if letter.recipients[0].lower() in play.erased:
        return None  # forgotten, so that whoever comes back begins anew
    told = starts_told(play, letter.meeting_id or 0, letter.text)
    start = f"{letter.meeting_id} {told[-1][1] if told else ''}"
    meaning = start if is_reminder else "".join(letter.links[:1])
    return f"{letter.kind} to {letter.recipients[0].lower()}", meaning


def _nothing_again_after_a_restore(play: "Play") -> Iterator[str]:
    """I22: what had gone before a restore goes again only when staff have said yes."""
    for at, _ in play.restores:
        before: dict[tuple[str, str], Letter] = {}
        for letter in play.memory.relay.accepted:
            key = meaning_of(play, letter)
            if key is None:
                continue
            if letter.at < at:
                before[key] = letter
            elif key in before and not _was_agreed(play, before[key], letter):
                yield f"I22 {letter.at}: {key[0]} went before the restore of {at}, and again"


def _was_agreed(play: "Play", first: Letter, again: Letter) -> bool:
    """Staff asked for it, or let it go."""
    ids = {first.message_id, again.message_id}
    return again.message_id in play.late_by_right or bool(ids & (play.said_yes | set(play.by_hand)))
