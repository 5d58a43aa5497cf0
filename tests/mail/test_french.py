"""Dates and spaces as French letters have them."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from resonance_zoom.mail.french import (
    ago,
    calendar_day,
    date_hour,
    day,
    for_page,
    short,
    typeset,
    when,
    zone_name,
)
from tests.mail.sample import PARIS


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]  # a date and an hour


def test_a_meeting_is_said_with_its_local_hours_and_zone() -> None:
    assert (
        when(utc(2021, 2, 9, 8), utc(2021, 2, 9, 10), PARIS)
        == "mardi 9 février 2021, de 9\u00a0h\u00a000 à 11\u00a0h\u00a000, heure de Paris"
    )


def test_the_same_local_hour_is_said_on_both_sides_of_a_change_of_clocks() -> None:
    winter = when(utc(2021, 3, 26, 8), utc(2021, 3, 26, 9, 30), PARIS)
    summer = when(utc(2021, 3, 29, 7), utc(2021, 3, 29, 8, 30), PARIS)

    assert winter.startswith("vendredi 26 mars 2021, de 9\u00a0h\u00a000 à 10\u00a0h\u00a030,")
    assert summer.startswith("lundi 29 mars 2021, de 9\u00a0h\u00a000 à 10\u00a0h\u00a030,")


def test_the_first_of_a_month_is_1er_and_only_the_first() -> None:
    assert day(utc(2021, 3, 1, 8), PARIS) == "lundi 1er mars 2021"
    assert day(utc(2021, 3, 11, 8), PARIS) == "jeudi 11 mars 2021"


def test_the_date_is_the_local_one() -> None:
    assert day(utc(2021, 2, 8, 23, 30), PARIS) == "mardi 9 février 2021"


def test_a_meeting_over_midnight_says_both_days() -> None:
    assert (
        when(utc(2021, 2, 9, 21), utc(2021, 2, 9, 23, 5), PARIS)
        == "du mardi 9 février 2021 à 22\u00a0h\u00a000"
        " au mercredi 10 février 2021 à 0\u00a0h\u00a005, heure de Paris"
    )


@pytest.mark.parametrize(
    ("zone", "name"),
    [
        ("Europe/Paris", "heure de Paris"),
        ("Indian/Reunion", "heure de La Réunion"),
        ("Africa/Cairo", "heure du Caire"),
        ("Africa/Abidjan", "heure d’Abidjan"),
        ("Europe/Isle_of_Man", "heure de l’Île de Man"),
        ("Atlantic/Canary", "heure des Îles Canaries"),
        ("Pacific/Efate", "heure d’Éfaté"),
        ("Asia/Urumqi", "heure d’Ürümqi"),
        ("UTC", "heure UTC"),
        ("Etc/GMT-4", "heure GMT-4"),
    ],
)
def test_a_zone_is_named_after_its_city(zone: str, name: str) -> None:
    assert zone_name(ZoneInfo(zone)) == name


@pytest.mark.parametrize(
    ("typed", "set_in_french"),
    [
        ("Où : à l'heure ?", "Où\u00a0: à l’heure\u00a0?"),
        ("Un\u202f; deux\u202f!", "Un\u00a0; deux\u00a0!"),
        ("« tiers-lieux »", "«\u00a0tiers-lieux\u00a0»"),
        ("24 % des actifs", "24\u00a0% des actifs"),
        ("12 € par mois, 5 ans", "12\u00a0€ par mois, 5 ans"),
        ("https://example.org/a?b=c;d", "https://example.org/a?b=c;d"),
        ("un\ndeux", "un\ndeux"),
    ],
)
def test_the_organisers_words_get_french_spaces(typed: str, set_in_french: str) -> None:
    assert typeset(typed) == set_in_french


@pytest.mark.parametrize(
    ("seconds", "far"),
    [
        (0, "à l’instant"),
        (29.9, "à l’instant"),
        (31, "il y a 1\u00a0min"),
        (60, "il y a 1\u00a0min"),
        (59.4 * 60, "il y a 59\u00a0min"),
        (59.6 * 60, "il y a 1\u00a0h"),
        (3600, "il y a 1\u00a0h"),
        (2 * 3600 - 60, "il y a 1\u00a0h"),
        (2 * 3600, "il y a 2\u00a0h"),
        (24 * 3600, "il y a 24\u00a0h"),
        (48 * 3600 - 60, "il y a 47\u00a0h"),
        (48 * 3600 - 20, "il y a 2\u00a0jours"),
        (48 * 3600, "il y a 2\u00a0jours"),
        (400 * 86400, "il y a 400\u00a0jours"),
        (-20, "à l’instant"),
        (-59.6 * 60, "dans 1\u00a0h"),
        (-7 * 60, "dans 7\u00a0min"),
        (-49 * 3600, "dans 2\u00a0jours"),
    ],
)
def test_how_far_a_moment_is_is_said_in_one_unit(seconds: float, far: str) -> None:
    now = utc(2021, 2, 9, 8)

    assert ago(now - timedelta(seconds=seconds), now) == far


def test_there_is_never_one_day_in_the_plural() -> None:
    now = utc(2021, 2, 9, 8)
    said = {ago(now - timedelta(minutes=m), now) for m in range(-4400, 4400)}

    assert {words for words in said if words.endswith("jours")} == {
        "il y a 2\u00a0jours",
        "il y a 3\u00a0jours",
        "dans 2\u00a0jours",
        "dans 3\u00a0jours",
    }


def test_a_page_has_narrow_spaces_where_a_letter_has_wide_ones() -> None:
    assert for_page(typeset("Où ? Là ; ici ! Fin :")) == "Où\u202f? Là\u202f; ici\u202f! Fin\u00a0:"


def test_a_day_without_its_weekday_an_hour_with_it_and_both_in_a_table() -> None:
    assert calendar_day(date(2021, 3, 1)) == "1er mars 2021"
    assert calendar_day(date(2021, 3, 31)) == "31 mars 2021"
    assert date_hour(utc(2021, 3, 1, 8, 5), PARIS) == "lundi 1er mars 2021 à 9\u00a0h\u00a005"
    assert short(utc(2021, 3, 1, 8, 5), PARIS) == "01/03/2021 09:05"
