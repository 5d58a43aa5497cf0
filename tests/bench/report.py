"""What was measured: lines with their rounds, targets and what could not be had; a table, a file."""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Target:
    """What a median must reach: so much at least, or so much at most."""

    at_least: float | None = None
    at_most: float | None = None

    def met_by(self, value: float) -> bool:
        """Whether a median reaches it."""
        return (self.at_least is None or value >= self.at_least) and (
            self.at_most is None or value <= self.at_most
        )

    def __str__(self) -> str:
        if self.at_least is not None:
            return f"≥ {figure(self.at_least)}"
        return f"≤ {figure(self.at_most or 0.0)}"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing measured: a value for each round. `says` is what a reader must know beside it."""

    part: str
    name: str
    unit: str
    rounds: tuple[float, ...]
    target: Target | None = None
    says: str = ""

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return statistics.median(self.rounds)

    @property
    def met(self) -> bool | None:
        """Whether the median reaches the target; None without one."""
        return None if self.target is None else self.target.met_by(self.median)

    def as_json(self) -> dict[str, Any]:
        """The line as `bench.json` holds it."""
        return {
            "part": self.part,
            "name": self.name,
            "unit": self.unit,
            "median": self.median,
            "low": min(self.rounds),
            "high": max(self.rounds),
            "rounds": list(self.rounds),
            "target": str(self.target) if self.target else None,
            "met": self.met,
            "says": self.says,
        }


@dataclass
class Report:
    """Collects lines as they come and tells them on stderr; `print` shows the table at the end."""

    lines: list[Line] = field(default_factory=list)
    not_measured: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    quiet: bool = False
    seconds: float = 590.0  # after which nothing that takes long is begun
    began: float = field(default_factory=time.monotonic)
    fsync_ms: float | None = None  # what the disk takes to keep 4 kB
    load_before: float = field(default_factory=lambda: os.getloadavg()[0])

    def add(
        self,
        part: str,
        name: str,
        unit: str,
        rounds: Sequence[float],
        *,
        target: Target | None = None,
        says: str = "",
    ) -> Self:
        """One more line."""
        self.lines.append(Line(part, name, unit, tuple(rounds), target, says))
        self.tell(f"{part}: {name}: {figure(self.lines[-1].median)} {unit}")
        return self

    def lacks(self, what: str) -> None:
        """Something that could not be measured, and why."""
        self.not_measured.append(what)
        self.tell(f"not measured: {what}")

    def note(self, what: str) -> None:
        """What a reader of the table must know."""
        self.notes.append(what)
        self.tell(what)

    @property
    def left(self) -> float:
        """Seconds that are left for what takes long."""
        return self.seconds - (time.monotonic() - self.began)

    def tell(self, words: str) -> None:
        """How far we are, for who waits."""
        if not self.quiet:
            sys.stderr.write(f"[{time.monotonic() - self.began:5.0f} s] {words}\n")

    def as_json(self) -> dict[str, Any]:
        """All of it, for `bench.json`."""
        return {
            "machine": {
                "cores": os.cpu_count(),
                "python": platform.python_version(),
                "system": platform.platform(),
                "load_before": round(self.load_before, 2),
                "fsync_ms": self.fsync_ms,
            },
            "seconds": round(time.monotonic() - self.began, 1),
            "lines": [line.as_json() for line in self.lines],
            "not_measured": self.not_measured,
            "notes": self.notes,
        }

    def write(self, path: Path) -> None:
        """Keep it where the next run and the papers find it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.as_json(), indent=1, ensure_ascii=False) + "\n", "utf-8")

    def table(self) -> str:
        """The table, what was not measured, and the notes."""
        rows: list[tuple[str, ...]] = [("", "what", "median", "spread", "unit", "target", "")]
        part = ""
        for line in self.lines:
            rows.append((line.part if line.part != part else "", *_row(line)))
            part = line.part
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        right = {2, 3}
        shown = [
            "  ".join(
                cell.rjust(width) if column in right else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        said = [f"· {line.name}: {line.says}" for line in self.lines if line.says]
        lacking = [f"not measured: {what}" for what in self.not_measured]
        load = f"load before: {self.load_before:.2f} on {os.cpu_count()} cores"
        took = f"{time.monotonic() - self.began:.0f} s; {load}"
        if self.fsync_ms is not None:
            took += f"; the disk keeps 4 kB in {figure(self.fsync_ms)} ms"
        return "\n".join([*shown, "", *said, *self.notes, *lacking, took])


def _row(line: Line) -> tuple[str, ...]:
    spread = f"{figure(min(line.rounds))}–{figure(max(line.rounds))}" if line.rounds[1:] else ""
    met = {True: "met", False: "NOT MET", None: ""}[line.met]
    target = str(line.target) if line.target else ""
    return line.name, figure(line.median), spread, line.unit, target, met


def figure(value: float) -> str:
    """A number with as many digits as mean something."""
    if value == round(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
