"""The report after a breach as the organiser's data protection officer reads it: in French."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from resonance_zoom.campaign import Campaign
from resonance_zoom.mail import french
from resonance_zoom.printing import readable

TO_COMPLETE = "« à compléter »"
Facts = Mapping[str, Any]

_WHAT_NEXT = (
    "Garder des preuves avant de réparer : copier la base, son journal (-wal) et les journaux de la"
    " machine sur un autre support.",
    "Fermer la brèche : « resonance-zoom pause » arrête les envois ; « resonance-zoom sign-out »"
    " ferme les sessions de l’équipe et retire ses liens ; une nouvelle SECRET_KEY rend inutiles"
    " tous les liens de cette adresse, ceux des inscrits aussi ; changer chez Zoom le secret de"
    " l’application, et le mot de passe du serveur de courrier.",
    "Notifier la violation à la CNIL avant l’échéance ci-dessus, sauf si elle n’engendre"
    " vraisemblablement aucun risque pour les personnes (RGPD, article 33) :"
    " https://www.cnil.fr/fr/notifier-une-violation-de-donnees-personnelles. Ce qui manque encore"
    " peut suivre dans une notification complémentaire ; après l’échéance, dire pourquoi.",
    "Si le risque est élevé, prévenir les personnes elles-mêmes, sans tarder et en termes simples"
    " (article 34). Leur liste : « resonance-zoom breach-report --output personnes.csv ».",
    "Consigner la violation, ses effets et les mesures prises dans le registre interne, même sans"
    " notification (article 33, paragraphe 5).",
)


def lines(facts: Facts, campaign: Campaign) -> Iterator[str]:
    """The report, line by line, in local time."""
    for line in _lines(facts, campaign):
        yield french.typeset(line)


def _lines(facts: Facts, campaign: Campaign) -> Iterator[str]:
    controller = campaign.notices.controller or campaign.organiser.name
    contact = campaign.notices.contact or campaign.organiser.email
    yield f"RAPPORT DE VIOLATION DE DONNÉES PERSONNELLES — {campaign.name}"
    yield ""
    yield f"Responsable du traitement : {controller}, {contact}"
    yield f"Établi le {_local(facts['made_at'], campaign)} ({french.zone_name(campaign.timezone)})"
    yield f"Période examinée : {_period(facts['period'], campaign)}"
    yield f"Violation constatée le {_local(facts['noticed_at'], campaign)}"
    yield f"ÉCHÉANCE DE 72 HEURES : {_local(facts['deadline'], campaign)} ({_left(facts)})"
    for heading, part in (
        ("PERSONNES CONCERNÉES", _persons(facts["persons"], campaign)),
        ("DONNÉES DÉTENUES", _held(facts)),
        ("L’ÉQUIPE PENDANT LA PÉRIODE", _staff(facts, campaign)),
        ("COPIES SUR CETTE MACHINE", _copies(facts, campaign)),
        ("À COMPLÉTER PAR LE RESPONSABLE", _to_complete()),
        ("ET MAINTENANT", (f"{n}. {step}" for n, step in enumerate(_WHAT_NEXT, 1))),
    ):
        yield ""
        yield heading
        yield from part


def _persons(persons: Facts, campaign: Campaign) -> Iterator[str]:
    yield f"{persons['count']} personnes, {persons['registrations']} inscriptions :"
    for slug, count in persons["by_focus_group"].items():
        group = campaign.focus_group(slug)
        yield f"- {group.title if group else slug} : {count}"
    if erased := persons["erased_registrations"]:
        yield f"S’y ajoutent {erased} inscriptions effacées pendant la période, sans nom désormais."
    yield "Ce sont toutes les personnes dont les données étaient ici ; qui n’est pas nommé ici peut"
    yield "l’être encore dans une sauvegarde plus ancienne, ou chez Zoom."


def _held(facts: Facts) -> Iterator[str]:
    for table in facts["held"]:
        if not table["rows"]:
            continue
        said = [one["means"] for one in table["columns"] if one["rows"]]
        yield f"- {table['about']} ({', '.join(table['of'])} ; {table['rows']} lignes) :"
        yield f"  {' ; '.join(said)}"
    if facts["not_described"]:
        yield f"{TO_COMPLETE} : {', '.join(facts['not_described'])}"


def _staff(facts: Facts, campaign: Campaign) -> Iterator[str]:
    staff, acts = facts["staff"], facts["acts"]
    yield f"Entrées dans les pages de l’équipe : {len(staff['sign_ins'])}"
    for one in staff["sign_ins"]:
        how = "refusée, lien déjà utilisé" if one["refused"] else one["role"]
        yield f"- {_local(one['at'], campaign)} : {readable(one['who'])} ({how})"
    yield f"Listes exportées depuis ces pages : {len(staff['exports'])}"
    for one in staff["exports"]:
        group = one["focus_group"] or "toutes les rencontres"
        yield (
            f"- {_local(one['at'], campaign)} : {readable(one['who'])}, {one['rows']} inscriptions,"
            f" {one['format']}, {group}"
        )
    yield "Les listes lues en ligne de commande n’y figurent pas : voir les journaux de la machine."
    for kind, count in staff["other_acts"].items():
        yield f"- {kind} : {count}"
    if acts["problems"]:
        yield f"LE JOURNAL A ÉTÉ MODIFIÉ hors du service : {' ; '.join(acts['problems'])}"
    else:
        yield f"Le journal des actes est intact : {acts['count']} actes, tête {acts['head']}"


def _copies(facts: Facts, campaign: Campaign) -> Iterator[str]:
    copies = [*facts["backups"], *facts["copies_beside"]]
    yield f"Sauvegardes et copies de la base : {len(copies)}"
    for copy in copies:
        made = _local(copy["made_at"], campaign)
        yield f"- {readable(copy['file'])} : {made}, {copy['bytes']} octets"
    if facts["kept_letters"]:
        yield f"Courriers entiers gardés dans le dossier mail : {facts['kept_letters']}"


def _to_complete() -> Iterator[str]:
    for what in (
        "nature de la violation (confidentialité, intégrité, disponibilité) et circonstances",
        "conséquences probables pour les personnes",
        "mesures prises ou envisagées",
        "délégué à la protection des données, ou point de contact",
    ):
        yield f"- {what} : {TO_COMPLETE}"


def _period(period: Facts, campaign: Campaign) -> str:
    until = _local(period["until"], campaign)
    if period["since"] is None:
        return f"du début de la campagne au {until}"
    return f"du {_local(period['since'], campaign)} au {until}"


def _left(facts: Facts) -> str:
    hours = facts["hours_left"]
    return f"reste {hours} h" if hours >= 0 else "DÉPASSÉE : notifier quand même, et dire pourquoi"


def _local(moment: str, campaign: Campaign) -> str:
    return french.date_hour(datetime.fromisoformat(moment), campaign.timezone)
