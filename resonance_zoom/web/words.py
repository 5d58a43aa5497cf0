"""The French words of the pages for the names that code, tables and commands use."""

from resonance_zoom.campaign import reminder_days

STATUSES = {
    "approved": "inscrit",
    "pending": "en attente",
    "denied": "refusé",
    "cancelled": "désinscrit",
}
SOURCES = {"webhook": "annoncé par Zoom", "sweep": "trouvé par relecture", "staff": "par l’équipe"}
LETTER_STATES = {
    "queued": "à envoyer",
    "sending": "en cours d’envoi",
    "sent": "envoyé",
    "failed": "échec",
    "dropped": "écarté",
    "in_doubt": "incertain",
}
MEETING_STATES = {
    "planned": "à créer",
    "intended": "en cours de création",
    "open": "ouverte",
    "missing": "introuvable sur Zoom",
    "duplicate": "en double sur Zoom",
    "cancelled": "annulée",
    "past": "passée",
}
ROLES = {"reader": "lecture", "admin": "administration"}
# Why a letter is where it is: the words of store.outbox.REASONS.
REASONS = {
    "cancelled": "la personne s’est désinscrite",
    "denied": "l’inscription a été refusée",
    "pending": "l’inscription attend une approbation",
    "registered_again": "une inscription plus récente a sa propre confirmation",
    "moved": "la réunion a été déplacée ; la nouvelle date a son propre rappel",
    "too_late": "il ne pouvait plus partir à temps",
    "no_join_url": "Zoom n’a pas encore donné de lien personnel",
    "absent": "absent de la dernière liste de Zoom ; la prochaine décidera",
    "meeting_missing": "la réunion est introuvable sur Zoom",
    "not_cancelled": "la réunion a finalement lieu",
    "meeting_cancelled": "la réunion est annulée",
    "deferred": "le serveur de courrier demande d’attendre",
    "refused": "le serveur de courrier l’a refusé",
    "answer_lost": "la réponse du serveur s’est perdue ; il l’a peut-être accepté",
    "crashed": "le service s’est arrêté en plein envoi",
    "template": "le courrier n’a pas pu être composé",
    "by_hand": "demandé par l’équipe",
    "dropped_by_hand": "écarté par l’équipe",
    "erased": "les données de la personne ont été effacées",
    "restored": "il est peut-être parti avant que la base ne soit rétablie d’une sauvegarde",
    "adopted": "il est peut-être parti avant que cette base ne connaisse la réunion",
    "many_today": "il n’est pas parti : trop de confirmations étaient dues ce jour-là",
    "error": "une erreur inattendue",
}
BOUNCES = {"lost": "revenu", "delayed": "retardé"}
# What the code in a report means, without its first digit, which says how final it is.
# https://www.rfc-editor.org/rfc/rfc3463
_BOUNCE_CODES = {
    "1.2": "le domaine de l’adresse n’existe pas",
    "1.": "l’adresse n’existe pas",
    "2.1": "la boîte aux lettres est fermée",
    "2.2": "la boîte aux lettres est pleine",
    "4.4": "le domaine de l’adresse n’existe pas",
    "4.": "le serveur du destinataire ne répond pas",
    "7.": "un filtre du destinataire l’a refusé",
}
# What somebody has to do: nothing, nothing yet, something.
DONE, ITSELF, NEEDED = "fait", "se réglera seul", "à vous d’agir"


def bounce_reason(status: str | None) -> str:
    """Why a letter came back or is delayed, from the code of the report (`5.1.1`)."""
    rest = (status or "").partition(".")[2]
    exact = _BOUNCE_CODES.get(rest)
    loose = _BOUNCE_CODES.get(f"{rest.partition('.')[0]}.")
    return exact or loose or "le serveur du destinataire ne l’a pas remis"


def letter_kind(kind: str) -> str:
    """`Confirmation`, `Rappel à 7 jours` … for a letter's kind."""
    days = reminder_days(kind)
    if days is not None:
        return f"Rappel à {days}\u00a0jour{'s' if days > 1 else ''}"
    return {
        "confirmation": "Confirmation",
        "moved": "Déplacement",
        "cancelled": "Annulation",
        "withdrawn": "Désinscription",
    }.get(kind, kind)
