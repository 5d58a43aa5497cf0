"""Lists as French spreadsheets open them, in which nothing that was typed can run: CSV.

XLSX is in `workbooks`.

https://owasp.org/www-community/attacks/CSV_Injection
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

CSV_TYPE = "text/csv; charset=utf-8"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")
_BREAKS = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
_NOT_IN_XML = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading and its width in characters."""

    heading: str
    width: int


def safe(text: str) -> str:
    """A cell on one line. What a spreadsheet could take for a formula gets an apostrophe first."""
    clean = _NOT_IN_XML.sub("", _BREAKS.sub(" ", text))
    runs = text.startswith(FORMULA_STARTS) or _seen(clean).startswith(FORMULA_STARTS)
    return f"'{clean}" if runs else clean


def _seen(text: str) -> str:
    """A text from its first visible character on."""
    for place, character in enumerate(text):
        if unicodedata.category(character) not in _UNSEEN:
            return text[place:]
    return ""


def as_csv(columns: Sequence[Column], rows: Iterable[Sequence[Any]], zone: ZoneInfo) -> bytes:
    """UTF-8 with BOM, `;`, CRLF; times local as `09/02/2021 09:00`."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=";", lineterminator="\r\n")
    writer.writerow([column.heading for column in columns])
    writer.writerows([_csv_cell(value, zone) for value in row] for row in rows)
    return text.getvalue().encode("utf-8-sig")


def _csv_cell(value: Any, zone: ZoneInfo) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value.astimezone(zone):%d/%m/%Y %H:%M}"
    return safe(str(value))
