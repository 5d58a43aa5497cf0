"""Keeps back letters that should not leave without a yes of the staff: doubled ones, and floods.

Two things make a database forget what left: an older backup was restored, or a new database found
meetings at Zoom that people had registered for before. Both leave a window that ends at a moment;
a letter whose occasion lies before that moment is set to `in_doubt` instead of leaving.

A third is no doubt but a limit: whoever registers people by the thousand must not make us write to
thousands of strangers. Beyond the campaign's `confirmations_per_day`, confirmations wait as well.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, update

from resonance_zoom.campaign import CANCELLED, CONFIRMATION, MOVED, Campaign
from resonance_zoom.store import journal, outbox
from resonance_zoom.store.tables import events, letters, meetings, registrants

RESTORED, ADOPTED, MANY = "restored", "adopted", outbox.MANY_TODAY  # words of outbox.REASONS
WINDOWS = "holds"
TODAY = "confirmations_today"  # {"day", "owed"}: how many, whether they left or not
_IS_HELD = and_(letters.c.state == outbox.IN_DOUBT, letters.c.reason.in_((RESTORED, ADOPTED, MANY)))
_IS_ONE_OF_MANY = and_(letters.c.state == outbox.IN_DOUBT, letters.c.reason == MANY)


def open_window(
    connection: Connection, *, until: datetime, reason: str, focus_group: str | None = None
) -> None:
    """From now on nothing leaves by itself whose occasion lies at `until` or before."""
    windows = _windows(connection)
    window = {"until": until.isoformat(), "reason": reason, "focus_group": focus_group}
    journal.remember(connection, WINDOWS, [*windows, window])


def hold_what_was_queued(connection: Connection, now: datetime) -> int:
    """In a database just restored: what was due or leaving when it was copied may have gone."""
    may_have_gone = or_(
        _IS_ONE_OF_MANY,  # staff may have said yes since
        letters.c.state == outbox.SENDING,
        and_(letters.c.state == outbox.QUEUED, letters.c.due_at <= now),
    )
    return _hold(connection, may_have_gone, RESTORED)


def hold_what_may_have_gone(connection: Connection, now: datetime) -> int:
    """Hold the queued letters that fall into a window; the journal says how many. Returns that."""
    held = 0
    for window in _windows(connection):
        until = datetime.fromisoformat(window["until"])
        fresh = and_(
            or_(letters.c.state == outbox.QUEUED, _IS_ONE_OF_MANY),
            letters.c.attempts == 0,
            letters.c.recoveries == 0,  # 1: it was held before, and staff said yes
            func.coalesce(letters.c.reason, "") != "by_hand",
            _in_group(window),
            _lies_before(until),
        )
        held += _tell(connection, _hold(connection, fresh, window["reason"]), window, now)
    return held


def hold_moved(connection: Connection, meeting: Any, now: datetime) -> int:
    """Hold letters of a move that was found by the first comparison since a restore.

    `meeting` is the row as it was before the comparison.
    """
    held = 0
    for window in _windows(connection):
        group = window["focus_group"]
        if group not in {None, meeting.focus_group}:
            continue
        if meeting.checked_at is None or meeting.checked_at > datetime.fromisoformat(
            window["until"]
        ):
            continue
        told = and_(
            letters.c.state == outbox.QUEUED,
            letters.c.kind == MOVED,
            letters.c.focus_group == meeting.focus_group,
        )
        held += _tell(connection, _hold(connection, told, window["reason"]), window, now)
    return held


def hold_beyond_the_day(
    connection: Connection, campaign: Campaign, registrants_owed: Collection[int], now: datetime
) -> None:
    """Count the confirmations just owed; hold those beyond what the campaign sends in a day.

    The journal says so once a day. Who registers and cancels over and over counts each time.
    """
    day = campaign.day_of(now).isoformat()
    today = journal.recall(connection, TODAY) or {}
    before = today["owed"] if today.get("day") == day else 0
    owed, limit = before + len(registrants_owed), campaign.confirmations_per_day
    journal.remember(connection, TODAY, {"day": day, "owed": owed})
    if owed <= limit:
        return
    beyond = and_(
        letters.c.registrant.in_(list(registrants_owed)[max(0, limit - before) :]),
        letters.c.kind == CONFIRMATION,
        letters.c.state == outbox.QUEUED,
        letters.c.reason.is_(None),
    )
    _hold(connection, beyond, MANY, recoveries=letters.c.recoveries)
    if before <= limit:
        journal.note(
            connection,
            now,
            "letters.many_today",
            f"over {limit} confirmations are owed today ({day}): all others of this day wait for a"
            " yes. See them, then send or drop them: resonance-zoom held",
            level=journal.ERROR,
            limit=limit,
        )


def waiting(connection: Connection) -> list[dict[str, Any]]:
    """What is held: {"focus_group", "kind", "reason", "letters"} by group and kind."""
    columns = (letters.c.focus_group, letters.c.kind, letters.c.reason)
    found = connection.execute(
        select(*columns, func.count().label("letters"))
        .where(_IS_HELD)
        .group_by(*columns)
        .order_by(*columns)
    )
    return [dict(row) for row in found.mappings()]


def release(
    connection: Connection,
    now: datetime,
    *,
    by: str,
    focus_group: str | None = None,
    kind: str | None = None,
) -> int:
    """Staff said yes: what is held goes, as far as it is still worth sending; how many."""
    values = {
        "state": outbox.QUEUED,
        "ready_at": now,
        "attempts": 0,
        "reason": "by_hand",
        "detail": f"by {by}",
    }
    return _decide(connection, values, focus_group, kind)


def drop(
    connection: Connection, *, by: str, focus_group: str | None = None, kind: str | None = None
) -> int:
    """Staff said no: what is held does not go; how many."""
    values = {"state": outbox.DROPPED, "reason": "dropped_by_hand", "detail": f"by {by}"}
    return _decide(connection, values, focus_group, kind)


def _decide(
    connection: Connection, values: dict[str, Any], focus_group: str | None, kind: str | None
) -> int:
    statement = update(letters).where(_IS_HELD).values(**values)
    if focus_group is not None:
        statement = statement.where(letters.c.focus_group == focus_group)
    if kind is not None:
        statement = statement.where(letters.c.kind == kind)
    return connection.execute(statement).rowcount


def _windows(connection: Connection) -> list[dict[str, Any]]:
    return journal.recall(connection, WINDOWS) or []


def _in_group(window: dict[str, Any]) -> ColumnElement[bool]:
    group = window["focus_group"]
    return letters.c.focus_group == (letters.c.focus_group if group is None else group)


def _lies_before(until: datetime) -> ColumnElement[bool]:
    """The occasion of a letter: a reminder's due date, a confirmation's registration …"""
    person = registrants.c.id == letters.c.registrant
    # Only a notification tells when somebody was approved; what a sweep found may be old.
    approved_since = (
        select(events.c.id)
        .where(
            events.c.focus_group == registrants.c.focus_group,
            events.c.email_folded == registrants.c.email_folded,
            events.c.source == "webhook",
            events.c.status == "approved",
            events.c.event_ts > int(until.timestamp() * 1000),
        )
        .exists()
    )
    registered = select(registrants.c.id).where(person, registrants.c.registered_at <= until)
    # A group that is out of the file is compared no more: it was called off before.
    called_off = select(meetings.c.focus_group).where(
        meetings.c.focus_group == letters.c.focus_group, meetings.c.checked_at <= until
    )
    return or_(
        and_(letters.c.kind == CONFIRMATION, registered.where(~approved_since).exists()),
        and_(letters.c.kind.startswith("reminder-"), letters.c.due_at <= until),
        and_(letters.c.kind == CANCELLED, registered.exists(), called_off.exists()),
    )


def _hold(
    connection: Connection,
    which: ColumnElement[bool],
    reason: str,
    *,
    # With its one recovery used up it does not go by itself, whatever happens to the process.
    recoveries: int | ColumnElement[int] = 1,
) -> int:
    statement = (
        update(letters)
        .where(which)
        .values(state=outbox.IN_DOUBT, reason=reason, detail=None, recoveries=recoveries)
    )
    return connection.execute(statement).rowcount


def _tell(connection: Connection, held: int, window: dict[str, Any], now: datetime) -> int:
    if held:
        journal.note(
            connection,
            now,
            "letters.held",
            f"{held} letters wait for a yes: {outbox.REASONS[window['reason']]}."
            " See them, then send or drop them: resonance-zoom held",
            level=journal.ERROR,
            focus_group=window["focus_group"],
            letters=held,
            reason=window["reason"],
        )
    return held
