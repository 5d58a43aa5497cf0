"""Zoom's webhooks: who signed the bytes, and what they say."""

import hashlib
import hmac
import json
import time
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resonance_zoom.errors import BadNotification
from resonance_zoom.zoom.payloads import Challenge, Notification, Registrant
from resonance_zoom.zoom.protocol import challenge_answer, event_key, parse, sign, verify

SECRET = "test_secret_token"
STAMP = "1739923528"
AT = datetime(2025, 2, 19, 0, 5, 28, tzinfo=UTC)  # the moment of STAMP
BODY = (
    '{"event":"meeting.registration_created","event_ts":1626230691572,"payload":'
    '{"account_id":"AAAAAABBBB","object":{"id":1234567890,"registrant":'
    '{"id":"iFxeBPYun6SAiWUzBcEkX","first_name":"Zoë 🙂","email":"jchill@example.com"}}}}'
).encode()
SIGNATURE = "v0=e9f3d5c2611076e737dd29695e75f43a02ba1933aceae2bda3aa8ed4b2042720"
HEADERS = {"x-zm-signature": SIGNATURE, "x-zm-request-timestamp": STAMP}

ALICE = {
    "id": "iFxeBPYun6SAiWUzBcEkX",
    "first_name": "Alice",
    "last_name": "Martin",
    "email": "Alice@Example.org",
    "status": "approved",
    "join_url": "https://zoom.us/w/1234567890?tk=alice",
}
EVENTS: dict[str, Any] = json.loads(
    (Path(__file__).parent / "data" / "webhooks.schema.json").read_text()
)
UPDATED = EVENTS["meeting.updated"]["properties"]["payload"]["properties"]
UPDATED["old_object"] = UPDATED["object"]  # the reference in the publication leads outside of it


def event(name: str = "meeting.registration_created", **changes: Any) -> bytes:
    """An event about Alice; None leaves a key of hers out."""
    registrant = {key: value for key, value in (ALICE | changes).items() if value is not None}
    return json.dumps(
        {
            "event": name,
            "event_ts": 1626230691572,
            "payload": {
                "account_id": "AAAAAABBBB",
                "object": {"id": 1234567890, "registrant": registrant},
            },
        }
    ).encode()


def signed_by(*secrets: str, body: bytes = BODY, now: datetime = AT, **headers: str) -> Any:
    given = HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}
    return verify(secrets=secrets, headers=given, body=body, now=now)


def refused(body: bytes) -> str:
    """The reason for which a body is answered 400."""
    with pytest.raises(BadNotification) as caught:
        parse(body)
    assert caught.value.status == 400
    return caught.value.message


# ---- signature ---------------------------------------------------------------------------------


def test_a_body_is_signed_as_zoom_signs_it() -> None:
    assert sign(SECRET, STAMP, BODY) == SIGNATURE


def test_a_signed_body_is_genuine() -> None:
    verified = signed_by(SECRET)
    assert (verified.secret_index, verified.stale) == (0, False)


def test_during_a_rotation_it_says_which_secret_matched() -> None:
    assert signed_by("the_secret_that_comes_next", SECRET).secret_index == 1


@pytest.mark.parametrize(
    "body",
    [
        BODY + b"\n",
        BODY.replace(b":1626", b": 1626"),
        b"\xef\xbb\xbf" + BODY,
        json.dumps(json.loads(BODY)).encode(),
        b"",
    ],
    ids=["newline", "space", "BOM", "written anew", "empty"],
)
def test_other_bytes_are_not_what_was_signed(body: bytes) -> None:
    with pytest.raises(BadNotification) as caught:
        signed_by(SECRET, body=body)
    assert caught.value.status == 401
    assert f"these {len(body)} bytes" in caught.value.message


@pytest.mark.parametrize("secrets", [(), ("",), ("", "")])
def test_without_a_secret_nothing_is_genuine(secrets: tuple[str, ...]) -> None:
    """An empty secret is none: anybody could sign with it."""
    forged = "v0=" + hmac.new(b"", b"v0:1739923528:" + BODY, hashlib.sha256).hexdigest()
    with pytest.raises(BadNotification) as caught:
        signed_by(*secrets, x_zm_signature=forged)
    assert caught.value.status == 401


def test_an_empty_secret_beside_a_real_one_opens_nothing() -> None:
    forged = "v0=" + hmac.new(b"", b"v0:1739923528:" + BODY, hashlib.sha256).hexdigest()
    with pytest.raises(BadNotification):
        signed_by(SECRET, "", x_zm_signature=forged)


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "v0=",
        SIGNATURE[3:],
        SIGNATURE.upper(),
        SIGNATURE + "\n",
        SIGNATURE + "0",
        "v1" + SIGNATURE[2:],
        "v0=" + "é" * 64,
        "v0=" + "٣" * 64,
        "v0=" + "0" * 64,
    ],
)
def test_a_missing_malformed_or_wrong_signature_is_401(signature: str) -> None:
    with pytest.raises(BadNotification) as caught:
        signed_by(SECRET, x_zm_signature=signature)
    assert caught.value.status == 401


@pytest.mark.parametrize("stamp", ["", "soon", "1.5e9", "-1739923528", "٣" * 10, "9" * 400])
def test_a_right_signature_over_a_time_that_is_none_is_401(stamp: str) -> None:
    """Else it would be read as a number, and answered 500."""
    signed = (
        "v0="
        + hmac.new(
            SECRET.encode(), b"v0:" + stamp.encode() + b":" + BODY, hashlib.sha256
        ).hexdigest()
    )
    with pytest.raises(BadNotification) as caught:
        signed_by(SECRET, x_zm_signature=signed, x_zm_request_timestamp=stamp)
    assert caught.value.status == 401


def test_headers_that_are_not_there_are_401() -> None:
    for missing in HEADERS:
        headers = {name: value for name, value in HEADERS.items() if name != missing}
        with pytest.raises(BadNotification) as caught:
            verify(secrets=[SECRET], headers=headers, body=BODY, now=AT)
        assert caught.value.status == 401


@given(st.text(max_size=80), st.text(max_size=20))
@settings(max_examples=100, deadline=None)
def test_whatever_stands_in_the_headers_is_401(signature: str, stamp: str) -> None:
    with pytest.raises(BadNotification) as caught:
        signed_by(SECRET, x_zm_signature=signature, x_zm_request_timestamp=stamp)
    assert caught.value.status == 401


def test_what_the_timestamp_says_is_signed_too() -> None:
    with pytest.raises(BadNotification):
        signed_by(SECRET, x_zm_request_timestamp="1739923529")


@pytest.mark.parametrize(
    ("seconds", "stale"),
    [
        (0, False),
        (299, False),
        (300, False),
        (301, True),
        (5100, True),
        (-300, False),
        (-301, True),
    ],
)
def test_over_five_minutes_off_is_stale(seconds: int, *, stale: bool) -> None:
    assert signed_by(SECRET, now=AT + timedelta(seconds=seconds)).stale is stale


@pytest.mark.parametrize(("milliseconds", "stale"), [("000", False), ("001", True)])
def test_a_timestamp_in_milliseconds_is_read_as_such(milliseconds: str, *, stale: bool) -> None:
    stamp = STAMP + milliseconds
    verified = signed_by(
        SECRET,
        now=AT - timedelta(seconds=300),
        x_zm_request_timestamp=stamp,
        x_zm_signature=sign(SECRET, stamp, BODY),
    )
    assert verified.stale is stale


# ---- challenge ---------------------------------------------------------------------------------


def test_the_challenge_is_answered_with_proof_that_we_know_the_secret() -> None:
    body = b'{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}'
    challenge = parse(body)
    assert challenge == Challenge("qgg8vlvZRS6UYooatFL8Aw")
    assert challenge_answer(challenge, secret=SECRET) == {
        "plainToken": "qgg8vlvZRS6UYooatFL8Aw",
        "encryptedToken": "4efea922935c335d972476de138d2208a0d46ab28c79ee592d497a1b216419b8",
    }


@pytest.mark.parametrize(
    "token",
    [
        '"v0:1739923528:{}"',
        '"v0:1739923528:7"',
        '""',
        '"a b"',
        '"a\\n"',
        '"é"',
        '"' + "a" * 65 + '"',
        "7",
        "{}",
    ],
)
def test_only_a_plain_token_is_answered(token: str) -> None:
    """Else the answer to a challenge could be used as the signature of an event."""
    body = f'{{"event":"endpoint.url_validation","payload":{{"plainToken":{token}}}}}'
    assert "plainToken" in refused(body.encode())


def test_a_challenge_without_a_token_is_refused() -> None:
    assert "plainToken" in refused(b'{"event":"endpoint.url_validation","payload":{}}')
    assert "payload" in refused(b'{"event":"endpoint.url_validation"}')


# ---- what an event says ------------------------------------------------------------------------


def test_a_registration_brings_the_registrant_with_their_own_link() -> None:
    assert parse(event()) == Notification(
        event="meeting.registration_created",
        event_ts=1626230691572,
        meeting_id=1234567890,
        registrant=Registrant(
            id="iFxeBPYun6SAiWUzBcEkX",
            email="Alice@Example.org",
            first_name="Alice",
            last_name="Martin",
            status="approved",
            join_url="https://zoom.us/w/1234567890?tk=alice",
        ),
    )


def registrant_in(body: bytes) -> Registrant:
    notification = parse(body)
    assert isinstance(notification, Notification)
    assert notification.registrant is not None
    return notification.registrant


@pytest.mark.parametrize(
    ("name", "said", "status"),
    [
        ("meeting.registration_created", "approved", "approved"),
        ("meeting.registration_created", "pending", "pending"),
        ("meeting.registration_approved", None, "approved"),
        ("meeting.registration_cancelled", None, "cancelled"),
        ("meeting.registration_denied", "approved", "denied"),
    ],
)
def test_the_status_follows_from_the_event(name: str, said: str | None, status: str) -> None:
    assert registrant_in(event(name, status=said)).status == status


@pytest.mark.parametrize("status", [None, "", "denied", "cancelled", "APPROVED", 1])
def test_a_registration_is_approved_or_pending_and_nothing_else(status: Any) -> None:
    assert "status" in refused(event(status=status))


@pytest.mark.parametrize("url", [None, ""])
def test_a_pending_registrant_has_no_link_yet(url: str | None) -> None:
    assert registrant_in(event(status="pending", join_url=url)).join_url is None


def test_a_last_name_is_not_needed() -> None:
    assert registrant_in(event(last_name=None)).last_name == ""


def test_names_keep_their_accents_and_emoji() -> None:
    assert registrant_in(event(first_name="Zoë 🙂 陈")).first_name == "Zoë 🙂 陈"


@pytest.mark.parametrize("written", ["1234567890", '"1234567890"'])
def test_a_meeting_id_may_be_a_number_or_text(written: str) -> None:
    body = event().replace(b'"id": 1234567890', f'"id": {written}'.encode())
    notification = parse(body)
    assert isinstance(notification, Notification)
    assert notification.meeting_id == 1234567890


@pytest.mark.parametrize(
    "written", ["null", "true", "0", "-5", "1.5", '"abc"', '"٣"', "[]", "9223372036854775808"]
)
def test_what_is_no_meeting_id_is_refused(written: str) -> None:
    body = event().replace(b'"id": 1234567890', f'"id": {written}'.encode())
    assert "meeting id" in refused(body)


def test_without_event_ts_it_is_zero() -> None:
    notification = parse(event().replace(b'"event_ts": 1626230691572, ', b""))
    assert isinstance(notification, Notification)
    assert notification.event_ts == 0


@pytest.mark.parametrize("written", ['"1626230691572"', "true", "-1", "1.5", "[]", "9" * 16])
def test_event_ts_is_milliseconds_or_nothing(written: str) -> None:
    assert "event_ts" in refused(event().replace(b"1626230691572", written.encode()))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"email": None}, "email is missing"),
        ({"email": "alice"}, "no address"),
        ({"email": "a" * 243 + "@example.org"}, "longer than 254"),
        ({"email": "a@example.org\r\nBcc: b@example.org"}, "no address"),
        ({"email": "a b@example.org"}, "no address"),
        ({"email": ["a@example.org"]}, "no text"),
        ({"id": "i" * 129}, "longer than 128"),
        ({"id": 5}, "no text"),
        ({"first_name": "n" * 1001}, "longer than 1000"),
        ({"first_name": {}}, "no text"),
        ({"last_name": "a\0b"}, "cannot be stored"),
        ({"first_name": "\ud83d"}, "cannot be stored"),
        ({"join_url": "https://zoom.us/\udfff"}, "cannot be stored"),
        ({"join_url": 0}, "no text"),
    ],
)
def test_a_registrant_that_could_not_be_stored_is_refused(
    changes: dict[str, Any], reason: str
) -> None:
    assert reason in refused(event(**changes))


def test_the_limits_themselves_are_fine() -> None:
    longest = "a" * 242 + "@example.org"
    assert registrant_in(event(email=longest)).email == longest
    assert registrant_in(event(first_name="n" * 1000)).first_name == "n" * 1000


@pytest.mark.parametrize("part", ["payload", "object", "registrant"])
@pytest.mark.parametrize("instead", [None, [], "text", 5])
def test_an_event_that_we_use_must_have_its_parts(part: str, instead: Any) -> None:
    document: dict[str, Any] = json.loads(event())
    holder = {
        "payload": document,
        "object": document["payload"],
        "registrant": document["payload"]["object"],
    }[part]
    holder[part] = instead
    assert part in refused(json.dumps(document).encode())


# ---- events that we do not use -----------------------------------------------------------------


def test_an_unknown_event_keeps_what_can_be_read() -> None:
    notification = parse(event("meeting.registration_moved", status="pending"))
    assert isinstance(notification, Notification)
    assert notification.event == "meeting.registration_moved"
    assert notification.meeting_id == 1234567890
    assert notification.registrant is not None
    assert notification.registrant.status == "pending"


@pytest.mark.parametrize(
    ("changes", "kept"),
    [({"email": "no address"}, None), ({"status": None}, None), ({"first_name": "\0"}, None)],
)
def test_an_unusable_registrant_of_an_unknown_event_is_passed_over(
    changes: dict[str, Any], kept: None
) -> None:
    notification = parse(event("meeting.participant_joined", **changes))
    assert isinstance(notification, Notification)
    assert (notification.meeting_id, notification.registrant) == (1234567890, kept)


@pytest.mark.parametrize(
    "rest",
    ["", ',"payload":null', ',"payload":[]', ',"payload":{"object":7}', ',"payload":{"object":{}}'],
)
def test_an_unknown_event_needs_nothing_but_its_name(rest: str) -> None:
    body = f'{{"event":"app_deauthorized"{rest}}}'.encode()
    assert parse(body) == Notification("app_deauthorized", 0, None, None)


def test_meeting_events_name_their_meeting() -> None:
    body = b'{"event":"meeting.ended","event_ts":5,"payload":{"object":{"id":"92674392836"}}}'
    assert parse(body) == Notification("meeting.ended", 5, 92674392836, None)


# ---- bodies that are not fit to be read --------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"\xef\xbb\xbf" + BODY, "not JSON"),
        (BODY.decode().encode("utf-16"), "not JSON"),
        (b"[]", "no JSON object"),
        (b"null", "no JSON object"),
        (b"{}", "event is missing"),
        (b'{"event":5}', "event is missing"),
        (b'{"event":""}', "event is missing"),
        (b'{"event":"a\\u0000"}', "cannot be stored"),
        (b'{"event":"a\\ud800"}', "cannot be stored"),
        (b'{"event":"' + b"e" * 129 + b'"}', "longer than 128"),
        (b'{"event":"x","n":NaN}', "NaN is not JSON"),
        (b'{"event":"x","n":-Infinity}', "-Infinity is not JSON"),
        (b'{"event":"x","event":"y"}', "a key stands twice"),
        (b'{"event":"x","n":' + b"9" * 21 + b"}", "more than 20 digits"),
        (b'{"event":"x","n":' + b"9" * 5000 + b"}", "more than 20 digits"),
        (b'{"event":"x","n":0.' + b"1" * 20 + b"}", "more than 20 digits"),
        (b"[" * 33 + b"]" * 33, "deeper than 32"),
        (b"[" * 100_000, "deeper than 32"),
        (b'{"a":' * 100_000, "deeper than 32"),
    ],
)
def test_bodies_that_are_refused(body: bytes, reason: str) -> None:
    assert reason in refused(body)


def test_a_key_that_stands_twice_deep_inside_is_refused_too() -> None:
    assert "twice" in refused(event().replace(b'"first_name"', b'"email": "b@example.org", "a"'))


def test_depth_counts_brackets_and_not_text() -> None:
    deep = b'{"event":"x","a":' + b"[" * 31 + b"]" * 31 + b',"b":"\\"[[[[[[[["}'
    assert parse(deep) == Notification("x", 0, None, None)
    assert "deeper" in refused(deep.replace(b"[" * 31 + b"]" * 31, b"[" * 32 + b"]" * 32))


@pytest.mark.parametrize("brackets", [b"", b"[]" * 40])  # with many, they are counted
@pytest.mark.parametrize("body", [b'"\\' * 127_000, b'"' * 255_000, b'"' + b'\\"' * 127_000])
def test_the_worst_body_is_refused_at_once(body: bytes, brackets: bytes) -> None:
    """A search that starts anew at each quote would take minutes for a quarter of a megabyte."""
    began = time.process_time()
    assert refused(brackets + body) == "the body is not JSON"
    assert time.process_time() - began < 2


JSON_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
)
JSON_VALUES = st.deferred(
    lambda: (
        JSON_LEAVES
        | st.lists(JSON_VALUES, max_size=3)
        | st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=3)
    )
)
NAMES = st.sampled_from(
    [
        "endpoint.url_validation",
        "meeting.registration_created",
        "meeting.registration_cancelled",
        "meeting.deleted",
        "something.else",
    ]
)
REGISTRANTS = JSON_VALUES | st.fixed_dictionaries(
    {"email": JSON_VALUES | st.just("a@example.org")},
    optional={
        name: JSON_VALUES | st.just("approved")
        for name in ("id", "first_name", "last_name", "status", "join_url")
    },
)
OBJECTS = JSON_VALUES | st.fixed_dictionaries({"id": JSON_VALUES, "registrant": REGISTRANTS})
ENVELOPES = st.fixed_dictionaries(
    {"event": NAMES | JSON_VALUES},
    optional={
        "event_ts": JSON_VALUES,
        "payload": JSON_VALUES
        | st.fixed_dictionaries({"object": OBJECTS})
        | st.fixed_dictionaries({"plainToken": JSON_VALUES}),
    },
)


@given(st.binary(max_size=400) | ENVELOPES.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=300, deadline=None)
def test_no_bytes_do_harm(body: bytes) -> None:
    """Everything is understood, and can be stored as UTF-8, or is answered 400."""
    try:
        said = parse(body)
    except BadNotification as error:
        assert error.status == 400  # noqa: PT017 - whether it raises is not what is claimed
        return
    if isinstance(said, Notification):
        assert len(event_key(said)) == 64
        kept = [said.event, *(astuple(said.registrant) if said.registrant else ())]
        for text in filter(None, kept):
            assert "\0" not in text.encode().decode()


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_what_zooms_own_schema_allows_is_understood(name: str) -> None:
    """The smallest document that the schema of each event accepts."""
    import jsonschema  # here: its grammars cost a second, in every process that collects this

    schema = EVENTS[name]
    document = smallest(schema)
    document["event"] = name
    jsonschema.validate(document, schema)
    said = parse(json.dumps(document).encode())
    assert isinstance(said, Notification)
    assert said.event == name
    assert (said.meeting_id is not None) is (name != "app_deauthorized")
    assert (said.registrant is not None) is ("registration_" in name)


def smallest(schema: dict[str, Any]) -> Any:
    """A value with the required properties alone."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "object")
    if kind == "object":
        needed = schema.get("required", [])
        return {
            key: smallest(value)
            for key, value in schema.get("properties", {}).items()
            if key in needed or key in {"id", "payload", "object"}
        }
    if kind == "array":
        return []
    if kind == "string":
        form = "date-time" if "pattern" in schema else schema.get("format", "")
        forms = {"email": "a@example.org", "date-time": "2021-02-09T08:00:00Z"}
        return forms.get(form, "1234567890")
    return {"integer": 1234567890, "number": 1, "boolean": False}[kind]


# ---- the key of an event -----------------------------------------------------------------------


def key_of(body: bytes) -> str:
    notification = parse(body)
    assert isinstance(notification, Notification)
    return event_key(notification)


def test_the_key_of_an_event_is_the_same_for_every_delivery_and_version() -> None:
    """Stored in databases: it must never change."""
    assert key_of(event()) == ("d3c50cfb6725dc971afab26e72fb2282e896b3bdfbc81652ad310ba77ead63d2")
    nobody = Notification("meeting.updated", 0, None, None)
    assert event_key(nobody) == "6000cca0055a773503b88d1a1903639964f8874a9e2cd0d65548ef808518a10e"
    who = Registrant("", 'É"X@example.org', "", "", "approved", None)
    quoted = Notification("meeting.registration_created", 5, 1, who)
    assert event_key(quoted) == "dbc02435aa288ccf6d9df70b35d01199055ea2b06b2706ba4237927054ae299b"


def test_a_delivery_with_other_details_is_the_same_event() -> None:
    assert key_of(event(first_name="Alicia", join_url="https://zoom.us/w/other")) == key_of(event())


@pytest.mark.parametrize(
    "other",
    [
        event("meeting.registration_approved"),
        event(id="another"),
        event().replace(b"1234567890,", b"1234567891,"),
        event().replace(b"1626230691572", b"1626230691573"),
    ],
    ids=["event", "registrant", "meeting", "time"],
)
def test_another_event_has_another_key(other: bytes) -> None:
    assert key_of(other) != key_of(event())
