"""A page of the staff."""

from starlette.responses import Response

from resonance_zoom.web.staff.door import Visit


def listing(visit: Visit) -> Response:
    """To come."""
    return visit.missing("registrants")


def as_csv(visit: Visit) -> Response:
    """To come."""
    return visit.missing("registrants")


def as_xlsx(visit: Visit) -> Response:
    """To come."""
    return visit.missing("registrants")
