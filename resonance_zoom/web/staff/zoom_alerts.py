"""What is not as it should be on Zoom, or between Zoom and us: sentences in French."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from resonance_zoom import meetings
from resonance_zoom.campaign import Campaign, FocusGroup
from resonance_zoom.mail import french
from resonance_zoom.service import Service
from resonance_zoom.store.tables import events, journal, registrants
from resonance_zoom.store.tables import meetings as meetings_table
from resonance_zoom.web import words
from resonance_zoom.web.staff.alerts import MANY, Alert, Way
from resonance_zoom.web.staff.meetings import (
    BY_HAND,
    FIELDS,
    PAST,
    causes_of,
    state_of,
    title_of,
    waiting,
)

A_DAY = timedelta(days=1)
CHALLENGED_WITHIN = timedelta(hours=80)  # Zoom asks every 72 hours whether we know the secret
MANY_GONE, REPAIRED = "sweep.many_gone", "sweep.repaired"
DROPPED = ("letter.dropped", "letters.dropped")
_READINGS = ("sweep.done", "sweep.repaired")


def of_meetings(connection: Connection, campaign: Campaign, now: datetime) -> Iterator[Alert]:
    """Each meeting to come that needs a hand on Zoom, or is about to change."""
    rows: list[Any] = meetings.rows(connection)
    # What keeps letters back comes before what is only untidy.
    for row in sorted(
        rows, key=lambda row: (row.cancelled_at is not None, row.state == meetings.OPEN)
    ):
        group = campaign.focus_group(row.focus_group)
        if state_of(group, row, now) == PAST:
            continue
        name = title_of(row.focus_group, group, row)
        there = (f"/staff/meetings#{row.focus_group}", "Réunions")
        if row.cancelled_at is not None:
            to_come = row.end_at is None or row.end_at > now
            if to_come and not _is_gone(connection, row):
                yield _still_there(row, name, there)
            continue
        yield from [*_wrong(row, name, there)] or _by_hand(campaign, group, row, name, there)
        if waits := waiting(row, campaign, now):
            yield Alert(
                needs=False, sentence=f"« {name} » : {waits[0].lower()}{waits[1:]}", link=there
            )


def _still_there(row: Any, name: str, there: Way) -> Alert:
    return Alert(
        needs=True,
        sentence=f"« {name} » est annulée, mais sa réunion existe encore sur Zoom.",
        remedy=f"Supprimez la réunion {row.zoom_meeting_id} sur zoom.us, sinon on peut encore s’y"
        " inscrire.",
        link=there,
    )


def _is_gone(connection: Connection, row: Any) -> bool:
    """Whether a meeting that was called off was deleted: Zoom said so, or its list is not there."""
    if row.zoom_meeting_id is None or row.missing_since is not None:
        return True
    last: Any = connection.execute(
        select(journal.c.kind, journal.c.data)
        .where(
            journal.c.focus_group == row.focus_group,
            journal.c.kind.in_((*_READINGS, "sweep.failed")),
        )
        .order_by(journal.c.id.desc())
        .limit(1)
    ).first()
    return last is not None and last.kind == "sweep.failed" and last.data.get("status") == 404


def _wrong(row: Any, name: str, there: Way) -> Iterator[Alert]:
    if row.state == meetings.MISSING:
        yield Alert(
            needs=True,
            sentence=f"La réunion de « {name} » est introuvable sur Zoom : ses courriers"
            " attendent.",
            remedy="Restaurez-la sur zoom.us, dans Réunions › Supprimées récemment.",
            link=there,
        )
    elif row.state == meetings.DUPLICATE:
        yield Alert(
            needs=True,
            sentence=f"Plusieurs réunions sur Zoom portent « {row.reference} » : rien n’est fait"
            " pour ce groupe d’ici là.",
            remedy="Supprimez-les sur zoom.us, sauf une.",
            link=there,
        )
    elif row.missing_since is not None:
        yield Alert(
            needs=False,
            sentence=f"La réunion de « {name} » n’a pas été trouvée sur Zoom.",
            remedy="Elle est cherchée une seconde fois avant d’en conclure quoi que ce soit.",
            link=there,
        )
    elif row.zoom_meeting_id is not None and not row.registration_url:
        yield Alert(
            needs=True,
            sentence=f"La réunion de « {name} » n’a pas de page d’inscription.",
            remedy="Zoom n’en donne qu’aux hôtes qui ont une licence : donnez-en une à l’hôte sur"
            " zoom.us.",
            link=there,
        )
    elif row.refused:
        fields = ", ".join(f"« {FIELDS.get(field, field)} »" for field in row.refused)
        yield Alert(
            needs=True,
            sentence=f"Zoom n’applique pas tout ce que veut le fichier pour « {name} » : {fields}.",
            remedy="Un réglage de l’hôte ou du compte le verrouille sans doute : regardez sur"
            " zoom.us.",
            link=there,
        )


def _by_hand(
    campaign: Campaign, group: FocusGroup | None, row: Any, name: str, there: Way
) -> Iterator[Alert]:
    """Zoom is left as somebody made it there, and the file goes on saying something else."""
    if group is None:
        return
    causes = causes_of(campaign, group, row)
    edited = [FIELDS.get(field, field) for field, cause in causes.items() if cause == BY_HAND]
    if edited:
        yield Alert(
            needs=True,
            sentence=f"« {name} » a été modifiée à la main sur Zoom, le fichier dit autre chose :"
            f" {', '.join(f'« {field} »' for field in edited)}.",
            remedy="Rien n’est perdu : les courriers suivent Zoom. Mettez le fichier d’accord avec"
            " Zoom, ou l’inverse.",
            link=there,
        )


def of_lists(connection: Connection, service: Service, now: datetime) -> Iterator[Alert]:
    """What reading Zoom's lists has brought to light in the last day."""
    lines: Any = connection.execute(
        select(journal.c.id, journal.c.at, journal.c.kind, journal.c.focus_group, journal.c.data)
        .where(
            journal.c.kind.in_((MANY_GONE, REPAIRED, *DROPPED)),
            journal.c.at > now - A_DAY,
        )
        .order_by(journal.c.id)
    ).all()
    for group, line in {line.focus_group: line for line in lines if line.kind == MANY_GONE}.items():
        if _still_waits(connection, line):
            yield _many_gone(service.campaign, group, line)
    repaired = [line for line in lines if line.kind == REPAIRED and _changed(line)]
    if repaired and service.settings.webhooks:
        yield _lost(connection, service.campaign, repaired)
    if service.settings.webhooks:
        yield from _unchallenged(connection, service.campaign, now)
    late = [line.data for line in lines if _came_too_late(line)]
    if count := sum(data.get("letters", 1) for data in late):
        kinds = sorted({words.letter_kind(data["letter_kind"]) for data in late})
        yield Alert(
            needs=True,
            sentence=f"{count} courrier{'s' if count > 1 else ''} n’{'ont' if count > 1 else 'a'}"
            f" pas pu partir à temps ({', '.join(kinds).lower()}).",
            remedy="S’il le faut, prévenez ces personnes par un autre moyen.",
            link=("/staff/letters?state=dropped", "Les voir"),
        )


def _changed(line: Any) -> int:
    """How many registrations a reading changed; one that only missed somebody changed none."""
    return int(line.data.get("repaired", 0) + line.data.get("gone", 0))


def _came_too_late(line: Any) -> bool:
    return line.kind == "letters.dropped" or (
        line.kind in DROPPED and line.data.get("reason") == "too_late"
    )


def _still_waits(connection: Connection, line: Any) -> bool:
    """Each reading ends with a line of its own: a second one since then found nothing amiss."""
    since = connection.execute(
        select(func.count())
        .select_from(journal)
        .where(
            journal.c.focus_group == line.focus_group,
            journal.c.id > line.id,
            journal.c.kind.in_(_READINGS),
        )
    ).scalar_one()
    return int(since) < 2


def _many_gone(campaign: Campaign, slug: str, line: Any) -> Alert:
    group = campaign.focus_group(slug)
    return Alert(
        needs=True,
        sentence=f"{line.data['gone']} inscrits sur {line.data['active']} ont disparu des listes"
        f" de Zoom pour « {group.title if group else slug} » ; rien n’en est conclu sans vous.",
        remedy=f"S’ils sont vraiment partis, dites-le : resonance-zoom sync {slug} --agree-gone",
        link=(f"/staff/journal/{line.id}", "Journal"),
    )


def _lost(connection: Connection, campaign: Campaign, repaired: list[Any]) -> Alert:
    """Readings found what Zoom should have announced: once by chance, or time after time."""
    count = sum(map(_changed, repaired))
    readings = {int(line.at.timestamp() // 600) for line in repaired}
    heard = _heard(connection)
    silent = heard is None or heard < repaired[0].at
    found = (
        f"{count} changements ont été trouvés par relecture"
        if count > 1
        else "un changement a été trouvé par relecture"
    )
    link = (f"/staff/journal?kind={REPAIRED}", "Journal")
    if len(readings) < (2 if silent else 3):
        return Alert(
            needs=False,
            sentence=f"Une annonce de Zoom s’est perdue ({found} depuis hier) ; rien ne manque.",
            link=link,
        )
    since = f" depuis le {french.date_hour(heard, campaign.timezone)}" if heard else ""
    return Alert(
        needs=True,
        sentence=f"Zoom n’annonce plus rien{since} : {found}."
        if silent
        else f"Des annonces de Zoom se perdent : {found} depuis hier.",
        remedy="La commande « resonance-zoom check » dit si Zoom peut nous joindre.",
        link=link,
    )


def _unchallenged(connection: Connection, campaign: Campaign, now: datetime) -> Iterator[Alert]:
    """Zoom has asked before, and asks no more: it has switched the announcements off, or lost us.

    https://developers.zoom.us/docs/api/webhooks/#validate-your-webhook-endpoint
    """
    last = connection.execute(
        select(func.max(journal.c.at)).where(journal.c.kind == "webhook.challenge")
    ).scalar()
    if last is not None and now - last > CHALLENGED_WITHIN:
        since = french.date_hour(last, campaign.timezone)
        yield Alert(
            needs=True,
            sentence=f"Zoom n’a plus vérifié notre adresse depuis le {since}.",
            remedy="Sur zoom.us, l’application peut être désactivée : pressez « Validate » à côté"
            " de l’adresse des annonces. La commande « resonance-zoom check » dit si Zoom peut"
            " nous joindre.",
            link=("/staff/journal?kind=webhook.challenge", "Journal"),
        )


def _heard(connection: Connection) -> datetime | None:
    """When Zoom last called us."""
    called = ("webhook.received", "webhook.challenge")
    moments = (
        select(events.c.received_at)
        .where(events.c.source == "webhook")
        .order_by(events.c.id.desc()),
        *(
            select(journal.c.at).where(journal.c.kind == kind).order_by(journal.c.id.desc())
            for kind in called
        ),
    )
    found = (connection.execute(moment.limit(1)).scalar() for moment in moments)
    return max((moment for moment in found if moment is not None), default=None)


def of_pending(connection: Connection, now: datetime) -> Iterator[Alert]:
    """Who has waited for more than a day for somebody to approve them."""
    waiting = (
        select(registrants.c.id)
        .join(meetings_table, meetings_table.c.focus_group == registrants.c.focus_group)
        .where(
            registrants.c.status == "pending",
            registrants.c.registered_at < now - A_DAY,
            meetings_table.c.start_at > now,
            meetings_table.c.cancelled_at.is_(None),
        )
        .limit(MANY)
        .subquery()
    )
    if count := connection.execute(select(func.count()).select_from(waiting)).scalar_one():
        least = "Au moins " if count == MANY else ""
        yield Alert(
            needs=True,
            sentence="Une inscription attend une approbation depuis plus d’un jour."
            if count == 1
            else f"{least}{count} inscriptions attendent une approbation depuis plus d’un jour.",
            remedy="Approuvez-les ou refusez-les sur zoom.us.",
            link=("/staff/registrants?status=pending", "Les voir"),
        )
