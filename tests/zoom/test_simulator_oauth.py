"""The simulator gives access tokens as Zoom does, and takes back what is too old or too little."""

from collections.abc import Iterator

import jwt
import pytest

from resonance_zoom.zoom.simulator import SimulatedZoom, SimulatorServer

from .simulated import HOST, START, Caller, Clock, caller

CLIENT_REFUSED = {"reason": "Invalid client_id or client_secret", "error": "invalid_client"}


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer(SimulatedZoom(now=Clock())) as server:
        yield server


@pytest.fixture
def zoom(server: SimulatorServer) -> Iterator[Caller]:
    with caller(server) as zoom:
        yield zoom


def test_a_token_comes_for_an_hour_with_its_scopes(zoom: Caller) -> None:
    answer = zoom.ask_token().json()

    assert answer["token_type"] == "bearer"
    assert answer["expires_in"] == 3600
    assert answer["api_url"] == zoom.server.origin
    assert "meeting:write:meeting:admin" in answer["scope"].split(" ")
    assert len(answer["scope"].split(" ")) == 15


def test_a_token_looks_like_zooms_and_tells_its_bearer_nothing_to_rely_on(zoom: Caller) -> None:
    token = zoom.ask_token().json()["access_token"]

    assert jwt.get_unverified_header(token)["alg"] == "HS512"
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["iss"] == "zm:cid:cid"
    assert claims["iat"] == START.timestamp()
    assert claims["exp"] - claims["iat"] == 3600


def test_parameters_in_the_query_are_refused(zoom: Caller) -> None:
    """As on Zoom since 2023: only the body counts."""
    parameters = {"grant_type": "account_credentials", "account_id": "acc"}

    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    answer = zoom.ask_token(params=parameters, data="", headers=headers)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("auth", [("cid", "wrong"), ("other", "csecret"), None])
def test_a_wrong_client_is_refused(
    zoom: Caller, auth: tuple[str, str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETRC", "/nonexistent")

    answer = zoom.ask_token(auth=auth)

    assert (answer.status_code, answer.json()) == (400, CLIENT_REFUSED)


def test_a_wrong_grant_or_account_is_refused(zoom: Caller) -> None:
    grant = zoom.ask_token(data={"grant_type": "client_credentials", "account_id": "acc"})
    account = zoom.ask_token(data={"grant_type": "account_credentials", "account_id": "other"})

    assert grant.status_code == account.status_code == 400
    assert grant.json() == {
        "reason": "unsupported grant type",
        "error": "unsupported_grant_type",
    }
    assert account.json()["error"] == "invalid_request"


def test_a_token_is_good_for_one_hour_of_the_worlds_clock(zoom: Caller) -> None:
    zoom.get(f"/users/{HOST}")
    zoom.clock.turn(minutes=59, seconds=59)
    assert zoom.get(f"/users/{HOST}").status_code == 200

    zoom.clock.turn(seconds=1)

    assert zoom.refusal("GET", f"/users/{HOST}") == (401, 124, "Access token is expired.")


def test_an_unknown_token_is_refused(zoom: Caller) -> None:
    zoom.token = "eyJhbGciOiJIUzUxMiJ9.e30.x"

    assert zoom.refusal("GET", f"/users/{HOST}") == (401, 124, "Invalid access token.")


def test_a_missing_scope_is_named_and_a_new_token_gains_it(server: SimulatorServer) -> None:
    """A token keeps the scopes with which it was given."""
    with caller(server, scopes=["meeting:read:meeting:admin"]) as zoom:
        missing = "Invalid access token, does not contain scopes:[user:read:user:admin]."
        assert zoom.refusal("GET", f"/users/{HOST}") == (400, 4711, missing)

        zoom.world.scopes = frozenset({"user:read:user:admin"})
        assert zoom.refusal("GET", f"/users/{HOST}")[1] == 4711
        zoom.token = ""
        assert zoom.get(f"/users/{HOST}").status_code == 200


def test_two_tokens_are_good_at_once_unless_the_old_rule_is_on(zoom: Caller) -> None:
    zoom.get(f"/users/{HOST}")
    zoom.ask_token()
    assert zoom.get(f"/users/{HOST}").status_code == 200

    zoom.world.faults.one_token_at_a_time = True

    assert zoom.refusal("GET", f"/users/{HOST}")[:2] == (401, 124)


def test_expire_tokens_ends_those_given_so_far(zoom: Caller) -> None:
    zoom.get(f"/users/{HOST}")

    zoom.world.faults.expire_tokens()

    assert zoom.refusal("GET", f"/users/{HOST}") == (401, 124, "Access token is expired.")
    zoom.token = ""
    assert zoom.get(f"/users/{HOST}").status_code == 200
