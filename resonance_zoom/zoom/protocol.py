"""Zoom's webhooks without I/O: raw bytes in, verified values out.

Signature, challenge and envelope: https://developers.zoom.us/docs/api/webhooks/
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, NamedTuple, NoReturn

from resonance_zoom.errors import BadNotification
from resonance_zoom.zoom.payloads import Challenge, Notification, Registrant

SIGNATURE, TIMESTAMP = "x-zm-signature", "x-zm-request-timestamp"
FRESH_SECONDS = 300
MAX_DEPTH, MAX_DIGITS, MAX_TEXT, MAX_ID, MAX_EMAIL = 32, 20, 1000, 128, 254
CHALLENGE = "endpoint.url_validation"
_SIGNATURE_FORM = re.compile(r"v0=[0-9a-f]{64}")
_TIMESTAMP_FORM = re.compile(r"[0-9]{10}|[0-9]{13}")
# No colon: the answer to a challenge can then never pass as the signature of an event.
_PLAIN_TOKEN_FORM = re.compile(r"[A-Za-z0-9_-]{1,64}")
# What a letter can be sent to: no blank and no control character, which could start a new header.
_ADDRESS_FORM = re.compile(r"[^\s\x00-\x1f\x7f]+@[^\s\x00-\x1f\x7f]+")
# Strings whole, so that brackets inside them do not count. Possessive, and content with a missing
# end: a search that starts again at every quote would take minutes for 256 kB of them.
_BRACKET_OR_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_CREATED = "meeting.registration_created"
_STATUS = {
    _CREATED: None,  # in the registrant's own `status`
    "meeting.registration_approved": "approved",
    "meeting.registration_cancelled": "cancelled",
    "meeting.registration_denied": "denied",
}
_STATUSES = {"approved", "pending", "denied", "cancelled"}


class Verified(NamedTuple):
    """The signature holds. `secret_index`: which secret matched; `stale`: over 300 s off."""

    secret_index: int
    stale: bool


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The value of x-zm-signature for a body, over the very bytes that travel."""
    message = b"v0:" + timestamp.encode() + b":" + body
    return "v0=" + hmac.digest(secret.encode(), message, "sha256").hex()


def verify(
    *, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: datetime
) -> Verified:
    """Which secret signed these bytes. Raises BadNotification(401); header names are lower case."""
    signature, timestamp = headers.get(SIGNATURE, ""), headers.get(TIMESTAMP, "")
    if not any(secrets):
        raise BadNotification(401, "no webhook secret is configured")
    # The forms first: compare_digest raises TypeError on what is not ASCII.
    if not _SIGNATURE_FORM.fullmatch(signature) or not _TIMESTAMP_FORM.fullmatch(timestamp):
        raise BadNotification(401, "the signature is missing or malformed")
    matching = [
        index
        for index, secret in enumerate(secrets)
        if secret
        and hmac.compare_digest(sign(secret, timestamp, body).encode(), signature.encode())
    ]
    if not matching:
        # Enough to see that a proxy rewrote the body, and nothing of what it says.
        digest = hashlib.sha256(body).hexdigest()[:12]
        raise BadNotification(
            401, f"the signature does not match these {len(body)} bytes (SHA-256 {digest}…)"
        )
    seconds = int(timestamp) / (1000 if len(timestamp) == 13 else 1)
    return Verified(matching[0], stale=abs(now.timestamp() - seconds) > FRESH_SECONDS)


def challenge_answer(challenge: Challenge, *, secret: str) -> dict[str, str]:
    """The JSON that proves to Zoom that we know the secret."""
    token = challenge.plain_token
    encrypted = hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()
    return {"plainToken": token, "encryptedToken": encrypted}


def is_address(text: str) -> bool:
    """Whether a letter can be sent there."""
    if len(text) > MAX_EMAIL:
        return False
    if text.isascii() and text.isprintable() and " " not in text:  # nearly all, at a tenth
        return "@" in text[1:-1]
    return _ADDRESS_FORM.fullmatch(text) is not None


def event_key(notification: Notification) -> str:
    """Our own key of an event: the same for every delivery of it, whatever its headers say.

    Without a registrant's id the address says whom it is about: else two would be one event.
    """
    registrant, meeting = notification.registrant, notification.meeting_id
    parts = (
        _quoted(notification.event),
        "null" if meeting is None else f"{meeting:d}",
        _quoted(registrant.id or registrant.email.lower()) if registrant else "null",
        f"{notification.event_ts:d}",
    )
    return hashlib.sha256(f"[{', '.join(parts)}]".encode()).hexdigest()  # JSON, as json has it


def parse(body: bytes) -> Notification | Challenge:
    """What the body says. Raises BadNotification(400), and nothing else, for what is unfit.

    Of an event that we do not use, only the envelope has to be sound; the rest is taken as far as
    it can be read.
    """
    document = _json(body)
    if not isinstance(document, dict):
        _refuse("the body is no JSON object")
    event = _text(document, "event", MAX_ID)
    used = event in _STATUS or event == CHALLENGE
    payload = _part(document, "payload", needed=used)
    if event == CHALLENGE:
        token = _text(payload, "plainToken", MAX_ID)
        if not _PLAIN_TOKEN_FORM.fullmatch(token):
            _refuse("plainToken has an unexpected form")
        return Challenge(token)
    thing = _part(payload, "object", needed=used)
    return Notification(
        event=event,
        event_ts=_event_ts(document),
        meeting_id=_meeting_id(thing.get("id"), needed=used),
        registrant=_registrant(event, thing) if used else _registrant_if_any(event, thing),
    )


def _part(thing: dict[str, Any], name: str, *, needed: bool) -> dict[str, Any]:
    value = thing.get(name)
    if isinstance(value, dict):
        return value
    if needed:
        _refuse(f"{name} is missing or no object")
    return {}


def _event_ts(document: dict[str, Any]) -> int:
    """Milliseconds; 0 when there is none, as in app_deauthorized."""
    value = document.get("event_ts")
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 10**15:
        _refuse("event_ts is no time in milliseconds")
    return value


def _meeting_id(value: Any, *, needed: bool) -> int | None:
    """Zoom sends the id as a number in some events and as text in others."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63:
        return value
    if needed:
        _refuse("payload.object.id is no meeting id")
    return None


def _registrant_if_any(event: str, thing: dict[str, Any]) -> Registrant | None:
    """The registrant of an event that we do not use; one that cannot be read is as good as none."""
    try:
        return _registrant(event, thing)
    except BadNotification:
        return None


def _registrant(event: str, thing: dict[str, Any]) -> Registrant:
    value = _part(thing, "registrant", needed=True)
    email = _text(value, "email", MAX_EMAIL).strip()
    if not is_address(email):
        _refuse("registrant.email is no address")
    return Registrant(
        id=_text(value, "id", MAX_ID, default=""),
        email=email,
        first_name=_text(value, "first_name", MAX_TEXT, default=""),
        last_name=_text(value, "last_name", MAX_TEXT, default=""),
        status=_status(event, value),
        join_url=_text(value, "join_url", MAX_TEXT, default="") or None,
    )


def _status(event: str, registrant: dict[str, Any]) -> str:
    if told := _STATUS.get(event):
        return told
    status = _text(registrant, "status", MAX_ID)
    possible = {"approved", "pending"} if event == _CREATED else _STATUSES
    if status not in possible:
        _refuse("registrant.status is unknown")
    return status


def _text(thing: dict[str, Any], name: str, longest: int, *, default: str | None = None) -> str:
    value = thing.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or (default is None and not value):
        _refuse(f"{name} is missing or no text")
    if len(value) > longest:
        _refuse(f"{name} is longer than {longest} characters")
    if _UNSTORABLE.search(value):
        _refuse(f"{name} holds characters that cannot be stored")
    return value


def _json(body: bytes) -> Any:
    """JSON, without what the standard parser lets through: NaN, doubled keys, endless depth."""
    try:
        text = body.decode("utf-8")
        # So few brackets cannot nest too deep, and counting them costs next to nothing.
        if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
            _refuse(f"nested deeper than {MAX_DEPTH}")
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        _refuse("the body is not JSON")


def _depth(text: str) -> int:
    """How deep brackets nest, counted outside strings."""
    depth = deepest = 0
    for match in _BRACKET_OR_STRING.finditer(text):
        if match[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif match[0] in "]}":
            depth -= 1
    return deepest


def _number(written: str) -> str:
    if len(written) > MAX_DIGITS and sum(map(str.isdigit, written)) > MAX_DIGITS:
        _refuse(f"a number has more than {MAX_DIGITS} digits")
    return written


def _integer(written: str) -> int:
    return int(written if len(written) <= MAX_DIGITS else _number(written))


def _constant(name: str) -> NoReturn:
    _refuse(f"{name} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    thing = dict(pairs)
    if len(thing) != len(pairs):
        _refuse("a key stands twice")
    return thing


def _refuse(reason: str) -> NoReturn:
    raise BadNotification(400, reason)


_DECODER = json.JSONDecoder(
    parse_constant=_constant,
    parse_int=_integer,
    parse_float=lambda digits: float(_number(digits)),
    object_pairs_hook=_object,
)
