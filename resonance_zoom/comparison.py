"""What a focus group's meeting needs: the file, what we last wrote, and what Zoom holds, compared.

Wanted ≠ applied: the file changed, Zoom is to be patched. Applied ≠ held: somebody edited the
meeting by hand on Zoom; it is told and left, and letters follow what Zoom holds. Changes nothing.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from resonance_zoom.campaign import Campaign, FocusGroup
from resonance_zoom.errors import ZoomNotFound
from resonance_zoom.zoom.payloads import (
    AUTOMATIC_APPROVAL,
    MANUAL_APPROVAL,
    Meeting,
    MeetingRequest,
    MeetingSettings,
    MeetingSummary,
)

SECOND_THOUGHTS = timedelta(minutes=10)
MOVES = ("start_time", "duration")
ASK_AGAIN = timedelta(hours=6)  # 100 creates and updates per host and day are all that Zoom grants
COMPARED_SETTINGS = (
    "approval_type",
    "registrants_confirmation_email",
    "registrants_email_notification",
    "use_pmi",
)


class MeetingDesk(Protocol):
    """The part of the Zoom client that this promise needs."""

    def create_meeting(self, host: str, request: MeetingRequest) -> Meeting: ...
    def get_meeting(self, meeting_id: int) -> Meeting: ...
    def update_meeting(self, meeting_id: int, changes: Mapping[str, object]) -> None: ...
    def list_meetings(self, host: str) -> list[MeetingSummary]: ...


def wanted(campaign: Campaign, group: FocusGroup) -> MeetingRequest:
    """The meeting as the file wants it: registration on, Zoom silent unless the file says not."""
    zoom_writes = campaign.confirmation in {"zoom", "both"}
    return MeetingRequest(
        topic=group.title,
        agenda=campaign.zoom_agenda(group),
        start_time=group.start,
        duration=int((group.end - group.start) / timedelta(minutes=1)),
        timezone=group.timezone.key,
        settings=MeetingSettings(
            approval_type=AUTOMATIC_APPROVAL
            if campaign.approval == "automatic"
            else MANUAL_APPROVAL,
            # Both flags: Zoom writes to registrants if either is on.
            registrants_confirmation_email=zoom_writes,
            registrants_email_notification=zoom_writes,
            use_pmi=False,  # a personal meeting id cannot have registration
        ),
    )


def fields_of(meeting: Meeting | MeetingRequest) -> dict[str, Any]:
    """What we compare, by the names that a PATCH uses; JSON values, the start as ISO text."""
    return {
        "topic": meeting.topic,
        "agenda": "\n".join(meeting.agenda.split("\r\n")).strip(),
        "start_time": meeting.start_time.isoformat() if meeting.start_time else None,
        "duration": meeting.duration,
        "timezone": meeting.timezone,
        **{f"settings.{name}": getattr(meeting.settings, name) for name in COMPARED_SETTINGS},
    }


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that is not as the file wants it, and whose doing that is.

    `cause`: `file` (the file says so since we last wrote), `by_hand` (edited on Zoom since we last
    wrote) or `refused` (Zoom accepted it and did not apply it).
    """

    field: str
    wanted: Any
    held: Any
    cause: str


def differences(
    want: Mapping[str, Any],
    applied: Mapping[str, Any] | None,
    held: Mapping[str, Any],
    refused: Collection[str] = (),
) -> tuple[Difference, ...]:
    """Every field where Zoom differs from the file."""

    def cause(name: str) -> str:
        if applied is None or applied[name] != want[name]:
            return "file"
        return "refused" if name in refused else "by_hand"

    return tuple(
        Difference(name, value, held.get(name), cause(name))
        for name, value in want.items()
        if held.get(name) != value
    )


@dataclass(frozen=True, slots=True)
class Step:
    """What would be done for one group, or was.

    `action`: create, wait (for a list that may lag), adopt, change, keep, past, missing, duplicate.
    `asks_again`: what Zoom refused is due to be asked for once more. `waits`: fields that the file
    has changed too lately. `copies`: other meetings that carry our reference, None: not looked for.
    """

    focus_group: str
    action: str
    zoom_meeting_id: int | None = None
    differences: tuple[Difference, ...] = ()
    problem: str | None = None
    asks_again: bool = False
    waits: Mapping[str, Any] = field(default_factory=dict)
    copies: tuple[int, ...] | None = None

    @property
    def changes(self) -> dict[str, Any]:
        """The fields to patch: what the file wants anew, never what was edited by hand."""
        causes = {"file", "refused"} if self.asks_again else {"file"}
        return {
            d.field: d.wanted
            for d in self.differences
            if d.cause in causes and d.field not in self.waits
        }


def step_for(
    zoom: MeetingDesk,
    campaign: Campaign,
    group: FocusGroup,
    row: Any | None,
    now: datetime,
    *,
    listing: list[MeetingSummary] | None = None,
) -> tuple[Step, Meeting | None]:
    """Look at Zoom and say what one group needs; changes nothing. `plan` and `run` ask here."""
    known: Any = row if row is not None and row.zoom_meeting_id is not None else None
    if known is not None:
        meeting_id = known.zoom_meeting_id
    else:
        if group.start <= now:
            return Step(group.slug, "past"), None
        found = with_reference(
            zoom.list_meetings(campaign.zoom_host) if listing is None else listing,
            campaign.reference(group),
        )
        if len(found) > 1:
            ids = ", ".join(str(summary.id) for summary in found)
            return Step(
                group.slug,
                "duplicate",
                problem=f"{len(found)} meetings on Zoom carry {campaign.reference(group)!r}:"
                f" {ids}. Delete all but one on zoom.us; nothing is done for this group until then",
            ), None
        if not found:
            return Step(group.slug, "create"), None
        meeting_id = found[0].id
    try:
        held = zoom.get_meeting(meeting_id)
    except ZoomNotFound:
        if group.end <= now:
            return Step(group.slug, "past", meeting_id), None
        return Step(
            group.slug,
            "missing",
            meeting_id,
            problem=f"meeting {meeting_id} is no longer on Zoom. Restore it on zoom.us under"
            " Meetings › Recently Deleted; letters of this group wait until then",
        ), None
    step = Step(
        group.slug,
        "keep" if known else "adopt",
        meeting_id,
        differences(
            fields_of(wanted(campaign, group)),
            known.applied if known else None,
            fields_of(held),
            (known.refused or ()) if known else (),
        ),
        asks_again=bool(known) and (known.patched_at or known.intended_at) <= now - ASK_AGAIN,
        copies=None
        if known is None or listing is None
        else _copies(listing, campaign, group, held),
    )
    if group.start <= now:
        return replace(step, action="past"), held
    if step.action == "keep":
        step = replace(step, waits=_unsettled(step, known, now))
    if step.action == "keep" and step.changes:
        return replace(step, action="change"), held
    return step, held


def _unsettled(step: Step, row: Any, now: datetime) -> dict[str, Any]:
    """The new date and length that we have seen in the file for less than ten minutes."""
    edit = {name: value for name, value in step.changes.items() if name in MOVES}
    settled = row.edit == edit and row.edited_at <= now - SECOND_THOUGHTS
    return {} if settled else edit


def _copies(
    listing: list[MeetingSummary], campaign: Campaign, group: FocusGroup, held: Meeting
) -> tuple[int, ...]:
    """Zoom's page offers to duplicate a meeting, and our reference goes along."""
    found = with_reference(listing, campaign.reference(group))
    return tuple(summary.id for summary in found if summary.id != held.id)


def with_reference(listing: list[MeetingSummary], reference: str) -> list[MeetingSummary]:
    """The meetings that carry our reference as a whole word, not as part of a longer one."""
    pattern = re.compile(rf"(?<![\w/-]){re.escape(reference)}(?![\w/-])")
    return [summary for summary in listing if pattern.search(summary.agenda)]
