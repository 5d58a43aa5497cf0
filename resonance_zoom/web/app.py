"""HTTP in: the routes, on one screen."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from resonance_zoom.service import Service
from resonance_zoom.web import health, pages, personal, public, staff, webhooks
from resonance_zoom.web.challenges import Challenges
from resonance_zoom.web.security import OwnName, SecurityHeaders, headers_of
from resonance_zoom.web.staff.guesses import Guesses

_ZOOM_CALLS = ("http", "POST", webhooks.PATH)
ROUTES = (
    Route(webhooks.PATH, webhooks.KNOCK, methods=["POST"]),
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


class App(Starlette):
    """The pages, and Zoom's own way in beside them."""

    door: webhooks.Door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if (scope["type"], scope.get("method"), scope.get("path")) != _ZOOM_CALLS:
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        try:
            await self.door(scope, receive, send)
        except Exception as error:  # noqa: BLE001 — told as on every other route
            await public.failed(Request(scope), error)(scope, receive, send)


def make_app(service: Service) -> App:
    """The ASGI application of one service."""
    settings = service.settings
    https = settings.public_url.startswith("https://")
    app = App(
        routes=[*ROUTES, Route(pages.stylesheet_path(), public.stylesheet)],
        middleware=[
            # Whose word about the real sender of a request is taken.
            Middleware(ProxyHeadersMiddleware, trusted_hosts=[*settings.trusted_proxies]),
            Middleware(SecurityHeaders, https=https),
            Middleware(OwnName, public_url=settings.public_url, host=settings.host),
        ],
        exception_handlers={404: public.absent, 500: public.failed, ClientDisconnect: public.gone},
    )
    app.router.redirect_slashes = False  # it would lead to whatever `Host` says
    app.state.service = service
    app.state.guesses = Guesses()
    app.door = webhooks.Door(
        service,
        webhooks.make_reception(service),
        Challenges(),
        [
            (name.lower().encode(), value.encode())
            for name, value in headers_of(webhooks.PATH, https=https).items()
        ],
    )
    return app
