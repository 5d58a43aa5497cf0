"""The post of one registrant, told once for all tests that read it."""

from datetime import UTC, datetime

import pytest

from resonance_zoom.zoom.simulator import SimulatedZoom, SimulatorServer
from tests.conftest import Clock
from tests.mail.story import Story
from tests.mail_server import Kept, MailServer

SIX = ("confirmation", "moved", "reminder-7", "reminder-1", "cancelled", "withdrawn")


@pytest.fixture(scope="session")
def post(
    one_zoom_server: SimulatorServer,
    one_mail_server: MailServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Kept]:
    """Alice's letters by kind: about the first group, but for `withdrawn`, about the second.

    The first group moves from 24 to 27 October 2026 over a change of clocks, then is called off.
    """
    folder = tmp_path_factory.mktemp("story")
    clock = Clock(datetime(2026, 10, 5, 10, tzinfo=UTC))
    zoom = SimulatedZoom(now=clock, seed=1)
    one_zoom_server.world = zoom
    one_mail_server.kept.clear()
    one_mail_server.answers.clear()
    environ = {
        "CAMPAIGN_FILE": str(folder / "campaign.toml"),
        "DATABASE_URL": f"sqlite:///{folder}/resonance.db",
        "SMTP_URL": one_mail_server.url,
        "SMTP_CONNECTIONS": "1",  # one letter after the other, in the order in which they are due
        "ZOOM_ACCOUNT_ID": "acc",
        "ZOOM_CLIENT_ID": "cid",
        "ZOOM_CLIENT_SECRET": "csecret",
        "ZOOM_API_URL": one_zoom_server.api_url,
        "ZOOM_OAUTH_URL": one_zoom_server.oauth_url,
        "SECRET_KEY": "0123456789abcdef0123456789abcdef",
    }
    story = Story(
        folder,
        environ,
        zoom=zoom,
        clock=clock,
        mail_server=one_mail_server,
        first="2026-10-24",
        second="2026-11-17",
    )
    story.edit("date = 2026-10-24", "date = 2026-10-27")
    story.at(2026, 10, 20, 8)  # 9:00 in Paris is 7:00 UTC
    story.at(2026, 10, 26, 9)
    story.edit('slug = "first"', 'slug = "first"\ncancelled = true')
    story.give_up("second")
    letters = story.letters
    story.service.close()
    assert [one.kind for one in letters] == ["confirmation", *SIX]
    return {one.kind: one for one in [*letters[1:], letters[0]]}
