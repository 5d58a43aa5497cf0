"""A reference as a process: uvicorn with the loop and the parser that the service has."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from tests.faults.besieged import PROJECT


def serve(app: Any) -> None:
    """Serve on a free port of loopback until SIGTERM; the port is said on stdout."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(512)
    sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    config = uvicorn.Config(
        app,
        http="httptools",
        loop="uvloop",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def running(module: str, *words: object) -> Iterator[str]:
    """`python -m tests.bench.references.MODULE WORDS`; the address where it serves."""
    process = subprocess.Popen(  # noqa: S603 — words of ours
        [sys.executable, "-m", f"tests.bench.references.{module}", *map(str, words)],
        cwd=PROJECT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        if not re.match(r"http://", said):
            raise RuntimeError(f"the reference {module} did not start")
        yield said.strip()
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()
