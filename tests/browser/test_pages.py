"""Every page, as people see it: light and dark, wide and on a phone, nothing foreign, no script."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from resonance_zoom import preview
from tests.browser.conftest import NARROW, WIDE, Tab, World

Open = Callable[..., Tab]
ALL_LOOKS = [
    pytest.param(WIDE, False, id="wide-light"),
    pytest.param(NARROW, True, id="narrow-dark"),
    pytest.param(WIDE, True, id="wide-dark"),
    pytest.param(NARROW, False, id="narrow-light"),
]
# Two of the four show every rule of the stylesheets; `make screenshots` takes them all.
LOOKS = ALL_LOOKS if os.environ.get("SCREENSHOTS") else ALL_LOOKS[:2]


def public_pages(world: World) -> Iterator[tuple[str, str]]:
    """(name of the picture, address)."""
    me = world.personal("alice@example.org")
    yield "campagne", world.at("/")
    yield "introuvable", world.at("/nulle-part")
    yield "moi", me
    yield "moi-renoncer", f"{me}/withdraw/teletravail"
    yield "lien-faux", world.at("/me/a.b.c")
    yield "equipe-dehors", world.at("/staff/")
    yield "equipe-entrer", world.invitation("reader")
    yield "equipe-lien-faux", world.at("/staff/sign-in/a.b.c")


def staff_pages(world: World) -> Iterator[tuple[str, str]]:
    alice, eve = world.people["alice@example.org"], world.people["eve@example.org"]
    yield "vue-d-ensemble", world.at("/staff/")
    yield "journal", world.at("/staff/journal")
    yield "journal-ligne", world.at("/staff/journal/1")
    yield "inscrits", world.at("/staff/registrants")
    yield "inscrits-recherche", world.at("/staff/registrants?q=oeuvrard")
    yield "personne", world.at(f"/staff/people/{alice}")
    yield "personne-hostile", world.at(f"/staff/people/{eve}")
    yield "courriers", world.at("/staff/letters")
    yield "apercu", world.at(f"/staff/letters/preview/confirmation/{alice}")
    yield "reunions", world.at("/staff/meetings")
    yield "agir-renvoyer", world.at("/staff/act/resend/1")
    yield "agir-corriger", world.at(f"/staff/act/address/{alice}")
    yield "agir-suspendre", world.at("/staff/act/pause/-")
    yield "equipe-introuvable", world.at("/staff/people/999")


def look_at(tab: Tab, pages: Iterator[tuple[str, str]], folder: Path | None, look: str) -> None:
    for name, address in pages:
        tab.troubles.clear()
        tab.go(address)
        # A page that answers 401, 403 or 404 as it should is not a trouble of the page.
        tab.troubles = [t for t in tab.troubles if "the server responded with a status" not in t]
        tab.check()
        if folder is not None:
            folder.parent.mkdir(mode=0o700, exist_ok=True)
            folder.mkdir(exist_ok=True)
            tab.page.screenshot(path=folder / f"{name}-{look}.png", full_page=True)


@pytest.mark.parametrize(("size", "dark"), LOOKS)
def test_every_public_page_is_fit_to_be_seen(
    size: dict[str, int],
    dark: bool,
    world: World,
    open_tab: Open,
    screenshots: Path | None,
    request: pytest.FixtureRequest,
) -> None:
    look_at(open_tab(size=size, dark=dark), public_pages(world), screenshots, look(request))


@pytest.mark.parametrize(("size", "dark"), LOOKS)
def test_every_staff_page_is_fit_to_be_seen(
    size: dict[str, int],
    dark: bool,
    world: World,
    open_tab: Open,
    screenshots: Path | None,
    request: pytest.FixtureRequest,
) -> None:
    tab = open_tab(size=size, dark=dark)
    tab.go(world.invitation("admin"))
    tab.page.get_by_role("button", name="Entrer").click()
    look_at(tab, staff_pages(world), screenshots, look(request))


@pytest.mark.parametrize(("size", "dark"), LOOKS)
def test_every_letter_is_fit_to_be_read(
    size: dict[str, int],
    dark: bool,
    world: World,
    open_tab: Open,
    screenshots: Path | None,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    tab = open_tab(size=size, dark=dark)
    tab.origin = "file://"

    def pages() -> Iterator[tuple[str, str]]:
        for kind in world.service.campaign.letter_kinds:
            html = preview.html_of(preview.message(world.service, kind, email="alice@example.org"))
            page = tmp_path / f"{kind}.html"
            page.write_text(html, encoding="utf-8")
            yield f"courrier-{kind}", page.as_uri()

    look_at(tab, pages(), screenshots, look(request))


def look(request: pytest.FixtureRequest) -> str:
    found = re.search(r"\[(.+)\]", request.node.name)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(("size", "dark"), LOOKS)
def test_a_demonstration_says_so_on_every_page_and_leads_to_no_real_zoom(
    size: dict[str, int], dark: bool, world: World, open_tab: Open
) -> None:
    world.service.banner = "DÉMONSTRATION : rien ne quitte cet ordinateur."
    tab = open_tab(size=size, dark=dark)
    tab.go(world.invitation("admin"))
    tab.page.get_by_role("button").click()
    for path in ("/", "/staff/", "/staff/meetings"):
        tab.go(world.at(path))
        tab.check()
        assert tab.page.get_by_role("complementary").inner_text() == world.service.banner.replace(
            " :", "\u00a0:"
        )
    assert tab.page.locator("a[href^='https://zoom.us']").count() == 0
