"""Every focus group has its meeting on Zoom, as the campaign file says."""

from collections import Counter
from contextlib import suppress

from resonance_zoom import meetings
from resonance_zoom.errors import ZoomError
from resonance_zoom.service import Service
from resonance_zoom.store import journal
from resonance_zoom.zoom.payloads import MeetingSummary


def run(service: Service) -> str:
    """Compare each group with Zoom and act on the difference; one trouble stops no other.

    Raises the last ZoomError after all groups were tried.
    """
    done: Counter[str] = Counter()
    trouble: ZoomError | None = None
    with service.store.read() as connection:
        known = meetings.rows(connection)
    wanted = [group for group in service.campaign.focus_groups if not group.cancelled]
    for row in known:
        if row.focus_group not in {group.slug for group in wanted} and meetings.call_off(
            service.store, row, service.now()
        ):
            done["called off"] += 1
            service.wake("deliver_letters")
    made = any(row.zoom_meeting_id for row in known)
    listing = _listing(service) if made and not service.stopping() else None
    for group in wanted:
        if service.stopping():
            break
        try:
            step = meetings.ensure(
                service.store,
                service.zoom,
                service.campaign,
                group,
                service.now(),
                listing=listing,
            )
        except ZoomError as error:
            trouble = error
            done["failed"] += 1
            with service.store.write() as connection:
                journal.note(
                    connection,
                    service.now(),
                    "meeting.failed",
                    f"{error.message} {error.remedy}".strip(),
                    level=journal.ERROR,
                    focus_group=group.slug,
                    status=error.status,
                    code=error.code,
                )
        else:
            done[step.action] += 1
    if trouble is not None:
        raise trouble
    return ", ".join(f"{count} {action}" for action, count in sorted(done.items()))


def _listing(service: Service) -> list[MeetingSummary] | None:
    """The host's meetings; None when they cannot be had: nothing else waits for them."""
    with suppress(ZoomError):
        return service.zoom.list_meetings(service.campaign.zoom_host)
    return None
