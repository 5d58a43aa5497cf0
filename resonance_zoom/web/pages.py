"""Renders our pages: French, escaped everywhere, one stylesheet, no script."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from resonance_zoom.campaign import Campaign
from resonance_zoom.mail import french
from resonance_zoom.service import Service
from resonance_zoom.web import words

HERE = Path(__file__).parent
STYLESHEET = HERE / "static" / "style.css"
ICON = HERE / "static" / "icon.svg"


def service_of(request: Request) -> Service:
    """The service that this application shows."""
    service: Service = request.app.state.service
    return service


def page(
    request: Request,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> HTMLResponse:
    """A page of `templates/`. Every template knows `campaign`, `now`, `path` and the filters."""
    service = service_of(request)
    html = rendered(
        template,
        service.campaign,
        service.now(),
        path=request.url.path,
        banner=service.banner,
        **context,
    )
    return HTMLResponse(html, status_code=status, headers=dict(headers or {}))


def rendered(template: str, campaign: Campaign, now: datetime, **context: Any) -> str:
    """The HTML of a page, also without a request (`site` writes it to a file)."""
    whole = {
        "campaign": campaign,
        "now": now,
        "stylesheet": stylesheet_path(),
        "icon": "/icon.svg",
        "banner": "",
        **context,
    }
    return _environment().get_template(template).render(whole)


def see_other(path: str, **query: str) -> Response:
    """After a POST: look there. `path` is always one of our own."""
    return RedirectResponse(f"{path}?{urlencode(query)}" if query else path, status_code=303)


@cache
def stylesheet() -> bytes:
    """The one stylesheet of all pages."""
    return STYLESHEET.read_bytes()


@cache
def stylesheet_path() -> str:
    """Its address, with a mark of its contents: browsers keep it until it changes."""
    return f"/style-{hashlib.sha256(stylesheet()).hexdigest()[:12]}.css"


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
        day=lambda moment, campaign: french.day(moment, campaign.timezone),
        hour=lambda moment, campaign: french.hour(moment, campaign.timezone),
        date_hour=lambda moment, campaign: french.date_hour(moment, campaign.timezone),
        short=lambda moment, campaign: french.short(moment, campaign.timezone),
        ago=lambda moment, now: french.ago(moment, now),
        number=lambda n: f"{n:,}".replace(",", "\u202f"),
        status=words.STATUSES.__getitem__,
        source=lambda name: words.SOURCES.get(name, name),
        letter_kind=words.letter_kind,
        letter_state=words.LETTER_STATES.__getitem__,
        reason=lambda name: words.REASONS.get(name, name),
        meeting_state=words.MEETING_STATES.__getitem__,
    )
    environment.globals.update(when=french.when, words=words)
    return environment
