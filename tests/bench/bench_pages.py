"""Every page over real HTTP: `python -m tests.bench.bench_pages [ROUNDS]`.

Fills a database (four groups, 1,000 registrations, 100,000 journal lines), serves the application
on loopback as the daemon does, signs in as admin with a link, and asks for each page in turn, ROUNDS
times (30). Prints the middle and the worst time to the first byte, how many times that of
`/healthz` in the same run, and the size; then the size of each letter as it is sent. Exits with 1
when the middle of a page is over 50 ms; with `--plans` says what SQLite makes of such a page.
"""

import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event

from resonance_zoom import meetings
from resonance_zoom.mail.message import message_id
from resonance_zoom.service import Service
from resonance_zoom.store import claims
from resonance_zoom.web.app import make_app
from resonance_zoom.web.server import WebServer
from tests.bench.full_house import opened
from tests.bench.pages import REFERENCE, Browser, Page, addresses, invitation

ROUNDS = 30
SLOW_MS = 50.0


def measure(service: Service, rounds: int, *, with_plans: bool) -> bool:
    """Print both tables; whether every page came in time."""
    server = WebServer(make_app(service), host="127.0.0.1", port=0)
    server.start()
    browser = Browser(server.port)
    browser.sign_in(invitation(service))
    found = addresses(service)
    for page in found:  # compiled templates, warm caches: not what is measured here
        browser.look(page)
        page.times.clear()
    for _ in range(rounds):
        for page in found:
            browser.look(page)
    usual = next(page.middle for page in found if page.name == REFERENCE)
    say(f"{'page':28} {'middle ms':>9} {'worst ms':>8} {'× ' + REFERENCE:>9} {'kB':>7}")
    for page in found:
        say(
            f"{page.name:28} {page.middle:9.1f} {max(page.times):8.1f}"
            f" {page.middle / usual:9.1f} {page.size / 1000:7.1f}"
        )
        if with_plans and page.middle > SLOW_MS:
            explain(service, browser, page)
    browser.close()
    server.stop()
    return all(page.middle <= SLOW_MS for page in found)


def explain(service: Service, browser: Browser, page: Page) -> None:
    """Each statement of one more look: how often, how long, and SQLite's plan of it."""
    seen: dict[str, list[Any]] = {}

    def before(_c: Any, _k: Any, statement: str, parameters: Any, _x: Any, _m: bool) -> None:
        seen.setdefault(statement, [parameters, 0, 0.0])[1] += 1
        seen[statement][2] -= time.perf_counter()

    def after(_c: Any, _k: Any, statement: str, _p: Any, _x: Any, _m: bool) -> None:
        seen[statement][2] += time.perf_counter()

    engine = service.store.engine
    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)
    browser.look(page)
    event.remove(engine, "before_cursor_execute", before)
    event.remove(engine, "after_cursor_execute", after)
    with service.store.read() as connection:
        for statement, (parameters, times, seconds) in seen.items():
            if not statement.lstrip().startswith("SELECT"):
                continue
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plan = "; ".join(row[3] for row in rows)
            say(
                f"    {times} × {seconds * 1000:.1f} ms: {' '.join(statement.split())[:110]}: {plan}"
            )


def letters(service: Service) -> None:
    """Print how many bytes each letter is, as one and the same registrant gets it."""
    with service.store.read() as connection:
        person: Any = connection.exec_driver_sql(
            "SELECT max(id) AS id, focus_group, email, email_folded, first_name, last_name,"
            " join_url, episode FROM registrants WHERE status = 'approved'"
            " GROUP BY email_folded HAVING count(*) = 2 ORDER BY id DESC LIMIT 1"
        ).one()
        meeting = meetings.row_in(connection, person.focus_group)
        others = claims.others_of(connection, person, service.now())
    say("")
    say(f"{'letter':28} {'bytes':>9}")
    for kind in service.campaign.letter_kinds:
        whole = service.composer.compose(
            kind=kind,
            person=person,
            meeting=meeting,
            others=others,
            told_start=meeting.start_at - timedelta(days=7),
            message_id=message_id(kind, person.email, domain="example.org"),
            date=service.now(),
        )
        say(f"{kind:28} {len(whole):9,}")


def say(line: str) -> None:
    """One line of the table."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """The tables, after so many rounds as the command line says."""
    words = [word for word in sys.argv[1:] if word != "--plans"]
    rounds = int(words[0]) if words else ROUNDS
    with tempfile.TemporaryDirectory() as folder:
        service = opened(Path(folder))
        good = measure(service, rounds, with_plans="--plans" in sys.argv)
        letters(service)
        service.close()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
