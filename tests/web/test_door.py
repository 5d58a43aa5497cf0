"""Only who holds a link that was not used gets in, and only to what their role allows."""

from collections.abc import Callable
from datetime import timedelta

import jwt
import pytest
from starlette.testclient import TestClient

from resonance_zoom.service import Service
from resonance_zoom.web.staff import PAGES
from tests.conftest import Clock

Staff = Callable[..., TestClient]


def link(service: Service, **changes: object) -> str:
    ends_at = service.now() + timedelta(days=7)
    return service.links.invitation("Alice", "reader", now=service.now(), ends_at=ends_at)


def test_opening_a_link_changes_nothing_and_pressing_its_button_signs_in(
    service: Service, visitor: TestClient
) -> None:
    address = link(service)
    for _ in range(3):  # a scanner of mail, then the reader
        page = visitor.get(address)
        assert page.status_code == 200
        assert "Alice" in page.text
        assert visitor.cookies == {}
    answer = visitor.post(address)
    assert answer.headers["location"] == "/staff/"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert visitor.get("/staff/journal").status_code != 401


def test_a_link_works_once(service: Service, visitor: TestClient) -> None:
    address = link(service)
    assert visitor.post(address).status_code == 303
    visitor.cookies.clear()
    assert visitor.post(address).status_code == 403
    assert visitor.get("/staff/").status_code == 401


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")  # forgers don't care
def test_every_link_that_is_not_ours_gets_the_same_page(
    service: Service, visitor: TestClient, clock: Clock
) -> None:
    key = service.settings.secret_key
    good = {"iss": "resonance-2021", "aud": "staff", "sub": "Eve", "role": "admin", "jti": "x" * 20,
            "exp": int(service.now().timestamp()) + 3600}  # fmt: skip
    tokens = [
        jwt.encode(good, "another key of thirty-two bytes!", algorithm="HS256"),
        jwt.encode(good, "", algorithm="none"),
        jwt.encode(good, key, algorithm="HS512"),
        jwt.encode({**good, "aud": "registrant"}, key, algorithm="HS256"),
        jwt.encode({**good, "iss": "another"}, key, algorithm="HS256"),
        jwt.encode({**good, "role": "root"}, key, algorithm="HS256"),
        jwt.encode({k: v for k, v in good.items() if k != "jti"}, key, algorithm="HS256"),
        jwt.encode({k: v for k, v in good.items() if k != "exp"}, key, algorithm="HS256"),
        jwt.encode({**good, "exp": "tomorrow"}, key, algorithm="HS256"),
        jwt.encode({**good, "exp": int(service.now().timestamp())}, key, algorithm="HS256"),
        service.links.personal(1).rpartition("/")[2],  # type: ignore[union-attr]
        "x" * 3000,
        "a.b.c",
    ]
    pages = {visitor.post(f"/staff/sign-in/{token}").text for token in tokens}
    pages |= {visitor.get(f"/staff/sign-in/{token}").text for token in tokens[:6]}
    assert len(pages) == 1
    assert visitor.get("/staff/").status_code == 401


def test_a_guesser_is_told_to_stop(visitor: TestClient, service: Service, clock: Clock) -> None:
    answers = [visitor.get("/staff/sign-in/a.b.c").status_code for _ in range(21)]
    assert answers == [403] * 20 + [429]
    clock.move(minutes=15)
    assert visitor.get("/staff/sign-in/a.b.c").status_code == 403


def test_a_session_falls_asleep_after_30_minutes_and_ends_after_10_hours(
    staff: Staff, clock: Clock
) -> None:
    alice = staff("reader")
    clock.move(minutes=29)
    assert alice.get("/staff/").status_code != 401
    clock.move(minutes=31)
    assert alice.get("/staff/").status_code == 401
    bob = staff("reader")
    for _ in range(20):
        clock.move(minutes=29)
        assert bob.get("/staff/").status_code != 401
    clock.move(minutes=20)
    assert bob.get("/staff/").status_code == 401


def test_signing_out_ends_the_session_everywhere(staff: Staff, service: Service) -> None:
    alice = staff("reader")
    stolen = dict(alice.cookies)
    csrf = token_in(alice.get("/staff/").text)
    assert alice.post("/staff/sign-out", data={"csrf": csrf}).status_code == 200
    alice.cookies.update(stolen)
    assert alice.get("/staff/").status_code == 401


def token_in(html: str) -> str:
    return html.partition('name="csrf" value="')[2].partition('"')[0]


@pytest.mark.parametrize(("method", "path", "role"), [page[:3] for page in PAGES])
def test_every_page_lets_in_whom_the_table_says(
    method: str, path: str, role: str, staff: Staff, visitor: TestClient
) -> None:
    address = (
        path.replace("{line:int}", "1")
        .replace("{registrant:int}", "1")
        .replace("{kind}", "confirmation")
        .replace("{act}", "pause")
        .replace("{subject}", "-")
    )
    assert visitor.request(method, address).status_code == 401
    reader = staff("reader").request(method, address).status_code
    admin = staff("admin").request(method, address).status_code
    assert (reader == 403) is (role == "admin" or method == "POST")
    assert admin not in {401, 500}
    assert (admin == 403) is (method == "POST")  # without the form's token


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
)
def test_a_form_of_another_site_does_nothing(
    staff: Staff, service: Service, headers: dict[str, str]
) -> None:
    alice = staff("admin")
    form = {"csrf": token_in(alice.get("/staff/act/pause/-").text), "once": "x" * 24}
    assert alice.post("/staff/act/pause/-", data=form, headers=headers).status_code == 403
    assert alice.post("/staff/act/pause/-", data={**form, "csrf": "wrong"}).status_code == 403
    assert alice.post("/staff/act/pause/-", data=form).status_code == 303


def test_a_button_pressed_twice_acts_once(staff: Staff, service: Service) -> None:
    alice = staff("admin")
    form = {"csrf": token_in(alice.get("/staff/act/pause/-").text), "once": "y" * 24}
    alice.post("/staff/act/pause/-", data=form)
    alice.post("/staff/act/pause/-", data=form)
    assert "pressé deux fois" in alice.get("/staff/").text
    with service.store.read() as connection:
        kinds = connection.exec_driver_sql("SELECT kind FROM journal").scalars().all()
    assert kinds.count("staff.pause") == 1


def test_every_answer_forbids_scripts_frames_and_caching_of_what_is_private(
    visitor: TestClient, staff: Staff
) -> None:
    for answer in (visitor.get("/nowhere"), visitor.get("/staff/"), staff("reader").get("/staff/")):
        assert "script" not in answer.headers["content-security-policy"]
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert visitor.get("/staff/").headers["cache-control"] == "no-store"
