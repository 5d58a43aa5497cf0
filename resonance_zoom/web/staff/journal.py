"""The journal of the staff pages: what happened, newest first, and each line opened."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, select
from starlette.responses import Response

from resonance_zoom.campaign import CONFIRMATION, Campaign
from resonance_zoom.mail import french
from resonance_zoom.store.journal import DEBUG, ERROR, INFO, WARNING
from resonance_zoom.store.tables import letters, runs
from resonance_zoom.web.staff import events, facts, journal_search
from resonance_zoom.web.staff.door import Visit
from resonance_zoom.web.staff.events import Occurrence, Said
from resonance_zoom.web.staff.journal_filters import HOME, LEVEL_NAMES, Asked
from resonance_zoom.web.staff.journal_search import SHOWN_LEVELS, Wanted

AROUND = 10  # lines of the same person or group before and after an opened one
HIGHEST = 2**63 - 1
# The job whose run a line belongs to, by what stands before the full stop of its kind.
_JOBS = {
    "letter": "deliver_letters",
    "mail": "deliver_letters",
    "mailbox": "read_bounces",
    "letters": "send_reminders",
    "sweep": "sync_registrants",
    "meeting": "create_meetings",
    "campaign": "watch",
    "clock": "watch",
}
_LEVELS = {DEBUG: "technique", INFO: "information", WARNING: "avertissement", ERROR: "erreur"}
_LONGEST_RUN = timedelta(hours=1)
_MAY_GO_AGAIN = frozenset({"sent", "failed", "dropped", "in_doubt"})
_MAY_BE_DROPPED = frozenset({"queued", "failed", "in_doubt"})
_CHANGES = frozenset({"before", "after", "episode", "confirmation_owed"})


@dataclass(frozen=True, slots=True)
class Line:
    """A line as the pages show it; `english` is the message as it is stored."""

    id: int
    at: datetime
    level_name: str
    said: Said
    english: str
    focus_group: str | None
    title: str
    registrant: int | None
    person: str


@dataclass(frozen=True, slots=True)
class _Page:
    """Lines newest first, and the numbers from which the pages beside it are looked for.

    `partial`: the search came to the end of its looks, at a line of this time, before the page was
    full; there may be more beyond.
    """

    ids: tuple[int, ...]
    older: int | None = None
    newer: int | None = None
    partial: datetime | None = None


def listing(visit: Visit) -> Response:
    """GET: the lines that the filters leave, newest first; `live=5` looks again every 5 s."""
    campaign = visit.service.campaign
    with visit.service.store.read() as connection:
        asked = Asked(visit.query, campaign, connection)
        page = _page(connection, asked)
        lines = [_line(row, campaign) for row in journal_search.rows(connection, page.ids)]
    answer = visit.page(
        "journal.html",
        heading="Journal",
        place=HOME,
        asked=asked,
        levels=LEVEL_NAMES,
        lines=lines,
        older=asked.address(before=page.older) if page.older else None,
        newer=asked.address(after=page.newer) if page.newer is not None else None,
        partial=page.partial,
        exact=_exact(campaign),
    )
    if asked.live:
        answer.headers["Refresh"] = str(asked.live)
    return answer


def _page(connection: Connection, asked: Asked) -> _Page:
    if asked.after is not None:
        newer = journal_search.find(connection, asked.wanted, limit=asked.size, after=asked.after)
        if newer.more or newer.looked_to is not None:
            return _page_after(connection, asked.after, newer)
        # Less than a page is newer: the newest page then, whole.
    found = journal_search.find(connection, asked.wanted, limit=asked.size, before=asked.before)
    above = None
    if asked.before is not None:
        above = found.ids[0] if found.ids else asked.before - 1
    if found.looked_to is None:
        return _Page(found.ids, older=found.ids[-1] if found.more else None, newer=above)
    end = _time_of(connection, found.looked_to)
    return _Page(found.ids, older=found.looked_to, newer=above, partial=end)


def _page_after(connection: Connection, after: int, found: journal_search.Found) -> _Page:
    older = found.ids[0] if found.ids else after + 1
    ids = tuple(reversed(found.ids))
    if found.looked_to is None:
        return _Page(ids, older=older, newer=ids[0])
    end = _time_of(connection, found.looked_to)
    return _Page(ids, older=older, newer=found.looked_to, partial=end)


def _time_of(connection: Connection, number: int) -> datetime:
    (row,) = journal_search.rows(connection, [number])
    moment: datetime = row.at
    return moment


def line(visit: Visit) -> Response:
    """GET: one line opened: what came, what it changed, what happens next, what lies around it."""
    campaign, number = visit.service.campaign, visit.number("line")
    with visit.service.store.read() as connection:
        rows = journal_search.rows(connection, [number]) if number <= HIGHEST else []
        if not rows:
            return visit.missing("Cette ligne du journal n’existe pas, ou plus.")
        (row,) = rows
        letter: Any = _letter(connection, row)
        run = _run(connection, row)
        around = [_line(other, campaign) for other in _around(connection, row)]
    data = {name: found for name, found in row.data.items() if name not in _CHANGES}
    return visit.page(
        "line.html",
        heading=f"Journal, ligne {number}",
        place=HOME,
        line=_line(row, campaign),
        kind=row.kind,
        figures=facts.listed(data, campaign),
        changes=_changes(row.data, campaign),
        letter=letter,
        may_go_again=letter is not None and letter.state in _MAY_GO_AGAIN,
        may_be_dropped=letter is not None and letter.state in _MAY_BE_DROPPED,
        run=run,
        seconds=facts.value("seconds", run.seconds, campaign) if run else "",
        around=around,
        exact=_exact(campaign),
        home=HOME,
    )


def _line(row: Any, campaign: Campaign) -> Line:
    group = campaign.focus_group(row.focus_group) if row.focus_group else None
    name = f"{row.first_name or ''} {row.last_name or ''}".strip()
    return Line(
        id=row.id,
        at=row.at,
        level_name=_LEVELS.get(row.level, row.level),
        said=events.say(Occurrence(row.kind, row.level, row.data), campaign),
        english=row.message,
        focus_group=row.focus_group,
        title=group.title if group else row.focus_group or "",
        registrant=row.registrant,
        person=name or row.email or "",
    )


def _changes(data: Mapping[str, Any], campaign: Campaign) -> list[tuple[str, str]]:
    """What a line about a registration changed: (label, value)."""
    if "after" not in data:
        return []
    before, after = (facts.value(name, data.get(name), campaign) for name in ("before", "after"))
    if data.get("before") is None:
        before = "inconnu"
    changed = f"{before} → {after}" if before != after else f"{after}, comme avant"
    told = {name: data[name] for name in ("episode", "confirmation_owed") if name in data}
    return [("Inscription", changed), *facts.listed(told, campaign)]


def _letter(connection: Connection, row: Any) -> Any:
    """The letter that a line is about, as it is now: named by it, or owed because of it."""
    this: tuple[ColumnElement[bool], ...] = ()
    if isinstance(row.data.get("letter"), int):
        this = (letters.c.id == row.data["letter"],)
    elif row.registrant is not None and row.data.get("confirmation_owed"):
        this = (
            letters.c.registrant == row.registrant,
            letters.c.kind == CONFIRMATION,
            letters.c.episode == row.data.get("episode"),
        )
    if not this:
        return None
    return connection.execute(select(letters).where(*this).order_by(letters.c.id).limit(1)).first()


def _run(connection: Connection, row: Any) -> Any:
    """The run of the job that wrote a line: the last to begin before it. None when it is gone."""
    job = _JOBS.get(row.kind.partition(".")[0])
    if job is None or "seconds" in row.data:
        return None
    began = runs.c.started_at
    return connection.execute(
        select(runs)
        .where(runs.c.job == job, began <= row.at, began > row.at - _LONGEST_RUN)
        .order_by(runs.c.id.desc())
        .limit(1)
    ).first()


def _around(connection: Connection, row: Any) -> list[Any]:
    """The lines next to one, of the same person, else group, else all; newest first, with it."""
    wanted = Wanted(
        people=(row.registrant,) if row.registrant is not None else None,
        groups=(row.focus_group,) if row.registrant is None and row.focus_group else None,
        levels=None if row.level == DEBUG else SHOWN_LEVELS,
    )
    before = journal_search.find(connection, wanted, limit=AROUND, before=row.id)
    after = journal_search.find(connection, wanted, limit=AROUND, after=row.id)
    return journal_search.rows(connection, [*after.ids, row.id, *before.ids])


def _exact(campaign: Campaign) -> Any:
    """A template's way to say a moment to the second."""

    def exact(moment: datetime) -> str:
        second = moment.astimezone(campaign.timezone).second
        return f"{french.date_hour(moment, campaign.timezone)}\u00a0min\u00a0{second:02}\u00a0s"

    return exact
