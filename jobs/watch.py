"""The service is alive, its clock can be trusted, the campaign file is as it was when last read."""

from datetime import timedelta

from resonance_zoom import meetings
from resonance_zoom.campaign import Campaign
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.errors import CampaignFileError
from resonance_zoom.service import Service
from resonance_zoom.store import journal

KEEP_RUNS = timedelta(days=30)
KEEP_TECHNICAL = timedelta(days=14)


def run(service: Service) -> str:
    """Look at the clock and the campaign file, note that we are alive, forget runs over a month."""
    doubt = service.guard.check(service.zoom)
    news = _read_again(service)
    with service.store.write() as connection:
        forgotten = journal.forget_runs(connection, service.now() - KEEP_RUNS)
        journal.forget_technical(connection, service.now() - KEEP_TECHNICAL)
        settles_at = meetings.settles_at(connection)
    if settles_at is not None and settles_at <= service.now():
        service.wake("create_meetings")
    if doubt:
        service.wake("sync_registrants")  # Zoom's answer says whether our clock is right
        return f"letters are held: {doubt}"
    did = [news, f"{forgotten} old runs cleared" if forgotten else ""]
    return "; ".join(["alive", *filter(None, did)])


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
