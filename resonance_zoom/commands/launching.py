"""Commands that run a campaign: in rehearsal, as a demonstration, and for good."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from resonance_zoom import daemon, logs
from resonance_zoom.commands.at_hand import as_json
from resonance_zoom.printing import print_json, say
from resonance_zoom.service import Service, open_service, utc_now
from resonance_zoom.settings import RUN_NEEDS, load_settings


@click.command()
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


@click.command()
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
def demo(port: int) -> None:
    """Click through everything on this machine: a simulated Zoom, a mailbox, the pages."""
    from resonance_zoom import demo as demonstration  # it brings the simulator, like `rehearse`

    logs.configure("text")
    settings = load_settings()
    demonstration.run(settings.campaign_file, port=port, host=settings.host)


@click.command()
@click.option("--host", help="Where to listen; in place of HOST.")
@click.option("--port", type=click.IntRange(0, 65535), help="Where to listen; in place of PORT.")
def run(host: str | None, port: int | None) -> None:
    """Run the campaign: the daemon, until SIGTERM."""
    with _all_parts(host, port) as service:
        daemon.run(service, ready=lambda server: _greet(service, server))


@click.command()
@click.option("--host", help="Where to listen; in place of HOST.")
@click.option("--port", type=click.IntRange(0, 65535), help="Where to listen; in place of PORT.")
def web(host: str | None, port: int | None) -> None:
    """Answer requests only, on any number of machines (PostgreSQL); `clock` does the rest."""
    with _all_parts(host, port) as service:
        daemon.web(service, ready=lambda server: _greet(service, server))


@click.command()
def clock() -> None:
    """Run the jobs only (PostgreSQL): one of several does, the others stand by."""
    with _all_parts() as service:
        name = service.campaign.name
        daemon.clock(service, ready=lambda: say(f"{name}: this clock is at work"))


@contextmanager
def _all_parts(host: str | None = None, port: int | None = None) -> Iterator[Service]:
    settings = load_settings(needs=RUN_NEEDS)
    logs.configure(settings.log_format)
    logs.tell_what_nobody_catches()
    settings = replace(
        settings,
        host=settings.host if host is None else host,
        port=settings.port if port is None else port,
    )
    service = open_service(settings)
    try:
        yield service
    finally:
        service.close()


def _greet(service: Service, server: Any) -> None:
    settings, campaign = service.settings, service.campaign
    say(f"{campaign.name}: running on http://{server.host}:{server.port}, stop with Ctrl-C")
    if settings.webhooks:
        say(f"Zoom calls {settings.public_url}/webhooks/zoom")
    else:
        say("WEBHOOKS=off: Zoom is asked every 2 minutes")
    if settings.smtp_url is None:
        say(f"!! NO LETTER LEAVES THIS MACHINE: SMTP_URL is not set, letters go to"
            f" {settings.data_dir / 'mail'}")  # fmt: skip
    if all(group.end <= utc_now() for group in campaign.focus_groups):
        say("!! every date of this campaign is past: nothing will be created or sent")
