"""The six letters, as production's jobs sent them to Alice: what each says, and what none says."""

import html
import re
from html.parser import HTMLParser

import pytest

from tests.mail.conftest import SIX
from tests.mail.typography import letter_faults, prose
from tests.mail_server import Kept

FIRST, SECOND = "Accompagner l’essor du télétravail", "Réinvestir les espaces extérieurs"
OLD = "samedi 24 octobre 2026, de 9\u00a0h\u00a000 à 11\u00a0h\u00a000, heure de Paris"
NEW = "mardi 27 octobre 2026, de 9\u00a0h\u00a000 à 11\u00a0h\u00a000, heure de Paris"
EVENING = "mardi 17 novembre 2026, de 18\u00a0h\u00a030 à 20\u00a0h\u00a000, heure de Paris"
WITH_LINK = ("confirmation", "moved", "reminder-7", "reminder-1")
JOIN_URL = re.compile(r"https://us02web\.zoom\.us/w/\d+\?tk=[\w.-]+&pwd=\w+")


def page(letter: Kept) -> str:
    part = letter.message.get_body(("html",))
    assert part is not None
    return str(part.get_content())


def text(letter: Kept) -> str:
    return letter.text.replace("\r\n", "\n")


def both(letter: Kept) -> tuple[str, str]:
    """The text, and what is read of the HTML."""
    return text(letter), "\n".join(prose(page(letter)))


class Links(HTMLParser):
    """Where a page leads: (address, words, class) of each link."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if tag == "a":
            self.found.append((known.get("href") or "", "", known.get("class") or ""))

    def handle_data(self, data: str) -> None:
        if self.found:
            address, words, style = self.found[-1]
            self.found[-1] = (address, words + data, style)

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self.found.append(("", "", ""))


@pytest.mark.parametrize(
    ("kind", "subject", "announced", "when"),
    [
        ("confirmation", f"Inscription enregistrée, votre lien\u00a0: {FIRST}, samedi 24 octobre 2026",
         "Votre inscription est enregistrée. Gardez ce message\u00a0:", OLD),
        ("moved", f"Déplacé\u00a0: {FIRST}, mardi 27 octobre 2026", "change de date", NEW),
        ("reminder-7", f"Rappel\u00a0: {FIRST}, mardi 27 octobre 2026", "Vous avez votre place", NEW),
        ("reminder-1", f"Dernier rappel, votre lien\u00a0: {FIRST}, mardi 27 octobre 2026",
         "une dernière fois avant la rencontre", NEW),
        ("cancelled", f"Annulé\u00a0: {FIRST}, mardi 27 octobre 2026", "n’aura pas lieu", NEW),
        ("withdrawn", f"Désinscription enregistrée\u00a0: {SECOND}, mardi 17 novembre 2026",
         "Vous avez renoncé à votre place, c’est enregistré\u00a0:", EVENING),
    ],
)  # fmt: skip
def test_each_says_what_it_is_about_and_when(
    post: dict[str, Kept], kind: str, subject: str, announced: str, when: str
) -> None:
    assert str(post[kind].message["Subject"]) == subject
    for words in both(post[kind]):
        assert announced in words
        assert when in words
        assert (SECOND if kind == "withdrawn" else FIRST) in words
        assert "En ligne, sur Zoom" in words


@pytest.mark.parametrize("kind", SIX)
@pytest.mark.parametrize(
    "said",
    [
        "Bonjour Alice,",
        "Association Résonance",
        "Une question\u00a0? Répondez à ce message, écrivez à contact@example.org ou appelez le"
        " +33 2 99 00 00 00.",
        "Vous recevez ce message parce que l’adresse alice@example.net a servi à une inscription",
        "ils sont effacés le 17 décembre 2026.",
        "Pour les consulter, les corriger ou les faire effacer plus tôt, écrivez à",
    ],
)
def test_each_says_who_writes_why_and_how_long_data_are_kept(
    post: dict[str, Kept], kind: str, said: str
) -> None:
    for words in both(post[kind]):
        assert said in words
    assert str(post[kind].message["From"]) == "Association Résonance <contact@example.org>"


@pytest.mark.parametrize("kind", WITH_LINK)
def test_those_that_lead_to_the_meeting_have_the_link_as_a_button_and_as_text(
    post: dict[str, Kept], kind: str
) -> None:
    [link] = set(JOIN_URL.findall(text(post[kind])))
    to_the_meeting = [found for found in Links(page(post[kind])).found if found[0] == link]

    assert to_the_meeting == [(link, "Rejoindre la rencontre", "go"), (link, link, "")]
    assert f"lien personnel pour rejoindre la rencontre\u00a0:\n{link}\n" in text(post[kind])
    for words in both(post[kind]):
        assert "Ce lien vous est personnel\u00a0: merci de ne pas le transmettre" in words


@pytest.mark.parametrize("kind", WITH_LINK)
def test_they_say_how_to_join_by_phone_and_how_to_give_up_the_place(
    post: dict[str, Kept], kind: str
) -> None:
    meeting = re.search(r"zoom\.us/w/(\d{3})(\d{4})(\d{4})\?", post[kind].text)
    assert meeting is not None
    for words in both(post[kind]):
        assert (
            "Par téléphone, sans ordinateur\u00a0: +33 1 70 37 97 29 (France). Numéro de la"
            f" réunion\u00a0: {meeting[1]} {meeting[2]} {meeting[3]}."
        ) in words
        assert "+1 929" not in words  # there is a number in France
        assert "Un empêchement\u00a0?" in words
        assert "renoncer à votre place sont sur votre page personnelle\u00a0:" in words
    [own] = re.findall(r"http://localhost:8000/me/\S+", post[kind].text)
    assert (own, "ouvrir ma page", "") in Links(page(post[kind])).found


@pytest.mark.parametrize("kind", ["moved", "reminder-7", "reminder-1", "cancelled"])
def test_the_other_groups_are_listed_with_their_dates(post: dict[str, Kept], kind: str) -> None:
    for words in both(post[kind]):
        assert "Vos autres inscriptions\u00a0:" in words
        assert f"{SECOND}, {EVENING}" in words


def test_a_group_that_was_called_off_is_not_among_the_other_ones(post: dict[str, Kept]) -> None:
    for words in both(post["withdrawn"]):
        assert "autres inscriptions" not in words


def test_the_moved_one_says_the_old_date_too(post: dict[str, Kept]) -> None:
    for words in both(post["moved"]):
        assert f"Elle était prévue le {OLD}." in words
        assert "Votre inscription et votre lien restent valables." in words
        assert "Le fichier joint remplace l’ancienne date dans votre agenda." in words


@pytest.mark.parametrize(
    ("kind", "instead"),
    [
        ("cancelled", "Votre lien ne sert plus, vous n’avez rien à faire."),
        ("withdrawn", "Si vous changez d’avis, vous pouvez vous réinscrire"),
    ],
)
def test_who_cannot_take_part_is_given_no_link(
    post: dict[str, Kept], kind: str, instead: str
) -> None:
    parts = (post[kind].text, page(post[kind]), post[kind].calendar)

    assert [part for part in parts if "zoom.us" in part or "/me/" in part] == []
    assert {found[0] for found in Links(page(post[kind])).found if found[0]} == {
        "mailto:contact@example.org"
    }
    for words in both(post[kind]):
        assert instead in words
        assert "Le fichier joint retire la rencontre de votre agenda." in words
        assert "Par téléphone" not in words


@pytest.mark.parametrize("kind", SIX)
def test_none_counts_days_and_none_shows_its_machinery(post: dict[str, Kept], kind: str) -> None:
    counted = r"(?i)\bdans \w+ (jours?|heures?|semaines?)|demain|aujourd|semaine prochaine|\bJ-\d"
    for words in (str(post[kind].message["Subject"]), *both(post[kind])):
        assert re.findall(counted, words.replace("\u00a0", " ")) == []
        assert re.findall(r"Macro|None|\{\{|\}\}|\{%|&#?\w+;", words.replace(" ", "")) == []


@pytest.mark.parametrize("kind", SIX)
def test_each_is_set_in_french(post: dict[str, Kept], kind: str) -> None:
    letter = post[kind]
    lines = JOIN_URL.sub("x", text(letter)).splitlines()
    read = [str(letter.message["Subject"]), *lines, *prose(page(letter))]

    assert [fault for words in read for fault in letter_faults(words)] == []


@pytest.mark.parametrize("kind", SIX)
def test_no_text_has_a_gap(post: dict[str, Kept], kind: str) -> None:
    assert re.findall(r".*\n\n\n.*|.*[ \t]\n|^\s", text(post[kind])) == []


@pytest.mark.parametrize("kind", SIX)
def test_each_is_the_same_in_text_and_in_html(post: dict[str, Kept], kind: str) -> None:
    """Every sentence of the text stands on the page: who reads one misses nothing."""
    read = re.sub(r"\s", "", html.unescape(re.sub(r"<[^>]+>", " ", page(post[kind]))))
    own_words = {"Votre lien personnel pour rejoindre la rencontre\u00a0:", "* * *"}
    lines = [line for line in text(post[kind]).splitlines() if line and line not in own_words]

    assert [line for line in lines
            if re.sub(r"\s|^– ", "", line) not in read and "/me/" not in line] == []  # fmt: skip
