"""Pages are given under our own names alone, and no answer depends on what a request calls us."""

from dataclasses import replace
from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from resonance_zoom.errors import DatabaseBusy
from resonance_zoom.service import Service
from resonance_zoom.web.app import make_app


@pytest.fixture
def on_the_internet(service: Service) -> TestClient:
    """The service as it is reached by https, under its public name."""
    service.settings = replace(
        service.settings, public_url="https://rencontres.example.org", host="192.168.1.5"
    )
    return TestClient(
        make_app(service),
        base_url="https://rencontres.example.org",
        follow_redirects=False,
        raise_server_exceptions=False,
    )


@pytest.mark.parametrize(
    "host",
    [
        "rencontres.example.org",
        "RENCONTRES.example.org:443",
        "localhost:8000",
        "127.0.0.1:8000",
        "[::1]:8000",
        "192.168.1.5:8000",
    ],
)
def test_pages_are_given_under_our_own_names(on_the_internet: TestClient, host: str) -> None:
    assert on_the_internet.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "rencontres.example.org.evil.example",
        "[",
        "",
        "a@evil.example",
        "localhost#.evil.example",
        "localhost/.evil.example",
        "localhost?.evil.example",
        "localhost\\.evil.example",
        "evil.example:8000@localhost",
    ],
)
@pytest.mark.parametrize("path", ["/", "/staff/", "/staff", "/me/x", "/nowhere"])
def test_under_another_name_there_is_nothing(
    on_the_internet: TestClient, host: str, path: str
) -> None:
    answer = on_the_internet.get(path, headers={"host": host})
    assert answer.status_code == 421
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "example" not in answer.text


def test_machines_are_let_in_whatever_they_call_us(on_the_internet: TestClient) -> None:
    """A 4xx would end Zoom's call for good; a probe knows an address and no name."""
    stranger = {"host": "10.0.0.7:8000"}
    assert on_the_internet.get("/healthz", headers=stranger).status_code == 200
    assert on_the_internet.get("/metrics", headers=stranger).status_code == 200
    assert on_the_internet.get("/readyz", headers=stranger).status_code == 503
    assert on_the_internet.post("/webhooks/zoom", headers=stranger).status_code == 401


@pytest.mark.parametrize(("path", "status"), [("/staff", 303), ("/staff/journal/", 404)])
def test_no_redirect_repeats_what_the_request_calls_us(
    on_the_internet: TestClient, path: str, status: int
) -> None:
    answer = on_the_internet.get(path, headers={"host": "127.0.0.1:9"})
    assert answer.status_code == status
    assert answer.headers.get("location") in {None, "/staff/"}


@pytest.mark.parametrize("path", ["/staff/", "/staff/nowhere", "/nowhere", "/", "/healthz"])
def test_https_is_asked_for_on_every_answer_for_a_year(
    on_the_internet: TestClient, path: str
) -> None:
    value = on_the_internet.get(path).headers["strict-transport-security"]
    assert value == "max-age=31536000; includeSubDomains"


def test_a_fault_of_ours_has_the_headers_of_every_other_answer(
    on_the_internet: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy() -> None:
        raise DatabaseBusy("another process holds on")

    monkeypatch.setattr(service.store, "read", busy)
    answer = on_the_internet.get("/staff/", headers={"cookie": "__Host-staff=x"})
    assert answer.status_code == 500
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_the_cookie_is_bound_to_the_host_and_taken_away_at_the_end(
    on_the_internet: TestClient, service: Service
) -> None:
    """Browsers refuse to touch a `__Host-` cookie unless it is Secure, for the whole host."""
    soon = service.now() + timedelta(days=1)
    link = service.links.invitation("A", "reader", now=service.now(), ends_at=soon)
    signed_in = on_the_internet.post(link.partition(":8000")[2]).headers["set-cookie"]
    page = on_the_internet.get("/staff/").text
    csrf = page.partition('name="csrf" value="')[2].partition('"')[0]
    signed_out = on_the_internet.post("/staff/sign-out", data={"csrf": csrf}).headers["set-cookie"]
    for cookie in (signed_in, signed_out):
        assert cookie.startswith("__Host-staff=")
        parts = {part.strip().lower() for part in cookie.split(";")}
        assert {"secure", "httponly", "samesite=strict", "path=/"} <= parts
        assert not any(part.startswith("domain") for part in parts)
    assert "max-age=36000" in signed_in.lower()
    assert "max-age=0" in signed_out.lower()
