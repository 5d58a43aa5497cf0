"""Registrations per day and group: the columns of a drawing, and the same figures for a table.

Across, places are hundredths of the drawing's width, so that it fits any page while its words keep
their size; upright they are pixels.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from resonance_zoom.store import tallies

TOP, GROUND, HEIGHT = 12, 212, 240  # of the highest line, of the foot of the columns, of it all
COLOURS = 4  # --group-1 … --group-4 of the stylesheet; then the same once more, paler
FEWEST_DAYS, MOST_COLUMNS, LABELS = 7, 100, 5
WIDEST = 8.0
_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


@dataclass(frozen=True, slots=True)
class Bar:
    """A piece of a column: one group in one span. `colour`: classes of the stylesheet."""

    x: float
    y: float
    width: float
    height: float
    colour: str


@dataclass(frozen=True, slots=True)
class Day:
    """A line of the table: how many registered for each group, and in all."""

    day: date
    counts: Mapping[str, int]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """`days`: those on which anybody registered; `span`: how many days stand in one column.

    `legend`: (group, colour); `ticks`: (place, how many); `labels`: (place, day).
    """

    days: tuple[Day, ...]
    first: date
    last: date
    span: int
    legend: tuple[tuple[str, str], ...]
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, int], ...]
    labels: tuple[tuple[float, date], ...]
    total: int

    @property
    def fullest(self) -> Day:
        """The day on which most people registered, the first of several."""
        return max(self.days, key=lambda day: day.total)

    def sum_of(self, group: str) -> int:
        """How many registered for a group."""
        return sum(day.counts.get(group, 0) for day in self.days)


def chart(
    connection: Connection, groups: Sequence[str], timezone: ZoneInfo, today: date
) -> Chart | None:
    """From the first registration to today, also of those who left since. None before the first."""
    counts = _counts(connection, timezone)
    if not counts:
        return None
    known = (*groups, *sorted({group for day in counts.values() for group in day} - set(groups)))
    last = max(today, *counts)
    first = min(min(counts), last - timedelta(days=FEWEST_DAYS - 1))
    length = (last - first).days + 1
    span = 1 if length <= MOST_COLUMNS else 7
    columns = [
        _together(counts, first + timedelta(days=start), span) for start in range(0, length, span)
    ]
    scale, ticks = _scale(max(sum(column.values()) for column in columns))
    slot = 100 / len(columns)
    every = -(-len(columns) // LABELS)
    return Chart(
        days=tuple(
            Day(day, of_day, sum(of_day.values())) for day, of_day in sorted(counts.items())
        ),
        first=first,
        last=last,
        span=span,
        legend=tuple((group, _colour(place)) for place, group in enumerate(known)),
        bars=tuple(_bars(columns, known, slot, scale)),
        ticks=ticks,
        labels=tuple(
            (round((n + 0.5) * slot, 2), first + timedelta(days=n * span))
            for n in range(len(columns) - 1, -1, -every)
        ),
        total=sum(sum(of_day.values()) for of_day in counts.values()),
    )


def _counts(connection: Connection, timezone: ZoneInfo) -> dict[date, dict[str, int]]:
    """{local day: {group: registrations}}."""
    counts: dict[date, dict[str, int]] = {}
    for day, group, registrations in tallies.by_day(connection, timezone):
        counts.setdefault(day, {})[group] = registrations
    return counts


def _together(counts: Mapping[date, Mapping[str, int]], first: date, span: int) -> dict[str, int]:
    column: dict[str, int] = {}
    for n in range(span):
        for group, count in counts.get(first + timedelta(days=n), {}).items():
            column[group] = column.get(group, 0) + count
    return column


def _scale(most: int) -> tuple[float, tuple[tuple[float, int], ...]]:
    """Pixels a person, and at most five lines at round numbers above the ground."""
    step = next((step for step in _STEPS if most <= 5 * step), most)
    highest = -(-most // step) * step
    scale = (GROUND - TOP) / highest
    return scale, tuple(
        (round(GROUND - count * scale, 1), count) for count in range(0, highest + 1, step)
    )


def _bars(
    columns: Sequence[Mapping[str, int]], groups: Sequence[str], slot: float, scale: float
) -> Iterator[Bar]:
    width = min(slot * 0.8, WIDEST)
    for n, column in enumerate(columns):
        y = float(GROUND)
        for place, group in enumerate(groups):
            if count := column.get(group, 0):
                y -= count * scale
                x = (n + 0.5) * slot - width / 2
                yield Bar(
                    round(x, 3),
                    round(y, 1),
                    round(width, 3),
                    round(count * scale, 1),
                    _colour(place),
                )


def _colour(place: int) -> str:
    colour = f"g{place % COLOURS + 1}"
    return colour if place < COLOURS else f"{colour} paler"
