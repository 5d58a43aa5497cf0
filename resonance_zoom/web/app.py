"""HTTP in: the routes, on one screen."""

from starlette.applications import Starlette
from starlette.routing import Route

from resonance_zoom.service import Service
from resonance_zoom.web import health, webhooks

ROUTES = (
    Route("/webhooks/zoom", webhooks.zoom_called, methods=["POST"]),
    Route("/healthz", health.healthz),
    Route("/readyz", health.readyz),
    Route("/metrics", health.metrics),
)


def make_app(service: Service) -> Starlette:
    """The ASGI application of one service."""
    app = Starlette(routes=list(ROUTES))
    app.state.service = service
    return app
