"""Staff see each meeting in one look: the file against Zoom, and why they differ where they do."""

import html
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

import jobs
from jobs.clock import run_job
from resonance_zoom import meetings as promise
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.service import Service
from resonance_zoom.store.tables import meetings
from resonance_zoom.web.staff.meetings import CAUSES, FIELDS
from resonance_zoom.zoom.simulator import SimMeeting, SimulatedZoom
from tests.conftest import Clock

Staff = Callable[..., TestClient]
Look = Callable[[], str]
HOSTILE = '<script>alert("Zoé & Cie")</script>'
TELETRAVAIL = "Accompagner le développement du télétravail"
SAME = "Le fichier et Zoom disent la même chose"


def run(service: Service, *names: str) -> None:
    for name in names:
        run_job(service, jobs.job(name))


def plain(markup: str) -> str:
    """What a reader reads, on one line, with ordinary spaces."""
    text = html.unescape(re.sub(r"<[^>]+>", "", re.sub(r"<br>|</(td|th|h2|p)>", " ", markup)))
    return re.sub(r"\s+", " ", text).strip()


def card(page: str, slug: str = "teletravail") -> str:
    return page.split(f'<section class="card meeting" id="{slug}"')[1].split("</section>")[0]


def notices(part: str) -> list[str]:
    return [plain(said) for said in re.findall(r'<p class="notice">(.*?)</p>', part, re.DOTALL)]


def fields(part: str) -> dict[str, tuple[str, str]]:
    """{field: (in the file, on Zoom)}."""
    rows = re.findall(r"<tr[^>]*><th scope=\"row\">(.*?)</tr>", part, re.DOTALL)
    cells = [[plain(cell) for cell in re.split(r"</th>|</td>", row) if plain(cell)] for row in rows]
    return {name: (wanted, held) for name, wanted, held in cells}


def differing(part: str) -> dict[str, tuple[str, str]]:
    return {name: cells for name, cells in fields(part).items() if cells[1] != "identique"}


def edit(service: Service, campaign_file: Path, was: str, now: str) -> None:
    """The organiser edits the file and the service reads it again."""
    text = campaign_file.read_text(encoding="utf-8")
    assert was in text
    campaign_file.write_text(text.replace(was, now), encoding="utf-8")
    service.take(load_campaign(campaign_file))


def change(service: Service, **values: Any) -> None:
    with service.store.write() as connection:
        this = meetings.c.focus_group == "teletravail"
        connection.execute(update(meetings).where(this).values(**values))


@pytest.fixture
def look(service: Service, staff: Staff) -> Look:
    def looked() -> str:
        page = staff("reader").get("/staff/meetings")
        assert page.status_code == 200
        return page.text

    return looked


@pytest.fixture
def meeting(service: Service, zoom: SimulatedZoom) -> SimMeeting:
    """The first group's meeting; both exist on Zoom as the file says."""
    run(service, "create_meetings")
    return min(zoom.meetings.values(), key=lambda one: one.start_time)


def test_before_anything_is_done_the_file_alone_is_shown(service: Service, look: Look) -> None:
    part = card(look())
    assert (
        plain(part)
        .split("> ")[-1]
        .startswith(
            f"{TELETRAVAIL} à créer mardi 9 février 2021, de 9 h 00 à 11 h 00, heure de Paris Pas"
            " encore de réunion sur Zoom. Ce que veut le fichier"
        )
    )
    assert fields(part)["Durée"] == ("120 min", "–")
    assert "zoom.us/meeting" not in part
    assert "<input" not in part


def test_a_meeting_as_the_file_says_in_one_look(
    service: Service, meeting: SimMeeting, look: Look, clock: Clock
) -> None:
    clock.move(minutes=20)
    part = card(look())
    assert '<span class="badge good">ouverte</span>' in part
    assert SAME in part
    assert "<details>" in part
    assert notices(part) == []
    assert f'<a href="https://zoom.us/meeting/{meeting.id}">' in part
    assert "Dernière vérification il y a 20 min (lundi 11 janvier 2021 à 11 h 00)" in plain(part)
    registration = re.search(r'type="text" readonly value="([^"]+)"> <a href="([^"]+)">', part)
    assert registration is not None
    assert registration[1] == registration[2]
    assert registration[1].startswith("https://us02web.zoom.us/meeting/register/")
    assert fields(part) == {
        "Titre": (TELETRAVAIL, "identique"),
        "Texte": ("Réf. resonance-2021/teletravail Où, comment, avec qui ?", "identique"),
        "Début": ("mardi 9 février 2021 à 9 h 00", "identique"),
        "Durée": ("120 min", "identique"),
        "Fuseau horaire": ("Europe/Paris", "identique"),
        "Approbation des inscriptions": ("automatique", "identique"),
        "Zoom confirme aux inscrits": ("non", "identique"),
        "Zoom écrit aux inscrits": ("non", "identique"),
        "Numéro personnel de l’hôte": ("non", "identique"),
    }


def test_every_field_and_cause_has_french_words(service: Service) -> None:
    campaign = service.campaign
    want = promise.fields_of(promise.wanted(campaign, campaign.focus_groups[0]))
    assert set(FIELDS) == set(want)
    assert set(CAUSES) == {"file", "by_hand", "refused"}


def test_what_the_file_says_anew_is_going_to_be_carried_over(
    service: Service, meeting: SimMeeting, campaign_file: Path, look: Look
) -> None:
    edit(service, campaign_file, f'title = "{TELETRAVAIL}"', 'title = "Télétravailler"')
    part = card(look())
    assert differing(part) == {
        "Titre": ("Télétravailler", f"{TELETRAVAIL} modifié dans le fichier, sera reporté")
    }
    assert "<details open>" in part
    assert "Un champ diffère entre le fichier et Zoom" in part
    run(service, "create_meetings")
    part = card(look())
    assert differing(part) == {}
    assert SAME in part


def test_what_was_edited_by_hand_on_zoom_is_left_and_told(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting, look: Look
) -> None:
    zoom.edit_meeting(meeting.id, topic="Un autre titre", duration=90)
    run(service, "create_meetings")
    part = card(look())
    hand = "modifié à la main sur Zoom (les courriers suivent Zoom)"
    assert differing(part) == {
        "Titre": (TELETRAVAIL, f"Un autre titre {hand}"),
        "Durée": ("120 min", f"90 min {hand}"),
    }
    assert "2 champs diffèrent entre le fichier et Zoom" in part


def test_what_zoom_did_not_apply_is_told(
    service: Service, zoom: SimulatedZoom, campaign_file: Path, meeting: SimMeeting, look: Look
) -> None:
    zoom.faults.drop_settings_on_write.add("approval_type")
    edit(service, campaign_file, "[organiser]", 'approval = "manual"\n\n[organiser]')
    run(service, "create_meetings")
    assert differing(card(look())) == {
        "Approbation des inscriptions": ("à la main", "automatique Zoom ne l’a pas appliqué")
    }


def test_a_new_date_waits_in_sight(
    service: Service, campaign_file: Path, meeting: SimMeeting, look: Look, clock: Clock
) -> None:
    clock.move(minutes=3)
    edit(service, campaign_file, "2021-02-09", "2021-02-10")
    run(service, "create_meetings")
    part = card(look())
    assert notices(part) == [
        "Nouvelle date lue dans le fichier à 11 h 03, reportée sur Zoom à 11 h 13 si elle n’est"
        " pas corrigée."
    ]
    assert differing(part) == {
        "Début": (
            "mercredi 10 février 2021 à 9 h 00",
            "mardi 9 février 2021 à 9 h 00 modifié dans le fichier, sera reporté",
        )
    }
    clock.move(minutes=10)
    assert notices(card(look())) == [
        "Nouvelle date lue dans le fichier à 11 h 03, reportée sur Zoom d’un instant à l’autre si"
        " elle n’est pas corrigée."
    ]
    run(service, "create_meetings")
    part = card(look())
    assert notices(part) == []
    assert "mercredi 10 février 2021, de 9 h 00 à 11 h 00" in plain(part)


def test_a_new_length_waits_too(
    service: Service, campaign_file: Path, meeting: SimMeeting, look: Look
) -> None:
    edit(service, campaign_file, "ends = 11:00:00\nagenda", "ends = 11:30:00\nagenda")
    run(service, "create_meetings")
    assert notices(card(look())) == [
        "Nouvelle durée lue dans le fichier à 11 h 00, reportée sur Zoom à 11 h 10 si elle n’est"
        " pas corrigée."
    ]


def test_a_group_that_left_the_file_is_shown_as_such(
    service: Service, meeting: SimMeeting, look: Look, clock: Clock
) -> None:
    service.take(replace(service.campaign, focus_groups=service.campaign.focus_groups[1:]))
    run(service, "create_meetings")
    page = look()
    assert page.index('id="espaces-exterieurs"') < page.index('id="teletravail"')
    part = card(page)
    assert notices(part) == [
        "Cette rencontre a été retirée du fichier.",
        "Annulation lue dans le fichier à 11 h 00 ; les inscrits sont prévenus à 11 h 10 si elle"
        " n’est pas corrigée.",
    ]
    assert "<table" not in part
    clock.move(minutes=10)
    run(service, "create_meetings")
    part = card(look())
    assert '<span class="badge ">annulée</span>' in part
    assert notices(part) == [
        "Cette rencontre a été retirée du fichier.",
        "Annulée le lundi 11 janvier 2021 à 11 h 10 ; les inscrits sont prévenus.",
        f"Le service ne supprime rien : supprimez la réunion {meeting.id} sur zoom.us, sinon on"
        " peut encore s’y inscrire.",
    ]
    assert "<input" not in part


def test_a_meeting_that_is_not_on_zoom_says_what_to_do(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting, look: Look
) -> None:
    zoom.delete_meeting(meeting.id)
    run(service, "create_meetings", "create_meetings")
    part = card(look())
    assert '<span class="badge bad">introuvable sur Zoom</span>' in part
    assert notices(part) == [
        "Introuvable sur Zoom : restaurez-la sur zoom.us, dans Réunions › Supprimées récemment."
        " Les courriers de ce groupe attendent."
    ]
    assert "Le fichier et ce que Zoom montrait en dernier" in part
    assert "<input" not in part  # the link leads nowhere now
    assert SAME not in part


def test_two_meetings_of_one_group_say_what_to_do(service: Service, look: Look) -> None:
    run(service, "create_meetings")
    change(service, state="duplicate", zoom_meeting_id=None, registration_url=None)
    part = card(look())
    assert notices(part) == [
        "Plusieurs réunions sur Zoom portent « Réf. resonance-2021/teletravail » : supprimez-les"
        " sur zoom.us, sauf une. Rien n’est fait pour ce groupe d’ici là."
    ]


def test_a_host_without_licence_is_told(service: Service, look: Look) -> None:
    run(service, "create_meetings")
    change(service, registration_url=None)
    assert notices(card(look())) == [
        "Pas de page d’inscription : Zoom n’en donne qu’aux hôtes qui ont une licence. Donnez-en"
        " une à l’hôte sur zoom.us."
    ]


def test_the_past_is_past(
    service: Service, meeting: SimMeeting, campaign_file: Path, look: Look, clock: Clock
) -> None:
    clock.to(2021, 2, 9, 10, 0)
    edit(service, campaign_file, f'title = "{TELETRAVAIL}"', 'title = "Télétravailler"')
    part = card(look())
    assert '<span class="badge ">passée</span>' in part
    assert "sera reporté" not in part
    assert "<input" not in part


def test_hostile_words_of_file_and_zoom_stay_words(
    service: Service, meeting: SimMeeting, look: Look
) -> None:
    group, other = service.campaign.focus_groups
    service.take(replace(service.campaign, focus_groups=(replace(group, title=HOSTILE), other)))
    change(service, registration_url="javascript:alert(1)")
    with service.store.read() as connection:
        held = dict(promise.row_in(connection, "teletravail").held)  # type: ignore[union-attr]
    change(service, held=held | {"agenda": f'"{HOSTILE}', "start_time": None, "duration": None})
    page = look()
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 3
    assert "javascript:" not in page
    assert fields(card(page))["Début"][1].startswith("–")


def test_the_page_has_nothing_to_act_with(
    service: Service, meeting: SimMeeting, staff: Staff
) -> None:
    for role in ("reader", "admin"):
        assert "/staff/act/" not in staff(role).get("/staff/meetings").text
