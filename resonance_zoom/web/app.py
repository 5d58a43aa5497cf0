"""HTTP in: the routes, on one screen."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from resonance_zoom.service import Service
from resonance_zoom.web import health, pages, personal, public, staff, webhooks
from resonance_zoom.web.security import OwnName, SecurityHeaders

ROUTES = (
    Route("/webhooks/zoom", webhooks.zoom_called, methods=["POST"]),
    Route("/healthz", health.healthz),
    Route("/readyz", health.readyz),
    Route("/metrics", health.metrics),
    Route("/", public.campaign_page),
    Route("/icon.svg", public.icon),
    Route("/me/{token}", personal.show),
    Route("/me/{token}/data.json", personal.data),
    Route("/me/{token}/{group}.ics", personal.calendar),
    Route("/me/{token}/withdraw/{group}", personal.ask_withdraw, methods=["GET"]),
    Route("/me/{token}/withdraw/{group}", personal.withdraw, methods=["POST"]),
    *staff.routes(),
)


def make_app(service: Service) -> Starlette:
    """The ASGI application of one service."""
    settings = service.settings
    https = settings.public_url.startswith("https://")
    app = Starlette(
        routes=[*ROUTES, Route(pages.stylesheet_path(), public.stylesheet)],
        middleware=[
            Middleware(SecurityHeaders, https=https),
            Middleware(OwnName, public_url=settings.public_url, host=settings.host),
        ],
        exception_handlers={404: public.absent, 500: public.failed, ClientDisconnect: public.gone},
    )
    app.router.redirect_slashes = False  # it would lead to whatever `Host` says
    app.state.service = service
    app.state.failures = {}
    return app
