"""The mailbox page: each letter as it arrives, with its headers, both texts and its files."""

import re
from datetime import datetime

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from resonance_zoom.campaign import Campaign
from resonance_zoom.demo import frame
from resonance_zoom.demo.mailbox import Letter, MailBox
from resonance_zoom.web.security import CONTENT_SECURITY_POLICY

BANNER = "DÉMONSTRATION : ces lettres n’ont été envoyées à personne."
LOOK_AGAIN = 2  # seconds
# A letter runs nothing and fetches nothing; its links open beside it, not in its own small frame.
LETTER_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none';"
    " frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
)


def make_app(mailbox: MailBox, campaign: Campaign) -> Starlette:
    """The pages of one mailbox."""
    routes = (
        Route("/", letters),
        Route("/letters/{number:int}", letter),
        Route("/letters/{number:int}/html", html_part),
        Route("/letters/{number:int}/files/{index:int}", attachment),
    )
    app = frame.make_app(routes, campaign, banner=BANNER)
    app.state.mailbox = mailbox
    return app


def letters(request: Request) -> Response:
    """GET /: all letters, the newest first; looks again by itself unless `?still=1`."""
    mailbox: MailBox = request.app.state.mailbox
    still = request.query_params.get("still") == "1"
    return frame.page(
        request,
        "mailbox.html",
        heading="Boîte aux lettres",
        headers={} if still else {"Refresh": str(LOOK_AGAIN)},
        letters=mailbox.letters(),
        still=still,
        now=_now(request),
    )


def letter(request: Request) -> Response:
    """GET /letters/N: what the mail server was given."""
    found = _letter(request)
    if found is None:
        return frame.absent(request)
    return frame.page(
        request,
        "letter.html",
        heading=found.subject,
        headers={"Content-Security-Policy": f"{CONTENT_SECURITY_POLICY}; frame-src 'self'"},
        letter=found,
        text=found.body("plain"),
        has_html=found.body("html") is not None,
        files=[(index, part.get_filename(), len(_content(part)))
               for index, part in enumerate(found.attachments)],
        now=_now(request),
    )  # fmt: skip


def html_part(request: Request) -> Response:
    """GET /letters/N/html: for the frame in the letter's page."""
    found = _letter(request)
    html = found.body("html") if found else None
    if html is None:
        return frame.absent(request)
    # The frame cannot show our pages (they refuse frames): links need a window of their own.
    html = re.sub(r"<head>", '<head><base target="_blank">', html, count=1)
    return HTMLResponse(html, headers={"Content-Security-Policy": LETTER_POLICY})


def attachment(request: Request) -> Response:
    """GET /letters/N/files/I: a file of the letter, to be saved or opened."""
    found = _letter(request)
    parts = found.attachments if found else []
    index = int(request.path_params["index"])
    if index >= len(parts):
        return frame.absent(request)
    part = parts[index]
    name = re.sub(r"[^A-Za-z0-9._-]", "_", part.get_filename() or "file")
    calendar = part.get_content_type() == "text/calendar"
    return Response(
        _content(part),
        media_type="text/calendar" if calendar else "application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _letter(request: Request) -> Letter | None:
    mailbox: MailBox = request.app.state.mailbox
    return mailbox.letter(int(request.path_params["number"]))


def _content(part: object) -> bytes:
    data = part.get_payload(decode=True)  # type: ignore[attr-defined]
    return data if isinstance(data, bytes) else b""


def _now(request: Request) -> datetime:
    moment: datetime = request.app.state.mailbox.now()
    return moment
