"""The campaign page says what there is and what is open, to anybody, and also as files."""

from html.parser import HTMLParser
from pathlib import Path

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from jobs import create_meetings, sync_registrants
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.service import Service
from resonance_zoom.site import write_site
from resonance_zoom.store.tables import meetings, registrants
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import CAMPAIGN, Clock, Type

SOON = "Les inscriptions ouvriront bientôt."


def card(html: str, slug: str) -> str:
    """What the page says of one group."""
    return html.partition(f'aria-labelledby="{slug}"')[2].partition("</article>")[0]


def page(visitor: TestClient) -> str:
    answer = visitor.get("/")
    assert answer.status_code == 200
    return answer.text


def test_before_the_meetings_exist_registration_opens_soon(visitor: TestClient) -> None:
    html = page(visitor)
    first = card(html, "teletravail")
    assert "Accompagner le développement du télétravail" in first
    assert "mardi 9 février 2021, de 9\u00a0h\u00a000 à 11\u00a0h\u00a000, heure de Paris" in first
    assert "Où, comment, avec qui\u202f?" in first
    assert SOON in first
    assert "S’inscrire" not in html


def test_each_group_has_a_button_to_zooms_own_page(
    visitor: TestClient, service: Service, zoom: SimulatedZoom
) -> None:
    create_meetings.run(service)
    first, second = sorted(zoom.meetings.values(), key=lambda one: one.start_time)
    html = page(visitor)
    assert f'href="{first.registration_url}"' in card(html, "teletravail")
    assert f'href="{second.registration_url}"' in card(html, "espaces-exterieurs")
    assert html.index('id="teletravail"') < html.index('id="espaces-exterieurs"')


def test_an_address_that_is_not_zooms_is_never_a_button(
    visitor: TestClient, service: Service
) -> None:
    create_meetings.run(service)
    with service.store.write() as connection:
        connection.execute(update(meetings).values(registration_url="https://evil.example/"))
    html = page(visitor)
    assert "evil.example" not in html
    assert SOON in html


@pytest.mark.parametrize("state", ["missing", "duplicate", "intended"])
def test_a_meeting_in_trouble_is_not_open(
    visitor: TestClient, service: Service, state: str
) -> None:
    create_meetings.run(service)
    with service.store.write() as connection:
        connection.execute(update(meetings).values(state=state))
    assert SOON in card(page(visitor), "teletravail")


def test_a_group_that_is_over_is_marked_so(
    visitor: TestClient, service: Service, clock: Clock
) -> None:
    create_meetings.run(service)
    clock.to(2021, 2, 9, 10)
    html = page(visitor)
    assert "passée" in card(html, "teletravail")
    assert "S’inscrire" not in card(html, "teletravail")
    assert "S’inscrire" in card(html, "espaces-exterieurs")


def with_capacity(campaign_file: Path, places: int) -> None:
    text = CAMPAIGN.replace('slug = "teletravail"', f'slug = "teletravail"\ncapacity = {places}')
    campaign_file.write_text(text, encoding="utf-8")


def test_places_are_counted_down_to_none(
    service: Service, visitor: TestClient, zoom: SimulatedZoom, campaign_file: Path
) -> None:
    with_capacity(campaign_file, 2)
    service.take(load_campaign(campaign_file))
    create_meetings.run(service)
    meeting = min(zoom.meetings.values(), key=lambda one: one.start_time)
    assert "2 places libres" in card(page(visitor), "teletravail")
    zoom.register(meeting.id, email="a@example.org", first_name="A")
    sync_registrants.run(service)
    assert "1 place libre<" in card(page(visitor), "teletravail")
    zoom.register(meeting.id, email="b@example.org", first_name="B")
    sync_registrants.run(service)
    assert "complet" in card(page(visitor), "teletravail")
    assert "S’inscrire" not in card(page(visitor), "teletravail")


def test_who_waits_for_approval_takes_a_place(
    service: Service, visitor: TestClient, zoom: SimulatedZoom, campaign_file: Path
) -> None:
    with_capacity(campaign_file, 2)
    service.take(load_campaign(campaign_file))
    create_meetings.run(service)
    meeting = min(zoom.meetings.values(), key=lambda one: one.start_time)
    zoom.register(meeting.id, email="a@example.org", first_name="A")
    sync_registrants.run(service)
    for status, said in (("pending", "1 place libre<"), ("denied", "2 places libres")):
        with service.store.write() as connection:
            connection.execute(update(registrants).values(status=status))
        assert said in card(page(visitor), "teletravail")


def test_a_letter_that_may_not_leave_yet_makes_nobody_unready(
    service: Service, visitor: TestClient, zoom: SimulatedZoom, clock: Clock
) -> None:
    create_meetings.run(service)
    meeting = min(zoom.meetings.values(), key=lambda one: one.start_time)
    zoom.register(meeting.id, email="a@example.org", first_name="A")
    sync_registrants.run(service)
    clock.move(minutes=16)
    oldest = visitor.get("/readyz").json()["points"]["oldest_due_letter"]
    assert oldest == {"ok": False, "says": "2021-01-11T10:00:00+00:00"}
    with service.store.write() as connection:
        connection.exec_driver_sql("UPDATE letters SET ready_at = '2021-01-11 11:00:00.000000'")
    oldest = visitor.get("/readyz").json()["points"]["oldest_due_letter"]
    assert oldest == {"ok": True, "says": "none waits"}


def test_a_group_that_was_called_off_is_marked_so(
    service: Service, visitor: TestClient, campaign_file: Path
) -> None:
    create_meetings.run(service)
    text = CAMPAIGN.replace('slug = "teletravail"', 'slug = "teletravail"\ncancelled = true')
    campaign_file.write_text(text, encoding="utf-8")
    service.take(load_campaign(campaign_file))
    assert "annulée" in card(page(visitor), "teletravail")
    assert "S’inscrire" not in card(page(visitor), "teletravail")


def test_the_page_says_what_becomes_of_personal_data(visitor: TestClient) -> None:
    html = page(visitor)
    for words in (
        "Elles sont effacées le 15 avril 2021, 30\u00a0jours après la dernière rencontre",
        "Zoom, qui héberge l’inscription",
        "mailto:contact@example.org",
        "CNIL",
    ):
        assert words in html.replace("&nbsp;", "\u00a0"), words
    assert "Mentions légales" not in html


def test_the_notices_are_those_of_the_file(
    service: Service, visitor: TestClient, campaign_file: Path
) -> None:
    more = """
[privacy]
keep_days_after_last = 10
controller = "Association <Résonance>"
contact = "donnees@example.org"

[legal]
publisher = "L’association, Tours"
host = "Un hébergeur"
"""
    head, first, second = CAMPAIGN.split("[[focus_group]]")
    campaign_file.write_text(
        head.replace('language = "fr"', 'language = "fr"\nabout = "Agir ensemble !"\ninvited = "Tous"')
        + more + "[[focus_group]]" + first + "[[focus_group]]" + second,
        encoding="utf-8",
    )  # fmt: skip
    service.take(load_campaign(campaign_file))
    html = page(visitor)
    for words in ("Association &lt;Résonance&gt;", "donnees@example.org", "le 26 mars 2021",
                  "L’association, Tours", "Un hébergeur", "Agir ensemble\u202f!", "Tous"):  # fmt: skip
        assert words in html, words


class Links(HTMLParser):
    """Every address in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [value or "" for name, value in attrs if name in {"href", "src"}]


def test_the_static_page_leans_on_nothing_but_its_own_files_and_zoom(
    types: Type, service: Service, zoom: SimulatedZoom, tmp_path: Path
) -> None:
    create_meetings.run(service)
    folder = tmp_path / "site"
    code, _, _ = types("site", "--output", str(folder))
    assert code == 0
    assert sorted(path.name for path in folder.iterdir()) == ["icon.svg", "index.html", "style.css"]
    links = Links()
    links.feed((folder / "index.html").read_text(encoding="utf-8"))
    assert "script" not in links.tags
    zooms = {one.registration_url for one in zoom.meetings.values()}
    ours = {"#contenu", "#donnees", "style.css", "icon.svg", "mailto:contact@example.org"}
    assert set(links.found) <= zooms | ours


def test_a_folder_that_cannot_be_written_is_told(service: Service, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    from resonance_zoom.errors import ResonanceError

    with pytest.raises(ResonanceError, match="cannot write to"):
        write_site(service.campaign, None, service.now(), tmp_path / "file" / "site")


def test_what_is_not_there_gets_a_calm_page(visitor: TestClient) -> None:
    answer = visitor.get("/nowhere")
    assert answer.status_code == 404
    assert "Page introuvable" in answer.text


def test_a_fault_of_ours_gets_a_calm_page_with_a_number(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resonance_zoom.web import public
    from resonance_zoom.web.app import make_app

    def breaks(*_: object) -> None:
        raise RuntimeError("secret words")

    monkeypatch.setattr(public, "cards", breaks)
    browser = TestClient(
        make_app(service), base_url="http://localhost:8000", raise_server_exceptions=False
    )
    answer = browser.get("/")
    assert answer.status_code == 500
    assert "Un problème est survenu" in answer.text
    assert "secret words" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
