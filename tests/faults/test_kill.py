"""Killed with SIGKILL at the moments that matter, nothing acknowledged is lost and nothing doubled.

A sample of `make kill`.
"""

from pathlib import Path

from tests.faults.kill import besiege

SAMPLE = ("any time", "not stored", "stored, not answered", "MAIL", "dot", "250")


def test_a_killed_daemon_loses_no_webhook_and_no_letter(tmp_path: Path) -> None:
    """Every 200 has its row, all who kept their place were written to; copies come of doubts."""
    figures = besiege(tmp_path, seed=1, kills=len(SAMPLE), moments=SAMPLE)
    assert figures.kills == dict.fromkeys(SAMPLE, 1)  # each strike did take place
    assert figures.acknowledged > 0
    assert figures.letters > 0
    assert (figures.acknowledged_lost, figures.letters_lost) == (0, 0)
    assert (figures.copies_without_doubt, figures.copies_with_another_id) == (0, 0)
    assert figures.damaged == 0
    # Killed between the dot and its answer: it went once more, or was so for the second time.
    assert figures.copies_in_doubt + figures.wait_for_staff >= 1
