"""The service is alive, its clock can be trusted, the campaign file is as it was when last read."""

import shutil
from datetime import timedelta
from pathlib import Path

from resonance_zoom import meetings
from resonance_zoom.campaign import Campaign
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.errors import CampaignFileError
from resonance_zoom.service import Service
from resonance_zoom.store import journal

KEEP_RUNS = timedelta(days=30)
KEEP_TECHNICAL = timedelta(days=14)
ASK_OFTEN = timedelta(minutes=10)
MB = 1024**2
DISK_FREE = 500 * MB  # as /readyz and `check` want it
DISK_LOW = "disk_low"  # kept while staff know


def run(service: Service) -> str:
    """Look at the clock and the campaign file, note that we are alive, forget runs over a month."""
    doubt = service.guard.check(service.zoom)
    news = _read_again(service)
    _look_at_disk(service)
    with service.store.write() as connection:
        forgotten = journal.forget_runs(connection, service.now() - KEEP_RUNS)
        journal.forget_technical(connection, service.now() - KEEP_TECHNICAL)
        settles_at = meetings.settles_at(connection)
    service.store.note_how_far()
    if settles_at is not None and settles_at <= service.now():
        service.wake("create_meetings")
    if doubt:
        # Zoom's answer says whether our clock is right. One that stays wrong would use up a day's
        # calls: after a while the regular sweeps are enough.
        if service.guard.doubted_for() < ASK_OFTEN:
            service.wake("sync_registrants")
        return f"letters are held: {doubt}"
    did = [news, f"{forgotten} old runs cleared" if forgotten else ""]
    return "; ".join(["alive", *filter(None, did)])


def free_bytes(folder: Path) -> int:
    """What is free on the disk of the database."""
    return shutil.disk_usage(folder).free


def _look_at_disk(service: Service) -> None:
    """A disk that fills up is told once, while the journal still has room for it."""
    free = free_bytes(service.store.folder)
    with service.store.read() as connection:
        told = journal.recall(connection, DISK_LOW)
    if bool(told) == (free < DISK_FREE):
        return
    with service.store.write() as connection:
        if told:
            journal.forget(connection, DISK_LOW)
            words = f"there is room again on the disk: {free // MB} MB"
            journal.note(connection, service.now(), "disk.enough", words)
        else:
            journal.remember(connection, DISK_LOW, service.now())
            words = (
                f"the disk fills up: {free // MB} MB are left; when it is full, nothing is stored"
            )
            journal.note(connection, service.now(), "disk.low", words, level=journal.ERROR)


def _read_again(service: Service) -> str:
    """Take an edited campaign file over; one with mistakes is told, and the old one goes on."""
    try:
        campaign = load_campaign(service.settings.campaign_file)
        problems = _unchangeable(service.campaign, campaign)
        if campaign.letter_kinds != service.campaign.letter_kinds:
            problems += service.composer.letters.check(campaign.letter_kinds)
    except CampaignFileError as error:
        campaign, problems = service.campaign, list(error.problems)
    with service.store.read() as connection:
        told = (journal.recall(connection, journal.CAMPAIGN_FILE) or {}).get("problems", [])
    if problems == told and campaign == service.campaign:
        return ""
    with service.store.write() as connection:
        if problems:
            journal.remember(connection, journal.CAMPAIGN_FILE, {"problems": problems})
            words = f"the edited campaign file is not used: {'; '.join(problems)}"
            journal.note(
                connection,
                service.now(),
                "campaign.refused",
                words,
                level=journal.ERROR,
                problems=problems,
            )
            return words
        journal.forget(connection, journal.CAMPAIGN_FILE)
        journal.note(
            connection, service.now(), "campaign.reloaded", "the edited campaign file was read"
        )
    service.take(campaign)
    service.wake("create_meetings")
    return "the campaign file was read again"


def _unchangeable(was: Campaign, now: Campaign) -> list[str]:
    """What a running campaign cannot change, because Zoom's meetings are found by it."""
    return [
        f"campaign.{name}: is {new!r} now and was {old!r}; a running campaign keeps it"
        for name in ("slug", "zoom_host")
        if (old := getattr(was, name)) != (new := getattr(now, name))
    ]
