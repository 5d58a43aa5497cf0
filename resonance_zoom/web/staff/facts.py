"""The figures behind a journal line, in French: what each is called and how its value reads."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from resonance_zoom.campaign import Campaign
from resonance_zoom.mail import french
from resonance_zoom.web import words

NOTHING = "–"
LONGEST = 600  # signs of one value on a page
SECRET = frozenset({"join_url", "start_url", "token"})  # personal; no staff page shows them

LABELS = {
    "absent": "Absents de cette liste",
    "active": "Inscrits connus ici",
    "acts_at": "Sera appliqué à partir de",
    "after": "Après",
    "again_at": "Nouvel essai",
    "ends_at": "Fin prévue",
    "attempt": "Essai n°",
    "before": "Avant",
    "by": "Par",
    "bounce_status": "Code du serveur du destinataire",
    "changes": "Changé sur Zoom",
    "code": "Code d’erreur de Zoom",
    "confirmation_owed": "Confirmation à envoyer",
    "down_from": "Arrêté depuis",
    "down_to": "Jusqu’à",
    "due_at": "À envoyer à partir de",
    "edit": "Changé dans le fichier",
    "episode": "Inscription n° (de cette personne)",
    "event": "Annonce",
    "event_ts": "Daté par Zoom",
    "failures": "Échecs de suite",
    "field": "Champ",
    "gone": "Disparus des listes",
    "held": "Sur Zoom",
    "letter": "Courrier n°",
    "letter_kind": "Courrier",
    "letters": "Courriers",
    "letters_in_doubt": "Courriers en suspens",
    "limit": "Limite",
    "listed": "Inscrits lus",
    "operation": "Demande",
    "problems": "Erreurs",
    "reason": "Raison",
    "refreshed": "Fiches rafraîchies",
    "refused": "Refusés",
    "repaired": "Réparés",
    "role": "Droits",
    "seconds": "Durée",
    "sessions": "Sessions",
    "source": "Appris",
    "start": "Nouvelle date",
    "status": "Réponse de Zoom (HTTP)",
    "told": "Personnes prévenues",
    "wanted": "Dans le fichier",
    "was": "Ancienne date",
    "worth_until": "Utile jusqu’à",
    "zoom_meeting_id": "Réunion Zoom n°",
    "zoom_registrant_id": "Inscription Zoom n°",
}
FIELDS = {
    "agenda": "texte",
    "cancelled": "annulée",
    "approval_type": "mode d’approbation",
    "duration": "durée (min)",
    "registrants_confirmation_email": "courriels de Zoom",
    "registrants_email_notification": "avis de Zoom",
    "start_time": "début",
    "timezone": "fuseau horaire",
    "topic": "titre",
}
EVENTS = {
    "listed": "vu dans la liste",
    "meeting.deleted": "réunion supprimée",
    "meeting.permanently_deleted": "réunion supprimée pour de bon",
    "meeting.recovered": "réunion rétablie",
    "meeting.registration_approved": "inscription approuvée",
    "meeting.registration_cancelled": "désinscription",
    "meeting.registration_created": "inscription",
    "meeting.registration_denied": "inscription refusée",
    "meeting.updated": "réunion modifiée",
    "unlisted": "disparu de la liste",
    "withdrawn": "place rendue",
}
OPERATIONS = {
    "meeting": "lire une réunion",
    "meetingCreate": "créer la réunion",
    "meetingDelete": "supprimer une réunion",
    "meetingRegistrantCreate": "inscrire une personne",
    "meetingRegistrantGet": "lire une inscription",
    "meetingRegistrants": "lire une liste d’inscrits",
    "meetingUpdate": "modifier la réunion",
    "meetingregistrantdelete": "supprimer une inscription",
    "meetings": "lire la liste des réunions",
    "token": "obtenir l’accès",
    "user": "lire le compte de l’hôte",
}
_BETWEEN = "\u202f; "
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)\Z")


def label(name: str) -> str:
    """What a figure is called; an unknown one keeps its name."""
    return LABELS.get(name, name)


def value(name: str, found: Any, campaign: Campaign) -> str:
    """How a figure reads, times in the campaign's zone. Anything stored can be shown."""
    if name in SECRET:
        return "(personnel, non affiché)"
    spoken = _spoken(name, found, campaign)
    return spoken if len(spoken) <= LONGEST else f"{spoken[:LONGEST]}…"


def listed(data: Mapping[str, Any], campaign: Campaign) -> list[tuple[str, str]]:
    """All figures of a line: (label, value)."""
    return [(label(name), value(name, found, campaign)) for name, found in data.items()]


class Figures(dict[str, "_Figure"]):
    """The figures of a line for a sentence, by name; one that the line lacks is a KeyError."""

    def __init__(self, data: Mapping[str, Any], campaign: Campaign) -> None:
        super().__init__(
            (name, _Figure(_within(name, value(name, found, campaign)), found))
            for name, found in data.items()
            if found is not None
        )


class _Figure:
    """One figure in a sentence: as it reads, or counted: `{told:personne|personnes}`."""

    def __init__(self, text: str, found: Any) -> None:
        self.text = text
        self.found = found

    def __format__(self, forms: str) -> str:
        if not forms:
            return self.text
        one, _, many = forms.partition("|")
        single = isinstance(self.found, int | float) and abs(self.found) < 2
        return f"{self.text}\u00a0{one if single else many}"


def _within(name: str, text: str) -> str:
    """A figure in mid-sentence."""
    return text[:1].lower() + text[1:] if name == "letter_kind" else text


def moment_of(found: Any) -> datetime | None:
    """A stored time, None when it is none."""
    if not isinstance(found, str) or not _ISO.match(found):
        return None
    try:
        moment = datetime.fromisoformat(found)
    except ValueError:
        return None
    return moment if 1970 <= moment.year < 3000 else None


def _spoken(name: str, found: Any, campaign: Campaign) -> str:
    if found is None or found == "":
        return NOTHING
    if isinstance(found, bool):
        return "oui" if found else "non"
    if isinstance(found, Mapping):
        return _BETWEEN.join(
            f"{_field(key)}\u00a0: {value(key, item, campaign)}" for key, item in found.items()
        )
    if isinstance(found, list):
        return _BETWEEN.join(value(name, item, campaign) for item in found)
    if name in _NAMED and isinstance(found, str):
        return _NAMED[name](found)
    if name == "seconds" and isinstance(found, int | float):
        return f"{found:.2f}\u00a0s".replace(".", ",")
    moment = _of_milliseconds(found) if name == "event_ts" else moment_of(found)
    if moment is not None:
        return french.date_hour(moment, campaign.timezone)
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def _of_milliseconds(found: Any) -> datetime | None:
    if not isinstance(found, int) or not 0 <= found < 10**14:
        return None
    return datetime.fromtimestamp(found / 1000, UTC)


def _field(name: str) -> str:
    """A field of a meeting, as the file or Zoom calls it."""
    plain = name.removeprefix("settings.")
    return FIELDS.get(plain) or LABELS.get(plain, plain)


_NAMED: Mapping[str, Callable[[str], str]] = {
    "after": lambda name: words.STATUSES.get(name, name),
    "before": lambda name: words.STATUSES.get(name, name),
    "event": lambda name: EVENTS.get(name, name),
    "bounce_status": lambda code: f"{words.bounce_reason(code)} ({code})",
    "field": _field,
    "letter_kind": words.letter_kind,
    "operation": lambda name: OPERATIONS.get(name, name),
    "reason": lambda name: french.for_page(french.typeset(words.REASONS.get(name, name))),
    "role": lambda name: words.ROLES.get(name, name),
    "source": lambda name: words.SOURCES.get(name, name),
}
