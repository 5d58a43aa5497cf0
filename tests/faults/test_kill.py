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
    assert figures.letters >= figures.places > 0  # who withdrew may have needed none
    assert (figures.acknowledged_lost, figures.letters_lost) == (0, 0)
    assert (figures.copies_without_doubt, figures.copies_with_another_id) == (0, 0)
    assert figures.damaged == 0


def test_a_letter_whose_answer_died_with_the_daemon_goes_once_more_and_is_told(
    tmp_path: Path,
) -> None:
    """Killed between the dot and its answer, for the first time: the second waits for staff."""
    figures = besiege(tmp_path, seed=1, kills=1, moments=("dot",))
    assert figures.copies_in_doubt >= 1
    assert figures.sound
