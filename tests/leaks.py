"""No test may end well in which a secret of the suite stood in what was captured of it.

Captured are the technical log of the test's process, what commands said without being asked, and
whatever daemons wrote to a standard stream that they had from us.
"""

import base64
from collections.abc import Generator
from typing import Any

import pytest

WEBHOOK_SECRET = "a-webhook-secret-of-32-characters"
CLIENT_SECRET = "csecret"
SECRET_KEY = "0123456789abcdef0123456789abcdef"
LOGIN = base64.b64encode(f"cid:{CLIENT_SECRET}".encode()).decode()  # as Zoom is told it
SUITE_SECRETS = (WEBHOOK_SECRET, CLIENT_SECRET, SECRET_KEY, LOGIN)


def leaks(text: str) -> list[str]:
    """The secrets of the suite that stand in a text."""
    return [secret for secret in SUITE_SECRETS if secret in text]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """The report of a test's end; a leak makes an error of it."""
    report: Any = yield
    if call.when == "teardown" and report.outcome == "passed":
        for title, text in report.sections:
            if found := leaks(text):
                report.outcome = "failed"
                report.longrepr = f"a secret stands in what was captured ({title}): {found}"
    return report
