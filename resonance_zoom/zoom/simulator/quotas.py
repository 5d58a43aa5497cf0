"""How often Zoom lets itself be asked: per day for a host and a registrant, per second for a plan.

Source: https://developers.zoom.us/docs/api/rate-limits/. Days are UTC days by the world's clock.
"""

from collections import Counter, deque
from datetime import date, datetime, time, timedelta

from resonance_zoom.zoom.simulator.records import Refusal

WRITES_A_DAY = 100
ADDS_A_DAY = 3
STATUS_CHANGES_A_DAY = 10
PER_SECOND = {
    "free": {"Light": 4, "Medium": 2, "Heavy": 1},
    "pro": {"Light": 30, "Medium": 20, "Heavy": 10},
    "business": {"Light": 80, "Medium": 60, "Heavy": 40},
}
PER_SECOND_MESSAGE = (
    "You have reached the maximum per-second rate limit for this API. Try again later."
)
DAILY_MESSAGE = (
    "You have reached the maximum daily rate limit for this API. Refer to the response header "
    "for details on when you can make another request."
)


def next_day(now: datetime) -> datetime:
    """When the daily counters start again: the next 00:00 UTC."""
    return datetime.combine(now.date() + timedelta(days=1), time(), now.tzinfo)


class Quotas:
    """Counters of one account."""

    def __init__(self) -> None:
        self._day = date.min
        self._counts: Counter[tuple[object, ...]] = Counter()
        self._seconds: dict[str, deque[datetime]] = {}

    def write_meeting(self, now: datetime, host_id: str) -> None:
        """Counts a create or update; refuses the 101st of a host and day."""
        if not self._count(now, ("write", host_id), WRITES_A_DAY):
            raise Refusal(
                429,
                429,
                "You have exceeded the daily rate limit (100) of Meeting Create/Update API "
                "requests permitted for this particular user. You may resume these requests at "
                "GMT 00:00:00.",
            )

    def add_registrant(self, now: datetime, meeting_id: int, email: str) -> None:
        """Counts an add; refuses the 4th of a registrant, meeting and day."""
        if not self._count(now, ("add", meeting_id, email.casefold()), ADDS_A_DAY):
            raise Refusal(
                429,
                429,
                "You have exceeded the daily rate limit of (3) for Add a meeting registrant API "
                f"requests for the registrant ({email}). You can resume these API requests at "
                "GMT 00:00:00.",
                headers={"x-ratelimit-limit": "3", "x-ratelimit-remaining": "0"},
            )

    def change_status(self, now: datetime, meeting_id: int, email: str) -> None:
        """Counts a change of status; refuses the 11th of a registrant, meeting and day."""
        if not self._count(now, ("status", meeting_id, email.casefold()), STATUS_CHANGES_A_DAY):
            raise Refusal(
                429,
                429,
                "You have exceeded the daily rate limit of (10) for Update a meeting registrant's "
                f"status API requests for the registrant ({email}). You can resume these API "
                "requests at GMT 00:00:00.",
            )

    def call(self, now: datetime, plan: str, category: str) -> None:
        """Counts a call; refuses what is more than the plan allows within a second."""
        recent = self._seconds.setdefault(category, deque())
        while recent and now - recent[0] >= timedelta(seconds=1):
            recent.popleft()
        if len(recent) >= PER_SECOND[plan][category]:
            raise Refusal(429, 429, PER_SECOND_MESSAGE)
        recent.append(now)

    def _count(self, now: datetime, key: tuple[object, ...], limit: int) -> bool:
        if now.date() != self._day:
            self._day = now.date()
            self._counts.clear()
        if self._counts[key] >= limit:
            return False
        self._counts[key] += 1
        return True
