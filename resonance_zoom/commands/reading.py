"""Commands that read what is known: at a glance, line by line, person by person."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from resonance_zoom import reports
from resonance_zoom.campaign import Campaign
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.commands.at_hand import (
    as_json,
    database,
    focus_group,
    known_group,
    output,
    reading,
)
from resonance_zoom.errors import NotFound
from resonance_zoom.printing import (
    print_json,
    print_json_line,
    print_table,
    readable,
    say,
    write_file,
)
from resonance_zoom.service import utc_now
from resonance_zoom.settings import load_settings
from resonance_zoom.store import outbox
from resonance_zoom.undelivered import DELAYED, LOST

MARKS = {"debug": "·", "info": " ", "warning": "!", "error": "✗"}
REGISTRANT_COLUMNS = (
    "focus_group",
    "email",
    "first_name",
    "last_name",
    "status",
    "registered_at",
    "source",
)
LETTER_COLUMNS = (
    "id", "kind", "focus_group", "email", "due_at", "state", "sent_at", "reason", "bounce",
    "bounced_at", "bounce_reason",
)  # fmt: skip


@click.command()
@as_json
def status(*, as_json: bool) -> None:
    """Show the campaign at a glance."""
    with reading() as (connection, campaign):
        found = reports.status(connection, campaign, utc_now())
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


@click.command()
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
    group = known_group(campaign, focus_group)
    start = None if since is None else _moment(since, campaign)
    newest = 0
    with database(settings) as store:
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
    mark = MARKS[line["level"]]
    person = f" #{line['registrant']}" if line["registrant"] else ""
    place = f"{line['focus_group'] or '-'}{person}"
    when = f"{line['at'][:10]} {line['at'][11:19]}"
    return f"{when} {mark} {line['kind']:24} {place:28} {readable(line['message'])}"


def _moment(words: str, campaign: Campaign) -> datetime:
    """`30m`, `6h`, `2d` ago, or a date (and hour) in the campaign's zone."""
    units = {"m": "minutes", "h": "hours", "d": "days"}
    try:
        if words[:-1].isdecimal() and words[-1] in units:
            return utc_now() - timedelta(**{units[words[-1]]: int(words[:-1])})
        moment = datetime.fromisoformat(words)
        local = moment if moment.tzinfo else moment.replace(tzinfo=campaign.timezone)
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{words!r} is neither a date such as 2021-02-01T09:00 nor a time ago such as 30m,"
            " 6h, 2d",
            param_hint="--since",
        ) from None


@click.command()
@focus_group
@click.option("--status", type=click.Choice(reports.STATUSES))
@output
@as_json
def registrants(
    focus_group: str | None, status: str | None, output: Path | None, *, as_json: bool
) -> None:
    """List everyone who registered."""
    with reading() as (connection, campaign):
        found = reports.registrant_list(
            connection, focus_group=known_group(campaign, focus_group), status=status
        )
    _show(found, REGISTRANT_COLUMNS, output, as_json=as_json, empty="Nobody has registered yet.")


@click.command()
@focus_group
@click.option("--kind", help="confirmation, reminder-7, reminder-1 …")
@click.option("--state", type=click.Choice(outbox.STATES))
@click.option("--bounce", type=click.Choice((LOST, DELAYED)), help="Only what came back, or waits.")
@output
@as_json
def letters(
    focus_group: str | None,
    kind: str | None,
    state: str | None,
    bounce: str | None,
    output: Path | None,
    *,
    as_json: bool,
) -> None:
    """List every letter owed so far: sent, waiting, failed or dropped, and why."""
    with reading() as (connection, campaign):
        found = reports.letter_list(
            connection,
            focus_group=known_group(campaign, focus_group),
            kind=kind,
            state=state,
            bounce=bounce,
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


@click.command()
@click.argument("email")
@as_json
def who(email: str, *, as_json: bool) -> None:
    """Answer "did I get my link?" for one person (an address, or a part of a name)."""
    with reading() as (connection, campaign):
        try:
            found = reports.who(connection, campaign, email, utc_now())
        except NotFound:
            close = list(reports.search(connection, email)) if email.strip() else []
            if not close:
                raise
            if len(close) > 1:
                raise NotFound(
                    f"several people fit {readable(email)}",
                    remedy="Who of these? " + ", ".join(readable(one) for one in close),
                ) from None
            found = reports.who(connection, campaign, close[0], utc_now())
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
            if letter["bounce"]:
                click.echo(_bounce(letter))
        for due in registration["coming"]:
            click.echo(f"         {due['kind']:13} comes    {readable(due['due_at'])}")
    click.echo("History:")
    for line in found["history"]:
        click.echo("  " + _log_line(line))


def _bounce(letter: dict[str, Any]) -> str:
    """What became of a letter that left, and what to do."""
    when, why = readable(letter["bounced_at"]), readable(letter["bounce_reason"])
    if letter["bounce"] == DELAYED:
        return f"         delayed on its way ({when}): {why}"
    return (
        f"         came back ({when}): {why}\n"
        f"         Correct the address on the staff pages, or: resonance-zoom resend {letter['id']}"
    )
