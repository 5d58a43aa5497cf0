"""Letters shown as they would be sent, test letters to staff only, links that let staff in."""

import email
import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from jobs import create_meetings, sync_registrants
from resonance_zoom import preview, wave
from resonance_zoom.service import Service
from resonance_zoom.web.app import make_app
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import Type
from tests.mail_server import MailServer

KINDS = ("confirmation", "reminder-7", "reminder-1", "moved", "cancelled", "withdrawn")


@pytest.fixture
def alice(service: Service, zoom: SimulatedZoom) -> str:
    """Alice is registered in the first group; returns her own link."""
    create_meetings.run(service)
    meeting = min(zoom.meetings.values(), key=lambda one: one.start_time)
    registrant = zoom.register(meeting.id, email="alice@example.org", first_name="Alice")
    sync_registrants.run(service)
    assert registrant.join_url is not None
    return registrant.join_url


@pytest.mark.parametrize("kind", KINDS)
def test_a_letter_is_shown_before_anything_was_ever_run(types: Type, kind: str) -> None:
    code, shown, _ = types("letter", kind)
    assert code == 0
    assert "Subject: " in shown
    assert "Bonjour Camille," in shown


def test_the_preview_is_what_a_real_registrant_would_get(
    types: Type, service: Service, alice: str, mail_server: MailServer, tmp_path: Path
) -> None:
    path = tmp_path / "x.eml"
    assert types("letter", "confirmation", "--output", str(path))[0] == 0
    wave.send_ready(service.delivery)
    (sent,) = mail_server.kept
    written = email.message_from_bytes(path.read_bytes())
    for part, other in zip(written.walk(), sent.message.walk(), strict=True):
        if part.get_content_type() in {"text/plain", "text/html"}:
            assert part.get_payload(decode=True) == other.get_payload(decode=True)
    assert alice in preview.text_of(path.read_bytes())


def test_a_preview_for_somebody_unknown_is_refused(types: Type, alice: str) -> None:
    code, _, said = types("letter", "confirmation", "--registrant", "nobody@example.org")
    assert code == 1
    assert "nobody is known as nobody@example.org" in said


def test_an_unknown_letter_names_those_there_are(types: Type) -> None:
    code, _, said = types("letter", "remainder")
    assert code == 1
    assert "confirmation, reminder-7, reminder-1, moved, cancelled, withdrawn" in said


def test_a_test_letter_reaches_staff_with_nobodys_link(
    types: Type, alice: str, mail_server: MailServer
) -> None:
    code, said, _ = types("test-letter", "confirmation", "--to", "contact@example.org")
    assert (code, said.partition(":")[0]) == (0, "accepted for contact@example.org")
    (letter,) = mail_server.kept
    assert letter.recipients == ["contact@example.org"]
    assert alice not in letter.text
    assert "alice" not in letter.raw.decode().lower()


@pytest.mark.parametrize("address", ["someone@elsewhere.example", "alice@example.org", "x"])
def test_a_test_letter_reaches_no_one_else(
    types: Type, alice: str, mail_server: MailServer, address: str
) -> None:
    code, _, _ = types("test-letter", "confirmation", "--to", address)
    assert code == 1
    assert mail_server.kept == []


def test_who_organises_and_takes_part_may_be_sent_a_test_letter(
    types: Type, service: Service, zoom: SimulatedZoom, alice: str, mail_server: MailServer
) -> None:
    meeting = min(zoom.meetings.values(), key=lambda one: one.start_time)
    for name in ("contact", "colleague"):
        zoom.register(meeting.id, email=f"{name}@example.org", first_name="C")
    sync_registrants.run(service)
    assert types("test-letter", "confirmation", "--to", "contact@example.org")[0] == 0
    assert types("test-letter", "confirmation", "--to", "colleague@example.org")[0] == 1
    assert [one.recipients for one in mail_server.kept] == [["contact@example.org"]]


def test_an_invitation_lets_one_person_in_once(types: Type, service: Service, alice: str) -> None:
    code, said, _ = types("invite", "Claire  Dupont", "--role", "admin", "--json")
    assert code == 0
    invitation = json.loads(said)
    assert (invitation["name"], invitation["role"]) == ("Claire Dupont", "admin")
    # The command makes it by the machine's clock, the service of this test lives in 2021.
    browser = TestClient(
        make_app(service), base_url="http://localhost:8000", follow_redirects=False
    )
    assert "Claire Dupont" in browser.get(invitation["link"]).text
    assert browser.post(invitation["link"]).status_code == 303
    assert browser.post(invitation["link"]).status_code == 403


@pytest.mark.parametrize(
    "words", [["invite", " "], ["invite", "x" * 81], ["invite", "A", "--days", "0"]]
)
def test_an_invitation_needs_a_name_and_days(types: Type, alice: str, words: list[str]) -> None:
    assert types(*words)[0] == 2
