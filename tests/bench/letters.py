"""Letters: a wave of the service's, the bare sending of bytes, and the loop that many would write.

In turns, into one smtp-sink. A wave of ours is owed and delivered by the service's own jobs, with
its whole effect: claimed, rendered, sent, written down.
"""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from tests.bench import load
from tests.bench.references.posting import plain_loop, prebuilt
from tests.bench.report import Report, Target
from tests.bench.sizes import Sizes
from tests.bench.stage import REMINDER, Stage

PART = "letters"
CONNECTIONS = 4


def measure(report: Report, folder: Path, sizes: Sizes) -> None:
    """Each round: ours, the bytes alone, the plain loop."""
    if load.program("smtp-sink") is None:
        report.lacks("letters: no smtp-sink here; install it: apt-get install postfix")
        return
    message = _one_letter(folder / "one")
    recipients = [f"person{number}@example.org" for number in range(sizes.wave)]
    ours, bytes_alone, plain = [], [], []
    with load.smtp_sink() as sink:
        for number in range(sizes.rounds):
            ours.append(_wave(report, folder / f"ours-{number}", sink, sizes))
            bytes_alone.append(
                sizes.wave / prebuilt(sink, message, recipients, connections=CONNECTIONS)
            )
            plain.append(
                sizes.plain / _plainly(folder / f"plain-{number}", sink, sizes.plain, message)
            )
    words = f"{len(message):,} bytes a letter (text, HTML, calendar file)"
    name = f"ours, a wave of {sizes.wave:,}"
    report.add(PART, name, "letters/s", ours, target=Target(at_least=1_000), says=words)
    report.add(PART, f"bytes alone, smtplib × {CONNECTIONS}", "letters/s", bytes_alone)
    report.add(PART, "plain loop", "letters/s", plain)
    _ratio(report, "ours ÷ bytes alone", ours, bytes_alone, 0.3)
    _ratio(report, "ours ÷ plain loop", ours, plain, 10.0)


def _ratio(report: Report, name: str, ours: list[float], theirs: list[float], least: float) -> None:
    ratios = [mine / its for mine, its in zip(ours, theirs, strict=True)]
    report.add(PART, name, "×", ratios, target=Target(at_least=least))


def _owed(stage: Stage, letters: int) -> None:
    stage.register(letters)
    with stage.service() as service:
        stage.run(service, "send_reminders")


def _wave(report: Report, folder: Path, sink: str, sizes: Sizes) -> float:
    """Letters a second of a wave; afterwards each that left stands as sent and has its line."""
    with Stage(folder, smtp_url=sink) as stage:
        _owed(stage, sizes.wave)
        with stage.service() as service:
            began = time.perf_counter()
            service.stopping = lambda: time.perf_counter() - began > sizes.wave_seconds
            stage.run(service, "deliver_letters")
            took = time.perf_counter() - began
        sent = stage.one("SELECT count(*) FROM letters WHERE state = 'sent'")
        lines = stage.one("SELECT count(*) FROM journal WHERE kind = 'letter.sent'")
        if sent != lines or (sent < sizes.wave and took < sizes.wave_seconds):
            raise RuntimeError(f"of {sizes.wave} letters {sent} were sent, {lines} have their line")
        if sent < sizes.wave:
            report.note(f"letters: {sent:,} of {sizes.wave:,} had left after {took:.0f} s")
    return float(sent) / took


def _plainly(folder: Path, sink: str, letters: int, like: bytes) -> float:
    with Stage(folder) as stage:
        _owed(stage, letters)
        with closing(sqlite3.connect(stage.database)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        return plain_loop(sink, stage.database, letters, like=like)


def _one_letter(folder: Path) -> bytes:
    """A reminder as the service sends it, taken from the Maildir where there is no relay."""
    with Stage(folder) as stage:
        _owed(stage, 1)
        with stage.service() as service:
            stage.run(service, "deliver_letters")
        kept = [path.read_bytes() for path in (folder / "mail").rglob("*") if path.is_file()]
    return next(letter for letter in kept if f"X-Letter: {REMINDER}".encode() in letter)
