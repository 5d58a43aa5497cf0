"""Every letter owed: what is due, sent, failed or held, and what it would say."""

import email
import email.policy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, Connection, select
from starlette.responses import HTMLResponse, Response

from resonance_zoom import acts
from resonance_zoom import preview as previews
from resonance_zoom.errors import NotFound, ResonanceError
from resonance_zoom.reminders import Drop, verdict
from resonance_zoom.store import outbox, tallies
from resonance_zoom.store.claims import Claim
from resonance_zoom.store.tables import letters, registrants
from resonance_zoom.web import words
from resonance_zoom.web.security import CONTENT_SECURITY_POLICY
from resonance_zoom.web.staff import answers
from resonance_zoom.web.staff.answers import Circumstances
from resonance_zoom.web.staff.door import Visit
from resonance_zoom.web.staff.listings import PAGE, Filters, spoken_of, whole_number

HOME = "/staff/letters"
FEW = 500
_GOES_AGAIN = {
    outbox.SENT: "Renvoyer",
    outbox.FAILED: "Réessayer",
    outbox.DROPPED: "Réessayer",
    outbox.IN_DOUBT: "Renvoyer",
}
_MAY_BE_DROPPED = frozenset({outbox.QUEUED, outbox.FAILED, outbox.IN_DOUBT})
# The letter's own HTML: its colours, nothing from elsewhere, no script, in a frame of ours alone.
_LETTERS_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'none'; form-action 'none';"
    " base-uri 'none'; frame-ancestors 'self'; sandbox allow-popups"
)

Way = tuple[str, str]  # words, address


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A letter in the list: its row, to whom, in which group, and what may be done about it."""

    letter: Any
    name: str
    title: str
    ways: tuple[Way, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure of the summary and the list that it counts."""

    count: int
    address: str


def listing(visit: Visit) -> Response:
    """GET: what stops the letters, how many are where, and one line each, the newest first."""
    with visit.service.store.read() as connection:
        here = answers.circumstances(connection, visit.service)
        counts = tallies.letters(connection)
        asked = _Asked(visit, here, counts, connection)
        rows = _rows(connection, asked)
        lines = _lines(connection, rows[:PAGE], here)
    return visit.page(
        "letters.html",
        heading="Courriers",
        place=HOME,
        asked=asked.filters,
        groups=here.titles(),
        kinds=asked.kinds,
        states=outbox.STATES,
        sending=here.sending,
        to_folder=here.to_folder,
        summary=_summary(counts, asked),
        lines=lines,
        older=asked.filters.address(before=lines[-1].letter.id) if len(rows) > PAGE else None,
        newest=asked.filters.address() if asked.filters.before else None,
    )


class _Asked:
    """What an address asks for: `filters` for the reader, `where` for the database."""

    def __init__(
        self,
        visit: Visit,
        here: Circumstances,
        counts: Mapping[tuple[str, str, str], int],
        connection: Connection,
    ) -> None:
        others = sorted({kind for _, kind, _ in counts} - set(here.campaign.letter_kinds))
        self.kinds = (*here.campaign.letter_kinds, *others)
        self.filters = Filters(visit.query, HOME)
        self.group = self.filters.choice("group", here.titles())
        self.where: list[ColumnElement[bool]] = []
        for column, value in (
            (letters.c.focus_group, self.group),
            (letters.c.kind, self.filters.choice("kind", dict.fromkeys(self.kinds))),
            (letters.c.state, self.filters.choice("state", words.LETTER_STATES)),
            (letters.c.bounce, self.filters.choice("bounce", words.BOUNCES)),
        ):
            if value:
                self.where.append(column == value)
        self.where += _person(connection, self.filters.words("person"))


def _person(connection: Connection, asked: str) -> Sequence[ColumnElement[bool]]:
    """Whose letters: all of the person of a number of ours, or of a name or an address."""
    number = whole_number(asked)
    if not asked:
        return ()
    if number is None:
        # People first: they are fewer than letters. Of many, the newest letters are found at once.
        named = spoken_of(connection, asked)
        some = select(registrants.c.id).where(*named).limit(FEW + 1)
        numbers = connection.scalars(some).all()
        return named if len(numbers) > FEW else [letters.c.registrant.in_(numbers)]
    folded = select(registrants.c.email_folded).where(registrants.c.id == number)
    return [registrants.c.email_folded == folded.scalar_subquery()]


def _rows(connection: Connection, asked: _Asked) -> Sequence[Any]:
    where, before = asked.where, asked.filters.before
    if before is not None:
        where = [*where, letters.c.id < before]
    return connection.execute(
        select(letters)
        .join(registrants, registrants.c.id == letters.c.registrant)
        .where(*where)
        .order_by(letters.c.id.desc())
        .limit(PAGE + 1)
    ).all()


def _lines(connection: Connection, rows: Sequence[Any], here: Circumstances) -> list[Line]:
    numbers = {row.registrant for row in rows}
    found = connection.execute(select(registrants).where(registrants.c.id.in_(numbers)))
    people = {row.id: row for row in found}
    return [
        Line(
            letter=row,
            name=name_of(people[row.registrant]) or "personne effacée",
            title=here.title(row.focus_group),
            ways=ways(row, people[row.registrant], here),
        )
        for row in rows
    ]


def name_of(person: Any) -> str:
    """A registrant's name, else the address; "" for one who was erased."""
    return f"{person.first_name} {person.last_name}".strip() or str(person.email)


def ways(letter: Any, person: Any, here: Circumstances) -> tuple[Way, ...]:
    """What staff may do about a letter, as far as it would do anything."""
    found = []
    if letter.state in _GOES_AGAIN and _would_go(letter, person, here):
        found.append((_GOES_AGAIN[letter.state], f"/staff/act/resend/{letter.id}"))
    if letter.state in _MAY_BE_DROPPED:
        found.append(("Écarter", f"/staff/act/drop/{letter.id}"))
    if letter.kind in here.campaign.letter_kinds and _can_be_made(letter.kind, person):
        found.append(("Aperçu", preview_address(letter.kind, letter.registrant)))
    return tuple(found)


def _would_go(letter: Any, person: Any, here: Circumstances) -> bool:
    """Whether a letter that staff send again would leave and not be dropped at the last moment."""
    meeting, end = here.meetings.get(letter.focus_group), here.end(letter.focus_group)
    if meeting is None or end is None or end <= here.now:
        return False
    decision = verdict(Claim(letter, person, meeting, ()), here.now)
    # A letter that staff send again is worth sending until the meeting ends.
    return not isinstance(decision, Drop) or decision.reason == "too_late"


def _can_be_made(kind: str, person: Any) -> bool:
    """Whether a preview has something to show: most letters are nothing without the link."""
    return bool(person.email and (person.join_url or kind in acts.ANY_STATUS))


def previews_of(person: Any, here: Circumstances) -> tuple[Way, ...]:
    """Every letter of the campaign that can be shown as this registrant would get it."""
    if person.focus_group not in here.meetings:
        return ()
    return tuple(
        (words.letter_kind(kind), preview_address(kind, person.id))
        for kind in here.campaign.letter_kinds
        if _can_be_made(kind, person)
    )


def preview_address(kind: str, registrant: int) -> str:
    """Where a registrant's letter of a kind is shown."""
    return f"{HOME}/preview/{kind}/{registrant}"


# ---- how many are where ----------------------------------------------------------------------


def _summary(
    counts: Mapping[tuple[str, str, str], int], asked: _Asked
) -> list[tuple[str, list[Cell]]]:
    """One line a kind that has letters, one cell a state; within the chosen group."""
    lines = []
    for kind in asked.kinds:
        cells = [_cell(counts, asked, kind, state) for state in outbox.STATES]
        if any(cell.count for cell in cells):
            lines.append((kind, cells))
    return lines


def _cell(counts: Mapping[tuple[str, str, str], int], asked: _Asked, kind: str, state: str) -> Cell:
    count = sum(
        number
        for (group, of_kind, of_state), number in counts.items()
        if (of_kind, of_state) == (kind, state) and asked.group in {"", group}
    )
    query = ({"group": asked.group} if asked.group else {}) | {"kind": kind, "state": state}
    return Cell(count, f"{HOME}?{urlencode(query)}")


# ---- what a letter would say -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shown:
    """A letter taken apart. `size` in bytes, as it goes over the wire."""

    subject: str
    sender: str
    recipient: str
    size: int
    text: str
    html: str
    attachments: tuple[str, ...]


class _NoLink(ResonanceError):
    """A letter that is nothing without the link that Zoom has not given yet."""


def preview(visit: Visit) -> Response:
    """GET: the letter that this registrant would get now, as their mail program would show it."""
    kind, number = visit.path("kind"), visit.number("registrant")
    problem, said, shown = "", "", None
    try:
        person = _registrant(visit, number)
        shown = _composed(visit, kind, person)
    except NotFound:
        return visit.missing("Ce courrier n’existe pas, ou sa réunion n’existe pas encore.")
    except _NoLink:
        problem = "Zoom n’a pas encore donné de lien personnel : ce courrier ne peut pas partir."
    except ResonanceError as error:
        problem, said = "Ce courrier ne peut pas être composé :", error.message
    answer = visit.page(
        "preview.html",
        heading=f"Aperçu : {words.letter_kind(kind).lower()}",
        place=HOME,
        kind=kind,
        kinds=[
            (other, preview_address(other, number)) for other in visit.service.campaign.letter_kinds
        ],
        person=person,
        name=name_of(person),
        title=visit.service.campaign.focus_group(person.focus_group),
        letter=shown,
        problem=problem,
        said=said,
        frame=f"{preview_address(kind, number)}/html",
    )
    answer.headers["Content-Security-Policy"] = f"{CONTENT_SECURITY_POLICY}; frame-src 'self'"
    return answer


def preview_html(visit: Visit) -> Response:
    """GET: the HTML part itself, for the frame on that page. Nothing in it runs or is fetched."""
    try:
        person = _registrant(visit, visit.number("registrant"))
        shown = _composed(visit, visit.path("kind"), person)
    except ResonanceError:
        return visit.missing("Ce courrier n’existe pas, ou ne peut pas être composé.")
    return HTMLResponse(shown.html, headers={"Content-Security-Policy": _LETTERS_POLICY})


def _registrant(visit: Visit, number: int) -> Any:
    with visit.service.store.read() as connection:
        person = acts.registrant(connection, min(number, 2**63 - 1))
    if not person.email:
        raise NotFound(f"registrant {number} was erased")
    return person


def _composed(visit: Visit, kind: str, person: Any) -> Shown:
    if kind in visit.service.campaign.letter_kinds and not _can_be_made(kind, person):
        raise _NoLink("there is no personal join link yet")
    with visit.service.store.read() as connection:
        whole = previews.for_registrant(visit.service, connection, kind, person)
    parsed = email.message_from_bytes(whole, _class=EmailMessage, policy=email.policy.default)
    return Shown(
        subject=str(parsed["Subject"]),
        sender=str(parsed["From"]),
        recipient=str(parsed["To"]),
        size=len(whole),
        text=_part(parsed, "plain"),
        html=_part(parsed, "html"),
        attachments=tuple(part.get_filename() or "" for part in parsed.iter_attachments()),
    )


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return str(part.get_content()) if part else ""
