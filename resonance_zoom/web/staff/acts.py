"""Every act of the staff: asked once (GET), done (POST), told on the page one comes back to."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from resonance_zoom import acts, meetings, privacy
from resonance_zoom.acts import Desk
from resonance_zoom.errors import NotFound, ResonanceError
from resonance_zoom.store import sessions
from resonance_zoom.web import pages, words
from resonance_zoom.web.staff.door import Visit
from resonance_zoom.web.staff.letters import name_of
from resonance_zoom.web.staff.listings import whole_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """The one thing that some acts must be told."""

    label: str
    type: str
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the page asks before an act, and where one comes from and returns to."""

    sentences: tuple[str, ...]
    back: str
    field: Field | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """`ask` looks the subject up (NotFound when there is none); `do` returns what it did."""

    heading: str
    button: str
    ask: Callable[[Visit, str], Question]
    do: Callable[[Visit, str, str], str]
    grave: bool = False


def ask(visit: Visit) -> Response:
    """GET: what would happen, and a button. Changes nothing."""
    act = ACTS.get(visit.path("act"))
    if act is None:
        return visit.missing("Cette action n’existe pas.")
    try:
        question = act.ask(visit, visit.path("subject"))
    except NotFound:
        return visit.missing("Ce qui était désigné n’existe pas, ou plus.")
    return _asked(visit, act, question)


def do(visit: Visit) -> Response:
    """POST: do it once, however often the button was pressed, and say what it did."""
    act = ACTS.get(visit.path("act"))
    if act is None:
        return visit.missing("Cette action n’existe pas.")
    subject, value = visit.path("subject"), visit.form.get("value", "").strip()
    try:
        question = act.ask(visit, subject)
    except NotFound:
        return visit.missing("Ce qui était désigné n’existe pas, ou plus.")
    once = visit.form.get("once", "")
    with visit.service.store.write() as connection:
        first = 20 <= len(once) <= 60 and sessions.spend(connection, once, visit.now)
    if not first:
        return _told(visit, "C’était déjà fait : le bouton a été pressé deux fois.", question.back)
    try:
        said = act.do(visit, subject, value)
    except ResonanceError as error:
        return _asked(visit, act, question, problem=_in_french(error), value=value)
    return _told(visit, said, question.back)


def _asked(
    visit: Visit, act: Act, question: Question, *, problem: str = "", value: str = ""
) -> Response:
    field = question.field
    return visit.page(
        "ask.html",
        heading=act.heading,
        status=409 if problem else 200,
        place="",
        sentences=question.sentences,
        field=Field(label=field.label, type=field.type, value=value) if field else None,
        button=act.button,
        grave=act.grave,
        back=question.back,
        problem=problem,
        once=secrets.token_urlsafe(18),
    )


def _told(visit: Visit, said: str, back: str) -> Response:
    with visit.service.store.write() as connection:
        sessions.say(connection, visit.session, said)
    return pages.see_other(back)


def _in_french(error: ResonanceError) -> str:
    return f"Rien n’a été fait. Le service répond : « {error.message} » {error.remedy}".strip()


def _desk(visit: Visit) -> Desk:
    return Desk(visit.service.store, visit.service.campaign, visit.now, visit.session.name)


# ---- letters ---------------------------------------------------------------------------------


def _letter(visit: Visit, subject: str) -> tuple[Any, Any]:
    with visit.service.store.read() as connection:
        letter = acts.letter(connection, _number(subject))
        return letter, _known(acts.registrant(connection, letter.registrant))


def _number(subject: str) -> int:
    number = whole_number(subject)
    if number is None:
        raise NotFound(f"{subject!r} is no number")
    return number


def _known(person: Any) -> Any:
    """The same, unless they were erased: then there is nobody to act for."""
    if not person.email:
        raise NotFound(f"registrant {person.id} was erased")
    return person


def _named(visit: Visit, person: Any) -> str:
    """`Alice Martin (alice@example.org), pour « Accompagner le télétravail »`."""
    group = visit.service.campaign.focus_group(person.focus_group)
    title = group.title if group else person.focus_group
    name = name_of(person)
    whom = name if name == person.email else f"{name} ({person.email})"
    return f"{whom}, pour « {title} »"


def _ask_resend(visit: Visit, subject: str) -> Question:
    letter, person = _letter(visit, subject)
    kind = words.letter_kind(letter.kind)
    return Question(
        sentences=(
            f"{kind} : {_named(visit, person)}.",
            "Une seconde copie partira." if letter.state == "sent" else "Le courrier partira.",
        ),
        back=f"/staff/people/{person.id}",
    )


def _resend(visit: Visit, subject: str, _value: str) -> str:
    acts.resend(_desk(visit), int(subject))
    visit.service.wake("deliver_letters")
    return "Le courrier part dans les secondes qui viennent."


def _ask_drop(visit: Visit, subject: str) -> Question:
    letter, person = _letter(visit, subject)
    kind = words.letter_kind(letter.kind)
    return Question(
        sentences=(
            f"{kind} : {_named(visit, person)}.",
            "Ce courrier ne partira pas.",
        ),
        back="/staff/letters",
    )


def _drop(visit: Visit, subject: str, _value: str) -> str:
    acts.drop_letter(_desk(visit), int(subject))
    return "Le courrier est écarté."


# ---- people ----------------------------------------------------------------------------------


def _person(visit: Visit, subject: str) -> Any:
    with visit.service.store.read() as connection:
        return _known(acts.registrant(connection, _number(subject)))


def _ask_withdraw(visit: Visit, subject: str) -> Question:
    person = _person(visit, subject)
    return Question(
        sentences=(
            f"Rendre la place de {_named(visit, person)}.",
            "L’inscription est supprimée sur Zoom ; la personne reçoit un accusé, puis plus rien"
            " pour cette réunion. Elle pourra se réinscrire.",
        ),
        back=f"/staff/people/{person.id}",
    )


def _withdraw(visit: Visit, subject: str, _value: str) -> str:
    acts.give_up_place(_desk(visit), visit.service.zoom, int(subject), receipt=True)
    visit.service.wake("deliver_letters")
    return "La place est rendue."


def _ask_address(visit: Visit, subject: str) -> Question:
    person = _person(visit, subject)
    return Question(
        sentences=(
            f"Cette inscription : {_named(visit, person)}.",
            "Zoom ne change pas une adresse : la personne est inscrite sous la nouvelle, reçoit un"
            " nouveau lien, et l’ancienne inscription est supprimée.",
        ),
        back=f"/staff/people/{person.id}",
        field=Field(label="La bonne adresse", type="email"),
    )


def _address(visit: Visit, subject: str, value: str) -> str:
    whole = acts.correct_address(_desk(visit), visit.service.zoom, int(subject), value)
    visit.service.wake("sync_registrants")
    visit.service.wake("deliver_letters")
    said = f"Inscription refaite sous {value} ; le nouveau lien part dès que Zoom l’a donné."
    if not whole:
        said += " L’ancienne n’a pas pu être supprimée sur Zoom : rendez sa place dans un moment."
    return said


def _ask_erase(visit: Visit, subject: str) -> Question:
    person = _person(visit, subject)
    return Question(
        sentences=(
            f"Toutes les données de {person.email} sont effacées, dans toutes les réunions, ici et"
            " sur Zoom. La personne perd ses places et ne reçoit plus rien, pas même un accusé.",
            "C’est définitif.",
        ),
        back="/staff/registrants",
    )


def _erase(visit: Visit, subject: str, _value: str) -> str:
    count = privacy.erase(_desk(visit), visit.service.zoom, int(subject))
    visit.service.wake("back_up_database")
    return f"Données effacées ({count} inscription{'s' if count > 1 else ''})."


# ---- the whole -------------------------------------------------------------------------------


def _ask_pause(_visit: Visit, _subject: str) -> Question:
    return Question(
        sentences=(
            "Plus aucun courrier ne part jusqu’à la reprise.",
            "Les inscriptions continuent d’arriver.",
        ),
        back="/staff/letters",
    )


def _pause(visit: Visit, _subject: str, _value: str) -> str:
    acts.pause(_desk(visit))
    return "Les envois sont suspendus."


def _ask_resume(_visit: Visit, _subject: str) -> Question:
    return Question(
        sentences=("Les envois reprennent ; ce qui attend part aussitôt.",), back="/staff/letters"
    )


def _resume(visit: Visit, _subject: str, _value: str) -> str:
    acts.resume(_desk(visit))
    visit.service.wake("deliver_letters")
    return "Les envois ont repris."


def _ask_sync(visit: Visit, _subject: str) -> Question:
    with visit.service.store.read() as connection:
        count = len(meetings.open_rows(connection))
    return Question(
        sentences=(
            "Les réunions sont comparées avec le fichier, et leurs listes d’inscrits relues sur"
            " Zoom, maintenant.",
            f"Réunions sur Zoom : {count}.",
        ),
        back="/staff/",
    )


def _sync(visit: Visit, _subject: str, _value: str) -> str:
    with visit.service.store.write() as connection:
        _desk(visit).note(connection, "sync", "sync asked for: all")
    visit.service.wake("create_meetings")
    visit.service.wake("sync_registrants")
    return "La relecture a commencé ; le journal en dira le résultat."


ACTS: Mapping[str, Act] = {
    "resend": Act(heading="Renvoyer ce courrier ?", button="Renvoyer", ask=_ask_resend, do=_resend),
    "drop": Act(
        heading="Écarter ce courrier ?", button="Écarter", ask=_ask_drop, do=_drop, grave=True
    ),
    "withdraw": Act(
        heading="Rendre la place ?",
        button="Rendre la place",
        ask=_ask_withdraw,
        do=_withdraw,
        grave=True,
    ),
    "address": Act(heading="Corriger l’adresse", button="Corriger", ask=_ask_address, do=_address),
    "erase": Act(
        heading="Effacer cette personne ?",
        button="Effacer définitivement",
        ask=_ask_erase,
        do=_erase,
        grave=True,
    ),
    "pause": Act(
        heading="Suspendre les envois ?", button="Suspendre", ask=_ask_pause, do=_pause, grave=True
    ),
    "resume": Act(
        heading="Reprendre les envois ?", button="Reprendre", ask=_ask_resume, do=_resume
    ),
    "sync": Act(heading="Relire Zoom maintenant ?", button="Relire", ask=_ask_sync, do=_sync),
}
