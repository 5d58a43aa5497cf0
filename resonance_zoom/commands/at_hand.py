"""What a command has at hand: its options, the database beside the daemon, the name of who acts."""

import getpass
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from sqlalchemy import Connection

from resonance_zoom import logs
from resonance_zoom.campaign import Campaign
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.errors import NotFound
from resonance_zoom.service import Service, open_service
from resonance_zoom.settings import ZOOM_NEEDS, Settings, load_settings
from resonance_zoom.store.engine import Store
from resonance_zoom.store.opening import open_store

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
focus_group = click.option("--focus-group", metavar="SLUG", help="Only this focus group.")
output = click.option(
    "--output", type=click.Path(path_type=Path), help="Write a .csv or .xlsx file instead."
)


@contextmanager
def database(settings: Settings) -> Iterator[Store]:
    """The database beside the daemon: it must exist and be of this version."""
    store = open_store(settings.database_url)
    try:
        store.require_current()
        yield store
    finally:
        store.close()


@contextmanager
def all_parts() -> Iterator[Service]:
    """All the parts, for commands that speak with Zoom beside the daemon."""
    logs.configure(None)
    service = open_service(load_settings(needs=ZOOM_NEEDS))
    try:
        service.store.require_current()
        yield service
    finally:
        service.close()


@contextmanager
def reading(needs: Collection[str] = ()) -> Iterator[tuple[Connection, Campaign]]:
    settings = load_settings(needs=needs)
    campaign = load_campaign(settings.campaign_file)
    with database(settings) as store, store.read() as connection:
        yield connection, campaign


def actor() -> str:
    """Who acts, for the journal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def known_group(campaign: Campaign, slug: str | None) -> str | None:
    if slug is not None and campaign.focus_group(slug) is None:
        known = ", ".join(group.slug for group in campaign.focus_groups)
        raise NotFound(f"no focus group {slug!r}", remedy=f"There are: {known}")
    return slug
