"""The way in to the staff pages, and the one guard that every one of them stands behind.

A link from `invite` shows a button (scanners of mail follow links); pressing it spends the link and
opens a session. https://cheatsheetseries.owasp.org/cheatsheets/Session_Management_Cheat_Sheet.html
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from resonance_zoom.links import ADMIN, Invitation, LinkRefused
from resonance_zoom.service import Service
from resonance_zoom.store import journal, sessions
from resonance_zoom.store.sessions import Session
from resonance_zoom.web import pages
from resonance_zoom.web.forms import fields_of, same_origin, storable
from resonance_zoom.web.staff.guesses import Guesses, client_of, note_refused, note_shut


@dataclass(frozen=True, slots=True)
class Visit:
    """One look at a staff page by somebody who may: what a handler is given.

    `form` holds the fields of a POST, each once; `query` those of the address.
    """

    request: Request
    service: Service
    session: Session
    form: Mapping[str, str]

    @property
    def now(self) -> datetime:
        """The service's time."""
        return self.service.now()

    @property
    def query(self) -> Mapping[str, str]:
        """The fields of the address."""
        return {name: storable(value) for name, value in self.request.query_params.items()}

    @property
    def may_act(self) -> bool:
        """Whether this person may change anything."""
        return self.session.role == ADMIN

    def path(self, name: str) -> str:
        """A part of the address that the route names, as text."""
        return str(self.request.path_params[name])

    def number(self, name: str) -> int:
        """A part of the address that the route declares as a whole number."""
        return int(self.request.path_params[name])

    def page(self, template: str, *, heading: str, status: int = 200, **context: Any) -> Response:
        """A staff page in the common frame."""
        return pages.page(
            self.request,
            f"staff/{template}",
            status=status,
            heading=heading,
            session=self.session,
            may_act=self.may_act,
            places=PLACES,
            place=context.pop("place", self.request.url.path),
            **context,
        )

    def missing(self, what: str) -> Response:
        """The page that says that there is no such thing."""
        return self.page(
            "absent.html", heading="Introuvable", status=404, what=what, place="", head=""
        )


Handler = Callable[[Visit], Response]

# The pages in the navigation, in its order.
PLACES = (
    ("/staff/", "Vue d’ensemble"),
    ("/staff/journal", "Journal"),
    ("/staff/registrants", "Inscrits"),
    ("/staff/letters", "Courriers"),
    ("/staff/meetings", "Réunions"),
)


def guarded(handler: Handler, *, role: str) -> Callable[[Request], Any]:
    """The endpoint that lets only those in who are signed in with the role (or a higher one)."""

    async def endpoint(request: Request) -> Response:
        form = await fields_of(request) if request.method == "POST" else {}
        return await run_in_threadpool(_enter, request, form)

    def _enter(request: Request, form: Mapping[str, str] | None) -> Response:
        service = pages.service_of(request)
        session = _session(request, service)
        if session is None:
            return _outside(request)
        if role == ADMIN and session.role != ADMIN:
            return _not_allowed(request, service, session)
        if request.method == "POST" and (
            form is None
            or not same_origin(request)
            or not secrets.compare_digest(
                form.get("csrf", "").encode("utf-8", "replace"), session.csrf.encode()
            )
        ):
            return _refused(request)
        return handler(Visit(request, service, session, form or {}))

    endpoint.role = role  # type: ignore[attr-defined]  # what a test walks over all routes
    return endpoint


def home(_request: Request) -> Response:
    """GET /staff, as people type it: the pages begin at /staff/."""
    return pages.see_other("/staff/")


def sign_in(request: Request) -> Response:
    """GET: a button. Changes nothing."""
    service = pages.service_of(request)
    try:
        invitation = _invitation(request, service)
    except LinkRefused:
        return _no_entry(request, service)
    return pages.page(request, "staff/sign_in.html", invitation=invitation)


async def signed_in(request: Request) -> Response:
    """POST: spend the link, open a session, go to the overview."""
    return await run_in_threadpool(_signed_in, request)


def _signed_in(request: Request) -> Response:
    service = pages.service_of(request)
    now = service.now()
    if not same_origin(request):
        return _refused(request)
    try:
        invitation = _invitation(request, service)
    except LinkRefused:
        return _no_entry(request, service)
    former = _session(request, service)
    with service.store.write() as connection:
        if not sessions.spend(connection, invitation.id, now):
            cookie = None
            note = "a link that was used before"
        else:
            cookie = sessions.open_session(
                connection, name=invitation.name, role=invitation.role, now=now
            )
            note = f"signed in as {invitation.role}"
            if former is not None:  # its cookie is about to be overwritten
                sessions.close(connection, former)
        journal.note(
            connection,
            now,
            "staff.sign_in" if cookie else "staff.sign_in_refused",
            f"{invitation.name}: {note}",
            level=journal.INFO if cookie else journal.WARNING,
            by=invitation.name,
            role=invitation.role,
        )
    if cookie is None:
        return _no_entry(request, service)
    answer = pages.see_other("/staff/")
    https = _https(service)
    answer.set_cookie(
        cookie_name(service),
        cookie,
        path="/",
        secure=https,
        httponly=True,
        samesite="strict",
        max_age=int(sessions.LONGEST.total_seconds()),
    )
    return answer


def _invitation(request: Request, service: Service) -> Invitation:
    """Whom the link of an address lets in. Raises LinkRefused, also for who has guessed a lot."""
    guesses: Guesses = request.app.state.guesses
    now = service.now()
    if guesses.shut(client_of(request), now):
        raise LinkRefused("too many links that did not work")
    try:
        invitation = service.links.read_invitation(request.path_params["token"], now)
        _refuse_withdrawn(service, invitation)
    except LinkRefused:
        note_refused(service, guesses, now)
        raise
    return invitation


def _refuse_withdrawn(service: Service, invitation: Invitation) -> None:
    """Raises LinkRefused for a link that was made before the last `sign-out`."""
    with service.store.read() as connection:
        since = journal.recall(connection, journal.LINKS_SINCE)
    if since is not None and invitation.made_at <= datetime.fromisoformat(since):
        raise LinkRefused("this link was withdrawn")


def sign_out(visit: Visit) -> Response:
    """End the session, here and in the browser."""
    with visit.service.store.write() as connection:
        sessions.close(connection, visit.session)
        journal.note(
            connection,
            visit.now,
            "staff.sign_out",
            f"{visit.session.name}: signed out",
            by=visit.session.name,
        )
    answer = pages.page(
        visit.request,
        "message.html",
        heading="À bientôt",
        sentences=["Vous êtes déconnecté."],
        way_on=None,
    )
    https = _https(visit.service)  # a browser heeds nothing about a `__Host-` cookie without it
    answer.delete_cookie(
        cookie_name(visit.service), path="/", secure=https, httponly=True, samesite="strict"
    )
    return answer


def cookie_name(service: Service) -> str:
    """`__Host-` binds the cookie to this host and to https; plain http exists on loopback only."""
    return "__Host-staff" if _https(service) else "staff"


def _session(request: Request, service: Service) -> Session | None:
    cookie = request.cookies.get(cookie_name(service))
    if not cookie:
        return None
    now = service.now()
    with service.store.read() as connection:
        session = sessions.find(connection, cookie, now)
        # A page that refreshes itself does not keep somebody signed in who has left.
        live = bool(request.query_params.get("live"))
        due = session is not None and not live and sessions.needs_seen(connection, session, now)
    if session is not None and due:
        with service.store.write() as connection:
            sessions.seen(connection, session, now)
    return session


def _https(service: Service) -> bool:
    return service.settings.public_url.startswith("https://")


def _outside(request: Request) -> Response:
    return pages.page(
        request,
        "message.html",
        status=401,
        heading="Pages de l’équipe",
        sentences=[
            "Vous n’êtes pas connecté, ou vous ne l’êtes plus : une session s’endort au bout de"
            " 30 minutes sans activité et se ferme après 10 heures.",
            "Demandez un lien à la personne qui fait tourner le service"
            " (commande « resonance-zoom invite »).",
        ],
        way_on=None,
    )


def _no_entry(request: Request, service: Service) -> Response:
    """The same page whatever was wrong with the link, and a limit on trying."""
    guesses: Guesses = request.app.state.guesses
    now, client = service.now(), client_of(request)
    was_shut = guesses.shut(client, now)
    if guesses.count(client, now):
        note_shut(service, now)
    return pages.page(
        request,
        "message.html",
        status=429 if was_shut else 403,
        heading="Ce lien ne fonctionne pas",
        sentences=[
            "Il a déjà servi, il est trop ancien, ou il est incomplet. Demandez-en un autre."
        ],
        way_on=None,
    )


def _not_allowed(request: Request, service: Service, session: Session) -> Response:
    with service.store.write() as connection:
        journal.note(
            connection,
            service.now(),
            "staff.not_allowed",
            f"{session.name} may only read: {request.url.path[:100]}",
            level=journal.WARNING,
            by=session.name,
        )
    return pages.page(
        request,
        "message.html",
        status=403,
        heading="Réservé à l’administration",
        sentences=["Votre accès permet de lire, pas d’agir."],
        way_on=("/staff/", "Revenir à la vue d’ensemble"),
    )


def _refused(request: Request) -> Response:
    return pages.page(
        request,
        "message.html",
        status=403,
        heading="Demande refusée",
        sentences=[
            "Ce formulaire ne vient pas de ces pages, ou il a expiré. Rien n’a été fait.",
            "Rouvrez la page et recommencez.",
        ],
        way_on=("/staff/", "Revenir à la vue d’ensemble"),
    )
