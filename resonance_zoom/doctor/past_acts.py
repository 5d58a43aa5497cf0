"""`check`, what was done: whether the journal's acts are all there, as they were written."""

from resonance_zoom.doctor.points import NotChecked, Patient, Verdict, count, green, red
from resonance_zoom.errors import DatabaseUnusable
from resonance_zoom.store import chain
from resonance_zoom.store.engine import HEAD
from resonance_zoom.store.opening import open_store

SHOWN = 5  # problems; whoever changed more has made the point


def staff_acts(patient: Patient) -> Verdict:
    """No act was changed, removed or inserted past the service, and a kept head still holds."""
    store = open_store(patient.settings.database_url)
    if not store.exists():
        return green("none yet")
    try:
        with store.read() as connection:
            if (store.revision() or "") < HEAD:
                return green("looked at once `run` has migrated the database")
            found = chain.examine(connection)
            kept = patient.kept_head
            goes_on = kept is None or chain.continues(connection, kept)
    except DatabaseUnusable:
        raise NotChecked("database") from None
    finally:
        store.close()
    problems = list(found.problems)
    if not goes_on:
        problems.append("the chain does not go on from the head that was kept")
    says = count(found.acts, "act")
    if not problems:
        return green(f"{says}, chain intact; head {found.head}")
    more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    return red(
        f"{says}; {'; '.join(problems[:SHOWN])}{more}",
        "Somebody wrote to the database past the service. Keep a copy of it, compare these lines"
        " with the newest backup that is sound (its own `check`), and ask who could reach the file."
        " After a restore, a head that was kept since the backup no longer fits: the line of the"
        " restore names the head of then.",
    )
