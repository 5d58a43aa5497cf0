"""A page of the staff."""

from starlette.responses import Response

from resonance_zoom.web.staff.door import Visit


def listing(visit: Visit) -> Response:
    """To come."""
    return visit.missing("letters")


def preview(visit: Visit) -> Response:
    """To come."""
    return visit.missing("letters")


def preview_html(visit: Visit) -> Response:
    """To come."""
    return visit.missing("letters")
