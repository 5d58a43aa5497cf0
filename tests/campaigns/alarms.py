"""I28: whatever somebody must know is told within a quarter of an hour, and nothing else is.

Told: a line in the journal, and a sentence among the alerts that staff see on their first page. Both
are read at one of the service's own marks, after every job has run.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from resonance_zoom.web.staff import alerts, at_work, overview
from resonance_zoom.zoom.simulator import SimMeeting
from tests.campaigns.draw import Window

if TYPE_CHECKING:
    from tests.campaigns.stage import Play

IN_TIME = timedelta(minutes=15)
TWO_LISTINGS = timedelta(minutes=45)  # what only two listings in a row can conclude
LATER = timedelta(minutes=20)
BORNE = 120  # seconds by which a clock may be wrong

CLOCK = "L’horloge de la machine n’est pas sûre"
DISK = "Le disque de la machine est presque plein"
FILE = "Le fichier de campagne modifié contient des erreurs"
LISTS = "Les listes de Zoom n"
NOT_FOUND = ("introuvable sur Zoom", "n’a pas été trouvée sur Zoom")
CROWD = "ont disparu des listes"
UNASKED = "Zoom n’a plus vérifié notre adresse"
WAITS = ("attend", "Le serveur de courrier ne répond pas", "Tous les envois sont suspendus", CLOCK)
# What a stretch of trouble alone may have told, by the kinds of lines of the journal.
ALLOWED = {
    "secret rotated": frozenset[str](),
    "addresses corrected": frozenset[str](),
    "pace of the relay": frozenset({"letters.slow"}),
    "disk fills up": frozenset({"disk.low"}),
    "file with mistakes": frozenset({"campaign.refused"}),
    "login refused": frozenset({"mail.unreachable", "letter.dropped", "letters.dropped"}),
    "letters refused": frozenset({"letter.failed"}),
    "hour changed": frozenset({"letters.dropped", "letter.dropped"}),
    "challenges stop": frozenset[str](),
    "tokens expire": frozenset[str](),
    "second daemon": frozenset[str](),
    "staff": frozenset({"letter.dropped", "letters.dropped"}),
    "campaign ended": frozenset[str](),
    "people erased": frozenset({"registration.ignored"}),
    "mail down": frozenset({"mail.unreachable", "letter.dropped", "letters.dropped"}),
}
ALWAYS = frozenset({"zoom.call"})


@dataclass(frozen=True, slots=True)
class Expected:
    """By `at` one of `sentences` is among the alerts, and a line of `kind` newer than `after`.

    Unless it does not `hold` any more by then.
    """

    at: datetime
    what: str
    sentences: tuple[str, ...]
    holds: Callable[[], bool]
    kind: str = ""
    after: int = 0


def _mark_before(moment: datetime) -> datetime:
    """Jobs that ask Zoom fire every ten minutes."""
    return moment.replace(minute=moment.minute - moment.minute % 10, second=0, microsecond=0)


class Alarms:
    """What staff must have been told by when, in one campaign."""

    def __init__(self, play: "Play") -> None:
        self.play = play
        self.expected: list[Expected] = []
        self.looks: set[datetime] = set()
        self.seen: set[str] = set()  # alerts that were there at some look
        self._doubted = 0
        days = sorted({group.day for group in play.plan.groups})
        for day in days if len(play.plan.on) <= 1 else ():
            self.looks.add(datetime(day.year, day.month, day.day, 3, 20, tzinfo=UTC))

    def next_at(self) -> datetime | None:
        """The next mark at which the alerts are read."""
        return min((*self.looks, *(one.at for one in self.expected)), default=None)

    # ---- what is expected ----------------------------------------------------------------------

    def expect(self, window: Window) -> None:
        """A stretch of trouble begins; only what lasts for long enough is looked at."""
        if window.ends < window.begins + IN_TIME + timedelta(minutes=1):
            return

        def is_open() -> bool:
            return window in self.play.hazards.open

        boots, was_up = self.play.boots, self.play.down_from is None

        def is_wrong() -> bool:
            # Of a clock that was set while nothing ran, nobody can know.
            kept = was_up and self.play.boots == boots
            return kept and is_open() and self.play.skew == timedelta(seconds=int(window.kind))

        if window.what == "clock" and abs(int(window.kind)) > BORNE:
            self._expect("the clock is wrong", (CLOCK,), is_wrong, kind="clock.held")
        elif window.what == "disk":
            self._expect("the disk is nearly full", (DISK,), is_open, kind="disk.low")
        elif window.what == "zoom down":
            self._expect("Zoom does not answer", (LISTS, "Zoom ne répond pas"), is_open)

    def expect_of_meeting(self, meeting: SimMeeting) -> None:
        """A meeting was deleted on Zoom."""
        self._expect("a meeting is missing", NOT_FOUND, lambda: self._can_be_missed(meeting))

    def _can_be_missed(self, meeting: SimMeeting) -> bool:
        asks = not any(one.what in {"zoom", "zoom down"} for one in self.play.hazards.open)
        return meeting.deleted and asks and self.play.clock() < meeting.end_time

    def expect_of_file(self) -> None:
        """The campaign file was edited and has a mistake."""
        holds: Callable[[], bool] = lambda: "file broken" in self.play._trouble_since  # noqa: E731
        self._expect("the file has a mistake", (FILE,), holds, kind="campaign.refused")

    def expect_of_crowd(self, slug: str) -> None:
        """A crowd is no longer in Zoom's lists."""
        since = self.play.clock()

        def holds() -> bool:
            calm = not self.play.hazards.open and not any(
                ends > since for _, ends, _ in self.play.bad
            )
            left = self.play.memory.fresh(
                "SELECT count(*) FROM registrants WHERE focus_group = ? AND email LIKE 'foule%'"
                " AND status = 'approved' AND absent_since IS NOT NULL", slug)[0][0]  # fmt: skip
            return calm and not self.play.plan.rates.get("listing lags") and left > 3

        self._expect("a crowd is gone", (CROWD,), holds, kind="sweep.many_gone", by=TWO_LISTINGS)

    def expect_of_challenges(self) -> None:
        """Zoom validates our address no more: known 80 hours after the last time."""
        asked = self.play.memory.fresh(
            "SELECT 1 FROM journal WHERE kind = 'webhook.challenge' LIMIT 1"
        )
        if asked:
            restores = len(self.play.restores)
            self._expect(
                "challenges stopped",
                (UNASKED,),
                lambda: (
                    len(self.play.restores) == restores and self.play.plan.ends > self.play.clock()
                ),
                by=timedelta(hours=80, minutes=15),
            )

    def _expect(
        self,
        what: str,
        sentences: tuple[str, ...],
        holds: Callable[[], bool],
        *,
        kind: str = "",
        by: timedelta = IN_TIME,
    ) -> None:
        at = _mark_before(self.play.clock() + by)
        after = 0
        if not self.play.damaged:
            after = self.play.memory.fresh("SELECT max(id) FROM journal")[0][0] or 0
        self.expected.append(Expected(at, what, sentences, holds, kind, after))

    # ---- looking ------------------------------------------------------------------------------

    def look(self, now: datetime) -> None:
        """Called after each step."""
        self._notice_doubts(now)
        due = [one for one in self.expected if one.at <= now]
        looks = {one for one in self.looks if one <= now}
        if not due and not looks:
            return
        self.looks -= looks
        self.expected = [one for one in self.expected if one not in due]
        play = self.play
        cannot = play.down_from is not None or any(
            window.what == "database" for window in play.hazards.open
        )
        if cannot:  # once it is up again
            at = _mark_before(now + LATER)
            self.expected += [
                Expected(at, one.what, one.sentences, one.holds, one.kind, one.after) for one in due
            ]
            return
        told = list(self._told())
        self.seen |= {_stem(sentence) for sentence in told}
        play.hazards.happened["alerts read"] += 1
        for one in due:
            if one.holds():
                play.hazards.happened[f"told: {one.what}"] += 1
                play.violations += self._lacking(one, told)
        play.violations += self._of_letters(told)
        if not play.plan.on:
            play.violations += [f"I28 {now}: without any trouble: {one}" for one in told]

    def _notice_doubts(self, now: datetime) -> None:
        """Whenever a letter is in doubt, the alerts are read a quarter of an hour later."""
        doubted = len(self.play.memory.relay.doubted)
        if doubted != self._doubted:
            self._doubted = doubted
            self.looks.add(_mark_before(now + IN_TIME) + timedelta(minutes=10))

    def _told(self) -> Iterator[str]:
        play, service = self.play, self.play.service
        free = SimpleNamespace(
            disk_usage=lambda folder: SimpleNamespace(free=play.free_bytes(folder))
        )
        was, alerts.shutil = alerts.shutil, free  # type: ignore[attr-defined]
        try:
            now = play.service_time()
            with service.store.read() as connection:
                work = at_work.at_work(connection, now, webhooks=True)
                for alert in overview.alerts_of(connection, service, now, work):
                    yield alert.sentence
        finally:
            alerts.shutil = was  # type: ignore[attr-defined]

    def _lacking(self, one: Expected, told: list[str]) -> Iterator[str]:
        now = self.play.clock()
        if not any(words in sentence for words in one.sentences for sentence in told):
            yield f"I28 {now}: {one.what}, and staff are told: {told or 'nothing'}"
        lines = self.play.memory.fresh(
            "SELECT 1 FROM journal WHERE kind = ? AND id > ? AND level IN ('warning', 'error')",
            one.kind,
            one.after,
        )
        if one.kind and not lines:
            yield f"I28 {now}: {one.what}, and the journal has no {one.kind}"

    def _of_letters(self, told: list[str]) -> Iterator[str]:
        """Letters in doubt, failed, or on their way for too long."""
        now = self.play.service_time()
        rows: list[Any] = self.play.memory.fresh(
            "SELECT letters.state, letters.reason, count(*), max(due_at < ?) FROM letters"
            " JOIN registrants ON registrants.id = registrant"
            " JOIN meetings ON meetings.focus_group = letters.focus_group"
            " WHERE status = 'approved' AND end_at > ? AND letters.state IN ('in_doubt', 'failed', 'queued')"
            " GROUP BY 1, 2",
            f"{now - IN_TIME:%Y-%m-%d %H:%M:%S.%f}",
            f"{now:%Y-%m-%d %H:%M:%S.%f}",
        )
        for state, reason, count, is_late in rows:
            if state == "queued":
                words = WAITS if is_late and reason != "by_hand" else ("",)
            elif state == "failed":
                words = ("n’a pas pu", "n’ont pas pu")
            else:
                words = ("peut-être arrivé",)
            if words != ("",):
                self.play.hazards.happened[f"told: letters {state}"] += 1
            if not any(one in sentence for one in words for sentence in (*told, "")):
                yield (
                    f"I28 {self.play.clock()}: {count} letters are {state} ({reason}),"
                    f" and staff are told: {told or 'nothing'}"
                )


def _stem(sentence: str) -> str:
    return sentence.split("«")[0].split("(")[0].strip()[:40]


def nothing_else(play: "Play") -> Iterator[str]:
    """Where nothing goes wrong nobody is alarmed; where one thing does, of that one thing."""
    if len(play.plan.on) > 1:
        return
    (only,) = play.plan.on or {""}
    if only and only not in ALLOWED:
        return
    allowed = ALLOWED.get(only, frozenset()) | (ALWAYS if only else frozenset())
    for at, kind, message in play.memory.fresh(
        "SELECT at, kind, message FROM journal WHERE level IN ('warning', 'error')"
    ):
        if kind not in allowed:
            yield f"I28 {at}: {only or 'nothing goes wrong'}: {kind}: {message}"
