"""Draws a whole campaign from one integer: dates, people, and what goes wrong, when and how often.

Every class of faults is on or off for a seed, with a strength of its own: many seeds have none or
one of them. Faults are aimed, because random moments almost never meet the ones that matter: the
due moments, the registrations, the boot.
"""

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from resonance_zoom.rehearsal.script import Act, Script

PARIS = ZoneInfo("Europe/Paris")
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
# First days of campaigns: an ordinary one, and both changes of clocks in Europe.
OPENINGS = (date(2026, 9, 7), date(2026, 10, 13), date(2027, 3, 16), date(2027, 1, 11))
NAMES = (
    ("Alice", "Martin"),
    ("Bruno", "Œuvrard"),
    ("Chloé", ""),
    ("", ""),
    ("<script>alert(1)</script>", "=1+1"),
    ("Ève\r\nBcc: x@evil.example", "\u202eX"),
    ("=?UTF-8?Q?=0D=0A?=", "{{ 7*7 }}"),
    ("A" * 80, "\u2028'; DROP TABLE letters; --"),
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


@dataclass(frozen=True, slots=True)
class Group:
    """A focus group of the drawn campaign; local times of Paris."""

    slug: str
    title: str
    day: date
    starts: time

    @property
    def start(self) -> datetime:
        return datetime.combine(self.day, self.starts, PARIS).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time in which something is wrong. `rate`: how many calls it strikes."""

    what: str
    begins: datetime
    ends: datetime
    kind: str = ""
    rate: float = 1.0


@dataclass(frozen=True, slots=True)
class CrashPlan:
    """The process dies when it passes `point` once more than `skip` times after `at`."""

    at: datetime
    point: str
    skip: int
    down: timedelta


@dataclass(slots=True)
class Plan:
    """One campaign: its file, its script, and its faults."""

    seed: int
    groups: list[Group]
    reminder_days: tuple[int, ...]
    send_at: time
    approval: str
    on: frozenset[str]
    opens: datetime
    acts: list[Act] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    crashes: list[CrashPlan] = field(default_factory=list)
    rates: dict[str, float] = field(default_factory=dict)
    page_size: int = 300

    @property
    def ends(self) -> datetime:
        return max(group.start for group in self.groups) + timedelta(hours=4)

    def script(self) -> Script:
        return Script(self.opens, self.ends, tuple(sorted(self.acts)))

    def file(self) -> str:
        """The campaign file."""
        groups = "".join(
            f"""
[[focus_group]]
slug = "{group.slug}"
title = "{group.title}"
date = {group.day}
starts = {group.starts}
ends = {(datetime.combine(group.day, group.starts) + timedelta(hours=2)).time()}
agenda = "Question {group.slug}"
"""
            for group in self.groups
        )
        return f"""[campaign]
name = "Mission Résonance"
slug = "campagne"
timezone = "Europe/Paris"
language = "fr"
zoom_host = "organisation@example.org"
approval = "{self.approval}"

[organiser]
name = "Mission Résonance"
email = "contact@example.org"

[reminders]
days_before = {list(self.reminder_days)}
send_at = {self.send_at}
{groups}"""


def draw(seed: int, *, on: frozenset[str] | None = None) -> Plan:
    """The campaign of a seed; `on` puts other classes of faults in place of the drawn ones."""
    rng = random.Random(f"campaign {seed}")  # noqa: S311 — it must repeat
    if on is None:
        on = _classes(rng)
    opening = rng.choice(OPENINGS)
    opens = datetime.combine(opening, time(rng.randrange(6, 20), rng.randrange(60)), UTC)
    plan = Plan(
        seed=seed,
        groups=_groups(rng, opening),
        reminder_days=rng.choice(((7, 1), (7, 1), (7, 1), (1,), (7,))),
        send_at=time(rng.choice((8, 9, 9, 9, 18)), rng.choice((0, 0, 30))),
        approval="manual" if rng.random() < 0.15 else "automatic",
        on=on,
        opens=opens,
        page_size=rng.choice((300, 300, 2, 3)),
    )
    _people(rng, plan)
    for name in FAULT_CLASSES:
        if name in on:
            _FAULTS[name](rng, plan)
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


def _groups(rng: random.Random, opening: date) -> list[Group]:
    first = opening + timedelta(days=rng.randrange(9, 14))
    count = rng.choice((1, 1, 2, 2, 3))
    days = [first]
    while len(days) < count:
        days.append(days[-1] + timedelta(days=rng.randrange(1, 4)))
    return [
        Group(f"groupe-{n}", f"Groupe n° {n}", day, time(rng.choice((9, 9, 14)), 0))
        for n, day in enumerate(days, start=1)
    ]


def due_moments(plan: Plan, group: Group) -> list[datetime]:
    """When this group's reminders fall due as the file stands at first."""
    return [
        datetime.combine(group.day - timedelta(days=n), plan.send_at, PARIS).astimezone(UTC)
        for n in plan.reminder_days
    ]


def moments(rng: random.Random, plan: Plan, *, aimed: float = 0.6) -> datetime:
    """A moment of the campaign; mostly one at which much depends on what happens."""
    latest = max(group.start for group in plan.groups) - timedelta(hours=2)
    if rng.random() < aimed:
        dues = [due for group in plan.groups for due in due_moments(plan, group)]
        registrations = [act.at for act in plan.acts if act.what in {"registers", "cancels"}]
        centre = rng.choice([rng.choice(dues), rng.choice(registrations or dues), plan.opens])
        shift = rng.choice((-1800, -90, -30, -1, 0, 1, 5, 20, 61, 900))
        moment = centre + timedelta(seconds=shift)
    else:
        moment = plan.opens + rng.random() * (latest - plan.opens)
    return max(moment, plan.opens).replace(microsecond=0)


def _people(rng: random.Random, plan: Plan) -> None:
    for number in range(rng.choice((1, 2, 3, 4, 5, 6, 8))):
        email = f"personne{number + 1}@example.org"
        names = NAMES[number % 3] if rng.random() < 0.7 else rng.choice(NAMES)
        for group in rng.sample(plan.groups, rng.randrange(1, len(plan.groups) + 1)):
            _visits(rng, plan, group, email, names)


def _visits(
    rng: random.Random, plan: Plan, group: Group, email: str, names: tuple[str, str]
) -> None:
    """Registers, may leave, may come back: at any time, or around the due moments."""
    earliest, latest = plan.opens + timedelta(minutes=20), group.start - timedelta(minutes=30)
    at = _around(rng, plan, group, earliest, latest)
    for turn in range(5):
        if at is None:
            return
        what = "cancels" if turn % 2 else "registers"
        written = email.upper() if rng.random() < 0.1 else email
        plan.acts.append(Act(at, what, group.slug, written, *(name or "" for name in names)))
        if what == "registers" and plan.approval == "manual":
            decided = at + timedelta(minutes=rng.choice((1, 30, 60 * 20)))
            act = "denies" if rng.random() < 0.2 else "approves"
            plan.acts.append(Act(decided, act, group.slug, email))
        if what == "registers" and rng.random() < 0.1:  # a second time: they get what they have
            plan.acts.append(Act(at + timedelta(minutes=1), what, group.slug, email, *names))
        if rng.random() > 0.35:
            return
        at = _around(rng, plan, group, at + timedelta(minutes=rng.choice((2, 40))), latest)


def _around(
    rng: random.Random, plan: Plan, group: Group, earliest: datetime, latest: datetime
) -> datetime | None:
    if earliest >= latest:
        return None
    if rng.random() < 0.4:
        due = rng.choice(due_moments(plan, group))
        moment = due + timedelta(seconds=rng.choice((-1200, -60, -1, 0, 1, 30, 600)))
        if earliest <= moment <= latest:
            return moment
    return (earliest + rng.random() * (latest - earliest)).replace(microsecond=0)


# ---- faults -------------------------------------------------------------------------------------


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
    plan.rates["listing lags"] = rng.choice((30, 180, 600))


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
