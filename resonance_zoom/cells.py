"""What was typed, as a cell of a list that spreadsheets open: nothing in it can run.

https://owasp.org/www-community/attacks/CSV_Injection
"""

import re
import unicodedata

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")
_BREAKS = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
# What no workbook may hold, and what turns the direction of the words around it.
_LET_GO = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"})


def safe(text: str) -> str:
    """A cell on one line. What a spreadsheet could take for a formula gets an apostrophe first."""
    clean = _LET_GO.sub("", _BREAKS.sub(" ", text))
    runs = text.startswith(FORMULA_STARTS) or _seen(clean).startswith(FORMULA_STARTS)
    return f"'{clean}" if runs else clean


def _seen(text: str) -> str:
    """A text from its first visible character on."""
    for place, character in enumerate(text):
        if unicodedata.category(character) not in _UNSEEN:
            return text[place:]
    return ""
