"""Every key of a TOML text is found on the line on which a person would look for it."""

import tomllib
from typing import Any

import pytest

from resonance_zoom.toml_lines import Path, key_lines, line_of

TEXT = r"""# remark = "no key"
plain = 1
dotted.key = [1, # a remark ] inside
  2, [3, 4],

  {x = 1, "y z" = "]}"},
]
"quo ted".'lit#eral' = @@@
[not.a.table]
not_a_key = 1 \@@@ and @@@
after = @@@it ends with "a quote"@@@ # [x]
[table]
day = 1979-05-27 07:32:00.5
[[group]]
inline = { a = 1, b = {c = 2} }
text = "a \"quoted\" # word"
[group.sub]
long = '''
k = 1'''
last = ''
[[group]]
number = +1.5e3 # = [
[[group.deep]]
m = 1
[[group.deep]]
m = 2
backslash = 'C:\'
end = true
""".replace("@@@", '"""')


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("plain",), 2),
        (("dotted",), 3),
        (("dotted", "key"), 3),
        (("dotted", "key", 1), 4),
        (("dotted", "key", 2, 1), 4),
        (("dotted", "key", 3, "y z"), 6),
        (("quo ted", "lit#eral"), 8),
        (("after",), 11),
        (("table",), 12),
        (("table", "day"), 13),
        (("group",), 14),
        (("group", 0), 14),
        (("group", 0, "inline", "b", "c"), 15),
        (("group", 0, "text"), 16),
        (("group", 0, "sub"), 17),
        (("group", 0, "sub", "last"), 20),
        (("group", 1), 21),
        (("group", 1, "number"), 22),
        (("group", 1, "deep", 0, "m"), 24),
        (("group", 1, "deep", 1), 25),
        (("group", 1, "deep", 1, "m"), 26),
        (("group", 1, "deep", 1, "end"), 28),
    ],
)
def test_a_key_stands_on_its_line(path: Path, line: int) -> None:
    assert key_lines(TEXT)[path] == line


def test_the_keys_found_are_those_that_tomllib_reads() -> None:
    assert set(key_lines(TEXT)) == set(_paths(tomllib.loads(TEXT)))


def test_a_missing_key_is_looked_for_at_its_table_and_a_missing_table_at_the_top() -> None:
    lines = key_lines(TEXT)
    assert line_of(lines, ("group", 1, "missing")) == 21
    assert line_of(lines, ("table", "day", "missing")) == 13
    assert line_of(lines, ("nowhere", 3)) == 1


def test_an_empty_text_has_no_keys() -> None:
    assert key_lines("") == {}
    assert key_lines("\n# only a remark\n") == {}


def test_windows_line_ends_count_once() -> None:
    assert key_lines("a = 1\r\n[b]\r\nc = 2\r\n") == {("a",): 1, ("b",): 2, ("b", "c"): 3}


def _paths(value: Any, at: Path = ()) -> list[Path]:
    """Every path of a nested value, without the root."""
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path for key, each in inner for path in [(*at, key), *_paths(each, (*at, key))]]
