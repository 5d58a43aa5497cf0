"""Lists as French spreadsheets open them, in which nothing that was typed can run: CSV.

XLSX is in `workbooks`.

https://owasp.org/www-community/attacks/CSV_Injection
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from resonance_zoom.cells import safe

CSV_TYPE = "text/csv; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading and its width in characters."""

    heading: str
    width: int


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
