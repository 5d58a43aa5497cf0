"""The daemon: web server and clock in one process, one instance, drained on SIGTERM."""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress

import structlog

from jobs.clock import Heartbeat
from resonance_zoom import delivery
from resonance_zoom.doctor import machine, permissions
from resonance_zoom.errors import ResonanceError
from resonance_zoom.service import Service
from resonance_zoom.store import journal
from resonance_zoom.web.app import make_app
from resonance_zoom.web.server import WebServer

# How long the parts may take to end after one of them has failed; then the process ends without
# them, or what hangs would keep systemd from starting it again.
FAREWELL_SECONDS = 30.0
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

    `ready` is called once requests are answered. Raises what keeps it from starting, and what must
    not go on: a part that has died, a database that was lost.
    """
    permissions.refuse_open_doors(service.settings)
    if warning := permissions.root_warning():
        log.warning(warning)
    stop = threading.Event()
    service.stopping = stop.is_set
    # Before the port, or the message would tell people to stop the running daemon for its port.
    service.store.hold_alone()
    server = WebServer(make_app(service), host=service.settings.host, port=service.settings.port)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        start_up(service)
        _warn_of_known_holes(service)
    except BaseException:
        server.give_up()
        raise
    server.start()
    heartbeat = Heartbeat(service)
    heartbeat.start()
    ready(server)
    try:
        while not stop.wait(1.0):
            _see_that_all_is_well(service, server, heartbeat)
    except ResonanceError as error:
        log.critical("the service ends itself", reason=error.message)
        _end_anyway()
        raise
    finally:
        stop.set()
        log.info("stopping")
        server.stop()
        heartbeat.stop()
        # Whoever holds the database now, or has filled the disk, must not turn a clean end into a
        # failed one.
        with suppress(ResonanceError):
            shut_down(service)


def shut_down(service: Service) -> None:
    """Write what became of the last letter, and that the service stopped."""
    service.delivery.settle()
    with service.store.write() as connection:
        if not journal.recall(connection, journal.HELD):
            # By a clock that is not trusted, the next start would misjudge its own.
            journal.alive(connection, service.now())
        journal.note(connection, service.now(), "service.stopped", "stopped")


def _warn_of_known_holes(service: Service) -> None:
    if behind := machine.version_behind():
        with service.store.write() as connection:
            journal.note(
                connection,
                service.now(),
                "service.behind",
                f"{behind[0]}. {behind[1]}",
                level=journal.WARNING,
            )


def _see_that_all_is_well(service: Service, server: WebServer, heartbeat: Heartbeat) -> None:
    """Raises ResonanceError when the process must be started again."""
    if not server.alive:
        raise ResonanceError("the web server ended unexpectedly", remedy="Start the daemon again.")
    heartbeat.look_after()
    service.store.look_after()


def _end_anyway() -> None:
    last_word = threading.Timer(FAREWELL_SECONDS, os._exit, (1,))
    last_word.daemon = True
    last_word.start()
