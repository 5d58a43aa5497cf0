"""What needs somebody, and what will settle itself: sentences in French, the gravest first."""

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, case, func, or_, select

from resonance_zoom import acts, holds, undelivered
from resonance_zoom.mail import french
from resonance_zoom.service import Service
from resonance_zoom.store import journal, outbox
from resonance_zoom.store.tables import letters, meetings, registrants
from resonance_zoom.undelivered import DELAYED, LOST
from resonance_zoom.web import words
from resonance_zoom.web.health import DISK_FREE, LETTER_AGE, SWEEP_AGE
from resonance_zoom.web.staff.at_work import JOBS, READING, AtWork, Failure

LONG_FAILING = timedelta(hours=1)
MANY = 500  # no more are counted: it is bad enough
RELAY_FAILURES = 5  # over a quarter of an hour, by the pauses of deliver_letters

_TOLD_ELSEWHERE = frozenset({"MailUnreachable", "MailboxUnreadable"})

_UNMADE = "template"  # the one reason of a failed letter that is no matter of its address

Way = tuple[str, str]  # address, words
_SYNC: Way = ("/staff/act/sync/-", "Relire Zoom maintenant")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """`needs`: somebody must act, else it settles itself. `link`: where; `act`: for admins.

    `verbatim`: what another program said, in its own words.
    """

    needs: bool
    sentence: str
    remedy: str = ""
    link: Way | None = None
    act: Way | None = None
    verbatim: str = ""


def of_service(connection: Connection, service: Service, work: AtWork) -> Iterator[Alert]:
    """The process, its disk, its clock."""
    zone = service.campaign.timezone
    if work.stopped:
        since = f" depuis le {french.date_hour(work.ticked_at, zone)}" if work.ticked_at else ""
        yield Alert(
            needs=True,
            sentence=f"Le service ne travaille plus{since} : rien ne part, rien n’est lu.",
            remedy="Redémarrez-le ; il rattrapera ce qui peut encore l’être.",
        )
    if (free := shutil.disk_usage(service.store.folder).free) < DISK_FREE:
        yield Alert(
            needs=True,
            sentence=f"Le disque de la machine est presque plein ({free // 1024**2} Mo libres).",
            remedy="Faites de la place : sans elle, plus rien n’est enregistré.",
        )
    if held := journal.recall(connection, journal.HELD):
        yield Alert(
            needs=True,
            sentence="L’horloge de la machine n’est pas sûre : tous les courriers sont retenus.",
            remedy="Faites-la régler ; ils repartiront d’eux-mêmes.",
            link=("/staff/letters", "Courriers"),
            verbatim=held,
        )


def of_sending(connection: Connection, service: Service, now: datetime) -> Iterator[Alert]:
    """What keeps all letters back."""
    if service.settings.smtp_url is None:
        yield Alert(
            needs=True,
            sentence="Aucun courrier ne quitte cette machine : aucun serveur de courrier n’est"
            " réglé.",
            remedy="Donnez sa valeur à SMTP_URL dans .env, puis redémarrez le service.",
        )
    if relay := journal.recall(connection, journal.RELAY):
        again = datetime.fromisoformat(relay["again_at"])
        hour = french.hour(again, service.campaign.timezone)
        lasts = relay["failures"] >= RELAY_FAILURES
        yield Alert(
            needs=lasts,
            sentence="Le serveur de courrier ne répond pas : les courriers attendent, rien n’est"
            " perdu.",
            remedy=("Prévenez qui s’en occupe. " if lasts else "")
            + (
                f"Nouvel essai à {hour}." if again > now else "Nouvel essai d’un instant à l’autre."
            ),
            link=("/staff/letters", "Courriers"),
            verbatim=relay["error"],
        )
    if paused := journal.recall(connection, journal.PAUSED):
        yield Alert(
            needs=True,
            sentence=f"Tous les envois sont suspendus par {paused}.",
            remedy="Rien ne part avant la reprise.",
            link=("/staff/letters", "Courriers"),
            act=("/staff/act/resume/-", "Reprendre les envois"),
        )


def of_mailbox(connection: Connection, service: Service) -> Iterator[Alert]:
    """What came back is not seen."""
    trouble = journal.recall(connection, journal.MAILBOX_DOWN) if service.mailbox else None
    if trouble and trouble["told"]:
        yield Alert(
            needs=True,
            sentence="La boîte aux lettres des retours ne peut pas être lue : les courriers"
            " partent, mais ceux qui reviennent ne sont pas vus.",
            remedy="Prévenez qui tient le service ; la commande « resonance-zoom check » dit ce qui"
            " manque.",
            link=("/staff/journal?kind=letters", "Journal"),
            verbatim=trouble["error"],
        )


def of_file(connection: Connection) -> Iterator[Alert]:
    """An edited campaign file that cannot be used."""
    if problems := (journal.recall(connection, journal.CAMPAIGN_FILE) or {}).get("problems"):
        yield Alert(
            needs=True,
            sentence="Le fichier de campagne modifié contient des erreurs : l’ancien reste en"
            " vigueur.",
            remedy="Corrigez-le ; il est relu chaque minute.",
            verbatim=" · ".join(problems),
        )


_CAUSES = {
    "ZoomUnreachable": ("Zoom ne répond pas", ""),
    "ZoomRateLimited": ("Zoom demande d’attendre", ""),
    "ZoomUnauthorized": (
        "Zoom refuse nos identifiants",
        "Vérifiez-les avec la commande « resonance-zoom check ».",
    ),
    "ZoomScopeMissing": (
        "il manque un droit à l’application Zoom",
        "La commande « resonance-zoom check » dit lequel.",
    ),
    "ZoomNotFound": (
        "Zoom ne trouve pas ce qui est demandé",
        "Vérifiez l’hôte avec la commande « resonance-zoom check ».",
    ),
    "ZoomRefused": ("Zoom refuse la demande", "Réglez sur zoom.us ce que dit sa réponse."),
}
_UNNAMED = ("une erreur inattendue", "")


def of_jobs(service: Service, now: datetime, work: AtWork) -> Iterator[Alert]:
    """What could not be done, and why, as far as the type of the error tells."""
    if work.stopped:
        return  # all of this follows from it
    reading = work.failures.get(READING)
    if reading is not None or work.read_at is None or now - work.read_at > SWEEP_AGE:
        yield _not_read(service, now, work, reading)
    for job, failure in work.failures.items():
        told = reading is not None and failure.name == reading.name
        if job != READING and not told and failure.name not in _TOLD_ELSEWHERE:
            lasts = failure.since is None or now - failure.since > LONG_FAILING
            yield _fails(f"Une tâche du service échoue ({JOBS[job]})", failure, lasts=lasts)


def _not_read(service: Service, now: datetime, work: AtWork, failure: Failure | None) -> Alert:
    old = work.read_at is None or now - work.read_at > SWEEP_AGE
    if failure is not None:
        return _fails("Les listes de Zoom ne peuvent pas être lues", failure, lasts=old, act=_SYNC)
    if work.starting:
        return Alert(
            needs=False, sentence="Le service vient de démarrer ; il lit les listes de Zoom."
        )
    zone = service.campaign.timezone
    since = f" depuis le {french.date_hour(work.read_at, zone)}" if work.read_at else ""
    return Alert(
        needs=True,
        sentence=f"Les listes de Zoom n’ont pas été lues{since}.",
        remedy="Faites-les relire, puis regardez le journal.",
        link=("/staff/journal?kind=sync&level=all", "Journal"),
        act=_SYNC,
    )


def _fails(what: str, failure: Failure, *, lasts: bool, act: Way | None = None) -> Alert:
    cause, remedy = _CAUSES.get(failure.name, _UNNAMED)
    needs = lasts or bool(remedy)
    hope = "Le service réessaie de lui-même"
    return Alert(
        needs=needs,
        sentence=f"{what} : {cause}.",
        remedy=remedy
        or (f"{hope}, mais cela dure : prévenez qui le tient." if lasts else f"{hope}."),
        link=("/staff/journal?kind=zoom", "Journal"),
        act=act if needs else None,
        verbatim=failure.said,
    )


def of_letters(connection: Connection, now: datetime, work: AtWork) -> Iterator[Alert]:
    """Letters that somebody should look at, of people who still come to a meeting to come."""
    yield from _ended_badly(connection, now)
    yield from _came_back(connection, now)
    if work.stopped:
        return  # that they do not leave follows from it
    yield from _under_way(connection, now)
    stops = (journal.HELD, journal.PAUSED, journal.RELAY)
    if not any(journal.recall(connection, stop) for stop in stops):
        yield from _late(connection, now)


def _under_way(connection: Connection, now: datetime) -> Iterator[Alert]:
    """Sending a letter takes seconds: longer, and whoever sends it has got stuck."""
    found = (
        select(func.count())
        .select_from(letters)
        .where(letters.c.state == outbox.SENDING, letters.c.claimed_at < now - LETTER_AGE)
    )
    if count := connection.execute(found).scalar_one():
        yield Alert(
            needs=True,
            sentence="Un courrier est en cours d’envoi depuis plus d’un quart d’heure."
            if count == 1
            else f"{count} courriers sont en cours d’envoi depuis plus d’un quart d’heure.",
            remedy="Redémarrez le service : il dira si ce courrier est peut-être parti.",
            link=("/staff/letters?state=sending", "Les voir"),
        )


def _ended_badly(connection: Connection, now: datetime) -> Iterator[Alert]:
    still_matters = or_(
        registrants.c.status == "approved", letters.c.kind.in_(sorted(acts.ANY_STATUS))
    )
    held = case(
        (letters.c.reason.in_((holds.MANY, _UNMADE)), letters.c.reason), else_=letters.c.state
    )
    some = (
        select(held.label("ending"))
        .join(registrants, registrants.c.id == letters.c.registrant)
        .join(meetings, meetings.c.focus_group == letters.c.focus_group)
        .where(
            letters.c.state == bindparam("state"),
            or_(meetings.c.end_at.is_(None), meetings.c.end_at > now),
            still_matters,
        )
        .limit(MANY)
        .subquery()
    )
    counted = select(some.c.ending, func.count()).group_by(some.c.ending)
    # One state after the other: each has an index of its own.
    counts: Counter[str] = Counter()
    for state in (outbox.FAILED, outbox.IN_DOUBT):
        for ending, count in connection.execute(counted, {"state": state}):
            counts[ending] += count
    least = "Au moins " if sum(counts.values()) >= MANY else ""
    if failed := counts.get(outbox.FAILED):
        yield Alert(
            needs=True,
            sentence="Un courrier n’a pas pu partir."
            if failed == 1
            else f"{least}{failed} courriers n’ont pas pu partir.",
            remedy="Souvent, l’adresse est mal écrite : corrigez-la, ou réessayez.",
            link=("/staff/letters?state=failed", "Les voir"),
        )
    if unmade := counts.get(_UNMADE):
        yield Alert(
            needs=True,
            sentence="Un courrier n’a pas pu être composé."
            if unmade == 1
            else f"{least}{unmade} courriers n’ont pas pu être composés.",
            remedy="Son modèle contient une erreur, dite à côté du courrier : corrigez-le,"
            " redémarrez le service, puis réessayez.",
            link=("/staff/letters?state=failed", "Les voir"),
        )
    if doubted := counts.get(outbox.IN_DOUBT):
        yield Alert(
            needs=True,
            sentence="Un courrier est peut-être arrivé, peut-être pas."
            if doubted == 1
            else f"{least}{doubted} courriers sont peut-être arrivés, peut-être pas.",
            remedy="Demandez à la personne, puis renvoyez ou écartez.",
            link=("/staff/letters?state=in_doubt", "Les voir"),
        )
    if many := counts.get(holds.MANY):
        yield Alert(
            needs=True,
            sentence="Une confirmation est retenue : il y en avait trop ce jour-là."
            if many == 1
            else f"{least}{many} confirmations sont retenues : il y en avait trop ce jour-là.",
            remedy="Regardez qui s’est inscrit, puis demandez à qui tient le service de les laisser"
            " partir ou de les écarter (commande held).",
            link=("/staff/letters?state=in_doubt", "Les voir"),
        )


def _came_back(connection: Connection, now: datetime) -> Iterator[Alert]:
    """Reported as not arrived, and not made good yet."""
    counts = undelivered.open_cases(connection, now)
    if lost := counts.get(LOST):
        yield Alert(
            needs=True,
            sentence="Le courrier d’une personne est revenu."
            if lost == 1
            else f"Les courriers de {lost} personnes sont revenus.",
            remedy="Appelez-la : corrigez son adresse, ou renvoyez le courrier quand sa boîte peut"
            " le recevoir."
            if lost == 1
            else "Appelez-les : corrigez leur adresse, ou renvoyez le courrier quand leur boîte"
            " peut le recevoir.",
            link=("/staff/letters?bounce=lost", "Les voir"),
        )
    if delayed := counts.get(DELAYED):
        yield Alert(
            needs=False,
            sentence="Le courrier d’une personne est retardé en chemin."
            if delayed == 1
            else f"Les courriers de {delayed} personnes sont retardés en chemin.",
            remedy="Un serveur sur le chemin réessaie.",
            link=("/staff/letters?bounce=delayed", "Les voir"),
        )


def _late(connection: Connection, now: datetime) -> Iterator[Alert]:
    """Ready and not leaving: something is wrong. Waiting for a reason: it says which."""
    late = (
        select(letters.c.reason, letters.c.due_at, letters.c.ready_at)
        .where(letters.c.state == outbox.QUEUED, letters.c.due_at < now - LETTER_AGE)
        .order_by(letters.c.due_at)
        .limit(MANY)
        .subquery()
    )
    waiting = select(
        late.c.reason,
        func.count(),
        func.min(late.c.due_at),
        func.sum(case((late.c.ready_at < now - LETTER_AGE, 1), else_=0)),
    ).group_by(late.c.reason)
    found = connection.execute(waiting).all()
    least = "Au moins " if sum(row[1] for row in found) == MANY else ""
    for reason, count, oldest, stuck in found:
        several = f"{least}{count} courriers attendent" if count > 1 else "Un courrier attend"
        if stuck:
            yield Alert(
                needs=True,
                sentence=f"{several} et ne {'partent' if count > 1 else 'part'} pas, bien que"
                f" {'prêts' if count > 1 else 'prêt'}.",
                remedy="Regardez le journal des courriers, ou redémarrez le service.",
                link=("/staff/letters?state=queued", "Les voir"),
            )
        elif reason in words.REASONS and reason != "by_hand":
            yield Alert(
                needs=reason == "no_join_url" and now - oldest > LONG_FAILING,
                sentence=f"{several} : {words.REASONS[reason]}.",
                remedy="Le service réessaie de lui-même.",
                link=("/staff/letters?state=queued", "Les voir"),
            )
