"""A registrant's state follows from the set of what was told, never from the order."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from resonance_zoom.registrations import LISTED, UNLISTED, Event, state_of

T0 = 1_610_000_000_000
MINUTE = 60_000


def event(
    name: str, minute: float, status: str, *, join_url: str | None = None, id_: str = "r1"
) -> Event:
    return Event(
        event=name,
        event_ts=T0 + int(minute * MINUTE),
        source="webhook",
        status=status,
        registrant_id=id_,
        email="alice@example.org",
        first_name="Alice",
        last_name="",
        join_url=join_url,
    )


def created(
    minute: float, status: str = "approved", url: str = "https://zoom.us/w/1?tk=a"
) -> Event:
    return event(
        "meeting.registration_created",
        minute,
        status,
        join_url=url if status == "approved" else None,
    )


def cancelled(minute: float) -> Event:
    return event("meeting.registration_cancelled", minute, "cancelled")


EVENTS = st.one_of(
    st.builds(created, st.integers(0, 9), st.sampled_from(["approved", "pending"])),
    st.builds(cancelled, st.integers(0, 9)),
    st.builds(lambda m: event("meeting.registration_denied", m, "denied"), st.integers(0, 9)),
    st.builds(
        lambda m: event("meeting.registration_approved", m, "approved", join_url="https://b"),
        st.integers(0, 9),
    ),
    st.builds(lambda m: event(UNLISTED, m, "cancelled"), st.integers(0, 9)),
)


@given(st.lists(EVENTS, min_size=1, max_size=7), st.randoms(use_true_random=False), st.data())
def test_any_order_and_repetition_gives_one_state(events, random, data) -> None:
    again = events + data.draw(st.lists(st.sampled_from(events), max_size=4))
    random.shuffle(again)
    assert state_of(again) == state_of(events)


@given(st.lists(EVENTS, min_size=1, max_size=7))
def test_the_highest_stamp_decides(events) -> None:
    newest = max(event.event_ts for event in events)
    allowed = {event.status for event in events if event.event_ts == newest}
    assert state_of(events).status in allowed
    if "cancelled" in allowed:
        assert state_of(events).status == "cancelled"


def test_a_cancellation_that_comes_before_its_registration_still_holds() -> None:
    assert state_of([cancelled(5), created(1)]).status == "cancelled"


def test_registering_again_after_a_cancellation_starts_a_new_episode() -> None:
    state = state_of([created(0), cancelled(5), created(9, url="https://zoom.us/w/1?tk=new")])
    assert (state.status, state.episode) == ("approved", 2)
    assert state.join_url == "https://zoom.us/w/1?tk=new"
    assert state.registered_at == datetime.fromtimestamp(T0 / 1000 + 540, UTC)


def test_registering_twice_without_a_cancellation_is_one_registration() -> None:
    assert state_of([created(0), created(3)]).episode == 1


def test_another_registration_of_who_never_seemed_to_leave_is_a_new_one() -> None:
    """Their cancellation was lost, and their first link is dead."""
    again = event(
        "meeting.registration_created", 3, "approved", join_url="https://zoom.us/w/1?tk=b", id_="r2"
    )
    state = state_of([created(0), again])
    assert (state.episode, state.join_url) == (2, "https://zoom.us/w/1?tk=b")
    assert state_of([created(0), cancelled(1), again]) == state
    assert state_of([created(0), created(3, url="https://zoom.us/w/1?tk=b")]).episode == 2


def test_a_link_once_known_is_not_lost_when_an_approval_brings_none() -> None:
    approved = event("meeting.registration_approved", 2, "approved")
    assert state_of([created(0), approved]).join_url == "https://zoom.us/w/1?tk=a"


def test_who_waits_for_approval_is_approved_from_the_approval_on() -> None:
    approved = event("meeting.registration_approved", 30, "approved", join_url="https://b")
    state = state_of([created(0, "pending"), approved])
    assert state.registered_at == datetime.fromtimestamp(T0 / 1000, UTC)
    assert state.approved_at == datetime.fromtimestamp(T0 / 1000, UTC) + timedelta(minutes=30)


def test_the_same_registration_found_again_by_a_sweep_is_no_new_one() -> None:
    registered = datetime.fromtimestamp(T0 / 1000, UTC)
    found = Event(
        event=LISTED,
        event_ts=T0 + 50 * MINUTE,
        source="sweep",
        status="approved",
        registrant_id="r1",
        email="alice@example.org",
        first_name="Alice",
        last_name="",
        create_time=registered,
    )
    gone = event(UNLISTED, 30, "cancelled")
    assert state_of([created(0), gone, found]).episode == 1
    assert state_of([created(0), gone, created(50)]).episode == 2
