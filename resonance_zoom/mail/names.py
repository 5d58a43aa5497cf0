"""Makes what strangers typed safe in a letter: names are data, whatever they hold. Never raises."""

import re
import unicodedata

LONGEST_NAME = 80
_WORD_JOINER = "\u2060"
_ENCODED_WORD = re.compile(r"=\?")
_LINKLIKE = re.compile(r"(?i)(https?):|(\w)\.(?=\w)")


def clean_name(name: str) -> str:
    """A name for a letter: one line, at most 80 characters, nothing that mail programs would link."""
    return _LINKLIKE.sub(_unlinked, clean_header(name)[:LONGEST_NAME]).strip()


def clean_header(text: str) -> str:
    """One line without control, format or surrogate characters and without RFC 2047 tricks.

    `=?UTF-8?Q?=0D=0A?=` inside a name would become a header of its own on some Pythons
    (CVE-2024-6923), and U+2028 or U+0085 would make the library raise.
    """
    kept = "".join(
        " " if unicodedata.category(c) in {"Cc", "Zl", "Zp"} else c
        for c in text
        if unicodedata.category(c) not in {"Cs", "Cf", "Co", "Cn"}
    )
    return " ".join(_ENCODED_WORD.sub("= ?", kept).split())


def _unlinked(found: re.Match[str]) -> str:
    """`evil.example` must not turn into a link in the reader's mail program."""
    return f"{found[1]} :" if found[1] else f"{found[2]}.{_WORD_JOINER}"
