"""A registrant's own page, from the link in their letters: what is known, and giving up a place."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from resonance_zoom import acts, meetings, privacy
from resonance_zoom.errors import NotFound, ResonanceError
from resonance_zoom.links import LinkRefused
from resonance_zoom.mail import french
from resonance_zoom.mail.letters import is_join_url
from resonance_zoom.service import Service
from resonance_zoom.store import people
from resonance_zoom.store.tables import letters
from resonance_zoom.web import pages
from resonance_zoom.web.forms import same_origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """The person behind a link: their registrations over all groups, and each meeting's row."""

    request: Request
    service: Service
    rows: tuple[Any, ...]
    held: dict[str, Any]

    @property
    def home(self) -> str:
        """The address of their page."""
        return f"/me/{self.request.path_params['token']}"

    def page(self, template: str, *, status: int = 200, **context: Any) -> Response:
        """A page of theirs: found by nobody else, kept by no cache."""
        return pages.page(
            self.request,
            template,
            status=status,
            headers={"X-Robots-Tag": "noindex"},
            home=self.home,
            **context,
        )

    @property
    def registration(self) -> Any:
        """Their registration in the group that the address names; None when there is none."""
        group = self.request.path_params["group"]
        if self.held.get(group) is None:
            return None
        return next((row for row in self.rows if row.focus_group == group), None)

    @property
    def may_withdraw(self) -> bool:
        """Whether that registration holds a place that can still serve somebody else."""
        meeting = self.held[self.registration.focus_group]
        return _state(self.registration, meeting, self.service.now()) in {"ready", "waits"}


def show(request: Request) -> Response:
    """GET /me/TOKEN."""
    visitor = _visitor(request)
    if visitor is None:
        return _refused(request)
    now = visitor.service.now()
    with visitor.service.store.read() as connection:
        kept_until = privacy.kept_until(connection, visitor.service.campaign)
        sent = connection.execute(
            select(letters.c.registrant, letters.c.kind, letters.c.sent_at)
            .where(letters.c.registrant.in_([row.id for row in visitor.rows]))
            .where(letters.c.state == "sent")
            .order_by(letters.c.sent_at)
        ).all()
    registrations = [
        {
            "row": row,
            "meeting": visitor.held.get(row.focus_group),
            "state": _state(row, visitor.held.get(row.focus_group), now),
            "over": _over(visitor.held.get(row.focus_group), now),
            "letters": [letter for letter in sent if letter.registrant == row.id],
        }
        for row in visitor.rows
    ]
    return visitor.page(
        "personal.html",
        first_name=visitor.rows[0].first_name,
        email=visitor.rows[0].email,
        registrations=registrations,
        keep_until=french.calendar_day(kept_until),
        done=request.query_params.get("done") == "withdrawn",
    )


def _state(row: Any, meeting: Any, now: Any) -> str:
    """What the page offers: `ready` (with the link), `waits`, `past`, `off` or `left`."""
    if row.status not in acts.HOLDS_A_PLACE:
        return "left"
    if meeting is None:
        return "waits"
    if over := _over(meeting, now):
        return over
    ready = row.status == "approved" and row.join_url and is_join_url(row.join_url)
    return "ready" if ready else "waits"


def _over(meeting: Any, now: Any) -> str:
    """`off` for a meeting that will not be, `past` for one that was, "" for one to come."""
    if meeting is not None and meeting.cancelled_at is not None:
        return "off"
    ended = meeting is not None and meeting.end_at is not None and meeting.end_at <= now
    return "past" if ended else ""


def calendar(request: Request) -> Response:
    """GET /me/TOKEN/GROUP.ics: the same file as in the letters, as of now."""
    visitor = _visitor(request)
    if visitor is None or visitor.registration is None:
        return _refused(request)
    now, row = visitor.service.now(), visitor.registration
    meeting = visitor.held[row.focus_group]
    if _state(row, meeting, now) != "ready":
        return _refused(request)
    return Response(
        visitor.service.composer.calendar(person=row, meeting=meeting, date=now),
        media_type="text/calendar; charset=utf-8; method=PUBLISH",
        headers={"Content-Disposition": f'attachment; filename="{row.focus_group}.ics"'},
    )


def data(request: Request) -> Response:
    """GET /me/TOKEN/data.json: all that is known of this person."""
    visitor = _visitor(request)
    if visitor is None:
        return _refused(request)
    with visitor.service.store.read() as connection:
        known = privacy.export(connection, visitor.rows[0].email)
    return Response(
        json.dumps(known, ensure_ascii=False, indent=2),
        media_type="application/json",
        headers={"Content-Disposition": 'attachment; filename="mes-donnees.json"'},
    )


def ask_withdraw(request: Request) -> Response:
    """GET /me/TOKEN/withdraw/GROUP: a button; changes nothing."""
    visitor = _visitor(request)
    if visitor is None or visitor.registration is None:
        return _refused(request)
    if not visitor.may_withdraw:
        return pages.see_other(visitor.home)
    return _asked(visitor, visitor.registration)


async def withdraw(request: Request) -> Response:
    """POST: gives the place up at Zoom, so that the person may come back."""
    return await run_in_threadpool(_withdraw, request)


def _withdraw(request: Request) -> Response:
    visitor = _visitor(request)
    if visitor is None or visitor.registration is None or not same_origin(request):
        return _refused(request)
    service, row = visitor.service, visitor.registration
    if row.status == "cancelled":  # pressed twice: the place is given up already
        return pages.see_other(visitor.home, done="withdrawn")
    if not visitor.may_withdraw:
        return pages.see_other(visitor.home)
    desk = acts.Desk(service.store, service.campaign, service.now(), "registrant")
    try:
        acts.give_up_place(desk, service.zoom, row.id, receipt=True)
    except NotFound:
        pass  # pressed twice at once
    except ResonanceError:
        return _asked(visitor, row, failed=True)
    service.wake("deliver_letters")
    return pages.see_other(visitor.home, done="withdrawn")


def _asked(visitor: Visitor, row: Any, *, failed: bool = False) -> Response:
    return visitor.page(
        "withdraw.html",
        status=503 if failed else 200,
        meeting=visitor.held[row.focus_group],
        failed=failed,
    )


def _visitor(request: Request) -> Visitor | None:
    """Who came by the link in the address, None when it is none of ours."""
    service = pages.service_of(request)
    try:
        # Before anything is read: who guesses costs us nothing.
        number = service.links.registrant(request.path_params["token"])
        with service.store.read() as connection:
            one = acts.registrant(connection, number)
            if not one.email or service.now() >= privacy.due_at(connection, service.campaign):
                return None
            order = [row.focus_group for row in meetings.rows(connection)]
            rows = sorted(
                people.with_email(connection, one.email),
                key=lambda row: order.index(row.focus_group) if row.focus_group in order else -1,
            )
            held = {row.focus_group: meetings.row_in(connection, row.focus_group) for row in rows}
    except (LinkRefused, NotFound):
        return None
    return Visitor(request=request, service=service, rows=tuple(rows), held=held)


def _refused(request: Request) -> Response:
    """The same page whatever was wrong with the link."""
    service = pages.service_of(request)
    return pages.page(
        request,
        "message.html",
        status=404,
        headers={"X-Robots-Tag": "noindex"},
        heading="Ce lien ne fonctionne pas",
        sentences=[
            "Il est peut-être incomplet, ou la campagne est terminée et vos données sont effacées.",
            f"Reprenez le lien de votre dernier courrier, ou écrivez à"
            f" {service.campaign.organiser.email}.",
        ],
        way_on=("/", "Voir les rencontres"),
    )
