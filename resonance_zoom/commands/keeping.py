"""Commands for what is kept: a person's data, the end of a campaign, backups, letters held back."""

import json
import os
from pathlib import Path
from typing import Any

import click

from resonance_zoom import backups, holds, privacy, restoring
from resonance_zoom.acts import Desk
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.commands.at_hand import (
    actor,
    all_parts,
    as_json,
    database,
    focus_group,
    known_group,
    reading,
)
from resonance_zoom.errors import NotFound, ResonanceError
from resonance_zoom.printing import print_json, print_table, say
from resonance_zoom.service import utc_now
from resonance_zoom.settings import load_settings
from resonance_zoom.store import journal, people
from resonance_zoom.store.opening import open_store

file_argument = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("email")
@click.option("--output", type=file_argument, help="Write the JSON to this file instead.")
def export(email: str, output: Path | None) -> None:
    """All that is known of one person, as JSON, for that person."""
    with reading() as (connection, _campaign):
        found = privacy.export(connection, email)
    if output is None:
        print_json(found)
        return
    _write_new(output, found)
    say(f"written to {output}; delete it when it was handed over")


@click.command()
@click.argument("email")
@click.confirmation_option("--yes", prompt="Erase this person for good, at Zoom too?")
def erase(email: str) -> None:
    """Erase all that is known of one person, in every group, here and at Zoom."""
    with all_parts() as service:
        with service.store.read() as connection:
            known = people.with_email(connection, email)
        if not known:
            raise NotFound(
                f"nobody is known as {email}",
                remedy="See: resonance-zoom registrants; or ask Zoom now: resonance-zoom sync",
            )
        desk = Desk(service.store, service.campaign, utc_now(), actor())
        groups = privacy.erase(desk, service.zoom, known[0].id)
    click.echo(f"erased in {groups} focus groups; backups older than this still hold the person")
    say("They are deleted after 14 days, and a restore erases the person again.")


@click.command()
@click.confirmation_option("--yes", prompt="Erase the personal data of everybody?")
def purge() -> None:
    """Erase everybody's data now, once the days in the campaign file are over."""
    settings = load_settings()
    campaign = load_campaign(settings.campaign_file)
    with database(settings) as store:
        erased = privacy.purge(Desk(store, campaign, utc_now(), actor()))
    click.echo(f"{erased['registrants']} registrants erased; the counts stay")


@click.command()
@click.option("--output", type=file_argument, help="Write the receipt (JSON) to this file.")
@click.confirmation_option("--yes", prompt="End the campaign: erase everybody, here and at Zoom?")
def close(output: Path | None) -> None:
    """End a campaign that is over: erase everybody here and at Zoom, and leave a receipt."""
    with all_parts() as service:
        now = utc_now()
        target = output or service.settings.data_dir / f"receipt-{now:%Y-%m-%dT%H-%M-%S}.json"
        _write_new(target, {})  # before anything is erased, so that it cannot fail afterwards
        desk = Desk(service.store, service.campaign, now, actor())
        try:
            receipt = privacy.close(desk, service.zoom)
        except ResonanceError:
            target.unlink()
            raise
        _write(target, receipt)
    click.echo(f"{receipt['erased']['registrants']} registrants erased; the receipt is {target}")
    for group in receipt["focus_groups"]:
        if left := group["at_zoom"]["left"]:
            say(f"!! Zoom kept {left} of {group['slug']}: {group['at_zoom']['says']}")
            say(f"Delete meeting {group['zoom_meeting_id']} on zoom.us.")


@click.command()
@click.argument("file", required=False, type=file_argument)
def backup(file: Path | None) -> None:
    """Copy the database while the service runs; without FILE, as today's backup."""
    with database(load_settings()) as store:
        now = utc_now()
        if file is None:
            made = backups.make_daily(store, now)
        elif file.exists():
            raise ResonanceError(f"{file} exists already", remedy="Name another file.")
        else:
            made = backups.make(store, file)
        with store.write() as connection:
            if file is None:
                journal.remember(connection, backups.BACKED_UP, now)
            journal.note(
                connection, now, "staff.backup", f"a backup was made (by {actor()})", by=actor()
            )
    click.echo(made)


@click.command()
@click.argument("file", required=False, type=file_argument)
@click.confirmation_option("--yes", prompt="Put this backup in the place of the database?")
def restore(file: Path | None) -> None:
    """Bring a backup back, while the service is stopped; what may have gone waits for a yes.

    On PostgreSQL the server restores the database; then this, without FILE, makes it safe.
    """
    store = open_store(load_settings().database_url)
    try:
        done = restoring.restore(store, file, utc_now(), by=actor())
    finally:
        store.close()
    click.echo(f"{file} is the database now" if file else "the database is safe to start with")
    if done.aside is not None:
        say(f"What was there is kept: {done.aside}")
    if done.as_of is not None:
        say(f"It knows what happened until {done.as_of:%Y-%m-%d %H:%M} UTC.")
    if done.erased_again:
        say(f"{done.erased_again} registrations of people erased since were erased again.")
    if not done.erasures_known:
        say("!! The old database cannot be read: erase again whoever was erased since the newest")
        say("backup was made, before you start the service: resonance-zoom erase EMAIL")
    say(
        "Start the service: it asks Zoom for what the backup lacks. Every letter that may have gone"
    )
    say("since then waits for your yes: resonance-zoom held")


@click.command()
@click.option("--send", "decision", flag_value="send", help="Send them: they did not go.")
@click.option("--drop", "decision", flag_value="drop", help="Do not send them: they did go.")
@click.option("--kind", help="Only this kind: confirmation, reminder-7, reminder-1 …")
@focus_group
@as_json
def held(decision: str | None, kind: str | None, focus_group: str | None, *, as_json: bool) -> None:
    """List, send or drop the letters that wait for a yes, after a restore or a lost database."""
    settings = load_settings()
    group = known_group(load_campaign(settings.campaign_file), focus_group)
    with database(settings) as store, store.write() as connection:
        rows = [
            row
            for row in holds.waiting(connection)
            if group in {None, row["focus_group"]} and kind in {None, row["kind"]}
        ]
        if decision is not None and rows:
            _decide(connection, decision, group, kind)
    if as_json:
        print_json(rows)
        return
    print_table(rows, ("focus_group", "kind", "reason", "letters"), empty="No letter is held.")
    if not rows:
        return
    if decision is None:
        say("See each: resonance-zoom letters --state in_doubt. One: resonance-zoom resend NUMBER.")
        say("All of these: resonance-zoom held --send, or --drop.")
    else:
        say("They go now." if decision == "send" else "They will not go.")


def _decide(connection: Any, decision: str, group: str | None, kind: str | None) -> None:
    now, by = utc_now(), actor()
    if decision == "send":
        count = holds.release(connection, now, by=by, focus_group=group, kind=kind)
        words = f"{count} held letters are to go (by {by})"
    else:
        count = holds.drop(connection, by=by, focus_group=group, kind=kind)
        words = f"{count} held letters are not to go (by {by})"
    journal.note(
        connection,
        now,
        "staff.release" if decision == "send" else "staff.drop_held",
        words,
        by=by,
        focus_group=group,
        letters=count,
    )


def _write_new(path: Path, document: Any) -> None:
    """A file for this user alone, that was not there before."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise ResonanceError(
            f"cannot write {path} ({error.strerror})", remedy="Name another file."
        ) from error
    _write(path, document)


def _write(path: Path, document: Any) -> None:
    text = json.dumps(document, ensure_ascii=False, indent=2)
    path.write_text(text + "\n", encoding="utf-8")
