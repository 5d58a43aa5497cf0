"""Dates and spaces as French letters have them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from resonance_zoom.mail.french import day, typeset, when, zone_name
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
        ("UTC", "heure UTC"),
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
        ("https://example.org/a?b=c;d", "https://example.org/a?b=c;d"),
        ("un\ndeux", "un\ndeux"),
    ],
)
def test_the_organisers_words_get_french_spaces(typed: str, set_in_french: str) -> None:
    assert typeset(typed) == set_in_french
