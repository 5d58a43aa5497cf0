"""What each kind of journal line is in French, and which of three words it gets.

The journal's own messages are for the terminal, in English, and nothing here reads them: a sentence
is made of the kind and of the figures that the line holds. A test walks the code and fails when a
kind has no words here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from resonance_zoom.campaign import Campaign
from resonance_zoom.mail import french
from resonance_zoom.store.journal import ERROR, WARNING
from resonance_zoom.web.staff.facts import Figures
from resonance_zoom.web.words import DONE, ITSELF, NEEDED

FAMILIES = {
    "webhooks": "Annonces de Zoom",
    "sync": "Synchronisation",
    "zoom": "Appels à Zoom",
    "letters": "Courriers",
    "meetings": "Réunions",
    "staff": "Équipe",
    "service": "Service",
}
TONES = {DONE: "good", ITSELF: "wait", NEEDED: "bad"}
# An unknown kind is sorted by what stands before its full stop.
_PREFIXES = {
    "webhook": "webhooks",
    "registration": "webhooks",
    "sweep": "sync",
    "zoom": "zoom",
    "letter": "letters",
    "letters": "letters",
    "mail": "letters",
    "mailbox": "letters",
    "meeting": "meetings",
    "campaign": "meetings",
    "staff": "staff",
}
# Zoom's answers after which the same call will not do better by itself.
_OURS_TO_MEND = frozenset({400, 401, 403})


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A line as the journal holds it."""

    kind: str
    level: str
    data: Mapping[str, Any]


Verdict = Callable[[Occurrence], str]


@dataclass(frozen=True, slots=True)
class Words:
    """A kind of line. In `sentence` and `then` {name} is a figure as `facts` says it, and
    {name:one|many} counts it; of several sentences the first whose figures are all there is said.

    `then`: what happens next or what to do (with `unless_done`, only while it is not done);
    `verdict` None: as the level says.
    """

    sentence: tuple[str, ...]
    then: str = ""
    verdict: str | Verdict | None = None
    family: str = ""
    unless_done: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """A line in French. `known` False: nobody has words for this kind; show the stored message."""

    sentence: str
    verdict: str
    then: str
    known: bool

    @property
    def tone(self) -> str:
        """The colour of the verdict's badge."""
        return TONES[self.verdict]


def say(occurrence: Occurrence, campaign: Campaign) -> Said:
    """The French of one line, whatever the journal holds."""
    words = WORDS.get(occurrence.kind)
    if words is None:
        return Said(_typeset("Le service a noté :"), _by_level(occurrence), "", known=False)
    figures = Figures(occurrence.data, campaign)
    verdict = words.verdict(occurrence) if callable(words.verdict) else words.verdict
    verdict = verdict or _by_level(occurrence)
    then = "" if words.unless_done and verdict == DONE else _filled(words.then, figures) or ""
    return Said(
        next(filter(None, (_filled(text, figures) for text in words.sentence)), ""),
        verdict,
        then,
        known=True,
    )


def family_of(kind: str) -> str:
    """The name in FAMILIES that a kind belongs to."""
    known = WORDS.get(kind)
    prefix = kind.partition(".")[0]
    return (known.family if known else "") or _PREFIXES.get(prefix, "service")


def _filled(text: str, figures: Figures) -> str | None:
    """The sentence with its figures; None when one is not there."""
    try:
        return text.format_map(figures)
    except KeyError:
        return None


def _by_level(occurrence: Occurrence) -> str:
    return {ERROR: NEEDED, WARNING: ITSELF}.get(occurrence.level, DONE)


def _call(occurrence: Occurrence) -> str:
    """A call that failed is repeated, but for what Zoom will refuse again."""
    if occurrence.level not in {WARNING, ERROR}:
        return DONE
    return NEEDED if occurrence.data.get("status") in _OURS_TO_MEND else ITSELF


def _if_late(occurrence: Occurrence) -> str:
    """Nobody but a person can make good what came too late."""
    return NEEDED if occurrence.data.get("reason") == "too_late" else DONE


def _if_pending(occurrence: Occurrence) -> str:
    """A registration that waits for approval waits for somebody."""
    return NEEDED if occurrence.data.get("after") == "pending" else DONE


def _if_absent(occurrence: Occurrence) -> str:
    """Who lacks in one list is looked for in the next."""
    return ITSELF if occurrence.data.get("absent") else DONE


def _words(
    *sentence: str,
    then: str = "",
    verdict: str | Verdict | None = None,
    family: str = "",
    unless_done: bool = False,
) -> Words:
    return Words(tuple(map(_typeset, sentence)), _typeset(then), verdict, family, unless_done)


def _typeset(text: str) -> str:
    return french.for_page(french.typeset(text)).replace("n° ", "n°\u00a0")


_LATER = "Le service réessaie de lui-même ; il n’y a rien à faire."
_WRITTEN = (
    "Réglez ce que dit le message ci-dessus (il vient de Zoom), puis relisez Zoom depuis la vue"
    " d’ensemble."
)
_ON_ZOOM = "Ouvrez les réunions : la page dit ce qui diffère et ce qu’il faut faire."
_BY_HAND = "Prévenez ces personnes par un autre moyen, par téléphone par exemple."

WORDS: Mapping[str, Words] = {
    # ---- what Zoom tells us, and what its lists show
    "registration.created": _words(
        "Zoom annonce une inscription ({before} → {after}).",
        "Zoom annonce une inscription ({after}).",
        "Zoom annonce une inscription.",
        then="Une inscription en attente s’approuve sur zoom.us ; la confirmation part aussitôt"
        " après.",
        verdict=_if_pending,
        unless_done=True,
    ),
    "registration.approved": _words("Zoom annonce qu’une inscription est approuvée."),
    "registration.cancelled": _words("Zoom annonce une désinscription."),
    "registration.denied": _words("Zoom annonce qu’une inscription est refusée."),
    "registration.withdrawn": _words("La place est rendue.", family="staff"),
    "registration.listed": _words(
        "La liste de Zoom a réparé une inscription ({before} → {after}).",
        "La liste de Zoom a révélé une inscription ({after}).",
        "La liste de Zoom a révélé une inscription.",
        then="L’annonce de Zoom s’était perdue ; la relecture y a remédié.",
        verdict=_if_pending,
        family="sync",
    ),
    "registration.unlisted": _words(
        "Deux listes de Zoom de suite n’ont plus cette personne : elle est désinscrite.",
        verdict=DONE,
        family="sync",
    ),
    "registration.ignored": _words(
        "Zoom nomme encore une personne dont les données ont été effacées : rien n’en est gardé.",
        verdict=DONE,
    ),
    "webhook.received": _words(
        "Zoom annonce : {event}.",
        "Zoom a envoyé une annonce.",
        then="Ce qui concerne la campagne est relu sur Zoom ; le reste est laissé de côté.",
    ),
    "webhook.challenge": _words(
        "Zoom a vérifié notre adresse, comme il le fait tous les trois jours."
    ),
    "webhook.challenges_refused": _words(
        "Plus de dix vérifications de notre adresse en une minute : les autres sont refusées.",
        then="Si personne de l’équipe n’a pressé « Validate » sur Zoom, quelqu’un d’autre connaît"
        " le secret des annonces, ou rejoue un appel : changez le secret sur Zoom.",
        verdict=NEEDED,
    ),
    # ---- sweeps
    "sweep.done": _words(
        "Liste de Zoom relue : {listed:inscrit|inscrits}, rien à réparer.", "Liste de Zoom relue."
    ),
    "sweep.repaired": _words(
        "Liste de Zoom relue : {listed:inscrit|inscrits}, {repaired:réparé|réparés},"
        " {gone:disparu|disparus}, {absent:absent|absents}.",
        "Liste de Zoom relue et réparée.",
        then="Qui manque dans une liste est cherché dans la suivante ; deux absences de suite"
        " valent désinscription.",
        verdict=_if_absent,
        unless_done=True,
    ),
    "sweep.failed": _words(
        "La liste d’inscrits de Zoom n’a pas pu être lue jusqu’au bout.",
        then="Rien n’en a été conclu ; la liste est relue dans les dix minutes. Si cela dure,"
        " vérifiez les droits de l’application sur Zoom.",
        verdict=_call,
    ),
    "sweep.many_gone": _words(
        "{gone:inscrit a|inscrits ont} disparu des listes de Zoom, sur {active}.",
        "Beaucoup d’inscrits ont disparu des listes de Zoom.",
        then="Rien n’est conclu avant un accord : regardez sur zoom.us si c’est voulu, puis"
        " demandez à qui tient le service d’agréer la disparition (commande sync --agree-gone).",
    ),
    "zoom.call": _words(
        "Demande à Zoom : {operation} (réponse {status}).",
        "Demande à Zoom : {operation}.",
        "Demande à Zoom.",
        then="Un appel qui échoue faute de réponse est répété ; un refus demande de corriger les"
        " droits ou les réglages sur Zoom.",
        verdict=_call,
        unless_done=True,
    ),
    # ---- letters
    "letter.sent": _words("Courrier envoyé : {letter_kind}.", "Courrier envoyé."),
    "letter.deferred": _words(
        "Courrier remis à plus tard ({letter_kind}) : nouvel essai {again_at}.",
        "Courrier remis à plus tard.",
        then=_LATER,
    ),
    "letter.waits": _words(
        "Courrier en attente ({letter_kind}) : {reason}.",
        "Courrier en attente : {letter_kind}.",
        "Courrier en attente.",
        then="Il part dès que ce qu’il attend est là.",
    ),
    "letter.dropped": _words(
        "Courrier écarté ({letter_kind}) : {reason}.",
        "Courrier écarté.",
        then="S’il le faut, un courrier écarté peut être renvoyé tant que la réunion n’est pas"
        " passée.",
        verdict=_if_late,
    ),
    "letter.in_doubt": _words(
        "Réponse du serveur de courrier perdue : on ne sait pas si ce courrier est parti"
        " ({letter_kind}).",
        "On ne sait pas si ce courrier est parti.",
        then="La ligne suivante dit ce que le service en a fait.",
        verdict=ITSELF,
    ),
    "letter.doubt_settled": _words(
        "Courrier incertain ({letter_kind}) : voir ce que le service en fait.",
        "Courrier incertain : voir ce que le service en fait.",
        then="Une confirmation ou un dernier rappel repart une fois, sous le même identifiant. Les"
        " autres courriers attendent l’équipe : renvoyez-le, ou laissez-le.",
    ),
    "letter.failed": _words(
        "Courrier non parti ({letter_kind}) : {reason}.",
        "Courrier non parti.",
        then="Lisez la réponse du serveur, corrigez l’adresse s’il le faut, puis renvoyez le"
        " courrier.",
    ),
    "letter.bounced": _words(
        "Courrier revenu ({letter_kind}) : {bounce_status}.",
        "Courrier revenu : {letter_kind}.",
        "Courrier revenu.",
        then="Appelez la personne : corrigez son adresse, ou renvoyez le courrier quand sa boîte"
        " peut le recevoir.",
    ),
    "letter.delayed": _words(
        "Courrier retardé en chemin ({letter_kind}) : {bounce_status}.",
        "Courrier retardé en chemin : {letter_kind}.",
        "Courrier retardé en chemin.",
        then="Un serveur sur le chemin réessaie pendant quelques jours ; s’il renonce, une autre"
        " ligne le dit.",
    ),
    "letters.slow": _words(
        "{letters:courrier est|courriers sont} à envoyer ({letter_kind}) ; au rythme demandé, le"
        " dernier partirait trop tard : {ends_at}.",
        "Au rythme demandé, les derniers courriers partiraient trop tard.",
        then="Augmentez letters_per_minute dans le fichier de campagne, ou retirez-le : le service"
        " le relit de lui-même.",
    ),
    "letters.owed": _words(
        "{letters:courrier est|courriers sont} à envoyer : {letter_kind} ; fin prévue {ends_at}.",
        "{letters:courrier est|courriers sont} à envoyer : {letter_kind}.",
        "Des courriers sont à envoyer.",
        then="Ils partent l’un après l’autre ; chacun laisse une ligne.",
    ),
    "letters.held": _words(
        "{letters:courrier est retenu|courriers sont retenus} : {reason}.",
        "Des courriers sont retenus : ils sont peut-être déjà partis.",
        then="Voyez-les sous « incertains », renvoyez ou écartez chacun ; ou demandez à qui tient"
        " le service d’en décider pour tous (commande held).",
    ),
    "letters.many_today": _words(
        "Plus de {limit} confirmations en un jour : les suivantes sont retenues.",
        "Trop de confirmations en un jour : les suivantes sont retenues.",
        then="Regardez qui s’est inscrit. De vraies personnes : demandez à qui tient le service de"
        " laisser partir ces courriers (commande held). Sinon, désinscrivez-les sur zoom.us.",
    ),
    "letters.dropped": _words(
        "{letters:courrier n’a|courriers n’ont} pas pu partir à temps : {letter_kind}.",
        "Des courriers n’ont pas pu partir à temps.",
        then=_BY_HAND,
        verdict=NEEDED,
    ),
    "mail.unreachable": _words(
        "Le serveur de courrier ne répond pas (échec n° {failures}) : nouvel essai {again_at}.",
        "Le serveur de courrier ne répond pas.",
        then="Les courriers attendent et partiront tous. Si cela dure, appelez qui tient le serveur"
        " de courrier.",
    ),
    "mail.reachable": _words("Le serveur de courrier répond de nouveau."),
    "mailbox.unreadable": _words(
        "La boîte aux lettres des retours ne peut pas être lue.",
        then="Les courriers partent, mais ceux qui reviennent ne sont pas vus. Prévenez qui tient"
        " le service : la commande « resonance-zoom check » dit ce qui manque.",
    ),
    "mailbox.readable": _words("La boîte aux lettres des retours est de nouveau lue."),
    # ---- meetings and the file
    "meeting.created": _words(
        "Réunion créée sur Zoom (n° {zoom_meeting_id}).", "Réunion créée sur Zoom."
    ),
    "meeting.adopted": _words(
        "Réunion retrouvée sur Zoom et reprise (n° {zoom_meeting_id}).",
        "Réunion retrouvée sur Zoom et reprise.",
    ),
    "meeting.changed": _words(
        "Réunion modifiée sur Zoom, comme le veut le fichier : {changes}.",
        "Réunion modifiée sur Zoom, comme le veut le fichier.",
    ),
    "meeting.found": _words("La réunion est de nouveau là sur Zoom."),
    "meeting.moved": _words(
        "Réunion déplacée au {start} ; {told:personne est prévenue|personnes sont prévenues}.",
        "Réunion déplacée.",
        then="Les rappels suivent la nouvelle date.",
        verdict=DONE,
    ),
    "meeting.create_waits": _words(
        "Zoom a peut-être déjà créé cette réunion sans la montrer encore : nouvel essai {acts_at}.",
        "Zoom a peut-être déjà créé cette réunion sans la montrer encore.",
        then="Le service s’est arrêté, ou Zoom n’a pas répondu, pendant la création. Attendre un"
        " quart d’heure évite une seconde réunion.",
        verdict=ITSELF,
    ),
    "meeting.edit_seen": _words(
        "Changement vu dans le fichier ({edit}) : appliqué {acts_at}, s’il n’est pas corrigé d’ici"
        " là.",
        "Changement vu dans le fichier, appliqué dans dix minutes.",
        then="Dix minutes laissent le temps de corriger une faute de frappe ; ensuite Zoom est mis"
        " à jour et les inscrits sont prévenus.",
        verdict=ITSELF,
    ),
    "meeting.edited": _words(
        "Modifié à la main sur Zoom : {field} (le fichier veut {wanted}, Zoom a {held}).",
        "Modifié à la main sur Zoom : {field}.",
        "Modifié à la main sur Zoom.",
        then="Zoom est laissé tel quel. Mettez le fichier d’accord avec Zoom, ou l’inverse.",
        verdict=NEEDED,
    ),
    "meeting.cancelled": _words(
        "Réunion annulée dans le fichier ; {told:personne est prévenue|personnes sont prévenues}.",
        "Réunion annulée dans le fichier.",
        then="Supprimez-la aussi sur zoom.us, sinon on peut encore s’y inscrire.",
        verdict=NEEDED,
    ),
    "meeting.restored": _words(
        "La réunion annulée est de nouveau dans le fichier.",
        then="Prévenez ceux qui avaient reçu l’annulation : la page des courriers les montre.",
        verdict=NEEDED,
    ),
    "meeting.missing": _words("La réunion est introuvable sur Zoom.", then=_ON_ZOOM),
    "meeting.duplicate": _words(
        "La réunion existe en double sur Zoom.", then=_ON_ZOOM, verdict=NEEDED
    ),
    "meeting.problem": _words("La réunion n’est pas comme elle devrait être.", then=_ON_ZOOM),
    "meeting.failed": _words(
        "La réunion n’a pas pu être mise en accord avec le fichier (réponse {status} de Zoom).",
        "La réunion n’a pas pu être mise en accord avec le fichier.",
        then=_WRITTEN,
        verdict=_call,
    ),
    "campaign.reloaded": _words("Le fichier de campagne modifié est lu."),
    "campaign.refused": _words(
        "Le fichier de campagne modifié contient des erreurs ; l’ancien reste en vigueur.",
        then="Corrigez le fichier : il est relu chaque minute.",
    ),
    # ---- staff
    "staff.sign_in": _words(
        "{by} entre dans les pages de l’équipe ({role}).", "Entrée de l’équipe."
    ),
    "staff.sign_out": _words("{by} sort des pages de l’équipe.", "Sortie de l’équipe."),
    "staff.sign_in_refused": _words(
        "Entrée refusée : le lien de {by} avait déjà servi.",
        "Entrée refusée : lien déjà utilisé.",
        verdict=DONE,
    ),
    "staff.sign_everybody_out": _words(
        "{by} ferme toutes les sessions de l’équipe ({sessions}) et retire les liens qui n’ont pas"
        " servi.",
        "Toutes les sessions de l’équipe sont fermées.",
    ),
    "staff.link_refused": _words(
        "Entrée refusée : {refused:lien trop ancien, incomplet ou inventé|liens trop anciens,"
        " incomplets ou inventés}.",
        "Entrée refusée.",
        verdict=DONE,
    ),
    "staff.door_shut": _words(
        "Trop de liens refusés d’un même endroit : il attend un quart d’heure.", verdict=DONE
    ),
    "staff.not_allowed": _words(
        "Action refusée à {by}, qui ne peut que lire.", "Action refusée.", verdict=DONE
    ),
    "staff.invite": _words("{by} a fait un lien d’entrée.", "Un lien d’entrée est fait."),
    "staff.export": _words(
        "{by} a exporté la liste des inscrits.", "La liste des inscrits est exportée."
    ),
    "staff.sync": _words("{by} fait relire Zoom.", "L’équipe fait relire Zoom."),
    "staff.resend": _words(
        "{by} renvoie un courrier : {letter_kind}.",
        "{by} renvoie un courrier.",
        "Un courrier est renvoyé.",
    ),
    "staff.drop": _words(
        "{by} écarte un courrier : {letter_kind}.",
        "{by} écarte un courrier.",
        "Un courrier est écarté.",
    ),
    "staff.cancel": _words("Place rendue par {by}.", "Place rendue."),
    "staff.correct_address": _words(
        "{by} corrige une adresse : l’inscription est refaite.", "Une adresse est corrigée."
    ),
    "staff.erase": _words("{by} efface les données d’une personne.", "Données effacées."),
    "staff.purge": _words(
        "Toutes les données personnelles sont effacées ; il ne reste que des nombres."
    ),
    "staff.close": _words(
        "{by} clôt la campagne : toutes les données sont effacées, ici et sur Zoom.",
        "La campagne est close : toutes les données sont effacées, ici et sur Zoom.",
    ),
    "staff.breach_report": _words(
        "{by} établit un rapport de violation de données.", "Un rapport de violation est établi."
    ),
    "staff.backup": _words("{by} fait une sauvegarde.", "Une sauvegarde est faite."),
    "staff.restore": _words(
        "{by} rétablit une sauvegarde : {letters:courrier est retenu|courriers sont retenus}.",
        "Une sauvegarde est rétablie.",
        then="Les courriers peut-être déjà partis attendent une décision : voyez-les sous"
        " « incertains ».",
        verdict=NEEDED,
    ),
    "staff.release": _words(
        "{by} laisse partir {letters:courrier retenu|courriers retenus}.",
        "Des courriers retenus partent.",
    ),
    "staff.drop_held": _words(
        "{by} écarte {letters:courrier retenu|courriers retenus}.",
        "Des courriers retenus sont écartés.",
    ),
    "staff.pause": _words(
        "{by} suspend tous les envois.",
        "Tous les envois sont suspendus.",
        then="Plus aucun courrier ne part jusqu’à la reprise, sur la page des courriers.",
    ),
    "staff.resume": _words("{by} reprend les envois.", "Les envois reprennent."),
    # ---- the service itself
    "service.started": _words(
        "Le service démarre ; il était arrêté depuis le {down_from}.", "Le service démarre."
    ),
    "service.behind": _words(
        "Il manque des corrections de sécurité à Python ou à OpenSSL, dont le service est fait.",
        then="Prévenez qui tient le service : la machine est à mettre à jour.",
        verdict=NEEDED,
    ),
    "service.stopped": _words("Le service s’arrête."),
    "backup.made": _words("La base est sauvegardée."),
    "backup.failed": _words(
        "La base n’a pas pu être sauvegardée.",
        then="Souvent le disque est plein ; le service réessaie toutes les heures.",
    ),
    "disk.low": _words(
        "Le disque de la machine est presque plein.",
        then="Faites de la place : quand il est plein, plus rien n’est enregistré.",
    ),
    "disk.enough": _words("Le disque de la machine a de nouveau de la place."),
    "clock.held": _words(
        "L’horloge de la machine est douteuse : tous les courriers sont retenus.",
        then="Faites régler l’horloge de la machine ; les courriers repartent d’eux-mêmes ensuite.",
    ),
    "clock.released": _words("L’horloge est de nouveau sûre : les courriers repartent."),
}
