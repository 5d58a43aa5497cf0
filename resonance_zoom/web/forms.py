"""A form that was sent to us: whether it came from one of our own pages, and what it says."""

from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request

from resonance_zoom.web import pages

MAX_FORM, MAX_FIELDS = 16 * 1024, 50


def same_origin(request: Request) -> bool:
    """Whether a form was sent from one of our own pages, as far as the browser tells.

    https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("origin")
    if origin is None:
        return True  # no browser: the form's own token decides
    try:
        netloc = urlsplit(origin).netloc  # "" for the `null` of a page that hides where it is from
    except ValueError:
        return False
    ours = urlsplit(pages.service_of(request).settings.public_url).netloc
    return bool(netloc) and netloc in {request.headers.get("host", ""), ours}


async def fields_of(request: Request) -> dict[str, str] | None:
    """The fields of a form, None when it is none of ours: too long or full, or no plain form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/x-www-form-urlencoded":
        return None
    size, chunks = 0, []
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_FORM:
            return None
        chunks.append(chunk)
    try:
        fields = parse_qsl(b"".join(chunks).decode("utf-8", "replace"), max_num_fields=MAX_FIELDS)
    except ValueError:
        return None
    return {name: storable(value) for name, value in fields}


def storable(words: str) -> str:
    """What a visitor sent, as every database can hold and look for it: PostgreSQL knows no NUL."""
    return words.replace("\0", "")
