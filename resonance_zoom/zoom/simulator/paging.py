"""Zoom's pages: at most 300 lines, a next_page_token that is good for 15 minutes, "" at the end.

The listing is made anew for each page, so what changes between two pages shifts the lines.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from resonance_zoom.zoom.simulator.records import Refusal

TOKEN_LIVES = timedelta(minutes=15)
DEFAULT_SIZE, MAX_SIZE = 30, 300


@dataclass(frozen=True, slots=True)
class Page:
    """The lines of one page and what Zoom says beside them."""

    items: list[Any]
    head: dict[str, Any]


def page(items: Sequence[Any], query: dict[str, str], *, of: str, now: datetime) -> Page:
    """The page that `query` asks for; `of` names the listing, so that tokens do not mix."""
    size = _number(query, "page_size", DEFAULT_SIZE, MAX_SIZE)
    token = query.get("next_page_token", "")
    number = _number(query, "page_number", 1, 1_000_000)
    first = _read(token, of, now) if token else (number - 1) * size
    end = first + size
    head = {
        "page_count": -(-len(items) // size),
        "page_size": size,
        "total_records": len(items),
        "next_page_token": _write(end, of, now) if end < len(items) else "",
    }
    return Page(list(items[first:end]), head)


def _number(query: dict[str, str], name: str, default: int, limit: int) -> int:
    text = query.get(name, "") or str(default)
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= limit):
        error = {"field": name, "message": f"The value must be between 1 and {limit}."}
        raise Refusal(400, 300, "Validation Failed.", errors=[error])
    return int(text)


def _write(offset: int, of: str, now: datetime) -> str:
    return base64.urlsafe_b64encode(json.dumps([offset, of, now.timestamp()]).encode()).decode()


def _read(token: str, of: str, now: datetime) -> int:
    try:
        offset, listing, issued = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, TypeError):
        offset, listing, issued = 0, None, 0.0
    if listing != of or now.timestamp() - issued > TOKEN_LIVES.total_seconds():
        raise Refusal(400, 300, "The next page token is invalid or expired.")
    return int(offset)
