"""What each column of the tables holds of people, in French: for the papers that the law asks for.

A column that comes later belongs here as well, into HELD or among the NOBODYS: until then the
papers name it as not described.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, String, cast, func, select

from resonance_zoom.store.tables import metadata

REGISTRANTS, STAFF = "personnes inscrites", "membres de l’équipe"


@dataclass(frozen=True, slots=True)
class Holding:
    """What a table says of whom: its columns in words."""

    about: str
    whom: tuple[str, ...]
    columns: dict[str, str]


HELD: dict[str, Holding] = {
    "registrants": Holding(
        "Inscriptions",
        (REGISTRANTS,),
        {
            "id": "numéro interne",
            "focus_group": "rencontre choisie",
            "email_folded": "adresse électronique, en minuscules",
            "email": "adresse électronique",
            "registrant_id": "numéro de la personne chez Zoom",
            "first_name": "prénom",
            "last_name": "nom",
            "status": "inscrite, en attente, refusée ou désinscrite",
            "join_url": "lien personnel vers la rencontre",
            "episode": "rang de l’inscription, après un retour",
            "registered_at": "date d’inscription",
            "approved_at": "date d’approbation",
            "decided_ts": "date de ce qui a décidé de l’état",
            "source": "comment l’inscription a été apprise",
            "absent_since": "depuis quand la personne manque dans la liste de Zoom",
            "sought": "nom et adresse, sans accents, pour la recherche",
        },
    ),
    "events": Holding(
        "Annonces de Zoom",
        (REGISTRANTS,),
        {
            "id": "numéro interne",
            "key": "empreinte de l’annonce",
            "event": "ce qui est arrivé",
            "source": "comment on l’a appris",
            "zoom_meeting_id": "numéro de la réunion chez Zoom",
            "focus_group": "rencontre choisie",
            "email_folded": "adresse électronique, en minuscules",
            "event_ts": "date donnée par Zoom",
            "received_at": "date de réception",
            "status": "état de l’inscription",
            "registrant_id": "numéro de la personne chez Zoom",
            "email": "adresse électronique",
            "first_name": "prénom",
            "last_name": "nom",
            "join_url": "lien personnel vers la rencontre",
            "create_time": "date d’inscription chez Zoom",
        },
    ),
    "letters": Holding(
        "Courriers",
        (REGISTRANTS,),
        {
            "id": "numéro interne",
            "registrant": "numéro interne de la personne",
            "focus_group": "rencontre choisie",
            "kind": "sorte de courrier",
            "occasion": "ce qui l’a motivé",
            "episode": "de quelle inscription",
            "start_at": "date de la rencontre",
            "due_at": "date d’envoi prévue",
            "worth_until": "jusqu’à quand il est utile",
            "state": "envoyé, à envoyer, écarté…",
            "ready_at": "date du prochain essai",
            "reason": "raison de l’état",
            "detail": "réponse du serveur de courrier, qui peut citer l’adresse",
            "attempts": "nombre d’essais",
            "recoveries": "nombre de reprises",
            "claimed_at": "date du dernier essai",
            "sent_at": "date d’envoi",
            "message_id": "identifiant du message",
            "created_at": "date de création",
            "bounce": "revenu ou retardé, selon un serveur de courrier",
            "bounced_at": "date à laquelle ce retour a été lu",
            "bounce_status": "code du serveur qui l’a rendu",
            "bounce_detail": "ce que ce serveur en a dit, sans adresse",
        },
    ),
    "journal": Holding(
        "Journal",
        (REGISTRANTS, STAFF),
        {
            "id": "numéro de la ligne",
            "at": "date",
            "level": "gravité",
            "kind": "ce qui est arrivé",
            "focus_group": "rencontre",
            "registrant": "numéro interne de la personne inscrite",
            "message": "la phrase, avec le nom de qui a agi",
            "data": "les chiffres, le nom de qui a agi, le numéro de la personne chez Zoom",
        },
    ),
    "sessions": Holding(
        "Connexions de l’équipe",
        (STAFF,),
        {
            "key": "empreinte du témoin de connexion",
            "name": "nom",
            "role": "droits",
            "csrf": "jeton des formulaires",
            "started_at": "début de la connexion",
            "seen_at": "dernière page vue",
            "said": "ce que le dernier acte a fait, qui peut nommer une personne inscrite",
        },
    ),
    "meta": Holding(
        "Réglages en cours",
        (STAFF,),
        {"key": "nom du réglage", "value": "sa valeur ; le nom de qui a suspendu les envois"},
    ),
    "tombstones": Holding(
        "Effacements faits",
        (REGISTRANTS,),
        {
            "digest": "empreinte à clé d’une adresse effacée",
            "key": "clé de cette empreinte",
            "erased_at": "date de l’effacement",
            "told_at": "date à laquelle Zoom nommait encore la personne",
        },
    ),
}

# Tables that say nothing of anybody, column by column.
NOBODYS: dict[str, frozenset[str]] = {
    "meetings": frozenset(
        {
            "focus_group",
            "reference",
            "state",
            "problem",
            "zoom_meeting_id",
            "topic",
            "start_at",
            "end_at",
            "registration_url",
            "applied",
            "held",
            "refused",
            "patched_at",
            "revision",
            "intended_at",
            "checked_at",
            "missing_since",
            "edit",
            "edited_at",
            "cancelled_at",
            "former_start",
            "former_end",
            "dial_in",
        }
    ),
    "runs": frozenset({"id", "job", "started_at", "seconds", "did", "error"}),
    "tallies": frozenset({"what", "focus_group", "one", "two", "number"}),
    "spent": frozenset({"token", "at"}),  # random words
    "staff_act_chain": frozenset({"entry", "what", "line", "salt", "content", "digest"}),
}


def undescribed() -> list[str]:
    """`table.column` of every column that stands neither in HELD nor among the NOBODYS."""
    return [
        f"{table.name}.{column.name}"
        for table in metadata.sorted_tables
        for column in table.columns
        if column.name not in _known(table.name)
    ]


def _known(table: str) -> frozenset[str]:
    if table in HELD:
        return frozenset(HELD[table].columns)
    return NOBODYS.get(table, frozenset())


def filled(connection: Connection) -> Iterator[dict[str, Any]]:
    """Each table that holds something of people: {"table", "about", "of", "rows", "columns"}.

    `columns`: {"column", "means", "rows"}, with how many rows say anything there.
    """
    for name, holding in HELD.items():
        table = metadata.tables[name]
        counts = [
            func.count(func.nullif(cast(table.c[column], String), "")) for column in holding.columns
        ]
        row = connection.execute(select(func.count(), *counts).select_from(table)).one()
        yield {
            "table": name,
            "about": holding.about,
            "of": list(holding.whom),
            "rows": row[0],
            "columns": [
                {"column": column, "means": means, "rows": rows}
                for (column, means), rows in zip(holding.columns.items(), row[1:], strict=True)
            ],
        }
