"""Values that nobody expects, for JSON and TOML alike."""

import random

TEXTS = (
    "",
    " ",
    "\t",
    "\0",
    "a\0b",
    "a\nb",
    "a\r\nBcc: eve@example.org",
    "\u2028",
    "a\u2029b",
    "\x1b[31mred\x1b[0m",
    "\x85",
    "\ufeffx",
    "\u200f\u202egnp.exe",
    "مرحبا",
    "e\u0301" * 40,
    "Z̸̡͙̈́a̷͕̔l̵͚̀g̵̘̈o",
    "🙂" * 30,
    "Ŀİıſß",
    "=?UTF-8?Q?=0D=0A?=",
    "{{7*7}}",
    "{0.__class__}",
    "%(x)s%n",
    "'; DROP TABLE events; --",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "v0:1610359200:{}",
    "=1+1",
    "null",
    "NaN",
    "0",
    "-1",
    "1e9",
    "9" * 21,
    "x" * 255,
    "x" * 1001,
    "é" * 2001,
    "x" * 10_000,
)
SURROGATES = ("\ud800", "a\udfffb", "\udc80\ud800")  # JSON can write them, UTF-8 cannot
INTEGERS = (0, 1, -1, 7, 60, 61, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**15, -(10**18))
FLOATS = (0.0, -0.0, 0.5, 1e16, 1.7976931348623157e308, 5e-324)


def text(rng: random.Random) -> str:
    """One that was once trouble somewhere, or a few characters from anywhere."""
    if rng.random() < 0.7:
        return rng.choice(TEXTS)
    return "".join(chr(rng.choice((rng.randrange(0xD800), rng.randrange(0xE000, 0x110000))))
                   for _ in range(rng.randrange(1, 6)))  # fmt: skip


def spoilt(rng: random.Random, data: bytes) -> bytes:
    """The same bytes after an accident on the way."""
    if not data:
        return b"\xff"
    at = rng.randrange(len(data))
    match rng.randrange(10):
        case 0:
            return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        case 1:
            return data[:at]
        case 2:
            return b"\xef\xbb\xbf" + data
        case 3:
            return data.replace(b"\n", b"\r\n") if b"\n" in data else data + b"\r\n"
        case 4:
            invalid = rng.choice((b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xe2\x82", b"\xf5"))
            return data[:at] + invalid + data[at:]
        case 5:
            return data[:at] + bytes([rng.randrange(32)]) + data[at:]
        case 6:
            return data.decode("utf-8", "replace").encode(rng.choice(("utf-16", "utf-8-sig")))
        case 7:
            return data[:at] + data[at + rng.randrange(1, 9) :]
        case 8:
            return data[:at] + data[rng.randrange(len(data)) :][: rng.randrange(1, 60)] + data[at:]
        case _:
            return data[:at] + rng.choice((b'"', b"{", b"}", b"[", b"]", b"\\", b",", b"=", b"#"))
