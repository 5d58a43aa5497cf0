"""Who does what and when in a rehearsal: drawn from a seed, aimed at the moments that matter."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from resonance_zoom.campaign import Campaign, FocusGroup

FIRST = ("Alice", "Bruno", "Chloé", "Driss", "Élise", "Farid", "Gaëlle", "Hugo", "Inès", "Léo")
LAST = ("Martin", "Bernard", "Petit", "Durand", "Leroy", "Moreau", "Simon", "Lefèvre", "Garcia")
OPENS_BEFORE = timedelta(days=28)


@dataclass(frozen=True, slots=True, order=True)
class Act:
    """One thing that happens: `what` is a method of the stage, called with the rest."""

    at: datetime
    what: str
    group: str = ""
    email: str = ""
    first_name: str = ""
    last_name: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """A whole campaign: when it opens and ends, and everything that people and faults do."""

    opens: datetime
    ends: datetime
    acts: tuple[Act, ...]


def write(campaign: Campaign, *, seed: int, registrants: int) -> Script:
    """The script of a seed: the same seed, the same script."""
    draw = random.Random(f"{seed}/{registrants}")  # noqa: S311 — it must repeat, not surprise
    groups = sorted(campaign.focus_groups, key=lambda group: group.start)
    opens = groups[0].start - OPENS_BEFORE
    acts = [
        act
        for number in range(registrants)
        for act in _person(draw, campaign, groups, opens, number)
    ]
    acts += _faults(campaign, groups)
    return Script(opens, max(group.end for group in groups), tuple(sorted(acts)))


def _person(
    draw: random.Random,
    campaign: Campaign,
    groups: list[FocusGroup],
    opens: datetime,
    number: int,
) -> Iterator[Act]:
    first, last = draw.choice(FIRST), draw.choice(LAST)
    email = f"personne{number + 1:04}@example.org"
    chosen = draw.sample(groups, k=min(len(groups), draw.choice((1, 1, 1, 2))))
    for group in chosen:

        def act(at: datetime, what: str, group: FocusGroup = group) -> Act:
            return Act(at.replace(microsecond=0), what, group.slug, email, first, last)

        latest = group.start - timedelta(hours=3)
        registers = opens + draw.random() * (latest - opens)
        if draw.random() < 0.1:  # around the moment when a reminder falls due
            due = draw.choice(campaign.reminders(group.start)).at
            registers = due + timedelta(seconds=draw.choice((-60, -1, 0, 1, 60)))
        yield act(max(registers, opens + timedelta(minutes=30)), "registers")
        if draw.random() < 0.15:
            cancels = _quiet(draw, campaign, group, registers + timedelta(hours=1), latest)
            if cancels is None:
                continue
            yield act(cancels, "cancels")
            if draw.random() < 0.4:
                again = _quiet(draw, campaign, group, cancels + timedelta(hours=1), latest)
                if again is not None:
                    yield act(again, "registers")


def _quiet(
    draw: random.Random,
    campaign: Campaign,
    group: FocusGroup,
    after: datetime,
    before: datetime,
) -> datetime | None:
    """A moment between the two, not within 12 hours of a reminder: who cancels while a letter is
    on its way may rightly get it or not, and the rehearsal only judges what is certain."""
    for _ in range(20):
        if after >= before:
            return None
        moment = after + draw.random() * (before - after)
        dues = (due.at for due in campaign.reminders(group.start))
        if all(abs(moment - due) > timedelta(hours=12) for due in dues):
            return moment
    return None


def _faults(campaign: Campaign, groups: list[FocusGroup]) -> Iterator[Act]:
    """A lost webhook, an outage across a last reminder, a meeting edited by hand on Zoom."""
    first, last = groups[0], groups[-1]
    lost = first.start - timedelta(days=15, hours=2)
    yield Act(lost, "loses_next_webhook")
    stray = "absent.webhook@example.org"
    yield Act(lost + timedelta(minutes=1), "registers", first.slug, stray, "Ambre", "Perdue")
    middle = groups[min(1, len(groups) - 1)]
    due = campaign.reminders(middle.start)[-1].at
    yield Act(due - timedelta(hours=2), "goes_down")
    night = "pendant.panne@example.org"
    yield Act(due - timedelta(hours=1), "registers", middle.slug, night, "Paul", "Panne")
    yield Act(due + timedelta(hours=3), "comes_up")
    yield Act(last.start - timedelta(days=12), "is_edited_on_zoom", last.slug)
