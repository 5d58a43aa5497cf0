"""The daemon as a process: its memory through a wave, its idle processor time, its start."""

import os
import re
import time
from pathlib import Path

from tests.bench import load
from tests.bench.report import Report, Target
from tests.bench.sizes import Sizes
from tests.bench.stage import Stage

PART = "daemon"
SETTLED = 3.0  # seconds after the start in which the first jobs run


def measure(report: Report, folder: Path, sizes: Sizes) -> None:
    """Start and idleness of one that has nothing to do, then a wave."""
    _start_and_idle(report, folder / "idle", sizes)
    if not _can_be_watched():
        report.lacks("daemon: memory and idle time: this system has no /proc")
    elif load.program("smtp-sink") is None:
        report.lacks("daemon: memory through a wave: no smtp-sink (Debian: postfix)")
    else:
        _memory(report, folder / "wave", sizes)


def _can_be_watched() -> bool:
    return Path("/proc/self/stat").exists()


def _start_and_idle(report: Report, folder: Path, sizes: Sizes) -> None:
    starts = []
    with Stage(folder) as stage:
        for number in range(sizes.starts):
            began = time.perf_counter()
            with stage.daemon() as daemon:
                starts.append(time.perf_counter() - began)
                if number + 1 == sizes.starts and _can_be_watched():
                    idle = _idle(daemon.process.pid, sizes.idle_seconds)
                    report.add(PART, "idle", "% of a core", [idle], target=Target(at_most=0.5))
    report.add(PART, "start to ready", "s", starts, target=Target(at_most=1.5))


def _idle(pid: int, seconds: float) -> float:
    time.sleep(SETTLED)
    before = _processor_seconds(pid)
    time.sleep(seconds)
    return 100 * (_processor_seconds(pid) - before) / seconds


def _processor_seconds(pid: int) -> float:
    # utime and stime, counted from behind the name, which may hold anything
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _megabytes(pid: int, name: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    found = re.search(rf"{name}:\s+(\d+) kB", status)
    if found is None:
        raise RuntimeError(f"/proc tells nothing of {name}")
    return int(found[1]) / 1000


def _memory(report: Report, folder: Path, sizes: Sizes) -> None:
    """The most it ever held while the wave left, or as much of the wave as there was time for."""
    with load.smtp_sink() as sink, Stage(folder, smtp_url=sink) as stage:
        stage.register(sizes.heavy_wave)
        with stage.service() as service:
            stage.run(service, "send_reminders")
        with stage.daemon() as daemon:
            pid, began = daemon.process.pid, time.monotonic()
            patience = min(sizes.heavy_seconds, report.left)
            begun = _megabytes(pid, "VmRSS")
            while _queued(stage) and time.monotonic() - began < patience:
                time.sleep(0.5)
            peak, took = _megabytes(pid, "VmHWM"), time.monotonic() - began
        sent = stage.one("SELECT count(*) FROM letters WHERE state = 'sent'")
    wave = f"a wave of {sizes.heavy_wave:,}"
    report.add(PART, f"memory at its highest through {wave}", "MB", [peak],
               target=Target(at_most=150), says=f"{sent:,} letters left in the time there"
               f" was; {begun:.0f} MB when it was ready")  # fmt: skip
    if sent < sizes.heavy_wave:
        report.lacks(f"daemon: memory through all of {wave}: {sent:,} had left after {took:.0f} s")


def _queued(stage: Stage) -> int:
    return int(stage.one("SELECT EXISTS (SELECT 1 FROM letters WHERE state = 'queued')"))
