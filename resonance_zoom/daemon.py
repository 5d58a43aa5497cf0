"""The daemon: web server and clock in one process, one instance, drained on SIGTERM."""

import signal
import threading
from collections.abc import Callable
from contextlib import suppress

import structlog

from jobs.clock import Heartbeat
from resonance_zoom import delivery
from resonance_zoom.errors import DatabaseBusy, ResonanceError
from resonance_zoom.service import Service
from resonance_zoom.store import journal
from resonance_zoom.web.app import make_app
from resonance_zoom.web.server import WebServer

log = structlog.get_logger("daemon")


def start_up(service: Service) -> None:
    """Take the lock, prepare the database, settle what a crash left open, note the time down.

    Raises AlreadyRunning, DatabaseUnusable or DatabaseBusy; then nothing was changed.
    """
    service.store.hold_alone()
    service.store.prepare()
    now = service.now()
    with service.store.write() as connection:
        last = journal.last_alive(connection)
        recovered = delivery.recover(connection, service.campaign, now)
        journal.note(
            connection,
            now,
            "service.started",
            f"started; was last alive at {last:%Y-%m-%d %H:%M} UTC" if last else "started",
            down_from=last,
            down_to=now if last else None,
            letters_in_doubt=recovered,
        )


def run(service: Service, *, ready: Callable[[WebServer], None] = lambda _server: None) -> None:
    """Run until SIGTERM or SIGINT; then answer what is in flight, finish the letter, return.

    `ready` is called once requests are answered. Raises what keeps it from starting.
    """
    stop = threading.Event()
    service.stopping = stop.is_set
    # Before the port, or the message would tell people to stop the running daemon for its port.
    service.store.hold_alone()
    server = WebServer(make_app(service), host=service.settings.host, port=service.settings.port)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        start_up(service)
    except BaseException:
        server.give_up()
        raise
    server.start()
    heartbeat = Heartbeat(service)
    heartbeat.start()
    ready(server)
    try:
        while not stop.wait(1.0):
            if not server.alive:
                raise ResonanceError(
                    "the web server ended unexpectedly", remedy="Start the daemon again."
                )
    finally:
        stop.set()
        log.info("stopping")
        server.stop()
        heartbeat.stop()
        # Whoever holds the database now must not turn a clean end into a failed one.
        with suppress(DatabaseBusy):
            service.delivery.settle()
            with service.store.write() as connection:
                journal.alive(connection, service.now())
                journal.note(connection, service.now(), "service.stopped", "stopped")
