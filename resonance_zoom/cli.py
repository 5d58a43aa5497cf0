"""The commands of a person at a terminal: stdout is data, stderr is messages.

Exit codes: 0 ok, 1 failed, 2 usage, 75 try again later, 78 configuration.
"""

import getpass
import os
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Connection, select

from resonance_zoom import __version__, logs, reports
from resonance_zoom.campaign import Campaign
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.errors import (
    NotFound,
    ResonanceError,
    ZoomNotFound,
)
from resonance_zoom.printing import (
    print_json,
    print_json_line,
    print_table,
    readable,
    say,
    write_file,
)
from resonance_zoom.settings import RUN_NEEDS, ZOOM_NEEDS, Settings, load_settings
from resonance_zoom.store import journal, outbox
from resonance_zoom.store.engine import Store
from resonance_zoom.store.tables import registrants as registrants_table

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
focus_group = click.option("--focus-group", metavar="SLUG", help="Only this focus group.")
output = click.option(
    "--output", type=click.Path(path_type=Path), help="Write a .csv or .xlsx file instead."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="resonance-zoom")
def cli() -> None:
    """Runs a campaign of Zoom meetings: creates them, learns who registers, and sends everyone
    their own link at once and reminders before.

    Start with: resonance-zoom check
    """


def main() -> None:
    """The entry point: errors become one line and an exit code."""
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except ResonanceError as error:
        _tell(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader has seen enough (`log | head`); do not complain about it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(error: ResonanceError) -> None:
    lines = getattr(error, "problems", None)
    for line in lines or [error.message]:
        say(line if lines else f"error: {line}")
    if error.remedy:
        say(error.remedy)


# ---- what commands share ---------------------------------------------------------------------


@contextmanager
def _database(settings: Settings) -> Iterator[Store]:
    """The database beside the daemon: it must exist and be of this version."""
    store = Store(settings.database_url)
    try:
        store.require_current()
        yield store
    finally:
        store.close()


@contextmanager
def _reading(needs: Collection[str] = ()) -> Iterator[tuple[Connection, Campaign]]:
    settings = load_settings(needs=needs)
    campaign = load_campaign(settings.campaign_file)
    with _database(settings) as store, store.read() as connection:
        yield connection, campaign


def _now() -> datetime:
    return datetime.now(UTC)


def _actor() -> str:
    """Who acts, for the journal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _known_group(campaign: Campaign, slug: str | None) -> str | None:
    if slug is not None and campaign.focus_group(slug) is None:
        known = ", ".join(group.slug for group in campaign.focus_groups)
        raise NotFound(f"no focus group {slug!r}", remedy=f"There are: {known}")
    return slug


# ---- before and during the campaign ----------------------------------------------------------


@cli.command()
@click.option("--seed", default=1, show_default=True, help="Same seed, same campaign.")
@click.option("--registrants", default=200, show_default=True, type=click.IntRange(1, 20_000))
@click.option("--out", type=click.Path(path_type=Path), help="Where the letters are kept (.eml).")
@as_json
def rehearse(seed: int, registrants: int, out: Path | None, *, as_json: bool) -> None:
    """Run the whole campaign in virtual time against a simulated Zoom."""
    from resonance_zoom import rehearsal  # it brings the simulator, which nothing else needs

    logs.configure(None)
    settings = load_settings()
    result = rehearsal.rehearse(
        settings.campaign_file, seed=seed, registrants=registrants, out=out, quiet=as_json
    )
    if as_json:
        print_json(result.as_json())
    else:
        rehearsal.print_result(result)
    if not result.kept:
        sys.exit(1)


@cli.command()
@as_json
def check(*, as_json: bool) -> None:
    """Tell what would stop the campaign, and what to do about it."""
    from resonance_zoom import doctor

    points = []
    for point in doctor.examine(load_settings()):
        points.append({"name": point.name, "level": point.level, "says": point.says,
                       "remedy": point.remedy})  # fmt: skip
        if not as_json:
            mark = click.style(
                "●", fg={"green": "green", "orange": "yellow", "red": "red"}[point.level]
            )
            click.echo(f"{mark} {point.level:6}  {point.name}: {point.says}")
            if point.remedy:
                click.echo(f"            → {point.remedy}")
    red = any(point["level"] == "red" for point in points)
    if as_json:
        print_json({"ok": not red, "points": points})
    if red:
        sys.exit(1)


@cli.command()
@as_json
def plan(*, as_json: bool) -> None:
    """Show what `run` would create or change on Zoom and which letters would go; change nothing."""
    from resonance_zoom import planning
    from resonance_zoom.service import open_zoom

    settings = load_settings(needs=ZOOM_NEEDS)
    campaign = load_campaign(settings.campaign_file)
    store = Store(settings.database_url)
    try:
        if store.path.exists():
            store.require_current()
        with open_zoom(settings) as zoom:
            found = planning.plan(store if store.path.exists() else None, zoom, campaign, _now())
    finally:
        store.close()
    if as_json:
        print_json(found)
        return
    for line in planning.sentences(found):
        click.echo(line)


@cli.command()
@click.option("--host", help="Where to listen; in place of HOST.")
@click.option("--port", type=int, help="Where to listen; in place of PORT.")
def run(host: str | None, port: int | None) -> None:
    """Run the campaign: the daemon, until SIGTERM."""
    from resonance_zoom import daemon
    from resonance_zoom.service import open_service

    settings = load_settings(needs=RUN_NEEDS)
    logs.configure(settings.log_format)
    settings = replace(
        settings,
        host=settings.host if host is None else host,
        port=settings.port if port is None else port,
    )
    service = open_service(settings)
    try:
        daemon.run(service, ready=lambda server: _greet(settings, service.campaign, server))
    finally:
        service.close()


def _greet(settings: Settings, campaign: Campaign, server: Any) -> None:
    say(f"{campaign.name}: running on http://{server.host}:{server.port}, stop with Ctrl-C")
    if settings.webhooks:
        say(f"Zoom calls {settings.public_url}/webhooks/zoom")
    else:
        say("WEBHOOKS=off: Zoom is asked every 2 minutes")
    if settings.smtp_url is None:
        say(f"!! NO LETTER LEAVES THIS MACHINE: SMTP_URL is not set, letters go to"
            f" {settings.data_dir / 'mail'}")  # fmt: skip
    if all(group.end <= _now() for group in campaign.focus_groups):
        say("!! every date of this campaign is past: nothing will be created or sent")


# ---- reading ---------------------------------------------------------------------------------


@cli.command()
@as_json
def status(*, as_json: bool) -> None:
    """Show the campaign at a glance."""
    with _reading() as (connection, campaign):
        found = reports.status(connection, campaign, _now())
    if as_json:
        print_json(found)
        return
    rows = []
    for group in found["focus_groups"]:
        coming = group["next_letter"]
        rows.append(
            {
                "focus_group": group["slug"],
                "start": group["start"],
                "state": group["state"],
                **group["registrants"],
                "sent": group["letters"]["sent"],
                "queued": group["letters"]["queued"],
                "failed": group["letters"]["failed"],
                "next_letter": f"{coming['kind']} {readable(coming['due_at'])}" if coming else "",
                "registration_url": group["registration_url"],
            }
        )
    print_table(rows, list(rows[0]), empty="")
    alive = found["sending"]["last_alive"]
    say(f"The daemon was last alive at {readable(alive)} UTC." if alive else "Never run yet.")
    for alert in found["alerts"]:
        say(f"!! {alert}")
    if not found["alerts"]:
        say("Nothing needs anybody.")


@cli.command()
@click.option("--follow", is_flag=True, help="Go on with new lines as they come.")
@click.option("--since", metavar="WHEN", help="2021-02-01, 2021-02-01T09:00, 30m, 6h or 2d.")
@click.option("--level", type=click.Choice(reports.LEVELS), help="This level and above.")
@click.option("-n", "--last", type=click.IntRange(1), help="Only the last N lines.")
@focus_group
@as_json
def log(
    focus_group: str | None,
    since: str | None,
    level: str | None,
    last: int | None,
    *,
    follow: bool,
    as_json: bool,
) -> None:
    """Read the journal: what happened, in order."""
    settings = load_settings()
    campaign = load_campaign(settings.campaign_file)
    group = _known_group(campaign, focus_group)
    start = _moment(since, campaign) if since else None
    newest = 0
    with _database(settings) as store:
        while True:
            with store.read() as connection:
                lines = reports.journal_lines(
                    connection,
                    after=newest,
                    since=start,
                    level=level,
                    focus_group=group,
                    last=last,
                )
            for line in lines:
                newest, last = line["id"], None
                if as_json:
                    print_json_line(line)
                else:
                    click.echo(_log_line(line))
            if not follow:
                return
            time.sleep(0.5)


def _log_line(line: dict[str, Any]) -> str:
    mark = {"info": " ", "warning": "!", "error": "✗"}[line["level"]]
    person = f" #{line['registrant']}" if line["registrant"] else ""
    place = f"{line['focus_group'] or '-'}{person}"
    when = f"{line['at'][:10]} {line['at'][11:19]}"
    return f"{when} {mark} {line['kind']:24} {place:28} {readable(line['message'])}"


def _moment(words: str, campaign: Campaign) -> datetime:
    """`30m`, `6h`, `2d` ago, or a date (and hour) in the campaign's zone."""
    units = {"m": "minutes", "h": "hours", "d": "days"}
    if words[:-1].isdigit() and words[-1] in units:
        return _now() - timedelta(**{units[words[-1]]: int(words[:-1])})
    try:
        moment = datetime.fromisoformat(words)
    except ValueError:
        raise click.BadParameter(
            f"{words!r} is neither a date such as 2021-02-01T09:00 nor a time ago such as 30m,"
            " 6h, 2d",
            param_hint="--since",
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=campaign.timezone)


REGISTRANT_COLUMNS = (
    "focus_group",
    "email",
    "first_name",
    "last_name",
    "status",
    "registered_at",
    "source",
)


@cli.command()
@focus_group
@click.option("--status", type=click.Choice(reports.STATUSES))
@output
@as_json
def registrants(
    focus_group: str | None, status: str | None, output: Path | None, *, as_json: bool
) -> None:
    """List everyone who registered."""
    with _reading() as (connection, campaign):
        found = reports.registrant_list(
            connection, focus_group=_known_group(campaign, focus_group), status=status
        )
    _show(found, REGISTRANT_COLUMNS, output, as_json=as_json, empty="Nobody has registered yet.")


LETTER_COLUMNS = ("id", "kind", "focus_group", "email", "due_at", "state", "sent_at", "reason")


@cli.command()
@focus_group
@click.option("--kind", help="confirmation, reminder-7, reminder-1 …")
@click.option("--state", type=click.Choice(outbox.STATES))
@output
@as_json
def letters(
    focus_group: str | None,
    kind: str | None,
    state: str | None,
    output: Path | None,
    *,
    as_json: bool,
) -> None:
    """List every letter owed so far: sent, waiting, failed or dropped, and why."""
    with _reading() as (connection, campaign):
        found = reports.letter_list(
            connection, focus_group=_known_group(campaign, focus_group), kind=kind, state=state
        )
    _show(found, LETTER_COLUMNS, output, as_json=as_json, empty="No such letter is owed yet.")


def _show(
    rows: list[dict[str, Any]],
    columns: tuple[str, ...],
    output: Path | None,
    *,
    as_json: bool,
    empty: str,
) -> None:
    if output is not None:
        write_file(output, rows, columns)
    elif as_json:
        print_json(rows)
    else:
        print_table(rows, columns, empty=empty)


@cli.command()
@click.argument("email")
@as_json
def who(email: str, *, as_json: bool) -> None:
    """Answer "did I get my link?" for one person (an address, or a part of a name)."""
    with _reading() as (connection, campaign):
        try:
            found = reports.who(connection, campaign, email, _now())
        except NotFound:
            close = list(reports.search(connection, email))
            if len(close) != 1:
                if close:
                    say("Who of these? " + ", ".join(readable(one) for one in close))
                raise
            found = reports.who(connection, campaign, close[0], _now())
    if as_json:
        print_json(found)
        return
    for registration in found["registrations"]:
        name = f"{registration['first_name']} {registration['last_name']}".strip()
        click.echo(
            f"{registration['focus_group']}: {readable(name)} <{readable(registration['email'])}>"
            f" {registration['status']} since {readable(registration['registered_at'])} UTC"
            f" (by {registration['source']})"
        )
        click.echo(f"  Did the link leave? {readable(registration['answer'])}")
        for letter in registration["letters"]:
            click.echo(
                f"  {letter['id']:>6} {letter['kind']:13} {letter['state']:8}"
                f" {readable(letter['sent_at'] or letter['due_at'])}  {readable(letter['reason'])}"
            )
        for due in registration["coming"]:
            click.echo(f"         {due['kind']:13} comes    {readable(due['due_at'])}")
    click.echo("History:")
    for line in found["history"]:
        click.echo("  " + _log_line(line))


# ---- acting ----------------------------------------------------------------------------------


@cli.command()
@click.argument("slug", required=False)
@click.option(
    "--agree-gone", is_flag=True, help="Many are gone from Zoom's lists: yes, take them out."
)
@as_json
def sync(slug: str | None, *, agree_gone: bool, as_json: bool) -> None:
    """List the registrants at Zoom now and repair what is known of them."""
    from jobs import sync_registrants
    from resonance_zoom import meetings
    from resonance_zoom.service import open_service

    logs.configure(None)
    service = open_service(load_settings(needs=ZOOM_NEEDS))
    try:
        service.store.require_current()
        _known_group(service.campaign, slug)
        with service.store.write() as connection:
            rows = [
                row for row in meetings.open_rows(connection) if slug in {None, row.focus_group}
            ]
            _acted(connection, "sync", f"sync asked for: {slug or 'all'}", slug)
        if not rows:
            raise NotFound(
                "there is no meeting to look at yet", remedy="See: resonance-zoom status"
            )
        sweeps = [sync_registrants.sweep(service, row, gone_is_agreed=agree_gone) for row in rows]
    finally:
        service.close()
    if as_json:
        print_json(
            [
                {
                    name: getattr(found, name)
                    for name in ("focus_group", "listed", "repaired", "refreshed", "absent",
                                 "gone", "withheld", "owed")
                }
                for found in sweeps
            ]
        )  # fmt: skip
    else:
        for found in sweeps:
            click.echo(found.sentence())


def _acted(
    connection: Connection, kind: str, words: str, group: str | None = None, **data: Any
) -> None:
    journal.note(
        connection, _now(), f"staff.{kind}", f"{words} (by {_actor()})", focus_group=group,
        by=_actor(), **data,
    )  # fmt: skip


@cli.command()
@click.argument("letter", type=int)
def resend(letter: int) -> None:
    """Send a letter again (its number is in `letters` and `who`)."""
    settings = load_settings()
    campaign = load_campaign(settings.campaign_file)
    with _database(settings) as store, store.write() as connection:
        row = reports.letter(connection, letter)
        person: Any = connection.execute(
            select(registrants_table).where(registrants_table.c.id == row.registrant)
        ).one()
        until = _end_of(connection, campaign, row.focus_group)
        if person.status != "approved":
            raise ResonanceError(
                f"letter {letter} cannot go: the registration is {person.status}",
                remedy="Only people who are registered get letters.",
            )
        if until <= _now():
            raise ResonanceError(f"letter {letter} cannot go: the meeting is over")
        again = _queue_again(connection, row, until)
        _acted(
            connection, "resend", f"letter {letter} is to go again", row.focus_group, letter=again
        )
    click.echo(f"letter {again} is queued; the daemon sends it within a few seconds")


def _queue_again(connection: Connection, row: Any, until: datetime) -> int:
    detail = f"by {_actor()}"
    if row.state in {"queued", "sending"}:
        raise ResonanceError(
            f"letter {row.id} is {row.state} already", remedy="See: resonance-zoom letters"
        )
    if row.state != "sent":
        outbox.by_hand(connection, row.id, now=_now(), worth_until=until, detail=detail)
        return int(row.id)
    return outbox.copy_by_hand(connection, row, now=_now(), worth_until=until, detail=detail)


def _end_of(connection: Connection, campaign: Campaign, slug: str) -> datetime:
    from resonance_zoom import meetings

    row: Any = meetings.row_in(connection, slug)
    group = campaign.focus_group(slug)
    if row is not None and row.end_at is not None:
        end: datetime = row.end_at
        return end
    if group is None:
        raise NotFound(f"no focus group {slug!r} in the campaign file")
    return group.end


@cli.command()
@click.argument("email")
@click.argument("slug")
@click.confirmation_option("--yes", prompt="Give this person's place up at Zoom?")
def cancel(email: str, slug: str) -> None:
    """Give up a person's place: the registration is deleted at Zoom, so that they may come back."""
    from resonance_zoom import meetings, registrations
    from resonance_zoom.service import open_service

    logs.configure(None)
    service = open_service(load_settings(needs=ZOOM_NEEDS))
    try:
        service.store.require_current()
        _known_group(service.campaign, slug)
        with service.store.read() as connection:
            person = registrations.active_person(connection, slug, email)
            meeting: Any = meetings.row_in(connection, slug)
        try:
            service.zoom.delete_registrant(meeting.zoom_meeting_id, person.registrant_id)
        except ZoomNotFound:
            say("Zoom does not know the registration any more; taken out here.")
        with service.store.write() as connection:
            registrations.withdrawn(connection, person, meeting, service.campaign, _now())
            _acted(connection, "cancel", "place given up", slug, registrant=person.id)
    finally:
        service.close()
    click.echo(f"{email} gave up the place in {slug}; no letter will go")


@cli.command()
def pause() -> None:
    """Stop all sending until `resume`. Registrations are still taken in."""
    with _database(load_settings()) as store, store.write() as connection:
        journal.remember(connection, journal.PAUSED, _actor())
        _acted(connection, "pause", "sending paused")
    click.echo("sending is paused; go on with: resonance-zoom resume")


@cli.command()
def resume() -> None:
    """Go on sending."""
    with _database(load_settings()) as store, store.write() as connection:
        journal.forget(connection, journal.PAUSED)
        _acted(connection, "resume", "sending resumed")
    click.echo("sending goes on")
