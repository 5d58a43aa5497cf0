"""The worst that Zoom waits for an acknowledgement, under one fault after the other.

One notification at a time to the real daemon, so that whatever keeps it from answering is seen
whole. Zoom gives up after three seconds (https://developers.zoom.us/docs/api/webhooks/).
"""

import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench import load
from tests.bench.report import Report, Target
from tests.bench.sizes import Sizes
from tests.bench.stage import Stage
from tests.faults.besieged import Daemon

PART = "acknowledgements"
LOCKED_SECONDS = 2.0  # for which another process holds the database
SILENT = SLOW = 200  # connections
STARTED_ONCE = 0.2  # seconds in which what is started beside is at work
Trouble = Callable[[Stage, Daemon, Sizes], Iterator[None]]


def measure(report: Report, folder: Path, sizes: Sizes) -> None:
    """Each fault on a campaign of its own."""
    for number, (name, trouble) in enumerate(TROUBLES.items()):
        worst, answers = _under(trouble, folder / str(number), sizes)
        says = "" if {*answers} == {200} else f"answered {dict(answers)}"
        at_most = Target(at_most=3_000)
        report.add(PART, f"worst, {name}", "ms", [worst], target=at_most, says=says)


def _under(trouble: Trouble, folder: Path, sizes: Sizes) -> tuple[float, Counter[int]]:
    with ExitStack() as stack:
        relay = stack.enter_context(socket.create_server(("127.0.0.1", 0)))  # it says nothing
        hangs = f"smtp://127.0.0.1:{relay.getsockname()[1]}" if trouble is _wave else ""
        stage = stack.enter_context(Stage(folder, smtp_url=hangs))
        requests = load.notifications(
            folder / "requests", meeting=stage.meeting, count=sizes.acknowledged, first=1
        )
        daemon = stack.enter_context(stage.daemon())
        stack.enter_context(contextmanager(trouble)(stage, daemon, sizes))
        found = _posted(daemon.url, requests)
        relay.close()  # the daemon would wait for it before it stops
        return found


def _posted(url: str, requests: load.Load) -> tuple[float, Counter[int]]:
    """The longest in milliseconds, and how often each status came."""
    worst, answers = 0.0, Counter[int]()
    host = urlsplit(url)
    with (
        closing(HTTPConnection(host.hostname or "", host.port, timeout=30)) as connection,
        requests.path.open("rb") as file,
    ):
        while request := file.read(requests.length):
            head, _, body = request.partition(b"\r\n\r\n")
            lines = (line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
            headers = {name: value for name, value in lines if name != "Host"}
            began = time.perf_counter()
            connection.request("POST", "/webhooks/zoom", body, headers)
            answer = connection.getresponse()
            answer.read()
            worst = max(worst, (time.perf_counter() - began) * 1000)
            answers[answer.status] += 1
    return worst, answers


def _nothing(_stage: Stage, _daemon: Daemon, _sizes: Sizes) -> Iterator[None]:
    yield


def _zoom_is_down(stage: Stage, _daemon: Daemon, _sizes: Sizes) -> Iterator[None]:
    stage.zoom.faults.api_down = True
    yield


def _database_is_held(stage: Stage, _daemon: Daemon, _sizes: Sizes) -> Iterator[None]:
    """By another process, as it were; then it is let go."""
    with closing(sqlite3.connect(stage.database, timeout=60, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        end = threading.Timer(LOCKED_SECONDS, other.rollback)
        end.start()
        yield
        end.join()


def _backups(stage: Stage, _daemon: Daemon, sizes: Sizes) -> Iterator[None]:
    stage.register(sizes.wave)
    done = threading.Event()

    def one_after_the_other() -> None:
        number = 0
        while not done.is_set():
            number += 1
            stage.type("backup", str(stage.folder / f"{number}.db"))

    with _beside(one_after_the_other, done):
        yield


def _sweeps(stage: Stage, _daemon: Daemon, sizes: Sizes) -> Iterator[None]:
    stage.register(sizes.wave)
    done = threading.Event()

    def one_after_the_other() -> None:
        while not done.is_set():
            stage.type("sync")

    with _beside(one_after_the_other, done):
        yield


@contextmanager
def _beside(do: Callable[[], None], done: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=do)
    thread.start()
    try:
        done.wait(STARTED_ONCE)
        yield
    finally:
        done.set()
        thread.join()


def _connections(_stage: Stage, daemon: Daemon, _sizes: Sizes) -> Iterator[None]:
    host = urlsplit(daemon.url)
    with ExitStack() as stack:
        for number in range(SILENT + SLOW):
            line = stack.enter_context(socket.create_connection((host.hostname, host.port), 10))
            if number >= SILENT:
                line.sendall(b"POST /webhooks/zoom HTTP/1.1\r\nX")
        yield


def _wave(stage: Stage, _daemon: Daemon, sizes: Sizes) -> Iterator[None]:
    """To a relay that hangs: every connection of ours waits for its greeting."""
    stage.register(sizes.wave)
    with stage.service() as service:
        stage.run(service, "send_reminders")
    yield


TROUBLES: dict[str, Trouble] = {
    "nothing wrong": _nothing,
    "the mail server hangs, thousands of letters wait": _wave,
    "Zoom's API is down": _zoom_is_down,
    f"another process holds the database for {LOCKED_SECONDS:.0f} s": _database_is_held,
    "one backup after the other": _backups,
    "one sweep after the other": _sweeps,
    f"{SILENT} silent and {SLOW} slow connections": _connections,
}
