"""The campaign that ships with the project says what was announced, in proper French."""

import re
import tomllib
from datetime import date, time
from pathlib import Path

import pytest

from resonance_zoom.campaign import Campaign
from resonance_zoom.campaign_file import load_campaign

SHIPPED = Path(__file__).parent.parent / "config" / "campaign.toml"


@pytest.fixture(scope="module")
def campaign() -> Campaign:
    return load_campaign(SHIPPED)


def french() -> list[str]:
    """Every text of the file that a person reads."""
    values = tomllib.loads(SHIPPED.read_text(encoding="utf-8"))
    groups = values["focus_group"]
    return [
        values["campaign"]["name"],
        values["organiser"]["name"],
        *(group["title"] for group in groups),
        *(group["agenda"] for group in groups),
    ]


def test_the_four_focus_groups_have_their_titles_and_dates(campaign: Campaign) -> None:
    assert [(group.slug, group.title, group.date) for group in campaign.focus_groups] == [
        ("teletravail", "Accompagner le développement du télétravail", date(2021, 2, 9)),
        (
            "collaboration-solidaire",
            "Conforter les pratiques de collaboration solidaire",
            date(2021, 2, 16),
        ),
        ("production-consommation", "Réancrer la production et la consommation", date(2021, 3, 9)),
        (
            "espaces-exterieurs",
            "Réinvestir les espaces extérieurs à usages publics",
            date(2021, 3, 16),
        ),
    ]


def test_each_runs_on_a_tuesday_from_nine_to_eleven_in_paris(campaign: Campaign) -> None:
    for group in campaign.focus_groups:
        assert group.date.strftime("%A") == "Tuesday"
        assert (group.starts, group.ends, group.timezone.key) == (
            time(9),
            time(11),
            "Europe/Paris",
        )
        assert group.capacity is None


def test_who_organises_and_how_letters_leave(campaign: Campaign) -> None:
    assert (campaign.name, campaign.slug) == ("Mission Résonance", "resonance-2021")
    assert campaign.organiser.email == "contact@example.org"
    assert campaign.zoom_host == "organisation@example.org"
    assert (campaign.approval, campaign.confirmation) == ("automatic", "ours")
    assert (campaign.reminder_days_before, campaign.reminder_send_at) == ((7, 1), time(9))
    assert campaign.keep_days_after_last == 30


def test_every_key_is_shown_at_least_as_a_remark() -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    shown = set(re.findall(r"^(?:# )?([a-z_]+) = ", text, flags=re.MULTILINE))
    assert shown == {
        "name", "slug", "timezone", "language", "zoom_host", "approval", "confirmation",
        "email", "phone", "days_before", "send_at", "keep_days_after_last", "confirmations_per_day",
        "letters_per_minute",
        "title", "date", "starts", "ends", "capacity", "agenda", "cancelled", "about", "invited",
        "controller", "purpose", "basis", "recipients", "contact", "publisher", "director", "host",
    }  # fmt: skip


def test_a_key_shown_as_a_remark_is_right_when_the_mark_is_taken_away(tmp_path: Path) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    path = tmp_path / "campaign.toml"
    path.write_text(re.sub(r"^# (?=[a-z_]+ = )", "", text, flags=re.MULTILINE), encoding="utf-8")
    campaign = load_campaign(path)
    assert campaign.organiser.phone == "+33 2 00 00 00 00"
    assert campaign.focus_groups[0].capacity == 40


def test_an_agenda_is_two_to_five_sentences_and_fits_in_zoom(campaign: Campaign) -> None:
    for group in campaign.focus_groups:
        assert 2 <= len(re.findall(r"[.?!…](?:\s|$)", group.agenda)) <= 5
        assert 150 < len(campaign.zoom_agenda(group)) < 2000


@pytest.mark.parametrize(
    ("fault", "pattern"),
    [
        ("a straight apostrophe", r"'"),
        ("no no-break space before a colon", r"(?<!\u00a0):"),
        ("no narrow no-break space before ; ! ?", r"(?<!\u202f)[;!?]"),
        ("no no-break space inside « »", r"«(?!\u00a0)|(?<!\u00a0)»"),
        ("no no-break space between a figure and its %", r"(?<!\u00a0)%"),
        ("a straight double quote", r'"'),
        ("three full stops in place of …", r"\.\.\."),
        ("a space twice", r"[ \u00a0\u202f]{2}"),
        ("a space at the end of a line", r"[ \t]\n"),
    ],
)
def test_french_typography(fault: str, pattern: str) -> None:
    for text in french():
        found = re.search(pattern, text)
        assert not found, f"{fault}: …{text[max(0, found.start() - 20) : found.end() + 20]}…"


def test_the_french_texts_do_hold_those_signs() -> None:
    """Otherwise the test above would prove nothing."""
    text = "".join(french())
    assert all(sign in text for sign in ("’", "\u00a0:", "\u202f?", "\u202f;", "\u00a0%"))
