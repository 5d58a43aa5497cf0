"""A template that fails for one person keeps nobody else's letter, and the person's only until mended.

What `check` can find is refused before anything starts; this fails for a name of a single letter
alone, which none of its samples has.
"""

import html
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

import jobs
from jobs.clock import run_job
from resonance_zoom import acts
from resonance_zoom.service import Service, letter_room, open_service
from resonance_zoom.settings import Settings
from resonance_zoom.store.tables import journal, letters
from resonance_zoom.web.app import make_app
from resonance_zoom.zoom.simulator import SimMeeting, SimulatedZoom
from tests.conftest import Clock
from tests.mail_server import MailServer

SUBJECT = "Votre lien : {{ title }}"
POISON = SUBJECT + " {{ 100 // (first_name|length - 1) }}"
REASON = "integer division or modulo by zero"


@pytest.fixture
def campaign_file(campaign_file: Path) -> Path:
    """The campaign file, and beside it a template of the organiser's own."""
    template(campaign_file).parent.mkdir()
    template(campaign_file).write_text(POISON, encoding="utf-8")
    return campaign_file


def template(campaign_file: Path) -> Path:
    return campaign_file.parent / "letters" / "confirmation.subject"


@pytest.fixture
def failed(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting, mail_server: MailServer
) -> Any:
    """Alice, O and Bob have registered, and every letter that could leave has left."""
    for name in ("Alice", "O", "Bob"):
        zoom.register(meeting.id, email=f"{name.lower()}@example.org", first_name=name)
    run(service, "sync_registrants", "deliver_letters")
    (row,) = [row for row in rows(service, letters) if row.state == "failed"]
    return row


def run(service: Service, *names: str) -> None:
    for name in names:
        assert run_job(service, jobs.job(name)) is None


def rows(service: Service, table: Any) -> list[Any]:
    with service.store.read() as connection:
        return list(connection.execute(select(table).order_by(table.c.id)))


def page(service: Service, path: str) -> str:
    """A page as a member of the staff reads it."""
    client = TestClient(make_app(service), base_url="http://localhost:8000")
    ends_at = service.now() + timedelta(days=1)
    client.post(service.links.invitation("Claire", "admin", now=service.now(), ends_at=ends_at))
    answer = client.get(path)
    assert answer.status_code == 200
    return html.unescape(answer.text)


def test_check_finds_nothing_wrong_with_it(service: Service) -> None:
    assert letter_room(service.settings).check(service.campaign.letter_kinds) == []


def test_the_letter_of_that_person_fails_alone_and_all_others_leave(
    service: Service, failed: Any, campaign_file: Path, mail_server: MailServer
) -> None:
    assert [kept.recipients for kept in mail_server.kept] == [
        ["alice@example.org"],
        ["bob@example.org"],
    ]
    assert [row.state for row in rows(service, letters)] == ["sent", "failed", "sent"]
    assert failed.reason == "template"
    assert failed.detail == f"{template(campaign_file)}:1: {REASON}"
    (line,) = [row for row in rows(service, journal) if row.kind == "letter.failed"]
    assert (line.level, line.registrant, line.data["letter"]) == (
        "error",
        failed.registrant,
        failed.id,
    )
    run(service, "deliver_letters")
    assert len(mail_server.kept) == 2


def test_staff_read_in_french_that_the_letter_could_not_be_made(
    service: Service, failed: Any
) -> None:
    overview = page(service, "/staff")
    assert "Un courrier n’a pas pu être composé." in overview
    assert "Son modèle contient une erreur" in overview
    assert "l’adresse est mal écrite" not in overview
    for path in ("/staff/letters?state=failed", f"/staff/people/{failed.registrant}"):
        shown = page(service, path)
        assert "le courrier n’a pas pu être composé" in shown
        assert REASON in shown


def test_after_the_template_was_mended_and_the_service_restarted_it_is_sent_again_once(
    service: Service,
    failed: Any,
    settings: Settings,
    campaign_file: Path,
    clock: Clock,
    mail_server: MailServer,
) -> None:
    template(campaign_file).write_text(SUBJECT, encoding="utf-8")
    service.close()
    restarted = open_service(settings, now=clock, monotonic=clock.seconds, sleep=lambda _: None)
    acts.resend(
        acts.Desk(restarted.store, restarted.campaign, restarted.now(), "Claire"), failed.id
    )
    run(restarted, "deliver_letters", "deliver_letters")
    assert "n’a pas pu" not in page(restarted, "/staff")
    restarted.close()
    (kept,) = mail_server.to("o@example.org")
    assert kept.message["Subject"] == "Votre lien : Accompagner le développement du télétravail"
    assert len(mail_server.kept) == 3
