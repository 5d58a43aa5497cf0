"""Secrets are nowhere, what nobody needs of Zoom is dropped, people stand only where they belong."""

import base64
import json

import pytest

from resonance_zoom.service import utc_now
from resonance_zoom.zoom.simulator import SimulatedZoom, SimulatorServer
from resonance_zoom.zoom.simulator.validation import DETAILS
from tests.faults.canaries import (
    ABOUT_PEOPLE,
    NEEDED,
    NEW_SECRET,
    OF_PEOPLE,
    UNNEEDED,
    UNNEEDED_NUMBER,
    ZOOM_SECRET,
    Found,
    Locked,
    environment,
    play,
)
from tests.mail.imap_peer import ImapPeer


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What came out of two runs of the daemon, one with each form of its log."""
    folder = tmp_path_factory.mktemp("canaries")
    zoom = SimulatedZoom(now=utc_now, seed=1, client_secret=ZOOM_SECRET, webhook_secret=NEW_SECRET)
    with SimulatorServer(zoom) as server, Locked() as mail, ImapPeer() as mailbox:
        urls = server.api_url, server.oauth_url
        return play(folder, zoom, mail, mailbox, environment(folder, urls, mail, mailbox))


def test_no_secret_is_anywhere(found: Found) -> None:
    for name, secret in found.secrets.items():
        for form in (secret, base64.b64encode(secret), json.dumps(secret.decode()).encode()):
            assert found.where(form) == set(), name
            assert not [letter for letter in found.letters if form in letter], name


def test_what_zoom_tells_and_nobody_needs_is_kept_nowhere(found: Found) -> None:
    for word in (UNNEEDED, UNNEEDED_NUMBER):
        assert found.where(word.encode()) == set()
        assert not [letter for letter in found.letters if word.encode() in letter]
        assert not [name for name, rows in found.tables.items() if word in rows]


def test_people_stand_in_their_tables_their_letters_and_pages_about_people(found: Found) -> None:
    names = [word.encode() for word in NEEDED]
    assert {name for name, rows in found.tables.items() if NEEDED[0] in rows.lower()} == {
        "registrants",
        "events",
    }
    for word in (*NEEDED, *(link.decode() for link in found.links.values())):
        tables = {name for name, rows in found.tables.items() if word.lower() in rows.lower()}
        assert tables <= OF_PEOPLE, word
    assert len([letter for letter in found.letters if b"canary-needed-mail" in letter]) >= 3
    places = found.where(*names)
    assert {place for place in places if place.startswith("command ")} <= {
        f"command {name}" for name in ABOUT_PEOPLE
    }
    pages = {place for place in places if place.startswith("page ")}
    assert {place.split()[1] for place in pages} == {"personal", "reader", "admin"}
    assert {place for place in places if not place.startswith(("command ", "page ", "file "))} == (
        set()
    )
    assert "page admin /staff/registrants" in pages  # or nothing was looked at
    assert "page personal /me/{token}" in pages


def test_the_technical_log_knows_no_person_no_address_and_no_link(found: Found) -> None:
    for form in ("text", "json"):
        log = found.places[f"log {form}"]
        assert b"page failed" in log, "it must have had something to say"
        for word in (*(one.encode() for one in NEEDED), b"needed", *found.links.values()):
            assert word.lower() not in log.lower(), form


def test_no_staff_page_shows_a_link_that_lets_in_somebody_else(found: Found) -> None:
    """A join link, a personal page and a way in are each for one person alone."""
    for name, link in found.links.items():
        for place in found.where(link, within="page "):
            assert place.startswith("page personal") or "/letters/preview/" in place, name
        assert found.where(link, within="argv") == set()


def test_all_of_the_places_were_looked_at(found: Found) -> None:
    """What was searched is what there is: a search of nothing finds nothing."""
    kinds = {place.partition(" ")[0] for place in found.places}
    assert kinds == {"answer", "argv", "command", "file", "log", "page"}
    assert {"file running resonance.db-wal", "file backup"} <= found.places.keys()
    assert {"page nobody /metrics", "page error", "page admin /staff/"} <= found.places.keys()
    assert b"letter.failed" in found.places["command log"]
    assert b"letter.bounced" in found.places["command log"]
    assert f"no user {NEEDED[2]}-bob here" in found.tables["letters"]
    assert b"returned mail" in found.places["command check"]
    assert b"resonance_zoom" in found.places["argv"]
    assert len([place for place in found.places if place.startswith("command ")]) >= 22
    assert set(found.tables) >= {"journal", "runs", "meta", "sessions", "registrants"}


def test_every_documented_field_was_told_to_us(found: Found) -> None:
    """The canaries of these tests are of Zoom's own list of fields."""
    for name in (*DETAILS, "title", "value", "operator", "unheard-of"):
        assert f"{UNNEEDED}-{name}" in found.told, name
    assert UNNEEDED_NUMBER in found.told
