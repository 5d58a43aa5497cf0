"""The rehearsal keeps the promises, repeats itself, and says so when one is broken on purpose."""

from pathlib import Path
from typing import Any

import pytest

from jobs import sync_registrants
from resonance_zoom import comparison, delivery, meetings, rehearsal
from resonance_zoom.rehearsal import Rehearsal
from resonance_zoom.store import claims, outbox
from resonance_zoom.sweep import Sweep
from resonance_zoom.web import webhooks

SHIPPED = Path("config/campaign.toml")


def rehearse(tmp_path: Path) -> Rehearsal:
    return rehearsal.rehearse(SHIPPED, seed=1, registrants=8, out=tmp_path, quiet=True)


def broken(tmp_path: Path) -> list[int]:
    """Which promises (1 to 4) are broken, of the first group alone: it is as long as it must be."""
    first = SHIPPED.read_text(encoding="utf-8").split("\n[[focus_group]]\n")[:2]
    small = tmp_path / "campaign.toml"
    small.write_text("\n[[focus_group]]\n".join(first), encoding="utf-8")
    result = rehearsal.rehearse(small, seed=1, registrants=8, out=tmp_path, quiet=True)
    return [n for n, promise in enumerate(result.promises, 1) if not promise.kept]


def test_the_shipped_campaign_keeps_its_promises_and_repeats_itself(tmp_path: Path) -> None:
    first, second = rehearse(tmp_path / "a"), rehearse(tmp_path / "b")
    assert first.kept
    assert set(first.letters) == {"confirmation", "reminder-7", "reminder-1"}
    assert first.as_json() == second.as_json()
    assert first.runs > 100
    assert first.skipped > 100_000  # nine weeks at over 10,000 ticks a day would take hours
    assert len(list((tmp_path / "a" / "letters").glob("*.eml"))) == sum(first.letters.values())


def test_a_second_meeting_for_a_group_breaks_the_first_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = meetings._create

    def twice(store: Any, zoom: Any, campaign: Any, group: Any, now: Any) -> Any:
        zoom.create_meeting(campaign.zoom_host, comparison.wanted(campaign, group))
        return real(store, zoom, campaign, group, now)

    monkeypatch.setattr(meetings, "_create", twice)
    assert 1 in broken(tmp_path)


def test_a_registration_that_is_dropped_breaks_the_second_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "keep", lambda _service, calls: [() for _ in calls])
    monkeypatch.setattr(
        sync_registrants, "sweep_meeting", lambda _s, _z, row, *_a, **_k: Sweep(row.focus_group)
    )
    assert 2 in broken(tmp_path)


def test_a_letter_that_goes_twice_breaks_the_third_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = delivery.Delivery.attempt

    def twice(self: Any, claim: Any, postman: Any) -> Any:
        became = real(self, claim, postman)
        postman.send(
            sender="contact@example.org",
            recipient=claim.registrant.email,
            message=b"X-Letter: confirmation\r\n\r\nencore\r\n",
        )
        return became

    monkeypatch.setattr(delivery.Delivery, "attempt", twice)
    assert 3 in broken(tmp_path)


def test_a_reminder_that_is_not_owed_breaks_the_third_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "owe_reminder", lambda *_args, **_kwargs: 0)
    assert 3 in broken(tmp_path)


def test_a_letter_without_a_trace_breaks_the_fourth_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = claims.sent

    def forgetful(connection: Any, accepted: Any) -> Any:
        return real(connection, [(letter, at, "") for letter, at, _words in accepted])

    monkeypatch.setattr(claims, "sent", forgetful)
    monkeypatch.setattr("resonance_zoom.reports.why", lambda _letter: None)
    assert 4 in broken(tmp_path)


def test_a_campaign_that_nobody_broke_breaks_none(tmp_path: Path) -> None:
    assert broken(tmp_path) == []
