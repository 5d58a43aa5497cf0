"""One person over all groups: whether the link left, what comes next, and all that happened."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select
from starlette.responses import Response

from resonance_zoom import acts
from resonance_zoom.errors import NotFound
from resonance_zoom.store import outbox, people
from resonance_zoom.store.journal import DEBUG
from resonance_zoom.store.tables import journal
from resonance_zoom.web import words
from resonance_zoom.web.staff import answers, events
from resonance_zoom.web.staff.answers import Answer, Circumstances
from resonance_zoom.web.staff.door import Visit
from resonance_zoom.web.staff.events import Occurrence
from resonance_zoom.web.staff.letters import Way, name_of, previews_of, ways

HIGHEST = 2**63 - 1
MOST_LINES = 500
# A registration in the feminine: it is said of the person.
BECAME = {
    "approved": "inscrite",
    "pending": "en attente d’approbation",
    "denied": "refusée",
    "cancelled": "désinscrite",
}
_ACTIVE = ("approved", "pending")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """One group of the person: the answer first, then the facts and what may be done."""

    id: int
    title: str
    status: str
    start: datetime | None
    end: datetime | None
    over: bool
    called_off: bool
    registered_at: datetime
    source: str
    knows_link: bool
    answer: Answer
    ways: tuple[Way, ...]
    previews: tuple[Way, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Something that happened or will: a sentence, with the letter it is about if it is one."""

    at: datetime
    title: str
    sentence: str
    by: str = ""
    letter: Any = None
    ways: tuple[Way, ...] = ()


def show(visit: Visit) -> Response:
    """GET: everything about the person of whom this number is one registration."""
    with visit.service.store.read() as connection:
        try:
            asked = acts.registrant(connection, min(visit.number("registrant"), HIGHEST))
        except NotFound:
            return visit.missing("Cette personne n’existe pas.")
        if not asked.email:
            return _erased(visit, _erased_at(connection, asked.id))
        rows = {row.id: row for row in people.with_email(connection, asked.email)}
        here = answers.circumstances(connection, visit.service)
        owed = answers.letters_by_person(connection, rows)
        lines = _lines(connection, list(rows))
    newest = rows[max(rows)]
    past, coming = _letters(rows, owed, lines, here)
    return visit.page(
        "person.html",
        heading=name_of(newest),
        place="/staff/registrants",
        person=newest,
        name=name_of(newest),
        erased=False,
        registrations=sorted(
            (_registration(row, owed[row.id], here) for row in rows.values()),
            key=lambda one: (one.over, one.start or here.now),
        ),
        coming=sorted([*coming, *_reminders(rows.values(), owed, here)], key=_time),
        past=sorted([*past, *_told(lines, here)], key=_time, reverse=True),
    )


def _time(entry: Entry) -> datetime:
    return entry.at


def _erased(visit: Visit, at: datetime | None) -> Response:
    return visit.page(
        "person.html",
        heading="Données effacées",
        place="/staff/registrants",
        erased=True,
        erased_at=at,
    )


def _erased_at(connection: Connection, number: int) -> datetime | None:
    found = select(journal.c.at).where(
        journal.c.registrant == number, journal.c.kind == "staff.erase"
    )
    return connection.execute(found.order_by(journal.c.id.desc()).limit(1)).scalar()


def _lines(connection: Connection, ids: Sequence[int]) -> Sequence[Any]:
    """The journal of the person, the newest first."""
    found = select(journal).where(journal.c.registrant.in_(ids), journal.c.level != DEBUG)
    return connection.execute(found.order_by(journal.c.id.desc()).limit(MOST_LINES)).all()


# ---- each registration -----------------------------------------------------------------------


def _registration(row: Any, owed: Sequence[Any], here: Circumstances) -> Registration:
    meeting = here.meetings.get(row.focus_group)
    over = here.over(row.focus_group)
    return Registration(
        id=row.id,
        title=here.title(row.focus_group),
        status=row.status,
        start=here.start(row.focus_group),
        end=here.end(row.focus_group),
        over=over,
        called_off=meeting is not None and meeting.cancelled_at is not None,
        registered_at=row.registered_at,
        source=row.source,
        knows_link=bool(row.join_url),
        answer=answers.answer(row, owed, here),
        ways=() if over or row.status not in _ACTIVE else (
            ("Corriger l’adresse", f"/staff/act/address/{row.id}"),
            ("Rendre la place", f"/staff/act/withdraw/{row.id}"),
        ),
        previews=previews_of(row, here),
    )  # fmt: skip


# ---- what comes, what was --------------------------------------------------------------------


def _letters(
    rows: Mapping[int, Any],
    owed: Mapping[int, Sequence[Any]],
    lines: Sequence[Any],
    here: Circumstances,
) -> tuple[list[Entry], list[Entry]]:
    """(letters that have their end, letters that will leave)."""
    ended = {line.data.get("letter"): line.at for line in reversed(lines) if _ends(line)}
    past: list[Entry] = []
    coming: list[Entry] = []
    for number, person in rows.items():
        for letter in owed[number]:
            waits = letter.state == outbox.QUEUED
            at = letter.ready_at if waits else _ended_at(letter, ended)
            entry = Entry(
                at=at,
                title=here.title(letter.focus_group),
                sentence=words.letter_kind(letter.kind),
                letter=letter,
                ways=ways(letter, person, here),
            )
            (coming if waits else past).append(entry)
    return past, coming


def _ends(line: Any) -> bool:
    return line.kind in {"letter.dropped", "letter.failed", "letter.in_doubt", "staff.drop"}


def _ended_at(letter: Any, ended: Mapping[Any, datetime]) -> datetime:
    """When a letter came to where it is."""
    at: datetime = letter.sent_at or ended.get(letter.id) or letter.claimed_at or letter.due_at
    return at


def _reminders(
    rows: Any, owed: Mapping[int, Sequence[Any]], here: Circumstances
) -> Iterator[Entry]:
    """The reminders that will fall due."""
    for row in rows:
        start = here.start(row.focus_group)
        if row.status != "approved" or start is None or here.over(row.focus_group):
            continue
        known = {(letter.kind, letter.occasion) for letter in owed[row.id]}
        for due in here.campaign.reminders(start):
            if due.at > here.now and (due.kind, outbox.occasion_of(start)) not in known:
                yield Entry(
                    at=due.at,
                    title=here.title(row.focus_group),
                    sentence=words.letter_kind(due.kind),
                )


def _told(lines: Sequence[Any], here: Circumstances) -> Iterator[Entry]:
    """What became of the registrations, and what staff did."""
    for line in lines:
        sentence, by = "", ""
        if line.kind.startswith("registration."):
            sentence, by = _became(line), words.SOURCES.get(line.data.get("source"), "")
        elif line.kind.startswith("staff."):
            sentence = events.say(
                Occurrence(line.kind, line.level, line.data), here.campaign
            ).sentence
        if sentence:
            title = here.title(line.focus_group) if line.focus_group else ""
            yield Entry(at=line.at, title=title, sentence=sentence, by=by)


def _became(line: Any) -> str:
    """`Inscrite`, `Désormais désinscrite`; "" for what only repeats what was known."""
    before, after = line.data.get("before"), BECAME.get(line.data.get("after"), "")
    if not after or line.data.get("before") == line.data.get("after"):
        return ""
    if before is None:
        return after.capitalize()
    back = "de nouveau " if line.data.get("after") == "approved" and before == "cancelled" else ""
    return f"{back}{after}".capitalize()
