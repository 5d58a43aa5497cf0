"""Makes what strangers typed safe in a letter: a name is data, whatever it holds. Never raises."""

import re
import unicodedata

LONGEST_NAME = 80
_WORD_JOINER = "\u2060"
_BREAKS = {"Cc", "Zl", "Zp"}  # control characters, U+2028, U+2029
_UNSEEN = {"Cf", "Cs", "Co", "Cn"}  # direction overrides, lone surrogates, private use, unassigned
_DOT_OR_AT = re.compile(r"(?<=\w)([.@\uff0e\u3002\uff61])(?=\w)")


def clean_name(name: str) -> str:
    """A name for a letter: one line, at most 80 characters, nothing that mail programs would link.

    Whoever registers chooses the name, and the letter goes to whatever address they gave:
    "win at evil.example" must not reach a stranger as a link under the organiser's signature.
    """
    unlinked = _DOT_OR_AT.sub(rf"\1{_WORD_JOINER}", clean_header(name).replace("://", " "))
    return unlinked[:LONGEST_NAME].strip(f" {_WORD_JOINER}")


def clean_header(text: str) -> str:
    """One line without control, format or surrogate characters and without RFC 2047 tricks.

    `=?UTF-8?Q?=0D=0A?=` inside a name becomes a header of its own on some Pythons (CVE-2024-6923),
    and U+2028 or U+0085 make the library raise. No-break spaces stay: French titles need them.
    """
    # Printable is what has no character of any kind that is looked for below.
    seen = text if text.isprintable() else "".join(_visible(character) for character in text)
    return re.sub(" {2,}", " ", seen.replace("=?", "= ?")).strip(" ")


def clean_text(text: str) -> str:
    """Several lines, each as `clean_header` leaves it, without empty ones at both ends."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(clean_header(line) for line in lines).strip("\n")


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in _BREAKS:
        return " "
    return "" if category in _UNSEEN else character
