"""Did I get my link? One look at a person's page answers, in every state that a letter can be in."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from resonance_zoom.store import journal
from resonance_zoom.store.tables import letters, meetings, registrants
from tests.conftest import CAMPAIGN
from tests.web.town import HOSTILE, Town, links, shape, text

Staff = Callable[..., TestClient]
REFUSED = "550 5.1.1 <alice@example.org>: no such user"


def answer_of(page: str) -> str:
    """The big sentence of the only group."""
    assert page.count('class="answer') == 1
    return text(page.partition('<p class="answer')[2].partition("</p>")[0].partition(">")[2])


def tone_of(page: str) -> str:
    return page.partition('<p class="answer ')[2].partition('"')[0]


def part(page: str, heading: str) -> str:
    """What stands under a heading, as text."""
    return text(page.partition(f"<h2>{heading}</h2>")[2].partition("<h2")[0])


# ---- the answer ------------------------------------------------------------------------------


def test_a_link_that_left_is_answered_with_a_yes_the_hour_and_the_servers_words(
    town: Town, staff: Staff
) -> None:
    number = town.register("alice", "Alice", "Œuvrard")
    town.clock.move(minutes=2)
    town.run("deliver_letters")
    page = staff("reader").get(f"/staff/people/{number}").text
    assert answer_of(page) == (
        "Oui. Le lien est parti lundi 11 janvier 2021 à 11 h 02 (confirmation), le serveur de"
        " courrier l’a accepté."
    )
    assert tone_of(page) == "good"
    assert '<q class="said-by-server" lang="en">250 OK: queued as 1</q>' in page
    assert "<h1><bdi>Alice Œuvrard</bdi></h1>" in page
    assert "Lien personnel connu" in text(page)


def test_the_last_letter_with_the_link_is_the_one_that_is_named(town: Town, staff: Staff) -> None:
    number = town.register("alice")
    town.run("deliver_letters")
    town.clock.to(2021, 2, 2, 8, 3)
    town.run("send_reminders", "deliver_letters")
    page = staff("reader").get(f"/staff/people/{number}").text
    assert answer_of(page).startswith(
        "Oui. Le lien est parti mardi 2 février 2021 à 9 h 03 (rappel à 7 jours), le serveur"
    )


def test_a_letter_just_owed_is_not_yet_there(town: Town, staff: Staff) -> None:
    number = town.register("alice")
    page = staff("reader").get(f"/staff/people/{number}").text
    assert answer_of(page) == "Pas encore : le courrier est prêt et part d’un instant à l’autre."
    assert tone_of(page) == "wait"
    town.clock.move(minutes=5)
    page = staff("reader").get(f"/staff/people/{number}").text
    assert answer_of(page) == "Pas encore : le courrier est prêt et part d’un instant à l’autre."
    town.clock.move(minutes=1)
    page = staff("reader").get(f"/staff/people/{number}").text
    assert answer_of(page) == (
        "Pas encore : le courrier est prêt depuis 11 h 00 et ne part pas, à vous d’agir."
    )
    assert tone_of(page) == "bad"


def test_a_letter_put_off_names_the_reason_and_the_next_try(town: Town, staff: Staff) -> None:
    town.mail_server.answers["RCPT"] = ["451 4.7.1 greylisted"]
    number = town.register("alice")
    town.run("deliver_letters")
    page = staff("reader").get(f"/staff/people/{number}").text
    assert answer_of(page) == (
        "Pas encore : le serveur de courrier demande d’attendre, nouvel essai à 11 h 01."
    )
    assert "451 4.7.1 greylisted" in text(page)
    assert tone_of(page) == "wait"


def test_a_next_try_on_another_day_names_the_day(town: Town, staff: Staff) -> None:
    number = town.register("alice")
    with town.service.store.write() as connection:
        connection.execute(
            update(letters).values(
                ready_at=town.clock() + timedelta(hours=13), reason="deferred", attempts=1
            )
        )
    page = staff("reader").get(f"/staff/people/{number}").text
    assert answer_of(page).endswith("nouvel essai mardi 12 janvier 2021 à 0 h 00.")


def test_a_refused_letter_is_a_no_that_needs_somebody(town: Town, staff: Staff) -> None:
    town.mail_server.answers["RCPT"] = [REFUSED]
    number = town.register("alice")
    town.run("deliver_letters")
    page = staff("reader").get(f"/staff/people/{number}").text
    assert answer_of(page) == "Non : le serveur de courrier l’a refusé, à vous d’agir."
    assert tone_of(page) == "bad"
    assert REFUSED in text(page)
    assert "<alice@example.org>" not in page  # escaped


@pytest.mark.parametrize(
    ("state", "reason", "answer", "tone"),
    [
        ("sending", None, "Pas encore : le courrier part en ce moment même.", "wait"),
        (
            "in_doubt",
            "answer_lost",
            "Incertain : la réponse du serveur s’est perdue ; il l’a peut-être accepté, à vous"
            " d’agir.",
            "bad",
        ),
        ("dropped", "dropped_by_hand", "Non : écarté par l’équipe, à vous d’agir.", "bad"),
        ("failed", "template", "Non : le courrier n’a pas pu être composé, à vous d’agir.", "bad"),
    ],
)
def test_every_other_state_has_its_answer(
    town: Town, staff: Staff, state: str, reason: str | None, answer: str, tone: str
) -> None:
    number = town.register("alice")
    with town.service.store.write() as connection:
        connection.execute(update(letters).values(state=state, reason=reason))
    page = staff("reader").get(f"/staff/people/{number}").text
    assert (answer_of(page), tone_of(page)) == (answer, tone)


def test_while_nothing_leaves_everyone_who_waits_is_told_why(town: Town, staff: Staff) -> None:
    number = town.register("alice")
    alice = staff("reader")

    def answer(key: str, value: object) -> str:
        with town.service.store.write() as connection:
            journal.remember(connection, key, value)
        page = alice.get(f"/staff/people/{number}").text
        with town.service.store.write() as connection:
            journal.forget(connection, key)
        return f"{tone_of(page)} {answer_of(page)}"

    assert answer(journal.PAUSED, "Claire") == (
        "bad Pas encore : tous les envois sont suspendus par Claire, à vous d’agir."
    )
    assert answer(journal.HELD, "the clock jumped") == (
        "bad Pas encore : tous les courriers sont retenus, l’horloge de la machine est douteuse, à"
        " vous d’agir."
    )
    again = {"failures": 1, "again_at": "2021-01-11T10:02:00+00:00", "error": "refused"}
    assert answer(journal.RELAY, again) == (
        "wait Pas encore : le serveur de courrier ne répond pas, nouvel essai à 11 h 02."
    )


def test_who_holds_no_place_is_owed_no_link(town: Town, staff: Staff) -> None:
    number = town.register("alice")
    town.run("deliver_letters")
    town.zoom.cancel(town.meetings[0], email="alice@example.org")
    town.zoom.deliver_due()
    page = staff("admin").get(f"/staff/people/{number}").text
    assert answer_of(page) == (
        "Sans objet : la personne s’est désinscrite ; aucun lien ne lui est dû."
    )
    assert tone_of(page) == "none"
    assert not any("/withdraw/" in one or "/address/" in one for one in links(page))
    assert "Aucun courrier n’est prévu." in text(page)


def test_who_waits_for_approval_waits_for_somebody(town: Town, staff: Staff) -> None:
    number = town.register("alice")
    with town.service.store.write() as connection:
        connection.execute(update(registrants).values(status="pending", join_url=None))
    page = staff("admin").get(f"/staff/people/{number}").text
    assert answer_of(page) == (
        "Pas encore : l’inscription attend une approbation sur zoom.us ; le lien partira aussitôt"
        " après."
    )
    assert tone_of(page) == "bad"
    assert "Lien personnel pas encore donné par Zoom" in text(page)
    previews = [one for one in links(page) if "/preview/" in one]
    assert {one.split("/")[4] for one in previews} == {"cancelled", "withdrawn"}


def test_a_link_of_an_earlier_registration_does_not_count(town: Town, staff: Staff) -> None:
    number = town.register("alice")
    town.run("deliver_letters")
    town.clock.move(hours=1)
    town.zoom.cancel(town.meetings[0], email="alice@example.org")
    town.zoom.deliver_due()
    town.clock.move(hours=1)
    assert town.register("alice") == number
    page = staff("reader").get(f"/staff/people/{number}").text
    assert answer_of(page).startswith("Pas encore : le courrier est prêt")
    town.run("deliver_letters")
    page = staff("reader").get(f"/staff/people/{number}").text
    assert answer_of(page).startswith("Oui. Le lien est parti lundi 11 janvier 2021 à 13 h 00")


@pytest.mark.parametrize(
    ("minutes", "word"), [(-1, "Oui."), (0, "Oui."), (1, "Non : aucun courrier ne lui est dû")]
)
def test_a_registration_told_in_another_order_keeps_the_link_that_left_since(
    town: Town, staff: Staff, minutes: int, word: str
) -> None:
    """Learnt late that she had cancelled before: another episode, no other confirmation."""
    number = town.register("alice")
    town.run("deliver_letters")
    with town.service.store.write() as connection:
        again = town.clock() + timedelta(minutes=minutes)
        connection.execute(update(registrants).values(episode=2, registered_at=again))
    page = staff("reader").get(f"/staff/people/{number}").text
    assert answer_of(page).startswith(word)


def test_a_meeting_that_is_past_or_called_off_needs_nobody(town: Town, staff: Staff) -> None:
    number = town.register("alice")
    with town.service.store.write() as connection:
        connection.execute(update(letters).values(state="failed", reason="refused"))
        connection.execute(update(meetings).values(cancelled_at=town.clock()))
    page = staff("reader").get(f"/staff/people/{number}").text
    assert answer_of(page) == "Sans objet : la réunion est annulée ; il n’y a rien à rejoindre."
    with town.service.store.write() as connection:
        connection.execute(update(meetings).values(cancelled_at=None))
    town.clock.to(2021, 2, 9, 10, 0)
    page = staff("reader").get(f"/staff/people/{number}").text
    assert answer_of(page) == ("Non : le serveur de courrier l’a refusé ; la réunion est passée.")
    assert tone_of(page) == "good"


class TestWhereZoomConfirms:
    @pytest.fixture
    def campaign_file(self, tmp_path: Path) -> Path:
        """This campaign leaves the first letter to Zoom."""
        path = tmp_path / "campaign.toml"
        words = CAMPAIGN.replace('language = "fr"', 'language = "fr"\nconfirmation = "zoom"')
        path.write_text(words, "utf-8")
        return path

    def test_the_answer_says_that_it_is_zooms(self, town: Town, staff: Staff) -> None:
        number = town.register("alice")
        page = staff("reader").get(f"/staff/people/{number}").text
        assert answer_of(page) == (
            "Sans objet : Zoom envoie lui-même la confirmation dans cette campagne ; d’ici ne"
            " partent que les rappels."
        )


class TestWithoutAMailServer:
    @pytest.fixture
    def environ(self, environ: dict[str, str]) -> dict[str, str]:
        """Letters are kept in a folder."""
        return environ | {"SMTP_URL": ""}

    def test_a_letter_kept_in_a_folder_is_not_said_to_be_accepted(
        self, town: Town, staff: Staff
    ) -> None:
        number = town.register("alice")
        town.run("deliver_letters")
        page = staff("reader").get(f"/staff/people/{number}").text
        assert answer_of(page) == (
            "Oui. Le lien est parti lundi 11 janvier 2021 à 11 h 00 (confirmation), il est rangé"
            " dans un dossier, faute de serveur de courrier."
        )
        assert tone_of(page) == "wait"
        assert "personne ne les reçoit" in text(staff("reader").get("/staff/letters").text)


# ---- all groups, what comes, what was --------------------------------------------------------


def test_every_number_of_a_person_shows_all_her_groups(town: Town, staff: Staff) -> None:
    first = town.register("alice")
    town.zoom.register(town.meetings[1], email="ALICE@example.org", first_name="Alice")
    town.zoom.deliver_due()
    town.register("bob")
    town.run("deliver_letters")
    alice = staff("reader")
    pages = [alice.get(f"/staff/people/{n}").text for n in (first, town.number("ALICE", group=1))]
    assert shape(pages[0]) == shape(pages[1])
    for page in pages:
        assert page.count('class="answer') == 2
        assert "Réinvestir les espaces extérieurs à usages publics" in page
        assert "Bob" not in page


def test_what_comes_is_in_the_order_in_which_it_will(town: Town, staff: Staff) -> None:
    number = town.register("alice")
    town.register("alice", group=1)
    page = staff("reader").get(f"/staff/people/{number}").text
    coming = part(page, "Ce qui vient")
    places = [coming.index(one) for one in (
        "11/01/2021 11:00 à envoyer Confirmation",
        "02/02/2021 09:00 Rappel à 7 jours",
        "08/02/2021 09:00 Rappel à 1 jour",
        "09/03/2021 09:00 Rappel à 7 jours",
        "15/03/2021 09:00 Rappel à 1 jour",
    )]  # fmt: skip
    assert places == sorted(places)
    town.clock.to(2021, 2, 2, 8, 0)
    town.run("deliver_letters", "send_reminders", "deliver_letters")
    coming = part(staff("reader").get(f"/staff/people/{number}").text, "Ce qui vient")
    assert "02/02/2021 09:00" not in coming
    assert coming.count("Rappel à 7 jours") == 1


def test_who_registers_late_is_promised_only_what_is_still_to_come(
    town: Town, staff: Staff
) -> None:
    town.clock.to(2021, 2, 5, 10)
    number = town.register("alice")
    town.run("deliver_letters", "send_reminders")
    coming = part(staff("reader").get(f"/staff/people/{number}").text, "Ce qui vient")
    assert "08/02/2021 09:00 Rappel à 1 jour" in coming
    assert "Rappel à 7 jours" not in coming


def test_the_timeline_tells_all_that_happened_newest_first(town: Town, staff: Staff) -> None:
    town.mail_server.answers["RCPT"] = [REFUSED]
    number = town.register("alice")
    town.run("deliver_letters")
    town.clock.move(minutes=10)
    press(staff("admin", "Claire"), "/staff/act/resend/1")
    town.run("deliver_letters")
    town.clock.move(minutes=10)
    town.zoom.cancel(town.meetings[0], email="alice@example.org")
    town.zoom.deliver_due()
    town.clock.move(minutes=10)
    town.zoom.faults.lose_next_webhooks(1)
    town.register("alice")
    town.run("sync_registrants")
    past = part(staff("reader").get(f"/staff/people/{number}").text, "Ce qui s’est passé")
    told = [
        "11:30 De nouveau inscrite (trouvé par relecture)",
        "11:20 Désinscrite (annoncé par Zoom)",
        "11:10 envoyé Confirmation 250 OK: queued as 1",
        "11:10 Claire renvoie un courrier : confirmation.",
        "11:00 Inscrite (annoncé par Zoom)",
    ]
    places = [past.index(one) for one in told]
    assert places == sorted(places)


def press(client: TestClient, address: str) -> None:
    page = client.get(address).text
    fields = {
        name: page.rpartition(f'name="{name}" value="')[2].partition('"')[0]
        for name in ("csrf", "once")
    }
    assert client.post(address, data=fields).status_code == 303


def test_a_letter_is_shown_with_its_reason_and_the_servers_words(town: Town, staff: Staff) -> None:
    town.mail_server.answers["RCPT"] = [REFUSED]
    number = town.register("alice")
    town.run("deliver_letters")
    past = part(staff("reader").get(f"/staff/people/{number}").text, "Ce qui s’est passé")
    assert (
        "échec Confirmation le serveur de courrier l’a refusé : RCPT: 550 5.1.1"
        " <alice@example.org>: no such user Courrier n° 1"
    ) in past


# ---- acts, secrets, strangers ----------------------------------------------------------------


def test_an_admin_may_act_and_a_reader_only_see(town: Town, staff: Staff) -> None:
    number = town.register("alice")
    town.run("deliver_letters")
    admin = links(staff("admin").get(f"/staff/people/{number}").text)
    assert {one for one in admin if "/act/" in one} == {
        "/staff/act/resend/1",
        f"/staff/act/address/{number}",
        f"/staff/act/withdraw/{number}",
        f"/staff/act/erase/{number}",
    }
    assert {one for one in admin if "/preview/" in one} == {
        f"/staff/letters/preview/{kind}/{number}"
        for kind in
        ("confirmation", "reminder-7", "reminder-1", "moved", "cancelled", "withdrawn")
    }  # fmt: skip
    reader = links(staff("reader").get(f"/staff/people/{number}").text)
    assert not any("/act/" in one or "/preview/" in one for one in reader)


def test_every_act_and_preview_that_is_offered_exists(town: Town, staff: Staff) -> None:
    number = town.register("alice")
    town.run("deliver_letters")
    alice = staff("admin")
    for address in links(alice.get(f"/staff/people/{number}").text):
        if address.startswith("/staff/"):
            assert alice.get(address).status_code in {200, 405}, address


def test_a_personal_link_is_never_shown(town: Town, staff: Staff) -> None:
    number = town.register("alice")
    town.run("deliver_letters")
    page = staff("admin").get(f"/staff/people/{number}").text
    (link,) = town.query("SELECT join_url FROM registrants")[0]
    assert link.startswith("https://")
    assert "zoom.us/w/" not in page
    assert "tk=" not in page


def test_of_an_erased_person_only_the_day_is_left(town: Town, staff: Staff) -> None:
    number = town.register("alice", "Alice", "Œuvrard")
    town.run("deliver_letters")
    press(staff("admin"), f"/staff/act/erase/{number}")
    town.clock.to(2021, 1, 15, 9, 0)
    for role in ("reader", "admin"):
        page = staff(role, "Bob").get(f"/staff/people/{number}").text
        assert text(page).endswith(
            "Données effacées Les données de cette personne ont été effacées le lundi 11 janvier"
            " 2021 à 11 h 00. Il ne reste que des nombres."
        )
        assert "Alice" not in page
        assert not any("/act/" in one for one in links(page))


@pytest.mark.parametrize("number", ["999", "0", "9" * 30])
def test_nobody_has_that_number(town: Town, staff: Staff, number: str) -> None:
    answer = staff("reader").get(f"/staff/people/{number}")
    assert answer.status_code == 404
    assert "Cette personne n’existe pas." in answer.text


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_changes_no_tag(town: Town, staff: Staff, name: str) -> None:
    number = town.register("eve", "Eve", "Martin")
    alice = staff("admin")
    plain = alice.get(f"/staff/people/{number}").text
    with town.service.store.write() as connection:
        connection.execute(update(registrants).values(first_name=name, last_name=name))
        connection.execute(update(letters).values(state="failed", reason="refused", detail=name))
    failed = alice.get(f"/staff/people/{number}").text
    with town.service.store.write() as connection:
        connection.execute(update(registrants).values(first_name="Eve", last_name="Martin"))
        connection.execute(update(letters).values(detail="550 no"))
    assert shape(failed) == shape(alice.get(f"/staff/people/{number}").text)
    assert {"script", "img", "svg", "iframe", "base"}.isdisjoint(tag for tag, _ in shape(failed))
    assert plain.count("<h1>") == failed.count("<h1>") == 1


def test_moments_are_those_of_the_campaigns_zone(town: Town, staff: Staff) -> None:
    town.clock.time = datetime.fromisoformat("2021-01-11T23:30:00+00:00")
    number = town.register("alice")
    page = text(staff("reader").get(f"/staff/people/{number}").text)
    assert "inscrit, le mardi 12 janvier 2021 à 0 h 30 (annoncé par Zoom)" in page
