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
# What somebody has to do: nothing, nothing yet, something.
DONE, ITSELF, NEEDED = "fait", "se réglera seul", "à vous d’agir"


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
