"""Notifications and letters leave nothing behind in memory; a sample of `make soak`."""

from pathlib import Path

from tests.faults.soak import soak


def test_two_thousand_webhooks_and_five_hundred_letters_leave_no_memory_and_no_file(
    tmp_path: Path,
) -> None:
    figures = soak(tmp_path, webhooks=2000)
    assert (figures.looks[-1].webhooks, figures.looks[-1].letters) == (2000, 500)
    assert figures.sound, figures.table()
