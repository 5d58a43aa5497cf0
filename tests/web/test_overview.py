"""The overview says in one sentence whether all is well, else what is wrong and what to do."""

import html
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, select, update
from starlette.testclient import TestClient

import jobs
from jobs import sync_registrants
from jobs.clock import run_job, triggers
from resonance_zoom import acts
from resonance_zoom.acts import Desk
from resonance_zoom.service import Service
from resonance_zoom.store import journal, people
from resonance_zoom.store.tables import letters, meetings, registrants
from resonance_zoom.web.staff import alerts, at_work
from resonance_zoom.web.staff.chart import Chart, chart
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import Clock
from tests.mail_server import MailServer

Staff = Callable[..., TestClient]
Look = Callable[[], str]
PARIS = ZoneInfo("Europe/Paris")
HOSTILE = '<script>alert("Zoé & Cie")</script>'
WELL = "Tout va bien. Dernière synchronisation il y a 3 min, prochaine dans 7 min."
READ = "Dernière synchronisation il y a 3 min, prochaine dans 7 min."
NEEDED, ITSELF = "à vous d’agir", "se réglera seul"


def run(service: Service, *names: str) -> None:
    for name in names:
        run_job(service, jobs.job(name))


def plain(markup: str) -> str:
    """What a reader reads, on one line, with ordinary spaces."""
    text = html.unescape(
        re.sub(r"<[^>]+>", "", re.sub(r"<br>|</(td|th|li|p|option)>", " ", markup))
    )
    return re.sub(r"\s+", " ", text).strip()


def between(page: str, start: str, end: str) -> str:
    return plain(page.split(start, 1)[1].split(end, 1)[0])


def first(page: str) -> str:
    """What stands first."""
    return between(page, 'class="first', '<p class="muted small">État').partition(">")[2].strip()


def others(page: str) -> list[str]:
    if "À voir</h2>" not in page:
        return []
    listed = page.split('<ul class="alerts">')[1].split("</ul>")[0]
    return [plain(line) for line in re.findall("<li>(.*?)</li>", listed, re.DOTALL)]


def cards(page: str) -> list[str]:
    listed = page.split('<ul class="cards">')[1].split("</ul>")[0]
    return [plain(card) for card in re.findall(r"<li[^>]*>(.*?)</li>", listed, re.DOTALL)]


def table(page: str, caption: str) -> list[list[str]]:
    body = page.split(f">{caption}</caption>")[1].split("</table>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", body.partition("<tbody>")[2], re.DOTALL)
    return [
        [plain(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)]
        for row in rows
    ]


@pytest.fixture
def running(service: Service, zoom: SimulatedZoom, clock: Clock) -> Service:
    """The service has done all its work at 10:00 UTC; now it is 10:03."""
    run(service, *at_work.JOBS)
    clock.move(minutes=3)
    return service


@pytest.fixture
def look(service: Service, staff: Staff) -> Look:
    """The page as somebody sees it who may only read, signed in anew each time."""

    def looked() -> str:
        page = staff("reader").get("/staff/")
        assert page.status_code == 200
        return page.text

    return looked


def change(service: Service, slug: str = "teletravail", **values: Any) -> None:
    """What a job would have written to a meeting's row."""
    with service.store.write() as connection:
        connection.execute(update(meetings).where(meetings.c.focus_group == slug).values(**values))


def note(service: Service, kind: str, **data: Any) -> None:
    with service.store.write() as connection:
        journal.note(connection, service.now(), kind, "said in English", **data)


def remember(service: Service, key: str, value: Any) -> None:
    with service.store.write() as connection:
        journal.remember(connection, key, value)


def register(
    service: Service, email: str, group: str = "teletravail", status: str = "approved",
    at: datetime | None = None,
) -> int:  # fmt: skip
    at = at or service.now()
    approved_at = at if status == "approved" else None
    with service.store.write() as connection:
        person = (group, people.fold(email))
        state = {"first_name": "Zoé", "last_name": "Martin", "email": email, "status": status,
                 "episode": 1, "registered_at": at, "approved_at": approved_at, "decided_ts": 0,
                 "source": "webhook", "join_url": f"https://zoom.us/w/1?tk=SECRET-{email}"}  # fmt: skip
        known = {who: row.id for who, row in people.known(connection, [person]).items()}
        return people.save(connection, {person: state}, known=known)[person]


def owe(service: Service, email: str, state: str = "queued", **values: Any) -> None:
    """A confirmation to somebody registered, due now."""
    number, now = register(service, email), service.now()
    letter = {"registrant": number, "focus_group": "teletravail", "kind": "confirmation",
              "occasion": "episode 1", "episode": 1, "start_at": now, "due_at": now,
              "worth_until": now + timedelta(days=9), "ready_at": now, "created_at": now}  # fmt: skip
    with service.store.write() as connection:
        connection.execute(insert(letters).values(**letter | {"state": state} | values))


# ---- the sentence ----------------------------------------------------------------------------


def test_all_is_well_in_one_sentence(running: Service, look: Look) -> None:
    page = look()
    assert first(page) == WELL
    assert 'class="first good"' in page
    assert others(page) == []
    assert '<time datetime="2021-01-11T10:00:00+00:00" title="lundi 11 janvier' in page
    assert "État du lundi 11 janvier 2021 à 11 h 03." in plain(page)


def test_the_next_reading_follows_the_settings(running: Service, look: Look, clock: Clock) -> None:
    running.settings = replace(running.settings, webhooks=False)
    assert first(look()) == (
        "Tout va bien. Dernière synchronisation il y a 3 min, prochaine dans 1 min."
    )
    clock.move(seconds=45)
    assert first(look()).endswith("prochaine dans un instant.")


def test_jobs_and_periods_are_those_of_the_timetable(running: Service) -> None:
    assert list(at_work.JOBS) == [job.name for job in jobs.SCHEDULE]
    reading = jobs.job(at_work.READING)
    assert reading.period(webhooks=True) == at_work.READS_EVERY
    assert reading.period(webhooks=False) == at_work.READS_EVERY_WITHOUT_WEBHOOKS
    trigger, now = (
        triggers(running.settings)[at_work.READING],
        datetime(2021, 1, 11, 10, 3, tzinfo=UTC),
    )
    assert jobs.clock.next_firing(trigger, now) == at_work._next_reading(now, webhooks=True)


def test_a_service_that_starts_says_so(service: Service, look: Look, clock: Clock) -> None:
    note(service, "service.started")
    clock.move(seconds=20)
    assert first(look()) == (
        f"{ITSELF} Le service vient de démarrer ; il lit les listes de Zoom."
        " Aucune synchronisation encore, prochaine dans 10 min."
    )
    clock.move(minutes=6)
    assert first(look()) == (
        f"{NEEDED} Le service ne travaille plus : rien ne part, rien n’est lu. Redémarrez-le ; il"
        " rattrapera ce qui peut encore l’être. Aucune synchronisation encore."
    )


def test_a_service_that_stopped_is_told_once_and_not_what_follows_from_it(
    running: Service, look: Look, clock: Clock
) -> None:
    clock.move(hours=2)
    page = look()
    assert first(page) == (
        f"{NEEDED} Le service ne travaille plus depuis le lundi 11 janvier 2021 à 11 h 00 : rien ne"
        " part, rien n’est lu. Redémarrez-le ; il rattrapera ce qui peut encore l’être. Dernière"
        " synchronisation il y a 2 h."
    )
    assert others(page) == []


def held(service: Service) -> None:
    remember(service, journal.HELD, "the clock jumped by 400 seconds")


def paused(service: Service) -> None:
    acts.pause(Desk(service.store, service.campaign, service.now(), "Alice"))


def no_mail_server(service: Service) -> None:
    service.settings = replace(service.settings, smtp_url=None)


def relay_down(service: Service) -> None:
    again_at = service.now() + timedelta(minutes=2)
    said = {"failures": 4, "again_at": again_at, "error": "refused the connection"}
    remember(service, journal.RELAY, said)


def relay_down_for_long(service: Service) -> None:
    again_at = service.now() - timedelta(seconds=5)
    said = {"failures": 5, "again_at": again_at, "error": "refused the connection"}
    remember(service, journal.RELAY, said)


def file_with_errors(service: Service) -> None:
    remember(service, journal.CAMPAIGN_FILE, {"problems": ["line 3: <b>", "line 4: date"]})


def missing(service: Service) -> None:
    change(service, state="missing", missing_since=service.now(), problem="meeting 1 is gone")


def missing_once(service: Service) -> None:
    change(service, missing_since=service.now(), problem="meeting 1 is no longer on Zoom")


def twice_on_zoom(service: Service) -> None:
    change(service, state="duplicate", zoom_meeting_id=None, problem="2 meetings on Zoom carry")


def without_registration(service: Service) -> None:
    change(service, registration_url=None, problem="meeting 1 has no registration page")


def refused(service: Service) -> None:
    change(service, refused=["settings.use_pmi", "topic"], problem="Zoom accepted but")


def called_off(service: Service) -> None:
    change(service, cancelled_at=service.now(), zoom_meeting_id=97980243740)


def by_hand(service: Service) -> None:
    with service.store.read() as connection:
        found = select(meetings.c.held).where(meetings.c.focus_group == "teletravail")
        held = connection.execute(found).scalar_one()
    change(service, held={**held, "topic": "Atelier", "agenda": "Autre chose"})


def under_way(service: Service) -> None:
    owe(service, "judy@example.org", "sending", claimed_at=service.now() - timedelta(minutes=16))


def edited(service: Service) -> None:
    edit = {"start_time": "2021-02-10T08:00:00+00:00"}
    change(service, edit=edit, edited_at=service.now())


def many_gone(service: Service) -> None:
    note(service, "sweep.many_gone", level="error", focus_group="teletravail", gone=9, active=20)
    note(service, "sweep.done", level="debug", focus_group="teletravail")


def one_repaired(service: Service) -> None:
    note(service, "sweep.repaired", level="warning", focus_group="teletravail", repaired=1, gone=0)


def too_late(service: Service) -> None:
    note(service, "letters.dropped", level="warning", letters=12, letter_kind="reminder-7")
    note(service, "letter.dropped", level="warning", letter_kind="confirmation", reason="too_late")
    note(service, "letter.dropped", letter_kind="confirmation", reason="cancelled")


def failed(service: Service) -> None:
    owe(service, "alice@example.org", "failed", reason="refused")


def two_failed(service: Service) -> None:
    owe(service, "bob@example.org", "failed", reason="refused")
    owe(service, "carol@example.org", "failed", reason="refused")


def in_doubt(service: Service) -> None:
    owe(service, "dan@example.org", "in_doubt", reason="answer_lost")


def stuck(service: Service) -> None:
    ready = service.now() - timedelta(minutes=16)
    owe(service, "eve@example.org", due_at=ready, ready_at=ready)


def deferred(service: Service) -> None:
    due = service.now() - timedelta(minutes=16)
    owe(service, "frank@example.org", due_at=due, reason="deferred")
    owe(service, "grace@example.org", due_at=due, reason="deferred")


def without_link(service: Service) -> None:
    due = service.now() - timedelta(minutes=61)
    owe(service, "heidi@example.org", due_at=due, reason="no_join_url")


def pending(service: Service) -> None:
    since = service.now() - timedelta(hours=25)
    register(service, "ivan@example.org", status="pending", at=since)


def task_fails(service: Service) -> None:
    fail(service, "send_reminders", "ValueError: broken")


def reading_fails(service: Service) -> None:
    fail(service, "sync_registrants", "ZoomUnreachable: no answer")


def scope_missing(service: Service) -> None:
    fail(service, "sync_registrants", "ZoomScopeMissing: needs a scope")
    fail(service, "create_meetings", "ZoomScopeMissing: needs a scope")


def fail(service: Service, job: str, error: str) -> None:
    with service.store.write() as connection:
        journal.note_run(
            connection, job=job, started_at=service.now(), seconds=0.1, did="", error=error
        )


TELETRAVAIL = "Accompagner le développement du télétravail"
STATES: list[tuple[Callable[[Service], None], str, str]] = [
    (held, NEEDED,
     "L’horloge de la machine n’est pas sûre : tous les courriers sont retenus. Faites-la régler ;"
     " ils repartiront d’eux-mêmes. Courriers the clock jumped by 400 seconds"),
    (paused, NEEDED,
     "Tous les envois sont suspendus par Alice. Rien ne part avant la reprise. Courriers"),
    (no_mail_server, NEEDED,
     "Aucun courrier ne quitte cette machine : aucun serveur de courrier n’est réglé. Donnez sa"
     " valeur à SMTP_URL dans .env, puis redémarrez le service."),
    (relay_down, ITSELF,
     "Le serveur de courrier ne répond pas : les courriers attendent, rien n’est perdu. Nouvel"
     " essai à 11 h 05. Courriers refused the connection"),
    (relay_down_for_long, NEEDED,
     "Le serveur de courrier ne répond pas : les courriers attendent, rien n’est perdu. Prévenez"
     " qui s’en occupe. Nouvel essai d’un instant à l’autre. Courriers refused the connection"),
    (file_with_errors, NEEDED,
     "Le fichier de campagne modifié contient des erreurs : l’ancien reste en vigueur."
     " Corrigez-le ; il est relu chaque minute. line 3: <b> · line 4: date"),
    (missing, NEEDED,
     f"La réunion de « {TELETRAVAIL} » est introuvable sur Zoom : ses courriers attendent."
     " Restaurez-la sur zoom.us, dans Réunions › Supprimées récemment. Réunions"),
    (missing_once, ITSELF,
     f"La réunion de « {TELETRAVAIL} » n’a pas été trouvée sur Zoom. Elle est cherchée une seconde"
     " fois avant d’en conclure quoi que ce soit. Réunions"),
    (twice_on_zoom, NEEDED,
     "Plusieurs réunions sur Zoom portent « Réf. resonance-2021/teletravail » : rien n’est fait"
     " pour ce groupe d’ici là. Supprimez-les sur zoom.us, sauf une. Réunions"),
    (without_registration, NEEDED,
     f"La réunion de « {TELETRAVAIL} » n’a pas de page d’inscription. Zoom n’en donne qu’aux hôtes"
     " qui ont une licence : donnez-en une à l’hôte sur zoom.us. Réunions"),
    (refused, NEEDED,
     f"Zoom n’applique pas tout ce que veut le fichier pour « {TELETRAVAIL} » : « Numéro personnel"
     " de l’hôte », « Titre ». Un réglage de l’hôte ou du compte le verrouille sans doute :"
     " regardez sur zoom.us. Réunions"),
    (by_hand, NEEDED,
     f"« {TELETRAVAIL} » a été modifiée à la main sur Zoom, le fichier dit autre chose : « Titre »,"
     " « Texte ». Rien n’est perdu : les courriers suivent Zoom. Mettez le fichier d’accord avec"
     " Zoom, ou l’inverse. Réunions"),
    (under_way, NEEDED,
     "Un courrier est en cours d’envoi depuis plus d’un quart d’heure. Redémarrez le service : il"
     " dira si ce courrier est peut-être parti. Les voir"),
    (called_off, NEEDED,
     f"« {TELETRAVAIL} » est annulée, mais sa réunion existe encore sur Zoom. Supprimez la réunion"
     " 97980243740 sur zoom.us, sinon on peut encore s’y inscrire. Réunions"),
    (edited, ITSELF,
     f"« {TELETRAVAIL} » : nouvelle date lue dans le fichier à 11 h 03, reportée sur Zoom à"
     " 11 h 13 si elle n’est pas corrigée. Réunions"),
    (many_gone, NEEDED,
     f"9 inscrits sur 20 ont disparu des listes de Zoom pour « {TELETRAVAIL} » ; rien n’en est"
     " conclu sans vous. S’ils sont vraiment partis, dites-le : resonance-zoom sync teletravail"
     " --agree-gone Journal"),
    (one_repaired, ITSELF,
     "Une annonce de Zoom s’est perdue (un changement a été trouvé par relecture depuis hier) ;"
     " rien ne manque. Journal"),
    (too_late, NEEDED,
     "13 courriers n’ont pas pu partir à temps (confirmation, rappel à 7 jours). S’il le faut,"
     " prévenez ces personnes par un autre moyen. Les voir"),
    (failed, NEEDED,
     "Un courrier n’a pas pu partir. Souvent, l’adresse est mal écrite : corrigez-la, ou"
     " réessayez. Les voir"),
    (two_failed, NEEDED,
     "2 courriers n’ont pas pu partir. Souvent, l’adresse est mal écrite : corrigez-la, ou"
     " réessayez. Les voir"),
    (in_doubt, NEEDED,
     "Un courrier est peut-être arrivé, peut-être pas. Demandez à la personne, puis renvoyez ou"
     " écartez. Les voir"),
    (stuck, NEEDED,
     "Un courrier attend et ne part pas, bien que prêt. Regardez le journal des courriers, ou"
     " redémarrez le service. Les voir"),
    (deferred, ITSELF,
     "2 courriers attendent : le serveur de courrier demande d’attendre. Le service réessaie de"
     " lui-même. Les voir"),
    (without_link, NEEDED,
     "Un courrier attend : Zoom n’a pas encore donné de lien personnel. Le service réessaie de"
     " lui-même. Les voir"),
    (pending, NEEDED,
     "Une inscription attend une approbation depuis plus d’un jour. Approuvez-les ou refusez-les"
     " sur zoom.us. Les voir"),
    (task_fails, ITSELF,
     "Une tâche du service échoue (la préparation des rappels) : une erreur inattendue. Le service"
     " réessaie de lui-même. Journal ValueError: broken"),
    (reading_fails, ITSELF,
     "Les listes de Zoom ne peuvent pas être lues : Zoom ne répond pas. Le service réessaie de"
     " lui-même. Journal ZoomUnreachable: no answer"),
    (scope_missing, NEEDED,
     "Les listes de Zoom ne peuvent pas être lues : il manque un droit à l’application Zoom. La"
     " commande « resonance-zoom check » dit lequel. Journal ZoomScopeMissing: needs a scope"),
]  # fmt: skip


@pytest.mark.parametrize(("trouble", "verdict", "sentence"), STATES, ids=lambda one: getattr(one, "__name__", None))  # fmt: skip
def test_the_first_sentence_says_what_is_wrong_and_what_to_do(
    trouble: Callable[[Service], None], verdict: str, sentence: str, running: Service, look: Look
) -> None:
    trouble(running)
    page = look()
    assert first(page) == f"{verdict} {sentence} {READ}"
    assert others(page) == []
    assert "Tout va bien" not in page


def test_who_waits_for_a_meeting_that_is_over_waits_for_nobody(
    running: Service, look: Look, clock: Clock
) -> None:
    pending(running)
    assert "attend une approbation" in look()
    clock.to(2021, 2, 9, 8, 1)
    assert "attend une approbation" not in look()


def test_a_letter_just_being_sent_is_no_trouble(running: Service, look: Look) -> None:
    owe(running, "judy@example.org", "sending", claimed_at=running.now() - timedelta(minutes=14))
    assert first(look()) == WELL


def test_reminders_that_nobody_prepares_need_somebody(
    running: Service, look: Look, clock: Clock
) -> None:
    """A job that hangs leaves no error behind; what it owes is missed all the same."""
    register(running, "alice@example.org")
    register(running, "bob@example.org")
    clock.to(2021, 2, 2, 8, 15)
    run(running, *(job for job in at_work.JOBS if job != "send_reminders"))
    assert first(look()).startswith("Tout va bien.")  # a quarter of an hour, not more
    clock.move(seconds=1)
    assert first(look()).startswith(
        f"{NEEDED} 2 rappels sont dus et ne sont pas préparés. Redémarrez le service"
    )
    run(running, "send_reminders")
    assert "préparés" not in look()


def test_a_group_called_off_before_it_ever_was_on_zoom_needs_nobody(
    running: Service, look: Look, staff: Staff
) -> None:
    change(running, zoom_meeting_id=None, start_at=None, end_at=None, topic=None, held=None,
           applied=None, registration_url=None, state="intended",
           cancelled_at=running.now())  # fmt: skip
    assert first(look()) == WELL
    assert staff("reader").get("/staff/meetings").status_code == 200


def test_a_stopped_service_is_not_told_again_by_its_letters(
    running: Service, look: Look, clock: Clock
) -> None:
    owe(running, "eve@example.org")
    clock.move(hours=2)
    page = look()
    assert "Le service ne travaille plus" in first(page)
    assert others(page) == []


def test_a_sign_of_life_is_good_for_five_minutes(
    running: Service, look: Look, clock: Clock
) -> None:
    clock.move(minutes=2)
    assert first(look()).startswith("Tout va bien.")
    clock.move(seconds=1)
    assert "ne travaille plus" in first(look())
    note(running, "service.started")
    clock.move(minutes=5)
    assert "ne travaille plus" not in look()


def test_a_mail_server_that_is_down_is_told_once(running: Service, look: Look) -> None:
    relay_down(running)
    fail(running, "deliver_letters", "MailUnreachable: refused the connection")
    page = look()
    assert "Le serveur de courrier ne répond pas" in first(page)
    assert others(page) == []


def test_what_is_held_leaves_at_the_end_of_it_and_not_now(running: Service, look: Look) -> None:
    owe(running, "alice@example.org")
    assert "Confirmation maintenant" in cards(look())[-1]
    held(running)
    assert "Confirmation à la reprise" in cards(look())[-1]


def test_places_of_what_is_over_are_not_counted(running: Service, look: Look, clock: Clock) -> None:
    limited, free = running.campaign.focus_groups
    register(running, "alice@example.org")
    register(running, "carol@example.org", group="espaces-exterieurs")
    both = (replace(limited, capacity=12), replace(free, capacity=8))
    running.take(replace(running.campaign, focus_groups=both))
    clock.to(2021, 2, 9, 10)
    assert cards(look())[3] == "1 / 8 place prise (1 rencontre sur 2)"


def test_the_gravest_comes_first_and_what_settles_itself_last(running: Service, look: Look) -> None:
    for trouble in (edited, failed, relay_down, held):
        trouble(running)
    page = look()
    assert first(page).startswith(f"{NEEDED} L’horloge de la machine n’est pas sûre")
    starts = [" ".join(line.split()[:5]) for line in others(page)]
    assert starts == [
        "à vous d’agir Un courrier",
        "se réglera seul Le serveur",
        "se réglera seul « Accompagner",
    ]


def test_reading_that_fails_for_half_an_hour_needs_somebody(
    running: Service, look: Look, clock: Clock
) -> None:
    clock.move(minutes=28)
    reading_fails(running)
    run(running, "watch")
    assert first(look()) == (
        f"{NEEDED} Les listes de Zoom ne peuvent pas être lues : Zoom ne répond pas. Le service"
        " réessaie de lui-même, mais cela dure : prévenez qui le tient. Journal ZoomUnreachable: no"
        " answer Dernière synchronisation il y a 31 min, prochaine dans 9 min."
    )


def test_lists_that_nobody_reads_any_more_need_somebody(
    running: Service, staff: Staff, look: Look, clock: Clock
) -> None:
    clock.move(minutes=28)
    run(running, "watch")
    said = (
        f"{NEEDED} Les listes de Zoom n’ont pas été lues depuis le lundi 11 janvier 2021 à"
        " 11 h 00. Faites-les relire, puis regardez le journal. Journal"
    )
    assert first(look()).startswith(f"{said} Dernière synchronisation il y a 31 min")
    admin = staff("admin").get("/staff/").text
    assert first(admin).startswith(f"{said} Relire Zoom maintenant Dernière")


def test_one_missing_meeting_does_not_make_the_lists_unread(
    running: Service, zoom: SimulatedZoom, look: Look, clock: Clock
) -> None:
    zoom.delete_meeting(min(zoom.meetings, key=lambda one: zoom.meetings[one].start_time))
    for _ in range(2):
        clock.move(minutes=31)
        run(running, "sync_registrants", "create_meetings", "watch")
    page = look()
    assert first(page).startswith(f"{NEEDED} La réunion de « {TELETRAVAIL} » est introuvable")
    assert "Dernière synchronisation à l’instant" in first(page)
    assert others(page) == []


def test_a_meeting_called_off_and_deleted_needs_nobody(
    running: Service, zoom: SimulatedZoom, campaign_file: Path, look: Look, clock: Clock
) -> None:
    text = campaign_file.read_text(encoding="utf-8")
    campaign_file.write_text(
        text.replace('slug = "teletravail"', 'slug = "teletravail"\ncancelled = true')
    )
    run(running, "watch", "create_meetings")
    assert first(look()).startswith(
        f"{ITSELF} « {TELETRAVAIL} » : annulation lue dans le fichier à 11 h 03 ; les inscrits sont prévenus à 11 h 13 si elle n’est pas corrigée."
    )
    clock.move(minutes=10)
    run(running, "watch", "create_meetings", "sync_registrants")
    assert first(look()).startswith(f"{NEEDED} « {TELETRAVAIL} » est annulée, mais")
    zoom.delete_meeting(min(zoom.meetings, key=lambda one: zoom.meetings[one].start_time))
    clock.move(minutes=10)
    run(running, "watch", "sync_registrants")
    assert first(look()).startswith("Tout va bien.")


def test_what_keeps_letters_back_is_before_what_is_untidy(
    running: Service, look: Look, clock: Clock
) -> None:
    called_off(running)
    change(running, "espaces-exterieurs", state="missing", missing_since=clock())
    page = look()
    assert first(page).startswith(f"{NEEDED} La réunion de « Réinvestir les espaces")
    assert others(page)[0].startswith(f"{NEEDED} « {TELETRAVAIL} » est annulée")


@pytest.mark.parametrize("stop", [paused, held, relay_down])
def test_letters_kept_back_are_not_told_a_second_time(
    stop: Callable[[Service], None], running: Service, look: Look
) -> None:
    stuck(running)
    assert "bien que prêt" in first(look())
    stop(running)
    page = look()
    assert "bien que prêt" not in plain(page)
    assert others(page) == []


def test_what_is_over_or_too_new_is_not_told(running: Service, look: Look, clock: Clock) -> None:
    for trouble in (one_repaired, too_late, many_gone):
        trouble(running)
    clock.move(hours=24)
    run(running, "sync_registrants", "watch")
    clock.move(minutes=3)
    assert first(look()).startswith("Tout va bien.")
    since = clock() - timedelta(hours=23)
    register(running, "ivan@example.org", status="pending", at=since)
    assert first(look()).startswith("Tout va bien.")


def test_what_was_agreed_to_be_gone_waits_no_longer(running: Service, look: Look) -> None:
    many_gone(running)
    note(running, "sweep.done", level="debug", focus_group="espaces-exterieurs")
    assert first(look()).startswith(f"{NEEDED} 9 inscrits sur 20 ont disparu")
    with running.store.read() as connection:
        row = connection.execute(meetings.select()).first()
    sync_registrants.sweep(running, row, gone_is_agreed=True)
    assert first(look()) == WELL


def test_announcements_lost_again_and_again_need_somebody(
    running: Service, look: Look, clock: Clock
) -> None:
    run(running, *at_work.JOBS)
    note(running, "webhook.challenge")
    for _ in range(3):
        clock.move(minutes=10)
        one_repaired(running)
    run(running, *at_work.JOBS)
    assert first(look()).startswith(
        f"{NEEDED} Zoom n’annonce plus rien depuis le lundi 11 janvier 2021 à 11 h 03 : 3"
        " changements ont été trouvés par relecture. La commande « resonance-zoom check » dit si"
        " Zoom peut nous joindre. Journal"
    )
    note(running, "webhook.received")
    assert first(look()).startswith(
        f"{NEEDED} Des annonces de Zoom se perdent : 3 changements ont été trouvés par relecture"
        " depuis hier."
    )
    running.settings = replace(running.settings, webhooks=False)
    assert first(look()).startswith("Tout va bien.")


def test_that_zoom_validates_our_address_no_more_is_told_after_80_hours(
    running: Service, look: Look, clock: Clock
) -> None:
    note(running, "webhook.challenge")
    clock.move(hours=79)
    run(running, *at_work.JOBS)
    assert first(look()).startswith("Tout va bien.")
    clock.move(hours=2)
    run(running, *at_work.JOBS)
    assert first(look()).startswith(
        f"{NEEDED} Zoom n’a plus vérifié notre adresse depuis le lundi 11 janvier 2021 à 11 h 03."
        " Sur zoom.us, l’application peut être désactivée : pressez « Validate » à côté de"
        " l’adresse des annonces."
    )
    note(running, "webhook.challenge")
    assert first(look()).startswith("Tout va bien.")


def test_a_list_that_only_missed_somebody_lost_no_announcement(
    running: Service, look: Look
) -> None:
    note(running, "sweep.repaired", focus_group="teletravail", repaired=0, gone=0, absent=2)
    assert first(look()) == WELL


def test_letters_of_those_who_left_or_of_the_past_trouble_nobody(
    running: Service, look: Look, clock: Clock
) -> None:
    failed(running)
    with running.store.write() as connection:
        connection.execute(update(registrants).values(status="cancelled"))
    assert first(look()) == WELL
    with running.store.write() as connection:
        connection.execute(update(registrants).values(status="approved"))
    assert first(look()).startswith(f"{NEEDED} Un courrier n’a pas pu partir.")
    change(running, end_at=clock())
    assert first(look()) == WELL


def test_a_disk_that_is_nearly_full_is_told(
    running: Service, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(disk_usage=lambda _path: SimpleNamespace(free=400 * 1024**2))
    monkeypatch.setattr(alerts, "shutil", usage)
    assert first(look()).startswith(
        f"{NEEDED} Le disque de la machine est presque plein (400 Mo libres). Faites de la place :"
        " sans elle, plus rien n’est enregistré."
    )


def test_words_of_other_programs_stay_words(running: Service, look: Look) -> None:
    file_with_errors(running)
    page = look()
    assert "line 3: &lt;b&gt;" in page
    assert "line 3: <b>" not in page


# ---- who may act -----------------------------------------------------------------------------


def test_only_who_may_act_is_led_to_acts(running: Service, staff: Staff) -> None:
    assert "/staff/act/" not in staff("reader").get("/staff/").text
    admin = staff("admin").get("/staff/").text
    assert re.findall(r'href="(/staff/act/[^"]+)"', admin) == [
        "/staff/act/sync/-",
        "/staff/act/pause/-",
    ]
    paused(running)
    assert "/staff/act/" not in staff("reader").get("/staff/").text
    admin = staff("admin").get("/staff/").text
    assert set(re.findall(r'href="(/staff/act/[^"]+)"', admin)) == {"/staff/act/sync/-", "/staff/act/resume/-"}  # fmt: skip


def test_every_way_on_leads_somewhere(running: Service, staff: Staff, clock: Clock) -> None:
    client = staff("admin")
    for trouble, _, _ in STATES:
        trouble(running)
    many_gone(running)
    page = client.get("/staff/").text
    ways = set(re.findall(r'href="(/staff/[^"#]*)', page))
    assert len(ways) > 15
    for way in ways:
        answer = client.get(html.unescape(way))
        assert answer.status_code == 200, way
        assert "est inconnu" not in answer.text, way


# ---- the figures -----------------------------------------------------------------------------


def test_the_cards_count_who_is_registered_and_what_leaves_next(
    running: Service, zoom: SimulatedZoom, look: Look, clock: Clock, mail_server: MailServer
) -> None:
    first_meeting, second = sorted(zoom.meetings, key=lambda one: zoom.meetings[one].start_time)
    for meeting, email in (
        (first_meeting, "alice@example.org"),
        (second, "alice@example.org"),
        (first_meeting, "bob@example.org"),
        (first_meeting, "eve@example.org"),
    ):
        zoom.register(meeting, email=email, first_name="A", last_name="B")
    run(running, "sync_registrants")
    register(running, "wait@example.org", status="pending")
    register(running, "gone@example.org", status="cancelled")
    assert cards(look())[-1] == "1 Confirmation maintenant"
    run(running, "deliver_letters")
    assert cards(look()) == [
        "4 inscrits (3 personnes)",
        "1 en attente d’approbation",
        "1 désinscrit",
        "3 Rappel à 7 jours mardi 2 février 2021 à 9 h 00 (dans 21 jours)",
    ]


def test_places_are_counted_where_there_is_a_limit(running: Service, look: Look) -> None:
    limited, free = running.campaign.focus_groups
    register(running, "alice@example.org")
    register(running, "bob@example.org", status="pending")
    register(running, "carol@example.org", group="espaces-exterieurs")
    running.take(replace(running.campaign, focus_groups=(replace(limited, capacity=1200), free)))
    assert cards(look())[3] == "2 / 1 200 places prises (1 rencontre sur 2)"
    running.take(replace(running.campaign, focus_groups=(replace(limited, capacity=12), replace(free, capacity=8))))  # fmt: skip
    page = look()
    assert cards(page)[3] == "3 / 20 places prises"
    assert [row[3] for row in table(page, "Les rencontres")] == ["1 / 12", "1 / 8"]


def test_what_leaves_is_told_with_its_hour_and_to_how_many(
    running: Service, look: Look, clock: Clock
) -> None:
    assert "Aucun courrier n’est prévu d’ici là" in plain(look())
    for n in range(3):
        register(running, f"p{n}@example.org")
    clock.to(2021, 1, 31, 10, 0)
    register(running, "late@example.org", status="pending")
    run(running, *at_work.JOBS)
    clock.move(minutes=3)
    owe(running, "new@example.org", ready_at=clock() + timedelta(minutes=5))
    owe(running, "slow@example.org", ready_at=clock() + timedelta(days=3), kind="moved")
    edited(running)
    page = look()
    assert table(page, "Courriers des 7 prochains jours") == [
        ["dimanche 31 janvier 2021 à 11 h 08 (dans 5 min)", "Confirmation", TELETRAVAIL, "1"],
        ["mardi 2 février 2021 à 9 h 00 (dans 45 h)", "Rappel à 7 jours", TELETRAVAIL, "5"],
        ["mercredi 3 février 2021 à 11 h 03 (dans 3 jours)", "Déplacement", TELETRAVAIL, "1"],
    ]
    assert "Les envois sont suspendus" not in page
    paused(running)
    assert "Les envois sont suspendus : rien de ceci ne part avant la reprise." in plain(look())


def test_a_move_that_waits_is_among_what_leaves(running: Service, look: Look, clock: Clock) -> None:
    owe(running, "alice@example.org", "sent", sent_at=clock())
    edited(running)
    assert table(look(), "Courriers des 7 prochains jours") == [
        ["lundi 11 janvier 2021 à 11 h 13 (dans 10 min)", "Déplacement", TELETRAVAIL, "1"]
    ]
    change(running, edit={"cancelled": True})
    register(running, "wait@example.org", status="pending")
    assert table(look(), "Courriers des 7 prochains jours") == [
        ["lundi 11 janvier 2021 à 11 h 13 (dans 10 min)", "Annulation", TELETRAVAIL, "2"]
    ]


def test_a_reminder_is_counted_once_before_and_after_it_is_written_down(
    running: Service, zoom: SimulatedZoom, look: Look, clock: Clock, mail_server: MailServer
) -> None:
    meeting = min(zoom.meetings, key=lambda one: zoom.meetings[one].start_time)
    zoom.register(meeting, email="alice@example.org", first_name="A", last_name="B")
    run(running, "sync_registrants", "deliver_letters")
    clock.to(2021, 2, 2, 8, 0, 30)
    assert table(look(), "Courriers des 7 prochains jours")[0] == [
        "à la reprise", "Rappel à 7 jours", TELETRAVAIL, "1",
    ]  # fmt: skip
    run(running, "watch", "send_reminders")
    leaves = table(look(), "Courriers des 7 prochains jours")
    assert leaves[0] == ["maintenant", "Rappel à 7 jours", TELETRAVAIL, "1"]
    assert [leaf[1] for leaf in leaves] == ["Rappel à 7 jours", "Rappel à 1 jour"]
    run(running, "deliver_letters")
    leaves = table(look(), "Courriers des 7 prochains jours")
    assert [leaf[1] for leaf in leaves] == ["Rappel à 1 jour"]
    assert len(mail_server.to("alice@example.org")) == 2


def test_each_group_has_a_line_also_one_that_the_file_no_longer_has(
    running: Service, look: Look, clock: Clock
) -> None:
    register(running, "alice@example.org", group="espaces-exterieurs")
    register(running, "bob@example.org", group="espaces-exterieurs", status="pending")
    running.take(replace(running.campaign, focus_groups=running.campaign.focus_groups[:1]))
    page = look()
    assert table(page, "Les rencontres") == [
        [f"{TELETRAVAIL} inscrits de {TELETRAVAIL} · journal de {TELETRAVAIL}",
         "09/02/2021 09:00", "ouverte", "0", "0", "–"],
        ["Réinvestir les espaces extérieurs à usages publics inscrits de Réinvestir les espaces"
         " extérieurs à usages publics · journal de Réinvestir les espaces extérieurs à usages"
         " publics", "16/03/2021 09:00", "ouverte", "1", "1", "Rappel à 7 jours 09/03/2021 09:00"],
    ]  # fmt: skip
    assert 'href="/staff/journal?group=teletravail"' in page
    assert 'href="/staff/registrants?group=espaces-exterieurs"' in page


# ---- the chart -------------------------------------------------------------------------------


def test_the_figures_under_the_chart_are_those_of_the_database(
    running: Service, look: Look
) -> None:
    for email, group, status, at in (
        ("a", "teletravail", "approved", datetime(2021, 1, 9, 22, 59, tzinfo=UTC)),
        ("b", "teletravail", "cancelled", datetime(2021, 1, 9, 23, 1, tzinfo=UTC)),
        ("c", "teletravail", "pending", datetime(2021, 1, 10, 12, tzinfo=UTC)),
        ("c", "espaces-exterieurs", "approved", datetime(2021, 1, 10, 12, tzinfo=UTC)),
        ("d", "espaces-exterieurs", "denied", datetime(2021, 1, 11, 9, tzinfo=UTC)),
    ):
        register(running, f"{email}@example.org", group=group, status=status, at=at)
    page = look()
    assert table(page, "Inscriptions par jour") == [
        ["09/01/2021", "1", "0", "1"],
        ["10/01/2021", "2", "1", "3"],
        ["11/01/2021", "0", "1", "1"],
        ["Total", "3", "2", "5"],
    ]
    assert (
        '<svg class="columns" height="240" role="img" aria-labelledby="chart-title chart-desc">'
        in page
    )
    assert between(page, '<title id="chart-title">', "</title>") == "Inscriptions par jour et par rencontre"  # fmt: skip
    assert between(page, '<desc id="chart-desc">', "</desc>") == (
        "5 inscriptions, du 05/01/2021 au 11/01/2021 ; le plus le 10/01/2021 (3). Les chiffres sont"
        " dans le tableau qui suit."
    )
    assert len(re.findall(r'<rect class="g1"', page)) == 2
    assert len(re.findall(r'<rect class="g2"', page)) == 2


def test_before_anybody_registers_there_is_no_chart(running: Service, look: Look) -> None:
    page = look()
    assert "<svg" not in page
    assert cards(page) == ["0 inscrit", "0 en attente d’approbation", "0 désinscrit", "0 courrier à venir"]  # fmt: skip


@pytest.fixture
def drawn(service: Service) -> Callable[..., Chart]:
    """A chart of so many registrations a day, for so many days up to 11 January."""
    last = date(2021, 1, 11)

    def drawing(days: int, groups: int = 4, a_day: int = 1) -> Chart:
        rows = [
            {"focus_group": f"g{n % groups}", "email_folded": f"{day}-{n}", "email": "x", "first_name": "",
             "last_name": "", "status": "approved", "episode": 1, "decided_ts": 0, "source": "sweep",
             "registered_at": datetime(2021, 1, 11, 12, tzinfo=UTC) - timedelta(days=day)}
            for day in range(days) for n in range(a_day)
        ]  # fmt: skip
        with service.store.write() as connection:
            connection.execute(insert(registrants), rows)
        with service.store.read() as connection:
            made = chart(connection, [f"g{n}" for n in range(groups)], PARIS, last)
        assert made is not None
        return made

    return drawing


@pytest.mark.parametrize(
    ("days", "columns", "span", "labels"),
    [
        (1, 7, 1, 4),
        (7, 7, 1, 4),
        (90, 90, 1, 5),
        (100, 100, 1, 5),
        (101, 15, 7, 5),
        (400, 58, 7, 5),
    ],
)
def test_the_chart_fits_a_day_and_a_year(
    days: int, columns: int, span: int, labels: int, drawn: Callable[..., Chart]
) -> None:
    made = drawn(days)
    assert made.span == span
    assert made.total == days == sum(day.total for day in made.days)
    assert len(made.labels) == labels
    assert made.bars[-1].x + made.bars[-1].width == pytest.approx(
        100 - (100 / columns - made.bars[-1].width) / 2, abs=0.02
    )
    for bar in made.bars:
        assert 0 <= bar.x <= bar.x + bar.width <= 100
        assert 12 <= bar.y < bar.y + bar.height <= 212.1
    assert made.labels[0][1] == date(2021, 1, 11) - timedelta(days=(days - 1) % span)
    assert made.ticks[0] == (212, 0)


def test_columns_are_stacked_and_as_high_as_their_counts(drawn: Callable[..., Chart]) -> None:
    made = drawn(2, groups=2, a_day=23)
    assert [count for _, count in made.ticks] == [0, 5, 10, 15, 20, 25]
    lower, upper = made.bars[:2]
    assert (lower.colour, upper.colour) == ("g1", "g2")
    assert (lower.height, upper.height) == (96.0, 88.0)  # 12 and 11 of 25 over 200 pixels
    assert upper.y + upper.height == pytest.approx(lower.y)
    assert lower.y + lower.height == pytest.approx(212)


def test_a_fifth_group_has_a_colour_of_its_own(drawn: Callable[..., Chart]) -> None:
    made = drawn(1, groups=6, a_day=6)
    assert [colour for _, colour in made.legend] == ["g1", "g2", "g3", "g4", "g1 paler", "g2 paler"]


# ---- what must never happen ------------------------------------------------------------------


def test_a_hostile_title_stays_a_title_and_no_join_link_is_shown(
    running: Service, look: Look
) -> None:
    group, other = running.campaign.focus_groups
    running.take(replace(running.campaign, focus_groups=(replace(group, title=HOSTILE), other)))
    for trouble in (missing, edited, many_gone):
        trouble(running)
    owe(running, "alice@example.org")
    page = look()
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(&#34;Zoé &amp; Cie&#34;)&lt;/script&gt;") >= 6
    assert "SECRET" not in page
    assert "alice@example.org" not in page
