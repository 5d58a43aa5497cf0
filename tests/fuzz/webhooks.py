"""Draws calls from a seed: from genuine ones to what no proxy would do."""

import gzip
import json
import random
import re
from dataclasses import dataclass, field
from typing import Any

from tests.fuzz.calls import (
    CHALLENGE,
    MAX_BODY,
    OTHERS,
    OURS,
    REGISTRATIONS,
    SECRETS,
    Call,
    Header,
    signed,
)
from tests.fuzz.values import FLOATS, INTEGERS, SURROGATES, spoilt, text

# As they stand in a JSON text, in place of a value.
_RAW = (
    "NaN",
    "-Infinity",
    "1e400",
    "-0",
    "00",
    "+1",
    "0x10",
    "1.",
    "9" * 21,
    "-" + "9" * 500,
    "9" * 5000,
    "0." + "1" * 30,
    '"\\ud800"',
    '"\\u0000"',
    '"\\x"',
    "'a'",
    "undefined",
    "",
    "[" * 33 + "]" * 33,
    "[" * 31 + "]" * 31,
    '{"a":' * 40 + "1" + "}" * 40,
    "[" * 100_000,
    "[[],[],{}]",
    "/* */1",
)


@dataclass
class Draw:
    """Draws a call at `now` (seconds). `storm`: a time in which somebody collects challenges."""

    rng: random.Random
    now: int
    storm: bool = False
    sound: bool = field(default=True, init=False)

    def call(self) -> Call:
        """One call; about a fifth are just as Zoom sends them."""
        rng = self.rng
        moves = rng.choice((0, 0, 0, 1, 4) if self.storm else (0, 1, 7, 30, 400))
        self.now += moves
        body = self.body()
        early = rng.random() < 0.3  # spoilt before it was signed: a body that Zoom itself made
        if rng.random() < 0.2:
            self.sound = False
            spoilt_body = rng.choice((gzip.compress(body, 1, mtime=0), *[spoilt(rng, body)] * 5))
            body, sent = (spoilt_body, spoilt_body) if early else (body, spoilt_body)
        else:
            sent = body
        headers = self.headers(body, sent)
        cut = rng.random() < 0.02
        return Call(
            headers=headers,
            chunks=self.chunks(sent),
            cut=cut,
            moves=moves,
            unwritable=rng.random() < 0.01,
            sound=self.sound and not cut,
        )

    # ---- the body ----

    def body(self) -> bytes:
        rng = self.rng
        document = self.document()
        if rng.random() < 0.35:
            return json.dumps(document, ensure_ascii=rng.random() < 0.5).encode()
        self.sound = False
        raw: list[str] = []
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            document = self.changed(document, raw)
        written = json.dumps(document, ensure_ascii=rng.random() < 0.7)
        for literal in raw:
            written = written.replace('"@raw@"', literal, 1)
        if rng.random() < 0.08:
            written = self.doubled(written)
        if rng.random() < 0.005:
            written += " " * (MAX_BODY + rng.choice((-len(written), 1 - len(written), 10**5)))
        return written.encode("utf-8", "surrogatepass")

    def document(self) -> Any:
        rng = self.rng
        if rng.random() < (0.6 if self.storm else 0.03):
            token = "".join(rng.choices("abcXYZ019-_", k=rng.choice((1, 22, 64))))
            if rng.random() < 0.2:
                self.sound = False
                token = rng.choice((f"v0:{self.now}:{{}}", "a:b", "a" * 65, text(rng)))
            return {
                "event": CHALLENGE,
                "event_ts": self.now * 1000,
                "payload": {"plainToken": token},
            }
        event = rng.choice((*REGISTRATIONS, rng.choice(OTHERS), rng.choice(OTHERS)))
        meeting = rng.choice((*OURS, *OURS, 1234567890))
        thing: dict[str, Any] = {
            "id": rng.choice((meeting, str(meeting))),
            "topic": "Le télétravail",
        }
        if event in REGISTRATIONS:
            thing["registrant"] = self.registrant()
        ago = rng.choice((0, 0, 1, 999, 60_000, 10**8, -200_000, -400_000))
        return {
            "event": event,
            "event_ts": self.now * 1000 - ago,
            "payload": {"account_id": "AAAAAABBBB", "object": thing},
        }

    def registrant(self) -> dict[str, Any]:
        rng = self.rng
        number = rng.randrange(12)
        return {
            "id": f"r{number}",
            "email": rng.choice(("person{}@example.org", "Person{}@Example.org")).format(number),
            "first_name": rng.choice(("Zoë", "Élodie 🙂", "", "O’Brien")),
            "last_name": rng.choice(("Œuvrard", "Martin", "陈")),
            "status": rng.choice(("approved", "approved", "pending")),
            "join_url": f"https://zoom.us/w/1?tk={number}",
        }

    def changed(self, document: Any, raw: list[str]) -> Any:
        """The document with one thing in it gone, renamed, moved or replaced."""
        rng = self.rng
        places = list(_places(document))
        if not places:
            return self.odd(raw)
        thing, key = rng.choice(places)
        match rng.randrange(8):
            case 0:
                del thing[key]
            case 1 if isinstance(thing, dict):
                name = rng.choice((key.upper(), key + " ", "", text(rng), *SURROGATES))
                thing[name] = thing.pop(key)
            case 2:
                other, place = rng.choice(places)
                thing[key], other[place] = other[place], thing[key]
                return json.loads(json.dumps(document)) if _is_tree(document) else {}
            case 3:
                thing[key] = rng.choice(([thing[key]], {"id": thing[key]}, json.dumps(thing[key])))
            case 4 if isinstance(thing, dict):
                thing[rng.choice(("extra", text(rng)))] = self.odd(raw)
            case _:
                thing[key] = self.odd(raw)
        return document

    def odd(self, raw: list[str]) -> Any:
        rng = self.rng
        match rng.randrange(8):
            case 0 | 1:
                # The longest are rare: they cost as much as a hundred others.
                raw.append(rng.choice(_RAW if rng.random() < 0.1 else _RAW[:-3]))
                return "@raw@"
            case 2 | 3:
                return text(rng)
            case 4:
                return rng.choice(SURROGATES)
            case 5:
                return rng.choice((*INTEGERS, *FLOATS, *OURS, self.now * 1000, self.now))
            case 6:
                return rng.choice(
                    ("a@b", text(rng) + "@example.org", "x" * 245 + "@a.org", CHALLENGE)
                )
            case _:
                return rng.choice((None, True, False, [], {}, [[]], [{}], {"": ""}))

    def doubled(self, written: str) -> str:
        """One of its keys stands there twice."""
        keys = list(re.finditer(r'"[a-z_]+": ', written))
        if not keys:
            return written
        key = self.rng.choice(keys)
        return f"{written[: key.start()]}{key[0]}7, {written[key.start() :]}"

    # ---- the way it travels ----

    def headers(self, body: bytes, sent: bytes) -> tuple[Header, ...]:
        rng = self.rng
        stamp = b"%d" % (self.now - rng.choice((0, 0, 0, 0, 2, 299, 301, -301, 86_400)))
        secret = rng.choice((*SECRETS, SECRETS[0]))
        headers = {
            b"host": b"example.org",
            b"user-agent": b"Zoom Marketplace/1.0a",
            b"content-type": b"application/json; charset=utf-8",
            b"content-length": b"%d" % len(sent),
            b"x-zm-request-timestamp": stamp,
            b"x-zm-signature": signed(secret, stamp, body),
        }
        if rng.random() < 0.75:
            return tuple(headers.items())
        self.sound = False
        match rng.randrange(8):
            case 0:
                del headers[rng.choice(list(headers))]
            case 1:
                headers[b"x-zm-signature"] = self.signature(headers[b"x-zm-signature"], body, stamp)
            case 2:
                stamp = self.timestamp(stamp)
                headers[b"x-zm-request-timestamp"] = stamp
                headers[b"x-zm-signature"] = signed(secret, stamp, body)
            case 3:
                headers[b"content-encoding"] = rng.choice(
                    (
                        b"gzip",
                        b"br",
                        b"deflate",
                        b"identity",
                        b"IDENTITY",
                        b"",
                        b"\xff",
                        b"gzip, gzip",
                    )
                )
            case 4:
                headers[b"content-length"] = rng.choice(
                    (b"0", b"-1", b"9" * 30, b"", b"1e3", b"\xff")
                )
            case 5:
                headers[b"user-agent"] = rng.choice((b"resonance-zoom/1", b"\xff\xfe", b"x" * 9000))
            case 6:
                name = rng.choice(list(headers))
                other = rng.choice((b"", b"\xe9", headers[name], headers[name][::-1]))
                pairs = [*headers.items()]
                pairs.insert(rng.randrange(len(pairs) + 1), (name, other))
                return tuple(pairs)
            case _:
                odd = text(rng).encode("utf-8", "replace")[:200]
                headers[rng.choice((b"x-forwarded-for", b"content-type", b"host", b"cookie"))] = odd
        return tuple(headers.items())

    def signature(self, right: bytes, body: bytes, stamp: bytes) -> bytes:
        return self.rng.choice(
            (
                b"",
                b"v0=",
                right[3:],
                right.upper(),
                right + b"0",
                right[:-1],
                b" " + right,
                right + b"\n",
                b"v1" + right[2:],
                b"v0=" + b"\xe9" * 64,
                b"v0=" + "é".encode() * 32,
                b"v0=" + "٣".encode() * 64,
                b"v0=" + b"0" * 64,
                signed("", stamp, body),
                signed("another secret", stamp, body),
                signed(SECRETS[0], stamp, body + b" "),
                signed(SECRETS[0], b"%d" % (int(stamp) + 1), body),
            )
        )

    def timestamp(self, right: bytes) -> bytes:
        return self.rng.choice(
            (
                b"",
                b"0",
                b"-" + right,
                b"-" + right[1:],
                right + b".5",
                right + b"000",
                right + b"0",
                b"9" * 10,
                b"9" * 13,
                b"0" * 10,
                b"9" * 5000,
                b"1e9",
                b"NaN",
                b" " + right,
                right + b"\n",
                b"\xb2" * 10,
                "١".encode() * 10,
                right[:5] + b"_" + right[5:9],
            )
        )

    def chunks(self, sent: bytes) -> tuple[bytes, ...]:
        rng = self.rng
        if rng.random() < 0.8:
            return (sent,)
        cuts = sorted(rng.randrange(len(sent) + 1) for _ in range(rng.randrange(1, 8)))
        return tuple(
            sent[begin:end] for begin, end in zip((0, *cuts), (*cuts, len(sent)), strict=True)
        )


def _places(thing: Any) -> Any:
    """Every (container, key) of a document."""
    pairs = (
        thing.items()
        if isinstance(thing, dict)
        else enumerate(thing)
        if isinstance(thing, list)
        else ()
    )
    for key, value in pairs:
        yield thing, key
        yield from _places(value)


def _is_tree(document: Any) -> bool:
    """False when something now contains itself, after a swap of a part with its whole."""
    try:
        json.dumps(document)
    except ValueError:
        return False
    return True
