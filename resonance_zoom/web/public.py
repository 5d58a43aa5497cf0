"""What anybody may see: the campaign page, the stylesheet, the pages for what is not there."""

import secrets
import traceback
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from resonance_zoom import meetings, privacy
from resonance_zoom.campaign import Campaign, FocusGroup
from resonance_zoom.mail import french
from resonance_zoom.mail.letters import is_join_url
from resonance_zoom.registrations import ACTIVE
from resonance_zoom.store import tallies
from resonance_zoom.store.engine import Store
from resonance_zoom.web import pages
from resonance_zoom.web.security import headers_of

log = structlog.get_logger("web")


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One group on the campaign page. `state`: open, soon, full, past or cancelled."""

    slug: str
    title: str
    start: datetime
    end: datetime
    question: tuple[str, ...]
    state: str
    places: int | None
    register: str | None


def campaign_page(request: Request) -> Response:
    """GET /: the groups, who is invited, personal data, legal notices."""
    service = pages.service_of(request)
    return pages.page(
        request,
        "campaign.html",
        headers={"Cache-Control": "public, max-age=60"},
        cards=cards(service.campaign, service.store, service.now()),
        keep_until=keep_until(service.campaign, service.store),
    )


def keep_until(campaign: Campaign, store: Store | None) -> str:
    """The day on which personal data are erased; without a database as the file has it."""
    if store is None:
        return french.calendar_day(campaign.keep_until)
    with store.read() as connection:
        return french.calendar_day(privacy.kept_until(connection, campaign))


def cards(campaign: Campaign, store: Store | None, now: datetime) -> list[Card]:
    """The groups by date; without a database none is open for registration yet."""
    held: dict[str, Any] = {}
    taken: dict[str, int] = {}
    if store is not None:
        with store.read() as connection:
            held = {row.focus_group: row for row in meetings.rows(connection)}
            counts = tallies.registrations(connection)
            taken = {slug: sum(of.get(one, 0) for one in ACTIVE) for slug, of in counts.items()}
    found = [
        _card(group, held.get(group.slug), taken.get(group.slug, 0), now)
        for group in campaign.focus_groups
    ]
    return sorted(found, key=lambda card: card.start)


def _card(group: FocusGroup, row: Any, taken: int, now: datetime) -> Card:
    start = row.start_at if row is not None and row.start_at else group.start
    end = row.end_at if row is not None and row.end_at else group.end
    places = None if group.capacity is None else max(0, group.capacity - taken)
    link = row.registration_url if row is not None and row.state == "open" else None
    register = link if link and is_join_url(link) else None
    if group.cancelled or (row is not None and row.cancelled_at is not None):
        state = "cancelled"
    elif end <= now:
        state = "past"
    elif places == 0:
        state = "full"
    else:
        state = "open" if register else "soon"
    return Card(
        slug=group.slug,
        title=group.title,
        start=start,
        end=end,
        question=tuple(filter(None, (line.strip() for line in group.agenda.splitlines()))),
        state=state,
        places=places if state == "open" else None,
        register=register if state == "open" else None,
    )


def stylesheet(_request: Request) -> Response:
    """The one stylesheet, kept by browsers for a year: its address changes with its contents."""
    return Response(
        pages.stylesheet(),
        media_type="text/css",
        headers={"Cache-Control": "public, max-age=31536000, immutable"},
    )


def icon(_request: Request) -> Response:
    """The mark in the browser's tab."""
    return FileResponse(
        pages.ICON, media_type="image/svg+xml", headers={"Cache-Control": "public, max-age=86400"}
    )


def absent(request: Request, _error: Exception | None = None) -> Response:
    """404: the page that does not exist."""
    return pages.page(
        request,
        "message.html",
        status=404,
        heading="Page introuvable",
        sentences=["Cette adresse ne mène nulle part. Elle est peut-être incomplète."],
        way_on=("/", "Voir les rencontres"),
    )


def gone(_request: Request, _error: Exception) -> Response:
    """Whoever was sending a form hung up: nobody's fault, and nobody reads this."""
    return Response(status_code=400)


def failed(request: Request, error: Exception) -> Response:
    """500: sorry, with a number that is in the technical log as well."""
    incident = secrets.token_hex(4)
    service = pages.service_of(request)
    https = service.settings.public_url.startswith("https://")
    log.error(
        "page failed",
        incident=incident,
        route=_route(request),
        error=type(error).__name__,
        # Where, not with what: values of a page are people's.
        trace="".join(traceback.format_tb(error.__traceback__)),
    )
    return pages.page(
        request,
        "message.html",
        status=500,
        # This answer is made outside the middleware that adds them.
        headers=headers_of(request.url.path, https=https),
        heading="Un problème est survenu",
        sentences=[
            "Ce n’est pas de votre fait. Réessayez dans un moment.",
            f"Si cela continue, écrivez à {service.campaign.organiser.email}"
            f" en indiquant le numéro {incident}.",
        ],
        way_on=None,
    )


def _route(request: Request) -> str:
    """The route, not the address: an address may hold a personal link."""
    route = request.scope.get("route")
    return str(getattr(route, "path", ""))
