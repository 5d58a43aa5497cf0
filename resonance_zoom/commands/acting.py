"""Commands that act; each leaves a line in the journal with who did it."""

from typing import Any

import click
from sqlalchemy import Connection

from jobs import sync_registrants
from resonance_zoom import acts, learning, meetings
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.commands.at_hand import actor, all_parts, as_json, database, known_group
from resonance_zoom.errors import NotFound
from resonance_zoom.printing import print_json, say
from resonance_zoom.service import utc_now
from resonance_zoom.settings import load_settings
from resonance_zoom.store import journal, sessions

SWEPT = ("focus_group", "listed", "repaired", "refreshed", "absent", "gone", "withheld", "owed")


@click.command()
@click.argument("slug", required=False)
@click.option(
    "--agree-gone", is_flag=True, help="Many are gone from Zoom's lists: yes, take them out."
)
@as_json
def sync(slug: str | None, *, agree_gone: bool, as_json: bool) -> None:
    """List the registrants at Zoom now and repair what is known of them."""
    with all_parts() as service:
        known_group(service.campaign, slug)
        with service.store.write() as connection:
            rows = [
                row for row in meetings.open_rows(connection) if slug in {None, row.focus_group}
            ]
            _acted(connection, "sync", f"sync asked for: {slug or 'all'}", focus_group=slug)
        if not rows:
            raise NotFound(
                "there is no meeting to look at yet", remedy="See: resonance-zoom status"
            )
        sweeps = [sync_registrants.sweep(service, row, gone_is_agreed=agree_gone) for row in rows]
    if as_json:
        print_json([{name: getattr(found, name) for name in SWEPT} for found in sweeps])
    else:
        for found in sweeps:
            click.echo(found.sentence())


def _acted(connection: Connection, kind: str, words: str, **data: Any) -> None:
    """The journal line of an act that a terminal alone can ask for, or asks for in its own way."""
    journal.note(
        connection, utc_now(), f"staff.{kind}", f"{words} (by {actor()})", by=actor(), **data
    )


@click.command()
@click.argument("letter", type=click.IntRange(1, 2**63 - 1))
def resend(letter: int) -> None:
    """Send a letter again (its number is in `letters` and `who`)."""
    settings = load_settings()
    campaign = load_campaign(settings.campaign_file)
    with database(settings) as store:
        again = acts.resend(acts.Desk(store, campaign, utc_now(), actor()), letter)
    click.echo(f"letter {again} is queued; the daemon sends it within a few seconds")


@click.command()
@click.argument("email")
@click.argument("slug")
@click.confirmation_option("--yes", prompt="Give this person's place up at Zoom?")
def cancel(email: str, slug: str) -> None:
    """Give up a person's place: the registration is deleted at Zoom, so that they may come back."""
    with all_parts() as service:
        known_group(service.campaign, slug)
        with service.store.read() as connection:
            person = learning.active_person(connection, slug, email)
        desk = acts.Desk(service.store, service.campaign, utc_now(), actor())
        if not acts.give_up_place(desk, service.zoom, person.id, receipt=False):
            say("Zoom does not know the registration any more; taken out here.")
    click.echo(f"{email} gave up the place in {slug}; no letter will go")


# Sending is stopped and started without the campaign file: the brake must hold even when that file
# is broken, which may be why it is pulled.


@click.command()
def pause() -> None:
    """Stop all sending until `resume`. Registrations are still taken in."""
    with database(load_settings()) as store, store.write() as connection:
        journal.remember(connection, journal.PAUSED, actor())
        _acted(connection, "pause", "sending paused")
    click.echo("sending is paused; go on with: resonance-zoom resume")


@click.command()
def resume() -> None:
    """Go on sending."""
    with database(load_settings()) as store, store.write() as connection:
        journal.forget(connection, journal.PAUSED)
        _acted(connection, "resume", "sending resumed")
    click.echo("sending goes on")


@click.command("sign-out")
@click.confirmation_option("--yes", prompt="Sign all of the staff out, and withdraw unused links?")
def sign_out() -> None:
    """Sign all of the staff out and withdraw every link that nobody used yet; invite anew then."""
    with database(load_settings()) as store, store.write() as connection:
        count = sessions.close_all(connection)
        journal.remember(connection, journal.LINKS_SINCE, utc_now())
        _acted(connection, "sign_everybody_out", f"{count} sessions ended", sessions=count)
    click.echo(f"{count} sessions ended; links made before now let nobody in")
