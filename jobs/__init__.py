"""What happens because of the clock: the whole timetable on one screen.

A job is `run(service) -> str`: it does all there is to do now and says what it did. Running one
twice, late or never is harmless: what is due is a row with a time, not a tick.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from jobs import (
    back_up_database,
    create_meetings,
    deliver_letters,
    purge_personal_data,
    read_bounces,
    send_reminders,
    sync_registrants,
    watch,
)
from resonance_zoom.service import Service
from resonance_zoom.settings import Settings


@dataclass(frozen=True, slots=True)
class Job:
    """A line of the timetable. `says` is the line that staff read; `every` is a period.

    Firings stand on the clock's own marks (every 10 minutes: :00, :10, …) and once at start.
    `without_webhooks` replaces `every` when WEBHOOKS=off makes the sweep the only source.
    `setting`: without it there is nothing to do but at start.
    """

    name: str
    run: Callable[[Service], str]
    every: timedelta
    says: str
    without_webhooks: timedelta | None = None
    setting: str = ""

    def period(self, *, webhooks: bool) -> timedelta:
        """How often it runs under these settings."""
        return self.every if webhooks else self.without_webhooks or self.every


SCHEDULE = (
    Job(
        "create_meetings",
        create_meetings.run,
        timedelta(hours=1),
        "compares the campaign file with Zoom and makes Zoom's meetings as the file says",
    ),
    Job(
        "sync_registrants",
        sync_registrants.run,
        timedelta(minutes=10),
        "lists the registrants at Zoom and repairs what a lost webhook left out",
        without_webhooks=timedelta(minutes=2),
    ),
    Job(
        "send_reminders",
        send_reminders.run,
        timedelta(minutes=1),
        "writes down which reminders are owed now, after a last look at Zoom's lists",
    ),
    Job(
        "deliver_letters",
        deliver_letters.run,
        timedelta(seconds=15),
        "sends every letter that is ready",
    ),
    Job(
        "read_bounces",
        read_bounces.run,
        timedelta(minutes=5),
        "reads which letters came back, in the mailbox of BOUNCES_URL",
        setting="bounces_url",
    ),
    Job(
        "watch",
        watch.run,
        timedelta(minutes=1),
        "notes that the service is alive and looks at the clock",
    ),
    Job(
        "purge_personal_data",
        purge_personal_data.run,
        timedelta(hours=1),
        "erases all personal data when the day that people were told has come",
    ),
    Job(
        "back_up_database",
        back_up_database.run,
        timedelta(days=1),
        "copies the database and keeps the copies of fourteen days",
    ),
)


def timetable(settings: Settings) -> tuple[Job, ...]:
    """The SCHEDULE without the jobs that these settings leave nothing to do."""
    return tuple(job for job in SCHEDULE if not job.setting or getattr(settings, job.setting))


def job(name: str) -> Job:
    """The line of that name; KeyError when the timetable has none."""
    return next(line for line in SCHEDULE if line.name == name)
