"""A registrant's own page, from the link in their letters."""

from starlette.requests import Request
from starlette.responses import Response

from resonance_zoom.web import public


def show(request: Request) -> Response:
    """GET /me/TOKEN: to come."""
    return public.absent(request)
