"""Whatever is posted or written, nothing breaks; `make fuzz` tries a million of both."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from resonance_zoom import campaign_file, campaign_rules, campaign_schema
from resonance_zoom.campaign import FocusGroup
from resonance_zoom.web import webhooks
from resonance_zoom.web.challenges import Challenges
from resonance_zoom.zoom import protocol
from resonance_zoom.zoom.payloads import Challenge
from tests.fuzz import __main__ as command
from tests.fuzz import campaign_files
from tests.fuzz.calls import SECRETS, Call, signed
from tests.fuzz.play import Finding, Player, Report, player

OF_CALLS, OF_FILES = (0, 1, 2, 4), (3, 7, 11, 15)


@pytest.fixture(scope="module")
def of_seed_1() -> Iterator[Player]:
    with player(1) as one:
        yield one


def test_whatever_is_posted_is_answered_as_agreed(of_seed_1: Player) -> None:
    played = [of_seed_1.play(number) for number in OF_CALLS]
    assert [report.findings for report in played] == [[], [], [], []]
    answers = sum((report.answers for report in played), Counter[str]())
    assert answers.total() == 2000
    # Each answer of the contract is among them, and good calls are not drowned in bad ones.
    assert answers.keys() - {"hung up"} == {"200", "400", "401", "413", "415", "429", "503"}
    assert answers["200"] > 500


def test_whatever_stands_in_a_campaign_file_it_loads_or_is_refused_with_lines(
    of_seed_1: Player,
) -> None:
    played = [of_seed_1.play(number) for number in OF_FILES]
    assert [report.findings for report in played] == [[], [], [], []]
    outcomes = sum((report.answers for report in played), Counter[str]())
    assert outcomes.total() == 2000
    assert outcomes.keys() == {"usable", "refused"}
    assert outcomes["usable"] > 200


def test_the_same_seed_is_answered_the_same(of_seed_1: Player) -> None:
    again = [of_seed_1.play(number, 60).digest for number in (0, 3, 0, 3)]
    assert again[:2] == again[2:]
    assert Player(2, of_seed_1.house).play(0, 60).digest != again[0]


# ---- the judge can fail --------------------------------------------------------------------------


def first_defect(one: Player, slices: tuple[int, ...]) -> str:
    """Of the sample above, and of no more than it; most show in the first cases."""
    tries = [(slices[0], 60), *((number, 500) for number in slices)]
    found = (one.play(number, cases).findings for number, cases in tries)
    return next((findings[0].wrong for findings in found if findings), "")


def any_signature(**_given: Any) -> protocol.Verified:
    return protocol.Verified(0, stale=False)


def decoder(**otherwise: Any) -> json.JSONDecoder:
    """The one of the service, but for what is said."""
    as_it_is = {
        name: getattr(protocol._DECODER, name)
        for name in ("parse_constant", "parse_int", "parse_float", "object_pairs_hook")
    }
    return json.JSONDecoder(**as_it_is | otherwise)


PARSE = protocol.parse


def trusting(body: bytes) -> Any:
    said = protocol._json(body)
    if isinstance(said, dict) and said.get("event") == protocol.CHALLENGE:
        return Challenge(said["payload"]["plainToken"])
    return PARSE(body)


@pytest.mark.parametrize(
    ("place", "name", "broken", "wrong"),
    [
        (protocol, "verify", any_signature, "not 401"),
        (protocol, "parse", trusting, "answered 500, not "),
        (protocol, "_PLAIN_TOKEN_FORM", re.compile(r"(?s).*"), "signed 'v0:"),
        (protocol, "_refuse", lambda _reason: None, "not 400"),
        (protocol, "_part", lambda thing, name, **_: thing[name], "answered 500, not 200"),
        (protocol, "_depth", lambda _text: 0, "answered 200, not 400"),
        (protocol, "_number", str, "not 400"),
        (protocol, "_DECODER", decoder(parse_constant=lambda _name: None), "answered 200, not 400"),
        (protocol, "_DECODER", decoder(object_pairs_hook=dict), "answered 200, not 400"),
        (Challenges, "may_be_answered", lambda *_: True, "answered 200, not 429"),
        (webhooks, "MAX_BODY", 10**7, "not 413"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_webhook_that_is_wrong_on_purpose_is_found(
    place: Any,
    name: str,
    broken: Any,
    wrong: str,
    of_seed_1: Player,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(place, name, broken)
    assert wrong in first_defect(of_seed_1, OF_CALLS)


def test_a_webhook_that_answers_before_it_stores_is_found(
    of_seed_1: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "keep", lambda _service, calls: [() for _ in calls])
    assert "answered 200 and" in first_defect(of_seed_1, OF_CALLS)


@pytest.mark.parametrize(
    ("place", "name", "broken", "wrong"),
    [
        (campaign_file, "_visible", str, "no plain line: "),
        (campaign_file, "_LONG_IN_BITS", 10**9, "ValueError: Exceeds the limit"),
        (campaign_file, "line_of", lambda *_: 10**6, "line 1000000 of "),
        (campaign_schema, "_one_line", str, "is too long for Zoom"),
        (campaign_rules, "_slugs_used_twice", lambda _sound: [], "slugs are not each their own"),
        (campaign_rules, "_hours", lambda *_: [], "lasts "),
        (campaign_rules, "_reminders", lambda _sound: [], "a reminder would never leave"),
        (FocusGroup, "__eq__", lambda *_: False, "the same bytes gave another campaign"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_reader_of_campaign_files_that_is_wrong_on_purpose_is_found(
    place: Any,
    name: str,
    broken: Any,
    wrong: str,
    of_seed_1: Player,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(place, name, broken)
    assert wrong in first_defect(of_seed_1, OF_FILES)


def test_a_defect_is_told_with_the_command_that_plays_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Report("webhook", 1, Counter({"500": 1}), [Finding(123, "answered 500", "")])
    monkeypatch.setattr(command, "reports", lambda *_: iter([found]))
    assert command.main("--seed", "7", "--cases", "500") == 1
    assert "python -m tests.fuzz --seed 7 --case 123\n" in capsys.readouterr().out


def test_a_process_that_grows_is_a_defect(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the first quarter on: before it, caches fill."""
    held = [40.0, 90.0, 90.0, 95.0, 98.1]
    grown = [Report("webhook", 1, memory=megabytes) for megabytes in held]
    monkeypatch.setattr(command, "reports", lambda *_: iter(grown))
    assert command.main("--cases", "2500") == 1
    assert "DEFECT memory grew by more than 8 MB" in capsys.readouterr().out
    grown.pop()
    assert command.main("--cases", "2000") == 0


def test_one_case_is_played_again_by_its_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main("--seed", "1", "--case", "3") == 0
    assert "case 3 of seed 1, webhook: no defects" in capsys.readouterr().out
    monkeypatch.setattr(webhooks, "MAX_BODY", 0)
    assert command.main("--seed", "1", "--case", "0") == 1
    assert "answered 413, not " in capsys.readouterr().out


# ---- no more than ten challenges a minute --------------------------------------------------------


def challenge(one: Player, token: str, *, moves: int = 0) -> int:
    """The answer to a genuine challenge, so many seconds after the one before."""
    body = b'{"event": "endpoint.url_validation", "payload": {"plainToken": "%b"}}' % token.encode()
    stamp = b"%d" % one.house.now
    headers = (
        (b"x-zm-request-timestamp", stamp),
        (b"x-zm-signature", signed(SECRETS[0], stamp, body)),
    )
    call = Call(headers=headers, chunks=(body,), moves=moves)
    (answer,), wrong = one.house.run(one.house.answers([call]))
    assert wrong == ""
    return answer.status


def lines(one: Player) -> list[tuple[str, str]]:
    with one.house.service.store.read() as connection:
        found = connection.exec_driver_sql("SELECT kind, level FROM journal ORDER BY id")
        return [(row.kind, row.level) for row in found]


def test_of_eleven_challenges_in_a_minute_the_last_is_refused_and_told_once(
    of_seed_1: Player,
) -> None:
    of_seed_1.house.begin()
    assert [challenge(of_seed_1, f"t{number}", moves=5) for number in range(10)] == [200] * 10
    assert [challenge(of_seed_1, f"u{number}") for number in range(3)] == [429] * 3
    assert lines(of_seed_1) == [
        *[("webhook.challenge", "info")] * 10,
        ("webhook.challenges_refused", "warning"),
    ]
    # The first of the ten was 45 seconds ago.
    assert challenge(of_seed_1, "v", moves=14) == 429
    assert challenge(of_seed_1, "w", moves=1) == 200
    assert challenge(of_seed_1, "x") == 429


def test_a_clock_that_is_set_back_does_not_refuse_challenges_for_hours() -> None:
    noon, challenges = datetime(2021, 1, 11, 12, tzinfo=UTC), Challenges()
    assert all(challenges.may_be_answered(noon) for _ in range(10))
    assert not challenges.may_be_answered(noon)
    assert challenges.may_be_answered(noon - timedelta(hours=3))


# ---- what was found ------------------------------------------------------------------------------

RIGHT = campaign_files.SHORT.encode()


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        # A ValueError came out: Python reads such a number, and does not write it in decimals.
        (
            b"capacity = 40",
            b"capacity = 0x%b" % (b"f" * 5000),
            "FILE:34: focus_group[1].capacity: 0xffffffffffffffffff… must be a whole number,"
            " without quotes or a unit",
        ),
        (
            b"[7, 1]",
            b"[0x%b]" % (b"f" * 5000),
            "FILE:18: reminders.days_before[1]: 0xffffffffffffffffff… must be a whole number,"
            " without quotes or a unit",
        ),
        # It was told on line 1, in words about Python's settings.
        (
            b"capacity = 40",
            b"capacity = %b" % (b"9" * 5000),
            "FILE:34: a number has thousands of digits; write a shorter one",
        ),
        # What a terminal obeys was passed on to it, and a line break made two lines of one.
        (
            b"phone =",
            b'"a\\u001b[31mb" =',
            "FILE:15: organiser.a\\u001b[31mb: unknown key; known here: name, email, phone",
        ),
        (
            b"phone =",
            b'"\\n" =',
            "FILE:15: organiser.\\u000a: unknown key; known here: name, email, phone",
        ),
        (
            b'"fr"',
            b'"\\u001b[2J"',
            'FILE:5: campaign.language: "\\u001b[2J": letters exist in French only; write "fr"',
        ),
    ],
)
def test_what_a_file_quotes_is_told_on_one_plain_line(
    right: bytes, wrong: bytes, told: str, tmp_path: Path
) -> None:
    assert RIGHT.count(right) == 1
    loaded = campaign_files.load(RIGHT.replace(right, wrong), tmp_path / "campaign.toml")
    assert (loaded.said, loaded.wrong) == (told, "")
