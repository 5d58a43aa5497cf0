"""The page of the campaign as files: for a web server that is not ours, or a stick."""

from datetime import datetime
from pathlib import Path

from resonance_zoom.campaign import Campaign
from resonance_zoom.errors import ResonanceError
from resonance_zoom.store.engine import Store
from resonance_zoom.web import pages
from resonance_zoom.web.public import cards, keep_until

INDEX, STYLE, ICON = "index.html", "style.css", "icon.svg"


def write_site(campaign: Campaign, store: Store | None, now: datetime, folder: Path) -> list[Path]:
    """Write the page, its stylesheet and its icon, with links that hold wherever they lie.

    `store` None: before the first run, no registration is open. Raises ResonanceError when the
    folder cannot be written.
    """
    html = pages.rendered(
        "campaign.html",
        campaign,
        now,
        path="/",
        stylesheet=STYLE,
        icon=ICON,
        cards=cards(campaign, store, now),
        keep_until=keep_until(campaign, store),
    )
    files = {INDEX: html.encode(), STYLE: pages.stylesheet(), ICON: pages.ICON.read_bytes()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        raise ResonanceError(
            f"cannot write to {folder} ({error.strerror})", remedy="Name another folder."
        ) from error
    return [folder / name for name in files]
