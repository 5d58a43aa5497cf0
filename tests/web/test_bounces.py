"""A letter that the mail server accepted comes back: staff see it, whoever asks, and nothing else."""

import json
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

import jobs
from jobs.clock import run_job
from resonance_zoom.mail.mailbox import Mailbox
from resonance_zoom.service import Service
from resonance_zoom.store.tables import journal, letters, meta, runs
from resonance_zoom.web.server import WebServer
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import Clock, Type
from tests.kept import CANARY, files_with, rows
from tests.mail.imap_peer import CUT, PASSWORD, USER, ImapPeer
from tests.mail.reports import EXCHANGE, POSTFIX, report
from tests.mail_server import MailServer
from tests.web.test_overview import first, plain
from tests.web.test_person import answer_of, part
from tests.web.test_staff_acts import Desktop
from tests.web.town import Town, text, town_of

Staff = Callable[..., TestClient]
SAID = "550 5.1.1 <…>: Recipient address rejected: no such user"


@pytest.fixture
def mailbox() -> Iterator[ImapPeer]:
    with ImapPeer() as peer:
        yield peer


@pytest.fixture(autouse=True)
def terminal_clock(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are typed at the same time as everything else happens."""
    for room in ("reading", "acting", "keeping"):
        monkeypatch.setattr(f"resonance_zoom.commands.{room}.utc_now", clock)


@pytest.fixture
def environ(environ: dict[str, str], mailbox: ImapPeer) -> dict[str, str]:
    return environ | {"BOUNCES_URL": mailbox.url}


@pytest.fixture
def town(
    service: Service,
    zoom: SimulatedZoom,
    clock: Clock,
    mail_server: MailServer,
    web_server: WebServer,
) -> Town:
    """Alice and Bob have had their letters at 11:01 in Paris."""
    made = town_of(service, zoom, clock, mail_server, web_server)
    for name in ("alice", "bob"):
        made.register(name, name.title(), "Martin")
    clock.move(minutes=1)
    made.run("deliver_letters")
    assert [one.message["To"] for one in mail_server.kept] == [
        "alice@example.org",
        "bob@example.org",
    ]
    clock.move(minutes=4)
    return made


def letter_to(town: Town, name: str) -> bytes:
    return town.mail_server.to(f"{name}@example.org")[-1].raw


def owed(town: Town) -> list[Any]:
    """The letters, in the order of their numbers."""
    return sorted(rows(town.service, letters), key=lambda row: int(row.id))


def told(town: Town) -> list[Any]:
    return sorted(rows(town.service, journal), key=lambda row: int(row.id))


def bounces(town: Town) -> list[tuple[str, str | None, str | None]]:
    """(state, bounce, code) of each letter."""
    return [(row.state, row.bounce, row.bounce_status) for row in owed(town)]


def lines(town: Town, *kinds: str) -> list[str]:
    found = [row for row in told(town) if row.kind in kinds]
    return [row.message for row in found]


def read(town: Town) -> str | None:
    """Run the job; its error."""
    return run_job(town.service, jobs.job("read_bounces"))


# ---- from the mailbox to the page ------------------------------------------------------------


@pytest.mark.parametrize("shape", [POSTFIX, EXCHANGE], ids=["postfix", "exchange"])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "headers"])
def test_a_letter_that_came_back_is_told_to_whoever_asks(
    town: Town, mailbox: ImapPeer, staff: Staff, types: Type, shape: str, whole: bool
) -> None:
    mailbox.put(b"From: aunt@example.org\nContent-Type: text/plain\n\nA word between us\n")
    mailbox.put(report(letter_to(town, "alice"), shape=shape, whole=whole))
    assert read(town) is None
    assert bounces(town) == [("sent", "lost", "5.1.1"), ("sent", None, None)]
    assert lines(town, "letter.bounced") == ["confirmation: it came back (5.1.1)"]

    code, out, _ = types("who", "alice@example.org", "--json")
    (registration,) = json.loads(out)["registrations"]
    (told,) = registration["letters"]
    assert code == 0
    assert (told["state"], told["bounce"], told["bounced_at"], told["bounce_reason"]) == (
        "sent",
        "lost",
        "2021-01-11T10:05:00Z",
        f"5.1.1 {SAID}",
    )
    assert registration["answer"] == (
        "no: the confirmation of 2021-01-11T10:01:00Z came back at 2021-01-11T10:05:00Z:"
        f" 5.1.1 {SAID}"
    )
    _, out, _ = types("who", "alice")
    assert (
        f"         came back (2021-01-11 10:05): 5.1.1 {SAID}\n"
        "         Correct the address on the staff pages, or: resonance-zoom resend 1\n"
    ) in out
    _, out, _ = types("letters", "--bounce", "lost", "--json")
    assert [(one["id"], one["bounce"]) for one in json.loads(out)] == [(1, "lost")]
    _, _, err = types("status")
    assert "!! letters to 1 people came back: resonance-zoom letters --bounce lost" in err

    reader = staff("reader")
    page = reader.get(f"/staff/people/{town.number('alice')}").text
    assert answer_of(page) == (
        "Non : le courrier est parti lundi 11 janvier 2021 à 11 h 01 (confirmation), mais il est"
        " revenu : l’adresse n’existe pas, à vous d’agir."
    )
    assert (
        f'<q class="said-by-server" lang="en">{SAID.replace("<", "&lt;").replace(">", "&gt;")}</q>'
        in page
    )
    assert (
        "revenu 11/01/2021 11:05 l’adresse n’existe pas. Appelez la personne, puis corrigez son"
        " adresse ou renvoyez le courrier."
    ) in part(page, "Ce qui s’est passé")
    assert answer_of(reader.get(f"/staff/people/{town.number('bob')}").text).startswith("Oui.")
    listed = text(reader.get("/staff/letters?bounce=lost").text)
    assert "envoyé 11/01/2021 11:01 250 OK: queued as 1 revenu 11/01/2021 11:05" in listed
    assert "Bob" not in listed.partition("Agir")[2]
    assert first(reader.get("/staff/").text).startswith("à vous d’agir")
    assert "Le courrier d’une personne est revenu. Appelez-la" in plain(reader.get("/staff/").text)
    journal_page = text(reader.get("/staff/journal").text)
    assert "Courrier revenu (confirmation) : l’adresse n’existe pas (5.1.1)." in journal_page
    registrants = reader.get("/staff/registrants.csv").content.decode("utf-8-sig")
    assert "non : courrier revenu, l’adresse n’existe pas" in registrants.replace("\u00a0", " ")


def test_the_list_of_letters_as_a_file_says_what_came_back(
    town: Town, mailbox: ImapPeer, types: Type
) -> None:
    mailbox.put(report(letter_to(town, "alice"), status="5.2.2"))
    read(town)
    types("letters", "--output", "letters.csv")
    head, alice, bob = Path("letters.csv").read_text("utf-8-sig").splitlines()
    assert head.endswith(";reason;bounce;bounced_at;bounce_reason")
    assert f";lost;2021-01-11 10:05;5.2.2 {SAID}" in alice
    assert bob.endswith(";;;")


def test_a_person_finds_it_in_what_is_known_of_them(
    town: Town, mailbox: ImapPeer, types: Type
) -> None:
    mailbox.put(report(letter_to(town, "alice")))
    read(town)
    _, out, _ = types("export", "alice@example.org")
    (told,) = json.loads(out)["letters"]
    assert (told["bounce"], told["bounce_status"], told["bounce_detail"]) == ("lost", "5.1.1", SAID)


# ---- staff's remedy --------------------------------------------------------------------------


def test_a_letter_that_is_sent_again_closes_the_case_until_it_comes_back_too(
    town: Town, mailbox: ImapPeer, staff: Staff, types: Type
) -> None:
    mailbox.put(report(letter_to(town, "alice"), status="5.2.2"))
    read(town)
    reader = staff("reader")
    page = f"/staff/people/{town.number('alice')}"
    assert "la boîte aux lettres est pleine, à vous d’agir." in answer_of(reader.get(page).text)
    assert types("resend", "1")[0] == 0
    assert answer_of(reader.get(page).text).startswith("Pas encore :")
    assert "revenu" not in plain(reader.get("/staff/").text)
    town.run("deliver_letters")
    assert answer_of(reader.get(page).text).startswith("Oui.")
    assert "came back" not in types("status")[2]
    mailbox.put(report(letter_to(town, "alice"), status="5.2.2"))
    read(town)
    assert bounces(town)[2] == ("sent", "lost", "5.2.2")
    assert answer_of(reader.get(page).text).startswith("Non :")
    assert "Le courrier d’une personne est revenu." in plain(reader.get("/staff/").text)


def test_a_corrected_address_closes_the_case(town: Town, mailbox: ImapPeer, staff: Staff) -> None:
    mailbox.put(report(letter_to(town, "alice")))
    read(town)
    admin = staff("admin")
    asked = Desktop(admin, "address", town.number("alice"))
    asked.press("alice.martin@example.org")
    assert asked.status == 303
    town.zoom.deliver_due()
    town.run("sync_registrants", "deliver_letters")
    assert len(town.mail_server.to("alice.martin@example.org")) == 1
    assert "revenu" not in plain(admin.get("/staff/").text)


def test_a_delayed_letter_is_told_as_such_until_it_comes_back(
    town: Town, mailbox: ImapPeer, staff: Staff, types: Type
) -> None:
    late = {"action": "delayed", "status": "4.4.1", "said": "connect to mx: timed out"}
    mailbox.put(report(letter_to(town, "alice"), **late))
    read(town)
    reader = staff("reader")
    page = f"/staff/people/{town.number('alice')}"
    assert answer_of(reader.get(page).text) == (
        "Incertain : le lien est parti lundi 11 janvier 2021 à 11 h 01 (confirmation), le serveur"
        " de courrier l’a accepté, mais il est retardé en chemin : le serveur du destinataire ne"
        " répond pas."
    )
    assert "Le courrier d’une personne est retardé en chemin." in plain(reader.get("/staff/").text)
    _, out, _ = types("who", "alice")
    assert "Did the link leave? perhaps: the link left with the confirmation" in out
    assert "delayed on its way (2021-01-11 10:05): 4.4.1 connect to mx: timed out" in out
    assert "came back" not in types("status")[2]
    town.clock.move(hours=4)
    mailbox.put(report(letter_to(town, "alice"), **late | {"said": "still nobody"}))
    read(town)
    assert [row.bounce_detail for row in owed(town)] == ["still nobody", None]
    mailbox.put(report(letter_to(town, "alice"), status="4.4.7"))
    mailbox.put(report(letter_to(town, "alice"), **late))
    read(town)
    assert bounces(town)[0] == ("sent", "lost", "4.4.7")
    assert lines(town, "letter.delayed", "letter.bounced") == [
        "confirmation: it is delayed on its way (4.4.1)",
        "confirmation: it came back (4.4.7)",
    ]


# ---- what is not believed --------------------------------------------------------------------


def test_a_report_about_no_letter_of_ours_or_another_recipient_changes_nothing(
    town: Town, mailbox: ImapPeer
) -> None:
    alices = letter_to(town, "alice")
    mailbox.put(report(alices, recipient="bob@example.org"))
    mailbox.put(report(alices, recipient="alice@example.org.evil.example"))
    mailbox.put(report(alices.replace(b"Message-ID: <", b"Message-ID: <0")))
    mailbox.put(report(b"To: alice@example.org\n\nWithout a number\n"))
    mailbox.put(report(alices, action="delivered", status="2.0.0"))
    before = owed(town)
    assert read(town) is None
    assert owed(town) == before
    assert lines(town, "letter.bounced", "letter.delayed") == []


def test_a_report_that_comes_again_is_told_once(town: Town, mailbox: ImapPeer) -> None:
    for _ in range(3):
        mailbox.put(report(letter_to(town, "alice")))
    read(town)
    town.clock.move(minutes=5)
    mailbox.put(report(letter_to(town, "alice"), said="another story"))
    read(town)
    first_of = owed(town)[0]
    assert (first_of.bounce_detail, first_of.bounced_at.minute) == (SAID, 5)
    assert len(lines(town, "letter.bounced")) == 1


def test_words_of_a_forger_are_shown_as_words_and_stay_out_of_the_journal(
    town: Town, mailbox: ImapPeer, staff: Staff, types: Type
) -> None:
    """Alice knows the number of her own letter. She can say that it came back, and no more."""
    said = "550 <script>alert(1)</script> alice@example.org Alice Martin =?utf-8?q?=0A?="
    mailbox.put(report(letter_to(town, "alice"), said=said))
    read(town)
    page = staff("reader").get(f"/staff/people/{town.number('alice')}").text
    assert "<script>" not in page
    assert "550 &lt;script&gt;alert(1)&lt;/script&gt; … Alice Martin" in page
    whole = repr([(row.message, row.data) for row in rows(town.service, journal)])
    for word in ("script", "alice@", "Alice Martin"):
        assert word not in whole
    assert [row.state for row in owed(town)] == ["sent", "sent"]
    assert len(town.mail_server.kept) == 2


# ---- the mailbox -----------------------------------------------------------------------------


def test_each_report_is_read_once_and_the_place_is_kept_over_a_restart(
    town: Town, mailbox: ImapPeer
) -> None:
    uid = mailbox.put(report(letter_to(town, "alice")))
    for _ in range(3):
        assert read(town) is None
    assert mailbox.fetched() == [uid]
    (kept,) = [row.value for row in rows(town.service, meta) if row.key == "mailbox"]
    assert (kept["validity"], kept["uid"]) == (7, 101)
    assert USER not in str(kept)


def test_before_the_first_letter_nobody_looks_into_the_mailbox(
    service: Service, mailbox: ImapPeer
) -> None:
    mailbox.put(report(b"To: alice@example.org\nMessage-ID: <1@x>\n\n"))
    assert run_job(service, jobs.job("read_bounces")) is None
    assert mailbox.heard == []


def test_mail_from_before_the_first_letter_is_not_looked_at(town: Town, mailbox: ImapPeer) -> None:
    mailbox.put(report(letter_to(town, "alice")), date(2021, 1, 9))
    read(town)
    assert mailbox.fetched() == []
    assert "UID SEARCH UID 1:* SINCE 10-Jan-2021" in mailbox.heard


def test_a_mailbox_that_was_numbered_anew_is_read_again_and_nothing_told_twice(
    town: Town, mailbox: ImapPeer
) -> None:
    mailbox.put(report(letter_to(town, "alice")))
    read(town)
    mailbox.validity, mailbox.messages = 8, {}
    mailbox.put(report(letter_to(town, "alice")))
    mailbox.put(report(letter_to(town, "bob")))
    read(town)
    assert [bounce for _, bounce, _ in bounces(town)] == ["lost", "lost"]
    assert len(lines(town, "letter.bounced")) == 2


def test_a_flood_of_messages_is_read_a_part_at_a_time(
    town: Town, mailbox: ImapPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resonance_zoom.mail.mailbox.LOOKED_AT", 1)
    for _ in range(12):
        mailbox.put(b"Content-Type: text/plain\n\nBuy something\n")
    mailbox.put(report(letter_to(town, "alice")))
    assert read(town) is None
    assert bounces(town)[0] == ("sent", None, None)
    assert read(town) is None
    assert bounces(town)[0] == ("sent", "lost", "5.1.1")


def test_another_mailbox_is_read_from_its_beginning(
    town: Town, mailbox: ImapPeer, environ: dict[str, str]
) -> None:
    mailbox.put(report(letter_to(town, "alice")))
    read(town)
    with ImapPeer() as other:
        other.put(report(letter_to(town, "bob")))
        town.service.mailbox = Mailbox(other.url)
        read(town)
    assert [bounce for _, bounce, _ in bounces(town)] == ["lost", "lost"]


def test_a_connection_cut_in_a_report_costs_nothing(town: Town, mailbox: ImapPeer) -> None:
    mailbox.put(report(letter_to(town, "alice")))
    cut = mailbox.put(report(letter_to(town, "bob")))
    mailbox.faults[cut] = CUT
    assert "MailboxUnreadable" in str(read(town))
    mailbox.faults.clear()
    assert read(town) is None
    assert [bounce for _, bounce, _ in bounces(town)] == ["lost", "lost"]
    assert lines(town, "mailbox.unreadable") == []  # once is no trouble


def test_a_report_too_large_to_be_one_is_left_and_the_next_is_read(
    town: Town, mailbox: ImapPeer
) -> None:
    mailbox.put(report(letter_to(town, "bob"), said="x" * 400_000))
    mailbox.put(report(letter_to(town, "alice")))
    assert read(town) is None
    assert [bounce for _, bounce, _ in bounces(town)] == ["lost", None]


def test_a_refused_login_is_told_once_tried_hourly_and_stops_no_letter(
    town: Town, mailbox: ImapPeer, staff: Staff, types: Type
) -> None:
    mailbox.knows = False
    for _ in range(25):  # two hours
        assert "refuses the login" in str(read(town))
        town.clock.move(minutes=5)
    assert mailbox.heard.count("AUTHENTICATE PLAIN") == 3  # a provider would lock the account
    (line,) = lines(town, "mailbox.unreadable")
    assert line == (
        "letters that come back are not seen: the mailbox at 127.0.0.1 refuses the login:"
        " [AUTHENTICATIONFAILED] not … Correct user and password in BOUNCES_URL (write @ : / %"
        " as %40 …). Many providers want a password made for programs."
    )
    town.run(*(name for name in ("sync_registrants", "watch")))
    page = plain(staff("reader").get("/staff/").text)
    assert "La boîte aux lettres des retours ne peut pas être lue" in page
    assert "Une tâche du service échoue" not in page
    assert "!! letters that come back are not seen: the mailbox at" in types("status")[2]
    carol = town.register("carol")
    town.run("deliver_letters")
    assert len(town.mail_server.to("carol@example.org")) == 1
    assert carol
    mailbox.knows = True
    town.clock.move(hours=1)
    assert read(town) is None
    assert lines(town, "mailbox.readable") == ["letters that come back are seen again"]
    assert "ne peut pas être lue" not in plain(staff("reader").get("/staff/").text)
    for place in (rows(town.service, journal), rows(town.service, runs), rows(town.service, meta)):
        assert PASSWORD not in repr(place)
        assert USER not in repr(place)


def test_a_server_that_is_down_for_a_while_is_told_at_the_third_time(
    town: Town, mailbox: ImapPeer
) -> None:
    mailbox.put(report(letter_to(town, "alice")))
    mailbox.faults[101] = CUT
    for told in (0, 0, 1):
        read(town)
        assert len(lines(town, "mailbox.unreadable")) == told
    assert read(town) is None  # that message is passed over
    assert len(lines(town, "mailbox.readable")) == 1


def test_trouble_of_a_mailbox_that_is_no_longer_set_is_forgotten(
    town: Town, mailbox: ImapPeer, staff: Staff, types: Type
) -> None:
    mailbox.knows = False
    read(town)
    town.service.mailbox = None
    assert read(town) is None
    assert "not seen" not in types("status")[2]
    with town.service.store.read() as connection:
        (did,) = connection.execute(
            select(runs.c.did).where(runs.c.error.is_(None), runs.c.job == "read_bounces")
        ).scalars()
    assert did == "BOUNCES_URL is not set"


# ---- personal data ---------------------------------------------------------------------------


@pytest.mark.of_a_file("its bytes are looked for in the file")
def test_what_a_server_said_goes_with_the_person_and_no_report_brings_it_back(
    town: Town, mailbox: ImapPeer, types: Type
) -> None:
    town.register(CANARY, "Canary", "Seven")
    town.run("deliver_letters")
    raw = report(letter_to(town, CANARY), said=f"550 5.1.1 user {CANARY} unknown")
    mailbox.put(raw)
    read(town)
    folder = town.service.settings.data_dir
    assert f"user {CANARY} unknown" in str(owed(town)[2].bounce_detail)
    assert types("erase", f"{CANARY}@example.org", "--yes")[0] == 0
    assert files_with(folder, CANARY) == set()
    erased = owed(town)[2]
    assert (erased.bounce, erased.bounce_detail, erased.message_id) == ("lost", None, None)
    mailbox.put(raw)
    read(town)
    assert files_with(folder, CANARY) == set()


def test_the_purge_leaves_counts_of_what_came_back_and_no_words(
    town: Town, mailbox: ImapPeer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailbox.put(report(letter_to(town, "alice")))
    read(town)
    clock.to(2021, 4, 15, 1)
    town.run("purge_personal_data")
    assert [(row.bounce, row.bounce_detail) for row in owed(town)] == [
        ("lost", None),
        (None, None),
    ]
    mailbox.heard.clear()
    assert read(town) is None
    assert mailbox.heard == []  # nothing can come back any more


def test_a_letter_that_leaves_anew_under_its_number_leaves_its_report_behind(
    town: Town, mailbox: ImapPeer, mail_server: MailServer, types: Type
) -> None:
    """The answer to it was lost twice, then it came back: it had gone. Now it goes again."""
    mail_server.answers["DATA"] = ["999 what?", "999 what?"]
    town.register("carol")
    town.run("deliver_letters", "deliver_letters")
    number = owed(town)[2].message_id
    mailbox.put(report(f"To: carol@example.org\nMessage-ID: {number}\n\n".encode()))
    read(town)
    assert bounces(town)[2] == ("in_doubt", "lost", "5.1.1")
    assert types("resend", "3")[0] == 0
    town.run("deliver_letters")
    assert bounces(town)[2] == ("sent", None, None)
