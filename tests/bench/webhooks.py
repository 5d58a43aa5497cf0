"""Webhooks: the daemon, a bare reference and a tutorial's application, posted to in turns.

Every request is a registration of somebody new; afterwards all that were acknowledged must be in
the database, each with its registrant, letter and journal line.
"""

import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import load
from tests.bench.load import Blast, Load
from tests.bench.references import tutorial_is_here
from tests.bench.references.serving import running
from tests.bench.report import Report, Target
from tests.bench.sizes import Sizes
from tests.bench.stage import REMINDER, Stage
from tests.faults.besieged import wait_for

PART = "webhooks"
OURS, BARE, TUTORIAL = "ours", "bare", "tutorial"
COMPARED = 64  # connections
ALONE = 1
MOST_A_SECOND = 12_000  # so many requests are written for each second of a round
P99 = {16: Target(at_most=10), 256: Target(at_most=100)}
WHOLE = {
    "events": "SELECT count(*) FROM events",
    "registrants": "SELECT count(*) FROM registrants WHERE source = 'webhook'",
    "letters": "SELECT count(*) FROM letters WHERE kind = 'confirmation'",
    "journal lines": "SELECT count(*) FROM journal WHERE kind = 'registration.created'",
}


@dataclass
class Receiver:
    """One of those who are posted to, and what came of it."""

    url: str
    database: Path
    blasts: dict[int, list[Blast]] = field(default_factory=lambda: defaultdict(list))

    @property
    def acknowledged(self) -> int:
        """How many were told that theirs is stored."""
        return sum(one.acknowledged for some in self.blasts.values() for one in some)

    @property
    def errors(self) -> int:
        """Answers that were no 2xx, connections that broke."""
        return sum(one.refused + one.broken for some in self.blasts.values() for one in some)


def measure(report: Report, folder: Path, sizes: Sizes) -> None:
    """All of it, but for what needs a program that is not there."""
    if load.program("wrk") is None:
        report.lacks("webhooks: no wrk here; install it: apt-get install wrk")
        return
    with Stage(folder / "webhooks") as stage, ExitStack() as stack:
        receivers = dict(stack.enter_context(_references(report, stage)))
        stage.type("pause")  # what is owed is not sent here
        daemon = stack.enter_context(stage.daemon())
        receivers[OURS] = Receiver(daemon.url, stage.database)
        _rounds(stage, receivers, sizes)
        for name, receiver in receivers.items():
            _verify(report, name, receiver)
    _tell(report, receivers)
    _beside_a_wave(report, folder / "wave", sizes)


@contextmanager
def _references(report: Report, stage: Stage) -> Iterator[dict[str, Receiver]]:
    wanted = [BARE]
    if tutorial_is_here():
        wanted.append(TUTORIAL)
    else:
        report.lacks(
            "webhooks: the tutorial's application, without fastapi; it comes by: make bench"
        )
    with ExitStack() as stack:
        found = {}
        for name in wanted:
            database = stage.folder / f"{name}.db"
            copy(stage.database, database)
            found[name] = Receiver(stack.enter_context(running(name, database)), database)
        yield found


def copy(source: Path, target: Path) -> None:
    """The same tables, indexes and meetings in a file of its own."""
    with closing(sqlite3.connect(source)) as origin, closing(sqlite3.connect(target)) as made:
        origin.backup(made)
        made.execute("PRAGMA journal_mode=WAL")


def _rounds(stage: Stage, receivers: Mapping[str, Receiver], sizes: Sizes) -> None:
    """In each round everybody is posted the same over 64 connections; fewer over the others."""
    count = MOST_A_SECOND * sizes.blast_seconds
    first = 1
    for number in range(sizes.rounds):
        for connections in sizes.connections:
            requests = load.notifications(
                stage.folder / "requests", meeting=stage.meeting, count=count, first=first
            )
            first += count
            names = _compared(receivers, connections)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                _post(receivers[name], requests, connections, sizes.blast_seconds)


def _compared(receivers: Mapping[str, Receiver], connections: int) -> list[str]:
    """Who is posted to over so many connections."""
    if connections == COMPARED:
        return list(receivers)
    return [BARE, OURS] if connections == ALONE else [OURS]


def _post(receiver: Receiver, requests: Load, connections: int, seconds: int) -> None:
    url = f"{receiver.url}/webhooks/zoom"
    seen = load.blast(url, requests, connections=connections, seconds=seconds)
    receiver.blasts[connections].append(seen)


def _counts(database: Path) -> dict[str, int]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)) as connection:
        connection.execute("BEGIN")  # all four of one moment
        return {name: connection.execute(what).fetchone()[0] for name, what in WHOLE.items()}


def _verify(report: Report, name: str, receiver: Receiver) -> None:
    """Nobody who was acknowledged is missing, and nobody is there by halves."""
    wait_for(lambda: _counts(receiver.database)["events"] >= receiver.acknowledged)
    counts = _counts(receiver.database)
    if len(set(counts.values())) > 1:
        raise RuntimeError(f"{name}: events were stored by halves: {counts}")
    report.note(
        f"{name}: {receiver.acknowledged:,} acknowledged, {counts['events']:,} stored, each with"
        " registrant, letter and journal line"
    )


def _tell(report: Report, receivers: Mapping[str, Receiver]) -> None:
    ours = receivers[OURS]
    for connections, blasts in sorted(ours.blasts.items()):
        at = f"at {connections} connections" if connections > 1 else "one request at a time"
        report.add(PART, f"ours, {at}", "requests/s", [one.rate for one in blasts])
        report.add(PART, f"ours, {at}: median", "ms", [one.p50 for one in blasts])
        p99 = [one.p99 for one in blasts]
        report.add(PART, f"ours, {at}: p99", "ms", p99, target=P99.get(connections))
    if ALONE in ours.blasts:
        alone = [one.p50 for one in receivers[BARE].blasts[ALONE]]
        report.add(PART, "bare, one request at a time: median", "ms", alone)
    report.add(PART, "ours: errors", "requests", [ours.errors], target=Target(at_most=0))
    for name, least in ((BARE, 0.6), (TUTORIAL, 8.0)):
        if name not in receivers or COMPARED not in ours.blasts:
            continue
        blasts = receivers[name].blasts[COMPARED]
        at = f"at {COMPARED} connections"
        report.add(PART, f"{name}, {at}", "requests/s", [one.rate for one in blasts])
        report.add(PART, f"{name}, {at}: p99", "ms", [one.p99 for one in blasts])
        if receivers[name].errors:
            report.note(f"{name}: {receivers[name].errors} errors")
        pairs = zip(ours.blasts[COMPARED], blasts, strict=True)
        ratios = [mine.rate / its.rate for mine, its in pairs if its.answers]
        if not ratios:
            report.lacks(f"webhooks: {name} answered nothing")
            continue
        report.add(PART, f"ours ÷ {name}, {at}", "×", ratios, target=Target(at_least=least))


def _beside_a_wave(report: Report, folder: Path, sizes: Sizes) -> None:
    """Registrations come while a wave of reminders leaves."""
    if load.program("smtp-sink") is None:
        report.lacks(
            "webhooks beside a wave: no smtp-sink here; install it: apt-get install postfix"
        )
        return
    seen: list[Blast] = []
    shutil.rmtree(folder, ignore_errors=True)
    for number in range(sizes.rounds):
        with load.smtp_sink() as sink, Stage(folder / str(number), smtp_url=sink) as stage:
            stage.register(sizes.wave)
            with stage.service() as service:
                stage.run(service, "send_reminders")
            count = MOST_A_SECOND * sizes.blast_seconds
            requests = load.notifications(
                folder / "requests", meeting=stage.meeting, count=count, first=1
            )
            with stage.daemon() as daemon:
                wait_for(lambda: _left(stage, "sent") > 0)
                seen.append(
                    load.blast(
                        f"{daemon.url}/webhooks/zoom", requests, connections=16,
                        seconds=sizes.blast_seconds,
                    )
                )  # fmt: skip
                rest = _left(stage, "queued")
            if not rest:
                report.note("webhooks beside a wave: the wave had left before the posting ended")
    name = f"beside a wave of {sizes.wave:,} reminders, at 16 connections"
    report.add(PART, name, "requests/s", [one.rate for one in seen])
    p99 = [one.p99 for one in seen]
    report.add(PART, f"{name}: p99", "ms", p99, target=Target(at_most=250))
    errors = sum(one.refused + one.broken for one in seen)
    report.add(PART, f"{name}: errors", "requests", [errors], target=Target(at_most=0))


def _left(stage: Stage, state: str) -> int:
    return int(
        stage.one("SELECT count(*) FROM letters WHERE kind = ? AND state = ?", REMINDER, state)
    )
