"""Writes words as a part of a message: legible where it can be, in lines for every server."""

import binascii

_SOFT_BREAK = b"=\r\n"  # none in what is read: https://www.rfc-editor.org/rfc/rfc2045#section-6.7
_LINE = 76  # characters, of base64


def quoted(words: str) -> bytes:
    """Quoted-printable, in which French stays legible; lines end in CRLF."""
    lines = _in_lines(words).encode("utf-8", "replace")
    return binascii.b2a_qp(lines, istext=True).replace(b"\n", b"\r\n")


def quoted_piece(words: str) -> bytes:
    """The same of words to which others will be added: it ends where a line may go on."""
    # Encoded before something else, so that its last line has room for a soft break.
    piece = quoted(f"{words}x")[:-1]
    return piece if not piece or piece.endswith(b"\n") else piece + _SOFT_BREAK


def is_legible(words: str, as_quoted: bytes) -> bool:
    """Whether quoted-printable did not double the size: else base64 is the shorter way."""
    return len(as_quoted) <= 2 * len(words.encode("utf-8", "replace"))


def in_base64(raw: bytes) -> bytes:
    """Base64 in lines that end in CRLF."""
    encoded = binascii.b2a_base64(raw, newline=False)
    lines = [encoded[start : start + _LINE] for start in range(0, len(encoded), _LINE)]
    return b"\r\n".join([*lines, b""])


def text_part(subtype: str, words: str) -> bytes:
    """A part of a message, with its headers."""
    body = quoted(words)
    if is_legible(words, body):
        return head_of_text(subtype, "quoted-printable") + body
    lines = _in_lines(words).replace("\n", "\r\n").encode("utf-8", "replace")
    return head_of_text(subtype, "base64") + in_base64(lines)


def _in_lines(words: str) -> str:
    return words.replace("\r\n", "\n").replace("\r", "\n")


def head_of_text(subtype: str, encoding: str) -> bytes:
    """The headers of a part, and the empty line behind them."""
    return (
        f'Content-Type: text/{subtype}; charset="utf-8"\r\n'
        "MIME-Version: 1.0\r\n"
        f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
    ).encode("ascii")
