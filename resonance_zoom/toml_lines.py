"""On which line a key of a TOML text stands, so that an error can point at it.

tomllib gives values without places. This reader only follows the structure of a text that tomllib
has accepted: it checks nothing. https://toml.io/en/v1.0.0
"""

import re
import tomllib
from collections.abc import Iterator

Path = tuple[str | int, ...]

_TOKEN = re.compile(
    r'''(?P<text>"""(?:\\[\s\S]|[^\\])*?"{3,5}|\'\'\'[\s\S]*?'{3,5}|"(?:\\.|[^"\\])*"|'[^']*')'''
    r"""|(?P<comment>\#[^\n]*)|(?P<mark>[\n\[\]{}=,.])|(?P<bare>[^\s\[\]{}=,.\#"']+)"""
)


def key_lines(text: str) -> dict[Path, int]:
    """{("focus_group", 0, "title"): 31, …}: the line, from 1, of each key, table and element."""
    return _Reader(text).document()


def line_of(lines: dict[Path, int], path: Path) -> int:
    """The line of `path`; of the nearest table around it when it is not there; else 1."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


class _Reader:
    """One walk through the tokens; `here` is the token at hand, "" at the end."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self.tables: dict[Path, int] = {}  # arrays of tables: how many so far
        self.tokens = _tokens(text)
        self.here, self.line = next(self.tokens, ("", 0))

    def step(self) -> str:
        """Goes on to the next token and returns the one left behind."""
        left = self.here
        self.here, self.line = next(self.tokens, ("", 0))
        return left

    def skip_newlines(self) -> None:
        while self.here == "\n":
            self.step()

    def document(self) -> dict[Path, int]:
        table: Path = ()
        while self.here:
            if self.here == "\n":
                self.step()
            elif self.here == "[":
                table = self.header()
            else:
                self.pair(table)
        return self.lines

    def header(self) -> Path:
        """`[a.b]` or `[[a.b]]`: the path of the table that begins here."""
        line, brackets = self.line, 0
        while self.here == "[":
            self.step()
            brackets += 1
        path: Path = ()
        names = self.key()
        for depth, name in enumerate(names, start=1):
            path = (*path, name)
            self.lines.setdefault(path, line)
            if brackets == 2 and depth == len(names):
                self.tables[path] = self.tables.get(path, 0) + 1
            if path in self.tables:
                path = (*path, self.tables[path] - 1)
                self.lines.setdefault(path, line)
        while self.here == "]":
            self.step()
        return path

    def key(self) -> list[str]:
        """`a."b c".d` → ["a", "b c", "d"]."""
        names = [_name(self.step())]
        while self.here == ".":
            self.step()
            names.append(_name(self.step()))
        return names

    def pair(self, table: Path) -> None:
        """`key = value`, in a table or between the braces of an inline one."""
        path, line = table, self.line
        for name in self.key():
            path = (*path, name)
            self.lines.setdefault(path, line)
        self.step()  # the equals sign
        self.value(path)

    def value(self, path: Path) -> None:
        """A value of any kind; what it contains is noted too."""
        self.lines.setdefault(path, self.line)
        if self.here == "{":
            self.members(path, closing="}")
        elif self.here == "[":
            self.members(path, closing="]")
        else:  # a text, or the pieces of a number, date or word: 2021-02-09 09:00:00.5
            while self.here not in {"", "\n", ",", "]", "}"}:
                self.step()

    def members(self, path: Path, *, closing: str) -> None:
        """What stands in an inline table or an array, up to and with its closing bracket."""
        self.step()
        self.skip_newlines()
        count = 0
        while self.here not in {closing, ""}:
            if closing == "}":
                self.pair(path)
            else:
                self.value((*path, count))
            count += 1
            self.skip_newlines()
            if self.here == ",":
                self.step()
                self.skip_newlines()
        self.step()


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    line, seen = 1, 0
    for match in _TOKEN.finditer(text):
        line += text.count("\n", seen, match.start())
        seen = match.start()
        if match.lastgroup != "comment":
            yield match[0], line


def _name(token: str) -> str:
    """A key without its quotes and escapes."""
    return str(tomllib.loads(f"k = {token}")["k"]) if token[:1] in {'"', "'"} else token
