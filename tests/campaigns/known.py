"""I14 to I18: what is known here is what the truth is, and how it came to be known."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, select

from resonance_zoom import learning, registrations
from resonance_zoom.learning import Told
from resonance_zoom.registrations import UNLISTED
from resonance_zoom.rehearsal.verdict import _stays_of
from resonance_zoom.reminders import Send, verdict
from resonance_zoom.store import claims
from resonance_zoom.store.tables import events, meetings, metadata, registrants
from tests.campaigns.timely import deadline, erased_since

if TYPE_CHECKING:
    from tests.campaigns.stage import Play

ORDERS = 5
_ENGINES: list[Engine] = []  # one in memory for all campaigns of a process
TEN_MINUTES = timedelta(minutes=10)


def is_stored(play: "Play", event: str, event_ts: int, registrant: str) -> bool:
    """Whether an announcement stands in the database, for whoever opens it now."""
    kept = play.memory.fresh(
        "SELECT 1 FROM events WHERE event = ? AND event_ts = ? AND registrant_id = ? LIMIT 1",
        event,
        event_ts,
        registrant,
    )
    return bool(kept) or bool(
        play.memory.fresh(
            "SELECT 1 FROM journal WHERE kind IN ('webhook.received', 'registration.ignored')"
            " AND (json_extract(data, '$.event_ts') = ? OR kind = 'registration.ignored') LIMIT 1",
            event_ts,
        )
    )


def still_stored(play: "Play") -> Iterator[str]:
    """I14: what was answered 200 is there at the end, whatever has crashed since."""
    erased = play.erased or play.hazards.happened["person erased"]
    for (event, event_ts, registrant), at in play.acknowledged.items():
        if not erased and not is_stored(play, event, event_ts, registrant):
            yield f"I14 {event} was answered 200 at {at} and is gone"


def as_they_are(play: "Play") -> Iterator[str]:
    """I16: everybody is known once, and as Zoom has them."""
    for row in play.memory.fresh(
        "SELECT focus_group, email_folded, count(*) FROM registrants GROUP BY 1, 2"
    ):
        if row[2] != 1:
            yield f"I16 {row[1]} is known {row[2]} times in {row[0]}"
    known = {
        (row[0], row[1])
        for row in play.memory.fresh(
            "SELECT focus_group, email_folded FROM registrants"
            " WHERE status IN ('approved', 'pending')"
        )
    }
    unreadable = play.plan.poison and play.plan.poison.how == "unreadable"
    for meeting in play.zoom.meetings.values():
        slug = play.slug_of(meeting)
        last = max((at for who in meeting.registrants.values() for at, _ in who.history),
                   default=play.plan.opens)  # fmt: skip
        by = deadline(play, last, timedelta(minutes=45))
        if by > min(meeting.end_time, play.plan.ends) or unreadable:
            continue
        if any(what == "restored" and began > meeting.end_time - timedelta(minutes=45)
               for began, _, what in play.bad):  # fmt: skip
            continue  # nobody asks Zoom any more about a meeting that was over by then
        truth = {(slug, who.email.lower()) for who in meeting.registrants.values() if who.active}
        ours = {pair for pair in known if pair[0] == slug}
        came = {(slug, who.email.lower()): who.create_time for who in meeting.registrants.values()}
        for pair in sorted(truth ^ ours):
            if pair in came and erased_since(play, pair[1], came[pair]):
                continue
            yield f"I16 {pair} is {'not ' if pair in truth else ''}known here"


# ---- I15 ------------------------------------------------------------------------------------------


def in_any_order(play: "Play") -> Iterator[str]:
    """I15: a state is the sum of events, in whatever order, and in whatever company, they come.

    All of them are learnt anew by the real code, in five orders and groups, and must always end in
    what stands in the database.
    """
    with play.service.store.read() as connection:
        told = connection.execute(select(events).order_by(events.c.id)).all()
        stands = {(row.focus_group, row.email_folded): row
                  for row in connection.execute(select(registrants))}  # fmt: skip
        groups = connection.execute(select(meetings)).mappings().all()
    heard = Counter((row.focus_group, row.event, row.event_ts, row.registrant_id) for row in told)
    yield from (f"I17 {key} is kept {count} times" for key, count in heard.items() if count > 1)
    rng = random.Random(f"orders {play.plan.seed}")  # noqa: S311 — it must repeat
    for number in range(ORDERS if told else 0):
        order = [*told]
        rng.shuffle(order)
        states, going = _learnt(play, order, groups, size=rng.choice((1, 3, len(told))))
        for pair, state in states.items():
            if pair in stands and (differs := _differing(state, stands[pair])):
                yield f"I15 {pair}: in order {number} {differs}, their row says otherwise"
        yield from _whose_letter_goes(states, going, groups, play)


def _learnt(
    play: "Play", order: Sequence[Any], groups: Sequence[Any], *, size: int
) -> tuple[dict[tuple[str, str], Any], Counter[tuple[str, str]]]:
    """People as they stand after these events, and whose confirmations would go then."""
    now = play.plan.opens
    rows = {group["focus_group"]: SimpleNamespace(**group) for group in groups}
    with _engine().connect() as connection:
        connection.begin()
        try:
            connection.execute(meetings.insert(), [dict(group) for group in groups])
            for first in range(0, len(order), size):
                some = [_told(row, rows) for row in order[first : first + size]]
                learning.learn(connection, some, play.service.campaign, now)
            states = {(row.focus_group, row.email_folded): row
                      for row in connection.execute(select(registrants))}  # fmt: skip
            return states, _going(connection, now)
        finally:
            connection.rollback()


def _told(row: Any, meetings_by_group: dict[str, Any]) -> Told:
    return Told(learning._event(row), row.key, meetings_by_group[row.focus_group])


def _going(connection: Connection, now: datetime) -> Counter[tuple[str, str]]:
    found = claims.ready(connection, now, limit=500)
    return Counter(
        (claim.registrant.focus_group, claim.registrant.email_folded)
        for claim in found
        if isinstance(verdict(claim, now), Send) or claim.registrant.join_url is None
    )


def _whose_letter_goes(
    states: dict[tuple[str, str], Any],
    going: Counter[tuple[str, str]],
    groups: Sequence[Any],
    play: "Play",
) -> Iterator[str]:
    """One confirmation to everybody who is in, none to anybody else."""
    closed = {group["focus_group"] for group in groups
              if group["cancelled_at"] or group["state"] == "missing"}  # fmt: skip
    for pair, row in states.items():
        if pair[0] in closed:
            continue
        wanted = 1 if row.status == "approved" else 0
        if going[pair] != wanted and (wanted or row.join_url):
            yield f"I15 {pair} is {row.status}, and {going[pair]} confirmations would go"


def _differing(state: Any, row: Any) -> dict[str, Any]:
    return {
        name: getattr(state, name)
        for name in registrations.State._fields
        if getattr(state, name) != getattr(row, name)
    }


def _engine() -> Engine:
    if not _ENGINES:
        engine = create_engine("sqlite://")
        metadata.create_all(engine)
        _ENGINES.append(engine)
    return _ENGINES[0]


# ---- I17, I18 -------------------------------------------------------------------------------------


def repairs_are_accounted_for(play: "Play") -> Iterator[str]:
    """I17: sweeps repair no more than was lost, came late, or Zoom never tells of.

    Otherwise they would hide that announcements are not understood.
    """
    refused = [one for one in play.zoom.webhooks.log if one.status in {400, 401}]
    if refused and not play.zoom.faults.happened["bad-signature"]:
        yield f"I17 {len(refused)} genuine announcements were refused, the first at {refused[0].at}"
    if play.restores or play.hazards.happened["listing lagged"] or play.skew:
        return
    repaired = sum(
        count
        for (count,) in play.memory.fresh(
            "SELECT json_extract(data, '$.repaired') + json_extract(data, '$.gone') FROM journal"
            " WHERE kind = 'sweep.repaired'"
        )
    )
    first = [one for one in play.zoom.webhooks.log if one.attempt <= 1]
    missed = sum(one.outcome != "done" for one in first)
    # Zoom tells nobody of a registrant whom somebody deletes.
    deleted = sum(
        status == "deleted"
        for meeting in play.zoom.meetings.values()
        for who in meeting.registrants.values()
        for _, status in who.history
    )
    late = play.hazards.happened + play.zoom.faults.happened
    excused = missed + deleted + sum(late[kind] for kind in ("delayed", "stale", "reordered"))
    excused += late["person erased"] + late["clock jumped"] * 100
    if repaired > excused:
        yield f"I17 sweeps repaired {repaired} registrations, {excused} may have been missed"


def nobody_vanished(play: "Play") -> Iterator[str]:
    """I18: nobody is concluded to be gone by absence who was there; no crowd without a yes."""
    # By a clock that is wrong, what was heard bears a wrong time.
    wrong = [abs(int(one.kind)) for one in play.plan.windows if one.what == "clock"]
    slack = timedelta(seconds=max(wrong, default=0))
    together: Counter[tuple[str, str]] = Counter()
    for slug, email, event_ts, received in play.memory.fresh(
        "SELECT focus_group, email_folded, event_ts, received_at FROM events"
        " WHERE event = ?", UNLISTED,
    ):  # fmt: skip
        together[slug, received] += 1
        heard = datetime.fromisoformat(received).replace(tzinfo=UTC)
        for meeting in play.zoom.meetings.values():
            if play.slug_of(meeting) != slug:
                continue
            for person in meeting.registrants.values():
                if person.email.lower() != email:
                    continue
                for stay in _stays_of(person):
                    left = stay.until or play.plan.ends
                    began = datetime.fromtimestamp(event_ts / 1000, UTC)
                    long_there = stay.since < began - timedelta(minutes=11) - slack
                    if long_there and left > heard + slack:
                        yield f"I18 {email} of {slug} was said to be gone at {heard}"
    for (slug, received), count in together.items():
        heard = datetime.fromisoformat(received).replace(tzinfo=UTC)
        people = play.memory.fresh(
            "SELECT count(*) FROM registrants WHERE focus_group = ?", slug)[0][0]  # fmt: skip
        if count > max(3, people // 10) and heard not in play.agreed:
            yield f"I18 {count} of {slug} were concluded to be gone at {heard}, and nobody agreed"
