"""What must not stand in the source, whatever the linters know: read from the code itself.

Ruff's S rules are bandit's and run in `make lint`; these are what they do not look at.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SOURCES = {
    str(path.relative_to(PROJECT)): path.read_text(encoding="utf-8")
    for room in ("resonance_zoom", "jobs")
    for path in sorted((PROJECT / room).rglob("*.py"))
}
TEMPLATES = {
    str(path.relative_to(PROJECT)): path.read_text(encoding="utf-8")
    for folder in ("resonance_zoom", "config/letters")
    for path in sorted((PROJECT / folder).rglob("*"))
    if path.suffix in {".html", ".txt", ".subject"} and "static" not in path.parts
}
ASKS = {"execute", "executemany", "executescript", "exec_driver_sql", "scalar", "scalars", "text"}
# Names of ours within a statement that takes no values: tables, channels, settings.
OUR_OWN_NAMES = {
    ("resonance_zoom/doctor/machine.py", "f'SHOW {name}'"),
    ("resonance_zoom/store/migrations/versions/v0007_growth.py", "f\"state = '{state}'\""),
    ("resonance_zoom/store/postgresql.py", "f'SET LOCAL {name} = 0'"),
    ("resonance_zoom/store/postgresql.py", "f'VACUUM {table.name}'"),
    ("resonance_zoom/store/postgresql.py", "f'LISTEN {CHANNEL}'"),
    ("resonance_zoom/store/tables.py", "f\"state = '{_state}'\""),
}
SECRET = re.compile(r"signature|digest|hmac|csrf|secret|token|cookie|password", re.I)
# Compared with something that nobody has to guess.
NOT_GUESSED = {
    "resonance_zoom/store/chain.py",  # who can ask can read the table
    "resonance_zoom/zoom/answers.py",  # the numbers of Zoom's errors
    "resonance_zoom/store/erasure.py",  # EVERYBODY is a word, a digest is compared in constant time
}
WAIVERS = {
    ("resonance_zoom/rehearsal/script.py", "S311"),
    ("resonance_zoom/rehearsal/stage.py", "S106"),
    ("resonance_zoom/store/dumping.py", "S603"),
    ("resonance_zoom/store/journal.py", "S101"),
    ("resonance_zoom/zoom/simulator/account.py", "S107"),
    ("resonance_zoom/zoom/simulator/faults.py", "S311"),
}


def nodes(source: str, kind: type[ast.AST]) -> Iterator[ast.AST]:
    return (node for node in ast.walk(ast.parse(source)) if isinstance(node, kind))


def put_together(source: str) -> list[str]:
    """SQL that is put together out of pieces instead of being given its values beside it."""
    found = []
    for call in nodes(source, ast.Call):
        assert isinstance(call, ast.Call)
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        if name not in ASKS or not call.args:
            continue
        words = call.args[0]
        of_pieces = (
            isinstance(words, ast.JoinedStr)
            or (isinstance(words, ast.BinOp) and isinstance(words.op, ast.Add | ast.Mod))
            or (isinstance(words, ast.Call) and getattr(words.func, "attr", "") == "format")
        )
        if of_pieces:
            found.append(ast.unparse(words))
    return found


def compared(source: str) -> list[str]:
    """Secrets compared by == or !=, which tells by its time how much of a guess was right."""
    found = []
    for one in nodes(source, ast.Compare):
        assert isinstance(one, ast.Compare)
        if not any(isinstance(sign, ast.Eq | ast.NotEq) for sign in one.ops):
            continue
        sides = [one.left, *one.comparators]
        if any(isinstance(side, ast.Constant) for side in sides):
            continue  # with nothing, or with a word of ours
        names = [getattr(side, "attr", getattr(side, "id", "")) for side in sides]
        if any(SECRET.search(name) for name in names):
            found.append(ast.unparse(one))
    return found


def without_an_end(source: str) -> list[str]:
    """HTTP calls that would wait for ever."""
    found = []
    for call in nodes(source, ast.Call):
        assert isinstance(call, ast.Call)
        if not isinstance(call.func, ast.Attribute):
            continue
        whom, verb = ast.unparse(call.func.value), call.func.attr
        asks = whom in {"requests", "session"} and verb in {
            "get", "post", "put", "patch", "delete", "head", "request",
        }  # fmt: skip
        if asks and "timeout" not in {keyword.arg for keyword in call.keywords}:
            found.append(ast.unparse(call.func))
    return found


def unescaped(template: str) -> list[str]:
    """Where a template would let markup of strangers through."""
    return re.findall(
        r"\|\s*safe\b|autoescape\s+false|<script|javascript:|\bon[a-z]+\s*=\s*[\"']"
        r"|\s[a-z-]+=\{\{",  # an attribute without quotes ends at a space
        template,
        re.I,
    )


def test_statements_are_given_their_values_beside_them() -> None:
    found = {(file, words) for file, source in SOURCES.items() for words in put_together(source)}
    assert found == OUR_OWN_NAMES


def test_no_secret_is_compared_in_a_time_that_tells() -> None:
    found = {file: compared(source) for file, source in SOURCES.items() if compared(source)}
    assert found.keys() <= NOT_GUESSED, found


def test_no_call_over_http_waits_for_ever() -> None:
    assert [file for file, source in SOURCES.items() if without_an_end(source)] == []


def test_no_template_lets_markup_through() -> None:
    assert len(TEMPLATES) > 30
    assert [file for file, words in TEMPLATES.items() if unescaped(words)] == []
    assert [file for file, source in SOURCES.items() if "Markup" in source] == []


def test_every_rule_that_is_waived_is_known_and_says_why() -> None:
    found = set()
    for file, source in SOURCES.items():
        for codes, reason in re.findall(r"# noqa: ([A-Z0-9, ]+?)(?:\s+[—-] (.*))?$", source, re.M):
            found |= {(file, code) for code in codes.split(", ") if re.match(r"S\d", code)}
            assert reason, f"{file}: {codes}"
    assert found == WAIVERS


@pytest.mark.parametrize(
    ("look", "source"),
    [
        (put_together, "connection.execute(f'SELECT {name}')"),
        (put_together, "connection.exec_driver_sql('SELECT ' + name)"),
        (put_together, "connection.execute(text('SELECT %s' % name))"),
        (put_together, "text('SELECT {}'.format(name))"),
        (compared, "if signature == expected: pass"),
        (compared, "ok = form.csrf != session.csrf"),
        (without_an_end, "requests.get(url)"),
        (without_an_end, "session.request('GET', url, stream=True)"),
        (unescaped, "<p>{{ name | safe }}</p>"),
        (unescaped, "{% autoescape false %}"),
        (unescaped, "<a href={{ link }}>"),
        (unescaped, "<body onload='x()'>"),
    ],
)
def test_each_of_these_is_found(look: object, source: str) -> None:
    assert callable(look)
    assert look(source) != []
