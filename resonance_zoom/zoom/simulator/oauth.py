"""Access tokens for a Server-to-Server app: given for an hour, checked at every call.

Source: https://developers.zoom.us/docs/internal-apps/s2s-oauth/. A token is a JWT signed with a key
that only this world knows: opaque to everybody else.
"""

import base64
import binascii
import json
from datetime import timedelta
from urllib.parse import parse_qs

import jwt

from resonance_zoom.zoom.simulator.account import Account
from resonance_zoom.zoom.simulator.records import Answer, IssuedToken, Refusal, SimRequest

TOKEN_LIVES = timedelta(hours=1)
BAD_CLIENT = ("invalid_client", "Invalid client_id or client_secret")


def answer_token_request(world: Account, request: SimRequest) -> Answer:
    """POST /oauth/token: a token, or 400 with Zoom's `reason` and `error`."""
    error, reason = _what_is_wrong(world, request)
    if error:
        return _json(400, {"reason": reason, "error": error})
    token = _issue(world)
    issued = world.tokens[token]
    return _json(
        200,
        {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": int(TOKEN_LIVES.total_seconds()),
            "scope": " ".join(sorted(issued.scopes)),
            "api_url": request.origin,
        },
    )


def check_token(world: Account, request: SimRequest, *, scope: str) -> None:
    """Refusal 124 if the call's token is not, or no longer, good; 4711 if it lacks the scope."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    issued = world.tokens.get(token.strip())
    superseded = issued and world.faults.one_token_at_a_time and issued.number < len(world.tokens)
    if scheme.lower() != "bearer" or issued is None or superseded:
        raise Refusal(401, 124, "Invalid access token.")
    if issued.generation < world.faults.token_generation or world.now() >= issued.expires_at:
        raise Refusal(401, 124, "Access token is expired.")
    if scope not in issued.scopes:
        raise Refusal(400, 4711, f"Invalid access token, does not contain scopes:[{scope}].")


def _what_is_wrong(world: Account, request: SimRequest) -> tuple[str, str]:
    """(error, reason), two empty strings if nothing is."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip()
    if request.query or content_type != "application/x-www-form-urlencoded":
        return "invalid_request", "Bad Request"
    if _basic(request) != (world.client_id, world.client_secret):
        return BAD_CLIENT
    form = parse_qs(request.body.decode("utf-8", "replace"))
    if form.get("grant_type") != ["account_credentials"]:
        return "unsupported_grant_type", "unsupported grant type"
    if form.get("account_id") != [world.account_id]:
        return "invalid_request", "Bad Request"
    return "", ""


def _basic(request: SimRequest) -> tuple[str, str]:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        decoded = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    client_id, _, secret = decoded.partition(":")
    return client_id, secret


def _issue(world: Account) -> str:
    number = len(world.tokens) + 1
    now = world.now()
    issued_at = int(now.timestamp())
    claims = {
        "ver": 10,
        "auid": world.ids.text(32, "auid"),
        "iss": f"zm:cid:{world.client_id}",
        "gno": 0,
        "type": 0,
        "tid": number,
        "aud": "https://oauth.zoom.us",
        "uid": world.host_id,
        "nbf": issued_at,
        "iat": issued_at,
        "exp": issued_at + int(TOKEN_LIVES.total_seconds()),
        "aid": world.account_id,
        "jti": world.ids.text(22, "jti", number),
    }
    key = world.ids.digest("oauth key")
    token = jwt.encode(claims, key, algorithm="HS512", headers={"sv": "000001", "v": "2.0"})
    world.tokens[token] = IssuedToken(
        expires_at=now + TOKEN_LIVES,
        scopes=world.scopes,
        generation=world.faults.token_generation,
        number=number,
    )
    return token


def _json(status: int, value: dict[str, object]) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"content-type": "application/json"})
