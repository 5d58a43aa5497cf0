"""The rehearsal of the shipped campaign, typed as staff type it."""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.report import Report, Target
from tests.bench.sizes import Sizes
from tests.faults.besieged import PROJECT

PART = "rehearsal"
PROMISED = {200: 10.0, 5_000: 120.0}  # registrants: seconds


def measure(report: Report, folder: Path, sizes: Sizes) -> None:
    """Each size once in each round; the large ones once, they take their time."""
    for people in sizes.rehearsed:
        rounds = sizes.rounds if people <= 200 else 1
        times: list[float] = []
        began = time.perf_counter()
        for number in range(rounds):
            took = _rehearse(
                folder / f"{people}-{number}", people, min(sizes.patience, report.left)
            )
            if took is None:
                break
            times.append(took)
        target = Target(at_most=PROMISED[people]) if people in PROMISED else None
        if times:
            report.add(PART, f"{people:,} registrants", "s", times, target=target)
        else:
            waited = time.perf_counter() - began
            report.lacks(f"rehearsal: {people:,} registrants: broken off after {waited:.0f} s")


def _rehearse(out: Path, people: int, patience: float) -> float | None:
    """Seconds; None when it was not done in time."""
    if patience <= 0:
        return None
    words = ["rehearse", "--registrants", str(people), "--json", "--out", str(out.resolve())]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT)}
    began = time.perf_counter()
    try:
        subprocess.run(  # noqa: S603 — our own program
            [sys.executable, "-m", "resonance_zoom", *words],
            cwd=PROJECT, env=environ, check=True, capture_output=True, timeout=patience,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None
    return time.perf_counter() - began
