"""After a breach, one command says who is concerned, what was held, who looked and until when."""

import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from resonance_zoom import backups, privacy
from resonance_zoom.acts import Desk
from resonance_zoom.service import Service
from resonance_zoom.store.tables import journal
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import Clock, Type
from tests.kept import rows, run
from tests.web.conftest import staff  # noqa: F401 — the fixture

NBSP = "\u00a0"
Staff = Callable[..., TestClient]


@pytest.fixture(autouse=True)
def terminal_clock(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resonance_zoom.commands.accounting.utc_now", clock)


@pytest.fixture
def people(service: Service, zoom: SimulatedZoom, clock: Clock) -> None:
    """On 11 January Alice registers for both groups and Bob for the first; on the 12th, Carol."""
    run(service, "create_meetings")
    first, second = sorted(zoom.meetings.values(), key=lambda one: one.start_time)
    zoom.register(first.id, email="alice@example.org", first_name="Alice", last_name="=1+1")
    zoom.register(second.id, email="Alice@example.org", first_name="Alice", last_name="=1+1")
    zoom.register(first.id, email="bob@example.org", first_name="Bob")
    clock.to(2021, 1, 12, 10)
    zoom.register(first.id, email="carol@example.org", first_name="Carol")
    run(service, "sync_registrants", "deliver_letters")
    clock.to(2021, 1, 15, 10)


def told(types: Type, *words: str) -> str:
    code, out, _ = types("breach-report", *words)
    assert code == 0
    return out.replace(NBSP, " ")


def facts(types: Type, *words: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(told(types, "--json", *words))
    return found


@pytest.mark.usefixtures("people")
def test_the_report_counts_the_people_and_the_hours_in_local_time(types: Type) -> None:
    out = told(types, "--noticed", "2021-01-14T18:30")
    for line in (
        "RAPPORT DE VIOLATION DE DONNÉES PERSONNELLES — Mission Résonance",
        "Responsable du traitement : Mission Résonance, contact@example.org",
        "Établi le vendredi 15 janvier 2021 à 11 h 00 (heure de Paris)",
        "Période examinée : du début de la campagne au vendredi 15 janvier 2021 à 11 h 00",
        "Violation constatée le jeudi 14 janvier 2021 à 18 h 30",
        "ÉCHÉANCE DE 72 HEURES : dimanche 17 janvier 2021 à 18 h 30 (reste 55 h)",
        "3 personnes, 4 inscriptions :",
        "- Accompagner le développement du télétravail : 3",
        "- Réinvestir les espaces extérieurs à usages publics : 1",
        "- Inscriptions (personnes inscrites ; 4 lignes) :",
        "Entrées dans les pages de l’équipe : 0",
        "Sauvegardes et copies de la base : 0",
        "- mesures prises ou envisagées : « à compléter »",
    ):
        assert line in out.splitlines()
    assert "https://www.cnil.fr/fr/notifier-une-violation-de-donnees-personnelles" in out
    assert "alice" not in out.lower()


@pytest.mark.usefixtures("people")
def test_without_a_moment_the_72_hours_run_from_now_and_over_they_are_told_as_over(
    types: Type,
) -> None:
    assert "à 11 h 00 (reste 72 h)" in told(types)
    late = told(types, "--noticed", "2021-01-12T10:59:59")
    assert "(DÉPASSÉE : notifier quand même, et dire pourquoi)" in late


@pytest.mark.usefixtures("people")
def test_who_registered_after_the_period_is_not_concerned(types: Type) -> None:
    found = facts(types, "--until", "2021-01-12T10:59+01:00")
    assert found["period"] == {"since": None, "until": "2021-01-12T09:59:00Z"}
    persons = found["persons"]
    assert isinstance(persons, dict)
    assert [one["email"] for one in persons["list"]] == ["alice@example.org", "bob@example.org"]
    assert (persons["count"], persons["registrations"]) == (2, 3)
    assert persons["by_focus_group"] == {"teletravail": 2, "espaces-exterieurs": 1}
    assert persons["list"][0]["focus_groups"] == ["teletravail", "espaces-exterieurs"]


@pytest.mark.usefixtures("people")
def test_the_list_goes_to_a_file_for_this_user_alone(types: Type, tmp_path: Path) -> None:
    told(types, "--output", "people.csv")
    path = tmp_path / "people.csv"
    assert path.stat().st_mode & 0o777 == 0o600
    found = list(csv.reader(path.read_text("utf-8-sig").splitlines(), delimiter=";"))
    assert found[0] == ["email", "first_name", "last_name", "focus_groups", "registered_at"]
    assert found[1] == [
        "alice@example.org", "Alice", "'=1+1", "teletravail, espaces-exterieurs",
        "2021-01-11 10:00",
    ]  # fmt: skip
    assert len(found) == 4
    assert types("breach-report", "--output", "people.pdf")[0] == 1


@pytest.mark.usefixtures("people")
def test_what_is_held_is_told_by_the_real_columns_with_something_in_them(types: Type) -> None:
    held = facts(types)["held"]
    assert isinstance(held, list)
    tables = {table["table"]: table for table in held}
    columns = {one["column"]: one["rows"] for one in tables["registrants"]["columns"]}
    assert tables["registrants"]["rows"] == 4
    assert (columns["email"], columns["join_url"], columns["absent_since"]) == (4, 4, 0)
    assert (tables["letters"]["rows"], tables["sessions"]["rows"]) == (4, 0)
    assert facts(types)["not_described"] == []


@pytest.mark.usefixtures("people")
def test_sign_ins_and_exports_of_the_period_are_listed_and_no_others(
    types: Type,
    staff: Staff,  # noqa: F811 — the fixture
    clock: Clock,
) -> None:
    staff("admin", "Zoé")
    clock.to(2021, 1, 16, 8)
    reader = staff("reader", "Yann")
    assert reader.get("/staff/registrants.csv?group=teletravail").status_code == 200
    clock.move(hours=1)
    out = told(types, "--since", "2021-01-16")
    assert "Entrées dans les pages de l’équipe : 1" in out
    assert "- samedi 16 janvier 2021 à 9 h 00 : Yann (reader)" in out
    assert "- samedi 16 janvier 2021 à 9 h 00 : Yann, 3 inscriptions, csv, teletravail" in out
    assert "Zoé" not in out
    assert "Le journal des actes est intact : 3 actes, tête 3:" in out
    found = facts(types, "--since", "2021-01-15")["staff"]
    assert isinstance(found, dict)
    assert [(one["who"], one["refused"]) for one in found["sign_ins"]] == [
        ("Zoé", False),
        ("Yann", False),
    ]
    earlier = facts(types, "--until", "2021-01-16T08:59")["staff"]
    assert isinstance(earlier, dict)
    assert [one["who"] for one in earlier["sign_ins"]] == ["Zoé"]
    assert (earlier["exports"], earlier["other_acts"]) == ([], {})
    assert found["other_acts"] == {"staff.breach_report": 1}
    assert found["sessions"] == ["Yann"]  # Zoé’s was closed after ten hours


@pytest.mark.usefixtures("people")
def test_backups_are_listed_with_their_dates(types: Type, service: Service) -> None:
    made = backups.make_daily(service.store, service.now())
    found = facts(types)["backups"]
    assert isinstance(found, list)
    assert [(one["file"], one["bytes"]) for one in found] == [
        ("resonance-2021-01-15.db", made.stat().st_size)
    ]
    moment = datetime.fromisoformat(found[0]["made_at"])
    assert abs(moment.timestamp() - made.stat().st_mtime) < 1
    assert "- resonance-2021-01-15.db : " in told(types)


@pytest.mark.usefixtures("people")
def test_who_was_erased_in_the_period_is_counted_and_not_named(
    types: Type, service: Service
) -> None:
    desk = Desk(service.store, service.campaign, service.now(), "alice")
    privacy.erase(desk, service.zoom, 1)
    out = told(types, "--since", "2021-01-14")
    assert "2 personnes, 2 inscriptions :" in out
    assert "S’y ajoutent 2 inscriptions effacées pendant la période, sans nom désormais." in out


@pytest.mark.usefixtures("people")
def test_a_journal_that_was_tampered_with_is_told(types: Type, service: Service) -> None:
    told(types)
    with service.store.write() as connection:
        connection.execute(text("DELETE FROM journal WHERE kind LIKE 'staff.%'"))
    out = told(types)
    assert "LE JOURNAL A ÉTÉ MODIFIÉ hors du service : line " in out
    assert "intact" not in out


@pytest.mark.usefixtures("people")
def test_the_report_is_itself_an_act_in_the_journal(types: Type, service: Service) -> None:
    told(types, "--since", "2021-01-14")
    line = rows(service, journal)[-1]
    assert line.kind == "staff.breach_report"
    assert line.at == datetime(2021, 1, 15, 10, tzinfo=UTC)
    assert line.data["since"] == "2021-01-13T23:00:00+00:00"
    assert (line.data["people"], bool(line.data["by"])) == (3, True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--since", "yesterday"), "'yesterday' is no moment such as 2021-02-01T09:00"),
        (("--until", "0001-01-01"), "'0001-01-01' is no moment"),
        (("--noticed", "2021-01-12"), "it is still to come"),
        (("--since", "2021-01-12"), "it comes after --until"),
    ],
)
def test_moments_that_make_no_sense_are_wrong_usage(
    words: tuple[str, str], says: str, service: Service, types: Type
) -> None:
    code, out, err = types("breach-report", *words)
    assert (code, out) == (2, "")
    assert says in " ".join(err.split())
    assert rows(service, journal) == []
