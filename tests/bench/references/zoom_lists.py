"""Zoom's lists of registrants from memory: `python -m tests.bench.references.zoom_lists N`.

A token for everybody, and the pages of a meeting of N people, made once. It costs the sweep nothing but what
reading an answer costs.
"""

import json
import sys
from typing import Any
from urllib.parse import parse_qsl

from tests.bench.references.serving import serve

PAGE = 300


def line(number: int) -> dict[str, Any]:
    """One registrant as Zoom lists them."""
    return {
        "id": f"R{number:021d}",
        "email": f"person{number}@example.org",
        "first_name": "Maëlle",
        "last_name": f"Martin {number}",
        "address": "", "city": "Tours", "country": "FR", "zip": "37000", "state": "",
        "phone": "", "industry": "", "org": "", "job_title": "", "purchasing_time_frame": "",
        "role_in_purchase_process": "", "no_of_employees": "", "comments": "",
        "custom_questions": [{"title": "Qu’attendez-vous de cette rencontre ?", "value": ""}],
        "status": "approved",
        "create_time": "2021-01-11T10:00:00Z",
        "participant_pin_code": 123456,
        "join_url": f"https://zoom.us/w/1?tk=exemple{number}.DQMAAAAXaZ&pwd=cGFzc3dvcmQ",
    }  # fmt: skip


def pages(people: int) -> list[bytes]:
    """All pages of the approved ones."""
    count = -(-people // PAGE)
    return [
        json.dumps(
            {
                "page_count": count,
                "page_size": PAGE,
                "total_records": people,
                "next_page_token": str(page + 1) if page + 1 < count else "",
                "registrants": [
                    line(number) for number in range(page * PAGE, min(people, (page + 1) * PAGE))
                ],
            }
        ).encode()
        for page in range(count)
    ]


TOKEN = json.dumps(
    {
        "access_token": "a-token",
        "token_type": "bearer",
        "expires_in": 3599,
        "scope": "meeting:read:list_registrants:admin",
    }
).encode()
NOBODY = json.dumps(
    {
        "page_count": 0,
        "page_size": PAGE,
        "total_records": 0,
        "next_page_token": "",
        "registrants": [],
    }
).encode()


def application(people: int) -> Any:
    """ASGI: /oauth/token, and every other path is the meeting's registrants."""
    made = pages(people)

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        query = dict(parse_qsl(scope["query_string"].decode()))
        if scope["path"] == "/oauth/token":
            body = TOKEN
        elif query.get("status", "approved") != "approved":
            body = NOBODY
        else:
            body = made[int(query.get("next_page_token") or 0)]
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


if __name__ == "__main__":
    serve(application(int(sys.argv[1])))
