"""I24: who was erased is in no byte and in nothing that is handed out, and gets nothing."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from resonance_zoom import privacy, reports
from resonance_zoom.errors import NotFound
from resonance_zoom.store.tables import registrants
from resonance_zoom.zoom.simulator import SimRegistrant

if TYPE_CHECKING:
    from tests.campaigns.stage import Play


def _people(play: "Play") -> list[SimRegistrant]:
    meetings = play.zoom.meetings.values()
    return [who for meeting in meetings for who in meeting.registrants.values()]


def erased_for_good(play: "Play") -> Iterator[str]:
    """Whoever was erased and has not come back of their own accord, also after sweeps and restores."""
    people = _people(play)
    for email, at in play.erased.items():
        theirs = [who for who in people if who.email.lower() == email]
        came = [who.history[0][0] for who in theirs]
        for letter in play.memory.relay.accepted:
            to_them = letter.recipients[0].lower() == email and letter.at > at
            if to_them and not any(at < moment <= letter.at for moment in came):
                yield f"I24 {email} was erased at {at} and got {letter.kind} at {letter.at}"
        if any(who.history[-1][0] > at and who.history[0][0] > at for who in theirs):
            continue  # they came back
        links = [who.join_url for who in theirs if who.join_url]
        yield from _in_no_byte(play, (email, *links), f"{email} was erased at {at}")
        yield from _handed_out_to_nobody(play, email)


def _in_no_byte(play: "Play", marks: tuple[str, ...], what: str) -> Iterator[str]:
    """Neither in the database and its log, nor in the technical log."""
    for path in sorted(play.memory.database.parent.glob("resonance.db*")):
        if "aside" in path.name:
            continue
        held = path.read_bytes().lower()
        yield from (
            f"I24 {what} and {mark} stands in {path.name}"
            for mark in marks
            if mark.lower().encode() in held
        )
    yield from (
        f"I24 {what} and {mark} stands in the log" for mark in marks if mark in play.log.getvalue()
    )


def _handed_out_to_nobody(play: "Play", email: str) -> Iterator[str]:
    """No report, and no export of the person's own."""
    with play.service.store.read() as connection:
        try:
            privacy.export(connection, email)
        except NotFound:
            pass
        else:
            yield f"I24 {email} was erased and can be exported"
        told = (
            reports.registrant_list(connection),
            reports.letter_list(connection),
            reports.journal_lines(connection),
        )
    if email in str(told).lower():
        yield f"I24 {email} was erased and stands in a report"


def nobody_is_left(play: "Play") -> Iterator[str]:
    """After the end: no byte of anybody, in whatever copy; the counts stay; nothing goes any more."""
    people, folder = _people(play), play.memory.database.parent
    marks = {who.email.lower() for who in people} | {who.join_url for who in people if who.join_url}
    marks |= {who.last_name.rpartition(" ")[2].lower() for who in people if "Nom" in who.last_name}
    files = [*folder.glob("resonance.db*"), *(folder / "backups").glob("*")]
    for path in sorted(files):
        held = path.read_bytes().lower()
        for mark in sorted(marks):
            if mark.lower().encode() in held:
                yield f"I24 all were erased by {play.plan.closing}, and {mark} is in {path.name}"
    if play.memory.fresh("SELECT 1 FROM letters WHERE state IN ('queued', 'in_doubt', 'failed')"):
        yield f"I24 all were erased by {play.plan.closing}, and letters still wait"
    known = {who.email.lower() for who in people if who.history[0][1] in {"approved", "pending"}}
    if known and not play.restores and not play.memory.fresh(f"SELECT 1 FROM {registrants.name}"):  # noqa: S608 — a table's name
        yield f"I24 all were erased by {play.plan.closing}, and with them the counts"
    if play.plan.closing == "close" and any(who.active for who in people):
        left = sorted(who.email for who in people if who.active)
        yield f"I24 the campaign was closed, and Zoom still has {left}"
