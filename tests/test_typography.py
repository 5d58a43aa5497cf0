"""What people read is set in French: templates as they stand, and what production makes of them."""

import ast
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from jinja2 import Environment, nodes
from starlette.testclient import TestClient

import resonance_zoom
from resonance_zoom.service import Service
from resonance_zoom.web.app import make_app
from resonance_zoom.web.server import WebServer
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import Clock
from tests.mail.typography import letter_faults, page_faults, prose
from tests.mail_server import MailServer
from tests.web.town import Town, links, town_of

ROOT = Path(__file__).parents[1]
PACKAGE = Path(resonance_zoom.__file__).parent
LETTERS = ROOT / "config" / "letters"
LETTER_FILES = sorted(path for path in LETTERS.iterdir() if path.suffix != ".css")
PAGES = sorted(
    path for room in ("web", "demo") for path in (PACKAGE / room / "templates").rglob("*.html")
)
MODULES = sorted(path for room in ("web", "demo") for path in (PACKAGE / room).rglob("*.py"))
SPACES = ("space", "torn", "hour that may break")  # which `french` sets when the page is made
JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("l'heure", "straight apostrophe"),
        ('dit "oui"', "straight quotes"),
        ("Un instant...", "three dots"),
        ("Personne : Alice", "plain space before punctuation"),
        ("Un empêchement ?", "plain space before punctuation"),
        ("« oui\u00a0»", "no no-break space inside «»"),
        ("«\u00a0oui »", "no no-break space inside «»"),
        ("Personne: Alice", "no space before punctuation"),
        ("Un empêchement?", "no space before punctuation"),
        ("Personne\u202f: Alice", "narrow space before :"),
        ("à 9h00", "hour that may break"),
        ("à 9 h 00", "hour that may break"),
        ("à 9\u00a0h 00", "hour that may break"),
        ("dans 48h", "hour that may break"),
        ("dans les 7 jours", "number torn from its unit"),
        ("il y a 3 min", "number torn from its unit"),
        ("24 %", "number torn from its unit"),
        ("n° 4", "n° torn from its number"),
        ("lundi 1 mars", "1er mistaken"),
        ("oui - non", "hyphen for a dash"),
        ("A bientôt", "capital without its accent"),
        ("Etat du service", "capital without its accent"),
        ("Ecrivez-nous", "capital without its accent"),
        ("DEMONSTRATION", "capital without its accent"),
        ("par coeur", "oe for œ"),
    ],
)
def test_a_slip_is_seen_in_both_kinds_of_writing(words: str, fault: str) -> None:
    assert fault in " ".join(page_faults(words))
    assert fault in " ".join(letter_faults(words))


def test_a_page_has_narrow_spaces_and_a_letter_has_none() -> None:
    assert page_faults("Où\u202f? Là\u202f; ici\u202f!") == []
    assert letter_faults("Où\u00a0? Là\u00a0; ici\u00a0!") == []
    assert len(page_faults("Où\u00a0? Là\u00a0; ici\u00a0!")) == 3
    assert len(letter_faults("Où\u202f?")) == 1


@pytest.mark.parametrize(
    "words",
    [
        "L’état\u00a0: «\u00a0ouvert\u00a0», de 9\u00a0h\u00a000 à 11\u00a0h\u00a000…",
        "https://example.org/a?b=c;d le 09/02/2021 09:00",
        "A-t-elle reçu son lien, oui – ou non",
        "lundi 1er mars 2021, 24\u00a0%, n°\u00a04",
    ],
)
def test_what_is_right_passes(words: str) -> None:
    assert page_faults(words) == []
    assert letter_faults(words) == []


def test_what_is_read_on_a_page_is_read_here() -> None:
    """Blocks apart, inline tags joined, other languages and what people typed left out."""
    page = (
        "<title>Un</title><style>p : x</style><p>Deux <a href='a ; b' title='Trois'>quatre</a>\n"
        "cinq <q lang='en'>no : <b>six</b> !</q>.<br>Sept <bdi>O'Brien</bdi></p><p>Huit &nbsp;</p>"
        "<meta name='description' content='Neuf'>"
    )

    assert prose(page) == ["Un", "Trois", "Deux quatre cinq x.", "Sept x", "Huit \u00a0", "Neuf"]


def standing(path: Path) -> list[str]:
    """What a template says by itself; what is filled in stands as `x`."""
    source = path.read_text(encoding="utf-8")
    plain = JINJA.sub(lambda found: "x" if found[0].startswith("{{") else "", source)
    words = prose(plain) if path.suffix == ".html" else plain.splitlines()
    return words + literals(source)


def literals(source: str) -> list[str]:
    """The strings that a template writes itself, but for what it has set by `french`."""
    tree = Environment(autoescape=True).parse(source)
    filters = tree.find_all(nodes.Filter)
    later = {id(const) for found in filters if found.name == "french"
             for const in found.find_all(nodes.Const)}  # fmt: skip
    consts = [const for const in tree.find_all(nodes.Const) if id(const) not in later]
    return [const.value for const in consts if isinstance(const.value, str)]


@pytest.mark.parametrize("path", LETTER_FILES, ids=lambda path: path.name)
def test_the_templates_of_letters_are_set_in_french(path: Path) -> None:
    assert [fault for words in standing(path) for fault in letter_faults(words)] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_templates_of_pages_are_set_in_french(path: Path) -> None:
    assert [fault for words in standing(path) for fault in page_faults(words)] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_french_sentences_of_the_code_have_their_marks_and_accents(path: Path) -> None:
    """Without their spaces, which are set when a page is made."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    code = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    sentences = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in code
        if re.search("[à-ÿœ’]", node.value)
    ]

    faults = [fault for words in sentences for fault in page_faults(words)]
    assert [fault for fault in faults if not any(mark in fault for mark in SPACES)] == []


@pytest.fixture
def town(
    service: Service,
    zoom: SimulatedZoom,
    clock: Clock,
    mail_server: MailServer,
    web_server: WebServer,
) -> Town:
    """Letters sent, refused, put off and waiting; a place given up; an approval pending."""
    made = town_of(service, zoom, clock, mail_server, web_server)
    mail_server.answers["RCPT"] = ["550 5.1.1 no such user", "451 4.7.1 try 'later' ..."]
    for name, group in (("bob", 0), ("zoe", 0), ("alice", 0), ("alice", 1), ("eve", 1)):
        made.register(name, name.title(), "Martin", group=group)
    made.run("deliver_letters")
    zoom.cancel(made.meetings[1], email="eve@example.org")
    zoom.deliver_due()
    clock.move(minutes=1)
    made.run("deliver_letters", "sync_registrants", "watch")
    made.register("yann", "Yann", "Petit")
    return made


def signed_in(service: Service) -> TestClient:
    client = TestClient(make_app(service), base_url="http://localhost:8000", follow_redirects=False)
    link = service.links.invitation(
        "Alice", "admin", now=service.now(), ends_at=service.now() + timedelta(days=1)
    )
    assert client.post(link).status_code == 303
    return client


def every_page(client: TestClient, *starts: str) -> Iterator[tuple[str, str]]:
    """Each page that these lead to, by its address: one of a kind is enough in each list."""
    seen: set[str] = set()
    waiting = list(starts)
    while waiting:
        address = waiting.pop(0)
        kind = re.sub(r"=[^&]*|#.*", "", address)
        if kind in seen or not address.startswith("/"):
            continue
        seen.add(kind)
        answer = client.get(address)
        if "text/html" in answer.headers.get("content-type", "") and "/html" not in address:
            yield address, answer.text
            waiting += links(answer.text)


def spoken_wrongly(town: Town) -> list[str]:
    """The faults of every page that a visitor, a registrant and the staff can reach."""
    personal = town.service.links.personal(town.number("alice"))
    assert personal is not None
    starts = ("/", personal.removeprefix("http://localhost:8000"), "/me/none", "/staff/none")
    pages = dict(every_page(signed_in(town.service), *starts, "/staff/"))
    assert len(pages) > 100
    noted = [row[0] for row in town.query("SELECT DISTINCT value FROM journal, json_tree(data)")]
    return [
        f"{address}: {fault}"
        for address, page in pages.items()
        for words in prose(page)
        if words not in noted  # a figure of the journal is shown as it was noted
        for fault in page_faults(words)
    ]


def test_every_page_that_production_makes_is_set_in_french(town: Town) -> None:
    assert spoken_wrongly(town) == []


def test_every_page_of_a_bad_day_is_set_in_french(town: Town, campaign_file: Path) -> None:
    """A date moved, a group called off, then Zoom and the mail server fail, and time passes."""
    file = campaign_file.read_text(encoding="utf-8").replace("2021-02-09", "2021-02-10")
    file = file.replace("date = 2021-03-16", "cancelled = true\ndate = 2021-03-16")
    campaign_file.write_text(file, encoding="utf-8")
    town.run("watch", "create_meetings")
    town.clock.move(minutes=10)
    town.run("watch", "create_meetings", "deliver_letters")
    town.zoom.faults.api("*", kind="500", times=None)
    town.mail_server.answers["MAIL"] = ["553 5.7.1 not 'yours' ..."]
    town.register("noe", "Noé", "Roy")
    town.clock.move(hours=3)
    campaign_file.write_text("[campaign", encoding="utf-8")
    town.run("watch", "sync_registrants", "create_meetings", "deliver_letters")

    assert spoken_wrongly(town) == []
