"""What goes wrong in the campaign of a seed, when and how often.

Every class of faults is on or off for a seed, with a strength of its own: many seeds have none or
one of them. Faults are aimed, because random moments almost never meet the ones that matter: the
due moments, the registrations, the boot. The rarer ones of `rarer` are drawn from dice of their
own, so that a seed means what it meant before there were any: `older` leaves them out.
"""

import random
from datetime import timedelta
from typing import Any

from resonance_zoom.rehearsal.script import Act
from tests.campaigns import rarer
from tests.campaigns.draw import CrashPlan, Plan, Window, begin, due_moments, moments

FAULT_CLASSES = (
    "webhooks",
    "webhooks down",
    "zoom answers badly",
    "zoom down",
    "listing lags",
    "tokens expire",
    "edits on zoom",
    "deleted on zoom",
    "mail answers badly",
    "mail down",
    "answers of the mail server lost",
    "crashes",
    "outages",
    "database",
    "clock",
    "second daemon",
    "staff",
    "file edited",
    "backup restored",
    "people erased",
)
POINTS = (
    "commit before",
    "commit after",
    "zoom before",
    "zoom after",
    "mail before",
    "mail after",
    "webhook after",
)
API_KINDS = ("timeout-before", "timeout-after", "html", "truncated", "cut-off", "wrong-type",
             "401", "404", "429", "500", "503")  # fmt: skip
MAIL_KINDS = ("4xx", "broken before", "unreachable", "5xx once")


def draw(seed: int, *, on: frozenset[str] | None = None, older: bool = False) -> Plan:
    """The campaign of a seed; `on` puts other classes of faults in place of the drawn ones."""
    rng = random.Random(f"campaign {seed}")  # noqa: S311 — it must repeat
    more = random.Random(f"rarer {seed}")  # noqa: S311 — as above
    drawn = _classes(rng) if on is None else on
    if on is None and not older:
        drawn = rarer.classes(more, drawn)
    plan = begin(rng, seed, drawn)
    for name in FAULT_CLASSES:
        if name in drawn:
            _FAULTS[name](rng, plan)
    for name in rarer.RARER_CLASSES:
        if name in drawn:
            rarer.DRAWN[name](more, plan)
    return plan


def _classes(rng: random.Random) -> frozenset[str]:
    """None in one seed of eight, one class in half of them, several in the others."""
    lot = rng.random()
    if lot < 0.125:
        return frozenset()
    if lot < 0.6:
        return frozenset({rng.choice(FAULT_CLASSES)})
    if lot < 0.9:
        return frozenset(rng.sample(FAULT_CLASSES, rng.randrange(2, 6)))
    return frozenset(FAULT_CLASSES)


def _window(
    rng: random.Random, plan: Plan, what: str, minutes: tuple[int, ...], **more: Any
) -> None:
    begins = moments(rng, plan)
    ends = begins + timedelta(minutes=rng.choice(minutes))
    plan.windows.append(Window(what, begins, ends, **more))


def _webhooks(rng: random.Random, plan: Plan) -> None:
    for kind in ("lost", "duplicated", "delayed", "reordered", "stale", "bad-signature"):
        if rng.random() < 0.5:
            plan.rates[kind] = rng.choice((0.1, 0.3, 0.6))


def _webhooks_down(rng: random.Random, plan: Plan) -> None:
    for _ in range(rng.randrange(1, 3)):
        _window(rng, plan, "webhooks down", (3, 20, 80, 95))


def _zoom_answers_badly(rng: random.Random, plan: Plan) -> None:
    for _ in range(rng.randrange(1, 4)):
        kind, rate = rng.choice(API_KINDS), rng.choice((0.1, 0.3, 0.7))
        _window(rng, plan, "zoom", (2, 15, 45), kind=kind, rate=rate)


def _zoom_down(rng: random.Random, plan: Plan) -> None:
    _window(rng, plan, "zoom down", (2, 30, 300))


def _listing_lags(rng: random.Random, plan: Plan) -> None:
    plan.rates["listing lags"] = rng.choice((30, 180, 600, 1_200))  # seconds


def _tokens_expire(rng: random.Random, plan: Plan) -> None:
    for _ in range(3):
        plan.acts.append(Act(moments(rng, plan), "tokens_expire"))


def _edits(rng: random.Random, plan: Plan) -> None:
    for _ in range(rng.randrange(1, 3)):
        group, at = rng.choice(plan.groups), moments(rng, plan)
        if rng.random() < 0.3:
            # In the middle of a wave that cannot leave: its letters speak of a date that is gone.
            due = rng.choice(due_moments(plan, group))
            begins, ends = due - timedelta(minutes=1), due + timedelta(minutes=45)
            plan.windows.append(Window("mail", begins, ends, kind="unreachable"))
            at = due + timedelta(minutes=rng.choice((2, 12)))
        by = rng.choice(("30", "-60", "1440", "2880", "-1440"))
        plan.acts.append(Act(at, "is_moved_on_zoom", group.slug, by))


def _deleted(rng: random.Random, plan: Plan) -> None:
    group, at = rng.choice(plan.groups), moments(rng, plan)
    plan.acts.append(Act(at, "is_deleted_on_zoom", group.slug))
    back = at + timedelta(minutes=rng.choice((20, 90, 180)))
    plan.acts.append(Act(back, "is_recovered_on_zoom", group.slug))


def _mail_answers_badly(rng: random.Random, plan: Plan) -> None:
    for _ in range(rng.randrange(1, 3)):
        kind, rate = rng.choice(MAIL_KINDS[:3]), rng.choice((0.3, 0.7, 1.0))
        _window(rng, plan, "mail", (1, 10, 40), kind=kind, rate=rate)


def _mail_down(rng: random.Random, plan: Plan) -> None:
    if rng.random() < 0.6:
        _window(rng, plan, "mail", (5, 60, 60 * 20), kind="unreachable")
        return
    # Until it is too late for the last reminder, and still early enough to send it.
    group = rng.choice(plan.groups)
    begins = max(*due_moments(plan, group), group.start - timedelta(hours=30))
    ends = group.start - timedelta(minutes=40)
    plan.windows.append(Window("mail", begins, ends, kind="unreachable"))


def _answers_lost(rng: random.Random, plan: Plan) -> None:
    plan.rates["answer lost"] = rng.choice((0.05, 0.2, 0.5))


def _crashes(rng: random.Random, plan: Plan) -> None:
    for _ in range(rng.randrange(1, 5)):
        down = timedelta(seconds=rng.choice((5, 30, 600, 7200)))
        at, skip = moments(rng, plan, aimed=0.9), rng.choice((0, 0, 1, 2, 3, 5, 8))
        plan.crashes.append(CrashPlan(at, rng.choice(POINTS), skip, down))


def _outages(rng: random.Random, plan: Plan) -> None:
    at = moments(rng, plan, aimed=0.9) - timedelta(minutes=rng.choice((0, 1, 60)))
    at = max(at, plan.opens + timedelta(minutes=1))
    hours = rng.choice((0.1, 3, 20, 30))
    plan.acts.append(Act(at, "goes_down"))
    plan.acts.append(Act(at + timedelta(hours=hours), "comes_up"))


def _database(rng: random.Random, plan: Plan) -> None:
    for _ in range(rng.randrange(1, 3)):
        kind = rng.choice(("busy", "full"))
        _window(rng, plan, "database", (1, 10, 60), kind=kind, rate=rng.choice((0.2, 1.0)))


def _clock(rng: random.Random, plan: Plan) -> None:
    # Up to 90 seconds are borne, more is held.
    seconds = rng.choice((30, -30, 90, -90, 600, -600, 7200, -7200))
    if seconds < 0 or rng.random() < 0.3:
        _window(rng, plan, "clock", (10, 120), kind=str(seconds))
        return
    # It leaps over a due moment, and comes back before that one has truly come.
    due = rng.choice(due_moments(plan, rng.choice(plan.groups)))
    begins = due - timedelta(seconds=round(seconds * rng.uniform(0.3, 0.9)))
    ends = due - timedelta(seconds=round(seconds * 0.2))
    plan.windows.append(Window("clock", begins, ends, kind=str(seconds)))


def _second_daemon(rng: random.Random, plan: Plan) -> None:
    plan.rates["second daemon"] = 0.2


def _staff(rng: random.Random, plan: Plan) -> None:
    at = moments(rng, plan)
    plan.acts.append(Act(at, "staff_pause"))
    plan.acts.append(Act(at + timedelta(minutes=rng.choice((5, 60))), "staff_resume"))
    for _ in range(2):
        plan.acts.append(Act(moments(rng, plan), "staff_resend"))


def _file_edited(rng: random.Random, plan: Plan) -> None:
    group, at = rng.choice(plan.groups), moments(rng, plan, aimed=0.3)
    plan.acts.append(Act(at, "file_moves", group.slug, str(rng.choice((1, -1, 2)))))
    if rng.random() < 0.4:  # a typo, corrected at once
        plan.acts.append(Act(at + timedelta(minutes=4), "file_moves", group.slug, "0"))


def _restored(rng: random.Random, plan: Plan) -> None:
    """A backup is made; later, a little or days, the service is stopped and goes on from it."""
    at = moments(rng, plan)
    back = max(moments(rng, plan), at + timedelta(minutes=rng.choice((3, 60, 60 * 30))))
    plan.acts.append(Act(at, "backs_up"))
    plan.acts.append(Act(back, "goes_down"))
    plan.acts.append(Act(back + timedelta(minutes=2), "restores"))
    plan.acts.append(Act(back + timedelta(minutes=3), "comes_up"))


def _erased(rng: random.Random, plan: Plan) -> None:
    visits = [act for act in plan.acts if act.what == "registers"]
    for _ in range(min(2, len(visits))):
        chosen = rng.choice(visits)
        at = max(moments(rng, plan), chosen.at + timedelta(minutes=1))
        plan.acts.append(Act(at, "staff_erases", email=chosen.email))


_FAULTS = {
    "webhooks": _webhooks,
    "webhooks down": _webhooks_down,
    "zoom answers badly": _zoom_answers_badly,
    "zoom down": _zoom_down,
    "listing lags": _listing_lags,
    "tokens expire": _tokens_expire,
    "edits on zoom": _edits,
    "deleted on zoom": _deleted,
    "mail answers badly": _mail_answers_badly,
    "mail down": _mail_down,
    "answers of the mail server lost": _answers_lost,
    "crashes": _crashes,
    "outages": _outages,
    "database": _database,
    "clock": _clock,
    "second daemon": _second_daemon,
    "staff": _staff,
    "file edited": _file_edited,
    "backup restored": _restored,
    "people erased": _erased,
}
