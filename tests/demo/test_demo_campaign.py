"""The campaign of the demonstration: the organiser's own, in the coming weeks."""

from datetime import UTC, date, datetime, time
from pathlib import Path

from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.demo.campaign import moved_to_the_coming_weeks

NOW = datetime(2026, 11, 23, 19, 0, tzinfo=UTC)
ONE_GROUP = """\
[campaign]
name = "Mission Résonance"
slug = "resonance-2021"
timezone = "Europe/Paris"
language = "fr"
zoom_host = "organisation@example.org"

[organiser]
name = "Mission Résonance"
email = "contact@example.org"

[[focus_group]]
slug = "veille"
title = "Veiller"
date = 2021-02-09
starts = 02:30:00
ends = 04:00:00
agenda = \"\"\"
Sur l’affiche :
date = 2021-02-09
\"\"\"
"""


def test_the_first_group_is_nine_days_away_and_the_others_keep_their_distance(
    tmp_path: Path,
) -> None:
    moved = load_campaign(
        moved_to_the_coming_weeks(Path("config/campaign.toml"), tmp_path, now=NOW)
    )
    assert [group.date for group in moved.focus_groups] == [
        date(2026, 12, 2),
        date(2026, 12, 9),
        date(2026, 12, 30),
        date(2027, 1, 6),
    ]
    assert {(group.starts, group.ends) for group in moved.focus_groups} == {(time(9), time(11))}


def test_all_but_the_dates_stands_as_the_organiser_wrote_it(tmp_path: Path) -> None:
    shipped = Path("config/campaign.toml")
    moved = moved_to_the_coming_weeks(shipped, tmp_path, now=NOW)
    before = shipped.read_text(encoding="utf-8").splitlines()
    after = moved.read_text(encoding="utf-8").splitlines()
    assert [new for old, new in zip(before, after, strict=True) if old != new] == [
        "date = 2026-12-02",
        "date = 2026-12-09",
        "date = 2026-12-30",
        "date = 2027-01-06",
    ]


def test_an_agenda_may_hold_a_line_that_looks_like_a_date(tmp_path: Path) -> None:
    (file := tmp_path / "mine.toml").write_text(ONE_GROUP, encoding="utf-8")
    text = moved_to_the_coming_weeks(file, tmp_path, now=NOW).read_text(encoding="utf-8")
    assert text.count("date = 2021-02-09") == 1
    assert text.count("date = 2026-12-02") == 1


def test_an_hour_that_a_clock_change_swallows_moves_the_campaign_by_a_day(tmp_path: Path) -> None:
    """On 28 March 2027 there is no 2:30 in Paris."""
    (file := tmp_path / "mine.toml").write_text(ONE_GROUP, encoding="utf-8")
    now = datetime(2027, 3, 19, 12, tzinfo=UTC)
    moved = load_campaign(moved_to_the_coming_weeks(file, tmp_path, now=now))
    assert moved.focus_groups[0].date == date(2027, 3, 29)


def test_today_is_the_day_in_the_zone_of_the_campaign(tmp_path: Path) -> None:
    """At 23:30 UTC it is already tomorrow in Paris."""
    (file := tmp_path / "mine.toml").write_text(ONE_GROUP, encoding="utf-8")
    now = datetime(2026, 11, 23, 23, 30, tzinfo=UTC)
    moved = load_campaign(moved_to_the_coming_weeks(file, tmp_path, now=now))
    assert moved.focus_groups[0].date == date(2026, 12, 3)


def test_the_organisers_own_letters_come_along(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    (theirs / "letters").mkdir(parents=True)
    ours.mkdir()
    (theirs / "campaign.toml").write_text(ONE_GROUP, encoding="utf-8")
    (theirs / "letters" / "moved.subject").write_text("Changement", encoding="utf-8")
    moved_to_the_coming_weeks(theirs / "campaign.toml", ours, now=NOW)
    assert (ours / "letters" / "moved.subject").read_text(encoding="utf-8") == "Changement"
