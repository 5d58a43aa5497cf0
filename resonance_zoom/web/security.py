"""The headers of every answer, whatever route and status: no script, no frame, no other host."""

import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_PRIVATE = ("/staff", "/me/")
# Zoom signs its calls, and gives up after a 4xx; probes come by whatever address they know.
_MACHINES = ("/webhooks/zoom", "/healthz", "/readyz", "/metrics")
_HOST_FORM = re.compile(r"[A-Za-z0-9._-]+(:\d*)?|\[[0-9A-Fa-f:.]+\](:\d*)?")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def headers_of(path: str, *, https: bool) -> dict[str, str]:
    """What every answer to a path carries."""
    found = dict(HEADERS)
    if https:
        found["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    if path.startswith(_PRIVATE):
        found["Cache-Control"] = "no-store"
    return found


class SecurityHeaders:
    """ASGI middleware. A header that a page has set itself stays as it is."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self.app = app
        self.https = https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; add to the answer's headers."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in headers_of(scope["path"], https=self.https).items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)


class OwnName:
    """ASGI middleware: 421 for who asks for pages under a name that is not ours.

    No address that we give depends on `Host`; a page that was led to us under another name (DNS
    rebinding, a cache in between) sees nothing all the same.
    """

    def __init__(self, app: ASGIApp, *, public_url: str, host: str) -> None:
        self.app = app
        self.names = _LOOPBACK | {urlsplit(public_url).hostname, host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on if it is meant for us."""
        ours = scope["type"] != "http" or scope["path"] in _MACHINES or self._means_us(scope)
        answer = self.app if ours else PlainTextResponse("not here\n", status_code=421)
        await answer(scope, receive, send)

    def _means_us(self, scope: Scope) -> bool:
        asked = Headers(scope=scope).getlist("host")
        if not asked and scope["http_version"] == "1.0":
            return True  # there it was not yet invented
        if len(asked) != 1:
            return False  # what stands before us may have gone by the other one
        if _HOST_FORM.fullmatch(asked[0]) is None:
            return False  # programs disagree on where `localhost#.evil.example` ends
        try:
            return urlsplit(f"//{asked[0]}").hostname in self.names
        except ValueError:
            return False
