"""The overview: is all well, who is registered, what leaves next, what needs somebody."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, exists, func, select
from starlette.responses import Response

from resonance_zoom import meetings, notices, reminders
from resonance_zoom.campaign import CANCELLED, MOVED, Campaign
from resonance_zoom.comparison import SECOND_THOUGHTS
from resonance_zoom.service import Service
from resonance_zoom.store import journal, outbox, tallies
from resonance_zoom.store.tables import letters, registrants
from resonance_zoom.web.health import LETTER_AGE
from resonance_zoom.web.staff import alerts, zoom_alerts
from resonance_zoom.web.staff.alerts import Alert
from resonance_zoom.web.staff.at_work import AtWork, at_work
from resonance_zoom.web.staff.chart import chart
from resonance_zoom.web.staff.door import Visit
from resonance_zoom.web.staff.meetings import state_of, title_of

WEEK = timedelta(days=7)
MOMENT = timedelta(seconds=30)
OVER = frozenset({"past", "cancelled"})
Counts = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Leaf:
    """Letters that leave together: of one kind, to one group, from `at` on."""

    at: datetime
    kind: str
    slug: str
    title: str
    people: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A line of the table of groups; `coming` is its next letter that anybody gets."""

    slug: str
    title: str
    start: datetime | None
    state: str
    counts: Mapping[str, int]
    capacity: int | None
    coming: Leaf | None

    @property
    def taken(self) -> int:
        """Places held, also by who waits for approval."""
        return self.counts.get("approved", 0) + self.counts.get("pending", 0)


def show(visit: Visit) -> Response:
    """GET /staff/."""
    service, campaign, now = visit.service, visit.service.campaign, visit.now
    with service.store.read() as connection:
        work = at_work(connection, now, webhooks=service.settings.webhooks)
        open_alerts = alerts_of(connection, service, now, work)
        rows: dict[str, Any] = {row.focus_group: row for row in meetings.rows(connection)}
        counts = tallies.registrations(connection)
        people = tallies.people(connection, "approved")
        leaves = list(_leaves(connection, campaign, rows, counts, now))
        drawn = chart(
            connection,
            [group.slug for group in campaign.focus_groups],
            campaign.timezone,
            now.astimezone(campaign.timezone).date(),
        )
        paused = journal.recall(connection, journal.PAUSED)
        stopped = paused or journal.recall(connection, journal.HELD) or work.stopped
    leaves.sort(key=lambda leaf: leaf.at)
    groups = list(_groups(campaign, rows, counts, leaves, now))
    limited = [group for group in groups if group.capacity and group.state not in OVER]
    return visit.page(
        "overview.html",
        heading="Vue d’ensemble",
        first=open_alerts[0] if open_alerts else None,
        others=open_alerts[1:],
        work=work,
        soon=work.reads_at is not None and work.reads_at - now < MOMENT,
        paused=paused,
        stopped=bool(stopped),
        totals={
            status: sum(group.counts.get(status, 0) for group in groups)
            for status in ("approved", "pending", "cancelled")
        },
        people=people,
        limited=limited,
        taken=sum(group.taken for group in limited),
        capacity=sum(group.capacity or 0 for group in limited),
        coming=_coming(leaves),
        leaves=[leaf for leaf in leaves if leaf.at <= now + WEEK],
        groups=groups,
        titles={group.slug: group.title for group in groups},
        chart=drawn,
    )


def alerts_of(connection: Connection, service: Service, now: datetime, work: AtWork) -> list[Alert]:
    """Everything open: what needs somebody before what settles itself, the gravest first."""
    found = (
        *alerts.of_service(connection, service, work),
        *alerts.of_sending(connection, service, now),
        *alerts.of_jobs(service, now, work),
        *zoom_alerts.of_meetings(connection, service.campaign, now),
        *alerts.of_mailbox(connection, service),
        *alerts.of_file(connection),
        *zoom_alerts.of_lists(connection, service, now),
        *alerts.of_letters(connection, now, work),
        *_unprepared(connection, service.campaign, now, work),
        *zoom_alerts.of_pending(connection, now),
    )
    return sorted(found, key=lambda alert: not alert.needs)


def _unprepared(
    connection: Connection, campaign: Campaign, now: datetime, work: AtWork
) -> Iterator[Alert]:
    """Reminders that fell due a while ago and that nobody wrote down: their job does not run."""
    if work.stopped or work.starting or journal.recall(connection, journal.HELD):
        return  # told already, or about to be made good
    rows: dict[str, Any] = {row.focus_group: row for row in meetings.rows(connection)}
    dues = [due for due in _dues(campaign, rows, now) if due[2] < now - LETTER_AGE]
    if people := sum(_owed(connection, dues, {}, now)):
        yield Alert(
            needs=True,
            sentence=f"{people} rappels sont dus et ne sont pas préparés."
            if people > 1
            else "Un rappel est dû et n’est pas préparé.",
            remedy="Redémarrez le service ; ce qui peut encore partir partira.",
            link=("/staff/journal?kind=letters", "Journal"),
        )


# ---- what leaves -----------------------------------------------------------------------------


def _leaves(
    connection: Connection,
    campaign: Campaign,
    rows: Mapping[str, Any],
    counts: Counts,
    now: datetime,
) -> Iterator[Leaf]:
    """The letters queued, then the reminders still to fall due and the news of edits to come."""
    titles = {group.slug: group.title for group in campaign.focus_groups}

    def leaf(at: datetime, kind: str, slug: str, people: int) -> Leaf:
        title = titles.get(slug) or title_of(slug, None, rows.get(slug))
        return Leaf(at, kind, slug, title, people)

    for (slug, kind, state), people in tallies.letters(connection).items():
        if state == outbox.QUEUED and (ready_at := outbox.next_ready_of(connection, slug, kind)):
            yield leaf(ready_at, kind, slug, people)
    dues = list(_dues(campaign, rows, now))
    for (slug, kind, at, _start), people in zip(
        dues, _owed(connection, dues, counts, now), strict=True
    ):
        if people or at > now:
            yield leaf(at, kind, slug, people)
    for slug, row in rows.items():
        if row.edit and row.cancelled_at is None and state_of(None, row, now) not in OVER:
            kind, people = _news_of(connection, row, counts.get(slug, {}))
            if people:
                yield leaf(row.edited_at + SECOND_THOUGHTS, kind, slug, people)


def _news_of(connection: Connection, row: Any, counts: Mapping[str, int]) -> tuple[str, int]:
    """Who hears of a change of the file if it is not corrected: (kind of letter, how many)."""
    if row.edit == meetings.CALLED_OFF:
        return CANCELLED, counts.get("approved", 0) + counts.get("pending", 0)
    if "start_time" not in row.edit:
        return MOVED, 0
    start = datetime.fromisoformat(row.edit["start_time"])
    return MOVED, notices.people_to_tell(connection, row.focus_group, start)


Due = tuple[str, str, datetime, datetime]


def _dues(campaign: Campaign, rows: Mapping[str, Any], now: datetime) -> Iterator[Due]:
    """(group, kind, when, start) of the reminders of every meeting to come."""
    groups = {group.slug: group for group in campaign.focus_groups}
    for slug in dict.fromkeys((*groups, *rows)):
        group, row = groups.get(slug), rows.get(slug)
        start = (row.start_at if row is not None else None) or (group.start if group else None)
        if start is None or start <= now or state_of(group, row, now) in OVER:
            continue
        for due in campaign.reminders(start):
            if due.until > now:
                yield slug, due.kind, due.at, start


def _owed(
    connection: Connection, dues: Sequence[Due], counts: Counts, now: datetime
) -> Sequence[int]:
    """To how many people of today each is owed and not yet written down."""
    return [
        counts.get(due[0], {}).get("approved", 0) if due[2] > now else _owed_now(connection, due)
        for due in dues
    ]


def _owed_now(connection: Connection, due: Due) -> int:
    """Who lacks it: everyone was looked at when it fell due, since then who was told of."""
    slug, kind, at, start = due
    written = exists().where(
        letters.c.registrant == registrants.c.id,
        letters.c.kind == kind,
        letters.c.occasion == outbox.occasion_of(start),
    )
    lacking = (
        select(func.count())
        .select_from(registrants)
        .where(outbox.owed_reminder(slug, at), ~written)
    )
    since = reminders.looked_until(connection, slug, kind, at, start)
    if since is not None:
        lacking = lacking.where(outbox.was_told_of(slug, since))
    return int(connection.execute(lacking).scalar_one())


def _coming(leaves: Sequence[Leaf]) -> Leaf | None:
    """The next letter that anybody gets."""
    return next((leaf for leaf in leaves if leaf.people), None)


def _groups(
    campaign: Campaign,
    rows: Mapping[str, Any],
    counts: Counts,
    leaves: Sequence[Leaf],
    now: datetime,
) -> Iterator[Group]:
    """Those of the file in its order, then those that only the database knows."""
    of_file = {group.slug: group for group in campaign.focus_groups}
    for slug in dict.fromkeys((*of_file, *rows, *sorted(counts))):
        group, row = of_file.get(slug), rows.get(slug)
        start = row.start_at if row is not None else None
        yield Group(
            slug=slug,
            title=title_of(slug, group, row),
            start=start or (group.start if group else None),
            state=state_of(group, row, now),
            counts=counts.get(slug, {}),
            capacity=group.capacity if group else None,
            coming=_coming([leaf for leaf in leaves if leaf.slug == slug]),
        )
