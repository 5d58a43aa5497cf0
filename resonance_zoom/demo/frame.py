"""The look of the demonstration's own pages: that of the service, marked on each page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from resonance_zoom.campaign import Campaign
from resonance_zoom.mail import french
from resonance_zoom.web import pages, public, words
from resonance_zoom.web.security import SecurityHeaders

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a newcomer goes: the campaign page, the mailbox, the staff pages (once)."""

    campaign: str
    mailbox: str
    staff: str


def make_app(routes: Sequence[BaseRoute], campaign: Campaign, *, banner: str) -> Starlette:
    """An application in the service's look. `app.state.places` is to be set before it serves."""
    app = Starlette(
        routes=[
            *routes,
            Route(pages.stylesheet_path(), public.stylesheet),
            Route("/icon.svg", public.icon),
            Route("/demo.css", _own_stylesheet),
        ],
        middleware=[Middleware(SecurityHeaders, https=False)],
        exception_handlers={404: absent},
    )
    app.state.campaign = campaign
    app.state.banner = banner
    return app


def page(
    request: Request,
    template: str,
    *,
    heading: str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> HTMLResponse:
    """A page of `demo/templates/` in the frame of all pages."""
    state = request.app.state
    html = (
        _environment()
        .get_template(template)
        .render(
            heading=heading,
            campaign=state.campaign,
            places=state.places,
            banner=state.banner,
            stylesheet=pages.stylesheet_path(),
            path=request.url.path,
            **context,
        )
    )
    return HTMLResponse(html, status_code=status, headers=dict(headers or {}))


def absent(request: Request, _error: Exception | None = None) -> Response:
    """404: nothing is here, or no longer."""
    return page(request, "absent.html", heading="Page introuvable", status=404)


def _own_stylesheet(_request: Request) -> Response:
    return FileResponse(HERE / "demo.css", media_type="text/css")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        french=lambda text: french.for_page(french.typeset(str(text))),
        date_hour=lambda moment, campaign: french.date_hour(moment, campaign.timezone),
        ago=french.ago,
        number=lambda n: f"{n:,}".replace(",", "\u202f"),
        letter_kind=words.letter_kind,
    )
    environment.globals.update(when=french.when)
    return environment
