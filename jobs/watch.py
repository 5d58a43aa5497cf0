"""The service is alive, its clock can be trusted, and old rows of runs are cleared away."""

from datetime import timedelta

from resonance_zoom.service import Service
from resonance_zoom.store import journal

KEEP_RUNS = timedelta(days=30)


def run(service: Service) -> str:
    """Look at the clock, note that we are alive, forget runs older than a month."""
    doubt = service.guard.check(service.zoom.clock_skew)
    with service.store.write() as connection:
        forgotten = journal.forget_runs(connection, service.now() - KEEP_RUNS)
    if doubt:
        return f"letters are held: {doubt}"
    return f"alive; {forgotten} old runs cleared" if forgotten else "alive"
