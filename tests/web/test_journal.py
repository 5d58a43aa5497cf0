"""Staff read in French what happened to whom, find any line at once, and see what needs them."""

import ast
import html
import random
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy import text as sql
from starlette.testclient import TestClient

import jobs
from jobs.clock import run_job
from resonance_zoom import meetings, registrations
from resonance_zoom.campaign import Campaign
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.service import Service
from resonance_zoom.store import journal, people
from resonance_zoom.store.engine import Store
from resonance_zoom.store.tables import journal as journal_table
from resonance_zoom.web.server import WebServer
from resonance_zoom.web.staff import events, facts, journal_search
from resonance_zoom.web.staff.events import FAMILIES, WORDS, Occurrence, family_of, say
from resonance_zoom.web.staff.journal_search import Wanted
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import Clock
from tests.mail_server import MailServer

Staff = Callable[..., TestClient]
HOSTILE = '<script>alert("Zoé & Cie")</script>'


def run(service: Service, name: str) -> None:
    job = next(line for line in jobs.SCHEDULE if line.name == name)
    run_job(service, job)


@pytest.fixture
def meeting_ids(service: Service, zoom: SimulatedZoom, web_server: WebServer) -> list[int]:
    """Both meetings exist on Zoom, and Zoom calls us."""
    run(service, "create_meetings")
    zoom.subscribe(f"http://127.0.0.1:{web_server.port}/webhooks/zoom")
    return sorted(zoom.meetings, key=lambda one: zoom.meetings[one].start_time)


@pytest.fixture
def campaign(campaign_file: Path) -> Campaign:
    """The campaign alone, for what needs no service."""
    return load_campaign(campaign_file)


def note(service: Service, kind: str, message: str = "said in English", **more: Any) -> int:
    """One line, written the way the service writes it; its number."""
    at = more.pop("at", service.now())
    with service.store.write() as connection:
        journal.note(connection, at, kind, message, **more)
        number = connection.exec_driver_sql("SELECT max(id) FROM journal").scalar()
    return int(number or 0)


def register(service: Service, first_name: str, last_name: str, email: str) -> int:
    at = service.now()
    with service.store.write() as connection:
        person = ("teletravail", people.fold(email))
        state = {"first_name": first_name, "last_name": last_name, "email": email,
                 "status": "approved", "episode": 1, "registered_at": at, "decided_ts": 0,
                 "source": "webhook"}  # fmt: skip
        return people.save(connection, {person: state}, known={})[person]


def lines_in(page: str) -> list[str]:
    """The lines of a page as a reader sees them: time, word and sentence in one text each."""
    found = re.findall(r'<li class="line".*?</li>', page, flags=re.DOTALL)
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", one)).split()) for one in found]


def numbers_in(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'<a href="/staff/journal/(\d+)"', page)]


def href(page: str, words: str) -> str:
    """Where the link with these words leads."""
    found = re.search(rf'<a [^>]*href="([^"]*)"[^>]*>[^<]*{re.escape(words)}', page)
    assert found is not None, words
    return html.unescape(found[1])


# ---- what staff read -------------------------------------------------------------------------


def test_a_registration_is_told_from_the_announcement_to_the_letter(
    service: Service, zoom: SimulatedZoom, meeting_ids: list[int], staff: Staff, clock: Clock
) -> None:
    zoom.register(meeting_ids[0], email="zoe@example.org", first_name="Zoé", last_name="Martin")
    zoom.deliver_due()
    clock.move(minutes=1)
    run(service, "deliver_letters")
    clock.move(minutes=3)
    alice = staff("reader")
    page = alice.get("/staff/journal?person=zoe").text
    assert lines_in(page) == [
        "il y a 3 min 11/01/2021 11:01 fait Courrier envoyé : confirmation."
        " Zoé Martin (n° 1) · Accompagner le développement du télétravail",
        "il y a 4 min 11/01/2021 11:00 fait Zoom annonce une inscription (inscrit)."
        " Zoé Martin (n° 1) · Accompagner le développement du télétravail",
    ]
    assert 'href="/staff/people/1"' in page
    assert 'title="lundi 11 janvier 2021 à 11\u00a0h\u00a001\u00a0min\u00a000\u00a0s"' in page


def test_a_hostile_name_is_text_and_the_journal_itself_holds_no_name(
    service: Service, zoom: SimulatedZoom, meeting_ids: list[int], staff: Staff
) -> None:
    zoom.register(meeting_ids[0], email="zoe@example.org", first_name=HOSTILE)
    zoom.deliver_due()
    alice = staff("reader")
    listing = alice.get("/staff/journal?kind=webhooks").text
    opened = alice.get(f"/staff/journal/{numbers_in(listing)[0]}").text
    for page in (listing, opened, alice.get(f"/staff/journal?person={HOSTILE}").text):
        assert "<script" not in page
        assert "&lt;script&gt;alert(&#34;Zoé &amp; Cie&#34;)&lt;/script&gt;" in page
    with service.store.read() as connection:
        stored = str(connection.exec_driver_sql("SELECT message, data FROM journal").all())
    assert "Zoé" not in stored
    assert "example.org" not in stored


def test_hostile_words_in_the_data_of_a_line_stay_text(service: Service, staff: Staff) -> None:
    number = note(
        service, "staff.pause", HOSTILE, by=HOSTILE, **{"<b>": HOSTILE, "list": [HOSTILE, {"a": 1}]}
    )
    for address in ("/staff/journal", f"/staff/journal/{number}"):
        page = staff("reader", "Bob").get(address).text
        assert "<script" not in page
        assert "<b>" not in page
        assert "Cie&#34;)&lt;/script&gt; suspend tous les envois." in page


def test_a_personal_link_is_never_shown(service: Service, staff: Staff) -> None:
    number = note(service, "registration.approved", join_url="https://zoom.us/w/1?tk=secret")
    page = staff("admin").get(f"/staff/journal/{number}").text
    assert "tk=secret" not in page
    assert "(personnel, non affiché)" in page


def test_an_unknown_kind_is_told_in_the_words_that_were_stored(
    service: Service, staff: Staff
) -> None:
    note(service, "moon.rose", "The moon rose", level=journal.ERROR)
    page = staff("reader").get("/staff/journal?kind=moon.rose").text
    assert 'Le service a noté\u00a0: <span lang="en">The moon rose</span>' in page
    assert "à vous d’agir" in page


def test_technical_lines_are_hidden_until_they_are_asked_for(
    service: Service, meeting_ids: list[int], staff: Staff
) -> None:
    run(service, "sync_registrants")
    alice = staff("reader")
    usual = " ".join(lines_in(alice.get("/staff/journal").text))
    assert "lire une liste d’inscrits" not in usual
    assert "créer la réunion (réponse 201)" in usual
    whole = " ".join(lines_in(alice.get("/staff/journal?level=all").text))
    assert "Demande à Zoom : lire une liste d’inscrits (réponse 200)." in whole
    assert "créer la réunion (réponse 201)" in whole
    only = lines_in(alice.get("/staff/journal?level=debug&size=200").text)
    assert not any("créer la réunion" in one for one in only)


# ---- three words -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "level", "data", "word"),
    [
        ("letter.sent", "info", {}, "fait"),
        ("letter.deferred", "warning", {}, "se réglera seul"),
        ("letter.failed", "error", {}, "à vous d’agir"),
        ("letter.dropped", "info", {"reason": "cancelled"}, "fait"),
        ("letter.dropped", "warning", {"reason": "too_late"}, "à vous d’agir"),
        ("letter.doubt_settled", "warning", {}, "se réglera seul"),
        ("letter.doubt_settled", "error", {}, "à vous d’agir"),
        ("letters.dropped", "warning", {"letters": 3}, "à vous d’agir"),
        ("mail.unreachable", "warning", {}, "se réglera seul"),
        ("mail.unreachable", "error", {}, "à vous d’agir"),
        ("clock.held", "error", {}, "à vous d’agir"),
        ("registration.created", "info", {"after": "approved"}, "fait"),
        ("registration.created", "info", {"after": "pending"}, "à vous d’agir"),
        ("registration.listed", "warning", {"after": "approved"}, "fait"),
        ("registration.unlisted", "warning", {"after": "cancelled"}, "fait"),
        ("sweep.repaired", "warning", {"repaired": 2, "absent": 0}, "fait"),
        ("sweep.repaired", "info", {"absent": 2}, "se réglera seul"),
        ("sweep.failed", "warning", {"status": 500}, "se réglera seul"),
        ("sweep.failed", "warning", {"status": 401}, "à vous d’agir"),
        ("sweep.many_gone", "error", {}, "à vous d’agir"),
        ("zoom.call", "debug", {"status": 200}, "fait"),
        ("zoom.call", "warning", {"status": 429}, "se réglera seul"),
        ("zoom.call", "warning", {"status": 0}, "se réglera seul"),
        ("zoom.call", "warning", {"status": 401}, "à vous d’agir"),
        ("meeting.moved", "warning", {}, "fait"),
        ("meeting.edit_seen", "info", {}, "se réglera seul"),
        ("meeting.cancelled", "warning", {}, "à vous d’agir"),
        ("meeting.missing", "warning", {}, "se réglera seul"),
        ("meeting.missing", "error", {}, "à vous d’agir"),
        ("campaign.refused", "error", {}, "à vous d’agir"),
        ("staff.not_allowed", "warning", {}, "fait"),
        ("made.up", "warning", {}, "se réglera seul"),
        ("made.up", "error", {}, "à vous d’agir"),
    ],
)
def test_each_line_says_whether_somebody_is_needed(
    campaign: Campaign, kind: str, level: str, data: dict[str, Any], word: str
) -> None:
    assert say(Occurrence(kind, level, data), campaign).verdict == word


@pytest.mark.parametrize(
    ("kind", "data", "sentence"),
    [
        (
            "letter.deferred",
            {"letter_kind": "reminder-7", "again_at": "2021-02-02T13:05:00+00:00"},
            "Courrier remis à plus tard (rappel à 7 jours) : nouvel essai mardi 2 février 2021"
            " à 14 h 05.",
        ),
        ("letter.deferred", {}, "Courrier remis à plus tard."),
        (
            "letter.failed",
            {"letter_kind": "confirmation", "reason": "refused"},
            "Courrier non parti (confirmation) : le serveur de courrier l’a refusé.",
        ),
        (
            "letters.owed",
            {"letters": 1, "letter_kind": "reminder-1"},
            "1 courrier est à envoyer : rappel à 1 jour.",
        ),
        (
            "letters.owed",
            {"letters": 12, "letter_kind": "reminder-1"},
            "12 courriers sont à envoyer : rappel à 1 jour.",
        ),
        (
            "meeting.moved",
            {"start": "2021-02-10T08:00:00+00:00", "told": 0},
            "Réunion déplacée au mercredi 10 février 2021 à 9 h 00 ; 0 personne est prévenue.",
        ),
        (
            "meeting.edit_seen",
            {"edit": {"duration": 90}, "acts_at": "2021-01-11T10:10:00+00:00"},
            "Changement vu dans le fichier (durée (min) : 90) : appliqué lundi 11 janvier 2021"
            " à 11 h 10, s’il n’est pas corrigé d’ici là.",
        ),
        (
            "registration.listed",
            {"before": "pending", "after": "approved"},
            "La liste de Zoom a réparé une inscription (en attente → inscrit).",
        ),
        (
            "registration.listed",
            {"before": None, "after": "approved"},
            "La liste de Zoom a révélé une inscription (inscrit).",
        ),
        (
            "sweep.repaired",
            {"listed": 40, "repaired": 1, "gone": 0, "absent": 2},
            "Liste de Zoom relue : 40 inscrits, 1 réparé, 0 disparu, 2 absents.",
        ),
        ("staff.pause", {"by": "Bob {by}"}, "Bob {by} suspend tous les envois."),
    ],
)
def test_a_sentence_holds_the_figures_of_its_line(
    campaign: Campaign, kind: str, data: dict[str, Any], sentence: str
) -> None:
    said = say(Occurrence(kind, "info", data), campaign)
    assert said.sentence.replace("\u00a0", " ").replace("\u202f", " ") == sentence


@pytest.mark.parametrize(
    "data",
    [
        {},
        dict.fromkeys(facts.LABELS),
        dict.fromkeys(facts.LABELS, "?"),
        dict.fromkeys(facts.LABELS, 10**40),
        {name: [{"x": None}, []] for name in facts.LABELS},
        dict.fromkeys(facts.LABELS, "9999-99-99T99:99:99+00:00"),
        dict.fromkeys(facts.LABELS, "0001-01-01T00:00:00+23:00"),
        dict.fromkeys(facts.LABELS, True),
        {name: float("inf") for name in facts.LABELS},
        dict.fromkeys(facts.LABELS, "x" * 5000),
    ],
)
def test_whatever_the_journal_holds_can_be_shown(campaign: Campaign, data: dict[str, Any]) -> None:
    for kind in WORDS:
        assert say(Occurrence(kind, "info", data), campaign).sentence
    assert all(len(value) <= 601 for _, value in facts.listed(data, campaign))


def test_every_sentence_is_set_as_french_is() -> None:
    for kind, words in WORDS.items():
        for text in (*words.sentence, words.then):
            assert "'" not in text, kind
            assert not re.search(r" [:;!?»]|« |\u00a0[;!?]|n° ", text), (kind, text)
            assert not text or text.endswith("."), (kind, text)
            assert "{" not in re.sub(r"\{\w+(:[^{}|]+\|[^{}|]+)?\}", "", text), (kind, text)
            assert set(re.findall(r"\{(\w+)", text)) <= set(facts.LABELS), (kind, text)
        assert "{" not in words.sentence[-1] or words.sentence[-1].count("{by}"), kind
        assert family_of(kind) in FAMILIES


# ---- every kind has words --------------------------------------------------------------------

# Where a kind is computed: what it may be. `()` is a function that hands on what its callers say.
COMPUTED: dict[str, tuple[str, ...]] = {
    "kind": (),
    "line.kind": (),
    "f'staff.{kind}'": (),
    "f'meeting.{step.action}'": ("meeting.missing", "meeting.duplicate"),
    "f'meeting.{done}'": tuple(f"meeting.{done}" for done in meetings._DONE.values()),
    "REGISTRATION_EVENTS.get(event.event, f'registration.{event.event}')": (
        *registrations.REGISTRATION_EVENTS.values(),
        *(
            f"registration.{event}"
            for event in (registrations.LISTED, registrations.UNLISTED, registrations.WITHDRAWN)
        ),
    ),
}


def kinds_of(call: ast.Call) -> list[str]:
    """The kinds that a call writes to the journal; none for every other call."""
    match call.func:
        case ast.Attribute(attr="note", value=ast.Name(id="journal")):
            place, before = 2, ""
        case ast.Attribute(attr="note"):  # a Desk's
            place, before = 1, "staff."
        case ast.Attribute(attr="_note", value=ast.Name(id="self")):
            place, before = 2, ""
        case ast.Name(id="note_letter"):
            place, before = 3, ""
        case ast.Name(id="_acted"):
            place, before = 1, "staff."
        case ast.Name(id="_Line"):
            place, before = 0, ""
        case _:
            return []
    return [before + kind for kind in said_by(call.args[place])]


def said_by(expression: ast.expr) -> tuple[str, ...]:
    match expression:
        case ast.Constant(value=str(kind)):
            return (kind,)
        case ast.IfExp():
            return said_by(expression.body) + said_by(expression.orelse)
    words = ast.unparse(expression)
    assert words in COMPUTED, f"tell this test what kinds {words} may be"
    return COMPUTED[words]


def test_every_kind_that_the_code_writes_has_french_words() -> None:
    root = Path(meetings.__file__).parent
    found = {
        kind: f"{path.name}:{call.lineno}"
        for folder in (root, root.parent / "jobs")
        for path in folder.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call)
        for kind in kinds_of(call)
    }
    assert len(found) > 40
    assert {kind: place for kind, place in found.items() if kind not in WORDS} == {}


# ---- filters ---------------------------------------------------------------------------------


@pytest.fixture
def varied(service: Service, clock: Clock) -> None:
    """One line of each family over three local days, two people."""
    register(service, "Élodie", "Œuvrard", "elodie@example.org")
    register(service, "Bob", "Petit", "bob@example.org")
    clock.to(2021, 1, 11, 22, 59, 59)
    note(service, "webhook.challenge")
    clock.to(2021, 1, 11, 23, 0, 0)  # midnight in Paris
    note(service, "sweep.failed", level=journal.WARNING, focus_group="teletravail")
    note(service, "zoom.call", level=journal.DEBUG, operation="user")
    clock.to(2021, 1, 12, 22, 59, 59)
    note(service, "letter.sent", focus_group="teletravail", registrant=1, letter_kind="moved")
    note(service, "letter.failed", level=journal.ERROR, registrant=2, letter_kind="moved")
    clock.to(2021, 1, 12, 23, 0, 0)
    note(service, "meeting.found", focus_group="espaces-exterieurs")
    note(service, "staff.resume", by="Bob")
    note(service, "service.stopped")


FILTERS: tuple[tuple[str, list[int]], ...] = (
    ("", [8, 7, 6, 5, 4, 2, 1]),
    ("level=all", [8, 7, 6, 5, 4, 3, 2, 1]),
    ("level=debug", [3]),
    ("level=error", [5]),
    ("level=warning", [2]),
    ("group=teletravail", [4, 2]),
    ("kind=webhooks", [1]),
    ("kind=sync", [2]),
    ("kind=zoom", []),
    ("kind=zoom&level=all", [3]),
    ("kind=letters", [5, 4]),
    ("kind=letter.failed", [5]),
    ("kind=meetings", [6]),
    ("kind=staff", [7]),
    ("kind=service", [8]),
    ("kind=letters&group=teletravail", [4]),
    ("kind=letters&level=error&person=bob", [5]),
    ("kind=letters&level=error&person=1", []),
    ("person=1", [4]),
    ("person=oeuvrard+ELODIE", [4]),
    ("person=%C3%89lodie", [4]),
    ("person=@example.org", [5, 4]),
    ("person=%25", []),
    ("from=2021-01-12", [8, 7, 6, 5, 4, 2]),
    ("from=2021-01-12&to=2021-01-12", [5, 4, 2]),
    ("to=2021-01-11", [1]),
    ("from=2021-01-14", []),
    ("group=&kind=&level=&person=&from=&to=", [8, 7, 6, 5, 4, 2, 1]),
)


def test_filters_leave_what_they_say(varied: None, staff: Staff) -> None:
    alice = staff("reader")  # signing in is line 9
    shown = {}
    for query, _ in FILTERS:
        page = alice.get(f"/staff/journal?{query}").text
        shown[query] = [number for number in numbers_in(page) if number <= 8]
    assert shown == dict(FILTERS)


WRONG = (
    ("group=nowhere", "«\u00a0nowhere\u00a0» est inconnu"),
    ("kind=nothing", "«\u00a0nothing\u00a0» est inconnu"),
    ("level=loud", "«\u00a0loud\u00a0» est inconnu"),
    ("from=2021-02-30", "«\u00a02021-02-30\u00a0» n’est pas une date possible"),
    ("to=9999-12-31", "«\u00a09999-12-31\u00a0» n’est pas une date possible"),
    ("from=0001-01-01", "n’est pas une date possible"),
    ("from=2021-01-13&to=2021-01-11", "La période finit avant de commencer"),
    ("before=x", "«\u00a0x\u00a0» n’est pas un nombre possible"),
    ("before=0", "n’est pas un nombre possible"),
    ("before=-1", "n’est pas un nombre possible"),
    ("after=99999999999999999999", "n’est pas un nombre possible"),
    ("after=%C2%B2", "n’est pas un nombre possible"),
    ("size=201", "n’est pas un nombre possible"),
    ("live=1", "attend au moins 2 secondes"),
    ("live=61", "n’est pas un nombre possible"),
    ("live=soon", "n’est pas un nombre possible"),
    ("group=" + "x" * 101, "plus de 100 caractères"),
    ("person=" + "x" * 101, "plus de 100 caractères"),
)


def hints_in(page: str) -> list[str]:
    return [html.unescape(one) for one in re.findall(r'<p class="notice"[^>]*>(.*?)</p>', page)]


def test_a_wrong_filter_is_ignored_and_said_so(varied: None, staff: Staff) -> None:
    alice = staff("reader")
    for query, hint in WRONG:
        answer = alice.get(f"/staff/journal?{query}")
        assert answer.status_code == 200, query
        assert any(hint in one for one in hints_in(answer.text)), query
        left_out = 4 if "from=2021-01-13" in query else 0  # its beginning still counts
        assert len(numbers_in(answer.text)) == 8 - left_out, query


def test_words_that_nobody_answers_to_find_nobody(varied: None, staff: Staff) -> None:
    alice = staff("reader")
    for words in ("nobody%00", "%FF%FE", "%CC%81", "1%27%20OR%201=1", "9" * 20, "%25", "_"):
        page = alice.get(f"/staff/journal?person={words}").text
        assert any("Personne ne correspond à" in hint for hint in hints_in(page)), words
        assert numbers_in(page) == [], words


def test_a_name_that_too_many_have_asks_for_more(service: Service, staff: Staff) -> None:
    for number in range(102):
        register(service, "Alice", f"Martin {number}", f"m{number}@example.org")
    for number in (1, 2, 3, 102):
        note(service, "letter.sent", registrant=number)
    page = staff("reader").get("/staff/journal?person=martin").text
    assert "Plus de 100 personnes correspondent à «\u00a0martin\u00a0»" in page
    assert numbers_in(page) == [4, 3]  # those of the 100 who registered last


def test_the_form_and_the_links_keep_what_was_chosen(varied: None, staff: Staff) -> None:
    alice = staff("reader")
    query = "group=teletravail&kind=sync&level=warning&person=&from=2021-01-01&to=2021-01-31"
    page = alice.get(f"/staff/journal?{query}").text
    for chosen in (
        '<option value="teletravail" selected>',
        '<option value="sync" selected>',
        '<option value="warning" selected>',
        'type="date" value="2021-01-01"',
        'type="date" value="2021-01-31"',
    ):
        assert chosen in page
    assert href(page, "Suivre en direct") == (
        "/staff/journal?group=teletravail&kind=sync&level=warning"
        "&from=2021-01-01&to=2021-01-31&live=5"
    )


# ---- pages -----------------------------------------------------------------------------------


def test_pages_are_turned_there_and_back(service: Service, staff: Staff) -> None:
    alice = staff("reader")  # line 1
    for _ in range(119):
        note(service, "service.stopped")
    first = alice.get("/staff/journal").text
    assert numbers_in(first) == list(range(120, 70, -1))
    assert "Plus récent" not in first
    note(service, "service.stopped")  # what is new moves no page
    second = alice.get(href(first, "Plus ancien")).text
    assert numbers_in(second) == list(range(70, 20, -1))
    third = alice.get(href(second, "Plus ancien")).text
    assert numbers_in(third) == list(range(20, 0, -1))
    assert "Plus ancien" not in third
    again = alice.get(href(third, "Plus récent")).text
    assert numbers_in(again) == list(range(70, 20, -1))
    newest = alice.get(href(again, "Plus récent")).text
    assert numbers_in(newest) == list(range(120, 70, -1))
    top = alice.get(href(newest, "Plus récent")).text
    assert numbers_in(top) == list(range(121, 71, -1))  # a whole page, not the one new line
    assert "Plus récent" not in top
    assert len(numbers_in(alice.get("/staff/journal?size=100").text)) == 100


def test_a_page_past_the_end_leads_back(service: Service, staff: Staff) -> None:
    page = staff("reader").get("/staff/journal?before=1").text
    assert "Aucune ligne ne correspond à ces filtres." in page
    back = href(page, "Plus récent")
    assert back == "/staff/journal"


def test_the_live_view_looks_again_by_a_header_and_can_be_stopped(
    service: Service, staff: Staff, clock: Clock
) -> None:
    alice = staff("reader")
    clock.move(seconds=5)
    quiet = alice.get("/staff/journal?kind=staff")
    assert "refresh" not in quiet.headers
    live = alice.get(href(quiet.text, "Suivre en direct"))
    assert live.headers["refresh"] == "5"
    assert "http-equiv" not in live.text
    assert (
        "Rafraîchi le lundi 11 janvier 2021 à 11\u00a0h\u00a000\u00a0min\u00a005\u00a0s"
        in live.text
    )
    assert href(live.text, "Arrêter") == "/staff/journal?kind=staff"
    assert '<input type="hidden" name="live" value="5">' in live.text
    assert "refresh" not in alice.get("/staff/journal?live=5&before=2").headers


# ---- the search itself -----------------------------------------------------------------------

KINDS = ("letter.sent", "letter.failed", "zoom.call", "service.stopped")
GROUPS = (None, "a", "b")
LEVELS = ("debug", "info", "warning", "error")
BEGAN = datetime(2021, 1, 11, tzinfo=UTC)


@pytest.fixture
def many(service: Service) -> list[dict[str, Any]]:
    """500 lines of every mixture, a minute apart, some dated up to 50 minutes too early."""
    dice = random.Random(7)  # noqa: S311 — the same lines each time
    rows = [
        {
            "id": number,
            "at": BEGAN + timedelta(minutes=number - dice.choice((0, 0, 0, 50))),
            "level": dice.choices(LEVELS, (80, 15, 4, 1))[0],
            "kind": dice.choices(KINDS, (30, 2, 60, 1))[0],
            "focus_group": dice.choice(GROUPS),
            "registrant": dice.choice((None, *range(1, 6))),
            "message": "",
            "data": {},
        }
        for number in range(1, 501)
    ]
    with service.store.write() as connection:
        connection.execute(insert(journal_table), rows)
    return rows


def passes(row: dict[str, Any], wanted: Wanted) -> bool:
    return (
        (wanted.groups is None or row["focus_group"] in wanted.groups)
        and (wanted.kinds is None or row["kind"] in wanted.kinds)
        and (wanted.levels is None or row["level"] in wanted.levels)
        and (wanted.people is None or row["registrant"] in wanted.people)
        and (wanted.since is None or row["at"] >= wanted.since)
        and (wanted.until is None or row["at"] < wanted.until)
    )


def walked(store: Store, wanted: Wanted, *, backwards: bool, looks: int) -> list[int]:
    """All that turning pages brings, from one end to the other."""
    ids: list[int] = []
    at: int | None = None if backwards else 0
    for _ in range(600):
        with store.read() as connection:
            found = (
                journal_search.find(connection, wanted, limit=7, before=at, looks=looks)
                if backwards
                else journal_search.find(connection, wanted, limit=7, after=at, looks=looks)
            )
        assert len(found.ids) <= 7
        ids += found.ids
        if found.looked_to is not None:
            at = found.looked_to
        elif found.more:
            at = found.ids[-1]
        else:
            return ids
    raise AssertionError("there is no end")


@pytest.mark.parametrize("looks", [10, 40_000])
def test_turning_pages_brings_every_line_once_whatever_is_asked_for(
    service: Service, many: list[dict[str, Any]], looks: int
) -> None:
    dice = random.Random(3)  # noqa: S311 — the same filters each time
    for _ in range(40):
        wanted = some_filters(dice)
        expected = [row["id"] for row in many if passes(row, wanted)]
        assert walked(service.store, wanted, backwards=False, looks=looks) == expected, wanted
        assert walked(service.store, wanted, backwards=True, looks=looks) == expected[::-1], wanted


def some_filters(dice: random.Random) -> Wanted:
    some = BEGAN + timedelta(minutes=dice.randint(0, 500))
    return Wanted(
        groups=dice.choice((None, ("a",))),
        kinds=dice.choice((None, ("letter.sent", "letter.failed"), ("service.stopped",), ())),
        levels=dice.choice((None, ("info", "warning", "error"), ("debug",), ("error",))),
        people=dice.choice((None, None, (2,), (1, 3, 4))),
        since=dice.choice((None, some)),
        until=dice.choice((None, some + timedelta(minutes=200))),
    )


@pytest.fixture
def long(service: Service) -> None:
    """82,001 lines: what is looked for lies behind all others."""
    with service.store.write() as connection:
        for kind, level, group, count in (
            ("sweep.done", "debug", "teletravail", 1),
            ("letter.sent", "info", "teletravail", 41_000),
            ("zoom.call", "debug", None, 41_000),
        ):
            connection.execute(
                sql(
                    "INSERT INTO journal (at, level, kind, focus_group, message, data)"
                    " WITH RECURSIVE n(i) AS"
                    " (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)"
                    " SELECT '2021-01-11 09\\:59\\:00.000000', :level, :kind, :group, '', '{}' FROM n"
                ),
                {"count": count, "level": level, "kind": kind, "group": group},
            )


def test_a_search_that_must_end_says_how_far_it_looked_and_goes_on_from_there(
    long: None, staff: Staff
) -> None:
    alice = staff("reader")
    page = alice.get("/staff/journal?level=debug&group=teletravail").text
    assert lines_in(page) == []
    assert "Aucune ligne trouvée." in page
    assert "Recherche arrêtée aux lignes du lundi 11 janvier 2021 à 10\u00a0h\u00a059" in page
    assert "Suivre en direct" in page
    further = alice.get(href(page, "Chercher plus loin")).text
    assert numbers_in(further) == [1]
    assert "Chercher plus loin" not in further


@pytest.mark.of_a_file  # the steps are SQLite's
@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(kinds=("letter.sent",), levels=("debug",)),
        Wanted(groups=("teletravail",), levels=("debug",)),
        Wanted(kinds=("sweep.done",), groups=("teletravail",), levels=("debug",)),
        Wanted(kinds=("sweep.done",), levels=("debug",)),
        Wanted(kinds=("nothing",), groups=("teletravail",), levels=None),
        Wanted(people=(1,), groups=("teletravail",), kinds=("letter.sent",), levels=None),
        Wanted(people=(1,), levels=("info",)),
    ],
)
def test_a_search_costs_no_more_than_its_looks(
    service: Service, long: None, wanted: Wanted
) -> None:
    """However the database would like to go about it, counted in its own steps."""
    steps = 0

    def stepped() -> None:
        nonlocal steps
        steps += 100

    with service.store.read() as connection:
        database: Any = connection.connection.driver_connection
        database.set_progress_handler(stepped, 100)
        journal_search.find(connection, wanted, limit=50, looks=100)
        database.set_progress_handler(None, 0)
    assert steps < 10_000


def test_kinds_are_known_without_reading_the_journal(
    service: Service, many: list[dict[str, Any]]
) -> None:
    with service.store.read() as connection:
        assert journal_search.kinds(connection) == sorted(KINDS)


@pytest.mark.of_a_file  # the plans are SQLite's
def test_no_search_sorts_or_scans(service: Service, many: list[dict[str, Any]]) -> None:
    """Every query of every filter is a walk along an index, however long the journal."""
    statements: list[tuple[str, Any]] = []
    with service.store.read() as connection:
        original = connection.execute

        def watched(statement: Any, *rest: Any) -> Any:
            compiled = statement.compile(
                dialect=connection.dialect, compile_kwargs={"render_postcompile": True}
            )
            statements.append((str(compiled), tuple(compiled.params.values())))
            return original(statement, *rest)

        connection.execute = watched  # type: ignore[assignment, method-assign]
        for wanted in (
            Wanted(),
            Wanted(levels=None),
            Wanted(kinds=KINDS[:2], groups=("a",), since=BEGAN, until=BEGAN + timedelta(hours=3)),
            Wanted(people=(1, 2), kinds=KINDS[:2]),
        ):
            journal_search.find(connection, wanted, limit=5, before=400)
            journal_search.find(connection, wanted, limit=5, after=100)
        for statement, parameters in statements:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plan = "; ".join(row[3] for row in rows)
            assert "SCAN" not in plan, statement
            assert "TEMP B-TREE" not in plan, statement
    assert len(statements) > 20


# ---- one line --------------------------------------------------------------------------------


def test_an_opened_line_says_what_it_changed_and_what_became_of_the_letter(
    service: Service, zoom: SimulatedZoom, meeting_ids: list[int], staff: Staff, clock: Clock
) -> None:
    zoom.register(meeting_ids[0], email="zoe@example.org", first_name="Zoé")
    zoom.deliver_due()
    alice = staff("admin")
    (number,) = numbers_in(alice.get("/staff/journal?kind=registration.created").text)
    waiting = alice.get(f"/staff/journal/{number}").text
    assert "<dt>Inscription</dt><dd>inconnu → inscrit</dd>" in waiting
    assert "<dt>Confirmation à envoyer</dt><dd>oui</dd>" in waiting
    assert "<dt>Appris</dt><dd>annoncé par Zoom</dd>" in waiting
    assert "Confirmation, <strong>à envoyer</strong>" in waiting
    assert 'href="/staff/act/drop/1"' in waiting
    assert 'href="/staff/act/resend/1"' not in waiting
    clock.move(minutes=1)
    run(service, "deliver_letters")
    sent = alice.get(f"/staff/journal/{number}").text
    assert (
        "Confirmation, <strong>envoyé</strong> le lundi 11 janvier 2021 à 11\u00a0h\u00a001" in sent
    )
    assert '<span lang="en">250 OK: queued as 1</span>' in sent
    assert 'href="/staff/act/resend/1"' in sent
    assert 'href="/staff/act/drop/1"' not in sent
    for name in ("resend", "drop"):
        assert f"/staff/act/{name}" not in staff("reader").get(f"/staff/journal/{number}").text
    assert "zoom.us/w/" not in sent


def test_a_pending_registration_says_what_to_do_and_an_approved_one_does_not(
    service: Service, staff: Staff
) -> None:
    pending = note(service, "registration.created", before=None, after="pending")
    approved = note(service, "registration.created", before=None, after="approved")
    alice = staff("reader")
    assert "s’approuve sur zoom.us" in alice.get(f"/staff/journal/{pending}").text
    page = alice.get(f"/staff/journal/{approved}").text
    assert "s’approuve sur zoom.us" not in page
    assert "Rien à faire." in page


def test_an_opened_letter_line_names_the_run_that_sent_it_and_the_next_attempt(
    service: Service,
    zoom: SimulatedZoom,
    meeting_ids: list[int],
    staff: Staff,
    mail_server: MailServer,
    clock: Clock,
) -> None:
    zoom.register(meeting_ids[0], email="zoe@example.org", first_name="Zoé")
    zoom.deliver_due()
    mail_server.answers["RCPT"] = ["451 4.7.1 greylisted"]
    run(service, "deliver_letters")
    alice = staff("reader")
    listing = alice.get("/staff/journal?kind=letter.deferred").text
    (deferred,) = lines_in(listing)
    assert "se réglera seul Courrier remis à plus tard (confirmation) : nouvel essai" in deferred
    assert "à 11 h 01." in deferred
    page = alice.get(f"/staff/journal/{numbers_in(listing)[0]}").text
    assert "dans 1\u00a0min (lundi 11 janvier 2021 à 11\u00a0h\u00a001)" in page
    assert "<dt>Raison</dt><dd>le serveur de courrier demande d’attendre</dd>" in page
    assert "<code>deliver_letters</code>, lancée à 11\u00a0h\u00a000, en 0," in page
    assert "greylisted" in page


def test_a_line_that_knows_how_long_it_took_names_no_run(
    service: Service, meeting_ids: list[int], staff: Staff
) -> None:
    run(service, "sync_registrants")
    alice = staff("reader")
    number = numbers_in(alice.get("/staff/journal?kind=sweep.done&level=all").text)[0]
    page = alice.get(f"/staff/journal/{number}").text
    assert "<dt>Durée</dt><dd>0,00\u00a0s</dd>" in page
    assert "<dt>Tâche</dt>" not in page


def test_an_opened_line_shows_its_neighbours_of_the_same_person_or_group(
    service: Service, staff: Staff
) -> None:
    register(service, "Zoé", "Martin", "zoe@example.org")
    for number in range(1, 61):  # 1, 3, 5 … are Zoé's
        about = {"registrant": 1} if number % 2 else {"focus_group": "teletravail"}
        note(service, "letter.waits", **about)
    alice = staff("reader")
    page = alice.get("/staff/journal/31").text
    assert numbers_in(page) == list(range(51, 10, -2))
    assert page.count('aria-current="true"') == 1
    assert numbers_in(alice.get("/staff/journal/2").text) == list(range(22, 1, -2))
    assert numbers_in(alice.get("/staff/journal/61").text) == list(range(61, 50, -1))


@pytest.mark.parametrize(
    "number", ["0", "999", "9223372036854775807", "9223372036854775808", "9" * 40]
)
def test_a_line_that_is_not_there_is_said_calmly(staff: Staff, number: str) -> None:
    answer = staff("reader").get(f"/staff/journal/{number}")
    assert answer.status_code == 404
    assert "Cette ligne du journal n’existe pas, ou plus." in answer.text


def test_an_erased_person_is_called_so(service: Service, staff: Staff) -> None:
    number = register(service, "", "", "")
    note(service, "staff.erase", registrant=number, by="Bob")
    (erased, *_) = lines_in(staff("reader").get("/staff/journal?kind=staff.erase").text)
    assert erased.endswith("Bob efface les données d’une personne. personne effacée (n° 1)")


def test_events_are_sorted_into_families_by_their_name_when_they_are_new() -> None:
    assert events.family_of("letter.made_up") == "letters"
    assert events.family_of("moon.rose") == "service"
    assert events.family_of("registration.listed") == "sync"
