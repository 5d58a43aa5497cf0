"""What must hold in every campaign, whatever goes wrong; judged by the simulated world's truth.

The numbers are those of tests/faults/README.md. Due moments are computed here a second way.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from resonance_zoom import learning, registrations
from resonance_zoom.mail.french import when
from resonance_zoom.rehearsal.verdict import Stay, _stays_of
from resonance_zoom.zoom.simulator import SimMeeting, SimRegistrant
from tests.campaigns.draw import PARIS
from tests.campaigns.edges import Letter

if TYPE_CHECKING:
    from tests.campaigns.stage import Play

SOON = timedelta(minutes=12)  # the sweep's ten minutes, and the time to write
LATER = timedelta(minutes=75)  # after a move or a deletion on Zoom whose notification was lost
BACK_OFF = timedelta(minutes=62)  # a letter that was deferred several times waits an hour
TOLERATED = timedelta(seconds=120)  # of a clock that is wrong
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


@dataclass(frozen=True, slots=True)
class Window:
    """A reminder of a start: from when, until when."""

    kind: str
    due: datetime
    until: datetime


def windows_of(play: "Play", start: datetime) -> list[Window]:
    """The reminders of a start, by noon of the day shifted and set to the hour."""
    days = sorted(play.plan.reminder_days, reverse=True)
    noon = start.astimezone(PARIS).replace(hour=12, minute=0, second=0, tzinfo=None)
    at = play.plan.send_at
    dues = [
        (noon - timedelta(days=n))
        .replace(hour=at.hour, minute=at.minute, tzinfo=PARIS)
        .astimezone(UTC)
        for n in days
    ]
    ends = [following - timedelta(hours=24) for following in dues[1:]]
    ends.append(start - timedelta(hours=1))
    return [
        Window(f"reminder-{n}", due, until) for n, due, until in zip(days, dues, ends, strict=True)
    ]


# ---- while it runs --------------------------------------------------------------------------------


def of_a_beginning(play: "Play", letter: Letter) -> Iterator[str]:
    """Before a letter is handed over: may it go, now, to this person, with these words?"""
    at = letter.at
    if letter.kind in {"cancelled", "withdrawn"}:
        return
    found = _addressee(play, letter)
    if found is None:
        yield f"I11 {at}: {letter.kind} to {letter.recipients} with a link of nobody's"
        return
    meeting, person = found
    if person.email.casefold() != letter.recipients[0].casefold():
        yield f"I11 {at}: the link of {person.email} goes to {letter.recipients}"
    for other in _people(play):
        stranger = other.email.casefold() != person.email.casefold()
        if stranger and (other.email in letter.text or (other.join_url or "?tk=?") in letter.text):
            yield f"I11 {at}: a letter to {person.email} names {other.email}"
    if _plain(meeting.topic) not in _plain(letter.text):
        yield f"I12 {at}: {letter.kind} of {meeting.topic} does not name it"
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


def _plain(text: str) -> str:
    return " ".join(text.split())


def _not_known_gone(
    play: "Play", letter: Letter, meeting: SimMeeting, person: SimRegistrant
) -> Iterator[str]:
    known = play.memory.fresh(
        "SELECT status FROM registrants WHERE focus_group = ? AND email_folded = ?",
        play.slug_of(meeting),
        person.email.lower(),
    )
    if [row[0] for row in known] != ["approved"]:
        yield f"I5 {letter.at}: {letter.kind} to {person.email}, known as {known}"
    at, status = person.history[-1]
    limit = timedelta(minutes=27)  # told lately counts as fresh for 15 minutes, then one sweep
    if status != "approved" and letter.at - at > limit and _calm(play, at, letter.at):
        yield f"I6 {letter.at}: {letter.kind} to {person.email}, {status} since {at}"


def _at_the_right_time(
    play: "Play", letter: Letter, meeting: SimMeeting, person: SimRegistrant
) -> Iterator[str]:
    now, text = letter.at, _plain(letter.text)
    starts = play.starts[meeting.id]
    told = [
        start
        for _, start in starts
        if _plain(when(start, start + timedelta(hours=2), PARIS)) in text
    ]
    held_at, start = starts[-1]
    if start not in told and now - held_at > SOON and _calm(play, held_at, now):
        yield f"I10 {now}: {letter.kind} says another date than {start}, Zoom's since {held_at}"
    if not told:
        yield f"I10 {now}: {letter.kind} says no date that the meeting ever had"
        return
    tolerance = abs(play.skew) if abs(play.skew) <= TOLERATED else timedelta(0)
    ends = max(start, *told) + timedelta(hours=2) + tolerance
    if now > ends:
        yield f"I9 {now}: {letter.kind} after the end at {ends}"
    reminders = {window.kind: window for window in windows_of(play, told[-1])}
    if (window := reminders.get(letter.kind)) is None:
        return
    by_hand = _is_by_hand(play, letter)
    if now < window.due - tolerance:
        yield f"I7 {now}: {letter.kind} before {window.due}"
    if now > window.until + tolerance and not by_hand:
        yield f"I9 {now}: {letter.kind} after {window.until}"
    if person.history[0][0] > window.due + tolerance and not by_hand:
        yield f"I4 {now}: {letter.kind} due {window.due} to who came at {person.history[0][0]}"


def _is_by_hand(play: "Play", letter: Letter) -> bool:
    """Whether staff asked for this letter."""
    found = play.memory.fresh(
        "SELECT id, occasion FROM letters WHERE message_id = ?", letter.message_id
    )
    return any(number in play.resent or " copy " in occasion for number, occasion in found)


def of_an_acknowledgement(play: "Play", said: dict[str, Any]) -> Iterator[str]:
    """Zoom was answered 200: then it is stored, for whoever opens the database now."""
    kept = play.memory.fresh(
        "SELECT count(*) FROM events WHERE event = ? AND event_ts = ?",
        said["event"],
        said["event_ts"],
    )[0][0]
    noted = play.memory.fresh(
        "SELECT count(*) FROM journal WHERE kind = 'webhook.received'"
        " AND json_extract(data, '$.event_ts') = ?",
        said["event_ts"],
    )[0][0]
    registrant = said["payload"]["object"].get("registrant", {})
    if not kept and not noted and registrant.get("email", "").lower() not in play.erased:
        yield f"I14 {play.clock()}: {said['event']} was answered 200 and is not stored"


# ---- at the end -----------------------------------------------------------------------------------


def at_the_end(play: "Play") -> Iterator[str]:
    """Every invariant that needs the whole campaign."""
    yield from _one_meeting_each(play)
    yield from _no_copies(play)
    yield from _everybody_got_theirs(play)
    yield from _known_as_they_are(play)
    yield from _letters_are_settled(play)
    yield from _nobody_vanished(play)
    yield from _erased_for_good(play)
    if not play.plan.on:
        yield from _nothing_to_tell(play)


def _one_meeting_each(play: "Play") -> Iterator[str]:
    for group in play.plan.groups:
        ours = [one for one in play.zoom.meetings.values() if play.slug_of(one) == group.slug]
        if len(ours) != 1:
            yield f"I13 {group.slug} has {len(ours)} meetings"
    if any(call.operation == "meetingDelete" for call in play.zoom.calls):
        yield "I13 a meeting was deleted by the service"


def _no_copies(play: "Play") -> Iterator[str]:
    relay = play.memory.relay
    copies = {row[0] for row in play.memory.fresh(
        "SELECT message_id FROM letters WHERE occasion LIKE '% copy %'")}  # fmt: skip
    by_id = Counter(letter.message_id for letter in relay.accepted)
    kinds = {letter.message_id: letter.kind for letter in relay.accepted}
    for message_id, count in by_id.items():
        # Once more where nobody can do without it, and never an early reminder.
        again = 0 if kinds[message_id] == _early(play) else min(1, relay.doubts[message_id])
        allowed = 1 + again + play.by_hand[message_id]
        if count > allowed:
            yield f"I1 {message_id} was accepted {count} times, {allowed} allowed"
    by_meaning: Counter[tuple[str, str]] = Counter()
    more: Counter[tuple[str, str]] = Counter()
    seen: set[str] = set()
    for letter in relay.accepted:
        is_reminder = letter.kind.startswith("reminder-")
        if letter.message_id in copies or not (is_reminder or letter.kind == "confirmation"):
            continue
        if letter.recipients[0].lower() in play.erased:
            continue  # forgotten, so that whoever comes back begins anew
        meaning = _told(play, letter) if is_reminder else "".join(letter.links[:1])
        key = (f"{letter.kind} to {letter.recipients[0].lower()}", meaning)
        by_meaning[key] += 1
        if letter.message_id not in seen:
            seen.add(letter.message_id)
            early = letter.kind == _early(play)
            more[key] += 0 if early else min(1, relay.doubts[letter.message_id])
            more[key] += play.by_hand[letter.message_id]
    for key, count in by_meaning.items():
        if count > 1 + more[key]:
            yield f"I1 {key[0]} with {key[1]} was accepted {count} times"


def _told(play: "Play", letter: Letter) -> str:
    """The meeting and the start that a letter speaks of."""
    text, number = _plain(letter.text), letter.meeting_id or 0
    told = [
        str(start)
        for _, start in play.starts.get(number, [])
        if _plain(when(start, start + timedelta(hours=2), PARIS)) in text
    ]
    return f"{number} {told[-1] if told else ''}"


def _early(play: "Play") -> str | None:
    """The reminder that waits for staff when nobody can know whether it left."""
    days = sorted(play.plan.reminder_days)
    return f"reminder-{days[-1]}" if len(days) > 1 else None


def _everybody_got_theirs(play: "Play") -> Iterator[str]:
    accepted = play.memory.relay.accepted
    for meeting in play.zoom.meetings.values():
        starts = play.starts.get(meeting.id, [])
        for person in meeting.registrants.values():
            for stay in _stays_of(person):
                if _erased_since(play, stay.email, stay.since):
                    continue
                theirs = [one for one in accepted if stay.join_url in one.links]
                yield from _confirmed(play, meeting, stay, theirs)
                yield from _reminded(play, starts, stay, theirs)


def _confirmed(
    play: "Play", meeting: SimMeeting, stay: Stay, theirs: list[Letter]
) -> Iterator[str]:
    by = _deadline(play, stay.since, SOON)
    here = stay.until is None or stay.until > by
    if not here or by > meeting.start_time - timedelta(hours=1) or by > play.plan.ends:
        return
    if _waits_for_staff(play, "confirmation", stay):
        return
    if not any(one.kind == "confirmation" and one.at <= by for one in theirs):
        late = [one.at for one in theirs if one.kind == "confirmation"]
        yield f"I2 {stay.email} registered {stay.since}: no confirmation by {by}, {late or 'none'}"


def _reminded(
    play: "Play", starts: list[tuple[datetime, datetime]], stay: Stay, theirs: list[Letter]
) -> Iterator[str]:
    for number, (since, start) in enumerate(starts):
        until = starts[number + 1][0] if number + 1 < len(starts) else play.plan.ends
        for window in windows_of(play, start):
            begins = max(window.due, since if number else window.due)
            by = _deadline(play, begins, LATER if number else SOON)
            # Until somebody is known here, nothing is owed to them.
            by = max(by, _deadline(play, stay.since, SOON))
            present = stay.since <= window.due and (stay.until is None or stay.until > by)
            if not present or by > min(window.until, until):
                continue
            if _waits_for_staff(play, window.kind, stay):
                continue
            if not any(one.kind == window.kind and begins <= one.at <= by for one in theirs):
                at = [str(one.at) for one in theirs if one.kind == window.kind]
                yield f"I3 {stay.email}: no {window.kind} from {begins} to {by}, {at or 'none'}"


def _waits_for_staff(play: "Play", kind: str, stay: Stay) -> bool:
    """Nobody can know whether it left, and it has no recovery (left): it is shown, and waits."""
    used_up = kind == _early(play) or play.hazards.happened["backup restored"]
    doubted = [one for one in play.memory.relay.doubted if one.kind == kind]
    return bool(used_up) and any(stay.join_url in one.links for one in doubted)


def _erased_since(play: "Play", email: str, since: datetime) -> bool:
    """A registration that Zoom's lagging list hid from the erasure stays there, and is ignored."""
    at = play.erased.get(email.lower())
    return at is not None and at >= since


def _deadline(play: "Play", since: datetime, need: timedelta) -> datetime:
    """The first moment by which all has been well for long enough."""
    lag = timedelta(seconds=play.plan.rates.get("listing lags", 0))
    moment = since
    for begins, ends, what in sorted(play.bad):
        if begins < moment + need + lag and ends > moment:
            moment = max(moment, ends)
            need = max(need, LATER if what == "deleted on zoom" else BACK_OFF)
    return moment + need + lag


def _calm(play: "Play", since: datetime, until: datetime) -> bool:
    """Whether nothing was wrong in a stretch of time."""
    open_now = any(window.begins < until for window in play.hazards.open)
    return (
        not open_now
        and not play.plan.rates.get("listing lags")
        and not any(begins < until and ends > since for begins, ends, _ in play.bad)
    )


def _known_as_they_are(play: "Play") -> Iterator[str]:
    for row in play.memory.fresh(
        "SELECT focus_group, email_folded, count(*) FROM registrants GROUP BY 1, 2"
    ):
        if row[2] != 1:
            yield f"I16 {row[1]} is known {row[2]} times in {row[0]}"
    known = {
        (row[0], row[1])
        for row in play.memory.fresh(
            "SELECT focus_group, email_folded FROM registrants"
            " WHERE status IN ('approved', 'pending')"
        )
    }
    for meeting in play.zoom.meetings.values():
        slug = play.slug_of(meeting)
        last = max((at for who in meeting.registrants.values() for at, _ in who.history),
                   default=play.plan.opens)  # fmt: skip
        if _deadline(play, last, timedelta(minutes=45)) > min(meeting.end_time, play.plan.ends):
            continue
        if any(what == "restored" and began > meeting.end_time - timedelta(minutes=45)
               for began, _, what in play.bad):  # fmt: skip
            continue  # nobody asks Zoom any more about a meeting that was over by then
        truth = {(slug, who.email.lower()) for who in meeting.registrants.values() if who.active}
        ours = {pair for pair in known if pair[0] == slug}
        came = {(slug, who.email.lower()): who.create_time for who in meeting.registrants.values()}
        for pair in sorted(truth ^ ours):
            if pair in came and _erased_since(play, pair[1], came[pair]):
                continue
            yield f"I16 {pair} is {'not ' if pair in truth else ''}known here"
    with play.service.store.read() as connection:
        yield from _follows_from_events(connection)


def _follows_from_events(connection: Any) -> Iterator[str]:
    """A registrant's row is the sum of their events, in whatever order; no event is kept twice."""
    from sqlalchemy import select

    from resonance_zoom.store.tables import events, registrants

    of: dict[tuple[str, str], list[Any]] = {}
    for row in connection.execute(select(events)):
        of.setdefault((row.focus_group, row.email_folded), []).append(row)
    for pair, rows in of.items():
        heard = Counter((row.event, row.event_ts, row.registrant_id) for row in rows)
        if (most := heard.most_common(1)[0])[1] > 1:
            yield f"I17 {pair}: {most[0]} is kept {most[1]} times"
    for person in connection.execute(select(registrants)):
        rows = of.get((person.focus_group, person.email_folded), [])
        told = [learning._event(row) for row in rows]
        if told and registrations.state_of(reversed(told)).status != person.status:
            yield f"I15 {person.email} is {person.status}, their events say otherwise"


def _letters_are_settled(play: "Play") -> Iterator[str]:
    accepted = Counter(letter.message_id for letter in play.memory.relay.accepted)
    doubts = play.memory.relay.doubts
    rows = play.memory.fresh(
        "SELECT id, kind, state, reason, message_id, attempts, recoveries, due_at FROM letters"
    )
    states = {row[4]: row[2] for row in rows if row[4]}
    trouble = _deadline(play, play.plan.ends - timedelta(hours=2), SOON) > play.plan.ends
    for number, kind, state, reason, message_id, attempts, recoveries, _ in rows:
        if state == "sending" and not trouble:
            yield f"I27 letter {number} ({kind}) is still sending"
        if state == "queued" and not trouble:
            yield f"I20 letter {number} ({kind}) is still queued: {reason}"
        if state == "sent" and message_id and not accepted[message_id]:
            yield f"I20 letter {number} ({kind}) is sent, the relay never had it"
        if state in {"dropped", "failed"} and not reason:
            yield f"I25 letter {number} is {state} without a reason"
        if recoveries > 1 or attempts > 60:
            yield f"I26 letter {number}: {attempts} attempts, {recoveries} recoveries"
    forgets = play.erased or play.hazards.happened["backup restored"]
    for message_id in accepted:
        if forgets and message_id not in states:
            continue
        state = states.get(message_id)
        if state not in {"sent", "in_doubt"} and not doubts[message_id]:
            yield f"I20 {message_id} was accepted, its letter is {state}"
    for was, became, letter in play.memory.fresh("SELECT was, became, letter FROM seen_moves"):
        held = (was, became) == ("queued", "in_doubt") and forgets
        if (was, became) not in LEGAL and not held:
            yield f"I19 letter {letter} went from {was} to {became}"


def _nobody_vanished(play: "Play") -> Iterator[str]:
    """Nobody was concluded to be gone by absence who was there all the time."""
    for slug, email, event_ts, received in play.memory.fresh(
        "SELECT focus_group, email_folded, event_ts, received_at FROM events"
        " WHERE event = 'unlisted'"
    ):
        heard = datetime.fromisoformat(received).replace(tzinfo=UTC)
        for meeting in play.zoom.meetings.values():
            if play.slug_of(meeting) != slug:
                continue
            for person in meeting.registrants.values():
                if person.email.lower() != email:
                    continue
                for stay in _stays_of(person):
                    left = stay.until or play.plan.ends
                    began = datetime.fromtimestamp(event_ts / 1000, UTC)
                    if stay.since < began - timedelta(minutes=11) and left > heard:
                        yield f"I18 {email} of {slug} was said to be gone at {heard}"


def _erased_for_good(play: "Play") -> Iterator[str]:
    """Who was erased and has not come back of their own accord is in no byte, and gets nothing."""
    for email, at in play.erased.items():
        for letter in play.memory.relay.accepted:
            if letter.recipients[0].lower() == email and letter.at > at:
                back = [who.history[0][0] for who in _people(play) if who.email.lower() == email]
                if not any(at < came <= letter.at for came in back):
                    yield f"I24 {email} was erased at {at} and got {letter.kind} at {letter.at}"
        came_back = any(
            who.email.lower() == email and who.history[-1][0] > at and who.history[0][0] > at
            for who in _people(play)
        )
        if came_back:
            continue
        for path in sorted(play.memory.database.parent.glob("resonance.db*")):
            if "aside" not in path.name and email.encode() in path.read_bytes().lower():
                yield f"I24 {email} was erased at {at} and stands in {path.name}"


def _nothing_to_tell(play: "Play") -> Iterator[str]:
    """Where nothing goes wrong nobody is alarmed, and no sweep repairs anything."""
    for at, kind, message in play.memory.fresh(
        "SELECT at, kind, message FROM journal WHERE level IN ('warning', 'error')"
    ):
        yield f"I28 {at}: {kind}: {message}"
    for at, message in play.memory.fresh(
        "SELECT at, message FROM journal WHERE kind = 'sweep.repaired'"
    ):
        yield f"I17 {at}: {message}"
