"""The suite notices when a secret gets into a log."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.leaks import leaks

PROJECT = Path(__file__).parents[1]
LEAKING = """\
import logging, os, structlog

def test_structlog():
    structlog.get_logger("web").warning("webhook refused", by="a-webhook-secret-of-32-characters")

def test_the_standard_library():
    logging.getLogger("urllib3").warning("Authorization: Basic Y2lkOmNzZWNyZXQ=")

def test_another_process():
    os.system("echo SECRET_KEY=0123456789abcdef0123456789abcdef >&2")

def test_that_keeps_its_secrets():
    structlog.get_logger("web").warning("webhook refused", by="***")
"""


def test_a_test_whose_log_holds_a_secret_does_not_pass(tmp_path: Path) -> None:
    (tmp_path / "test_leaking.py").write_text(LEAKING, encoding="utf-8")
    words = [sys.executable, "-m", "pytest", "-p", "tests.leaks", "-p", "no:cacheprovider", "-rE"]
    done = subprocess.run(  # noqa: S603 — our own words
        [*words, f"--rootdir={tmp_path}", str(tmp_path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "4 passed, 3 errors" in done.stdout
    for name in ("structlog", "the_standard_library", "another_process"):
        assert re.search(
            rf"^ERROR \S*test_leaking.py::test_{name}( - .*)?$", done.stdout, re.MULTILINE
        )
    assert done.stdout.count("a secret stands in what was captured") >= 3


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("secret: csecret", ["csecret"]),
        ("nothing of the kind", []),
    ],
)
def test_a_secret_is_found_in_a_text(text: str, found: list[str]) -> None:
    assert leaks(text) == found
