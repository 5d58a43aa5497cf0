"""Staff find a person by a name heard on the telephone and take the list along, unharmed."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from openpyxl import load_workbook
from sqlalchemy import select
from starlette.testclient import TestClient

from resonance_zoom import printing
from resonance_zoom.cells import safe
from resonance_zoom.store.tables import journal
from resonance_zoom.web.staff import listings, spreadsheets, workbooks
from resonance_zoom.web.staff.spreadsheets import Column
from tests.web.town import HOSTILE, Town, links, shape, text

Staff = Callable[..., TestClient]
PARIS = ZoneInfo("Europe/Paris")


@pytest.fixture
def three(town: Town) -> Town:
    """Alice Œuvrard in both groups, Jean-Étienne Le Goff, and Bob who has left."""
    town.register("alice", "Alice", "Œuvrard")
    town.register("alice", "Alice", "Œuvrard", group=1)
    town.register("je.legoff", "Jean-Étienne", "Le Goff")
    town.register("bob_100%", "Bob", "N’Guyen")
    town.zoom.cancel(town.meetings[0], email="bob_100%@example.org")
    town.zoom.deliver_due()
    town.clock.move(minutes=1)
    town.run("deliver_letters")
    return town


def found(alice: TestClient, query: str) -> list[str]:
    """The names of the list, in its order."""
    page = alice.get(f"/staff/registrants?{query}").text
    table = page.partition("<tbody>")[2].partition("</tbody>")[0]
    return [cell.partition("<")[0] for cell in table.split("<bdi>")[1::2]]


# ---- the search ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heard", "names"),
    [
        ("oeuvrard", ["Alice Œuvrard", "Alice Œuvrard"]),
        ("ŒUVRARD alice", ["Alice Œuvrard", "Alice Œuvrard"]),
        ("le goff etienne", ["Jean-Étienne Le Goff"]),
        ("goff alice", []),
        ("N’GUYEN", ["Bob N’Guyen"]),
        ("%", ["Bob N’Guyen"]),
        ("_", ["Bob N’Guyen"]),
        ("b%b", []),
        ("/", []),
        ("je.legoff@EXAMPLE", ["Jean-Étienne Le Goff"]),
        ("100%@example.org", ["Bob N’Guyen"]),
        ("Bob_100%@Example.ORG", ["Bob N’Guyen"]),
        ("'; DROP TABLE registrants;--", []),
        ("", ["Bob N’Guyen", "Jean-Étienne Le Goff", "Alice Œuvrard", "Alice Œuvrard"]),
    ],
)
def test_a_name_is_found_whatever_its_accents_case_and_order(
    three: Town, staff: Staff, heard: str, names: list[str]
) -> None:
    page = staff("reader").get("/staff/registrants", params={"q": heard})
    assert page.status_code == 200
    table = page.text.partition("<tbody>")[2].partition("</tbody>")[0]
    assert [cell.partition("<")[0] for cell in table.split("<bdi>")[1::2]] == names


def test_each_line_leads_to_the_person_and_says_whether_the_link_left(
    three: Town, staff: Staff
) -> None:
    page = staff("reader").get("/staff/registrants").text
    assert f"/staff/people/{three.number('alice')}" in links(page)
    words = text(page)
    assert "4 inscriptions, 3 personnes." in words
    assert (
        "Jean-Étienne Le Goff je.legoff@example.org Accompagner le développement du télétravail"
        " inscrit 11/01/2021 11:00 lien envoyé le 11/01/2021 11:01"
    ) in words
    assert "désinscrit 11/01/2021 11:00 sans objet : la personne s’est désinscrite" in words


def test_group_and_status_narrow_the_list(three: Town, staff: Staff) -> None:
    alice = staff("reader")
    assert found(alice, "group=espaces-exterieurs") == ["Alice Œuvrard"]
    assert found(alice, "status=cancelled") == ["Bob N’Guyen"]
    assert found(alice, "group=espaces-exterieurs&status=cancelled") == []
    page = alice.get("/staff/registrants?group=nowhere&status=lost&q=" + "x" * 101).text
    assert text(page).count("ignoré") == 3
    assert "4 inscriptions" in text(page)


def test_the_only_person_found_is_answered_for_at_once_in_all_groups(
    three: Town, staff: Staff
) -> None:
    page = staff("reader").get("/staff/registrants?q=oeuv&group=teletravail").text
    words = text(page.partition('class="card found"')[2].partition("</section>")[0])
    assert "Alice Œuvrard" in words
    assert words.count("Oui. Le lien est parti lundi 11 janvier 2021 à 11 h 01") == 2
    assert 'class="card found"' not in staff("reader").get("/staff/registrants?q=l").text
    assert 'class="card found"' not in staff("reader").get("/staff/registrants?group=x").text


def test_pages_follow_one_another_without_loss(
    three: Town, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resonance_zoom.web.staff.registrants.PAGE", 3)
    alice = staff("reader")
    page = alice.get("/staff/registrants?q=example").text
    assert page.count('data-label="Nom"') == 3
    (older,) = [one for one in links(page) if "before=" in one]
    assert older == "/staff/registrants?q=example&before=2"
    second = alice.get(older).text
    assert second.count('data-label="Nom"') == 1
    assert "Plus anciennes" not in second
    assert "/staff/registrants?q=example" in links(second)
    assert listings.PAGE == 100


def test_of_a_common_name_no_more_are_counted_than_anybody_would_read(
    three: Town, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resonance_zoom.web.staff.registrants.PAGE", 2)
    monkeypatch.setattr("resonance_zoom.web.staff.registrants.MANY", 3)
    alice = staff("reader")
    assert "Plus de 3&nbsp;inscriptions" in alice.get("/staff/registrants?q=example").text
    assert (
        "<strong>4&nbsp;inscriptions</strong>, 3&nbsp;personnes"
        in alice.get("/staff/registrants").text
    )


@pytest.mark.parametrize("before", ["x", "-1", "²", "9" * 30, "1.5", "", "0"])
def test_a_wrong_page_number_does_no_harm(three: Town, staff: Staff, before: str) -> None:
    answer = staff("reader").get("/staff/registrants", params={"before": before})
    assert answer.status_code == 200


def test_an_empty_campaign_says_so(town: Town, staff: Staff) -> None:
    words = text(staff("reader").get("/staff/registrants").text)
    assert "0 inscription, 0 personne." in words
    assert "Personne n’est encore inscrit." in words


def test_an_erased_person_is_neither_listed_nor_counted_nor_exported(
    three: Town, staff: Staff
) -> None:
    act(staff("admin"), f"/staff/act/erase/{three.number('je.legoff')}")
    alice = staff("reader")
    assert "3 inscriptions, 2 personnes." in text(alice.get("/staff/registrants").text)
    assert len(rows_of(alice.get("/staff/registrants.csv").content)) == 3


def act(client: TestClient, address: str) -> None:
    page = client.get(address).text
    fields = {
        name: page.partition(f'name="{name}" value="')[2].partition('"')[0]
        for name in ("csrf", "once")
    }
    csrf = page.rpartition('name="csrf" value="')[2].partition('"')[0]
    assert client.post(address, data={**fields, "csrf": csrf}).status_code == 303


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_changes_no_tag_of_the_list(town: Town, staff: Staff, name: str) -> None:
    number = town.register("eve", "Eve", "Martin")
    alice = staff("reader")
    plain = [alice.get(f"/staff/registrants?q={q}").text for q in ("eve", "")]
    town.zoom.meetings[town.meetings[0]].registrants.clear()
    town.zoom.register(town.meetings[0], email="eve@example.org", first_name=name, last_name="M")
    town.clock.move(seconds=1)
    town.run("sync_registrants")
    assert town.number("eve") == number
    hostile = [alice.get(f"/staff/registrants?q={q}").text for q in ("eve", "")]
    assert [shape(page) for page in hostile] == [shape(page) for page in plain]
    typed = alice.get("/staff/registrants", params={"q": name}).text
    assert "<script" not in typed
    assert "onerror" not in str(shape(typed))


# ---- exports ---------------------------------------------------------------------------------


def rows_of(whole: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(whole.decode("utf-8-sig"), newline=""), delimiter=";"))


def test_the_csv_opens_in_a_french_spreadsheet(three: Town, staff: Staff) -> None:
    answer = staff("reader").get("/staff/registrants.csv?q=oeuvrard&group=teletravail")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="inscrits-2021-01-11.csv"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.content.decode("utf-8") == (
        "\ufeffRéunion;Date de la réunion;Prénom;Nom;Adresse;Inscription;Inscrit le;Appris;"
        "Lien envoyé le;Lien\r\n"
        "Accompagner le développement du télétravail;09/02/2021 09:00;Alice;Œuvrard;"
        "alice@example.org;inscrit;11/01/2021 11:00;annoncé par Zoom;11/01/2021 11:01;"
        "lien envoyé le 11/01/2021 11:01\r\n"
    )


def test_the_workbook_has_real_times_a_fixed_heading_and_a_filter(
    three: Town, staff: Staff
) -> None:
    answer = staff("reader").get("/staff/registrants.xlsx?status=approved")
    assert (
        answer.headers["content-disposition"] == 'attachment; filename="inscrits-2021-01-11.xlsx"'
    )
    assert answer.headers["content-type"] == (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    )
    sheet = load_workbook(io.BytesIO(answer.content)).active
    assert sheet is not None
    assert (sheet.title, sheet.freeze_panes, sheet.auto_filter.ref) == ("Inscrits", "A2", "A1:J4")
    assert sheet.column_dimensions["E"].width == 34
    assert sheet["B2"].value == datetime(2021, 2, 9, 9, 0)  # noqa: DTZ001 — a spreadsheet knows no zones
    assert sheet["B2"].number_format == "dd/mm/yyyy hh:mm"
    assert sheet["I2"].value == datetime(2021, 1, 11, 11, 1)  # noqa: DTZ001
    assert [cell.value for cell in sheet["C"]] == ["Prénom", "Jean-Étienne", "Alice", "Alice"]


def test_no_export_holds_a_personal_link(three: Town, staff: Staff) -> None:
    alice = staff("admin")
    links_of = [row[0] for row in three.query("SELECT join_url FROM registrants")]
    assert all(link.startswith("https://") for link in links_of)
    sheet = load_workbook(io.BytesIO(alice.get("/staff/registrants.xlsx").content)).active
    assert sheet is not None
    cells = str([[cell.value for cell in row] for row in sheet])
    for whole in (alice.get("/staff/registrants.csv").text, cells):
        assert "https://" not in whole
        assert "tk=" not in whole


def test_an_export_is_in_the_journal_with_who_took_it_and_how_many(
    three: Town, staff: Staff
) -> None:
    staff("reader", "Claire").get("/staff/registrants.csv?q=oeuvrard")
    staff("reader", "Claire").get("/staff/registrants.xlsx?group=teletravail")
    columns = (journal.c.data, journal.c.focus_group, journal.c.message)
    with three.service.store.read() as connection:
        exports = select(*columns).where(journal.c.kind == "staff.export").order_by(journal.c.id)
        lines = connection.execute(exports).all()
    assert [tuple(line) for line in lines] == [
        (
            {"by": "Claire", "rows": 2, "format": "csv"},
            None,
            "2 registrations exported as csv (by Claire)",
        ),
        (
            {"by": "Claire", "rows": 3, "format": "xlsx"},
            "teletravail",
            "3 registrations exported as xlsx (by Claire)",
        ),
    ]


_COMMANDS = ("=1+1", '=HYPERLINK("http://evil.example";"x")', "+33 2 00", "-2+3", "@SUM(A1)")
_BEFORE = ("", " ", "   ", "\u00a0", "\u3000", "\u200b", "\ufeff", "\x01", "\t", "\r\n", "\x00")
# 55 commands behind every kind of space, then what is dangerous by itself, then what is harmless.
PAYLOADS = [
    *((before + command, "'") for before in _BEFORE for command in _COMMANDS),
    *((one, "'") for one in ("＝1+1", "＋1", "－1", "＠x", "\tx", "\rx", "\nx", "\0x", "=", "@")),
    *(
        (one, "")
        for one in ("#N/A", "a=b", "O'Brien", 'x";"y', "1+1", "é;è", "TRUE", "2021-02-09", "|x", "")
    ),
]


def test_no_typed_cell_can_run_in_a_spreadsheet() -> None:
    assert len(PAYLOADS) >= 60
    columns = (Column("a", 10), Column("b", 10))
    rows = [(typed, "x") for typed, _ in PAYLOADS]
    in_csv = rows_of(spreadsheets.as_csv(columns, rows, PARIS))
    book = load_workbook(io.BytesIO(workbooks.as_xlsx(columns, rows, PARIS, title="t")))
    sheet = book.active
    assert sheet is not None
    assert len(in_csv) == len(PAYLOADS) == sheet.max_row - 1
    for (typed, quote), line, cells in zip(
        PAYLOADS, in_csv, sheet.iter_rows(min_row=2), strict=True
    ):
        assert line["b"] == cells[1].value == "x"
        assert line["a"] == (cells[0].value or ""), typed
        assert line["a"].startswith("'") is bool(quote), repr(typed)
        assert cells[0].data_type not in {"f", "e"}, typed  # no formula, no error
        assert line["a"].isprintable() or typed[0] in "\u200b\ufeff\u00a0\u3000", typed
    assert in_csv[0]["a"] == "'=1+1"
    assert in_csv[-10]["a"] == "#N/A"
    assert in_csv[-7]["a"] == 'x";"y'


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_no_cell_that_a_command_writes_can_run_either(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"list.{ending}"
    printing.write_file(file, [{"a": typed, "b": "x"} for typed, _ in PAYLOADS], ("a", "b"))
    if ending == "csv":
        written = [line["a"] for line in rows_of(file.read_bytes())]
    else:
        sheet = load_workbook(file).active
        assert sheet is not None
        types = {cell.data_type for row in sheet.iter_rows(min_row=2) for cell in row}
        assert not types & {"f", "e"}  # no formula, no error
        written = [str(row[0].value or "") for row in sheet.iter_rows(min_row=2)]
    for (typed, quote), found in zip(PAYLOADS, written, strict=True):
        assert found.startswith("'") is bool(quote), repr(typed)
        assert "\n" not in found


def test_signs_that_a_workbook_may_not_hold_are_taken_out() -> None:
    every = "".join(map(chr, [*range(32), *range(0x7F, 0xA0), 0xFFFE, 0xFFFF]))
    assert safe(f"a{every}b") == "a  b"  # two runs of line breaks
    assert safe("a\ud800b") == "ab"
    assert safe("photo\u202egnp.exe\u2066") == "photognp.exe"  # nothing reads backwards
    assert safe("ligne\r\nsuite") == "ligne suite"


def test_times_are_local_on_both_sides_of_a_change_of_clocks() -> None:
    moments = [datetime(2021, 3, 28, 0, 59, tzinfo=UTC), datetime(2021, 3, 28, 1, 0, tzinfo=UTC)]
    rows = [(moment,) for moment in moments]
    in_csv = rows_of(spreadsheets.as_csv((Column("t", 18),), rows, PARIS))
    assert [line["t"] for line in in_csv] == ["28/03/2021 01:59", "28/03/2021 03:00"]


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "＝1+1", "a;b\r\nc", "\x01=1"])
def test_a_hostile_name_arrives_in_the_exports_harmless(
    town: Town, staff: Staff, name: str
) -> None:
    town.register("eve", name, "Martin")
    alice = staff("reader")
    (line,) = rows_of(alice.get("/staff/registrants.csv").content)
    sheet = load_workbook(io.BytesIO(alice.get("/staff/registrants.xlsx").content)).active
    assert sheet is not None
    assert sheet["C2"].value == line["Prénom"]
    assert line["Nom"] == "Martin"
    assert not line["Prénom"].lstrip().startswith(("=", "＝"))
