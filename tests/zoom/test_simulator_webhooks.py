"""The simulator notifies as Zoom does: signed bytes, a retry schedule, a challenge, faults."""

import hashlib
import hmac
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from resonance_zoom.zoom.simulator import CHALLENGE_EVERY, SimulatedZoom, SimulatorServer
from resonance_zoom.zoom.simulator.deliveries import compact, signature

from .simulated import HOST, MEETING_START, START, Clock, Receiver, new_meeting, receiver

SECRET = "simulated-webhook-secret-0"


@pytest.fixture(scope="module")
def shared() -> Iterator[Receiver]:
    with receiver() as box:
        yield box


@pytest.fixture
def box(shared: Receiver) -> Receiver:
    shared.requests.clear()
    shared.statuses.clear()
    shared.reply = lambda _: {}
    return shared


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(clock: Clock) -> SimulatedZoom:
    return SimulatedZoom(now=clock)


@pytest.fixture
def meeting_id(world: SimulatedZoom, box: Receiver) -> int:
    """A meeting that was there before the receiver subscribed."""
    meeting_id = new_meeting(world)
    world.subscribe(box.url)
    return meeting_id


def register(world: SimulatedZoom, meeting_id: int, name: str = "alice") -> None:
    world.register(meeting_id, email=f"{name}@example.org", first_name=name.title())


def emails(box: Receiver) -> list[str]:
    return [r.json["payload"]["object"]["registrant"]["email"] for r in box.requests]


def signed(box: Receiver, secret: str = SECRET) -> list[bool]:
    """Whether each request carries the right signature, worked out here by hand."""
    return [
        r.headers["x-zm-signature"]
        == "v0="
        + hmac.new(
            secret.encode(),
            f"v0:{r.headers['x-zm-request-timestamp']}:{r.body.decode()}".encode(),
            hashlib.sha256,
        ).hexdigest()
        for r in box.requests
    ]


def test_the_signature_is_the_known_one() -> None:
    """A vector made without this code."""
    body = (
        '{"event":"meeting.registration_created","event_ts":1626230691572,"payload":'
        '{"account_id":"AAAAAABBBB","object":{"id":1234567890,"registrant":'
        '{"id":"iFxeBPYun6SAiWUzBcEkX","first_name":"Zoë 🙂","email":"jchill@example.com"}}}}'
    )
    assert signature("test_secret_token", "1739923528", body.encode()) == (
        "v0=e9f3d5c2611076e737dd29695e75f43a02ba1933aceae2bda3aa8ed4b2042720"
    )


def test_a_registration_is_notified_in_signed_compact_bytes(
    world: SimulatedZoom, box: Receiver, meeting_id: int
) -> None:
    who = world.register(meeting_id, email="Zoe@Example.org", first_name="Zoë 🙂")

    [delivery] = world.deliver_due()

    assert (delivery.event, delivery.attempt) == ("meeting.registration_created", 1)
    assert (delivery.status, delivery.outcome, delivery.at) == (200, "done", START)
    [received] = box.requests
    assert received.body == delivery.body
    assert "Zoë 🙂".encode() in received.body
    assert b'": ' not in received.body
    assert received.headers["content-type"] == "application/json; charset=utf-8"
    assert received.headers["x-zm-request-timestamp"] == "1609750800"
    assert received.json["event_ts"] == 1609750800000
    registrant = received.json["payload"]["object"]["registrant"]
    assert registrant["id"] == who.id
    assert (registrant["status"], registrant["join_url"]) == ("approved", who.join_url)
    assert received.json["payload"]["object"]["id"] == meeting_id
    assert signed(box) == [True]


def test_each_act_sends_its_own_event(world: SimulatedZoom, box: Receiver) -> None:
    """Automatic approval sends no registration_approved; what changes nothing sends nothing."""
    world.subscribe(box.url)
    automatic = new_meeting(world)
    manual = new_meeting(world, approval_type=1)
    register(world, automatic, "alice")
    register(world, automatic, "alice")
    world.cancel(automatic, email="alice@example.org")
    register(world, manual, "bob")
    world.approve(manual, email="bob@example.org")
    world.approve(manual, email="bob@example.org")
    world.host_cancel(manual, email="bob@example.org")
    register(world, manual, "chen")
    world.deny(manual, email="chen@example.org")
    world.edit_meeting(manual, topic="Autre")
    world.edit_meeting(manual, topic="Autre")
    world.delete_meeting(manual)
    world.recover_meeting(manual)
    world.deliver_due()

    assert box.events == [
        "meeting.created",
        "meeting.created",
        "meeting.registration_created",
        "meeting.registration_cancelled",
        "meeting.registration_created",
        "meeting.registration_approved",
        "meeting.registration_cancelled",
        "meeting.registration_created",
        "meeting.registration_denied",
        "meeting.updated",
        "meeting.deleted",
        "meeting.recovered",
    ]
    payloads = [received.json["payload"] for received in box.requests]
    assert (payloads[3]["operator"], "operator_id" in payloads[3]) == ("alice@example.org", False)
    assert payloads[4]["object"]["registrant"]["status"] == "pending"
    assert payloads[4]["object"]["registrant"]["join_url"] == ""
    assert payloads[5]["object"]["registrant"]["join_url"].startswith("https://us02web.zoom.us/w/")
    assert payloads[6]["operator"] == HOST
    assert payloads[9]["object"] == {"id": manual, "topic": "Autre"}
    assert payloads[9]["old_object"] == {"id": manual, "topic": "Télétravail"}


def test_a_move_is_notified_with_both_starts(
    world: SimulatedZoom, box: Receiver, meeting_id: int
) -> None:
    world.edit_meeting(meeting_id, start_time=MEETING_START + timedelta(days=1))
    world.edit_meeting(meeting_id, start_time=START - timedelta(days=1))
    world.deliver_due()

    [received] = box.requests
    assert received.json["payload"]["object"]["start_time"] == "2021-02-10T08:00:00Z"
    assert received.json["payload"]["old_object"]["start_time"] == "2021-02-09T08:00:00Z"


def test_the_notice_of_leaving_comes_when_the_person_leaves(
    world: SimulatedZoom, box: Receiver, clock: Clock, meeting_id: int
) -> None:
    world.join(meeting_id, "alice@example.org", minutes=30)
    world.deliver_due()
    assert box.events == ["meeting.participant_joined"]
    assert world.next_delivery_at() == START + timedelta(minutes=30)

    clock.turn(minutes=30)
    world.deliver_due()

    assert box.events[1:] == ["meeting.participant_left"]
    assert box.requests[1].json["event_ts"] == 1609752600000


def test_a_5xx_is_tried_again_after_5_25_and_85_minutes_then_lost(
    world: SimulatedZoom, box: Receiver, clock: Clock, meeting_id: int
) -> None:
    box.statuses = [500, 503, 502, 500]
    register(world, meeting_id)
    tries = []
    while (due := world.next_delivery_at()) is not None:
        clock.time = due
        tries += world.deliver_due()

    minutes = [(t.at - START) / timedelta(minutes=1) for t in tries]
    assert minutes == [0, 5, 25, 85]
    assert [t.attempt for t in tries] == [1, 2, 3, 4]
    assert [t.status for t in tries] == [500, 503, 502, 500]
    assert [t.outcome for t in tries] == ["again", "again", "again", "lost"]
    assert len({r.body for r in box.requests}) == 1
    assert signed(box) == [True] * 4
    stamps = [int(r.headers["x-zm-request-timestamp"]) - 1609750800 for r in box.requests]
    assert stamps == [0, 300, 1500, 5100]
    assert len({r.headers["x-zm-trackingid"] for r in box.requests}) == 1
    assert len({r.headers["x-zm-request-id"] for r in box.requests}) == 4


def test_a_retry_that_succeeds_ends_the_matter(
    world: SimulatedZoom, box: Receiver, clock: Clock, meeting_id: int
) -> None:
    box.statuses = [503, 204]
    register(world, meeting_id)
    world.deliver_due()
    clock.turn(minutes=4, seconds=59)
    assert world.deliver_due() == []
    clock.turn(seconds=1)

    [second] = world.deliver_due()

    assert (second.attempt, second.status, second.outcome) == (2, 204, "done")
    assert world.next_delivery_at() is None


@pytest.mark.parametrize("status", [301, 400, 401, 404, 413])
def test_a_3xx_or_4xx_is_never_tried_again(
    world: SimulatedZoom, box: Receiver, meeting_id: int, status: int
) -> None:
    box.statuses = [status]
    register(world, meeting_id)

    [delivery] = world.deliver_due()

    assert (delivery.status, delivery.outcome) == (status, "refused")
    assert world.next_delivery_at() is None
    assert len(box.requests) == 1


def test_a_receiver_that_is_not_there_is_tried_again(world: SimulatedZoom, clock: Clock) -> None:
    meeting_id = new_meeting(world)
    world.subscribe("http://127.0.0.1:9/webhooks/zoom")
    register(world, meeting_id)

    [delivery] = world.deliver_due()

    assert (delivery.status, delivery.outcome) == (None, "again")
    assert world.next_delivery_at() == START + timedelta(minutes=5)


def test_retries_may_keep_the_first_timestamp(
    world: SimulatedZoom, box: Receiver, clock: Clock, meeting_id: int
) -> None:
    world.faults.retries_keep_timestamp = True
    box.statuses = [503]
    register(world, meeting_id)
    world.deliver_due()
    clock.turn(minutes=5)
    world.deliver_due()

    stamps = [r.headers["x-zm-request-timestamp"] for r in box.requests]
    assert stamps == ["1609750800", "1609750800"]
    assert signed(box) == [True, True]


def test_every_subscription_gets_every_event_in_its_own_secret(
    world: SimulatedZoom, box: Receiver, meeting_id: int
) -> None:
    world.subscribe(box.url, secret="another-secret-of-24-chars")
    register(world, meeting_id)

    assert [d.outcome for d in world.deliver_due()] == ["done", "done"]

    assert signed(box) == [True, False]
    assert signed(box, "another-secret-of-24-chars") == [False, True]
    world.webhooks.unsubscribe(box.url)
    register(world, meeting_id, "bob")
    assert world.deliver_due() == []


def test_a_rotated_secret_signs_from_then_on(
    world: SimulatedZoom, box: Receiver, meeting_id: int
) -> None:
    register(world, meeting_id, "alice")
    world.webhook_secret = "rotated-secret-of-24-chars"
    world.deliver_due()

    assert signed(box, "rotated-secret-of-24-chars") == [True]


def test_lost_webhooks_never_leave(world: SimulatedZoom, box: Receiver, meeting_id: int) -> None:
    world.faults.lose_next_webhooks(2)
    for name in ("alice", "bob", "chen"):
        register(world, meeting_id, name)
    world.deliver_due()

    assert emails(box) == ["chen@example.org"]
    assert [(d.attempt, d.outcome) for d in world.webhooks.log] == [
        (0, "lost"),
        (0, "lost"),
        (1, "done"),
    ]
    assert world.faults.happened["lost"] == 2


def test_webhooks_may_be_lost_by_what_they_say(
    world: SimulatedZoom, box: Receiver, meeting_id: int
) -> None:
    fault = world.faults.lose_webhooks(lambda event, _: event == "meeting.registration_cancelled")
    register(world, meeting_id)
    world.cancel(meeting_id, email="alice@example.org")
    fault.times = 0
    register(world, meeting_id)
    world.cancel(meeting_id, email="alice@example.org")
    world.deliver_due()

    assert [event.rpartition("_")[2] for event in box.events] == ["created", "created", "cancelled"]


def test_a_duplicate_is_the_same_bytes_twice(
    world: SimulatedZoom, box: Receiver, meeting_id: int
) -> None:
    world.faults.webhook("duplicated")
    register(world, meeting_id, "alice")
    register(world, meeting_id, "bob")
    world.deliver_due()

    assert sorted(emails(box)) == ["alice@example.org", "alice@example.org", "bob@example.org"]
    assert len({r.body for r in box.requests}) == 2
    assert len({r.headers["x-zm-request-id"] for r in box.requests}) == 3


def test_a_delayed_webhook_comes_after_later_ones_with_its_own_event_ts(
    world: SimulatedZoom, box: Receiver, clock: Clock, meeting_id: int
) -> None:
    world.faults.webhook("delayed", by=timedelta(minutes=90))
    register(world, meeting_id, "alice")
    register(world, meeting_id, "bob")
    world.deliver_due()
    clock.turn(minutes=90)
    world.deliver_due()

    assert emails(box) == ["bob@example.org", "alice@example.org"]
    assert box.requests[0].json["event_ts"] == box.requests[1].json["event_ts"]
    assert signed(box) == [True, True]


def test_reordered_webhooks_leave_the_last_one_first(
    world: SimulatedZoom, box: Receiver, meeting_id: int
) -> None:
    world.faults.reorder_next_webhooks(3)
    register(world, meeting_id, "alice")
    register(world, meeting_id, "bob")
    assert world.deliver_due() == []
    register(world, meeting_id, "chen")
    world.deliver_due()

    assert emails(box) == ["chen@example.org", "bob@example.org", "alice@example.org"]


def test_reordering_without_end_turns_pairs_round(
    world: SimulatedZoom, box: Receiver, meeting_id: int
) -> None:
    world.faults.webhook("reordered", times=None)
    for name in ("alice", "bob", "chen", "dora"):
        register(world, meeting_id, name)
    world.deliver_due()

    assert [email[0] for email in emails(box)] == ["b", "a", "d", "c"]


def test_what_waits_to_be_reordered_leaves_within_a_minute(
    world: SimulatedZoom, box: Receiver, clock: Clock, meeting_id: int
) -> None:
    world.faults.reorder_next_webhooks(2)
    register(world, meeting_id, "alice")
    clock.turn(minutes=1)
    world.deliver_due()
    register(world, meeting_id, "bob")
    world.deliver_due()

    assert emails(box) == ["alice@example.org", "bob@example.org"]


def test_a_bad_signature_is_bad_and_a_stale_stamp_is_old_but_rightly_signed(
    world: SimulatedZoom, box: Receiver, meeting_id: int
) -> None:
    world.faults.webhook("bad-signature")
    register(world, meeting_id, "alice")
    world.faults.webhook("stale", by=timedelta(hours=2))
    register(world, meeting_id, "bob")
    world.deliver_due()

    assert signed(box) == [False, True]
    assert box.requests[1].headers["x-zm-request-timestamp"] == str(1609750800 - 7200)


def test_a_fault_with_a_rate_strikes_the_same_ones_for_the_same_seed(
    box: Receiver, clock: Clock
) -> None:
    def lost(seed: int) -> list[str]:
        world = SimulatedZoom(now=clock, seed=seed)
        meeting_id = new_meeting(world)
        world.subscribe(box.url)
        world.faults.webhook("lost", times=None, rate=0.3)
        for number in range(40):
            register(world, meeting_id, f"p{number:02}")
        box.requests.clear()
        world.deliver_due()
        return emails(box)

    assert lost(1) == lost(1)
    assert lost(1) != lost(2)
    assert 15 < len(lost(1)) < 40


def test_while_the_way_is_down_every_try_fails_and_the_schedule_goes_on(
    world: SimulatedZoom, box: Receiver, clock: Clock, meeting_id: int
) -> None:
    world.faults.webhooks_down = True
    register(world, meeting_id)
    [first] = world.deliver_due()
    assert (first.status, first.outcome) == (None, "again")
    assert box.requests == []

    world.faults.webhooks_down = False
    clock.turn(minutes=5)
    world.deliver_due()

    assert emails(box) == ["alice@example.org"]


def test_a_silent_subscription_looks_active_and_sends_nothing_ever(
    world: SimulatedZoom, box: Receiver, clock: Clock, meeting_id: int
) -> None:
    world.faults.webhooks_silent = True
    register(world, meeting_id, "alice")
    world.faults.webhooks_silent = False
    register(world, meeting_id, "bob")
    clock.turn(hours=2)
    world.deliver_due()

    assert emails(box) == ["bob@example.org"]


def test_event_stamps_may_be_equal_and_approval_may_be_told_twice(
    world: SimulatedZoom, box: Receiver, clock: Clock, meeting_id: int
) -> None:
    world.faults.event_ts = 1609750800123
    world.faults.approved_event_too = True
    register(world, meeting_id)
    clock.turn(minutes=1)
    world.cancel(meeting_id, email="alice@example.org")
    world.deliver_due()

    assert [r.json["event_ts"] for r in box.requests] == [1609750800123] * 3
    assert box.events[:2] == ["meeting.registration_created", "meeting.registration_approved"]


def test_links_may_change_when_a_meeting_is_moved(world: SimulatedZoom, meeting_id: int) -> None:
    who = world.register(meeting_id, email="alice@example.org", first_name="Alice")
    before = who.join_url
    world.edit_meeting(meeting_id, start_time=MEETING_START + timedelta(days=1))
    assert who.join_url == before

    world.faults.new_links_when_moved = True
    world.edit_meeting(meeting_id, start_time=MEETING_START + timedelta(days=2))

    assert who.join_url != before


def answers_challenges(secret: str) -> Any:
    def reply(body: Any) -> dict[str, str]:
        token = body["payload"]["plainToken"]
        digest = hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()
        return {"plainToken": token, "encryptedToken": digest}

    return reply


def test_the_challenge_is_passed_by_who_knows_the_secret(
    world: SimulatedZoom, box: Receiver, meeting_id: int
) -> None:
    assert world.validate_url() is False
    box.reply = answers_challenges(SECRET)
    assert world.validate_url() is True
    box.statuses = [204]
    assert world.validate_url() is False

    assert set(box.events) == {"endpoint.url_validation"}
    assert signed(box) == [True] * 3


def test_a_challenge_answered_with_no_json_is_failed(
    world: SimulatedZoom, box: Receiver, meeting_id: int
) -> None:
    with SimulatorServer(world) as elsewhere:
        world.webhooks.subscriptions[0].url = elsewhere.origin
        world.faults.api("unknown", kind="html")

        assert world.validate_url() is False


def test_nobody_to_challenge_is_not_a_success(world: SimulatedZoom) -> None:
    assert world.validate_url() is False


def test_six_failed_challenges_in_a_row_end_the_subscription_until_one_is_passed(
    world: SimulatedZoom, box: Receiver, clock: Clock
) -> None:
    """Every 72 hours, if asked for."""
    meeting_id = new_meeting(world)
    subscription = world.subscribe(box.url, challenge_every=CHALLENGE_EVERY)
    for _ in range(6):
        assert subscription.enabled
        assert world.next_delivery_at() == clock.time + timedelta(hours=72)
        clock.turn(hours=72)
        assert [d.event for d in world.deliver_due()] == ["endpoint.url_validation"]

    assert not subscription.enabled
    register(world, meeting_id)
    assert world.deliver_due() == []
    box.reply = answers_challenges(SECRET)
    assert world.validate_url() is True
    assert subscription.enabled


def test_two_threads_never_send_the_same_try(
    world: SimulatedZoom, box: Receiver, meeting_id: int
) -> None:
    for number in range(40):
        register(world, meeting_id, f"p{number}")

    with ThreadPoolExecutor(4) as pool:
        sent = [d for batch in pool.map(lambda _: world.deliver_due(), range(4)) for d in batch]

    assert len(sent) == 40
    assert len(set(emails(box))) == 40


def test_a_receiver_may_ask_and_change_the_world_while_it_is_notified(
    world: SimulatedZoom, box: Receiver, meeting_id: int
) -> None:
    """No lock is held while a notification is on its way; what it causes leaves in the same go."""

    def reply(body: Any) -> dict[str, str]:
        if body["event"] == "meeting.registration_created":
            world.cancel(meeting_id, email="alice@example.org")
        return {}

    box.reply = reply
    register(world, meeting_id)

    assert [d.outcome for d in world.deliver_due()] == ["done", "done"]
    assert box.events[1] == "meeting.registration_cancelled"


def test_in_real_time_a_server_delivers_by_itself(
    world: SimulatedZoom, box: Receiver, meeting_id: int
) -> None:
    arrived = threading.Event()

    def reply(_: Any) -> dict[str, str]:
        arrived.set()
        return {}

    box.reply = reply
    with SimulatorServer(world, deliver=True):
        register(world, meeting_id)
        assert arrived.wait(5)


def test_odd_names_are_sent_as_utf_8(world: SimulatedZoom, box: Receiver, meeting_id: int) -> None:
    """Even half of a surrogate pair, which has no UTF-8."""
    world.register(meeting_id, email="x@example.org", first_name="a\ud800\u2028\x00é")
    world.deliver_due()

    assert box.requests[0].json["payload"]["object"]["registrant"]["first_name"] == (
        "a?\u2028\x00é"
    )
    assert compact({"a": "é\ud800"}) == b'{"a":"\xc3\xa9?"}'
