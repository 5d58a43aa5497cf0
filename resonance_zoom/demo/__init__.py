"""A demonstration to click through: the real daemon, a simulated Zoom, a mailbox that is a page.

Everything listens on this machine only, in one process, on a campaign whose dates lie in the coming
weeks; nothing of it is left behind.
"""

import secrets
import socket
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

from rich.console import Console

from resonance_zoom import daemon, meetings
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.demo import mailbox_pages, people, zoom_pages
from resonance_zoom.demo.campaign import moved_to_the_coming_weeks
from resonance_zoom.demo.frame import Places
from resonance_zoom.demo.mailbox import MailBox
from resonance_zoom.errors import ResonanceError, SettingsError
from resonance_zoom.links import ADMIN
from resonance_zoom.printing import say
from resonance_zoom.service import Service, open_service, utc_now
from resonance_zoom.settings import RUN_NEEDS, Settings, is_loopback, load_settings
from resonance_zoom.web.server import WebServer
from resonance_zoom.zoom.simulator import SimMeeting, SimulatedZoom, SimulatorServer

__all__ = ["Places", "greet", "run"]

LOOPBACK = "127.0.0.1"
BANNER = "DÉMONSTRATION : Zoom et le courrier sont simulés, rien ne quitte cet ordinateur."
STAFF = "Démonstration"
STAFF_LINK_LIVES = timedelta(days=1)
MEETINGS_WITHIN = timedelta(seconds=20)  # then the doors open without people: better than never


def greet(places: Places) -> None:
    """The three links, on stdout."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"Page de la campagne   {places.campaign}", markup=False)
    console.print(f"Boîte aux lettres     {places.mailbox}", markup=False)
    console.print(f"Pages de l’équipe     {places.staff}", markup=False)
    console.print("Arrêter : Ctrl-C")


def run(
    campaign_file: Path,
    *,
    port: int,
    folder: Path | None = None,
    host: str = LOOPBACK,
    ready: Callable[[Places], None] = greet,
) -> None:
    """Run the demonstration until SIGTERM or SIGINT; `ready` is told where to look.

    `folder` (new or empty) keeps the database and the moved campaign file; None: a temporary one,
    removed at the end. `port` is the daemon's, 0 or a busy one means a free one. Raises
    SettingsError for a `host` that others could reach, CampaignFileError, ResonanceError.
    """
    if not is_loopback(host):
        raise SettingsError([f"HOST: {host!r} must be 127.0.0.1: a demonstration is for this"
                             " machine alone"])  # fmt: skip
    with ExitStack() as at_the_end:
        home = _home(folder, at_the_end)
        moved = moved_to_the_coming_weeks(campaign_file, home, now=utc_now())
        _play(moved, _free(port), at_the_end, ready)


def _play(
    campaign_file: Path, port: int, at_the_end: ExitStack, ready: Callable[[Places], None]
) -> None:
    campaign = load_campaign(campaign_file)
    world = SimulatedZoom(
        now=utc_now,
        host_email=campaign.zoom_host,
        webhook_secret=secrets.token_hex(16),
        timezone=campaign.timezone.key,
    )
    mailbox = MailBox(utc_now)
    pages_of_zoom = zoom_pages.make_app(world, campaign)
    pages_of_mail = mailbox_pages.make_app(mailbox, campaign)
    zoom = SimulatorServer(world, pages=pages_of_zoom, deliver=True)
    web = WebServer(pages_of_mail, host=LOOPBACK, port=0)
    world.web = zoom.origin

    settings = _settings(campaign_file, port, world, zoom, mailbox)
    service = open_service(settings)
    at_the_end.callback(service.close)
    service.banner = BANNER
    places = Places(
        campaign=f"{settings.public_url}/",
        mailbox=f"http://{LOOPBACK}:{web.port}/",
        staff=service.links.invitation(
            STAFF, ADMIN, now=utc_now(), ends_at=utc_now() + STAFF_LINK_LIVES
        ),
    )
    pages_of_zoom.state.places = pages_of_mail.state.places = places
    world.subscribe(f"{settings.public_url}/webhooks/zoom")

    for part in (mailbox, zoom, web):
        part.start()
        at_the_end.callback(part.stop)
    opening = threading.Thread(target=_open, args=(service, world, places, ready), name="opening")

    def answers(_server: WebServer) -> None:
        opening.start()
        at_the_end.callback(opening.join)  # the first thing at the end: it uses all the others

    daemon.run(service, ready=answers)


def _open(
    service: Service, world: SimulatedZoom, places: Places, ready: Callable[[Places], None]
) -> None:
    """Once the meetings exist, people register; then the newcomer is let in."""
    found = _meetings(service, world)
    if not service.stopping():
        people.register_all(world, found)
        ready(places)


def _meetings(service: Service, world: SimulatedZoom) -> dict[int, SimMeeting]:
    """The campaign's meetings by date, from 0, as soon as the daemon knows all of them."""
    wanted = [group for group in service.campaign.focus_groups if not group.cancelled]
    pause = threading.Event()  # nobody sets it: the daemon has no event for "created"
    until = service.now() + MEETINGS_WITHIN
    while not service.stopping():
        with service.store.read() as connection:
            rows = [row for row in meetings.open_rows(connection) if row.registration_url]
        if len(rows) == len(wanted) or service.now() > until:
            return {n: world.meetings[row.zoom_meeting_id] for n, row in enumerate(rows)}
        pause.wait(0.05)
    return {}


def _settings(
    campaign_file: Path, port: int, world: SimulatedZoom, zoom: SimulatorServer, mailbox: MailBox
) -> Settings:
    """What the environment of a real service would say; the real environment is not asked."""
    return load_settings(
        needs=RUN_NEEDS,
        environ={
            "CAMPAIGN_FILE": str(campaign_file),
            "DATABASE_URL": f"sqlite:///{campaign_file.parent / 'demonstration.db'}",
            "SMTP_URL": mailbox.url,
            "ZOOM_ACCOUNT_ID": world.account_id,
            "ZOOM_CLIENT_ID": world.client_id,
            "ZOOM_CLIENT_SECRET": world.client_secret,
            "ZOOM_WEBHOOK_SECRET_TOKEN": world.webhook_secret,
            "ZOOM_API_URL": zoom.api_url,
            "ZOOM_OAUTH_URL": zoom.oauth_url,
            "SECRET_KEY": secrets.token_hex(32),
            "PUBLIC_URL": f"http://{LOOPBACK}:{port}",
            "HOST": LOOPBACK,
            "PORT": str(port),
        },
        dotenv=campaign_file.parent / "no.env",
    )


def _home(folder: Path | None, at_the_end: ExitStack) -> Path:
    if folder is None:
        made = tempfile.TemporaryDirectory(prefix="resonance-demo-")
        return Path(at_the_end.enter_context(made))
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ResonanceError(f"{folder}: is not empty", remedy="Name a new or an empty folder.")
    return folder.resolve()


def _free(port: int) -> int:
    """The port itself, or a free one where another program has it: links need it beforehand."""
    for wanted in (port, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, wanted))
            except OSError as error:
                say(f"Port {wanted} cannot be used ({error.strerror}): another one is taken.")
                continue
            return int(probe.getsockname()[1])
    raise ResonanceError("no port is free", remedy="Stop some programs and try again.")
