"""Promise 1: every focus group has exactly one Zoom meeting, registration on, as the file says.

A new date in the file waits for ten minutes before anybody hears of it, because a typo is often
corrected at once; so does a group that is taken out of the file or marked `cancelled = true`.

    (no row) ──intent committed──▶ intended ──found by reference, or created──▶ open
                                      │ two found                    404 twice │ ▲ found again
                                      ▼                                        ▼ │
                                  duplicate                                  missing
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from resonance_zoom import creating, holds, notices
from resonance_zoom.campaign import Campaign, FocusGroup
from resonance_zoom.comparison import (
    SECOND_THOUGHTS,
    MeetingDesk,
    Step,
    differences,
    fields_of,
    step_for,
    wanted,
    with_reference,
)
from resonance_zoom.errors import ZoomError, ZoomUnreachable
from resonance_zoom.store import journal
from resonance_zoom.store.direct import find
from resonance_zoom.store.engine import Store
from resonance_zoom.store.tables import meetings
from resonance_zoom.zoom.payloads import Meeting, MeetingSummary

CALLED_OFF = {"cancelled": True}
INTENDED, OPEN, MISSING, DUPLICATE = "intended", "open", "missing", "duplicate"


def ensure(
    store: Store,
    zoom: MeetingDesk,
    campaign: Campaign,
    group: FocusGroup,
    now: datetime,
    *,
    listing: list[MeetingSummary] | None = None,
) -> Step:
    """Bring one group's meeting to what the file says; safe to kill at any point and to repeat.

    `listing`: of the host's meetings, to see copies of this one in. A create looks at a newer one.

    The intent is committed before anything is created; Zoom knows no idempotency key, so a create
    whose answer was lost is looked for by its reference before it is ever tried again.
    """
    row = row_of(store, group.slug)
    if row is None or row.zoom_meeting_id is None:
        listing = None
    step, held = step_for(zoom, campaign, group, row, now, listing=listing)
    if step.action == "past" and row is None:
        return step
    if row is None:
        _intend(store, campaign, group, now)
    if step.action == "create":
        if creating.may_be_there(store, group.slug, now):
            return replace(step, action="wait")
        held = _create(store, zoom, campaign, group, now)
    if step.action in {"duplicate", "missing"}:
        _tell_trouble(store, step, now)
        return step
    if held is None:
        return step
    want, refused = fields_of(wanted(campaign, group)), tuple(row.refused or ()) if row else ()
    if step.action == "create":
        # What Zoom answered may differ from what it holds: it drops settings in silence.
        held = zoom.get_meeting(held.id)
        step = replace(
            step,
            zoom_meeting_id=held.id,
            differences=differences(want, None, fields_of(held)),
        )
    changes = {} if step.action == "past" else step.changes
    if changes:
        zoom.update_meeting(held.id, _typed(changes, group))
        held = zoom.get_meeting(held.id)
        refused = (*refused, *changes)
    refused = tuple({name: 1 for name in refused if fields_of(held)[name] != want[name]})
    applied = want if step.action != "past" else (row.applied if row else None)
    if row is not None and step.waits:
        applied = {**want, **{name: row.applied[name] for name in step.waits}}
    _save(store, group, held, step, now, applied=applied, refused=refused, patched=bool(changes))
    return step


def call_off(store: Store, row: Any, now: datetime) -> bool:
    """A group was taken out of the file: after ten minutes its registrants are told. True: now.

    The meeting on Zoom is left: nothing here ever deletes one. Somebody must, or people go on
    registering (each is told at once that it does not take place).
    """
    if row.cancelled_at is not None or (row.end_at is not None and row.end_at <= now):
        return False
    with store.write() as connection:
        this = meetings.c.focus_group == row.focus_group
        if row.edit != CALLED_OFF:
            values = {"edit": CALLED_OFF, "edited_at": now}
            connection.execute(update(meetings).where(this).values(**values))
            _note_edit(connection, row.focus_group, CALLED_OFF, now)
            return False
        if row.edited_at > now - SECOND_THOUGHTS:
            return False
        connection.execute(update(meetings).where(this).values(cancelled_at=now, edit=None))
        called_off: Any = row_in(connection, row.focus_group)
        told = notices.owe_cancelled(connection, called_off, now) if row.start_at else 0
        journal.note(
            connection,
            now,
            "meeting.cancelled",
            f"called off in the file; {told} registrants are told. Delete meeting"
            f" {row.zoom_meeting_id} on zoom.us, or people go on registering",
            level=journal.WARNING,
            focus_group=row.focus_group,
            zoom_meeting_id=row.zoom_meeting_id,
            told=told,
        )
    return True


def settles_at(connection: Connection) -> datetime | None:
    """When the next edit of the file, or create in doubt, has stood long enough to be acted on."""
    edited = select(func.min(meetings.c.edited_at)).where(meetings.c.edit.is_not(None))
    first = connection.execute(edited).scalar()
    moments = [since + creating.LISTS_LAG for since in creating.since(connection).values()]
    return min([*moments, *([first + SECOND_THOUGHTS] if first else [])], default=None)


def _note_edit(
    connection: Connection, focus_group: str, edit: Mapping[str, Any], now: datetime
) -> None:
    journal.note(
        connection,
        now,
        "meeting.edit_seen",
        "the file "
        + ("calls the meeting off" if edit == CALLED_OFF else f"says {dict(edit)}")
        + f"; acted on at {now + SECOND_THOUGHTS:%H:%M} UTC unless it is corrected",
        focus_group=focus_group,
        edit=edit,
        acts_at=now + SECOND_THOUGHTS,
    )


def row_of(store: Store, focus_group: str) -> Row[tuple[Any, ...]] | None:
    """What we know of a group's meeting, None before the first intent."""
    with store.read() as connection:
        return row_in(connection, focus_group)


def row_in(connection: Connection, focus_group: str) -> Row[tuple[Any, ...]] | None:
    """The same, within a transaction."""
    return connection.execute(select(meetings).where(meetings.c.focus_group == focus_group)).first()


def rows(connection: Connection) -> list[Row[tuple[Any, ...]]]:
    """Everything known of meetings, also of groups that the file no longer has."""
    return list(connection.execute(select(meetings).order_by(meetings.c.start_at)))


def open_rows(connection: Connection) -> list[Row[tuple[Any, ...]]]:
    """The meetings that exist on Zoom, by start."""
    return list(connection.execute(_OPEN))


_OPEN = (
    select(meetings).where(meetings.c.zoom_meeting_id.is_not(None)).order_by(meetings.c.start_at)
)
_BY_ZOOM_ID = select(meetings).where(
    meetings.c.zoom_meeting_id.in_(bindparam("ids", expanding=True))
)


def by_zoom_ids(
    connection: Connection, meeting_ids: Collection[int | None]
) -> dict[int | None, Row[tuple[Any, ...]]]:
    """The rows of meetings that Zoom names, without those that are none of ours."""
    found = find(connection, _BY_ZOOM_ID, {"ids": [*meeting_ids]})
    return {row.zoom_meeting_id: row for row in found}


def any_begun(connection: Connection) -> bool:
    """Whether a meeting was ever made here, or begun to be."""
    return connection.execute(select(meetings.c.focus_group).limit(1)).first() is not None


def intended(connection: Connection) -> bool:
    """Whether a meeting is being created right now, or was when we were stopped."""
    found = select(meetings.c.focus_group).where(meetings.c.zoom_meeting_id.is_(None))
    return connection.execute(found.limit(1)).first() is not None


def deleted_on_zoom(connection: Connection, meeting_id: int, now: datetime) -> None:
    """Zoom told us that a meeting was deleted: the next comparison may conclude at once."""
    connection.execute(
        update(meetings)
        .where(meetings.c.zoom_meeting_id == meeting_id, meetings.c.missing_since.is_(None))
        .values(missing_since=now)
    )


def _intend(store: Store, campaign: Campaign, group: FocusGroup, now: datetime) -> None:
    with store.write() as connection:
        connection.execute(
            insert(meetings).values(
                focus_group=group.slug,
                reference=campaign.reference(group),
                state=INTENDED,
                intended_at=now,
                revision=0,
            )
        )


def _create(
    store: Store, zoom: MeetingDesk, campaign: Campaign, group: FocusGroup, now: datetime
) -> Meeting:
    with store.write() as connection:
        creating.mark(connection, group.slug, now)
    try:
        return zoom.create_meeting(campaign.zoom_host, wanted(campaign, group))
    except ZoomError as error:
        if not (isinstance(error, ZoomUnreachable) and error.maybe_done):
            with store.write() as connection:
                creating.mark(connection, group.slug, None)
            raise
        found = with_reference(zoom.list_meetings(campaign.zoom_host), campaign.reference(group))
        if len(found) != 1:
            raise  # a later run lists again before it creates
        return zoom.get_meeting(found[0].id)


def _typed(changes: Mapping[str, Any], group: FocusGroup) -> dict[str, object]:
    typed = dict(changes)
    if "start_time" in typed:
        typed["start_time"] = group.start
    return typed


def _problem(held: Meeting, refused: Collection[str], copies: Collection[int]) -> str | None:
    """What somebody must see to, None when the meeting is as it should be."""
    if not held.registration_url:
        return (
            f"meeting {held.id} has no registration page: Zoom grants one to licensed hosts only."
            " Give the host a licence on zoom.us; `resonance-zoom check` tells when it has one"
        )
    if refused:
        return (
            f"Zoom accepted but did not apply {', '.join(refused)}: look at the host's and the"
            " account's settings on zoom.us, they may lock it"
        )
    if copies:
        return (
            f"meeting {held.id} was copied on Zoom: {', '.join(map(str, copies))}. Whoever"
            " registers there is not known here; delete the copy on zoom.us"
        )
    return None


def _tell_trouble(store: Store, step: Step, now: datetime) -> None:
    with store.write() as connection:
        row = connection.execute(
            select(meetings).where(meetings.c.focus_group == step.focus_group)
        ).one()
        state = DUPLICATE if step.action == "duplicate" else row.state
        if step.action == "missing" and row.missing_since is not None:
            state = MISSING  # one 404 may be a slip of Zoom's; two are a fact
        values = {"state": state, "problem": step.problem, "checked_at": now}
        if step.action == "missing":
            values["missing_since"] = row.missing_since or now
        connection.execute(
            update(meetings).where(meetings.c.focus_group == step.focus_group).values(**values)
        )
        if (row.state, row.problem) != (state, step.problem):
            journal.note(
                connection,
                now,
                f"meeting.{step.action}",
                step.problem or step.action,
                level=journal.ERROR if state in {MISSING, DUPLICATE} else journal.WARNING,
                focus_group=step.focus_group,
                zoom_meeting_id=step.zoom_meeting_id,
            )


def _save(
    store: Store,
    group: FocusGroup,
    held: Meeting,
    step: Step,
    now: datetime,
    *,
    applied: Mapping[str, Any] | None,
    refused: Collection[str],
    patched: bool,
) -> None:
    start = held.start_time or group.start
    problem = _problem(held, refused, step.copies or ())
    with store.write() as connection:
        row: Any = row_in(connection, group.slug)
        if step.action == "keep" and step.copies is None:
            problem = problem or row.problem  # Zoom's list could not be read this time
        moved = row.start_at is not None and row.start_at != start
        edit = dict(step.waits) or None
        if edit and edit != row.edit:
            _note_edit(connection, group.slug, edit, now)
        connection.execute(
            update(meetings)
            .where(meetings.c.focus_group == group.slug)
            .values(
                state=OPEN,
                problem=problem,
                zoom_meeting_id=held.id,
                topic=held.topic,
                start_at=start,
                end_at=start + timedelta(minutes=held.duration),
                registration_url=held.registration_url,
                applied=applied,
                held=fields_of(held),
                refused=list(refused),
                patched_at=now if patched else row.patched_at,
                revision=row.revision + moved,
                checked_at=now,
                missing_since=None,
                edit=edit,
                edited_at=row.edited_at if edit == row.edit else now,
                cancelled_at=None,
                former_start=row.start_at if moved else row.former_start,
                former_end=row.end_at if moved else row.former_end,
                dial_in=[[line.number, line.country] for line in held.dial_in],
            )
        )
        if group.slug in creating.since(connection):
            creating.mark(connection, group.slug, None)
        told = _tell_of_move(connection, row, now, patched=patched) if moved else 0
        if step.action == "adopt":
            # A new database: who registered before it may have had letters from an older one.
            holds.open_window(
                connection,
                until=row.intended_at,
                reason=holds.ADOPTED,
                focus_group=group.slug,
            )
        if row.cancelled_at is not None:
            _note_restored(connection, group.slug, now)
        for line in _news(row, step, problem, held, moved=moved, told=told):
            journal.note(
                connection,
                now,
                line.kind,
                line.words,
                level=line.level,
                focus_group=group.slug,
                **line.data,
            )


def _tell_of_move(connection: Connection, before: Any, now: datetime, *, patched: bool) -> int:
    """Owe the letters. Our own move has waited; one by hand on Zoom still may be taken back."""
    due_at = now if patched else now + SECOND_THOUGHTS
    moved = row_in(connection, before.focus_group)
    told = notices.owe_moved(connection, moved, now, due_at=due_at)
    if not patched:
        holds.hold_moved(connection, before, now)
    return told


def _note_restored(connection: Connection, focus_group: str, now: datetime) -> None:
    journal.note(
        connection,
        now,
        "meeting.restored",
        "the meeting is in the file again; those who were told that it is called off must be told"
        f" so: resonance-zoom letters --focus-group {focus_group} --kind cancelled",
        level=journal.WARNING,
        focus_group=focus_group,
    )


@dataclass(frozen=True, slots=True)
class _Line:
    kind: str
    level: str
    words: str
    data: dict[str, Any]


_DONE = {"create": "created", "adopt": "adopted", "change": "changed"}


def _news(
    row: Any, step: Step, problem: str | None, held: Meeting, *, moved: bool, told: int
) -> Iterator[_Line]:
    """What is new since the last comparison."""
    if step.action in _DONE:
        done, fields = _DONE[step.action], ", ".join(step.changes) or "nothing to patch"
        yield _Line(
            f"meeting.{done}",
            journal.INFO,
            f"Zoom meeting {held.id} {done} ({fields})",
            {"zoom_meeting_id": held.id, "changes": step.changes},
        )
    if row.missing_since is not None:
        yield _Line("meeting.found", journal.INFO, f"Zoom meeting {held.id} is there again", {})
    if moved:
        was, start = row.start_at, held.start_time
        yield _Line(
            "meeting.moved",
            journal.WARNING,
            f"the meeting moved from {was:%Y-%m-%d %H:%M} to {start:%Y-%m-%d %H:%M} UTC;"
            f" letters follow, {told} registrants are told",
            {"was": was, "start": start, "told": told},
        )
    before = row.held or {}
    for d in step.differences:
        if d.cause == "by_hand" and before.get(d.field) != d.held:
            yield _Line(
                "meeting.edited",
                journal.WARNING,
                f"{d.field} was edited on Zoom: the file wants {d.wanted!r}, Zoom holds"
                f" {d.held!r}; left as it is",
                {"field": d.field, "wanted": d.wanted, "held": d.held},
            )
    if problem and problem != row.problem:
        yield _Line("meeting.problem", journal.ERROR, problem, {})
