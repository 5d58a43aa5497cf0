"""Every focus group has its meeting on Zoom, as the campaign file says."""

from collections import Counter

from resonance_zoom import meetings
from resonance_zoom.errors import ZoomError
from resonance_zoom.service import Service
from resonance_zoom.store import journal


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
    for group in wanted:
        if service.stopping():
            break
        try:
            step = meetings.ensure(
                service.store, service.zoom, service.campaign, group, service.now()
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
