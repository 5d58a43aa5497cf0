"""The rarer troubles: of staff and their file, of machines, of a relay that is strict, of the end.

Each is aimed like those of `trouble`, and drawn from dice of its own.
"""

import random
from datetime import timedelta

from resonance_zoom.rehearsal.script import Act
from tests.campaigns.draw import (
    CrashPlan,
    Plan,
    Poison,
    Window,
    due_moments,
    mark_of,
    moments,
)

RARER_CLASSES = (
    "addresses corrected",
    "secret rotated",
    "hour changed",
    "machine suspended",
    "crash loops",
    "campaign ended",
    "file damaged",
    "letters refused",
    "letters put off for long",
    "pace of the relay",
    "disk fills up",
    "login refused",
    "file with mistakes",
    "many leave at once",
    "clock wrong for a day",
    "challenges stop",
    "somebody is poison",
)
# Nothing in these depends on how many calls were made before: a campaign with one person less is
# otherwise the same.
FREE_OF_DICE = (
    "webhooks down",
    "zoom down",
    "edits on zoom",
    "mail down",
    "outages",
    "file edited",
    "hour changed",
    "machine suspended",
)


def classes(rng: random.Random, drawn: frozenset[str]) -> frozenset[str]:
    """Of four seeds one has a single rarer class and nothing else, one some beside what it has."""
    lot = rng.random()
    if lot < 0.02:
        return frozenset({"somebody is poison"})
    if lot < 0.06:
        return frozenset({"somebody is poison", *rng.sample(FREE_OF_DICE, rng.randrange(1, 4))})
    if lot < 0.30:
        return frozenset({rng.choice(RARER_CLASSES[:-1])})
    if lot < 0.50:
        return drawn | frozenset(rng.sample(RARER_CLASSES[:-1], rng.randrange(1, 4)))
    if lot < 0.53:
        return drawn | frozenset(RARER_CLASSES[:-1])
    return drawn


def _window(
    rng: random.Random, plan: Plan, what: str, minutes: tuple[int, ...], kind: str = ""
) -> None:
    begins = moments(rng, plan)
    ends = begins + timedelta(minutes=rng.choice(minutes))
    plan.windows.append(Window(what, begins, ends, kind=kind))


def _addresses_corrected(rng: random.Random, plan: Plan) -> None:
    visits = [act for act in plan.acts if act.what == "registers"]
    for number in range(min(2, len(visits))):
        wrong = rng.choice(visits)
        at = max(moments(rng, plan), wrong.at + timedelta(minutes=rng.choice((1, 5, 90))))
        right = f"corrige{number}@example.org"
        plan.acts.append(Act(at, "staff_corrects", wrong.group, wrong.email, right))


def _secret_rotated(rng: random.Random, plan: Plan) -> None:
    """Both are accepted, Zoom changes over, the old one is no longer accepted."""
    at = moments(rng, plan)
    plan.acts.append(Act(at, "accepts_both_secrets"))
    plan.acts.append(Act(at + timedelta(minutes=rng.choice((1, 10, 600))), "rotates_secret"))
    forgets = at + timedelta(minutes=rng.choice((700, 1500)))
    plan.acts.append(Act(forgets, "accepts_the_new_secret"))


def _hour_changed(rng: random.Random, plan: Plan) -> None:
    at = moments(rng, plan, aimed=0.7)
    hour = rng.choice([hour for hour in (8, 9, 11, 18) if hour != plan.send_at.hour])
    plan.acts.append(Act(at, "file_sets_hour", "", f"{hour:02}:00"))


def _machine_suspended(rng: random.Random, plan: Plan) -> None:
    """The machine sleeps; afterwards its monotonic clock has run on, or not."""
    for _ in range(rng.randrange(1, 3)):
        at = moments(rng, plan, aimed=0.8) - timedelta(minutes=rng.choice((0, 1, 20)))
        steady = rng.choice(("runs on", "stands still"))
        act = Act(max(at, plan.opens), "is_suspended", "", str(rng.choice((4, 40, 180))), steady)
        plan.acts.append(act)


def _crash_loops(rng: random.Random, plan: Plan) -> None:
    """The process dies in a letter, and then several times while it boots."""
    plan.rates["crash loops"] = rng.randrange(1, 5)
    for _ in range(2):
        at, down = moments(rng, plan, aimed=0.9), timedelta(seconds=rng.choice((5, 60, 900)))
        point = rng.choice(("mail after", "mail after", "mail before", "commit after"))
        plan.crashes.append(CrashPlan(at, point, rng.choice((0, 1, 2)), down))
    at = moments(rng, plan, aimed=0.9)
    plan.acts.append(Act(at, "goes_down"))
    plan.acts.append(Act(at + timedelta(seconds=30), "comes_up"))


def _campaign_ended(rng: random.Random, plan: Plan) -> None:
    plan.closing = rng.choice(("close", "purge"))


def _file_damaged(rng: random.Random, plan: Plan) -> None:
    """While the service is stopped its database is damaged; it stays down until a backup is back."""
    at = max(moments(rng, plan), plan.opens + timedelta(hours=1))
    how = rng.choice(("overwritten", "truncated", "emptied", "deleted"))
    plan.acts.append(Act(at, "goes_down"))
    plan.acts.append(Act(at + timedelta(seconds=20), "is_damaged", "", how))
    plan.acts.append(Act(at + timedelta(seconds=40), "comes_up"))
    back = at + timedelta(minutes=rng.choice((5, 40)))
    plan.acts.append(Act(back, "restores_newest"))
    plan.acts.append(Act(back + timedelta(seconds=30), "comes_up"))


def _letters_refused(rng: random.Random, plan: Plan) -> None:
    for _ in range(rng.randrange(1, 3)):
        _window(rng, plan, "mail", (1, 10, 40), "5xx once")


def _letters_put_off(rng: random.Random, plan: Plan) -> None:
    """Longer than a letter is tried for."""
    due = rng.choice(due_moments(plan, rng.choice(plan.groups)))
    begins = due - timedelta(minutes=rng.choice((1, 90)))
    ends = begins + timedelta(hours=rng.choice((6, 11, 14)))
    plan.windows.append(Window("mail", begins, ends, kind="4xx"))


def _pace(rng: random.Random, plan: Plan) -> None:
    plan.letters_a_minute = rng.choice((1, 2, 4))


def _disk_fills_up(rng: random.Random, plan: Plan) -> None:
    _window(rng, plan, "disk", (3, 40, 120))


def _login_refused(rng: random.Random, plan: Plan) -> None:
    _window(rng, plan, "mail", (5, 60, 200), "login refused")


def _file_with_mistakes(rng: random.Random, plan: Plan) -> None:
    at = moments(rng, plan)
    plan.acts.append(Act(at, "file_breaks"))
    plan.acts.append(Act(at + timedelta(minutes=rng.choice((5, 30, 300))), "file_is_mended"))


def _many_leave(rng: random.Random, plan: Plan) -> None:
    """A crowd is deleted on Zoom, which tells nobody: staff are asked before it is believed."""
    group, at = rng.choice(plan.groups), plan.opens + timedelta(hours=2)
    for number in range(20, 20 + rng.choice((4, 5, 7))):
        names = "Foule", mark_of(number)
        plan.acts.append(Act(at, "registers", group.slug, f"foule{number}@example.org", *names))
        if plan.approval == "manual":
            decided = at + timedelta(minutes=5)
            email = f"foule{number}@example.org"
            plan.acts.append(Act(decided, "approves", group.slug, email))
        at += timedelta(minutes=3)
    leave = max(at + timedelta(hours=1), moments(rng, plan))
    leave = min(leave, group.start - timedelta(hours=8))
    plan.acts.append(Act(leave, "many_are_deleted", group.slug))


def _clock_wrong(rng: random.Random, plan: Plan) -> None:
    begins = moments(rng, plan)
    seconds = rng.choice((-7200, -900, 900))
    plan.windows.append(Window("clock", begins, begins + timedelta(hours=26), kind=str(seconds)))


def _challenges_stop(rng: random.Random, plan: Plan) -> None:
    at = plan.opens + timedelta(hours=rng.choice((73, 80, 100)))
    plan.acts.append(Act(at, "zoom_stops_asking"))


def _poison(rng: random.Random, plan: Plan) -> None:
    emails = sorted({act.email.lower() for act in plan.acts if act.what == "registers"})
    how = rng.choice(("refused", "put off", "unmade", "unreadable"))
    plan.poison = Poison(rng.choice(emails), how)


DRAWN = {
    "addresses corrected": _addresses_corrected,
    "secret rotated": _secret_rotated,
    "hour changed": _hour_changed,
    "machine suspended": _machine_suspended,
    "crash loops": _crash_loops,
    "campaign ended": _campaign_ended,
    "file damaged": _file_damaged,
    "letters refused": _letters_refused,
    "letters put off for long": _letters_put_off,
    "pace of the relay": _pace,
    "disk fills up": _disk_fills_up,
    "login refused": _login_refused,
    "file with mistakes": _file_with_mistakes,
    "many leave at once": _many_leave,
    "clock wrong for a day": _clock_wrong,
    "challenges stop": _challenges_stop,
    "somebody is poison": _poison,
}
