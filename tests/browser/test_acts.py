"""Every act of the staff asks once, does it, and says what it did; all of it by keyboard alone."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import NARROW, Tab, World

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., Tab]


def signed_in(world: World, tab: Tab, role: str = "admin") -> "Page":
    tab.go(world.invitation(role))
    tab.page.get_by_role("button", name="Entrer").click()
    return tab.page


def statuses(world: World) -> dict[tuple[str, str], str]:
    with world.service.store.read() as connection:
        rows = connection.exec_driver_sql("SELECT focus_group, email, status FROM registrants")
        return {(row.focus_group, row.email): row.status for row in rows}


def journal(world: World) -> list[tuple[str, str]]:
    with world.service.store.read() as connection:
        rows = connection.exec_driver_sql(
            "SELECT kind, message FROM journal WHERE kind LIKE 'staff.%'"
        )
        return [(row.kind, row.message) for row in rows]


@pytest.mark.parametrize(
    ("act", "subject", "button", "said", "kind"),
    [
        ("resend", "1", "Renvoyer", "Le courrier part", "staff.resend"),
        ("withdraw", "alice", "Rendre la place", "La place est rendue", "staff.cancel"),
        ("erase", "alice", "Effacer définitivement", "Données effacées", "staff.erase"),
        ("pause", "-", "Suspendre", "Les envois sont suspendus", "staff.pause"),
        ("resume", "-", "Reprendre", "Les envois ont repris", "staff.resume"),
        ("sync", "-", "Relire", "La relecture a commencé", "staff.sync"),
    ],
)
def test_an_act_asks_once_and_says_what_it_did(
    act: str, subject: str, button: str, said: str, kind: str, world: World, open_tab: Open
) -> None:
    tab = open_tab()
    page = signed_in(world, tab)
    number = world.people["alice@example.org"] if subject == "alice" else subject
    page.goto(world.at(f"/staff/act/{act}/{number}"))
    assert kind not in dict(journal(world))
    page.get_by_role("button", name=button, exact=True).click()
    assert said in page.locator(".said").inner_text()
    assert "(by Alice)" in dict(journal(world))[kind]
    page.reload()
    assert page.locator(".said").count() == 0  # told once


def test_a_wrong_address_is_corrected_and_the_right_one_gets_the_link(
    world: World, open_tab: Open
) -> None:
    page = signed_in(world, open_tab(size=NARROW))
    alice = world.people["alice@example.org"]
    page.goto(world.at(f"/staff/people/{alice}"))
    page.get_by_role("link", name="Corriger l’adresse").first.click()
    page.get_by_label("La bonne adresse").fill("alice.oeuvrard@example.org")
    page.get_by_role("button", name="Corriger").click()
    assert "alice.oeuvrard@example.org" in page.locator(".said").inner_text()
    world.zoom.deliver_due()
    found = statuses(world)
    (group,) = (group for group, email in found if email == "alice.oeuvrard@example.org")
    assert found[group, "alice.oeuvrard@example.org"] == "approved"
    assert found[group, "alice@example.org"] == "cancelled"


def test_zooms_refusal_is_told_and_nothing_is_done(world: World, open_tab: Open) -> None:
    page = signed_in(world, open_tab())
    world.zoom.faults.api("meetingregistrantdelete", kind="429-daily")
    page.goto(world.at(f"/staff/act/withdraw/{world.people['alice@example.org']}"))
    page.get_by_role("button", name="Rendre la place").click()
    assert "Rien n’a été fait" in page.get_by_role("alert").inner_text()
    assert "cancelled" not in {
        status for (_, email), status in statuses(world).items() if email.startswith("alice")
    }


def test_a_reader_is_offered_no_act_and_may_do_none(world: World, open_tab: Open) -> None:
    page = signed_in(world, open_tab(), role="reader")
    alice = world.people["alice@example.org"]
    for path in ("/staff/", "/staff/letters", f"/staff/people/{alice}", "/staff/meetings"):
        page.goto(world.at(path))
        assert page.locator("a[href^='/staff/act/']").count() == 0
    answer = page.goto(world.at("/staff/act/pause/-"))
    assert answer is not None
    assert answer.status == 403


def test_from_the_link_to_an_act_with_the_keyboard_alone(world: World, open_tab: Open) -> None:
    tab = open_tab()
    tab.go(world.invitation("admin"))
    press_until(tab.page, "Entrer")
    tab.page.wait_for_url("**/staff/")
    press_until(tab.page, "Courriers")
    tab.page.wait_for_url("**/staff/letters")
    press_until(tab.page, "Suspendre")
    tab.page.wait_for_url("**/staff/act/pause/-")
    press_until(tab.page, "Suspendre")
    tab.page.wait_for_url("**/staff/letters")
    assert "suspendus" in tab.page.locator(".said").inner_text()


def press_until(page: "Page", name: str) -> None:
    """Tab to what bears that name, see that it is visibly focused, press Enter."""
    for _ in range(60):
        page.keyboard.press("Tab")
        words = page.evaluate("document.activeElement.innerText || ''")
        if str(words).strip().startswith(name):
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"{name} does not show that it has the focus"
            page.keyboard.press("Enter")
            return
    raise AssertionError(f"the keyboard never comes to {name!r}")


def test_a_registrant_gives_up_the_place_with_the_keyboard_alone(
    world: World, open_tab: Open
) -> None:
    tab = open_tab(size=NARROW)
    tab.go(world.personal("alice@example.org"))
    press_until(tab.page, "Renoncer")
    tab.page.wait_for_url("**/withdraw/**")
    press_until(tab.page, "Renoncer")
    tab.page.wait_for_url("**/me/**done=**")
    assert "cancelled" in {
        status for (_, email), status in statuses(world).items() if email == "alice@example.org"
    }
