"""Draws a whole campaign from one integer: dates and people. What goes wrong in it: `trouble`."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from resonance_zoom.rehearsal.script import Act, Script

PARIS = ZoneInfo("Europe/Paris")
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


@dataclass(frozen=True, slots=True)
class Poison:
    """A person of whom something always goes wrong, and must go wrong for nobody else.

    `how`: every letter is refused, put off or cannot be made, or Zoom's list holds no address.
    """

    email: str
    how: str


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
    letters_a_minute: int | None = None  # what the relay takes
    poison: Poison | None = None
    closing: str = ""  # how the campaign ends: "purge", "close", or as it stands

    @property
    def ends(self) -> datetime:
        return max(group.start for group in self.groups) + timedelta(hours=4)

    def without(self, email: str) -> "Plan":
        """The same campaign, in which a person never took part."""
        return replace(self, acts=[act for act in self.acts if act.email.lower() != email])

    def script(self) -> Script:
        return Script(self.opens, self.ends, tuple(sorted(self.acts)))

    def file(self, *, days: Mapping[str, date] | None = None, send_at: time | None = None) -> str:
        """The campaign file; `days` and `send_at`: as the organiser has edited it since."""
        groups = "".join(
            f"""
[[focus_group]]
slug = "{group.slug}"
title = "{group.title}"
date = {(days or {}).get(group.slug, group.day)}
starts = {group.starts}
ends = {(datetime.combine(group.day, group.starts) + timedelta(hours=2)).time()}
agenda = "Question {group.slug}"
"""
            for group in self.groups
        )
        pace = f"letters_per_minute = {self.letters_a_minute}" if self.letters_a_minute else ""
        return f"""[campaign]
name = "Mission Résonance"
slug = "campagne"
timezone = "Europe/Paris"
language = "fr"
zoom_host = "organisation@example.org"
approval = "{self.approval}"
{pace}

[organiser]
name = "Mission Résonance"
email = "contact@example.org"

[reminders]
days_before = {list(self.reminder_days)}
send_at = {send_at or self.send_at}
{groups}"""


def begin(rng: random.Random, seed: int, on: frozenset[str]) -> Plan:
    """The campaign of a seed, in which nothing has gone wrong yet."""
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
    return plan


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
        names = names[0], f"{names[1]} {mark_of(number)}" if names[1] else ""
        for group in rng.sample(plan.groups, rng.randrange(1, len(plan.groups) + 1)):
            _visits(rng, plan, group, email, names)


def mark_of(number: int) -> str:
    """Part of a person's last name, by which it is recognised wherever it stands."""
    return f"Nom{number}x{number * number + 7}"


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
        plan.acts.append(Act(at, what, group.slug, written, *names))
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
