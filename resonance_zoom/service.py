"""The parts of the service, made in one place and handed on."""

import gc
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from resonance_zoom.campaign import Campaign
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.clock_guard import ClockGuard
from resonance_zoom.correspondence import Composer
from resonance_zoom.delivery import Delivery
from resonance_zoom.errors import CampaignFileError, ResonanceError
from resonance_zoom.links import Links
from resonance_zoom.mail.letters import LetterRoom
from resonance_zoom.mail.mailbox import Mailbox
from resonance_zoom.mail.postman import Postman, make_postmen
from resonance_zoom.settings import Settings
from resonance_zoom.store import journal
from resonance_zoom.store.engine import Store
from resonance_zoom.store.opening import open_store
from resonance_zoom.zoom.client import Call, ZoomClient

SHIPPED_LETTERS = (
    Path("config/letters"),
    Path(__file__).parent.parent / "config" / "letters",  # a checkout
    Path(__file__).parent / "config" / "letters",  # an installed wheel
)


def utc_now() -> datetime:
    """The wall clock: the one door through which real time comes in."""
    return datetime.now(UTC)


@dataclass(slots=True, kw_only=True)
class Service:
    """All parts of a running campaign. `wake(job)` asks the clock to run a job now."""

    settings: Settings
    campaign: Campaign
    store: Store
    zoom: ZoomClient
    composer: Composer
    postmen: list[Postman]
    delivery: Delivery
    guard: ClockGuard
    links: Links
    now: Callable[[], datetime]
    mailbox: Mailbox | None = None  # of letters that came back
    wake: Callable[[str], None] = lambda _job: None
    stopping: Callable[[], bool] = lambda: False
    clock_elsewhere: bool = False  # this process only answers requests
    banner: str = ""  # above every page: that this is a demonstration

    def take(self, campaign: Campaign) -> None:
        """Go on with an edited campaign file."""
        self.campaign = self.composer.campaign = self.delivery.campaign = campaign

    def close_connections(self) -> None:
        """Hang up on the relay; the next letter connects anew."""
        for postman in self.postmen:
            postman.close()

    def close(self) -> None:
        """Hang up on Zoom and the relay, give the database back."""
        self.close_connections()
        self.zoom.close()
        self.store.close()


def letter_room(settings: Settings) -> LetterRoom:
    """The letters' templates: beside the campaign file first, then the shipped ones."""
    return LetterRoom([settings.campaign_file.parent / "letters", *SHIPPED_LETTERS])


def open_service(
    settings: Settings,
    *,
    now: Callable[[], datetime] = utc_now,
    monotonic: Callable[[], float] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Service:
    """Make every part. Opens the database, speaks to nobody.

    Raises CampaignFileError, also for letter templates that cannot be used, and DatabaseUnusable.
    """
    # Pages of lists and letters are thousands of objects that are gone a moment later, without a
    # cycle among them: to search them all for cycles again and again took a quarter of a sweep.
    gc.set_threshold(20_000, 10, 10)
    campaign = load_campaign(settings.campaign_file)
    room = letter_room(settings)
    if problems := room.check(campaign.letter_kinds):
        raise CampaignFileError(problems)
    store = open_store(settings.database_url)
    links = Links(settings.secret_key, settings.public_url, campaign.slug)
    composer = Composer(campaign=campaign, letters=room, sender=settings.mail_from, links=links)
    postmen = make_postmen(
        settings.smtp_url, settings.data_dir / "mail", connections=settings.smtp_connections
    )
    return Service(
        settings=settings,
        campaign=campaign,
        store=store,
        zoom=open_zoom(settings, now=now, sleep=sleep, on_calls=_journaled(store, now)),
        composer=composer,
        postmen=postmen,
        delivery=Delivery(
            store=store, campaign=campaign, composer=composer, postmen=postmen, now=now
        ),
        guard=ClockGuard(store=store, now=now, monotonic=monotonic),
        links=links,
        now=now,
        mailbox=Mailbox(settings.bounces_url) if settings.bounces_url else None,
        wake=store.wake,
    )


def open_zoom(
    settings: Settings,
    *,
    now: Callable[[], datetime] = utc_now,
    sleep: Callable[[float], None] = time.sleep,
    on_calls: Callable[[Sequence[Call]], None] | None = None,
) -> ZoomClient:
    """A Zoom client with the credentials of the environment."""
    return ZoomClient(
        api_url=settings.zoom_api_url,
        oauth_url=settings.zoom_oauth_url,
        account_id=settings.zoom_account_id,
        client_id=settings.zoom_client_id,
        client_secret=settings.zoom_client_secret,
        now=now,
        sleep=sleep,
        on_calls=on_calls,
    )


def _journaled(store: Store, now: Callable[[], datetime]) -> Callable[[Sequence[Call]], None]:
    """Every call leaves a line in the journal; a reading that went well only a technical one."""

    def on_calls(calls: Sequence[Call]) -> None:
        # A busy database must not hide what Zoom answered.
        with suppress(ResonanceError), store.write() as connection:
            journal.note_all(connection, [_line_of(call, now()) for call in calls])

    return on_calls


def _line_of(call: Call, now: datetime) -> dict[str, Any]:
    writes = call.operation in {
        "meetingCreate",
        "meetingUpdate",
        "meetingDelete",
        "meetingregistrantdelete",
        "meetingRegistrantCreate",
    }
    return journal.line(
        now,
        "zoom.call",
        f"{call.operation}: {call.error or 'done'}",
        level=journal.WARNING if call.error else journal.INFO if writes else journal.DEBUG,
        operation=call.operation,
        zoom_meeting_id=call.meeting_id,
        status=call.status,
        seconds=round(call.duration, 3),
        attempt=call.attempt,
        error=str(call.error) if call.error else None,
    )
