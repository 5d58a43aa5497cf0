"""Load from outside: wrk with signed notifications, postfix's smtp-sink as the relay."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from resonance_zoom.zoom.protocol import sign
from tests.conftest import WEBHOOK_SECRET, free_port

BODY = 1_200  # bytes
SCRIPT = Path(__file__).with_name("wrk.lua")
_SEARCHED = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


@dataclass(frozen=True, slots=True)
class Load:
    """Requests in a file, all of one length, each to be sent once."""

    path: Path
    length: int
    count: int


@dataclass(frozen=True, slots=True)
class Blast:
    """What wrk saw: answers, how many were no 2xx or broke; latencies in milliseconds."""

    answers: int
    seconds: float
    refused: int
    broken: int
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds

    @property
    def acknowledged(self) -> int:
        """Answers that were a 2xx."""
        return self.answers - self.refused


def program(name: str) -> str | None:
    """Where a program of the system is; smtp-sink stands where only root looks."""
    return shutil.which(name, path=_SEARCHED)


def notifications(path: Path, *, meeting: int, count: int, first: int) -> Load:
    """Signed registrations of `count` people who were never heard of, numbered from `first`."""
    now = time.time()
    stamp, template = str(int(now)), _template(meeting, int(now * 1000))
    length = 0
    with path.open("wb") as file:
        for number in range(first, first + count):
            body = template % {b"n": b"%022d" % number}
            head = (
                "POST /webhooks/zoom HTTP/1.1\r\nHost: localhost\r\n"
                "Content-Type: application/json; charset=utf-8\r\n"
                f"x-zm-request-timestamp: {stamp}\r\n"
                f"x-zm-signature: {sign(WEBHOOK_SECRET, stamp, body)}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            length = file.write(head.encode() + body)
    return Load(path, length, count)


def _template(meeting: int, event_ts: int) -> bytes:
    """A registration as Zoom tells it, %(n)s where people differ."""
    registrant = {
        "id": "%(n)s",
        "first_name": "Maëlle",
        "last_name": "Martin",
        "email": "p%(n)s@example.org",
        "address": "", "city": "Tours", "country": "FR", "zip": "37000", "state": "",
        "phone": "", "industry": "", "org": "", "job_title": "", "purchasing_time_frame": "",
        "role_in_purchase_process": "", "no_of_employees": "", "comments": "",
        "custom_questions": [{"title": "Qu’attendez-vous de cette rencontre ?", "value": ""}],
        "status": "approved",
        "join_url": f"https://zoom.us/w/{meeting}?tk=%(n)s.DQMAAAAXaZ&pwd=cGFzc3dvcmQ",
        "participant_pin_code": 123456,
    }  # fmt: skip
    thing = {
        "uuid": "4444AAAiAAAAAiAiAiiAii==", "id": meeting, "host_id": "x1yCzABCDEfg23HiJKl4mN",
        "topic": "Accompagner le développement du télétravail", "type": 2,
        "start_time": "2021-02-09T08:00:00Z", "duration": 120, "timezone": "Europe/Paris",
        "registrant": registrant,
    }  # fmt: skip
    told = {
        "event": "meeting.registration_created",
        "event_ts": event_ts,
        "payload": {"account_id": "acc", "object": thing},
    }
    numbers = 3  # how often the number stands there, each 22 digits in place of `%(n)s`
    short = len(json.dumps(told, ensure_ascii=False).encode()) + numbers * (22 - len("%(n)s"))
    registrant["comments"] = "x" * (BODY - short)
    return json.dumps(told, ensure_ascii=False).encode()


def blast(url: str, load: Load, *, connections: int, seconds: int) -> Blast:
    """Post as many as can be in that time over so many connections, one in flight on each."""
    wrk = program("wrk")
    if wrk is None:
        raise FileNotFoundError("wrk")
    done = subprocess.run(  # noqa: S603 — words of ours
        [
            wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s",
            "-s", str(SCRIPT), url, "--", str(load.path), str(load.length),
        ],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    if found["requests"] + 2 * connections >= load.count:
        raise RuntimeError(f"{load.count} requests were too few for {seconds} s: write more")
    return Blast(
        answers=found["requests"],
        seconds=found["microseconds"] / 1e6,
        refused=found["refused"],
        broken=found["broken"],
        p50=found["p50"] / 1000,
        p99=found["p99"] / 1000,
    )


@contextmanager
def smtp_sink() -> Iterator[str]:
    """A mail server that takes everything and keeps nothing; its address."""
    sink = program("smtp-sink")
    if sink is None:
        raise FileNotFoundError("smtp-sink")
    port = free_port()
    drop_rights = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen([sink, *drop_rights, f"127.0.0.1:{port}", "512"])  # noqa: S603 — words of ours
    try:
        _wait_for(port)
        yield f"smtp://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int) -> None:
    until = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return
