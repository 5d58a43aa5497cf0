"""Did the link leave? The question of the telephone, answered for one registration.

not registered            Sans objet
a letter with it is sent  Oui
being sent, or to be sent Pas encore: the reason, and when it is tried again
answer lost, or delayed   Incertain
on its way to the person
all that were sent came   Non: the reason
back
failed, dropped, not owed Non: the reason
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from resonance_zoom import acts
from resonance_zoom.campaign import CONFIRMATION, Campaign
from resonance_zoom.mail import french
from resonance_zoom.service import Service
from resonance_zoom.store import journal, outbox
from resonance_zoom.store.tables import letters, meetings
from resonance_zoom.undelivered import DELAYED, LOST
from resonance_zoom.web import words
from resonance_zoom.web.words import DONE, ITSELF, NEEDED

YES, NOT_YET, UNSURE, NO, NOTHING = "Oui", "Pas encore", "Incertain", "Non", "Sans objet"
SECONDS = timedelta(minutes=5)  # a letter that is ready for longer than this should have left
_MOST_TELLING = (
    outbox.SENDING,
    outbox.QUEUED,
    outbox.IN_DOUBT,
    outbox.FAILED,
    outbox.DROPPED,
)
_UNDER_WAY = (outbox.SENDING, outbox.QUEUED)
_NO_PLACE = {
    "pending": "l’inscription attend une approbation sur zoom.us",
    "denied": "l’inscription a été refusée",
    "cancelled": "la personne s’est désinscrite",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """`word` and `sentence` in one look, `short` for a table; `said`: the mail server's own words.

    `left_at`: when the link last left for this registration, None when it has not.
    """

    word: str
    sentence: str
    verdict: str
    short: str
    said: str = ""
    left_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sending:
    """What keeps all letters from leaving; None where nothing does."""

    paused_by: str | None = None
    held: str | None = None  # what the clock guard said, in English
    relay: str | None = None  # what the mail server (or the way to it) said
    relay_again_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What answers depend on beside the person: the campaign, the hour, what stops all letters.

    `to_folder`: there is no mail server; letters are kept in a folder.
    """

    campaign: Campaign
    now: datetime
    sending: Sending
    meetings: Mapping[str, Any]
    to_folder: bool

    def title(self, slug: str) -> str:
        """What a group is called: by the file, else as Zoom has it."""
        group, meeting = self.campaign.focus_group(slug), self.meetings.get(slug)
        return group.title if group else (meeting.topic if meeting else None) or slug

    def titles(self) -> dict[str, str]:
        """Every group, also those that the file no longer has."""
        slugs = [*(group.slug for group in self.campaign.focus_groups), *self.meetings]
        return {slug: self.title(slug) for slug in slugs}

    def start(self, slug: str) -> datetime | None:
        """When a group's meeting starts, None when nobody knows."""
        group, meeting = self.campaign.focus_group(slug), self.meetings.get(slug)
        start = meeting.start_at if meeting is not None else None
        return start or (group.start if group else None)

    def end(self, slug: str) -> datetime | None:
        """When it ends."""
        group, meeting = self.campaign.focus_group(slug), self.meetings.get(slug)
        end = meeting.end_at if meeting is not None else None
        return end or (group.end if group else None)

    def over(self, slug: str) -> bool:
        """Whether a group's meeting is past or will not be."""
        meeting, end = self.meetings.get(slug), self.end(slug)
        called_off = meeting is not None and meeting.cancelled_at is not None
        return called_off or end is None or end <= self.now


def circumstances(connection: Connection, service: Service) -> Circumstances:
    """How things stand now."""
    return Circumstances(
        campaign=service.campaign,
        now=service.now(),
        sending=_sending(connection),
        meetings={row.focus_group: row for row in connection.execute(select(meetings))},
        to_folder=service.settings.smtp_url is None,
    )


def _sending(connection: Connection) -> Sending:
    relay = journal.recall(connection, journal.RELAY) or {}
    return Sending(
        paused_by=journal.recall(connection, journal.PAUSED),
        held=journal.recall(connection, journal.HELD),
        relay=relay.get("error"),
        relay_again_at=datetime.fromisoformat(relay["again_at"]) if relay else None,
    )


def letters_by_person(connection: Connection, ids: Iterable[int]) -> dict[int, list[Any]]:
    """All letters of some registrants, the oldest first."""
    found: dict[int, list[Any]] = {number: [] for number in ids}
    rows = select(letters).where(letters.c.registrant.in_(list(found))).order_by(letters.c.id)
    for row in connection.execute(rows):
        found[row.registrant].append(row)
    return found


def answer(person: Any, owed: Sequence[Any], here: Circumstances) -> Answer:
    """Whether this registration's link left, from its row and all letters of the registrant."""
    carriers = list(_carriers(person, owed))
    sent = [letter for letter in carriers if letter.state == outbox.SENT]
    found = [letter for letter in carriers if letter.state != outbox.SENT]
    if person.status in _NO_PLACE:
        return _no_place(person)
    if arrived := [letter for letter in sent if letter.bounce != LOST]:
        return _left(_last(arrived), here)
    if sent and not any(letter.state in _UNDER_WAY for letter in found):
        return _came_back(_last(sent), here)
    if here.over(person.focus_group):
        return _too_late(person, found, here)
    if not found:
        return _not_owed(here)
    return _not_sent(_most_telling(found), here)


def _carriers(person: Any, owed: Sequence[Any]) -> Iterable[Any]:
    """The letters with the link of this very registration.

    One that happened before the registration but was told after it makes another episode, whose
    link has left already: then no confirmation is owed, and what has left since counts.
    """
    with_link = [letter for letter in owed if letter.kind not in acts.ANY_STATUS]
    own = any(
        letter.kind == CONFIRMATION and letter.episode == person.episode for letter in with_link
    )
    for letter in with_link:
        since = letter.claimed_at is not None and letter.claimed_at >= person.registered_at
        if letter.episode == person.episode or (not own and since):
            yield letter


def _last(sent: Sequence[Any]) -> Any:
    return max(sent, key=lambda letter: (letter.sent_at, letter.id))


def _most_telling(found: Sequence[Any]) -> Any:
    return min(found, key=lambda letter: (_MOST_TELLING.index(letter.state), -letter.id))


def _no_place(person: Any) -> Answer:
    reason = _NO_PLACE[person.status]
    if person.status == "pending":
        return _made(NOT_YET, f"{reason} ; le lien partira aussitôt après.", NEEDED, reason)
    return _made(NOTHING, f"{reason} ; aucun lien ne lui est dû.", DONE, reason)


def _left(letter: Any, here: Circumstances) -> Answer:
    when = french.date_hour(letter.sent_at, here.campaign.timezone)
    kind = words.letter_kind(letter.kind).lower()
    took = (
        "il est rangé dans un dossier, faute de serveur de courrier"
        if here.to_folder
        else "le serveur de courrier l’a accepté"
    )
    if letter.bounce == DELAYED:
        return _delayed(letter, f"le lien est parti {when} ({kind}), {took}", here)
    return Answer(
        YES,
        _typeset(f"Le lien est parti {when} ({kind}), {took}."),
        ITSELF if here.to_folder else DONE,
        f"lien envoyé le {french.short(letter.sent_at, here.campaign.timezone)}",
        letter.detail or "",
        letter.sent_at,
    )


def _delayed(letter: Any, left: str, here: Circumstances) -> Answer:
    """No server tells that a delayed letter has arrived after all."""
    short = f"lien envoyé le {french.short(letter.sent_at, here.campaign.timezone)}, retardé"
    because = f"{left}, mais il est retardé en chemin"
    reason = words.bounce_reason(letter.bounce_status)
    found = _made(UNSURE, f"{because} : {reason}.", ITSELF, short, letter.bounce_detail)
    return replace(found, left_at=letter.sent_at)


def _came_back(letter: Any, here: Circumstances) -> Answer:
    when = french.date_hour(letter.sent_at, here.campaign.timezone)
    kind = words.letter_kind(letter.kind).lower()
    reason = words.bounce_reason(letter.bounce_status)
    back = f"le courrier est parti {when} ({kind}), mais il est revenu : {reason}"
    short = f"courrier revenu, {reason}"
    if here.over(letter.focus_group):
        return _made(NO, f"{back}.", DONE, short, letter.bounce_detail)
    return _made(NO, f"{back}, à vous d’agir.", NEEDED, short, letter.bounce_detail)


def _too_late(person: Any, found: Sequence[Any], here: Circumstances) -> Answer:
    meeting = here.meetings.get(person.focus_group)
    if meeting is not None and meeting.cancelled_at is not None:
        return _made(NOTHING, "la réunion est annulée ; il n’y a rien à rejoindre.", DONE)
    reason = _reason(_most_telling(found)) if found else ""
    because = f"{reason} ; la réunion est passée." if reason else "la réunion est passée."
    return _made(NO, because, DONE, reason or "la réunion est passée")


def _not_owed(here: Circumstances) -> Answer:
    if not here.campaign.sends_confirmations:
        reason = "Zoom envoie lui-même la confirmation dans cette campagne"
        return _made(NOTHING, f"{reason} ; d’ici ne partent que les rappels.", DONE, reason)
    return _made(NO, "aucun courrier ne lui est dû, à vous d’agir.", NEEDED, "aucun courrier dû")


def _not_sent(letter: Any, here: Circumstances) -> Answer:
    if letter.state == outbox.SENDING:
        return _made(NOT_YET, "le courrier part en ce moment même.", ITSELF, "il part")
    if letter.state == outbox.QUEUED:
        return _queued(letter, here)
    unsure = letter.state == outbox.IN_DOUBT and letter.reason != outbox.MANY_TODAY
    word = UNSURE if unsure else NO
    reason = _reason(letter)
    return _made(word, f"{reason}, à vous d’agir.", NEEDED, reason, letter.detail)


def _queued(letter: Any, here: Circumstances) -> Answer:
    stop = _stop(here)
    if stop is not None:
        return stop
    again = _again(letter.ready_at, here)
    reason = _reason(letter)
    if letter.ready_at > here.now:
        because = f"{reason}, nouvel essai {again}" if reason else f"le courrier partira {again}"
        return _made(NOT_YET, f"{because}.", ITSELF, because, letter.detail)
    if letter.ready_at < here.now - SECONDS:
        because = f"le courrier est prêt depuis {_since(letter.ready_at, here)} et ne part pas"
        return _made(NOT_YET, f"{because}, à vous d’agir.", NEEDED, because, letter.detail)
    because = f"le courrier est prêt et part d’un instant à l’autre ({reason})" if reason else (
        "le courrier est prêt et part d’un instant à l’autre"
    )  # fmt: skip
    return _made(NOT_YET, f"{because}.", ITSELF, because, letter.detail)


def _stop(here: Circumstances) -> Answer | None:
    """The answer to everyone whose letter waits, while no letter leaves at all."""
    sending = here.sending
    if sending.paused_by:
        reason = f"tous les envois sont suspendus par {sending.paused_by}"
        return _made(NOT_YET, f"{reason}, à vous d’agir.", NEEDED, "envois suspendus")
    if sending.held:
        reason = "tous les courriers sont retenus, l’horloge de la machine est douteuse"
        return _made(NOT_YET, f"{reason}, à vous d’agir.", NEEDED, "courriers retenus")
    if sending.relay and sending.relay_again_at:
        again = _again(max(sending.relay_again_at, here.now), here)
        reason = "le serveur de courrier ne répond pas"
        return _made(NOT_YET, f"{reason}, nouvel essai {again}.", ITSELF, reason, sending.relay)
    return None


def _made(word: str, because: str, verdict: str, short: str = "", said: str | None = "") -> Answer:
    brief = f"{word.lower()} : {short or because.rstrip('.')}"
    return Answer(word, _typeset(because), verdict, _typeset(brief), said or "")


def _reason(letter: Any) -> str:
    return words.REASONS.get(letter.reason, letter.reason) if letter.reason else ""


def _again(moment: datetime, here: Circumstances) -> str:
    """`à 9 h 05` today, `mardi 9 février 2021 à 9 h 05` on another day."""
    zone = here.campaign.timezone
    if moment.astimezone(zone).date() == here.now.astimezone(zone).date():
        return f"à {french.hour(moment, zone)}"
    return french.date_hour(moment, zone)


def _since(moment: datetime, here: Circumstances) -> str:
    """`9 h 05`, `le mardi 9 février 2021 à 9 h 05`."""
    again = _again(moment, here)
    return again.removeprefix("à ") if again.startswith("à ") else f"le {again}"


def _typeset(text: str) -> str:
    return french.for_page(french.typeset(text))
