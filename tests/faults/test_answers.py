"""Every answer of every route forbids what pages do not need, and tells a stranger nothing."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from resonance_zoom import daemon
from resonance_zoom.service import Service
from resonance_zoom.web.app import ROUTES, make_app
from resonance_zoom.web.pages import stylesheet_path
from resonance_zoom.web.server import WebServer
from tests.conftest import Clock
from tests.faults.wire import Line, head, line

CANARY = "canari-jaune@example.org"
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
PARTS = {
    "{token}": "a.b.c",
    "{group}": "teletravail",
    "{line:int}": "1",
    "{registrant:int}": "1",
    "{kind}": "confirmation",
    "{act}": "pause",
    "{subject}": "-",
}


def address(route: Route) -> str:
    path = route.path
    for part, value in PARTS.items():
        path = path.replace(part, value)
    assert "{" not in path
    return path


PATHS = sorted({address(route) for route in ROUTES} | {stylesheet_path(), "/nowhere"})


@pytest.fixture
def anybody(service: Service) -> TestClient:
    return TestClient(
        make_app(service),
        base_url="http://localhost:8000",
        follow_redirects=False,
        raise_server_exceptions=False,
    )


@pytest.fixture
def admin(service: Service) -> TestClient:
    client = TestClient(
        make_app(service),
        base_url="http://localhost:8000",
        follow_redirects=False,
        raise_server_exceptions=False,
    )
    ends_at = service.now() + timedelta(days=1)
    link = service.links.invitation("Alice", "admin", now=service.now(), ends_at=ends_at)
    assert client.post(link).status_code == 303
    return client


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "TRACE", "OPTIONS"])
def test_every_answer_carries_every_header(
    anybody: TestClient, admin: TestClient, method: str
) -> None:
    seen = set()
    for path in PATHS:
        for client in (anybody, admin):
            for host in ("localhost", "evil.example"):
                answer = client.request(method, path, headers={"host": host})
                seen.add(answer.status_code)
                assert HEADERS.items() <= dict(answer.headers).items(), path
                private = path.startswith(("/staff", "/me/"))
                assert (answer.headers.get("cache-control") == "no-store") >= private
                assert "server" not in answer.headers
    expected = {
        "GET": {200, 303, 401, 403, 404, 405, 421, 503},
        "POST": {401, 403, 404, 405, 421},
    }
    assert seen == expected.get(method, {404, 405, 421})


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "PROPFIND"])
def test_a_method_that_no_page_has_is_answered_405(admin: TestClient, method: str) -> None:
    for path in PATHS:
        answer = admin.request(method, path)
        assert answer.status_code == (404 if path == "/nowhere" else 405)
        assert "TRACE" not in answer.headers.get("allow", "")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_fault_of_ours_tells_a_number_and_nothing_else(
    admin: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def broken(*_arguments: object, **_named: object) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr(service.store, "read", broken)
    monkeypatch.setattr(service.store, "write", broken)
    for path in PATHS:
        answer = admin.request(method, path)
        assert CANARY not in f"{answer.text}{answer.headers}"
        assert "Traceback" not in answer.text
        assert "RuntimeError" not in answer.text
        assert HEADERS.items() <= dict(answer.headers).items()
        if answer.status_code == 500:
            assert re.search(r"en indiquant le numéro [0-9a-f]{8}\.", answer.text)
        else:
            assert answer.status_code in {200, 303, 401, 403, 404, 405}


def test_every_page_that_reads_the_database_has_such_a_fault(
    admin: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above would pass if nothing failed."""

    def broken(*_arguments: object, **_named: object) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr(service.store, "read", broken)
    monkeypatch.setattr(service.store, "write", broken)
    failed = [path for path in PATHS if admin.get(path).status_code == 500]
    assert failed == [
        "/",
        "/metrics",
        "/readyz",
        "/staff/",
        "/staff/act/pause/-",
        "/staff/journal",
        "/staff/journal/1",
        "/staff/letters",
        "/staff/letters/preview/confirmation/1",
        "/staff/letters/preview/confirmation/1/html",
        "/staff/meetings",
        "/staff/people/1",
        "/staff/registrants",
        "/staff/registrants.csv",
        "/staff/registrants.xlsx",
        "/staff/sign-in/a.b.c",  # which tells the journal of it
    ]


ASTRAY = (
    "/../pyproject.toml",
    "/..%2f..%2fetc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/....//....//etc/passwd",
    "/..%5c..%5cwindows/win.ini",
    "/%00",
    "/icon.svg%00.html",
    "/icon.svg/",
    "/icon.svg/../../app.py",
    "/static/style.css",
    "/static/../app.py",
    "/style-000000000000.css",
    "//etc/passwd",
    "/%252e%252e/etc/passwd",
    "/.env",
    "/.git/config",
    "/var/resonance.db",
    "/config/campaign.toml",
    "/me/..%2f..%2fetc%2fpasswd",
    "/me/x/..%2f..%2fetc.ics",
    "/staff/../.env",
)


def test_no_address_leads_to_a_file(port: int) -> None:
    for path in ASTRAY:
        with line(port) as curious:
            curious.send(head(f"GET {path} HTTP/1.1"))
            assert curious.answer().status in {400, 404}, path


@pytest.fixture
def port(service: Service) -> Iterator[int]:
    server = WebServer(make_app(service), host="127.0.0.1", port=0)
    server.start()
    yield server.port
    server.stop()


def guess(caller: Line, forwarded: str) -> int:
    caller.send(head("GET /staff/sign-in/a.b.c HTTP/1.1", f"X-Forwarded-For: {forwarded}"))
    return caller.answer().status


def test_a_stranger_cannot_say_that_they_are_somebody_else(port: int) -> None:
    """Who is not a proxy of ours is counted by their own address, whatever they write."""
    with line(port, source="127.0.0.2") as guesser:
        answers = [guess(guesser, f"203.0.113.{number}") for number in range(21)]
    assert answers == [403] * 20 + [429]


def test_behind_our_proxy_a_guesser_is_known_by_the_last_address(port: int) -> None:
    """What stands before it was written by the guesser."""
    with line(port) as proxy:
        answers = [guess(proxy, f"203.0.113.{number}, 198.51.100.7") for number in range(21)]
        assert answers == [403] * 20 + [429]
        assert guess(proxy, "198.51.100.8") == 403
        assert guess(proxy, "127.0.0.1, 198.51.100.7") == 429


def test_a_proxy_elsewhere_is_believed_where_it_is_named(service: Service) -> None:
    """In a container of its own; else all visitors would be one, and shut out with the first."""
    service.settings = replace(service.settings, port=0, trusted_proxies=("127.0.0.0/30",))
    server = daemon._bound(service)
    server.start()
    with line(server.port, source="127.0.0.2") as proxy:
        assert [guess(proxy, "198.51.100.7") for _ in range(21)] == [403] * 20 + [429]
        assert guess(proxy, "198.51.100.8") == 403
    with line(server.port, source="127.0.0.9") as stranger:
        answers = [guess(stranger, f"203.0.113.{number}") for number in range(21)]
    server.stop()
    assert answers == [403] * 20 + [429]


def test_the_environment_names_no_other_proxies(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    server = WebServer(make_app(service), host="127.0.0.1", port=0)
    server.start()
    with line(server.port, source="127.0.0.2") as guesser:
        answers = [guess(guesser, f"203.0.113.{number}") for number in range(21)]
    server.stop()
    assert answers == [403] * 20 + [429]


def test_a_long_pause_makes_a_guesser_unknown_again(port: int, clock: Clock) -> None:
    with line(port) as proxy:
        assert [guess(proxy, "198.51.100.7") for _ in range(21)][-1] == 429
        clock.move(minutes=15)
        assert guess(proxy, "198.51.100.7") == 403
