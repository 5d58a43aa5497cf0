"""The pages of the service of this world, seen by visitors and by staff."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from resonance_zoom.service import Service
from resonance_zoom.web.app import make_app
from resonance_zoom.web.server import WebServer
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import Clock
from tests.mail_server import MailServer
from tests.web.town import Town, town_of


@pytest.fixture
def visitor(service: Service) -> TestClient:
    """Somebody on the Internet."""
    return TestClient(make_app(service), base_url="http://localhost:8000", follow_redirects=False)


@pytest.fixture
def staff(service: Service) -> Callable[[str], TestClient]:
    """`staff("reader")`: a member of the staff who has pressed the button of their link."""

    def signed_in(role: str, name: str = "Alice") -> TestClient:
        client = TestClient(
            make_app(service), base_url="http://localhost:8000", follow_redirects=False
        )
        link = service.links.invitation(
            name, role, now=service.now(), ends_at=service.now() + timedelta(days=7)
        )
        assert client.post(link).status_code == 303
        return client

    return signed_in


@pytest.fixture
def town(
    service: Service,
    zoom: SimulatedZoom,
    clock: Clock,
    mail_server: MailServer,
    web_server: WebServer,
) -> Town:
    """Two groups on Zoom, which calls us; nobody has registered."""
    return town_of(service, zoom, clock, mail_server, web_server)
