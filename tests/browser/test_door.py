"""Signing in, in a real browser."""

from collections.abc import Callable

from tests.browser.conftest import Tab, World


def test_a_link_is_opened_and_its_button_lets_in(
    world: World, open_tab: Callable[..., Tab]
) -> None:
    tab = open_tab()
    tab.go(world.invitation("reader"))
    tab.check()
    tab.page.get_by_role("button", name="Entrer").click()
    assert tab.page.url == world.at("/staff/")
    tab.page.get_by_role("button", name="Se déconnecter").click()
    assert tab.page.get_by_role("heading", level=1).inner_text() == "À bientôt"
