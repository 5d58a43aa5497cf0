"""I2, I3, I8: everybody got their own link at once and each reminder once it was due, in time.

Due moments are computed here a second way, and by the hour that the file said at the time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from resonance_zoom.mail.french import when
from resonance_zoom.rehearsal.verdict import Stay, _stays_of
from resonance_zoom.zoom.simulator import SimMeeting
from tests.campaigns.draw import PARIS
from tests.campaigns.relay import Letter

if TYPE_CHECKING:
    from tests.campaigns.stage import Play

AT_ONCE = timedelta(seconds=60)  # after a notification that was answered 200
SOON = timedelta(minutes=12)  # the sweep's ten minutes, and the time to write
IN_TIME = timedelta(minutes=15)
LATER = timedelta(minutes=75)  # after a move or a deletion on Zoom whose notification was lost
BACK_OFF = timedelta(minutes=62)  # a letter that was deferred several times waits an hour
ANNOUNCED = ("meeting.registration_created", "meeting.registration_approved")
READ_AGAIN = timedelta(minutes=2)  # the campaign file is read every minute
# What it takes after a stretch of trouble, where it is more than a quarter of an hour.
AFTER = {"deleted on zoom": LATER, "mail 4xx": BACK_OFF, "mail broken before": BACK_OFF}


@dataclass(frozen=True, slots=True)
class Window:
    """A reminder of a start: from when, until when."""

    kind: str
    due: datetime
    until: datetime


def windows_of(play: "Play", start: datetime, at: time | None = None) -> list[Window]:
    """The reminders of a start, by noon of the day shifted and set to the hour."""
    at = at or play.plan.send_at
    days = sorted(play.plan.reminder_days, reverse=True)
    noon = start.astimezone(PARIS).replace(hour=12, minute=0, second=0, tzinfo=None)
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


def hours_at(play: "Play", moment: datetime) -> list[time]:
    """The hours by which the service may go: what the file said, and what it may not have read."""
    found = []
    for number, (since, hour) in enumerate(play.hours):
        ended = play.hours[number + 1][0] if number + 1 < len(play.hours) else None
        unread = ended is not None and (
            moment < ended + READ_AGAIN or not calm(play, ended, moment)
        )
        if since <= moment and (ended is None or unread):
            found.append(hour)
    return found


def everybody_got_theirs(play: "Play") -> Iterator[str]:
    """Nobody is forgotten, and no letter comes late without a reason."""
    accepted = play.memory.relay.accepted
    poison = play.plan.poison.email if play.plan.poison else None
    for meeting in play.zoom.meetings.values():
        starts = play.starts.get(meeting.id, [])
        for person in meeting.registrants.values():
            if person.email.lower() == poison:
                continue
            for stay in _stays_of(person):
                if erased_since(play, stay.email, person.create_time):
                    continue
                theirs = [one for one in accepted if stay.join_url in one.links]
                yield from _confirmed(play, meeting, stay, theirs)
                yield from _reminded(play, starts, stay, theirs)
    yield from _at_once(play)


def _confirmed(
    play: "Play", meeting: SimMeeting, stay: Stay, theirs: list[Letter]
) -> Iterator[str]:
    by = deadline(play, stay.since, SOON)
    here = stay.until is None or stay.until > by
    if not here or by > meeting.start_time - timedelta(hours=1) or by > play.plan.ends:
        return
    if _waits_for_staff(play, "confirmation", stay):
        return
    if not any(one.kind == "confirmation" and one.at <= by for one in theirs):
        late = [one.at for one in theirs if one.kind == "confirmation"]
        yield f"{_number(play, stay.since, by, 'I2')} {stay.email} registered {stay.since}: no confirmation by {by}, {late or 'none'}"


def _at_once(play: "Play") -> Iterator[str]:
    """A notification that was answered 200 has its confirmation within a minute."""
    sent = [one for one in play.memory.relay.accepted if one.kind == "confirmation"]
    people = {
        person.id: (meeting, person)
        for meeting in play.zoom.meetings.values()
        for person in meeting.registrants.values()
    }
    for (event, _, number), at in play.acknowledged.items():
        if event not in ANNOUNCED or number not in people:
            continue
        meeting, person = people[number]
        stays = [one for one in _stays_of(person) if one.since <= at]
        stay = stays[-1] if stays else None
        by = at + AT_ONCE
        if (
            stay is None
            or erased_since(play, stay.email, person.create_time)
            or not calm(play, at, by)
        ):
            continue
        if (stay.until is not None and stay.until <= by) or by > meeting.start_time:
            continue
        if play.plan.letters_a_minute or (
            play.plan.poison and play.plan.poison.email == person.email.lower()
        ):
            continue
        if at - stay.since > timedelta(minutes=4) or _waits_for_staff(play, "confirmation", stay):
            continue  # told late; the sweep may have been quicker
        if not any(stay.join_url in one.links and one.at <= by for one in sent):
            yield f"I2 {stay.email} was announced at {at} and has no confirmation by {by}"


def _reminded(
    play: "Play", starts: list[tuple[datetime, datetime]], stay: Stay, theirs: list[Letter]
) -> Iterator[str]:
    for number, (since, start) in enumerate(starts):
        until = starts[number + 1][0] if number + 1 < len(starts) else play.plan.ends
        by_hour = [windows_of(play, start, hour) for _, hour in play.hours]
        for same in zip(
            *by_hour, strict=True
        ):  # one reminder, by each hour that the file ever said
            first, last = min(one.due for one in same), max(one.due for one in same)
            begins = max(last, since if number else last)
            by = deadline(play, begins, LATER if number else SOON)
            # Until somebody is known here, nothing is owed to them.
            by = max(by, deadline(play, stay.since, SOON))
            present = stay.since <= first and (stay.until is None or stay.until > by)
            if not present or by > min(*(one.until for one in same), until):
                continue
            kind = same[0].kind
            if _waits_for_staff(play, kind, stay):
                continue
            early = first if len(by_hour) > 1 else begins
            before = [one for one in theirs if one.kind == kind and one.at <= by]
            # Each goes once for one start: who had it before the meeting was moved away and back
            # gets it no second time.
            if not any(early <= one.at or _speaks_of(play, one, start) for one in before):
                at = [str(one.at) for one in theirs if one.kind == kind]
                yield f"{_number(play, begins, by, 'I3')} {stay.email}: no {kind} from {begins} to {by}, {at or 'none'}"


def _number(play: "Play", since: datetime, by: datetime, number: str) -> str:
    """A letter that a restore has cost breaks the promise of restores as well."""
    lost = any(since <= at + LATER and at <= by for at, _ in play.restores)
    return f"{number} I22" if lost else number


def no_letter_is_late(play: "Play") -> Iterator[str]:
    """I8: within a quarter of an hour, counted from when nothing stood in its way any more."""
    for letter in play.memory.relay.accepted:
        if not letter.kind.startswith("reminder-") or letter.message_id in play.late_by_right:
            continue
        told = starts_told(play, letter.meeting_id or 0, letter.text)
        if not told:
            continue
        since, begins = told[-1]
        dues = [
            window.due
            for _, hour in play.hours
            for window in windows_of(play, begins, hour)
            if window.kind == letter.kind
        ]
        known = max(*dues, since, play.hours[-1][0] if len(play.hours) > 1 else since)
        came = [
            stay.since
            for meeting in play.zoom.meetings.values()
            for person in meeting.registrants.values()
            for stay in _stays_of(person)
            if stay.join_url in letter.links
        ]
        moved = since > min(at for at, _ in play.starts[letter.meeting_id or 0])
        by = deadline(play, known, LATER if moved else IN_TIME)
        by = max(by, *(deadline(play, at, IN_TIME) for at in came))
        if letter.at > by:
            yield f"I8 {letter.at}: {letter.kind}, due {min(dues)}, could have left by {by}"


def starts_told(play: "Play", meeting: int, text: str) -> list[tuple[datetime, datetime]]:
    """The starts of a meeting that a letter speaks of, each with since when it was so."""
    # Another meeting of the person may begin when this one once did.
    plain = in_one_line(text.partition("Vos autres inscriptions")[0])
    return [
        (since, start)
        for since, start in play.starts.get(meeting, [])
        if in_one_line(when(start, start + timedelta(hours=2), PARIS)) in plain
    ]


def in_one_line(text: str) -> str:
    """Without the breaks of lines, and no-break spaces as others."""
    return " ".join(text.split())


def _waits_for_staff(play: "Play", kind: str, stay: Stay) -> bool:
    """Nobody can know whether it left, and it has no recovery (left): it is shown, and waits."""
    relay = play.memory.relay
    doubted = [one for one in relay.doubted if one.kind == kind and stay.join_url in one.links]
    if kind == early(play) or play.hazards.happened["backup restored"]:
        return bool(doubted) or _died_over_it(play, kind, stay)
    return any(relay.doubts[one.message_id] > 1 for one in doubted)  # it goes once more, not twice


def _died_over_it(play: "Play", kind: str, stay: Stay) -> bool:
    """Between the claim and the first byte: no relay knows of it, and no service can tell."""
    return bool(
        play.memory.fresh(
            "SELECT 1 FROM letters JOIN registrants ON registrants.id = letters.registrant"
            " WHERE letters.kind = ? AND letters.state = 'in_doubt' AND letters.reason = 'crashed'"
            " AND registrants.email_folded = ?", kind, stay.email.lower(),
        )
    )  # fmt: skip


def _speaks_of(play: "Play", letter: Letter, start: datetime) -> bool:
    told = starts_told(play, letter.meeting_id or 0, letter.text)
    return any(begins == start for _, begins in told)


def early(play: "Play") -> str | None:
    """The reminder that waits for staff when nobody can know whether it left."""
    days = sorted(play.plan.reminder_days)
    return f"reminder-{days[-1]}" if len(days) > 1 else None


def erased_since(play: "Play", email: str, since: datetime) -> bool:
    """A registration that Zoom's lagging list hid from the erasure stays there, and is ignored."""
    return any(who == email.lower() and at >= since for who, at in play.erasures)


def deadline(play: "Play", since: datetime, need: timedelta) -> datetime:
    """The first moment by which all has been well for long enough."""
    lag = timedelta(seconds=play.plan.rates.get("listing lags", 0))
    if play.plan.letters_a_minute:
        lag += timedelta(minutes=50 / play.plan.letters_a_minute)
    moment = since
    for begins, ends, what in sorted(play.bad):
        if begins < moment + need + lag and ends > moment:
            moment = max(moment, ends)
            need = max(need, AFTER.get(what, IN_TIME))
    return moment + need + lag


def calm(play: "Play", since: datetime, until: datetime) -> bool:
    """Whether nothing was wrong in a stretch of time."""
    open_now = any(window.begins < until for window in play.hazards.open)
    return (
        not open_now
        and not any(began < until for began in play._trouble_since.values())
        and not play.plan.rates.get("listing lags")
        and not any(begins < until and ends > since for begins, ends, _ in play.bad)
    )
