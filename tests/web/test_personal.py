"""A registrant's own page: theirs alone, complete, and a place can be given up on it."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from urllib.parse import urlsplit

import jwt
import pytest
import requests
from sqlalchemy import select, update
from starlette.testclient import TestClient

import jobs
from jobs.clock import run_job
from resonance_zoom import acts, privacy
from resonance_zoom.links import Links
from resonance_zoom.service import Service
from resonance_zoom.store.tables import events, journal, letters, registrants
from resonance_zoom.store.tables import meetings as meetings_table
from resonance_zoom.web.app import make_app
from resonance_zoom.web.server import WebServer
from resonance_zoom.zoom.simulator import SimMeeting, SimulatedZoom
from tests.conftest import Clock
from tests.mail_server import MailServer


def run(service: Service, *names: str) -> None:
    for name in names:
        assert run_job(service, next(job for job in jobs.SCHEDULE if job.name == name)) is None


@pytest.fixture
def meetings(service: Service, zoom: SimulatedZoom) -> list[SimMeeting]:
    run(service, "create_meetings")
    return sorted(zoom.meetings.values(), key=lambda one: one.start_time)


@pytest.fixture
def link(
    service: Service, zoom: SimulatedZoom, meetings: list[SimMeeting], mail_server: MailServer
) -> str:
    """The link in Alice's letter; she is registered in both groups."""
    for meeting in meetings:
        zoom.register(meeting.id, email="alice@example.org", first_name="Alice", last_name="M")
    run(service, "sync_registrants", "deliver_letters")
    text = mail_server.to("alice@example.org")[0].text
    (found,) = [line for line in text.splitlines() if "/me/" in line]
    return found.removeprefix("http://localhost:8000")


def test_the_page_shows_all_my_registrations_with_my_own_links(
    visitor: TestClient, link: str, meetings: list[SimMeeting]
) -> None:
    answer = visitor.get(link)
    assert answer.status_code == 200
    assert answer.headers["x-robots-tag"] == "noindex"
    assert answer.headers["cache-control"] == "no-store"
    assert "Bonjour Alice" in answer.text
    for meeting in meetings:
        (own,) = meeting.registrants.values()
        assert (own.join_url or "?").replace("&", "&amp;") in answer.text
    assert answer.text.count("Confirmation le 11/01/2021 11:00") == 2


def test_giving_up_a_place_frees_it_and_leaves_the_other(
    service: Service,
    visitor: TestClient,
    link: str,
    meetings: list[SimMeeting],
    mail_server: MailServer,
) -> None:
    asked = visitor.get(f"{link}/withdraw/teletravail")
    assert "Renoncer à ma place" in asked.text
    assert len(meetings[0].registrants) == 1
    done = visitor.post(f"{link}/withdraw/teletravail")
    assert (done.status_code, done.headers["location"]) == (303, f"{link}?done=withdrawn")
    assert "Vous avez renoncé à votre place." in visitor.get(f"{link}?done=withdrawn").text
    run(service, "deliver_letters")
    kinds = [one.kind for one in mail_server.to("alice@example.org")]
    assert kinds == ["confirmation", "confirmation", "withdrawn"]
    with service.store.read() as connection:
        rows = connection.execute(select(registrants.c.focus_group, registrants.c.status))
        assert dict(tuple(row) for row in rows) == {
            "teletravail": "cancelled",
            "espaces-exterieurs": "approved",
        }


def test_pressed_twice_a_place_is_given_up_once(
    service: Service, visitor: TestClient, link: str
) -> None:
    for _ in range(2):
        assert visitor.post(f"{link}/withdraw/teletravail").status_code == 303
    with service.store.read() as connection:
        kinds = connection.execute(select(letters.c.kind)).scalars().all()
    assert kinds.count("withdrawn") == 1


def test_pressed_eight_times_at_once_a_place_is_given_up_once(
    service: Service, zoom: SimulatedZoom, link: str
) -> None:
    server = WebServer(make_app(service), host="127.0.0.1", port=0)
    server.start()
    address = f"http://127.0.0.1:{server.port}{urlsplit(link).path}/withdraw/teletravail"
    together = threading.Barrier(8)

    def press(_: int) -> tuple[int, str]:
        together.wait()
        answer = requests.post(address, allow_redirects=False, timeout=30)
        return answer.status_code, answer.headers["location"].partition("?")[2]

    with ThreadPoolExecutor(8) as people:
        assert set(people.map(press, range(8))) == {(303, "done=withdrawn")}
    server.stop()
    with service.store.read() as connection:
        said = connection.execute(
            select(journal.c.message).where(journal.c.kind.startswith("staff."))
        )
        assert said.scalars().all() == ["place given up (by registrant)"]
        owed = connection.exec_driver_sql("SELECT kind FROM letters WHERE state = 'queued'")
        assert owed.scalars().all() == ["withdrawn"]


def test_a_place_in_a_meeting_that_is_over_cannot_be_given_up_any_more(
    service: Service,
    zoom: SimulatedZoom,
    visitor: TestClient,
    link: str,
    meetings: list[SimMeeting],
    clock: Clock,
) -> None:
    clock.to(2021, 2, 9, 10)
    for press in (visitor.get, visitor.post):
        answer = press(f"{link}/withdraw/teletravail")
        assert (answer.status_code, answer.headers["location"]) == (303, link)
    assert [one.status for one in meetings[0].registrants.values()] == ["approved"]
    with service.store.read() as connection:
        kinds = set(connection.execute(select(letters.c.kind)).scalars())
    assert kinds == {"confirmation"}


def test_who_was_denied_has_not_given_up(service: Service, visitor: TestClient, link: str) -> None:
    with service.store.write() as connection:
        connection.execute(registrants.update().values(status="denied"))
    for press in (visitor.get, visitor.post):
        assert press(f"{link}/withdraw/teletravail").headers["location"] == link
    page = visitor.get(link).text
    assert page.count("inscription refusée") == 2
    assert "réinscrire" not in page


def test_nobody_is_invited_back_to_what_is_over(
    service: Service, visitor: TestClient, link: str, clock: Clock
) -> None:
    visitor.post(f"{link}/withdraw/teletravail")
    assert visitor.get(link).text.count("Vous pouvez vous réinscrire") == 1
    clock.to(2021, 2, 9, 10)
    assert "réinscrire" not in visitor.get(link).text


def test_a_meeting_that_is_called_off_offers_nothing(
    service: Service, visitor: TestClient, link: str, clock: Clock
) -> None:
    with service.store.write() as connection:
        connection.execute(update(meetings_table).values(cancelled_at=clock()))
    page = visitor.get(link).text
    assert page.count("rencontre annulée") == 2
    assert "Rejoindre" not in page
    assert visitor.get(f"{link}/teletravail.ics").status_code == 404
    assert visitor.post(f"{link}/withdraw/teletravail").headers["location"] == link


def test_who_has_no_name_is_greeted_all_the_same(
    service: Service, visitor: TestClient, link: str
) -> None:
    with service.store.write() as connection:
        connection.execute(registrants.update().values(first_name="", last_name="", join_url=None))
    page = visitor.get(link).text
    assert "<h1>Mes inscriptions</h1>" in page
    assert page.count("lien en préparation") == 2


def test_who_gave_up_may_come_back_and_gets_a_link_again(
    service: Service,
    zoom: SimulatedZoom,
    visitor: TestClient,
    link: str,
    meetings: list[SimMeeting],
    clock: Clock,
    mail_server: MailServer,
) -> None:
    visitor.post(f"{link}/withdraw/teletravail")
    run(service, "deliver_letters")
    clock.move(hours=1)
    zoom.register(meetings[0].id, email="alice@example.org", first_name="Alice")
    run(service, "sync_registrants", "deliver_letters")
    assert [one.kind for one in mail_server.to("alice@example.org")][-1] == "confirmation"
    assert "inscription enregistrée" in visitor.get(link).text


def test_when_zoom_is_down_the_place_is_kept_and_told_so(
    service: Service, zoom: SimulatedZoom, visitor: TestClient, link: str
) -> None:
    zoom.faults.api("meetingregistrantdelete", kind="429-daily")
    answer = visitor.post(f"{link}/withdraw/teletravail")
    assert answer.status_code == 503
    assert "votre place est gardée" in answer.text


def test_another_site_cannot_press_the_button(
    service: Service, visitor: TestClient, link: str
) -> None:
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
        assert visitor.post(f"{link}/withdraw/teletravail", headers=headers).status_code == 404
    assert "Renoncer à ma place" in visitor.get(link).text


def test_the_calendar_file_is_that_of_the_letter(
    visitor: TestClient, link: str, mail_server: MailServer
) -> None:
    answer = visitor.get(f"{link}/teletravail.ics")
    assert answer.headers["content-type"].startswith("text/calendar")
    (letter,) = [
        one
        for one in mail_server.to("alice@example.org")
        if "télétravail" in str(one.message["Subject"])
    ]
    assert answer.text.splitlines() == letter.calendar.splitlines()


def test_my_data_are_all_that_is_held_of_me(
    service: Service,
    visitor: TestClient,
    link: str,
    zoom: SimulatedZoom,
    meetings: list[SimMeeting],
) -> None:
    zoom.register(meetings[0].id, email="bob@example.org", first_name="Bob")
    run(service, "sync_registrants")
    answer = visitor.get(f"{link}/data.json")
    assert "attachment" in answer.headers["content-disposition"]
    known = json.loads(answer.text)
    assert len(known["registrations"]) == len(known["told"]) == len(known["letters"]) == 2
    assert known["journal"] != []
    assert set(known["registrations"][0]) == set(registrants.c.keys())
    assert set(known["told"][0]) == set(events.c.keys())
    assert set(known["letters"][0]) == set(letters.c.keys())
    assert "bob" not in answer.text.lower()


def test_every_link_that_is_not_mine_gets_the_same_page(
    service: Service, visitor: TestClient, link: str, clock: Clock
) -> None:
    key = service.settings.secret_key
    good = {"iss": "resonance-2021", "aud": "registrant", "sub": "1"}
    invitation = service.links.invitation("A", "admin", now=clock(), ends_at=clock.time)
    wrong = [
        link[:-2],
        link + "x",
        "/me/" + jwt.encode(good, "another key of thirty-two bytes!", algorithm="HS256"),
        "/me/" + jwt.encode(good, "", algorithm="none"),
        "/me/" + jwt.encode({**good, "iss": "other"}, key, algorithm="HS256"),
        "/me/" + jwt.encode({**good, "aud": "staff"}, key, algorithm="HS256"),
        "/me/" + jwt.encode({**good, "sub": "999"}, key, algorithm="HS256"),
        "/me/" + jwt.encode({**good, "sub": "1 OR 1"}, key, algorithm="HS256"),
        "/me/" + invitation.rpartition("/")[2],
        "/me/" + "x" * 5000,
    ]
    pages = {visitor.get(address).text for address in wrong}
    pages |= {
        visitor.get(f"{link[:-2]}/{path}").text for path in ("data.json", "a.ics", "withdraw/a")
    }
    pages |= {visitor.get(f"{link}/withdraw/nowhere").text, visitor.get(f"{link}/x.ics").text}
    clock.to(2021, 4, 14, 22)  # midnight in Paris: the data are to be erased
    pages.add(visitor.get(link).text)
    assert len(pages) == 1
    assert "Ce lien ne fonctionne pas" in pages.pop()


def test_the_link_lives_until_the_last_minute_of_the_campaign(
    visitor: TestClient, link: str, clock: Clock
) -> None:
    clock.to(2021, 4, 14, 21, 59)
    assert visitor.get(link).status_code == 200


def test_who_was_erased_has_no_page(service: Service, visitor: TestClient, link: str) -> None:
    desk = acts.Desk(service.store, service.campaign, service.now(), "Claire")
    privacy.erase(desk, service.zoom, 1)
    assert visitor.get(link).status_code == 404


class Skeleton(HTMLParser):
    """The tags of a page and the names of their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))


HOSTILE = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "<svg/onload=alert(1)>",
    "{{7*7}}", "{% raw %}", "${7*7}", "%(x)s", "{0.__class__}", "javascript:alert(1)",
    "</title><script>", "</p></article>", "<!--", "-->", "]]>", "&lt;script&gt;", "&#x3c;script&#x3e;",
    "' onmouseover='alert(1)", "` `", "\u202edrawkcab", "\u2028line", "=cmd|' /C calc'!A0",
    pytest.param("a\x00b", marks=pytest.mark.of_a_file),  # PostgreSQL holds no NUL
    "<a href=//evil.example>x</a>", "<style>*{display:none}</style>", "<base href=//evil.example>",
    "<meta http-equiv=refresh content=0>", "<iframe src=//evil.example>", "\ud83d\ude00😀", "é" * 300,
    "<form action=//evil.example>",
)  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_a_name(
    name: str, service: Service, visitor: TestClient, link: str
) -> None:
    before = Skeleton(visitor.get(link).text).tags
    with service.store.write() as connection:
        text = name.encode("utf-8", "replace").decode()
        connection.execute(registrants.update().values(first_name=text))
    assert Skeleton(visitor.get(link).text).tags == before


def test_a_personal_link_is_what_pyjwt_would_make_of_it() -> None:
    """It is made by hand, because each letter of a wave has one; it is read by the library."""
    key = "0123456789abcdef0123456789abcdef"
    claims = {"iss": "resonance-2021", "aud": "registrant", "sub": "7"}
    token = jwt.encode(claims, key, algorithm="HS256")
    assert Links(key, "https://example.org", "resonance-2021").personal(7) == (
        f"https://example.org/me/{token}"
    )
