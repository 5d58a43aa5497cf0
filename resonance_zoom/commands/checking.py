"""Commands before the campaign: what would stop it, and what it would do."""

import sys

import click

from resonance_zoom import doctor, planning
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.commands.at_hand import as_json
from resonance_zoom.printing import colour, print_json
from resonance_zoom.service import open_zoom, utc_now
from resonance_zoom.settings import ZOOM_NEEDS, load_settings
from resonance_zoom.store.opening import open_store


@click.command()
@click.option(
    "--kept", metavar="HEAD", help="A head of the staff's acts, kept from an earlier check."
)
@as_json
def check(kept: str | None, *, as_json: bool) -> None:
    """Tell what would stop the campaign, and what to do about it."""
    points = []
    for point in doctor.examine(load_settings(), kept_head=kept):
        points.append({"name": point.name, "level": point.level, "says": point.says,
                       "remedy": point.remedy})  # fmt: skip
        if not as_json:
            mark = click.style(
                "●", fg={"green": "green", "orange": "yellow", "red": "red"}[point.level]
            )
            click.echo(f"{mark} {point.level:6}  {point.name}: {point.says}", color=colour())
            if point.remedy:
                click.echo(f"            → {point.remedy}")
    red = any(point["level"] == "red" for point in points)
    if as_json:
        print_json({"ok": not red, "points": points})
    if red:
        sys.exit(1)


@click.command()
@as_json
def plan(*, as_json: bool) -> None:
    """Show what `run` would create or change on Zoom and which letters would go; change nothing."""
    settings = load_settings(needs=ZOOM_NEEDS)
    campaign = load_campaign(settings.campaign_file)
    store = open_store(settings.database_url)
    try:
        if store.exists():
            store.require_current()
        with open_zoom(settings) as zoom:
            found = planning.plan(store if store.exists() else None, zoom, campaign, utc_now())
    finally:
        store.close()
    if as_json:
        print_json(found)
        return
    for line in planning.sentences(found):
        click.echo(line)
