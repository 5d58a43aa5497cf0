"""Who is owed a reminder now gets it written down, after a last look at Zoom's lists."""

from collections import Counter
from contextlib import suppress

from jobs import sync_registrants
from resonance_zoom import meetings, reminders
from resonance_zoom.errors import ZoomError
from resonance_zoom.service import Service


def run(service: Service) -> str:
    """Owe every reminder that has fallen due. Before a wave begins, its meeting is swept.

    When Zoom cannot be asked the wave goes by what is known: a late reminder is worse than one to
    somebody whose cancellation has not reached us.
    """
    if doubt := service.guard.check(service.zoom):
        # By a clock that runs ahead, reminders would be written off as too late.
        return f"held: {doubt}"
    owed: Counter[str] = Counter()
    with service.store.read() as connection:
        rows = meetings.open_rows(connection)
        waves = {
            row.focus_group: reminders.open_waves(connection, service.campaign, row, service.now())
            for row in rows
        }
    for row in rows:
        if waves[row.focus_group]:
            with suppress(ZoomError):  # it is in the journal; the wave goes all the same, see above
                sync_registrants.sweep(service, row)
            if service.guard.jumped():  # Zoom may have been waited for
                return "the clock has jumped"
        with service.store.write() as connection:
            reminders.looked(connection, row, waves[row.focus_group])
            owed.update(reminders.owe_due(connection, service.campaign, row, service.now()))
    if owed:
        service.wake("deliver_letters")
    return ", ".join(f"{count} {kind}" for kind, count in owed.items()) or "nothing due"
