"""What anybody may see: the campaign page, the stylesheet, the pages for what is not there."""

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from resonance_zoom.web import pages


def campaign_page(request: Request) -> Response:
    """GET /: to come."""
    return absent(request)


def stylesheet(_request: Request) -> Response:
    """The one stylesheet, kept by browsers for a year: its address changes with its contents."""
    return Response(
        pages.stylesheet(),
        media_type="text/css",
        headers={"Cache-Control": "public, max-age=31536000, immutable"},
    )


def icon(_request: Request) -> Response:
    """The mark in the browser's tab."""
    return FileResponse(pages.HERE / "static" / "icon.svg", media_type="image/svg+xml")


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
