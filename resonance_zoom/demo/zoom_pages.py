"""Zoom's pages as a newcomer meets them: a registration form, and the room behind a join link."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from resonance_zoom.campaign import Campaign
from resonance_zoom.demo import frame
from resonance_zoom.zoom.simulator import Refusal, SimMeeting, SimRegistrant, SimulatedZoom
from resonance_zoom.zoom.simulator.validation import registrant_fields

BANNER = "DÉMONSTRATION : ceci n’est pas Zoom, rien ne quitte cet ordinateur."
MAX_FORM = 16 * 1024
FIELDS = ("first_name", "last_name", "email")
WRONG_FIELD = {
    "first_name": "Écrivez votre prénom, en 64 caractères au plus.",
    "last_name": "Écrivez votre nom en 64 caractères au plus.",
    "email": "Écrivez une adresse complète, comme camille.martin@example.org.",
}
# By Zoom's code; the same as `Account._may_register` gives.
REFUSED = {
    3000: "L’organisation a refusé cette inscription : on ne peut pas la refaire.",
    3027: "Cette adresse est celle de l’hôte de la réunion : il n’a pas à s’inscrire.",
    3038: "Cette réunion est terminée.",
    3043: "Il n’y a plus de place.",
}


def make_app(world: SimulatedZoom, campaign: Campaign) -> Starlette:
    """What a browser sees of `world`."""
    routes = (
        Route("/meeting/register/{token}", form),
        Route("/meeting/register/{token}", filled_in, methods=["POST"]),
        Route("/meeting/register/{token}/done", registered),
        Route("/w/{meeting:int}", room),
    )
    app = frame.make_app(routes, campaign, banner=BANNER)
    app.state.world = world
    return app


def form(request: Request) -> Response:
    """GET registration_url: the empty form."""
    meeting = _by_token(request)
    return frame.absent(request) if meeting is None else _form(request, meeting)


async def filled_in(request: Request) -> Response:
    """POST registration_url: registers, as on Zoom's page, and Zoom then calls us."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM:
            return Response(status_code=413)
    given = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    values = {name: given.get(name, "").strip() for name in FIELDS}
    return await run_in_threadpool(_filled_in, request, values)


def _filled_in(request: Request, values: Mapping[str, str]) -> Response:
    world: SimulatedZoom = request.app.state.world
    meeting = _by_token(request)
    if meeting is None:
        return frame.absent(request)
    try:
        registrant_fields(dict(values))
        who = world.register(
            meeting.id,
            email=values["email"],
            first_name=values["first_name"],
            last_name=values["last_name"],
        )
    except Refusal as refusal:
        wrong = {error["field"]: WRONG_FIELD[error["field"]] for error in refusal.errors}
        problem = REFUSED.get(refusal.code or 0, refusal.message)
        if wrong:
            problem = "L’inscription n’est pas complète."
        return _form(request, meeting, values=values, wrong=wrong, problem=problem)
    pending = "?pending=1" if who.status == "pending" else ""
    return RedirectResponse(f"{request.url.path}/done{pending}", status_code=303)


def registered(request: Request) -> Response:
    """GET after a registration: what happens next."""
    meeting = _by_token(request)
    if meeting is None:
        return frame.absent(request)
    pending = request.query_params.get("pending") == "1"
    heading = "Votre demande est enregistrée" if pending else "Votre inscription est enregistrée"
    return frame.page(
        request, "zoom_registered.html", heading=heading, meeting=meeting, pending=pending
    )


def room(request: Request) -> Response:
    """GET a join link: the room, for the one person whose link it is."""
    world: SimulatedZoom = request.app.state.world
    with world.lock:
        meeting = world.meetings.get(request.path_params["meeting"])
        if meeting is None or meeting.gone(world.now()):
            return frame.absent(request)
        who = _whose(meeting, request.query_params.get("tk", ""))
    heading = "Ici commencerait la réunion" if who else "Ce lien ne donne pas accès à la réunion"
    status = 200 if who else 404
    return frame.page(
        request, "zoom_room.html", heading=heading, status=status, meeting=meeting, who=who
    )


def _form(
    request: Request,
    meeting: SimMeeting,
    *,
    values: Mapping[str, str] | None = None,
    wrong: Mapping[str, str] | None = None,
    problem: str = "",
) -> Response:
    return frame.page(
        request,
        "zoom_form.html",
        heading="Inscription (Zoom simulé)",
        status=422 if problem else 200,
        meeting=meeting,
        values=values or dict.fromkeys(FIELDS, ""),
        wrong=wrong or {},
        problem=problem,
    )


def _by_token(request: Request) -> SimMeeting | None:
    """The meeting whose registration page this is, unless it is gone."""
    world: SimulatedZoom = request.app.state.world
    token = request.path_params["token"]
    with world.lock:
        for meeting in world.meetings.values():
            if meeting.registration_url.endswith(f"/{token}") and not meeting.gone(world.now()):
                return meeting
    return None


def _whose(meeting: SimMeeting, token: str) -> SimRegistrant | None:
    for who in meeting.registrants.values():
        if who.status == "approved" and f"?tk={token}&" in (who.join_url or ""):
            return who
    return None
