"""Only who holds a link that was not used gets in, and only to what their role allows."""

import re
from collections.abc import Callable
from datetime import timedelta

import jwt
import pytest
from starlette.testclient import TestClient

from resonance_zoom.errors import DatabaseBusy
from resonance_zoom.service import Service
from resonance_zoom.web.app import ROUTES, make_app
from resonance_zoom.web.staff import PAGES
from resonance_zoom.web.staff.acts import ACTS
from tests.conftest import Clock, Type

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


FIELDS = (
    "q", "person", "group", "kind", "level", "state", "status", "from", "to", "before", "after",
    "live", "size", "bounce",
)  # fmt: skip


@pytest.mark.parametrize("sent", ["a%00b", "%00", "%ED%A0%80", "9" * 25])
def test_no_page_fails_at_what_a_database_cannot_hold(staff: Staff, sent: str) -> None:
    """PostgreSQL knows no NUL in a text, and no database a number of more than 64 bits."""
    alice = staff("admin")
    for method, page, _, _ in PAGES:
        for act in ACTS if "{act}" in page else ("",):
            path = re.sub(r"{\w+:int}", "9" * 25, page).replace("{act}", act)
            path = re.sub(r"{\w+}", sent, path)
            for field in FIELDS:
                answer = alice.request(method, f"{path}?{field}={sent}")
                assert answer.status_code < 500, path


def test_a_link_works_once(service: Service, visitor: TestClient) -> None:
    address = link(service)
    assert visitor.post(address).status_code == 303
    visitor.cookies.clear()
    assert visitor.post(address).status_code == 403
    assert visitor.get("/staff/").status_code == 401


def test_a_link_used_twice_is_in_the_journal(service: Service, visitor: TestClient) -> None:
    address = link(service)
    visitor.post(address)
    visitor.post(address)
    with service.store.read() as connection:
        rows = connection.exec_driver_sql("SELECT kind, level, message FROM journal").all()
    assert [tuple(row) for row in rows] == [
        ("staff.sign_in", "info", "Alice: signed in as reader"),
        ("staff.sign_in_refused", "warning", "Alice: a link that was used before"),
    ]


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


def journal_of(service: Service) -> list[tuple[str, str, str]]:
    with service.store.read() as connection:
        rows = connection.exec_driver_sql("SELECT kind, level, message FROM journal ORDER BY id")
        return [tuple(row) for row in rows]


def test_refused_links_and_the_door_that_shuts_are_in_the_journal_once_a_minute(
    visitor: TestClient, service: Service, clock: Clock
) -> None:
    for _ in range(30):
        visitor.get("/staff/sign-in/a.b.c")
    shut = "20 refused links from one place: it waits for 15 minutes"
    assert journal_of(service) == [
        (
            "staff.link_refused",
            "warning",
            "entry refused, links that are too old, incomplete or made up: 1",
        ),
        ("staff.door_shut", "warning", shut),
    ]
    clock.move(minutes=15)
    visitor.get("/staff/sign-in/a.b.c")
    assert journal_of(service)[2:] == [
        (
            "staff.link_refused",
            "warning",
            "entry refused, links that are too old, incomplete or made up: 20",
        )
    ]


def test_of_many_who_are_shut_out_within_a_minute_the_journal_hears_once(
    service: Service, clock: Clock
) -> None:
    app = make_app(service)

    def guess(host: str) -> None:
        client = TestClient(app, base_url="http://localhost:8000", client=(host, 50000))
        for _ in range(20):
            client.get("/staff/sign-in/a.b.c")

    for number in range(3):
        guess(f"198.51.100.{number}")
    assert [kind for kind, _, _ in journal_of(service)] == ["staff.link_refused", "staff.door_shut"]
    clock.move(minutes=1)
    guess("198.51.100.9")
    assert [kind for kind, _, _ in journal_of(service)].count("staff.door_shut") == 2


def test_a_clock_that_is_set_back_keeps_no_refusal_from_the_journal(
    visitor: TestClient, service: Service, clock: Clock
) -> None:
    visitor.get("/staff/sign-in/a.b.c")
    clock.move(hours=-3)
    visitor.get("/staff/sign-in/a.b.c")
    assert [kind for kind, _, _ in journal_of(service)] == ["staff.link_refused"] * 2


def test_a_refusal_that_cannot_be_written_down_is_a_refusal_all_the_same(
    visitor: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy() -> None:
        raise DatabaseBusy("somebody writes")

    monkeypatch.setattr(service.store, "write", busy)
    answers = [visitor.get("/staff/sign-in/a.b.c").status_code for _ in range(21)]
    assert answers == [403] * 20 + [429]


def test_who_comes_and_goes_and_who_may_not_is_in_the_journal(
    staff: Staff, service: Service
) -> None:
    reader = staff("reader", "Claire")
    reader.get("/staff/act/pause/-")
    reader.post("/staff/sign-out", data={"csrf": token_in(reader.get("/staff/").text)})
    assert journal_of(service) == [
        ("staff.sign_in", "info", "Claire: signed in as reader"),
        ("staff.not_allowed", "warning", "Claire may only read: /staff/act/pause/-"),
        ("staff.sign_out", "info", "Claire: signed out"),
    ]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("unknown", "unknown", True),
    ],
)
def test_who_has_many_addresses_is_counted_by_their_network(
    service: Service, one: str, other: str, same: bool
) -> None:
    app = make_app(service)

    def guess(host: str) -> int:
        client = TestClient(app, base_url="http://localhost:8000", client=(host, 50000))
        return client.get("/staff/sign-in/a.b.c").status_code

    assert [guess(one) for _ in range(20)] == [403] * 20
    assert guess(other) == (429 if same else 403)


def test_who_has_guessed_too_often_waits_even_with_a_link_that_works(
    visitor: TestClient, service: Service, clock: Clock
) -> None:
    for _ in range(20):
        visitor.get("/staff/sign-in/a.b.c")
    assert visitor.get(link(service)).status_code == 429
    assert visitor.post(link(service)).status_code == 429
    clock.move(minutes=15)
    assert visitor.post(link(service)).status_code == 303


def test_a_used_link_counts_as_a_guess(visitor: TestClient, service: Service) -> None:
    address = link(service)
    assert visitor.post(address).status_code == 303
    answers = [visitor.post(address).status_code for _ in range(21)]
    assert answers == [403] * 20 + [429]


def test_signing_in_anew_ends_the_session_that_was(visitor: TestClient, service: Service) -> None:
    visitor.post(link(service))
    former = visitor.cookies["staff"]
    visitor.post(link(service))
    assert visitor.cookies["staff"] != former
    assert visitor.get("/staff/").status_code == 200
    visitor.cookies.clear()
    visitor.cookies.set("staff", former)
    assert visitor.get("/staff/").status_code == 401


def test_a_page_that_refreshes_itself_keeps_nobody_awake(staff: Staff, clock: Clock) -> None:
    alice = staff("reader")
    for _ in range(29):
        clock.move(minutes=1)
        assert alice.get("/staff/journal?live=5").status_code == 200
    clock.move(minutes=1)
    gone = alice.get("/staff/journal?live=5")
    assert gone.status_code == 401
    assert "refresh" not in gone.headers


def test_who_looks_at_the_journal_stays_awake_also_with_an_empty_field(
    staff: Staff, clock: Clock
) -> None:
    alice = staff("reader")
    clock.move(minutes=29)
    alice.get("/staff/journal?live=&group=")
    clock.move(minutes=29)
    assert alice.get("/staff/").status_code == 200


def test_who_is_signed_out_is_told_so_before_anything_is_read(visitor: TestClient) -> None:
    visitor.cookies.set("staff", "x" * 43)
    assert visitor.get("/staff/people/1").status_code == 401
    visitor.cookies.set("staff", "")
    assert visitor.get("/staff/people/1").status_code == 401


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


def test_sign_out_ends_every_session_and_withdraws_every_link_that_was_not_used(
    service: Service, staff: Staff, visitor: TestClient, types: Type, clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    alice, unused = staff("admin"), link(service)
    monkeypatch.setattr("resonance_zoom.commands.acting.utc_now", clock)
    code, out, _ = types("sign-out", "--yes")
    assert (code, out) == (0, "1 sessions ended; links made before now let nobody in\n")
    assert alice.get("/staff/").status_code == 401
    for answer in (visitor.get(unused), visitor.post(unused)):
        assert answer.status_code == 403
        assert "Ce lien ne fonctionne pas" in answer.text
    clock.move(microseconds=1)
    assert visitor.post(link(service)).status_code == 303
    assert ("staff.sign_everybody_out", "info") in {row[:2] for row in journal_of(service)}


def test_only_what_changes_something_or_shows_a_link_is_for_admins() -> None:
    """The table once more, so that nobody opens a door by changing one word of it."""
    for_admins = {
        ("GET", "/staff/act/{act}/{subject}"),
        ("POST", "/staff/act/{act}/{subject}"),
        ("GET", "/staff/letters/preview/{kind}/{registrant:int}"),
        ("GET", "/staff/letters/preview/{kind}/{registrant:int}/html"),
    }
    assert {(method, path) for method, path, role, _ in PAGES if role == "admin"} == for_admins
    others = {(method, path) for method, path, role, _ in PAGES if role == "reader"}
    assert {path for method, path in others if method == "POST"} == {"/staff/sign-out"}
    assert len(PAGES) == len(for_admins) + len(others)


def test_behind_no_page_of_the_staff_is_one_that_lets_in_everybody() -> None:
    open_to_a_link = {"/staff", "/staff/sign-in/{token}"}
    for route in ROUTES:
        if route.path.startswith("/staff") and route.path not in open_to_a_link:
            assert getattr(route.endpoint, "role", "") in {"reader", "admin"}, route.path


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
    if method == "POST":
        form = {"once": "x" * 24}
        for who, name in ((staff("reader"), "reader"), (staff("admin"), "admin")):
            form["csrf"] = token_in(who.get("/staff/").text)
            answer = who.post(address, data=form)
            assert (answer.status_code == 403) is (name == "reader" and role == "admin")


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
        {"origin": ""},
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


@pytest.mark.parametrize(
    "headers", [{"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}]
)
def test_another_site_signs_nobody_in(
    visitor: TestClient, service: Service, headers: dict[str, str]
) -> None:
    """Who is signed in as somebody else would write under their name."""
    address = link(service)
    assert visitor.post(address, headers=headers).status_code == 403
    assert visitor.get("/staff/").status_code == 401
    assert visitor.post(address, headers={"sec-fetch-site": "same-origin"}).status_code == 303


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("&".join(f"a{n}=1" for n in range(60)), "application/x-www-form-urlencoded"),
        ("a=" + "x" * 20_000, "application/x-www-form-urlencoded"),
        ('{"once": "xxxxxxxxxxxxxxxxxxxxxxxx"}', "application/json"),
        ("once=xxxxxxxxxxxxxxxxxxxxxxxx", "text/plain"),
    ],
)
def test_a_form_that_is_none_of_ours_does_nothing(staff: Staff, content: str, kind: str) -> None:
    alice = staff("admin")
    csrf = token_in(alice.get("/staff/act/pause/-").text)
    content = f"csrf={csrf}&{content}" if "{" not in content else content
    answer = alice.post("/staff/act/pause/-", content=content, headers={"content-type": kind})
    assert answer.status_code == 403
    assert "Suspendre tous les envois" in alice.get("/staff/letters").text


@pytest.mark.parametrize("once", ["", "short", "x" * 61])
def test_a_form_without_its_own_number_does_nothing(
    staff: Staff, service: Service, once: str
) -> None:
    alice = staff("admin")
    form = {"csrf": token_in(alice.get("/staff/act/pause/-").text), "once": once}
    assert alice.post("/staff/act/pause/-", data=form).status_code == 303
    assert "Suspendre tous les envois" in alice.get("/staff/letters").text


@pytest.mark.parametrize("path", ["people", "journal", "letters/preview/confirmation"])
def test_a_number_that_nobody_can_read_leads_nowhere(visitor: TestClient, path: str) -> None:
    assert visitor.get(f"/staff/{path}/{'9' * 5000}").status_code == 404


def test_what_an_act_did_is_said_once(staff: Staff) -> None:
    alice = staff("admin")
    form = {"csrf": token_in(alice.get("/staff/act/pause/-").text), "once": "z" * 24}
    back = alice.post("/staff/act/pause/-", data=form).headers["location"]
    assert "Les envois sont suspendus." in alice.get(back).text
    assert "Les envois sont suspendus." not in alice.get(back).text


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
