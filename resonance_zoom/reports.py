"""Promise 4: anyone on the staff sees what happened to whom, what comes next, what went wrong.

The shapes that `--json` prints; the keys are a contract with other programs. Times are ISO, UTC.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, or_, select

from resonance_zoom import holds, undelivered
from resonance_zoom.campaign import CONFIRMATION, Campaign, FocusGroup
from resonance_zoom.errors import NotFound
from resonance_zoom.store import journal as notes
from resonance_zoom.store import outbox, people
from resonance_zoom.store.tables import journal, letters, meetings, registrants, runs
from resonance_zoom.undelivered import DELAYED, LOST

STATUSES = ("approved", "pending", "denied", "cancelled")
LEVELS = ("debug", "info", "warning", "error")


def status(connection: Connection, campaign: Campaign, now: datetime) -> dict[str, Any]:
    """The campaign at a glance: each group with its meeting, people, letters and next letter."""
    return {
        "campaign": campaign.slug,
        "now": _iso(now),
        "focus_groups": [
            _group(connection, campaign, group, now) for group in campaign.focus_groups
        ],
        "sending": _sending(connection, now),
        "last_runs": _last_runs(connection),
        "alerts": _alerts(connection, now),
    }


def _group(
    connection: Connection, campaign: Campaign, group: FocusGroup, now: datetime
) -> dict[str, Any]:
    row: Any = connection.execute(
        select(meetings).where(meetings.c.focus_group == group.slug)
    ).first()
    start = row.start_at if row is not None and row.start_at else group.start
    end = row.end_at if row is not None and row.end_at else group.end
    return {
        "slug": group.slug,
        "title": group.title,
        "start": _iso(start),
        "end": _iso(end),
        "zoom_meeting_id": row.zoom_meeting_id if row is not None else None,
        "registration_url": row.registration_url if row is not None else None,
        "state": _state(row, end, now),
        "problem": row.problem if row is not None else None,
        "capacity": group.capacity,
        "registrants": dict.fromkeys(STATUSES, 0)
        | _counts(connection, registrants.c.status, registrants.c.focus_group == group.slug),
        "letters": dict.fromkeys(outbox.STATES, 0)
        | _counts(connection, letters.c.state, letters.c.focus_group == group.slug),
        "next_letter": _next_letter(connection, campaign, group, start, now),
    }


def _state(row: Any, end: datetime, now: datetime) -> str:
    if now >= end:
        return "past"
    return row.state if row is not None else "planned"


def _counts(connection: Connection, column: Any, condition: Any) -> dict[str, int]:
    rows = connection.execute(select(column, func.count()).where(condition).group_by(column))
    return {row[0]: row[1] for row in rows}


def _next_letter(
    connection: Connection, campaign: Campaign, group: FocusGroup, start: datetime, now: datetime
) -> dict[str, Any] | None:
    queued: Any = connection.execute(
        select(letters.c.kind, letters.c.ready_at)
        .where(letters.c.focus_group == group.slug, letters.c.state == "queued")
        .order_by(letters.c.ready_at)
        .limit(1)
    ).first()
    if queued is not None:
        return {"kind": queued.kind, "due_at": _iso(queued.ready_at)}
    due = next((due for due in campaign.reminders(start) if due.at > now), None)
    return {"kind": due.kind, "due_at": _iso(due.at)} if due else None


def _sending(connection: Connection, now: datetime) -> dict[str, Any]:
    relay = notes.recall(connection, notes.RELAY)
    return {
        "paused": notes.recall(connection, notes.PAUSED),
        "held": notes.recall(connection, notes.HELD),
        "mail_server_down": relay["error"] if relay else None,
        "last_alive": _iso(notes.last_alive(connection)),
        "ready_now": connection.execute(
            select(func.count()).where(letters.c.state == "queued", letters.c.ready_at <= now)
        ).scalar(),
    }


def _last_runs(connection: Connection) -> list[dict[str, Any]]:
    newest = select(func.max(runs.c.id)).group_by(runs.c.job)
    rows = connection.execute(select(runs).where(runs.c.id.in_(newest)).order_by(runs.c.job))
    return [
        {
            "job": row.job,
            "at": _iso(row.started_at),
            "seconds": row.seconds,
            "did": row.did,
            "error": row.error,
        }
        for row in rows
    ]


def _alerts(connection: Connection, now: datetime) -> list[str]:
    """What needs somebody now, in sentences."""
    problems = connection.execute(
        select(meetings.c.focus_group, meetings.c.problem).where(meetings.c.problem.is_not(None))
    )
    alerts = [f"{group}: {problem}" for group, problem in problems]
    kept_back = holds.waiting(connection)
    many = sum(row["letters"] for row in kept_back if row["reason"] == holds.MANY)
    for state, words in (("failed", "could not be sent"), ("in_doubt", "may have gone, or not")):
        count = connection.execute(
            select(func.count()).select_from(letters).where(letters.c.state == state)
        ).scalar_one() - (many if state == "in_doubt" else 0)
        if count:
            alerts.append(f"{count} letters {words}: resonance-zoom letters --state {state}")
    if waits := sum(row["letters"] for row in kept_back) - many:
        alerts.append(f"{waits} of them wait for a yes: resonance-zoom held")
    if many:
        alerts.append(
            f"{many} confirmations wait for a yes, more than the file allows in a day:"
            " resonance-zoom held"
        )
    if people := undelivered.open_cases(connection, now).get(LOST):
        alerts.append(
            f"letters to {people} people came back: resonance-zoom letters --bounce {LOST}"
        )
    trouble = notes.recall(connection, notes.MAILBOX_DOWN)
    if trouble and trouble["told"]:
        alerts.append(f"letters that come back are not seen: {trouble['error']}")
    alerts += [
        f"{run['job']} fails: {run['error']}"
        for run in _last_runs(connection)
        if run["error"] and run["job"] in {"back_up_database", "purge_personal_data"}
    ]
    if held := notes.recall(connection, notes.HELD):
        alerts.append(f"all letters are held: {held}")
    if relay := notes.recall(connection, notes.RELAY):
        alerts.append(f"the mail server is down: {relay['error']}")
    if paused := notes.recall(connection, notes.PAUSED):
        alerts.append(f"sending was paused by {paused}: resonance-zoom resume")
    return alerts


def registrant_list(
    connection: Connection, *, focus_group: str | None = None, status: str | None = None
) -> list[dict[str, Any]]:
    """Everyone, by group and registration."""
    query = select(registrants).order_by(registrants.c.focus_group, registrants.c.registered_at)
    query = _where(query, registrants.c.focus_group, focus_group)
    query = _where(query, registrants.c.status, status)
    return [_registrant(row) for row in connection.execute(query)]


def _registrant(row: Any) -> dict[str, Any]:
    return {
        "focus_group": row.focus_group,
        "email": row.email,
        "first_name": row.first_name,
        "last_name": row.last_name,
        "status": row.status,
        "registered_at": _iso(row.registered_at),
        "join_url": row.join_url,
        "source": row.source,
    }


def letter_list(
    connection: Connection,
    *,
    focus_group: str | None = None,
    kind: str | None = None,
    state: str | None = None,
    bounce: str | None = None,
    registrant: int | None = None,
) -> list[dict[str, Any]]:
    """Every letter owed so far, by the moment it fell due."""
    query = (
        select(letters, registrants.c.email)
        .join(registrants, registrants.c.id == letters.c.registrant)
        .order_by(letters.c.due_at, letters.c.id)
    )
    for column, value in (
        (letters.c.focus_group, focus_group),
        (letters.c.kind, kind),
        (letters.c.state, state),
        (letters.c.bounce, bounce),
        (letters.c.registrant, registrant),
    ):
        query = _where(query, column, value)
    return [_letter(row) for row in connection.execute(query)]


def _letter(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "focus_group": row.focus_group,
        "email": row.email,
        "due_at": _iso(row.due_at),
        "worth_until": _iso(row.worth_until),
        "state": row.state,
        "reason": why(row),
        "attempts": row.attempts,
        "sent_at": _iso(row.sent_at),
        "message_id": row.message_id,
        "again_at": _iso(row.ready_at) if row.state == "queued" else None,
        "bounce": row.bounce,
        "bounced_at": _iso(row.bounced_at),
        "bounce_reason": " ".join(filter(None, (row.bounce_status, row.bounce_detail))) or None,
    }


def why(letter: Any) -> str | None:
    """The reason of a letter's state in words, with what the server said."""
    words = outbox.REASONS.get(letter.reason, letter.reason) if letter.reason else None
    if letter.state == "sent":
        words = f"accepted by the mail server: {letter.detail}"
    elif words and letter.detail:
        words = f"{words}: {letter.detail}"
    return words


def journal_lines(
    connection: Connection,
    *,
    after: int = 0,
    since: datetime | None = None,
    level: str | None = None,
    focus_group: str | None = None,
    registrants: Sequence[int] | None = None,
    last: int | None = None,
) -> list[dict[str, Any]]:
    """Lines with an id above `after`, the oldest first; `level` and above; only the `last` n."""
    query = select(journal).where(journal.c.id > after)
    if since:
        query = query.where(journal.c.at >= since)
    if level:
        query = query.where(journal.c.level.in_(LEVELS[LEVELS.index(level) :]))
    else:
        query = query.where(journal.c.level != notes.DEBUG)
    if registrants is not None:
        query = query.where(journal.c.registrant.in_(registrants))
    query = _where(query, journal.c.focus_group, focus_group)
    newest_first = query.order_by(journal.c.id.desc())
    rows = connection.execute(newest_first.limit(last) if last else newest_first).all()
    return [
        {
            "id": row.id,
            "at": _iso(row.at),
            "level": row.level,
            "kind": row.kind,
            "focus_group": row.focus_group,
            "registrant": row.registrant,
            "message": row.message,
            "data": row.data,
        }
        for row in reversed(rows)
    ]


def who(connection: Connection, campaign: Campaign, email: str, now: datetime) -> dict[str, Any]:
    """Did I get my link? One person over all groups: registrations, letters, what comes, history.

    Raises NotFound when nobody of that address is known.
    """
    rows = people.with_email(connection, email)
    if not rows:
        raise NotFound(
            f"nobody is known as {email}",
            remedy="Look for another spelling with: resonance-zoom registrants;"
            " or ask Zoom now: resonance-zoom sync",
        )
    return {
        "email": rows[0].email,
        "now": _iso(now),
        "registrations": [_registration(connection, campaign, row, now) for row in rows],
        "history": journal_lines(connection, registrants=[row.id for row in rows]),
    }


def _registration(
    connection: Connection, campaign: Campaign, row: Any, now: datetime
) -> dict[str, Any]:
    found = letter_list(connection, registrant=row.id)
    meeting: Any = connection.execute(
        select(meetings).where(meetings.c.focus_group == row.focus_group)
    ).first()
    coming = (
        [
            {"kind": due.kind, "due_at": _iso(due.at)}
            for due in campaign.reminders(meeting.start_at)
            if due.at > now
        ]
        if meeting is not None and meeting.start_at and row.status == "approved"
        else []
    )
    return _registrant(row) | {
        "id": row.id,
        "answer": _answer(row, found),
        "letters": found,
        "coming": coming,
    }


def _answer(row: Any, found: Sequence[dict[str, Any]]) -> str:
    """The sentence for the phone: whether the link left, when, and if not, why."""
    if row.status != "approved":
        return f"{row.status}: no link is owed"
    confirmations = [letter for letter in found if letter["kind"] == CONFIRMATION]
    sent = [letter for letter in found if letter["state"] == "sent"]
    if arrived := [letter for letter in sent if letter["bounce"] != LOST]:
        last = arrived[-1]
        left = f"the link left with the {last['kind']} at {last['sent_at']} ({last['reason']})"
        if last["bounce"] == DELAYED:
            return f"perhaps: {left}, and is delayed on its way: {last['bounce_reason'] or '?'}"
        return f"yes: {left}"
    if sent and not any(letter["state"] in {"queued", "sending"} for letter in found):
        last = sent[-1]
        return (
            f"no: the {last['kind']} of {last['sent_at']} came back at {last['bounced_at']}:"
            f" {last['bounce_reason'] or '?'}"
        )
    if confirmations:
        last = confirmations[-1]
        again = f", again at {last['again_at']}" if last["again_at"] else ""
        return (
            f"not yet: {last['state']}" + (f", {last['reason']}" if last["reason"] else "") + again
        )
    return "no letter was owed: Zoom itself confirms in this campaign"


def letter(connection: Connection, letter_id: int) -> Any:
    """One letter's row. Raises NotFound."""
    row = connection.execute(select(letters).where(letters.c.id == letter_id)).first()
    if row is None:
        raise NotFound(
            f"there is no letter {letter_id}", remedy="See them with: resonance-zoom letters"
        )
    return row


def search(connection: Connection, words: str) -> Iterator[str]:
    """Addresses whose address or name contains `words`, for somebody on the phone."""
    part = words.strip()
    rows = connection.execute(
        select(registrants.c.email)
        .where(
            or_(
                registrants.c.email.icontains(part, autoescape=True),
                registrants.c.first_name.icontains(part, autoescape=True),
                registrants.c.last_name.icontains(part, autoescape=True),
            )
        )
        .distinct()
        .limit(20)
    )
    return (row.email for row in rows)


def _where(query: Select[Any], column: Any, value: Any) -> Select[Any]:
    return query if value is None else query.where(column == value)


def _iso(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None
