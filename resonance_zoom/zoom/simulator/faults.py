"""What goes wrong on purpose: switches and planned faults, all off until a test asks for them.

A planned fault is used up `times` times (None: always), after the first `skip` calls that match,
with the probability `rate` drawn from the world's seed. `happened` counts what really took place,
so that a test can insist that its faults were met.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from resonance_zoom.zoom.simulator.records import SimRequest

WebhookFaultKind = Literal["lost", "duplicated", "delayed", "bad-signature", "stale", "reordered"]
Plan = Literal["free", "pro", "business"]
API_FAULTS = frozenset(
    {
        "timeout-before",  # dropped without an answer, nothing was done
        "timeout-after",  # dropped without an answer, it was done
        "reset",  # TCP reset in place of an answer
        "html",  # 200 and a page for people
        "truncated",  # the real answer with half of its JSON
        "cut-off",  # the real answer, the connection ends in the middle
        "wrong-type",  # the real answer called text/plain
        "401",
        "404",
        "429",
        "429-daily",
        "500",
        "502",
        "503",
    }
)
ALWAYS_DONE = frozenset({"timeout-after", "truncated", "cut-off", "wrong-type"})


@dataclass(slots=True)
class Planned:
    """The part that all planned faults share: how often, from when on, how likely."""

    kind: str
    times: int | None
    skip: int
    rate: float

    def take(self, draw: Callable[[], float]) -> bool:
        """Whether it strikes this time; uses it up."""
        if self.times == 0:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.rate < 1 and draw() >= self.rate:
            return False
        if self.times is not None:
            self.times -= 1
        return True


@dataclass(slots=True)
class ApiFault(Planned):
    """Strikes calls of `operation` (`*`: any) for which `when` holds."""

    operation: str
    after_effect: bool
    retry_after: str | None
    when: Callable[[SimRequest], bool] | None


@dataclass(slots=True)
class WebhookFault(Planned):
    """Strikes notifications for which `when(event, payload)` holds; `by`: how long or how stale."""

    by: timedelta
    when: Callable[[str, dict[str, Any]], bool] | None


@dataclass(slots=True)
class Faults:
    """The switchboard. Attributes are switches, methods plan faults."""

    seed: int = 0
    api_down: bool = False
    """Every connection to the API and to OAuth is dropped without an answer."""
    listing_lag: timedelta = timedelta(0)
    """Registrants and meetings younger than this are missing from the listings."""
    registrants_lag: timedelta = timedelta(0)
    """Registrants younger than this are missing from the listings, where that is longer."""
    drop_settings_on_create: set[str] = field(default_factory=set)
    """Settings that a create ignores without a word."""
    drop_settings_on_write: set[str] = field(default_factory=set)
    """Settings that create and PATCH ignore without a word."""
    basic_host_refused: bool = False
    """Registration for an unlicensed host is an error; off: it is dropped silently."""
    status_changes_ignored: bool = False
    """PUT registrants/status answers 204 and changes nothing."""
    silent_api_adds: bool = False
    """A registrant added through the API is not notified."""
    approved_event_too: bool = False
    """Automatic approval sends registration_approved after registration_created."""
    same_id_after_cancel: bool = False
    """Who registers again after a cancellation gets the old registrant id back."""
    new_links_when_moved: bool = False
    """A new start or passcode gives every approved registrant a new join_url."""
    one_token_at_a_time: bool = False
    """A new access token ends the one before it, as in 2022."""
    per_second_limits: Plan | None = None
    """Calls a second, by the world's clock, as for this plan."""
    webhooks_down: bool = False
    """The way to the receiver is down: every try fails as if refused, the schedule goes on."""
    webhooks_silent: bool = False
    """The subscription looks active and nothing is sent: what happens meanwhile is lost."""
    retries_keep_timestamp: bool = False
    """A retry carries the header timestamp of the first try."""
    event_ts: int | None = None
    """Every notification carries this event_ts (milliseconds)."""
    token_generation: int = 0
    api_faults: list[ApiFault] = field(default_factory=list)
    webhook_faults: list[WebhookFault] = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - faults must repeat, not surprise

    def api(
        self,
        operation: str,
        *,
        kind: str,
        times: int | None = 1,
        after_effect: bool = False,
        skip: int = 0,
        rate: float = 1.0,
        retry_after: str | None = None,
        when: Callable[[SimRequest], bool] | None = None,
    ) -> ApiFault:
        """Plan a fault for an operationId, `token` or `*`; `after_effect`: it was done anyway.

        timeout-after, truncated, cut-off and wrong-type spoil the real answer: always done.
        """
        if kind not in API_FAULTS:
            raise ValueError(f"{kind!r} is no API fault; there are {', '.join(sorted(API_FAULTS))}")
        fault = ApiFault(
            kind=kind,
            times=times,
            skip=skip,
            rate=rate,
            operation=operation,
            after_effect=after_effect or kind in ALWAYS_DONE,
            retry_after=retry_after,
            when=when,
        )
        self.api_faults.append(fault)
        return fault

    def webhook(
        self,
        kind: WebhookFaultKind,
        *,
        times: int | None = 1,
        by: timedelta = timedelta(0),
        skip: int = 0,
        rate: float = 1.0,
        when: Callable[[str, dict[str, Any]], bool] | None = None,
    ) -> WebhookFault:
        """Plan a fault for the next notifications; `by`: the delay, or how old the stamp is."""
        fault = WebhookFault(kind=kind, times=times, skip=skip, rate=rate, by=by, when=when)
        self.webhook_faults.append(fault)
        return fault

    def lose_next_webhooks(self, n: int = 1) -> None:
        """The next n notifications are never sent."""
        self.webhook("lost", times=n)

    def lose_webhooks(self, when: Callable[[str, dict[str, Any]], bool]) -> WebhookFault:
        """Notifications for which `when(event, payload)` holds are never sent."""
        return self.webhook("lost", times=None, when=when)

    def reorder_next_webhooks(self, n: int = 2) -> None:
        """The next n notifications leave together, the last one first; within a minute anyhow."""
        self.webhook("reordered", times=n)

    def expire_tokens(self) -> None:
        """No access token given out so far is good any more."""
        self.token_generation += 1
        self.happened["tokens expired"] += 1

    def clear(self) -> None:
        """Forget the planned faults. Switches stay as they are."""
        self.api_faults.clear()
        self.webhook_faults.clear()

    def strike_call(self, operation: str, request: SimRequest) -> ApiFault | None:
        """The planned fault that strikes this call; uses it up."""
        for fault in self.api_faults:
            named = fault.operation in {operation, "*"}
            if named and (fault.when is None or fault.when(request)) and self._take(fault):
                return fault
        return None

    def strike_notification(self, event: str, payload: dict[str, Any]) -> list[WebhookFault]:
        """Every planned fault that strikes this notification; uses them up."""
        return [
            fault
            for fault in self.webhook_faults
            if (fault.when is None or fault.when(event, payload)) and self._take(fault)
        ]

    def _take(self, fault: Planned) -> bool:
        struck = fault.take(self._random.random)
        if struck:
            self.happened[fault.kind] += 1
        return struck
