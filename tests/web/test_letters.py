"""Staff see what is due, sent, failed or held, may look at any letter, and act on it."""

from collections.abc import Callable

import pytest
from sqlalchemy import Table, update
from starlette.testclient import TestClient

from resonance_zoom.store import journal
from resonance_zoom.store.tables import letters, meetings, registrants
from tests.conftest import free_port
from tests.web.town import HOSTILE, Town, links, shape, text

Staff = Callable[..., TestClient]
REFUSED = "550 5.1.1 <bob@example.org>: no such user"


@pytest.fixture
def three(town: Town) -> Town:
    """Bob's letter (1) is refused, Alice's (2) and (3) are sent, Zoé's (4) has not left yet."""
    town.mail_server.answers["RCPT"] = [REFUSED]
    town.register("bob", "Bob", "Petit")
    town.register("alice", "Alice", "Œuvrard")
    town.register("alice", "Alice", "Œuvrard", group=1)
    town.clock.move(minutes=1)
    town.run("deliver_letters")
    town.clock.move(minutes=1)
    town.register("zoe", "Zoé", "Martin")
    return town


def numbers(client: TestClient, query: str = "") -> list[int]:
    """The letters of the list, in its order."""
    page = client.get(f"/staff/letters?{query}").text.partition("<tbody>")[2]
    page = page.rpartition("<tbody>")[2] if "stacked" in page else ""
    return [int(cell.partition("<")[0]) for cell in page.split("n°&nbsp;")[1:]]


def line(page: str, number: int) -> str:
    """One letter of the list as text."""
    (row,) = [one for one in page.split("<tr>") if f"n°&nbsp;{number}<" in one]
    return text(row)


# ---- the list --------------------------------------------------------------------------------


def test_each_letter_says_when_where_it_is_and_why(three: Town, staff: Staff) -> None:
    page = staff("reader").get("/staff/letters").text
    assert line(page, 2) == (
        "Confirmation n° 2 Alice Œuvrard Accompagner le développement du télétravail"
        " 11/01/2021 11:00 envoyé 11/01/2021 11:01 250 OK: queued as 1"
    )
    assert line(page, 1).endswith(
        "échec le serveur de courrier l’a refusé RCPT: 550 5.1.1 <bob@example.org>: no such user"
    )
    assert line(page, 4).endswith("11/01/2021 11:02 à envoyer départ d’un instant à l’autre")
    assert '<q class="said-by-server" lang="en">250 OK' in page
    assert f"/staff/people/{three.number('bob')}" in links(page)


def test_a_letter_put_off_says_how_often_and_when_it_is_tried_again(
    town: Town, staff: Staff
) -> None:
    town.mail_server.answers["RCPT"] = ["451 4.7.1 greylisted"] * 2
    town.register("alice")
    town.run("deliver_letters")
    town.clock.move(minutes=1)
    town.run("deliver_letters")
    assert line(staff("reader").get("/staff/letters").text, 1).endswith(
        "à envoyer le serveur de courrier demande d’attendre RCPT: 451 4.7.1 greylisted"
        " nouvel essai dans 5 min 11/01/2021 11:06 2 essais"
    )


def test_filters_narrow_the_list(three: Town, staff: Staff) -> None:
    three.clock.to(2021, 2, 2, 8, 0)
    three.run("deliver_letters", "send_reminders", "deliver_letters")
    alice = staff("reader")
    assert numbers(alice) == [7, 6, 5, 4, 3, 2, 1]
    assert numbers(alice, "state=failed") == [1]
    assert numbers(alice, "group=espaces-exterieurs") == [3]
    assert numbers(alice, "kind=reminder-7") == [7, 6, 5]
    assert numbers(alice, "kind=confirmation&state=sent") == [4, 3, 2]
    assert numbers(alice, "person=oeuvrard&kind=confirmation") == [3, 2]
    assert numbers(alice, f"person={three.number('alice')}&kind=confirmation") == [3, 2]
    assert numbers(alice, "person=nobody") == []
    assert numbers(alice, "person=999") == []
    page = alice.get("/staff/letters?group=x&kind=y&state=z").text
    assert text(page).count("est inconnu : ce filtre est ignoré") == 3


def test_the_summary_counts_kinds_and_states_and_leads_to_them(three: Town, staff: Staff) -> None:
    alice = staff("reader")
    page = alice.get("/staff/letters").text
    table = page.partition("summary-of-letters")[2].partition("</table>")[0]
    assert text(table.partition("<tbody>")[2]) == "Confirmation 1 0 2 1 0 0"
    assert "/staff/letters?kind=confirmation&state=failed" in links(page)
    assert numbers(alice, "kind=confirmation&state=failed") == [1]
    page = alice.get("/staff/letters?group=espaces-exterieurs").text
    table = page.partition("summary-of-letters")[2].partition("</table>")[0]
    assert text(table.partition("<tbody>")[2]) == "Confirmation 0 0 1 0 0 0"
    assert "/staff/letters?group=espaces-exterieurs&kind=confirmation&state=sent" in links(page)


def test_pages_follow_one_another_without_loss(
    three: Town, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resonance_zoom.web.staff.letters.PAGE", 3)
    alice = staff("reader")
    assert numbers(alice, "kind=confirmation") == [4, 3, 2]
    older = "/staff/letters?kind=confirmation&before=2"
    assert older in links(alice.get("/staff/letters?kind=confirmation").text)
    assert numbers(alice, "kind=confirmation&before=2") == [1]
    last = alice.get(older).text
    assert "Plus anciens" not in last
    assert "/staff/letters?kind=confirmation" in links(last)


def test_an_empty_campaign_says_so(town: Town, staff: Staff) -> None:
    assert "Aucun courrier n’est encore dû." in text(staff("reader").get("/staff/letters").text)


# ---- what stops them all ---------------------------------------------------------------------


def test_the_top_says_what_keeps_letters_from_leaving(three: Town, staff: Staff) -> None:
    admin, reader = staff("admin"), staff("reader")
    assert "Les courriers partent" in text(reader.get("/staff/letters").text)
    assert "/staff/act/pause/-" in links(admin.get("/staff/letters").text)
    with three.service.store.write() as connection:
        journal.remember(connection, journal.PAUSED, "Claire <b>")
    page = admin.get("/staff/letters").text
    assert "Tous les envois sont suspendus par Claire <b>." in text(page)
    assert "Les courriers partent" not in text(page)
    assert "/staff/act/resume/-" in links(page)
    assert "/staff/act/pause/-" not in links(page)
    with three.service.store.write() as connection:
        journal.forget(connection, journal.PAUSED)
        journal.remember(connection, journal.HELD, "the clock jumped by 300 seconds")
    page = reader.get("/staff/letters").text
    assert "Tous les courriers sont retenus" in text(page)
    assert '<q class="said-by-server" lang="en">the clock jumped by 300 seconds</q>' in page
    assert "Les courriers partent" not in text(page)


class TestWithoutRelay:
    @pytest.fixture
    def environ(self, environ: dict[str, str]) -> dict[str, str]:
        """Nobody listens where the mail server should be."""
        return environ | {"SMTP_URL": f"smtp://127.0.0.1:{free_port()}"}

    def test_a_mail_server_that_is_down_is_told_with_the_next_try(
        self, town: Town, staff: Staff
    ) -> None:
        town.register("alice")
        town.run("deliver_letters")
        words = text(staff("reader").get("/staff/letters").text)
        assert "Le serveur de courrier ne répond pas. Rien n’est perdu" in words
        assert "nouvel essai dans 1 min (11 h 01)." in words
        assert "Les courriers partent" not in words


# ---- acts ------------------------------------------------------------------------------------


def test_an_admin_may_act_and_a_reader_only_see(three: Town, staff: Staff) -> None:
    admin = links(staff("admin").get("/staff/letters").text)
    assert [one for one in admin if "/act/" in one and not one.endswith("-")] == [
        "/staff/act/drop/4",
        "/staff/act/resend/3",
        "/staff/act/resend/2",
        "/staff/act/resend/1",
        "/staff/act/drop/1",
    ]
    bob = three.number("bob")
    assert f"/staff/letters/preview/confirmation/{bob}" in admin
    reader = links(staff("reader").get("/staff/letters").text)
    assert not any("/act/" in one or "/preview/" in one for one in reader)


@pytest.mark.parametrize(
    ("change", "values"),
    [
        (registrants, {"status": "cancelled"}),
        (registrants, {"episode": 2}),
        (registrants, {"email": "", "status": "cancelled", "join_url": None}),
        (meetings, {"state": "open", "cancelled_at": "now"}),
        (letters, {"kind": "reminder-7", "start_at": "now"}),
    ],
)
def test_what_would_be_refused_or_dropped_is_not_offered(
    three: Town, staff: Staff, change: Table, values: dict[str, object]
) -> None:
    values = {key: three.clock() if value == "now" else value for key, value in values.items()}
    with three.service.store.write() as connection:
        connection.execute(update(change).values(values))
    page = links(staff("admin").get("/staff/letters").text)
    assert not any("/act/resend/" in one for one in page)
    assert "/staff/act/drop/4" in page


def test_nothing_is_offered_to_be_sent_after_the_meeting(three: Town, staff: Staff) -> None:
    three.clock.to(2021, 2, 9, 9, 59)
    assert "/staff/act/resend/2" in links(staff("admin").get("/staff/letters").text)
    three.clock.to(2021, 2, 9, 10, 0)
    page = links(staff("admin").get("/staff/letters").text)
    assert "/staff/act/resend/2" not in page
    assert "/staff/act/resend/3" in page  # the other meeting is to come


def test_what_is_offered_works(three: Town, staff: Staff) -> None:
    alice = staff("admin")
    for address in [one for one in links(alice.get("/staff/letters").text) if "/act/" in one][1:]:
        page = alice.get(address).text
        fields = {
            name: page.rpartition(f'name="{name}" value="')[2].partition('"')[0]
            for name in ("csrf", "once")
        }
        assert alice.post(address, data=fields).status_code in {303, 409}, address
    three.run("deliver_letters")
    assert len(three.mail_server.to("alice@example.org")) == 4


# ---- the preview -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["confirmation", "reminder-7", "reminder-1", "moved", "cancelled", "withdrawn"]
)
def test_every_letter_can_be_looked_at_before_it_leaves(
    three: Town, staff: Staff, kind: str
) -> None:
    number = three.number("alice")
    alice = staff("admin")
    page = alice.get(f"/staff/letters/preview/{kind}/{number}")
    assert page.status_code == 200
    words = text(page.text)
    assert "Objet" in words
    assert "De Mission Résonance <contact@example.org> À alice@example.org Taille" in words
    assert "Accompagner le développement du télétravail" in words
    assert f"/staff/letters/preview/{kind}/{number}/html" in links(page.text)
    shown = alice.get(f"/staff/letters/preview/{kind}/{number}/html")
    assert shown.text.lstrip().lower().startswith("<!doctype html>")
    assert "Accompagner le développement du télétravail" in shown.text
    kinds = [kept.kind for kept in three.mail_server.to("alice@example.org")]
    assert kinds == ["confirmation", "confirmation"]  # nothing was sent by looking


def test_the_preview_is_what_is_then_sent(three: Town, staff: Staff) -> None:
    number = three.number("zoe")
    alice = staff("admin")
    page = alice.get(f"/staff/letters/preview/confirmation/{number}").text
    shown = alice.get(f"/staff/letters/preview/confirmation/{number}/html").text
    three.run("deliver_letters")
    (sent,) = three.mail_server.to("zoe@example.org")
    part = sent.message.get_body(("html",))
    assert part is not None
    assert shown == part.get_content()
    assert text(f"<pre>{sent.text}</pre>") in text(page)
    assert str(sent.message["Subject"]) in page
    assert "invitation.ics" in page


def test_the_letters_html_is_shut_in_its_frame(three: Town, staff: Staff) -> None:
    number = three.number("alice")
    alice = staff("admin")
    page = alice.get(f"/staff/letters/preview/confirmation/{number}")
    assert page.headers["content-security-policy"] == (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'; frame-src 'self'"
    )
    assert ("iframe", ("class", "sandbox", "src", "title")) in shape(page.text)
    assert 'sandbox title="Le courrier en HTML"' in page.text
    shown = alice.get(f"/staff/letters/preview/confirmation/{number}/html")
    assert shown.headers["content-security-policy"] == (
        "default-src 'none'; style-src 'unsafe-inline'; img-src 'none'; form-action 'none';"
        " base-uri 'none'; frame-ancestors 'self'; sandbox allow-popups"
    )
    assert shown.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("address", ["confirmation/999", "nothing/1", "..%2f/1", "confirmation/0"])
@pytest.mark.parametrize("part", ["", "/html"])
def test_a_letter_that_does_not_exist_is_missing(
    three: Town, staff: Staff, address: str, part: str
) -> None:
    answer = staff("admin").get(f"/staff/letters/preview/{address}{part}")
    assert answer.status_code == 404


def test_a_letter_without_its_link_says_why_it_cannot_be_shown(three: Town, staff: Staff) -> None:
    number = three.number("zoe")
    with three.service.store.write() as connection:
        connection.execute(update(registrants).values(join_url=None))
    alice = staff("admin")
    page = alice.get(f"/staff/letters/preview/confirmation/{number}")
    assert page.status_code == 200
    assert "Zoom n’a pas encore donné de lien personnel" in page.text
    assert "<iframe" not in page.text
    assert alice.get(f"/staff/letters/preview/confirmation/{number}/html").status_code == 404
    assert "<iframe" in alice.get(f"/staff/letters/preview/cancelled/{number}").text


def test_a_foreign_link_is_refused_with_the_reason(three: Town, staff: Staff) -> None:
    number = three.number("zoe")
    with three.service.store.write() as connection:
        connection.execute(update(registrants).values(join_url="https://evil.example/w/1"))
    page = staff("admin").get(f"/staff/letters/preview/confirmation/{number}").text
    assert (
        "Ce courrier ne peut pas être composé : the join link is none of Zoom's; the letter is not"
        " sent"
    ) in text(page)
    assert "evil.example" not in page


def test_nobody_erased_has_a_preview(three: Town, staff: Staff) -> None:
    number = three.number("zoe")
    with three.service.store.write() as connection:
        connection.execute(update(registrants).values(email=""))
    answer = staff("admin").get(f"/staff/letters/preview/cancelled/{number}")
    assert answer.status_code == 404


def test_a_reader_sees_no_preview(three: Town, staff: Staff) -> None:
    number = three.number("alice")
    for part in ("", "/html"):
        address = f"/staff/letters/preview/confirmation/{number}{part}"
        assert staff("reader").get(address).status_code == 403


def test_the_list_never_shows_a_personal_link(three: Town, staff: Staff) -> None:
    page = staff("admin").get("/staff/letters").text
    assert "zoom.us/w/" not in page
    assert "tk=" not in page


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_changes_no_tag(three: Town, staff: Staff, name: str) -> None:
    number = three.number("zoe")
    addresses = (
        "/staff/letters",
        f"/staff/letters/preview/confirmation/{number}",
        f"/staff/letters/preview/confirmation/{number}/html",
    )
    alice = staff("admin")
    plain = [alice.get(address).text for address in addresses]
    with three.service.store.write() as connection:
        connection.execute(
            update(registrants).where(registrants.c.id == number).values(
                first_name=name, last_name=name
            )
        )  # fmt: skip
        connection.execute(update(letters).where(letters.c.id == 1).values(detail=name))
    hostile = [alice.get(address).text for address in addresses]
    assert [shape(page) for page in hostile] == [shape(page) for page in plain]
    typed = alice.get("/staff/letters", params={"person": name}).text
    assert {"script", "img", "svg", "iframe", "base"}.isdisjoint(tag for tag, _ in shape(typed))
