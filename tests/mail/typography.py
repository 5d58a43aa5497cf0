"""Reads what people would read, and finds what a French typesetter would mend in it."""

import re
from html.parser import HTMLParser

# What is wrong, and how it looks.
_COMMON = (
    ("straight apostrophe", r"\w'|'\w"),
    ("straight quotes", r'"'),
    ("three dots", r"\.\.\."),
    ("plain space before punctuation", r"[^\S\u00a0\u202f][:;!?»](?![\w/])"),
    ("no space before punctuation", r"[\w)»…%][:;!?](?=\s|$)"),
    ("no no-break space inside «»", r"«(?!\u00a0)|(?<!\u00a0)»"),
    ("narrow space before :", r"\u202f:"),
    ("hour that may break", r"\dh(?![^\W\d])|\d[^\S\u00a0]h(?!\w)|\d\u00a0h[^\S\u00a0]\d\d(?![/\d])"),
    ("number torn from its unit", r"\d[^\S\u00a0\u202f](min|s|ko|Mo|jours?|essais?|%|€)(?!\w)"),
    ("n° torn from its number", r"n°[^\S\u00a0]\w"),
    ("1er mistaken", r"\b1 (janvier|février|mars|avril|mai|juin|juillet|août|septembre)\b"),
    ("hyphen for a dash", r"\s-\s|--(?!\w)"),
    ("capital without its accent", r"\b(A|Ca|Etat|Eta|Etes|Etre|Ete|Etape)\s|\b(Ecri|Echec|Evén)"),
    ("capital without its accent", r"\b(DEMONSTR|REUNION|DEPLAC|ANNULE\b|A L’)"),
    ("oe for œ", r"(?i)\b(c|s|n)oeu|\boeuvr"),
)  # fmt: skip
_PAGE = (("wide space before ; ! ?", r"\u00a0[;!?]"),)
_LETTER = (("narrow space in a letter", r"\u202f"),)

_INLINE = {"a", "abbr", "b", "bdi", "em", "q", "small", "span", "strong", "time", "code", "sub"}
_SHOWN = {"title", "aria-label", "alt", "placeholder", "data-label", "content"}
_NO_PROSE = {"style", "script", "code", "pre", "bdi", "textarea"}
_VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}


def page_faults(words: str) -> list[str]:
    """What is wrong with words of a page: U+00A0 before :, U+202F before ; ! and ?."""
    return _found(words, _COMMON + _PAGE)


def letter_faults(words: str) -> list[str]:
    """What is wrong with words of a letter: U+00A0 throughout, mail programs know no U+202F."""
    return _found(words, _COMMON + _LETTER)


def _found(words: str, rules: tuple[tuple[str, str], ...]) -> list[str]:
    return [
        f"{name}: {words[max(0, hit.start() - 30) : hit.end() + 15]!r}"
        for name, pattern in rules
        for hit in re.finditer(pattern, words)
    ]


def prose(page: str) -> list[str]:
    """The French sentences of a page: the words of each block, and of attributes that are read out.

    What people typed (`bdi`), code, and what is marked as another language stand as `x`.
    """
    reader = _Prose()
    reader.feed(page)
    reader.close()
    reader.end_block()
    return reader.blocks


class _Prose(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[str] = []
        self._words = ""
        self._foreign: list[str] = []  # open tags from the first that holds no French

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        if self._foreign:
            self._foreign += [tag] if tag not in _VOID else []
            return
        if tag not in _INLINE:
            self.end_block()
        if tag == "meta" and known.get("name") != "description":
            return
        self.blocks += [known[name] for name in sorted(_SHOWN & known.keys())]
        if tag in _NO_PROSE or known.get("lang", "fr") != "fr" or "mono" in known.get("class", ""):
            self._foreign = [tag] if tag not in _VOID else []
            self._words += "x" if tag in _INLINE else ""

    def handle_endtag(self, tag: str) -> None:
        if self._foreign:
            if tag in self._foreign:
                while self._foreign.pop() != tag:
                    pass
        elif tag not in _INLINE:
            self.end_block()

    def handle_data(self, data: str) -> None:
        if not self._foreign:
            self._words += data

    def end_block(self) -> None:
        if words := re.sub(r"[ \t\r\n]+", " ", self._words).strip(" "):
            self.blocks.append(words)
        self._words = ""
