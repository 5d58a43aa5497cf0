"""When the campaign's time to keep personal data is over, they are erased; counts stay."""

from resonance_zoom import backups, privacy
from resonance_zoom.acts import Desk
from resonance_zoom.clock_guard import TOLERANCE
from resonance_zoom.service import Service


def run(service: Service) -> str:
    """Erase everybody when the day has come, and what earlier erasures left of bytes."""
    if doubt := service.guard.check(service.zoom) or _zoom_says_otherwise(service):
        return f"nothing is erased by this clock: {doubt}"
    desk = Desk(service.store, service.campaign, service.now(), "resonance-zoom")
    with service.store.read() as connection:
        is_due = privacy.is_due(connection, service.store, service.campaign, service.now())
    if is_due:
        erased = privacy.purge(desk)
    else:
        privacy.clear_leftovers(service.store)
    with service.store.read() as connection:
        backup_is_due = backups.is_due(connection, service.now())
    if backup_is_due:
        # It failed, or somebody was erased by a command: the newest backup shall know of it.
        service.wake("back_up_database")
    return f"{erased['registrants']} registrants erased" if is_due else "nothing to erase now"


def _zoom_says_otherwise(service: Service) -> str | None:
    """A clock that was wrong at the start shows nowhere else; what it erases does not return."""
    skew = service.zoom.clock_skew
    if skew is None or abs(skew) <= TOLERANCE:
        return None
    return f"Zoom's differs by {skew.total_seconds():.0f} seconds"
