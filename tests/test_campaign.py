"""When each letter falls due and until when it is worth sending, against calendars done by hand."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from resonance_zoom.campaign import (
    Campaign,
    Due,
    FocusGroup,
    Organiser,
    reminder_days,
    reminder_kind,
)

PARIS = ZoneInfo("Europe/Paris")


def campaign(
    *,
    days: tuple[int, ...] = (7, 1),
    send_at: time = time(9),
    confirmation: str = "ours",
    groups: tuple[FocusGroup, ...] = (),
) -> Campaign:
    return Campaign(
        name="Mission Résonance",
        slug="resonance-2021",
        timezone=PARIS,
        language="fr",
        zoom_host="organisation@example.org",
        organiser=Organiser("Mission Résonance", "contact@example.org"),
        focus_groups=groups,
        confirmation=confirmation,
        reminder_days_before=days,
        reminder_send_at=send_at,
    )


def group(day: date, *, slug: str = "teletravail", agenda: str = "Une question.") -> FocusGroup:
    return FocusGroup(
        slug=slug,
        title="Le télétravail",
        date=day,
        starts=time(9),
        ends=time(11),
        timezone=PARIS,
        agenda=agenda,
    )


def at(text: str) -> datetime:
    """`2021-02-09 08:00` UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class TestDue:
    @pytest.mark.parametrize(
        ("day", "start", "a_week_before", "the_day_before"),
        [
            # winter, and the whole campaign that ships with the project
            ("2021-02-09", "2021-02-09 08:00", "2021-02-02 08:00", "2021-02-08 08:00"),
            ("2021-02-16", "2021-02-16 08:00", "2021-02-09 08:00", "2021-02-15 08:00"),
            ("2021-03-09", "2021-03-09 08:00", "2021-03-02 08:00", "2021-03-08 08:00"),
            ("2021-03-16", "2021-03-16 08:00", "2021-03-09 08:00", "2021-03-15 08:00"),
            # clocks go forward on Sunday 28 March 2021: nine o'clock moves from 08:00 to 07:00 UTC
            ("2021-03-27", "2021-03-27 08:00", "2021-03-20 08:00", "2021-03-26 08:00"),
            ("2021-03-28", "2021-03-28 07:00", "2021-03-21 08:00", "2021-03-27 08:00"),
            ("2021-03-29", "2021-03-29 07:00", "2021-03-22 08:00", "2021-03-28 07:00"),
            ("2021-04-03", "2021-04-03 07:00", "2021-03-27 08:00", "2021-04-02 07:00"),
            ("2021-04-04", "2021-04-04 07:00", "2021-03-28 07:00", "2021-04-03 07:00"),
            # and back on Sunday 31 October 2021
            ("2021-10-30", "2021-10-30 07:00", "2021-10-23 07:00", "2021-10-29 07:00"),
            ("2021-10-31", "2021-10-31 08:00", "2021-10-24 07:00", "2021-10-30 07:00"),
            ("2021-11-01", "2021-11-01 08:00", "2021-10-25 07:00", "2021-10-31 08:00"),
            ("2021-11-06", "2021-11-06 08:00", "2021-10-30 07:00", "2021-11-05 08:00"),
            ("2021-11-07", "2021-11-07 08:00", "2021-10-31 08:00", "2021-11-06 08:00"),
            # leap day, turn of the year
            ("2024-03-01", "2024-03-01 08:00", "2024-02-23 08:00", "2024-02-29 08:00"),
            ("2022-01-01", "2022-01-01 08:00", "2021-12-25 08:00", "2021-12-31 08:00"),
        ],
    )
    def test_reminders_leave_at_nine_local_time_whatever_the_clocks_do(
        self, day: str, start: str, a_week_before: str, the_day_before: str
    ) -> None:
        meeting = group(date.fromisoformat(day))
        assert meeting.start == at(start)
        seven, one = campaign().reminders(meeting.start)
        assert (seven.kind, seven.at) == ("reminder-7", at(a_week_before))
        assert (one.kind, one.at) == ("reminder-1", at(the_day_before))

    @pytest.mark.parametrize("start_hour", [time(0, 30), time(9), time(23, 30)])
    @pytest.mark.parametrize("send_at", [time(7, 15), time(9), time(18)])
    def test_every_day_of_fifteen_years_agrees_with_another_way_to_reckon(
        self, start_hour: time, send_at: time
    ) -> None:
        reckoned = campaign(send_at=send_at)
        for day in days(date(2021, 1, 1), date(2035, 12, 31)):
            dues = reckoned.reminders(summer_table(day, start_hour))
            assert [due.at for due in dues] == [
                summer_table(date.fromordinal(day.toordinal() - 7), send_at),
                summer_table(date.fromordinal(day.toordinal() - 1), send_at),
            ], day

    def test_days_count_on_the_local_calendar_even_when_the_utc_date_is_another(self) -> None:
        """A start at 00:30 on 10 June is still 9 June in UTC."""
        seven, one = campaign().reminders(at("2021-06-09 22:30"))
        assert seven.at == at("2021-06-03 07:00")
        assert one.at == at("2021-06-09 07:00")

    def test_an_hour_that_comes_twice_means_the_first(self) -> None:
        (due,) = campaign(days=(2,), send_at=time(2, 30)).reminders(at("2021-11-02 08:00"))
        assert due.at == at("2021-10-31 00:30")

    def test_a_meeting_that_moves_is_reminded_from_its_new_date(self) -> None:
        moved = campaign().reminders(at("2021-04-06 12:00"))
        assert [due.at for due in moved] == [at("2021-03-30 07:00"), at("2021-04-05 07:00")]

    def test_reminders_come_the_earliest_first_in_whatever_order_the_file_has_them(self) -> None:
        dues = campaign(days=(1, 14, 3)).reminders(at("2021-02-16 08:00"))
        assert [due.kind for due in dues] == ["reminder-14", "reminder-3", "reminder-1"]


class TestWorthSending:
    def test_a_reminder_gives_way_a_day_before_the_next_and_the_last_an_hour_before_the_start(
        self,
    ) -> None:
        assert campaign().reminders(at("2021-02-09 08:00")) == (
            Due("reminder-7", at("2021-02-02 08:00"), at("2021-02-07 08:00")),
            Due("reminder-1", at("2021-02-08 08:00"), at("2021-02-09 07:00")),
        )

    def test_the_limits_are_hours_that_pass_even_where_the_clocks_change(self) -> None:
        assert campaign().reminders(at("2021-03-29 07:00")) == (
            Due("reminder-7", at("2021-03-22 08:00"), at("2021-03-27 07:00")),
            Due("reminder-1", at("2021-03-28 07:00"), at("2021-03-29 06:00")),
        )

    def test_of_three_reminders_each_gives_way_to_its_own_successor(self) -> None:
        assert [
            due.until for due in campaign(days=(14, 7, 1)).reminders(at("2021-02-16 08:00"))
        ] == [
            at("2021-02-08 08:00"),
            at("2021-02-14 08:00"),
            at("2021-02-16 07:00"),
        ]


class TestGroup:
    def test_start_and_end_are_moments_in_utc(self) -> None:
        winter, summer = group(date(2021, 2, 9)), group(date(2021, 6, 9))
        assert (winter.start, winter.end) == (at("2021-02-09 08:00"), at("2021-02-09 10:00"))
        assert (summer.start, summer.end) == (at("2021-06-09 07:00"), at("2021-06-09 09:00"))

    def test_a_group_is_found_by_its_slug(self) -> None:
        one, two = group(date(2021, 2, 9)), group(date(2021, 2, 16), slug="collaboration")
        both = campaign(groups=(one, two))
        assert both.focus_group("collaboration") is two
        assert both.focus_group("collab") is None


class TestReference:
    def test_the_reference_names_campaign_and_group(self) -> None:
        assert campaign().reference(group(date(2021, 2, 9))) == "Réf. resonance-2021/teletravail"

    def test_zoom_is_given_the_reference_on_the_first_line(self) -> None:
        """Zoom's list of meetings cuts the agenda at 250 characters."""
        long = group(date(2021, 2, 9), agenda="Une question.\n" * 100)
        assert campaign().zoom_agenda(group(date(2021, 2, 9))) == (
            "Réf. resonance-2021/teletravail\nUne question."
        )
        assert campaign().zoom_agenda(long)[:250].startswith("Réf. resonance-2021/teletravail\n")

    def test_without_an_agenda_the_reference_stands_alone(self) -> None:
        """A line end that Zoom would trim would look like a difference for ever."""
        empty = group(date(2021, 2, 9), agenda="")
        assert campaign().zoom_agenda(empty) == "Réf. resonance-2021/teletravail"


class TestLetters:
    @pytest.mark.parametrize(
        ("confirmation", "kinds"),
        [
            ("ours", ("confirmation", "reminder-7", "reminder-1")),
            ("both", ("confirmation", "reminder-7", "reminder-1")),
            ("zoom", ("reminder-7", "reminder-1")),
        ],
    )
    def test_a_confirmation_is_ours_unless_zoom_sends_it(
        self, confirmation: str, kinds: tuple[str, ...]
    ) -> None:
        found = campaign(confirmation=confirmation).letter_kinds
        assert found == (*kinds, "moved", "cancelled", "withdrawn")

    def test_the_kind_of_a_reminder_holds_its_days(self) -> None:
        assert reminder_kind(14) == "reminder-14"
        assert reminder_days("reminder-14") == 14
        assert [reminder_days(kind) for kind in ("confirmation", "moved", "reminder-x")] == [
            None,
            None,
            None,
        ]


def days(first: date, last: date) -> Iterator[date]:
    for ordinal in range(first.toordinal(), last.toordinal() + 1):
        yield date.fromordinal(ordinal)


def summer_table(day: date, hour: time) -> datetime:
    """The UTC moment of a Paris hour by the rule of Directive 2000/84/EC, without a zone database.

    Summer time runs from the last Sunday of March at 02:00 (clocks show 03:00) to the last Sunday
    of October at 03:00 (clocks show 02:00): two hours ahead of UTC, one in winter.
    """
    wall = day.toordinal() * 1440 + hour.hour * 60 + hour.minute
    begins = last_sunday(day.year, 3).toordinal() * 1440 + 120
    ends = last_sunday(day.year, 10).toordinal() * 1440 + 180
    ahead = 120 if begins <= wall < ends else 60
    ordinal, minute = divmod(wall - ahead, 1440)
    midnight = datetime.combine(date.fromordinal(ordinal), time(0), UTC)
    return midnight + timedelta(minutes=minute)


def last_sunday(year: int, month: int) -> date:
    """March and October have 31 days."""
    last = date(year, month, 31)
    return date.fromordinal(last.toordinal() - last.isoweekday() % 7)
