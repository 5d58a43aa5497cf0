"""The staff pages: every route with the role that it needs, on one screen."""

from collections.abc import Sequence

from starlette.routing import Match, Route
from starlette.types import Scope

from resonance_zoom.links import ADMIN, READER
from resonance_zoom.web.staff import (
    acts,
    door,
    journal,
    letters,
    meetings,
    overview,
    person,
    registrants,
)
from resonance_zoom.web.staff.door import Handler, guarded

_PREVIEW = "/staff/letters/preview/{kind}/{registrant:int}"
PAGES: tuple[tuple[str, str, str, Handler], ...] = (
    ("GET", "/staff/", READER, overview.show),
    ("GET", "/staff/journal", READER, journal.listing),
    ("GET", "/staff/journal/{line:int}", READER, journal.line),
    ("GET", "/staff/registrants", READER, registrants.listing),
    ("GET", "/staff/registrants.csv", READER, registrants.as_csv),
    ("GET", "/staff/registrants.xlsx", READER, registrants.as_xlsx),
    ("GET", "/staff/people/{registrant:int}", READER, person.show),
    ("GET", "/staff/letters", READER, letters.listing),
    ("GET", _PREVIEW, ADMIN, letters.preview),
    ("GET", _PREVIEW + "/html", ADMIN, letters.preview_html),
    ("GET", "/staff/meetings", READER, meetings.listing),
    ("GET", "/staff/act/{act}/{subject}", ADMIN, acts.ask),
    ("POST", "/staff/act/{act}/{subject}", ADMIN, acts.do),
    ("POST", "/staff/sign-out", READER, door.sign_out),
)


class _Page(Route):
    """A route that a number of thousands of digits does not match: Python refuses to read it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        try:
            return super().matches(scope)
        except ValueError:
            return Match.NONE, {}


def routes() -> Sequence[Route]:
    """All routes under /staff; the two of sign-in are open to whoever holds a link."""
    return (
        Route("/staff", door.home),
        Route("/staff/sign-in/{token}", door.sign_in, methods=["GET"]),
        Route("/staff/sign-in/{token}", door.signed_in, methods=["POST"]),
        *(
            _Page(path, guarded(handler, role=role), methods=[method])
            for method, path, role, handler in PAGES
        ),
    )
