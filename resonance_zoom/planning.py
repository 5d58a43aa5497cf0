"""Says what `run` would do on Zoom and which letters would then go to how many; changes nothing."""

import math
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from resonance_zoom import meetings, notices, pace
from resonance_zoom.campaign import CONFIRMATION, Campaign
from resonance_zoom.comparison import Step, step_for
from resonance_zoom.store import outbox, people
from resonance_zoom.store.engine import Store
from resonance_zoom.store.tables import letters, registrants
from resonance_zoom.zoom.client import ZoomClient
from resonance_zoom.zoom.payloads import Meeting

_VERBS = {
    "create": "create",
    "adopt": "adopt the meeting found on Zoom",
    "change": "change",
    "keep": "leave as it is",
    "past": "nothing: the date is past",
    "call_off": "call off (the meeting itself must be deleted on zoom.us)",
    "missing": "nothing: the meeting is gone from Zoom",
    "duplicate": "nothing: several meetings carry the reference",
}


def plan(
    store: Store | None, zoom: ZoomClient, campaign: Campaign, now: datetime
) -> dict[str, Any]:
    """{"campaign", "now", "focus_groups": [{"slug", "action", "differences", "letters", …}]}.

    `store` is None before the first run. Raises ZoomError when Zoom cannot be asked.
    """
    listing = zoom.list_meetings(campaign.zoom_host)
    groups = _called_off(store, campaign, now)
    for group in campaign.focus_groups:
        if group.cancelled:
            continue
        row = meetings.row_of(store, group.slug) if store else None
        step, held = step_for(zoom, campaign, group, row, now, listing=listing)
        start = held.start_time if held and held.start_time else group.start
        groups.append(
            {
                "slug": group.slug,
                "title": group.title,
                "start": f"{start:%Y-%m-%dT%H:%M:%SZ}",
                "action": step.action,
                "zoom_meeting_id": step.zoom_meeting_id,
                "differences": [
                    asdict(difference) | {"action": _fate(step, difference.field)}
                    for difference in step.differences
                ],
                "problem": step.problem,
                "told": _told_of_move(store, step, group.slug),
                "letters": _letters(store, zoom, campaign, group.slug, held, start, now),
            }
        )
    return {"campaign": campaign.slug, "now": f"{now:%Y-%m-%dT%H:%M:%SZ}", "focus_groups": groups}


def _called_off(store: Store | None, campaign: Campaign, now: datetime) -> list[dict[str, Any]]:
    """The groups that the file no longer has, or marks as cancelled, and whose people know."""
    if store is None:
        return []
    kept = {group.slug for group in campaign.focus_groups if not group.cancelled}
    with store.read() as connection:
        return [
            {
                "slug": row.focus_group,
                "title": row.topic,
                "start": f"{row.start_at:%Y-%m-%dT%H:%M:%SZ}",
                "action": "call_off",
                "zoom_meeting_id": row.zoom_meeting_id,
                "differences": [],
                "problem": None,
                "told": len(people.active_addresses(connection, row.focus_group)),
                "letters": [],
            }
            for row in meetings.open_rows(connection)
            if row.focus_group not in kept and row.cancelled_at is None and row.end_at > now
        ]


def _told_of_move(store: Store | None, step: Step, slug: str) -> int:
    """How many people will be told that the date was moved in the file."""
    moved = next((d for d in step.differences if d.field == "start_time"), None)
    if store is None or moved is None or moved.cause != "file" or step.action == "past":
        return 0
    with store.read() as connection:
        return notices.people_to_tell(connection, slug, datetime.fromisoformat(moved.wanted))


def _fate(step: Step, field: str) -> str:
    if field in step.waits:
        return "change"
    return "change" if step.action != "past" and field in step.changes else "leave"


def _letters(
    store: Store | None,
    zoom: ZoomClient,
    campaign: Campaign,
    slug: str,
    held: Meeting | None,
    start: datetime,
    now: datetime,
) -> list[dict[str, Any]]:
    """[{"kind", "due_at", "people"}]: what would go, to how many of those registered now."""
    if held is None or start <= now:
        return []
    listed = {
        people.fold(registrant.email): registrant
        for page in zoom.registrant_pages(held.id, "approved")
        for registrant in page
    }
    confirmed = _confirmed(store, slug)
    found: list[dict[str, Any]] = []
    if campaign.sends_confirmations:
        owed = sum(email not in confirmed for email in listed)
        found.append({"kind": CONFIRMATION, "due_at": f"{now:%Y-%m-%dT%H:%M:%SZ}", "people": owed})
    for due in campaign.reminders(start):
        if now >= due.until:
            continue
        owed = sum(
            registrant.create_time is None or registrant.create_time <= due.at
            for registrant in listed.values()
        )
        owed -= _reminded(store, slug, due.kind, start)
        found.append(
            {"kind": due.kind, "due_at": f"{due.at:%Y-%m-%dT%H:%M:%SZ}", "people": max(0, owed)}
        )
    for letter in found:
        takes = pace.lasts(campaign, letter["people"])
        letter["takes_minutes"] = None if takes is None else math.ceil(takes / timedelta(minutes=1))
    return found


def _confirmed(store: Store | None, slug: str) -> set[str]:
    """The addresses whose confirmation is written down already, and will go or has gone."""
    if store is None:
        return set()
    with store.read() as connection:
        return set(
            connection.execute(
                select(registrants.c.email_folded)
                .join(letters, letters.c.registrant == registrants.c.id)
                .where(
                    letters.c.focus_group == slug,
                    letters.c.kind == CONFIRMATION,
                    letters.c.state != outbox.QUEUED,
                )
            ).scalars()
        )


def _reminded(store: Store | None, slug: str, kind: str, start: datetime) -> int:
    if store is None:
        return 0
    with store.read() as connection:
        return int(
            connection.execute(
                select(func.count())
                .select_from(letters)
                .where(
                    letters.c.focus_group == slug,
                    letters.c.kind == kind,
                    letters.c.occasion == outbox.occasion_of(start),
                    letters.c.state != outbox.QUEUED,
                )
            ).scalar_one()
        )


def sentences(found: dict[str, Any]) -> Iterator[str]:
    """The plan for a person, a few lines a group."""
    for group in found["focus_groups"]:
        number = f" (meeting {group['zoom_meeting_id']})" if group["zoom_meeting_id"] else ""
        when = f"{group['start'][:10]} {group['start'][11:16]} UTC"
        yield f"{group['slug']}, {when}: {_VERBS[group['action']]}{number}"
        if group["problem"]:
            yield f"  !! {group['problem']}"
        for difference in group["differences"]:
            yield (
                f"  {difference['action']:6} {difference['field']}:"
                f" Zoom holds {_short(difference['held'])},"
                f" the file wants {_short(difference['wanted'])}"
                + (" (edited by hand on Zoom)" if difference["cause"] == "by_hand" else "")
                + (" (Zoom did not apply it)" if difference["cause"] == "refused" else "")
            )
        if group["told"]:
            who = "1 person" if group["told"] == 1 else f"{group['told']} people"
            yield (
                f"  !! {who} will be told, ten minutes after the edit;"
                " until then it can be taken back"
            )
        for letter in group["letters"]:
            due = f"{letter['due_at'][:10]} {letter['due_at'][11:16]} UTC"
            minutes = letter.get("takes_minutes")
            takes = f", takes {minutes} minutes" if minutes else ""
            yield f"  {letter['kind']:13} to {letter['people']} people, due {due}{takes}"
    yield "Nothing was changed. Do it with: resonance-zoom run"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…'"
