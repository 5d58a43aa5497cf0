"""Rehearses a whole campaign in virtual time: real jobs, HTTP and SMTP, a simulated Zoom."""

import logging
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from resonance_zoom import reports
from resonance_zoom.campaign import Campaign
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.errors import ResonanceError
from resonance_zoom.rehearsal import script
from resonance_zoom.rehearsal.stage import Stage
from resonance_zoom.rehearsal.verdict import Promise, judge

OUT = Path("var/rehearsal")


@dataclass(frozen=True, slots=True)
class Wave:
    """The letters of one kind that left for one group in one hour (local)."""

    date: str
    hour: str
    focus_group: str
    kind: str
    letters: int


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a rehearsal found: same seed, same result, but for `seconds`."""

    status: dict[str, Any]
    letters: dict[str, int]
    calendar: tuple[Wave, ...]
    promises: tuple[Promise, ...]
    script: script.Script
    outages: tuple[str, ...]
    out: Path
    seconds: float
    runs: int
    skipped: int

    @property
    def kept(self) -> bool:
        """Whether every promise was."""
        return all(promise.kept for promise in self.promises)

    def as_json(self) -> dict[str, Any]:
        """The contract of `rehearse --json`."""
        return {
            "focus_groups": self.status["focus_groups"],
            "letters": self.letters,
            "calendar": [asdict(wave) for wave in self.calendar],
            "promises": [asdict(promise) for promise in self.promises],
            "kept": self.kept,
            "ticks": {"run": self.runs, "skipped": self.skipped},
        }


def rehearse(
    campaign_file: Path,
    *,
    seed: int = 1,
    registrants: int = 200,
    out: Path | None = None,
    quiet: bool = False,
) -> Rehearsal:
    """Play the campaign of a file with so many people, and judge it by the simulator's truth.

    `out` (default var/rehearsal) receives the letters as .eml and the database.
    """
    began = time.monotonic()
    campaign = load_campaign(campaign_file)
    folder = out or OUT
    try:
        if out is None:  # the folder of the real service as well: for nobody else's eyes
            OUT.parent.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResonanceError(
            f"{folder}: {error.strerror}", remedy="Name a folder that you may write, with --out."
        ) from None
    written = script.write(campaign, seed=seed, registrants=registrants)
    stage = Stage(campaign_file, campaign, written, seed=seed, out=folder)
    for name in ("jobs", "mail.log", "webhooks"):  # faults are part of the play
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with Progress(
        console=Console(stderr=True), transient=True, disable=quiet or not sys.stderr.isatty()
    ) as bar:
        task = bar.add_task("Rehearsing", total=1.0)
        stage.play(lambda part: bar.update(task, completed=part))
    try:
        with stage.service.store.read() as connection:
            status = reports.status(connection, campaign, stage.clock())
        promises = judge(stage, campaign)
    finally:
        stage.service.close()
    return Rehearsal(
        status=status,
        letters=dict(sorted(Counter(mail.kind for mail in stage.edges.mails).items())),
        calendar=_calendar(stage, campaign),
        promises=tuple(promises),
        script=written,
        outages=tuple(
            f"{down.astimezone(campaign.timezone):%Y-%m-%d %H:%M} to"
            f" {up.astimezone(campaign.timezone):%H:%M}"
            for down, up in stage.outages
        ),
        out=folder,
        seconds=time.monotonic() - began,
        runs=stage.runs,
        skipped=stage.marks_skipped(),
    )


def _calendar(stage: Stage, campaign: Campaign) -> tuple[Wave, ...]:
    """Reminders by date and hour; confirmations, which leave all day long, by week."""
    titles = {group.title: group.slug for group in campaign.focus_groups}
    counted: Counter[tuple[str, str, str, str]] = Counter()
    for mail in stage.edges.mails:
        local = mail.at.astimezone(campaign.timezone)
        group = next((slug for title, slug in titles.items() if title in mail.text), "?")
        if mail.kind == "confirmation":
            monday = local.date() - timedelta(days=local.weekday())
            counted[(f"{monday}", "week", group, mail.kind)] += 1
        else:
            counted[(f"{local:%Y-%m-%d}", f"{local:%H:%M}", group, mail.kind)] += 1
    return tuple(Wave(*key, letters=count) for key, count in sorted(counted.items()))


def print_result(result: Rehearsal) -> None:
    """The calendar of letters, the promises with their evidence, where the letters lie."""
    console = Console(highlight=False, soft_wrap=True)
    opens, ends = result.script.opens, result.script.ends
    console.print(f"A campaign from {opens:%Y-%m-%d} to {ends:%Y-%m-%d}, rehearsed.\n")
    console.print("date        hour   focus group             letter         number")
    for wave in result.calendar:
        console.print(
            f"{wave.date}  {wave.hour:5}  {wave.focus_group:22}  {wave.kind:13} {wave.letters:>7}"
        )
    total = sum(result.letters.values())
    console.print(f"\n{total} letters: " + ", ".join(f"{n} {k}" for k, n in result.letters.items()))
    for outage in result.outages:
        console.print(f"The service was down from {outage} (local time).")
    console.print(
        f"Jobs ran {result.runs} times; {result.skipped} more ticks of the clock were skipped,"
        " for no job could find anything then."
    )
    console.print()
    for promise in result.promises:
        console.print(f"{'kept  ' if promise.kept else 'BROKEN'}  {promise.promise}")
        console.print(f"        {promise.evidence}")
    console.print(f"\nThe letters are in {result.out / 'letters'}.")
    words = "All four promises were kept." if result.kept else "A PROMISE WAS BROKEN."
    console.print(words)
