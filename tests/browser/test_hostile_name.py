"""In a real browser a name is only ever read: no dialog opens, no script runs, no page breaks."""

from collections.abc import Callable
from pathlib import Path

import pytest

from resonance_zoom import preview
from tests.browser.conftest import NARROW, Tab, World

Open = Callable[..., Tab]
NAMES = {
    "script": ("<script>alert(1)</script>", "</title><script>alert(2)</script>"),
    "events": ('" autofocus onfocus="alert(3)', "'><svg onload=alert(4)><img src=x onerror=alert(5)>"),
    "frames": ("<iframe srcdoc='<script>alert(6)</script>'>", "--></textarea><base href=//evil.example>"),
    "order": ("\x1b[31mAnna\u202e\u2028", "Bel\x9b " + "Z" * 300),
}  # fmt: skip


@pytest.fixture
def hostile(world: World) -> World:
    """They registered for the first meeting and have their letter."""
    meeting = min(world.zoom.meetings.values(), key=lambda one: one.start_time)
    for who, (first, last) in NAMES.items():
        world.zoom.register(
            meeting.id, email=f"{who}@example.org", first_name=first, last_name=last
        )
    world.zoom.deliver_due()
    world.run("deliver_letters")
    with world.service.store.read() as connection:
        rows = connection.exec_driver_sql("SELECT email, id FROM registrants")
        world.people |= {row.email: row.id for row in rows}
    return world


def addresses(world: World, who: str) -> list[str]:
    """Every page on which this person is named."""
    number, me = world.people[f"{who}@example.org"], world.personal(f"{who}@example.org")
    with world.service.store.read() as connection:
        letter = connection.exec_driver_sql(
            "SELECT id FROM letters WHERE registrant = ?", (number,)
        ).scalar_one()
    preview = f"/staff/letters/preview/confirmation/{number}"
    return [
        me,
        f"{me}/withdraw/teletravail",
        *(
            world.at(path)
            for path in (
                f"/staff/people/{number}",
                f"/staff/registrants?q={who}%40",
                f"/staff/letters?person={number}",
                f"/staff/journal?person={number}",
                preview,
                f"{preview}/html",
                f"/staff/act/resend/{letter}",
                f"/staff/act/address/{number}",
            )
        ),
    ]


@pytest.mark.parametrize("bare", [False, True], ids=["as-served", "without-policy"])
def test_no_dialog_opens_and_no_script_runs(bare: bool, hostile: World, open_tab: Open) -> None:
    """Escaping alone holds: the same without our Content-Security-Policy, which is the second wall."""
    tab = open_tab(bare=bare)
    tab.go(hostile.invitation("admin"))
    tab.page.get_by_role("button", name="Entrer").click()
    for who, names in NAMES.items():
        for address in addresses(hostile, who):
            tab.go(address)
            assert tab.page.locator("script, img, base, [onfocus], [onload]").count() == 0
        tab.go(hostile.at(f"/staff/people/{hostile.people[f'{who}@example.org']}"))
        assert tab.page.locator("h1 bdi").evaluate("e => e.textContent") == " ".join(names)
    for path in ("/", "/staff/", "/staff/journal", "/staff/registrants", "/staff/letters"):
        tab.go(hostile.at(path))
    # A letter's own page names no icon: without the policy the browser looks for one.
    assert [trouble for trouble in tab.troubles if "Failed to load resource" not in trouble] == []


def test_no_script_of_a_letter_runs_in_a_mail_program_that_would_run_it(
    hostile: World, open_tab: Open, tmp_path: Path
) -> None:
    tab = open_tab()
    tab.origin = "file://"
    for who in NAMES:
        for kind in hostile.service.campaign.letter_kinds:
            whole = preview.message(hostile.service, kind, email=f"{who}@example.org")
            page = tmp_path / f"{who}-{kind}.html"
            page.write_text(preview.html_of(whole), encoding="utf-8")
            tab.go(page.as_uri())
            assert tab.page.locator("script, img, base, [onfocus], [onload]").count() == 0
    assert tab.troubles == []


def test_a_long_name_makes_no_page_wider_than_a_telephone(hostile: World, open_tab: Open) -> None:
    tab = open_tab(size=NARROW)
    tab.go(hostile.invitation("admin"))
    tab.page.get_by_role("button", name="Entrer").click()
    wide = {}
    for address in [*addresses(hostile, "order"), hostile.at("/staff/registrants")]:
        tab.go(address)
        width = tab.page.evaluate("document.documentElement.scrollWidth")
        if width > NARROW["width"]:
            wide[address] = width
    assert wide == {}


# Whether an address in the page is drawn from left to right; null when it is not there.
DRAWN = """address => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const at = node.data.indexOf(address);
    if (at < 0) continue;
    const left = index => {
      const range = document.createRange();
      range.setStart(node, at + index);
      range.setEnd(node, at + index + 1);
      return range.getBoundingClientRect().left;
    };
    return left(0) < left(1);
  }
  return null;
}"""


def test_a_name_that_turns_the_writing_around_turns_itself_alone(
    hostile: World, open_tab: Open
) -> None:
    tab = open_tab()
    tab.go(hostile.invitation("admin"))
    tab.page.get_by_role("button", name="Entrer").click()
    number = hostile.people["order@example.org"]
    for address in (
        hostile.personal("order@example.org"),
        hostile.at(f"/staff/people/{number}"),
        hostile.at("/staff/registrants?q=order%40"),
        hostile.at(f"/staff/letters/preview/confirmation/{number}"),
    ):
        tab.go(address)
        assert tab.page.evaluate(DRAWN, "order@example.org") is True, address
