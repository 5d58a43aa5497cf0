"""The three letters that ship: what they say, how they are typeset, what they never load."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from resonance_zoom.mail.letters import OtherMeeting, RenderedLetter
from tests.mail.sample import JOIN_URL, KINDS, SHIPPED, render, room
from tests.mail.test_letters import Skeleton

FILES = sorted(path for path in SHIPPED.iterdir() if path.suffix in {".subject", ".txt", ".html"})
OTHERS = (
    OtherMeeting(
        "Réinvestir les espaces extérieurs",
        datetime(2021, 3, 1, 8, tzinfo=UTC),
        datetime(2021, 3, 1, 10, tzinfo=UTC),
    ),
)
ALL = {
    "first_name": "Élodie",
    "organiser_phone": "+33 2 00 00 00 00",
    "other_meetings": OTHERS,
}


def full(kind: str) -> RenderedLetter:
    return render(kind=kind, **ALL)


def words(letter: RenderedLetter) -> str:
    """The page as a reader sees it."""
    without = re.sub(
        r"(?s)<style>.*?</style>|<title>.*?</title>|<div class=\"preview\".*?</div>",
        "",
        letter.html,
    )
    text = re.sub(r"\s*\n\s*", " ", re.sub(r"<[^>]+>", " ", without))
    return re.sub(" {2,}", " ", text.replace("&amp;", "&"))


def test_the_shipped_letters_have_no_problem() -> None:
    assert room().check(KINDS) == []


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        (
            "confirmation",
            "Inscription enregistrée, votre lien\u00a0: Accompagner le développement du"
            " télétravail, mardi 9 février 2021",
        ),
        (
            "reminder-7",
            "Rappel\u00a0: Accompagner le développement du télétravail, mardi 9 février 2021",
        ),
        (
            "reminder-1",
            "Dernier rappel, votre lien\u00a0: Accompagner le développement du télétravail,"
            " mardi 9 février 2021",
        ),
    ],
)
def test_each_subject_says_what_and_when(kind: str, subject: str) -> None:
    assert full(kind).subject == subject


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "said",
    [
        "Bonjour Élodie,",
        "Accompagner le développement du télétravail",
        "mardi 9 février 2021, de 9\u00a0h\u00a000 à 11\u00a0h\u00a000, heure de Paris",
        "En ligne, sur Zoom",
        JOIN_URL,
        "Ce lien vous est personnel\u00a0:",
        "Vos autres inscriptions\u00a0:",
        "Réinvestir les espaces extérieurs, lundi 1er mars 2021, de 9\u00a0h\u00a000",
        "appelez le +33 2 00 00 00 00",
        "contact@example.org",
        "Répondez à ce message pour renoncer à votre place",
        "l’adresse camille@example.net a servi à une inscription",
        "effacés 30\u00a0jours après la dernière rencontre",
    ],
)
def test_every_letter_says_in_text_and_html(kind: str, said: str) -> None:
    letter = full(kind)

    assert said in letter.text
    assert said in words(letter)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("confirmation", "Votre inscription est enregistrée."),
        ("reminder-7", "Vous avez votre place à cette rencontre"),
        ("reminder-1", "une dernière fois avant la rencontre"),
    ],
)
def test_each_letter_announces_itself(kind: str, said: str) -> None:
    assert said in full(kind).text
    assert said in words(full(kind))


def test_only_the_confirmation_holds_the_agenda() -> None:
    agenda = "Où, comment, avec qui\u00a0?"

    assert [agenda in full(kind).text for kind in KINDS] == [True, False, False]
    assert [agenda in words(full(kind)) for kind in KINDS] == [True, False, False]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_known_is_not_said(kind: str) -> None:
    letter = render(kind=kind, first_name=" ", agenda="", keep_days=1)

    for said in (letter.text, words(letter)):
        assert "Bonjour," in said
        assert "autres inscriptions" not in said
        assert "appelez" not in said
        assert "L’objet" not in said
        assert "Répondez à ce message ou écrivez à" in said
        assert "1\u00a0jour après" in said


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_has_no_gaps(kind: str) -> None:
    for letter in (full(kind), render(kind=kind, agenda="")):
        assert "\n\n\n\n" not in letter.text
        assert not re.search(r"[ \t]\n", letter.text)


@pytest.mark.parametrize("kind", KINDS)
def test_no_letter_counts_days_that_pass_while_it_is_on_its_way(kind: str) -> None:
    for counted in ("demain", "aujourd", "dans 7", "dans sept", "semaine prochaine", "J-"):
        assert counted not in full(kind).text.lower()
        assert counted not in words(full(kind)).lower()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_templates_are_set_in_french(path: Any) -> None:
    said = re.sub(
        r"(?s)<style>.*?</style>|\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}|<[^>]*>",
        "",
        path.read_text(encoding="utf-8"),
    )

    assert re.findall(r".{0,20} [:;!?»].{0,10}|.{0,10}« .{0,10}", said) == []
    assert re.findall(r".{0,20}(?<!\u00a0)[;!?»].{0,10}", said) == []
    assert "'" not in said
    assert "\u202f" not in said


@pytest.mark.parametrize("kind", KINDS)
def test_letters_are_set_in_french(kind: str) -> None:
    letter = render(
        kind=kind, agenda="Où : « ici » ?", title="L'essai : suite", **{**ALL, "first_name": "Zoé"}
    )

    for said in (letter.subject, letter.text.replace(JOIN_URL, ""), words(letter)):
        assert re.findall(r".{0,20} [:;!?»].{0,10}|.{0,10}« .{0,10}", said) == []
        assert "'" not in said


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_loads_nothing_and_links_nowhere_else(kind: str) -> None:
    page = full(kind).html
    tags = Skeleton(page).tags
    names = {tag for tag, _ in tags}
    attributes = [(name, value or "") for _, attrs in tags for name, value in attrs]

    assert not names & {"img", "script", "link", "iframe", "object", "form", "video", "svg"}
    assert {value for name, value in attributes if name == "href"} == {
        JOIN_URL,
        "mailto:contact@example.org",
    }
    assert not {name for name, _ in attributes} & {"src", "background", "srcset", "onclick"}
    assert "url(" not in page
    assert "@import" not in page


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_small_french_and_styled_in_its_tags(kind: str) -> None:
    page = full(kind).html

    assert len(page.encode()) < 100_000
    assert page.startswith('<!DOCTYPE html>\n<html lang="fr"')
    assert "prefers-color-scheme: dark" in page
    assert '<a class="go" href="' in page
    assert all(
        "style" in dict(attrs) for tag, attrs in Skeleton(page).tags if tag in {"p", "a", "h1"}
    )
    assert all(
        dict(attrs)["role"] == "presentation"
        for tag, attrs in Skeleton(page).tags
        if tag == "table"
    )
