"""The organiser's campaign file with its dates in the coming weeks, all else as it stands."""

import re
import shutil
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from resonance_zoom.campaign import Campaign, FocusGroup
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.toml_lines import key_lines

FIRST_GROUP_IN = 9  # days: the first reminder, a week before, is then two days away
_DATE = re.compile(r"(\bdate[\"']?[ \t]*=[ \t]*)(\d{4}-\d{2}-\d{2})")


def moved_to_the_coming_weeks(campaign_file: Path, folder: Path, *, now: datetime) -> Path:
    """A copy of the campaign in `folder`, letters of its own included: the first group in 9 days.

    The others follow after as many days as in the file. Raises CampaignFileError.
    """
    campaign = load_campaign(campaign_file)
    shift = _shift(campaign, now.astimezone(campaign.timezone).date())
    copy = folder / "campaign.toml"
    copy.write_text(_moved(campaign_file.read_text(encoding="utf-8-sig"), shift), encoding="utf-8")
    letters = campaign_file.parent / "letters"
    if letters.is_dir():
        shutil.copytree(letters, folder / "letters")
    return copy


def _shift(campaign: Campaign, today: date) -> timedelta:
    """How far to move; a day more where a clock change would swallow an hour of the file."""
    first = min(group.date for group in campaign.focus_groups)
    shift = today + timedelta(days=FIRST_GROUP_IN) - first
    while not all(_happens(group, hour, shift) for group in campaign.focus_groups
                  for hour in (group.starts, group.ends)):  # fmt: skip
        shift += timedelta(days=1)
    return shift


def _happens(group: FocusGroup, hour: time, shift: timedelta) -> bool:
    """Whether that local hour exists on the new day."""
    local = datetime.combine(group.date + shift, hour, group.timezone)
    back = local.astimezone(UTC).astimezone(group.timezone)
    return back.replace(tzinfo=None) == local.replace(tzinfo=None)


def _moved(text: str, shift: timedelta) -> str:
    """The text with each group's date moved; an agenda that looks like one stays as it is."""
    dates = {line for path, line in key_lines(text).items() if path[-1] == "date"}

    def later(found: re.Match[str]) -> str:
        return f"{found[1]}{date.fromisoformat(found[2]) + shift}"

    return "\n".join(
        _DATE.sub(later, line) if number in dates else line
        for number, line in enumerate(text.split("\n"), start=1)
    )
