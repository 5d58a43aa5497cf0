"""A notification on its way: its bytes, its signature, its tries.

Source: https://developers.zoom.us/docs/api/webhooks/. A notification that is refused with 5xx, by
the network or by silence is tried again 5, 25 and 85 minutes after its first try, then lost.
"""

import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

TIMEOUT = 3.0
RETRIES_AFTER_FIRST_TRY = (timedelta(minutes=5), timedelta(minutes=25), timedelta(minutes=85))
CHALLENGE_EVERY = timedelta(hours=72)
CHALLENGE_FAILURES_ALLOWED = 5  # the sixth in a row disables the subscription
REORDERED_WAIT_AT_MOST = timedelta(minutes=1)
CHALLENGE = "endpoint.url_validation"
Outcome = Literal["done", "again", "refused", "lost"]


def compact(value: object) -> bytes:
    """JSON as Zoom writes it: no blanks, text as it is, UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The value of x-zm-signature."""
    message = b"v0:" + timestamp.encode() + b":" + body
    return "v0=" + hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Delivery:
    """One try (1 to 4) to deliver a notification; `status` None: no answer came.

    outcome: done (2xx), again (will be tried again), refused (3xx, 4xx: never again), lost (the
    last try failed, or, with attempt 0, a fault kept it from being sent at all).
    """

    event: str
    at: datetime
    attempt: int
    status: int | None
    outcome: Outcome
    url: str = ""
    event_ts: int = 0
    body: bytes = b""


@dataclass(slots=True)
class Subscription:
    """A receiver. `secret` None: the world's; `challenge_every` None: never on its own."""

    url: str
    secret: str | None
    challenge_every: timedelta | None
    next_challenge_at: datetime | None
    failures: int = 0
    enabled: bool = True


@dataclass(slots=True)
class Pending:
    """A try that waits for its moment; `order` decides between two of the same moment."""

    order: int
    due_at: datetime
    event: str
    event_ts: int
    body: bytes
    subscription: Subscription
    tracking_id: str
    attempt: int = 1
    first_at: datetime | None = None
    bad_signature: bool = False
    stale_by: timedelta = timedelta(0)

    @property
    def retry_at(self) -> datetime | None:
        """When to try again after this try has failed; None: it was the last."""
        if self.first_at is None or self.attempt > len(RETRIES_AFTER_FIRST_TRY):
            return None
        return self.first_at + RETRIES_AFTER_FIRST_TRY[self.attempt - 1]
