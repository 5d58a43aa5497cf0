"""Signed notifications over real HTTP, tried again as Zoom does; the challenge for the secret.

Nothing here waits: `deliver_due` sends what is due now, `next_delivery_at` says when to come back.
"""

import hashlib
import hmac
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import requests

from resonance_zoom.zoom.simulator.deliveries import (
    CHALLENGE,
    CHALLENGE_FAILURES_ALLOWED,
    REORDERED_WAIT_AT_MOST,
    TIMEOUT,
    Delivery,
    Outcome,
    Pending,
    Subscription,
    compact,
    signature,
)
from resonance_zoom.zoom.simulator.events import Payload, milliseconds
from resonance_zoom.zoom.simulator.faults import Faults, WebhookFault
from resonance_zoom.zoom.simulator.ids import Ids


def _over_http(
    session: requests.Session, url: str, body: bytes, headers: dict[str, str]
) -> requests.Response | None:
    """The receiver's answer; refused, reset or silent count all as no answer, None."""
    try:
        return session.post(url, data=body, headers=headers, timeout=TIMEOUT, allow_redirects=False)
    except requests.RequestException:
        return None


class Notifier:
    """The queue of one world's notifications. All times are the world's."""

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        lock: "threading.RLock",
        ids: Ids,
        faults: Faults,
        secret: Callable[[], str],
    ) -> None:
        self._now = now
        self._lock = lock
        self._ids = ids
        self._faults = faults
        self._secret = secret
        self._order = 0
        self._challenges = 0
        self._queue: list[Pending] = []
        self._held: list[Pending] = []
        self.carry = _over_http  # how a body reaches its receiver
        self.subscriptions: list[Subscription] = []
        self.log: list[Delivery] = []

    def subscribe(
        self, url: str, *, secret: str | None = None, challenge_every: timedelta | None = None
    ) -> Subscription:
        """Sends every notification from now on to `url`, beside other subscriptions."""
        with self._lock:
            first = self._now() + challenge_every if challenge_every else None
            subscription = Subscription(url, secret, challenge_every, first)
            self.subscriptions.append(subscription)
            return subscription

    def unsubscribe(self, url: str) -> None:
        """Forgets the receiver; what it has not yet received, it never will."""
        with self._lock:
            self.subscriptions = [s for s in self.subscriptions if s.url != url]
            self._queue = [p for p in self._queue if p.subscription.url != url]

    def emit(self, event: str, payload: Payload, *, at: datetime | None = None) -> None:
        """Queues a notification for each enabled subscription, now or at a later moment."""
        with self._lock:
            moment = at or self._now()
            event_ts = self._faults.event_ts or milliseconds(moment)
            body = compact({"event": event, "payload": payload, "event_ts": event_ts})
            for subscription in self.subscriptions:
                if subscription.enabled:
                    pending = self._pending(moment, event, event_ts, body, subscription)
                    self._queue_unless_lost(pending, payload)

    def _pending(
        self, due_at: datetime, event: str, event_ts: int, body: bytes, subscription: Subscription
    ) -> Pending:
        self._order += 1
        tracking_id = "WEBHOOK_" + self._ids.text(22, "tracking", self._order)
        return Pending(self._order, due_at, event, event_ts, body, subscription, tracking_id)

    def _queue_unless_lost(self, pending: Pending, payload: Payload) -> None:
        struck = self._faults.strike_notification(pending.event, payload)
        kinds = {fault.kind for fault in struck}
        if self._faults.webhooks_silent:
            self._faults.happened["silent"] += 1
        if "lost" in kinds or self._faults.webhooks_silent:
            self._record(pending, None, "lost", attempt=0)
            return
        for fault in struck:
            self._spoil(pending, fault)
        if "reordered" in kinds:
            self._hold(pending)
        else:
            self._queue.append(pending)
        if "duplicated" in kinds:
            self._order += 1
            self._queue.append(replace(pending, order=self._order))

    @staticmethod
    def _spoil(pending: Pending, fault: WebhookFault) -> None:
        if fault.kind == "delayed":
            pending.due_at += fault.by
        elif fault.kind == "bad-signature":
            pending.bad_signature = True
        elif fault.kind == "stale":
            pending.stale_by = fault.by

    def _hold(self, pending: Pending) -> None:
        """Keeps a notification back until the last of those to be reordered has come."""
        self._held.append(pending)
        self._queue.append(pending)
        pending.due_at += REORDERED_WAIT_AT_MOST
        if any(self._more_to_hold(fault) for fault in self._faults.webhook_faults):
            return
        orders = sorted((held.order for held in self._held), reverse=True)
        for held, order in zip(self._held, orders, strict=True):
            held.due_at, held.order = self._now(), order
        self._held.clear()

    def _more_to_hold(self, fault: WebhookFault) -> bool:
        """Whether another one is to come before these leave; pairs where `times` has no end."""
        endless = fault.times is None and len(self._held) < 2
        return fault.kind == "reordered" and (endless or bool(fault.times))

    def next_delivery_at(self) -> datetime | None:
        """When the next try or challenge is due; None: nothing is waiting."""
        with self._lock:
            moments = [pending.due_at for pending in self._queue]
            moments += [s.next_challenge_at for s in self._challenged() if s.next_challenge_at]
            return min(moments, default=None)

    def deliver_due(self) -> list[Delivery]:
        """Sends everything that is due now, the oldest first, and says how it went."""
        due_at = self.next_delivery_at()
        if due_at is None or due_at > self._now():
            return []
        with requests.Session() as session:
            session.trust_env = False
            deliveries = [self._challenge(session, s) for s in self._due_challenges()]
            while (pending := self._claim()) is not None:
                deliveries.append(self._deliver(session, pending))
        return deliveries

    def validate_urls(self) -> bool:
        """Challenges every receiver now; a passed challenge enables a disabled subscription."""
        with requests.Session() as session:
            session.trust_env = False
            tried = [self._challenge(session, s) for s in list(self.subscriptions)]
        return bool(tried) and all(delivery.outcome == "done" for delivery in tried)

    def _claim(self) -> Pending | None:
        # Taken out under the lock: two threads that deliver never send the same try twice.
        with self._lock:
            now = self._now()
            due = [pending for pending in self._queue if pending.due_at <= now]
            if not due:
                return None
            first = min(due, key=lambda pending: (pending.due_at, pending.order))
            self._queue.remove(first)
            if first in self._held:
                self._held.remove(first)
            return first

    def _deliver(self, session: requests.Session, pending: Pending) -> Delivery:
        at = self._now()
        pending.first_at = pending.first_at or at
        response = self._post(session, pending, at)
        status = None if response is None else response.status_code
        with self._lock:
            if status is not None and 200 <= status < 300:
                return self._record(pending, status, "done", at=at)
            if status is not None and status < 500:
                return self._record(pending, status, "refused", at=at)
            if (retry_at := pending.retry_at) is None:
                self._faults.happened["retries exhausted"] += 1
                return self._record(pending, status, "lost", at=at)
            self._queue.append(replace(pending, due_at=retry_at, attempt=pending.attempt + 1))
            return self._record(pending, status, "again", at=at)

    def _post(
        self, session: requests.Session, pending: Pending, at: datetime
    ) -> requests.Response | None:
        """The receiver's answer, None if the way was down or nothing came within 3 seconds."""
        if self._faults.webhooks_down:
            self._faults.happened["webhooks down"] += 1
            return None
        signed_at = at - pending.stale_by
        if self._faults.retries_keep_timestamp and pending.first_at:
            signed_at = pending.first_at - pending.stale_by
        headers = self._headers(pending, str(int(signed_at.timestamp())))
        return self.carry(session, pending.subscription.url, pending.body, headers)

    def _headers(self, pending: Pending, timestamp: str) -> dict[str, str]:
        secret = pending.subscription.secret or self._secret()
        if pending.bad_signature:
            secret += "?"
        trace = self._ids.digest("request", pending.order, pending.attempt).hex()
        return {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Zoom Marketplace/1.0a",
            "clientid": self._ids.text(22, "clientid"),
            "traceparent": f"00-{trace[:32]}-{trace[32:48]}-01",
            "x-zm-request-id": trace[48:80],
            "x-zm-request-timestamp": timestamp,
            "x-zm-signature": signature(secret, timestamp, pending.body),
            "x-zm-trackingid": pending.tracking_id,
        }

    def _record(
        self,
        pending: Pending,
        status: int | None,
        outcome: Outcome,
        *,
        at: datetime | None = None,
        attempt: int | None = None,
    ) -> Delivery:
        delivery = Delivery(
            event=pending.event,
            at=at or self._now(),
            attempt=pending.attempt if attempt is None else attempt,
            status=status,
            outcome=outcome,
            url=pending.subscription.url,
            event_ts=pending.event_ts,
            body=pending.body,
        )
        self.log.append(delivery)
        return delivery

    def _challenged(self) -> list[Subscription]:
        return [s for s in self.subscriptions if s.enabled and s.challenge_every]

    def _due_challenges(self) -> list[Subscription]:
        with self._lock:
            now = self._now()
            due = []
            for subscription in self._challenged():
                at, every = subscription.next_challenge_at, subscription.challenge_every
                if at and every and at <= now:
                    subscription.next_challenge_at = now + every
                    due.append(subscription)
            return due

    def _challenge(self, session: requests.Session, subscription: Subscription) -> Delivery:
        with self._lock:
            now = self._now()
            self._challenges += 1
            token = self._ids.text(22, "challenge", self._challenges)
            event_ts = milliseconds(now)
            question = {"event": CHALLENGE, "payload": {"plainToken": token}, "event_ts": event_ts}
            body = compact(question)
            pending = self._pending(now, CHALLENGE, event_ts, body, subscription)
        response = self._post(session, pending, now)
        with self._lock:
            passed = response is not None and self._knows_secret(response, subscription, token)
            subscription.failures = 0 if passed else subscription.failures + 1
            if passed or subscription.failures > CHALLENGE_FAILURES_ALLOWED:
                subscription.enabled = passed
            status = None if response is None else response.status_code
            return self._record(pending, status, "done" if passed else "refused", at=now)

    def _knows_secret(
        self, response: requests.Response, subscription: Subscription, token: str
    ) -> bool:
        secret = subscription.secret or self._secret()
        encrypted = hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()
        try:
            answer: Any = response.json()
        except requests.JSONDecodeError:
            return False
        return response.status_code == 200 and answer == {
            "plainToken": token,
            "encryptedToken": encrypted,
        }
