"""The campaign file is read whole, or every fault in it is told at once with its line."""

from datetime import date, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from resonance_zoom.campaign import Campaign, FocusGroup, Organiser
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.campaign_zones import nearest
from resonance_zoom.errors import CampaignFileError
from resonance_zoom.zoom_timezones import ZOOM_TIMEZONES

RIGHT = """\
[campaign]
name = "Mission Résonance"
slug = "resonance-2021"
timezone = "Europe/Paris"
language = "fr"
zoom_host = "organisation@example.org"
approval = "manual"
confirmation = "both"

[organiser]
name = "L’équipe"
email = "contact@example.org"
phone = "+33 2 00 00 00 00"

[reminders]
days_before = [10, 2]
send_at = 08:30:00

[privacy]
keep_days_after_last = 60

[[focus_group]]
slug = "teletravail"
title = "Le télétravail"
date = 2021-02-09
starts = 09:00:00
ends = 11:00:00
capacity = 40
agenda = \"\"\"
Deux phrases.
Et voilà.
\"\"\"

[[focus_group]]
slug = "espaces"
title = "Les espaces"
date = 2021-03-16
starts = 14:00:00
ends = 15:30:00
"""

PARIS = ZoneInfo("Europe/Paris")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, so that files are given and named as `campaign.toml`."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(text: str | bytes) -> Campaign:
    path = Path("campaign.toml")
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_campaign(path)


def problems(*changes: tuple[str, str], text: str | bytes = RIGHT) -> list[str]:
    """What is told of RIGHT after each (old, new) is changed in it once."""
    for old, new in changes:
        assert isinstance(text, str)
        assert old in text
        text = text.replace(old, new, 1)
    with pytest.raises(CampaignFileError) as caught:
        loaded(text)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return list(caught.value.problems)


@pytest.mark.usefixtures("folder")
class TestRight:
    def test_every_key_arrives_where_it_belongs(self) -> None:
        assert loaded(RIGHT) == Campaign(
            name="Mission Résonance",
            slug="resonance-2021",
            timezone=PARIS,
            language="fr",
            zoom_host="organisation@example.org",
            organiser=Organiser("L’équipe", "contact@example.org", "+33 2 00 00 00 00"),
            focus_groups=(
                FocusGroup(
                    slug="teletravail",
                    title="Le télétravail",
                    date=date(2021, 2, 9),
                    starts=time(9),
                    ends=time(11),
                    timezone=PARIS,
                    agenda="Deux phrases.\nEt voilà.",
                    capacity=40,
                ),
                FocusGroup(
                    slug="espaces",
                    title="Les espaces",
                    date=date(2021, 3, 16),
                    starts=time(14),
                    ends=time(15, 30),
                    timezone=PARIS,
                    agenda="",
                    capacity=None,
                ),
            ),
            approval="manual",
            confirmation="both",
            reminder_days_before=(10, 2),
            reminder_send_at=time(8, 30),
            keep_days_after_last=60,
        )

    def test_what_is_optional_may_be_left_out(self) -> None:
        optional = ("approval", "confirmation", "phone", "days_before", "send_at", "keep_days")
        short = "\n".join(
            line
            for line in RIGHT.splitlines()
            if not line.startswith((*optional, "[reminders]", "[privacy]", "capacity"))
        )
        campaign = loaded(short)
        assert campaign.approval == "automatic"
        assert campaign.confirmation == "ours"
        assert campaign.organiser.phone is None
        assert campaign.reminder_days_before == (7, 1)
        assert campaign.reminder_send_at == time(9)
        assert campaign.keep_days_after_last == 30

    def test_a_file_saved_by_a_windows_editor_is_read_too(self) -> None:
        windows = b"\xef\xbb\xbf" + RIGHT.replace("\n", "\r\n").encode()
        assert loaded(windows) == loaded(RIGHT)

    def test_a_zoom_user_id_is_a_host_too(self) -> None:
        text = RIGHT.replace("organisation@example.org", "KDcuGIm1QgePTO8WbOqwIQ")
        assert loaded(text).zoom_host == "KDcuGIm1QgePTO8WbOqwIQ"

    def test_a_title_may_have_200_characters(self) -> None:
        assert len(loaded(RIGHT.replace("Les espaces", "é" * 200)).focus_groups[1].title) == 200

    def test_an_agenda_may_have_2000_characters_with_our_reference(self) -> None:
        # "Réf. resonance-2021/teletravail" and its line end are 32
        text = RIGHT.replace("Deux phrases.\nEt voilà.", "é" * 1968)
        campaign = loaded(text)
        assert len(campaign.zoom_agenda(campaign.focus_groups[0])) == 2000

    def test_a_reminder_may_leave_at_an_hour_that_comes_twice(self) -> None:
        """Then it leaves the first time."""
        text = RIGHT.replace("2021-02-09", "2021-11-02").replace("08:30:00", "02:30:00")
        assert loaded(text).reminder_send_at == time(2, 30)

    def test_limits_belong_to_what_is_allowed(self) -> None:
        found = loaded(RIGHT.replace("[10, 2]", "[60, 1]").replace("= 60", "= 3650"))
        assert found.reminder_days_before == (60, 1)
        assert found.keep_days_after_last == 3650


ONE_FAULT = [
    # keys
    ("language =", "langage =", 5, "campaign.langage", "unknown key; did you mean language?"),
    (
        "capacity = 40",
        "xyz = 40",
        28,
        "focus_group[1].xyz",
        "unknown key; known here: slug, title, date, starts, ends, capacity, agenda",
    ),
    ("[privacy]", "[privacies]", 19, "privacies", "unknown key; did you mean privacy?"),
    (
        'email = "contact@example.org"\n',
        "",
        10,
        "organiser.email",
        'missing; write for instance: email = "contact@example.org"',
    ),
    (
        "starts = 14:00:00\n",
        "",
        34,
        "focus_group[2].starts",
        "missing; write for instance: starts = 09:00:00",
    ),
    # texts
    (
        'name = "Mission Résonance"',
        "name = Mission Résonance",
        2,
        "campaign.name",
        'Mission Résonance must stand between straight double quotes: "Mission Résonance"',
    ),
    (
        '"Le télétravail"',
        "« Le télétravail »",
        24,
        "focus_group[1].title",
        '« Le télétravail » must stand between straight double quotes: "Le télétravail"',
    ),
    ('"+33 2 00 00 00 00"', "33", 13, "organiser.phone", "33 must be a text between double quotes"),
    ('"L’équipe"', '"  "', 11, "organiser.name", "empty; write a text"),
    ('"Le télétravail"', '""', 24, "focus_group[1].title", "empty; write a text"),
    (
        '"Le télétravail"',
        '"a\\nb"',
        24,
        "focus_group[1].title",
        "holds a line break or another control character; write it on one line",
    ),
    (
        "Le télétravail",
        "é" * 201,
        24,
        "focus_group[1].title",
        "201 characters; Zoom's topic takes at most 200",
    ),
    (
        "Deux phrases.\nEt voilà.",
        "é" * 1982,
        29,
        "focus_group[1].agenda",
        (
            "2,014 characters; Zoom takes at most 2,000, of which our reference line"
            ' "Réf. resonance-2021/teletravail" needs 32: shorten it by 14'
        ),
    ),
    (
        '"resonance-2021"',
        '"Été 2021"',
        3,
        "campaign.slug",
        '"Été 2021" cannot be a slug; write 1 to 40 of a-z, 0-9 and -, such as "ete-2021"',
    ),
    ('"espaces"', f'"{"a" * 41}"', 35, "focus_group[2].slug", "cannot be a slug"),
    ('"espaces"', '""', 35, "focus_group[2].slug", "cannot be a slug"),
    (
        '"espaces"',
        '"teletravail"',
        35,
        "focus_group[2].slug",
        '"teletravail" is already the slug of focus_group[1]; each group needs its own',
    ),
    # words
    (
        '"manual"',
        '"Manual"',
        7,
        "campaign.approval",
        '"Manual" is not known; write "automatic" or "manual"',
    ),
    (
        '"manual"',
        "manual",
        7,
        "campaign.approval",
        'manual is not known; write "automatic" or "manual"',
    ),
    (
        '"both"',
        '"us"',
        8,
        "campaign.confirmation",
        '"us" is not known; write "ours" or "zoom" or "both"',
    ),
    ('"fr"', '"en"', 5, "campaign.language", '"en": letters exist in French only; write "fr"'),
    # zones
    (
        "Europe/Paris",
        "Europe/Pariss",
        4,
        "campaign.timezone",
        '"Europe/Pariss" is no time zone; write "Europe/Paris"',
    ),
    (
        "Europe/Paris",
        "Europe/Kyiv",
        4,
        "campaign.timezone",
        '"Europe/Kyiv" is not in Zoom\'s list of time zones; write "Europe/Kiev"',
    ),
    (
        "Europe/Paris",
        "Gallifrey",
        4,
        "campaign.timezone",
        '"Gallifrey" is no time zone; write one such as "Europe/Paris"',
    ),
    ("Europe/Paris", "../paris", 4, "campaign.timezone", '"../paris" is no time zone'),
    ("Europe/Paris", "Europe", 4, "campaign.timezone", '"Europe" is no time zone'),
    # numbers
    ("= 60", "= 0", 20, "privacy.keep_days_after_last", "0 must be 1 to 3,650 days"),
    ("= 60", "= 3651", 20, "privacy.keep_days_after_last", "3651 must be 1 to 3,650 days"),
    ("= 60", "= 60.0", 20, "privacy.keep_days_after_last", "60.0 must be a whole number"),
    ("= 60", "= true", 20, "privacy.keep_days_after_last", "true must be a whole number"),
    (
        "= 60",
        "= 60 days",
        20,
        "privacy.keep_days_after_last",
        "60 days must be a whole number, without quotes or a unit",
    ),
    ("= 40", "= 0", 28, "focus_group[1].capacity", "0 must be 1 or more"),
    ("[10, 2]", "[]", 16, "reminders.days_before", "empty; write at least one number of days"),
    ("[10, 2]", "7", 16, "reminders.days_before", "7 must be a list between brackets"),
    ("[10, 2]", "[61]", 16, "reminders.days_before[1]", "61 must be 1 to 60 days"),
    ("[10, 2]", "[\n7,\n0]", 18, "reminders.days_before[2]", "0 must be 1 to 60 days"),
    ("[10, 2]", "[7, true]", 16, "reminders.days_before[2]", "true must be a whole number"),
    ("[10, 2]", "[7, 1, 7]", 16, "reminders.days_before[3]", "7 stands there already; remove it"),
    # days and hours
    (
        "2021-02-09",
        "2021-02-30",
        25,
        "focus_group[1].date",
        "2021-02-30 is a day that does not exist; write one of the calendar",
    ),
    ("2021-02-09", "2021-13-01", 25, "focus_group[1].date", "2021-13-01 is a day that does not"),
    (
        "2021-02-09",
        '"2021-02-09"',
        25,
        "focus_group[1].date",
        '"2021-02-09" must stand without quotes: 2021-02-09',
    ),
    (
        "2021-02-09",
        "2021-02-09T09:00:00",
        25,
        "focus_group[1].date",
        "2021-02-09T09:00:00 must be a day without an hour: 2021-02-09",
    ),
    (
        "2021-02-09",
        "9 février 2021",
        25,
        "focus_group[1].date",
        "9 février 2021 must be a day written as year-month-day, without quotes: 2021-02-09",
    ),
    ("2021-02-09", "0221-02-09", 25, "focus_group[1].date", "the year must be from 2000 to 2100"),
    (
        "09:00:00",
        '"09:00"',
        26,
        "focus_group[1].starts",
        '"09:00" must be written with seconds and without quotes: 09:00:00',
    ),
    (
        "09:00:00",
        "9h00  # matin",
        26,
        "focus_group[1].starts",
        "9h00 must be written with seconds and without quotes: 09:00:00",
    ),
    ("09:00:00", "25:00", 26, "focus_group[1].starts", "25:00 is no hour of a day; write one from"),
    ("09:00:00", "9", 26, "focus_group[1].starts", "9 must be an hour with seconds"),
    ("09:00:00", "09:00:30", 26, "focus_group[1].starts", "Zoom counts in whole minutes"),
    (
        "11:00:00",
        "09:00:00",
        27,
        "focus_group[1].ends",
        "09:00:00 is not after starts (09:00:00); a meeting ends later on the day it starts",
    ),
    ("11:00:00", "00:00:00", 27, "focus_group[1].ends", "00:00:00 is not after starts (09:00:00)"),
    # addresses
    (
        '"organisation@example.org"',
        '"organisation@"',
        6,
        "campaign.zoom_host",
        '"organisation@" is no e-mail address; write one such as name@example.org',
    ),
    (
        '"organisation@example.org"',
        '"the host"',
        6,
        "campaign.zoom_host",
        '"the host" is neither an e-mail address nor a Zoom user id',
    ),
    *(
        ("contact@example.org", address, 12, "organiser.email", "is no e-mail address")
        for address in (
            "contact",
            "contact@localhost",
            "con tact@example.org",
            "contact@exa_mple.org",
            ".contact@example.org",
            "contact@example..org",
            "contact@-example.org",
            "a@b@example.org",
            "Équipe <contact@example.org>",
            "contact@example.org\\r\\nBcc: x@example.org",
            f"{'a' * 250}@example.org",
        )
    ),
]


@pytest.mark.usefixtures("folder")
class TestOneFault:
    @pytest.mark.parametrize(("old", "new", "line", "key", "reason"), ONE_FAULT)
    def test_it_is_told_once_where_it_stands(
        self, old: str, new: str, line: int, key: str, reason: str
    ) -> None:
        told = problems((old, new))
        told = [each for each in told if "missing" not in each] if "unknown" in reason else told
        assert len(told) == 1
        assert told[0].startswith(f"campaign.toml:{line}: {key}: ")
        assert reason in told[0]

    @pytest.mark.parametrize(
        ("table", "needs"), [("campaign", "[campaign]"), ("organiser", "[organiser]")]
    )
    def test_a_missing_table_is_told_at_the_top(self, table: str, needs: str) -> None:
        blocks = [b for b in RIGHT.split("\n\n") if not b.startswith(needs)]
        told = problems(text="\n\n".join(blocks))
        assert told == [f"campaign.toml:1: {table}: missing; begin the table with a line {needs}"]

    def test_a_campaign_needs_a_focus_group(self) -> None:
        without = RIGHT.partition("[[focus_group]]")[0]
        assert problems(text=without) == [
            "campaign.toml:1: focus_group: missing; begin the table with a line [[focus_group]]"
        ]
        assert problems(text="focus_group = []\n" + without) == [
            "campaign.toml:1: focus_group: empty; write at least one [[focus_group]]"
        ]

    def test_one_character_too_many_is_too_many_for_zoom(self) -> None:
        (told,) = problems(("Deux phrases.\nEt voilà.", "é" * 1969))
        assert told.startswith("campaign.toml:29: focus_group[1].agenda: 2,001 characters; ")
        assert told.endswith(": shorten it by 1")

    def test_single_brackets_around_focus_group_are_recognised(self) -> None:
        one = RIGHT.rpartition("\n[[focus_group]]")[0].replace("[[focus_group]]", "[focus_group]")
        assert problems(text=one) == [
            "campaign.toml:22: focus_group: must stand between double brackets: [[focus_group]]"
        ]

    def test_double_brackets_around_another_table_are_recognised(self) -> None:
        assert problems(("[privacy]", "[[privacy]]")) == [
            "campaign.toml:19: privacy: must be a table that begins with a line [privacy]"
        ]


@pytest.mark.usefixtures("folder")
class TestClocks:
    """In Paris 02:00–03:00 does not exist on 2021-03-28 and comes twice on 2021-10-31."""

    def test_a_meeting_cannot_start_at_an_hour_that_does_not_exist(self) -> None:
        told = problems(("2021-02-09", "2021-03-28"), ("09:00:00", "02:30:00"))
        assert told == [
            (
                "campaign.toml:26: focus_group[1].starts: 02:30:00 does not exist on 2021-03-28 in"
                " Europe/Paris: the clocks go forward over it; choose another hour"
            )
        ]

    def test_a_meeting_cannot_end_at_an_hour_that_comes_twice(self) -> None:
        told = problems(
            ("2021-02-09", "2021-10-31"), ("09:00:00", "01:00:00"), ("11:00:00", "02:30:00")
        )
        assert told == [
            (
                "campaign.toml:27: focus_group[1].ends: 02:30:00 comes twice on 2021-10-31 in"
                " Europe/Paris: the clocks go back over it and nobody would know which is meant;"
                " choose another hour"
            )
        ]

    @pytest.mark.parametrize("hour", ["01:59:00", "03:00:00"])
    @pytest.mark.parametrize("day", ["2021-03-28", "2021-10-31"])
    def test_the_minutes_around_a_change_are_fine(self, day: str, hour: str) -> None:
        text = RIGHT.replace("2021-02-09", day).replace("09:00:00", hour, 1)
        assert loaded(text).focus_groups[0].starts == time.fromisoformat(hour)

    def test_a_day_of_25_hours_can_make_a_meeting_too_long_for_zoom(self) -> None:
        told = problems(
            ("2021-02-09", "2021-10-31"), ("09:00:00", "00:00:00"), ("11:00:00", "23:59:00")
        )
        assert told == [
            (
                "campaign.toml:27: focus_group[1].ends: the clocks go back that day, so the meeting"
                " would last 1,499 minutes; Zoom takes at most 1,440 (24 hours)"
            )
        ]

    def test_a_reminder_cannot_leave_at_an_hour_that_does_not_exist(self) -> None:
        """2021-03-28 is 2 days before the 30th; two groups of that day are told of once."""
        told = problems(
            ("2021-02-09", "2021-03-30"), ("2021-03-16", "2021-03-30"), ("08:30:00", "02:30:00")
        )
        assert told == [
            (
                "campaign.toml:17: reminders.send_at: 02:30:00 does not exist on 2021-03-28 in"
                " Europe/Paris: the clocks go forward over it; choose another hour, for a reminder"
                " falls due on that day"
            )
        ]

    def test_a_reminder_that_could_never_leave_is_refused(self) -> None:
        """The earlier of two is worth sending until 24 hours before the next falls due."""
        told = problems(("[10, 2]", "[3, 2]"))
        assert len(told) == 2  # one for each meeting
        assert told[0] == (
            "campaign.toml:16: reminders.days_before: reminder-3 of the meeting of 2021-02-09 09:00"
            " would never leave: it falls due at 2021-02-06 08:30 and is too late from"
            " 2021-02-06 08:30 on; keep reminders two days apart and the last one over an hour"
            " before the start"
        )


@pytest.mark.usefixtures("folder")
class TestSeveralFaults:
    def test_all_are_told_at_once_in_the_order_of_the_file(self) -> None:
        told = problems(
            ("fr", "de"),
            ("contact@example.org", "contact"),
            ("[10, 2]", "[7, 7, 0]"),
            ("08:30:00", "8h30"),
            ("2021-02-09", "2021-02-30"),
            ("11:00:00", "08:00:00"),
            ("= 40", "= quarante"),
            ('"espaces"', '"teletravail"'),
            ("2021-03-16", "2021-03-28"),
            ("14:00:00", "02:15:00"),
            ("ends = 15:30:00\n", "end = 15:30:00\n"),
        )
        assert [": ".join(each.split(": ")[:2]) for each in told] == [
            "campaign.toml:5: campaign.language",
            "campaign.toml:12: organiser.email",
            "campaign.toml:16: reminders.days_before[2]",
            "campaign.toml:16: reminders.days_before[3]",
            "campaign.toml:17: reminders.send_at",
            "campaign.toml:25: focus_group[1].date",
            "campaign.toml:27: focus_group[1].ends",
            "campaign.toml:28: focus_group[1].capacity",
            "campaign.toml:34: focus_group[2].ends",
            "campaign.toml:35: focus_group[2].slug",
            "campaign.toml:38: focus_group[2].starts",
            "campaign.toml:39: focus_group[2].end",
        ]

    def test_faults_in_an_inline_table_are_told_too(self) -> None:
        head = RIGHT.partition("[[focus_group]]")[0].replace('"fr"', '"de"')
        group = (
            'focus_group = [\n{slug = "a", title = "A", date = 2021-02-30, starts = 09:00:00,'
            " ends = 10:00},\n]\n"
        )
        assert [each.split(" ")[1] for each in problems(text=group + head)] == [
            "focus_group[1].date:",
            "focus_group[1].ends:",
            "campaign.language:",
        ]


@pytest.mark.usefixtures("folder")
class TestUnreadable:
    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("a =\n", "1: what follows the = is no value; a text needs double quotes"),
            ("a = 1\na = 2\nb = 3\n", "2: the same key stands twice in one table"),
            ("[a]\n[a]\n", "2: the same table begins twice"),
            ('\na = "x\nb = 1\n', "2: a text is not closed on its line; add the double quote"),
            ('a = 1\nb = """\nfoo\nc = 1\n', "2: a text that begins here is never closed"),
            ('a = "C:\\dir"\n', "1: a backslash stands alone in a text; write it twice"),
            ('a = """\nb = C:\\dir\n"""\n', "2: a backslash stands alone in a text"),
            ("words without an equals sign\n", "1: a key must be followed by = and a value"),
            ('a = "b" c\n', "1: the value ends before this line does"),
            ("a = [7 1]\n", "1: a bracket is not closed"),
            (f"a = {'[' * 5000}\n", "1: lists or tables stand in one another by the hundred"),
            (f"b = 1\na = {'9' * 5000}\n", "2: a number has thousands of digits"),
        ],
    )
    def test_text_that_is_no_toml_is_told_with_its_line(self, text: str, told: str) -> None:
        (only,) = problems(text=text)
        assert only.startswith(f"campaign.toml:{told}")

    def test_windows_line_ends_are_no_part_of_a_value(self) -> None:
        text = RIGHT.replace("2021-02-09", "2021-02-30").replace("\n", "\r\n")
        (told,) = problems(text=text)
        assert told.startswith("campaign.toml:25: focus_group[1].date: 2021-02-30 is a day that")

    def test_what_was_found_before_such_text_is_told_as_well(self) -> None:
        assert problems(text="date = 2021-02-30\nfoo\n") == [
            "campaign.toml:1: 2021-02-30 is not a value that TOML knows",
            "campaign.toml:2: a key must be followed by = and a value",
        ]

    def test_a_missing_file_says_how_to_name_another(self) -> None:
        with pytest.raises(CampaignFileError) as caught:
            load_campaign(Path("config/nowhere.toml"))
        assert caught.value.problems == (
            "config/nowhere.toml:1: no such file; write it, or name another one with CAMPAIGN_FILE",
        )

    def test_a_folder_is_no_file(self, folder: Path) -> None:
        with pytest.raises(CampaignFileError, match=r":1: cannot be read \(Is a directory\)"):
            load_campaign(folder)

    def test_another_encoding_is_told_with_the_line_of_its_first_letter(self) -> None:
        text = RIGHT.replace("Mission Résonance", "Mission").encode("cp1252", "replace")
        assert problems(text=text) == [
            "campaign.toml:11: byte 0x92 is not UTF-8; save the file as UTF-8"
        ]

    def test_it_ends_the_command_as_a_matter_of_configuration(self) -> None:
        assert CampaignFileError.exit_code == 78


class TestZones:
    def test_every_zone_of_the_list_can_be_loaded(self) -> None:
        assert len(ZOOM_TIMEZONES) == 134
        assert {ZoneInfo(name).key for name in ZOOM_TIMEZONES} == ZOOM_TIMEZONES

    @pytest.mark.parametrize(
        ("name", "near"),
        [
            ("America/Toronto", "America/Montreal"),
            ("Asia/Ho_Chi_Minh", "Asia/Saigon"),
            ("Pacific/Bougainville", "Pacific/Noumea"),
            ("Etc/UTC", "UTC"),
            ("Paris", "Europe/Paris"),
            ("europe/paris", "Europe/Paris"),
            ("New York", "America/New_York"),
            ("", None),
        ],
    )
    def test_the_same_clock_is_proposed_before_the_same_letters(
        self, name: str, near: str | None
    ) -> None:
        assert nearest(name) == near
