"""The record of processing that article 30 of the GDPR asks for, from what is really configured.

What only the controller can know stands there as « à compléter ». Sentences are French, as the
record is shown to French authorities.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection

from resonance_zoom import backups, privacy
from resonance_zoom.campaign import Campaign
from resonance_zoom.doctor import permissions
from resonance_zoom.links import ROLES
from resonance_zoom.mail import french
from resonance_zoom.mail.addresses import is_this_machine
from resonance_zoom.settings import Settings
from resonance_zoom.store import held, sessions
from resonance_zoom.web import words

TO_COMPLETE = "« à compléter »"


@dataclass(frozen=True, slots=True)
class Here:
    """What the record is made from; `connection` is None before the first run.

    `technical` and `runs`: for how long technical lines and runs of jobs are kept.
    """

    settings: Settings
    campaign: Campaign
    connection: Connection | None
    technical: timedelta
    runs: timedelta


def record(here: Here) -> dict[str, Any]:
    """Every heading of article 30; lists of sentences, and `data` by table and column."""
    campaign, notices = here.campaign, here.campaign.notices
    return {
        "processing": f"{campaign.name} ({campaign.slug})",
        "controller": list(_controller(campaign)),
        "purposes": [
            notices.purpose
            or "Organiser des rencontres en ligne : inscrire les personnes, leur envoyer leur lien"
            " personnel et les rappels.",
            f"Rencontres : {', '.join(group.title for group in campaign.focus_groups)}.",
        ],
        "legal_basis": [notices.basis or "Consentement, donné en s’inscrivant (article 6.1.a)."],
        "persons": [
            f"Les {held.REGISTRANTS} aux rencontres.",
            f"Les {held.STAFF} d’organisation qui ouvrent les pages réservées ou tapent des"
            " commandes.",
        ],
        "data": _data(),
        "recipients": list(_recipients(here)),
        "transfers": list(_transfers(here)),
        "retention": list(_retention(here)),
        "security": list(_security(here)),
    }


def _controller(campaign: Campaign) -> Iterator[str]:
    organiser, notices = campaign.organiser, campaign.notices
    yield f"Responsable du traitement : {notices.controller or organiser.name}."
    yield f"Contact : {notices.contact or organiser.email}."
    if organiser.phone:
        yield f"Téléphone : {organiser.phone}."
    yield f"Adresse postale, représentant légal : {TO_COMPLETE}."
    yield f"Délégué à la protection des données : {TO_COMPLETE}."


def _data() -> list[dict[str, Any]]:
    described: list[dict[str, Any]] = [
        {
            "table": name,
            "about": holding.about,
            "of": list(holding.whom),
            "columns": dict(holding.columns),
        }
        for name, holding in held.HELD.items()
    ]
    if unknown := held.undescribed():
        columns = dict.fromkeys(unknown, TO_COMPLETE)
        described.append({"table": "*", "about": "Non décrites", "of": [], "columns": columns})
    return described


def _recipients(here: Here) -> Iterator[str]:
    if here.campaign.notices.recipients:
        yield here.campaign.notices.recipients
    yield "L’équipe d’organisation, par les pages réservées et les commandes."
    yield (
        "Zoom, sous-traitant : inscription, visioconférence, annonce des inscriptions"
        f" (API : {_host(here.settings.zoom_api_url)}). Chez Zoom, l’organisateur des réunions est"
        f" le compte {here.campaign.zoom_host}."
    )
    relay = _relay(here.settings)
    if relay is None:
        yield "Aucun serveur de courrier : les courriers restent dans un dossier de la machine."
    elif is_this_machine(relay):
        yield f"Le serveur de courrier de la machine elle-même ({relay}) et ceux des destinataires."
    else:
        yield f"Le serveur de courrier {relay}, sous-traitant, et ceux des destinataires."
    yield (
        "Hébergement : la machine qui fait tourner le service"
        f" ({here.campaign.notices.host or f'hébergeur : {TO_COMPLETE}'})."
    )


def _transfers(here: Here) -> Iterator[str]:
    yield (
        "Zoom est établi aux États-Unis et peut y traiter nom, adresse électronique, date"
        " d’inscription et données de connexion des personnes."
    )
    yield (
        "Garantie du transfert (décision d’adéquation à laquelle Zoom adhère, clauses"
        f" contractuelles types) et région des données choisie dans le compte : {TO_COMPLETE}."
    )
    relay = _relay(here.settings)
    if relay is not None and not is_this_machine(relay):
        yield f"Pays du serveur de courrier {relay}, et garantie s’il est hors UE : {TO_COMPLETE}."


def _retention(here: Here) -> Iterator[str]:
    campaign = here.campaign
    end = campaign.keep_until
    if here.connection is not None:
        end = privacy.kept_until(here.connection, campaign)
    day = french.calendar_day(end)
    yield (
        f"Personnes inscrites : effacées le {day}, {_days(campaign.keep_days_after_last)} après la"
        " dernière rencontre, par le service lui-même, avec toutes les sauvegardes ; plus tôt sur"
        " demande. Restent des nombres."
    )
    yield (
        f"Sauvegardes : une par jour, les {backups.KEEP} dernières ; une personne effacée y figure"
        " jusque-là."
    )
    yield f"Lignes techniques du journal : {_days(here.technical.days)}."
    yield f"Exécutions des tâches : {_days(here.runs.days)}."
    yield (
        "Journal et actes de l’équipe, avec le nom de qui a agi : tant que la base existe ; durée"
        f" décidée par le responsable : {TO_COMPLETE}."
    )
    yield (
        f"Connexions de l’équipe : fermées après {_minutes(sessions.IDLE)} sans activité, ou après"
        f" {sessions.LONGEST // timedelta(hours=1)} heures."
    )
    yield "Empreintes des adresses effacées : jusqu’à l’effacement de toutes les données."
    yield f"Chez Zoom et sur le serveur de courrier : {TO_COMPLETE}."


def _security(here: Here) -> Iterator[str]:
    settings = here.settings
    yield _mail_way(settings)
    if settings.bounces_url:
        yield (
            f"Courriers revenus : lus dans la boîte {_host(settings.bounces_url)}, sans rien y"
            " changer ; seuls les messages qui sont des rapports de non-remise sont ouverts."
        )
    yield _page_way(settings)
    if settings.webhooks:
        yield "Annonces de Zoom : signées et vérifiées (HMAC-SHA256) ; les autres sont refusées."
    else:
        yield "Aucune annonce de Zoom n’est reçue (WEBHOOKS=off) ; ses listes sont relues."
    if doors := permissions.open_doors(settings):
        paths = ", ".join(str(path) for path, _mode in doors)
        yield f"FICHIERS OUVERTS À D’AUTRES sur cette machine, à fermer : {paths}."
    else:
        yield (
            "Base, sauvegardes et fichiers de secrets : lisibles du seul utilisateur du service"
            " (600, dossiers 700), sinon il refuse de démarrer."
        )
    yield _deleting(here.connection)
    roles = ", ".join(words.ROLES[role] for role in ROLES)
    yield f"Pages de l’équipe : liens personnels à usage unique, deux droits ({roles})."
    yield "Actes de l’équipe : au journal avec leur auteur, enchaînés par empreintes."
    yield "Une personne effacée ne revient ni par Zoom ni par une sauvegarde (empreinte à clé)."
    yield f"Chiffrement du disque de la machine et des copies emportées : {TO_COMPLETE}."


def _mail_way(settings: Settings) -> str:
    relay = _relay(settings)
    if relay is None:
        return "Courrier : rien n’est envoyé (SMTP_URL n’est pas réglé)."
    if urlsplit(settings.smtp_url or "").scheme == "smtps":
        return f"Courrier vers {relay} : TLS dès la connexion, certificat vérifié."
    if is_this_machine(relay):
        return f"Courrier vers {relay} : en clair, sans quitter la machine."
    return f"Courrier vers {relay} : STARTTLS exigé, certificat vérifié ; rien ne part en clair."


def _page_way(settings: Settings) -> str:
    if settings.public_url.startswith("https://"):
        return f"Pages ({_host(settings.public_url)}) : HTTPS."
    return f"Pages ({_host(settings.public_url)}) : sans HTTPS, sur cette machine seulement."


def _deleting(connection: Connection | None) -> str:
    if connection is None:
        return "Base : pas encore créée."
    if connection.dialect.name != "sqlite":
        return (
            f"Base : un serveur {connection.dialect.name} ; ses fichiers et copies : {TO_COMPLETE}."
        )
    if connection.exec_driver_sql("PRAGMA secure_delete").scalar() == 1:
        return "Base : ce qui est effacé est écrasé par des zéros (secure_delete)."
    return "Base : CE QUI EST EFFACÉ N’EST PAS ÉCRASÉ (secure_delete est éteint)."


def _relay(settings: Settings) -> str | None:
    return _host(settings.smtp_url) if settings.smtp_url else None


def _host(url: str) -> str:
    """The host of an address, without the credentials that may stand before it."""
    return urlsplit(url).hostname or ""


def _days(number: int) -> str:
    return f"{number} jour{'s' if number > 1 else ''}"


def _minutes(duration: timedelta) -> str:
    return f"{duration // timedelta(minutes=1)} minutes"


HEADINGS = {
    "controller": "Responsable",
    "purposes": "Finalités",
    "legal_basis": "Base légale",
    "persons": "Personnes concernées",
    "data": "Données",
    "recipients": "Destinataires",
    "transfers": "Transferts hors de l’Union européenne",
    "retention": "Durées de conservation",
    "security": "Mesures de sécurité",
}


def markdown(found: dict[str, Any]) -> Iterator[str]:
    """The record, line by line."""
    yield "# Registre des activités de traitement"
    yield ""
    yield french.typeset(f"Traitement : {found['processing']}")
    for key, heading in HEADINGS.items():
        yield ""
        yield f"## {heading}"
        yield ""
        if key == "data":
            yield from _tables(found["data"])
            continue
        for sentence in found[key]:
            yield french.typeset(f"- {' '.join(sentence.split())}")


def _tables(tables: list[dict[str, Any]]) -> Iterator[str]:
    for number, table in enumerate(tables):
        if number:
            yield ""
        whom = f" ({', '.join(table['of'])})" if table["of"] else ""
        yield f"### {table['about']}{whom}"
        yield ""
        yield "| donnée | colonne |"
        yield "|---|---|"
        for column, means in table["columns"].items():
            yield french.typeset(f"| {means} | `{table['table']}.{column}` |")
