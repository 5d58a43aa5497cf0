"""Commands for who must account for personal data: the record of processing, a breach."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy import Connection

from jobs import watch
from resonance_zoom import breach, breach_text, processing
from resonance_zoom.campaign import Campaign
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.commands.at_hand import actor, as_json, database
from resonance_zoom.printing import print_json, write_file
from resonance_zoom.service import utc_now
from resonance_zoom.settings import Settings, load_settings
from resonance_zoom.store import journal
from resonance_zoom.store.opening import open_store


@click.command("breach-report")
@click.option("--since", metavar="ISO", help="The first moment in question; else the beginning.")
@click.option("--until", metavar="ISO", help="The last moment in question; else now.")
@click.option("--noticed", metavar="ISO", help="When the breach was noticed; else now.")
@click.option(
    "--output", type=click.Path(path_type=Path), help="Write who is concerned: .csv or .xlsx."
)
@as_json
def breach_report(
    since: str | None,
    until: str | None,
    noticed: str | None,
    output: Path | None,
    *,
    as_json: bool,
) -> None:
    """Tell what must be known after a breach, and until when the CNIL must be told."""
    settings = load_settings()
    campaign = load_campaign(settings.campaign_file)
    now = utc_now()
    asked = breach.Asked(
        since=None if since is None else _moment(since, campaign, "--since"),
        until=now if until is None else _moment(until, campaign, "--until"),
        noticed=now if noticed is None else _moment(noticed, campaign, "--noticed"),
    )
    _refuse_nonsense(asked, now)
    with database(settings) as store:
        with store.read() as connection:
            found = breach.facts(connection, store, campaign, asked, now)
        people = found["persons"]["list"]
        if output is not None:
            rows = [{**one, "focus_groups": ", ".join(one["focus_groups"])} for one in people]
            write_file(output, rows, breach.PERSON_COLUMNS)
        with store.write() as connection:
            journal.note(
                connection,
                now,
                "staff.breach_report",
                f"a report after a breach was made of {len(people)} people (by {actor()})",
                by=actor(),
                since=asked.since,
                until=asked.until,
                noticed_at=asked.noticed,
                people=len(people),
            )
    if as_json:
        print_json(found)
        return
    for line in breach_text.lines(found, campaign):
        click.echo(line)


@click.command("processing-record")
@as_json
def processing_record(*, as_json: bool) -> None:
    """Print the record of processing (GDPR, article 30), from what is configured; Markdown."""
    settings = load_settings()
    campaign = load_campaign(settings.campaign_file)
    with _known_so_far(settings) as connection:
        here = processing.Here(
            settings, campaign, connection, watch.KEEP_TECHNICAL, watch.KEEP_RUNS
        )
        found = processing.record(here)
    if as_json:
        print_json(found)
        return
    for line in processing.markdown(found):
        click.echo(line)


@contextmanager
def _known_so_far(settings: Settings) -> Iterator[Connection | None]:
    """The database, None before the first run: the law asks for the record before that."""
    if not open_store(settings.database_url).exists():
        yield None
        return
    with database(settings) as store, store.read() as connection:
        yield connection


def _moment(words: str, campaign: Campaign, option: str) -> datetime:
    """A moment as it is written, in the campaign's zone where it names none."""
    try:
        moment = datetime.fromisoformat(words)
        local = moment if moment.tzinfo else moment.replace(tzinfo=campaign.timezone)
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{words!r} is no moment such as 2021-02-01T09:00", param_hint=option
        ) from None


def _refuse_nonsense(asked: breach.Asked, now: datetime) -> None:
    if asked.noticed > now:
        raise click.BadParameter("it is still to come", param_hint="--noticed")
    if asked.since is not None and asked.since > asked.until:
        raise click.BadParameter("it comes after --until", param_hint="--since")
