"""Who is registered: found by a name heard on the telephone, and taken along as a spreadsheet."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, distinct, func, select
from starlette.responses import Response

from resonance_zoom.store import journal, tallies
from resonance_zoom.store.tables import registrants
from resonance_zoom.web import words
from resonance_zoom.web.staff import answers, spreadsheets
from resonance_zoom.web.staff.answers import Answer, Circumstances
from resonance_zoom.web.staff.door import Visit
from resonance_zoom.web.staff.letters import name_of
from resonance_zoom.web.staff.listings import PAGE, Filters, spoken_of
from resonance_zoom.web.staff.spreadsheets import Column

HOME = "/staff/registrants"
MANY = 200
COLUMNS = (
    Column("Réunion", 50),
    Column("Date de la réunion", 18),
    Column("Prénom", 18),
    Column("Nom", 22),
    Column("Adresse", 34),
    Column("Inscription", 14),
    Column("Inscrit le", 18),
    Column("Appris", 20),
    Column("Lien envoyé le", 18),
    Column("Lien", 44),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One registration, as list and export show it."""

    id: int
    name: str
    email: str
    title: str
    status: str
    registered_at: datetime
    answer: Answer


def listing(visit: Visit) -> Response:
    """GET: the registrations that the filters leave, the newest first."""
    with visit.service.store.read() as connection:
        here = answers.circumstances(connection, visit.service)
        asked = _Asked(visit, here, connection)
        rows = _rows(connection, asked.page(), limit=PAGE + 1)
        registrations, people = _counted(connection, asked, rows)
        lines = list(_lines(connection, rows[:PAGE], here))
        only = _only(connection, rows[0], here) if asked.spoken and rows and people == 1 else ()
    return visit.page(
        "registrants.html",
        heading="Inscrits",
        place=HOME,
        asked=asked.filters,
        groups=here.titles(),
        lines=lines,
        registrations=registrations,
        people=people,
        many=MANY if asked.spoken and registrations > MANY else None,
        only=only,
        older=asked.filters.address(before=lines[-1].id) if len(rows) > PAGE else None,
        newest=asked.filters.address() if asked.filters.before else None,
        csv=asked.filters.address(f"{HOME}.csv"),
        xlsx=asked.filters.address(f"{HOME}.xlsx"),
    )


def as_csv(visit: Visit) -> Response:
    """GET: the same as a file, everything that the filters leave."""
    cells = _exported(visit, "csv")
    zone = visit.service.campaign.timezone
    whole = spreadsheets.as_csv(COLUMNS, cells, zone)
    return _file(visit, whole, spreadsheets.CSV_TYPE, "csv")


def as_xlsx(visit: Visit) -> Response:
    """GET: the same as a workbook."""
    from resonance_zoom.web.staff import workbooks  # openpyxl would delay every start for it

    cells = _exported(visit, "xlsx")
    zone = visit.service.campaign.timezone
    whole = workbooks.as_xlsx(COLUMNS, cells, zone, title="Inscrits")
    return _file(visit, whole, workbooks.XLSX_TYPE, "xlsx")


class _Asked:
    """What an address asks for: `filters` for the reader, `where` for the database."""

    def __init__(self, visit: Visit, here: Circumstances, connection: Connection) -> None:
        self.filters = Filters(visit.query, HOME)
        self.spoken = self.filters.words("q")
        self.group = self.filters.choice("group", here.titles())
        self.where: list[ColumnElement[bool]] = [registrants.c.email != ""]  # erased ones are not
        self.where += spoken_of(connection, self.spoken)
        if self.group:
            self.where.append(registrants.c.focus_group == self.group)
        self.status = self.filters.choice("status", words.STATUSES)
        if self.status:
            self.where.append(registrants.c.status == self.status)

    def page(self) -> list[ColumnElement[bool]]:
        """The same from the line on at which this page begins."""
        before = self.filters.before
        return self.where if before is None else [*self.where, registrants.c.id < before]


def _counted(connection: Connection, asked: _Asked, rows: Sequence[Any]) -> tuple[int, int]:
    """(registrations, people); of a search no more than MANY are counted, and one."""
    if not asked.spoken:
        return tallies.with_a_name(connection, asked.group, asked.status)
    if asked.filters.before is None and len(rows) <= PAGE:  # this page shows them all
        return len(rows), len({row.email_folded for row in rows})
    some = select(registrants.c.email_folded).where(*asked.where).limit(MANY + 1).subquery()
    registrations, persons = connection.execute(
        select(func.count(), func.count(distinct(some.c.email_folded))).select_from(some)
    ).one()
    return int(registrations), int(persons)


def _rows(
    connection: Connection, where: Sequence[ColumnElement[bool]], *, limit: int | None = None
) -> Sequence[Any]:
    newest = select(registrants).where(*where).order_by(registrants.c.id.desc())
    return connection.execute(newest.limit(limit)).all()


def _only(connection: Connection, person: Any, here: Circumstances) -> Sequence[Line]:
    """Every registration of the one person whom the words mean, also beyond the other filters."""
    rows = _rows(connection, [registrants.c.email_folded == person.email_folded])
    return list(_lines(connection, rows, here))


def _lines(connection: Connection, rows: Sequence[Any], here: Circumstances) -> Iterator[Line]:
    owed = answers.letters_by_person(connection, [row.id for row in rows])
    for row in rows:
        yield Line(
            id=row.id,
            name=name_of(row),
            email=row.email,
            title=here.title(row.focus_group),
            status=row.status,
            registered_at=row.registered_at,
            answer=answers.answer(row, owed[row.id], here),
        )


def _exported(visit: Visit, kind: str) -> list[tuple[Any, ...]]:
    """The cells of an export, which the journal records. No personal link is among them."""
    with visit.service.store.read() as connection:
        here = answers.circumstances(connection, visit.service)
        asked = _Asked(visit, here, connection)
        cells = list(_cells(connection, _rows(connection, asked.where), here))
    with visit.service.store.write() as connection:
        journal.note(
            connection,
            visit.now,
            "staff.export",
            f"{len(cells)} registrations exported as {kind} (by {visit.session.name})",
            focus_group=asked.group or None,
            by=visit.session.name,
            rows=len(cells),
            format=kind,
        )
    return cells


def _cells(
    connection: Connection, rows: Sequence[Any], here: Circumstances
) -> Iterator[tuple[Any, ...]]:
    owed = answers.letters_by_person(connection, [row.id for row in rows])
    for row in rows:
        found = answers.answer(row, owed[row.id], here)
        yield (
            here.title(row.focus_group),
            here.start(row.focus_group),
            row.first_name,
            row.last_name,
            row.email,
            words.STATUSES[row.status],
            row.registered_at,
            words.SOURCES.get(row.source, row.source),
            found.left_at,
            found.short,
        )


def _file(visit: Visit, whole: bytes, media_type: str, ending: str) -> Response:
    day = visit.now.astimezone(visit.service.campaign.timezone).date()
    name = f'attachment; filename="inscrits-{day.isoformat()}.{ending}"'
    return Response(whole, media_type=media_type, headers={"Content-Disposition": name})
