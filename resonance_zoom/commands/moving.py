"""The command that moves a campaign into another database."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from sqlalchemy import func, select

from resonance_zoom.commands.at_hand import database
from resonance_zoom.errors import ResonanceError
from resonance_zoom.printing import messages, say
from resonance_zoom.settings import load_settings
from resonance_zoom.store import moving
from resonance_zoom.store.engine import Store
from resonance_zoom.store.opening import open_store
from resonance_zoom.store.tables import metadata


@click.command("migrate-to")
@click.argument("url")
def migrate_to(url: str) -> None:
    """Copy the whole campaign into the empty database at URL, while the service is stopped.

    From SQLite to PostgreSQL (postgresql+psycopg://USER:PASSWORD@HOST/NAME), or back. Give - as URL
    when it holds a password: then it is asked for. Everybody on a machine can read the words of a
    command.
    """
    if url == "-":
        asked = sys.stdin.isatty()
        url = click.prompt("URL", hide_input=True, err=True) if asked else sys.stdin.readline()
    settings = load_settings()
    with database(settings) as source:
        target = open_store(url.strip())
        try:
            if target.name == source.name:
                raise ResonanceError(
                    f"{target.name} is the database that is in use", remedy="Name an empty one."
                )
            source.hold_alone()
            target.hold_alone()
            target.prepare()
            with _shown(source) as progress:
                arrived = moving.move(source, target, progress)
        finally:
            target.close()
    rows = sum(its.rows for its in arrived.values())
    click.echo(f"{rows} rows of {len(arrived)} tables are in {target.name} now, each as it was")
    say("Next: put this URL into DATABASE_URL, on every machine, and start the service.")
    say(f"{source.name} was not changed. Never start the service on it again: it would write to")
    say("people a second time. Put it away once the new one runs.")


@contextmanager
def _shown(source: Store) -> Iterator[moving.Progress]:
    """A bar on a terminal, nothing elsewhere."""
    with source.read() as connection:
        counts = {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        }
    console = messages()
    columns = (TextColumn("{task.description:16}"), BarColumn(), MofNCompleteColumn())
    done = 0
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=sum(counts.values()))
        before = dict.fromkeys(counts, 0)

        def progress(table: str, rows: int) -> None:
            nonlocal done
            done += rows - before[table]
            before[table] = rows
            bar.update(task, completed=done, description=table)

        yield progress
