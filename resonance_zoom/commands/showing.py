"""Commands that show the campaign to others: links for the staff, letters as they would be sent."""

import tempfile
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import click

from resonance_zoom import preview
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.commands.at_hand import actor, as_json, database, known_group
from resonance_zoom.errors import ResonanceError
from resonance_zoom.links import READER, ROLES, Links
from resonance_zoom.mail.postman import make_postman
from resonance_zoom.printing import print_json, say, write_private
from resonance_zoom.service import Service, open_service, utc_now
from resonance_zoom.settings import load_settings
from resonance_zoom.site import write_site
from resonance_zoom.store import journal
from resonance_zoom.store.opening import open_store


@click.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default=READER, show_default=True)
@click.option(
    "--days",
    type=click.IntRange(1, 365),
    default=7,
    show_default=True,
    help="How long the link waits to be used; it works once.",
)
@as_json
def invite(name: str, role: str, days: int, *, as_json: bool) -> None:
    """Print a link to the staff pages for one person: a reader sees, an admin acts."""
    settings = load_settings(needs={"SECRET_KEY"})
    campaign = load_campaign(settings.campaign_file)
    name = " ".join(name.split())
    if not 0 < len(name) <= 80:
        raise click.BadParameter(
            "write the person's name, at most 80 characters", param_hint="NAME"
        )
    now = utc_now()
    ends_at = now + timedelta(days=days)
    links = Links(settings.secret_key, settings.public_url, campaign.slug)
    link = links.invitation(name, role, now=now, ends_at=ends_at)
    with database(settings) as store, store.write() as connection:
        journal.note(
            connection,
            now,
            "staff.invite",
            f"{name} is invited as {role} (by {actor()})",
            by=actor(),
            role=role,
            ends_at=ends_at,
        )
    if as_json:
        print_json(
            {"name": name, "role": role, "link": link, "ends_at": f"{ends_at:%Y-%m-%dT%H:%M:%SZ}"}
        )
        return
    click.echo(link)
    say(f"For {name} alone ({role}): it works once, until {ends_at:%Y-%m-%d %H:%M} UTC.")


@click.command()
@click.argument("kind")
@click.option("--registrant", metavar="EMAIL", help="As this person would get it.")
@click.option("--focus-group", metavar="SLUG", help="For this focus group; else the next one.")
@click.option("--output", type=click.Path(path_type=Path), help="Write the message (.eml) here.")
@click.option("--open", "in_browser", is_flag=True, help="Show it in the browser.")
def letter(
    kind: str,
    registrant: str | None,
    focus_group: str | None,
    output: Path | None,
    *,
    in_browser: bool,
) -> None:
    """Show a letter exactly as it would be sent: confirmation, reminder-7, moved …"""
    with _parts() as service:
        known_group(service.campaign, focus_group)
        message = preview.message(service, kind, email=registrant, focus_group=focus_group)
    if output is not None:
        _write(output, message)
        say(f"{len(message):,} bytes written to {output}")
        return
    if in_browser:
        with tempfile.NamedTemporaryFile("wb", suffix=".html", delete=False) as page:
            page.write(preview.html_of(message).encode())
        webbrowser.open(Path(page.name).as_uri())
        say(f"{Path(page.name)} is the HTML part")
        return
    click.echo(preview.text_of(message))


@click.command("test-letter")
@click.argument("kind")
@click.option("--to", "address", required=True, metavar="STAFF_EMAIL")
@click.option("--focus-group", metavar="SLUG", help="For this focus group; else the next one.")
def test_letter(kind: str, address: str, focus_group: str | None) -> None:
    """Send a letter as it really looks to one of the staff, through the real mail server.

    It is made out to nobody who is registered: the link in it leads nowhere.
    """
    with _parts() as service:
        known_group(service.campaign, focus_group)
        preview.refuse_strangers(service, address)
        message = preview.sample(service, kind, email=address, focus_group=focus_group)
        postman = make_postman(service.settings.smtp_url, service.settings.data_dir / "mail")
        try:
            accepted = postman.send(
                sender=service.composer.sender, recipient=address, message=message
            )
        finally:
            postman.close()
    click.echo(f"accepted for {address}: {accepted.reply}")


@click.command()
@click.option(
    "--output",
    "folder",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the files are written.",
)
def site(folder: Path) -> None:
    """Write the page of the campaign as files, for any web server."""
    settings = load_settings()
    campaign = load_campaign(settings.campaign_file)
    store = open_store(settings.database_url)
    try:
        exists = store.exists()
        if exists:
            store.require_current()
        written = write_site(campaign, store if exists else None, utc_now(), folder)
    finally:
        store.close()
    for path in written:
        click.echo(path)
    if not exists:
        say("The service has not run yet: the page says that registration will open soon.")


@contextmanager
def _parts() -> Iterator[Service]:
    """All the parts; the database need not exist yet."""
    service = open_service(load_settings())
    try:
        yield service
    finally:
        service.close()


def _write(path: Path, message: bytes) -> None:
    try:
        write_private(path, message)
    except OSError as error:
        raise ResonanceError(
            f"cannot write {path} ({error.strerror})", remedy="Name another file."
        ) from error
