"""A mailbox on loopback (IMAP4rev1, as much of it as reading needs) with the faults of real ones.

It knows no command that changes anything: whoever tries one is answered BAD, and it stands in
`heard`.
"""

import base64
import re
import socket
import ssl
import threading
from datetime import date
from types import TracebackType
from typing import Self

from tests.mail.peer import SELF_SIGNED

USER, PASSWORD = "contact@example.org", "canary of a mailbox"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
CUT = "cut"  # hangs up in the middle of the message
LONGER = "longer"  # sends more than it says
ENDLESS = "endless"  # says that a terabyte comes


class ImapPeer:
    """`put` a message; `faults` by UID; `heard` is what clients said, without the tags."""

    def __init__(
        self,
        *,
        validity: int = 7,
        tls: bool = False,
        capabilities: str = "IMAP4rev1 AUTH=PLAIN",
        uid_last: bool = False,
    ) -> None:
        self.validity = validity
        self.capabilities = capabilities
        self.uid_last = uid_last  # as some servers do: after the literal
        self.knows = True  # the password
        self.refusal = "AUTHENTICATIONFAILED"
        self.silent = False  # says nothing at all any more
        self.messages: dict[int, tuple[bytes, date]] = {}
        self.faults: dict[int, str] = {}
        self.heard: list[str] = []
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.port = self._listener.getsockname()[1]
        login = f"{USER}:{PASSWORD}".replace("@", "%40").replace(" ", "%20")
        self.url = f"{'imaps' if tls else 'imap'}://{login}@127.0.0.1:{self.port}/INBOX"

    def put(self, raw: bytes, day: date = date(2021, 1, 11)) -> int:
        """A message arrives; its UID."""
        uid = max(self.messages, default=100) + 1
        self.messages[uid] = raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), day
        return uid

    def fetched(self) -> list[int]:
        """UIDs of the messages of which more was asked for than size and kind."""
        found = (
            re.fullmatch(r"UID FETCH (\d+) \(UID BODY\.PEEK\[\].*", line) for line in self.heard
        )
        return [int(one[1]) for one in found if one]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        self._thread.join(5)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(5)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                if self._tls:
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    context.load_cert_chain(SELF_SIGNED)
                    connection = context.wrap_socket(connection, server_side=True)
                self._converse(connection)
            except OSError:
                pass  # the client hung up first
            finally:
                connection.close()

    def _converse(self, connection: socket.socket) -> None:
        self._file = connection.makefile("rb")
        with self._file:
            connection.sendall(b"* OK ready\r\n")
            while line := self._file.readline().decode().rstrip("\r\n"):
                tag, _, words = line.partition(" ")
                self.heard.append(words)
                if self.silent:
                    continue
                answer = self._answer(connection, words)
                if answer is None:
                    return
                connection.sendall(f"{tag} {answer}\r\n".encode())
                if words == "LOGOUT":
                    return

    def _answer(self, connection: socket.socket, words: str) -> str | None:
        """The last line of the answer; None to hang up."""

        def say(line: bytes) -> None:
            connection.sendall(line + b"\r\n")

        if words == "CAPABILITY":
            say(f"* CAPABILITY {self.capabilities}".encode())
        elif words == "AUTHENTICATE PLAIN":
            say(b"+ ")
            given = base64.b64decode(self._file.readline())
            return self._logged_in(given == f"\0{USER}\0{PASSWORD}".encode())
        elif words.startswith("LOGIN "):
            self.heard[-1] = "LOGIN"
            return self._logged_in(words == f'LOGIN "{USER}" "{PASSWORD}"')
        elif words.startswith("EXAMINE "):
            if words != 'EXAMINE "INBOX"':
                return f"NO [NONEXISTENT] no such folder of {USER}"
            say(f"* {len(self.messages)} EXISTS".encode())
            say(f"* OK [UIDVALIDITY {self.validity}] valid".encode())
            return "OK [READ-ONLY] done"
        elif found := re.fullmatch(r"UID SEARCH UID (\d+):\* SINCE (\d+)-(\w+)-(\d+)", words):
            since = date(int(found[4]), MONTHS.index(found[3]) + 1, int(found[2]))
            say(f"* SEARCH {' '.join(map(str, self._found(int(found[1]), since)))}".encode())
        elif found := re.fullmatch(r"UID FETCH ([\d,]+) \((.*)\)", words):
            for uid in map(int, found[1].split(",")):
                if uid in self.messages and not self._sends(connection, uid, found[2]):
                    return None
        elif words != "LOGOUT":
            return "BAD this would change something, or is unknown here"
        return "OK done"

    def _logged_in(self, right: bool) -> str:
        return "OK hello" if right and self.knows else f"NO [{self.refusal}] not {USER}"

    def _found(self, first: int, since: date) -> list[int]:
        """As the standard has it: `*` is the last message, whatever stands before the colon."""
        last = max(self.messages, default=0)
        return [
            uid
            for uid, (_, day) in sorted(self.messages.items())
            if (uid >= first or uid == last) and day >= since
        ]

    def _sends(self, connection: socket.socket, uid: int, asked: str) -> bool:
        raw, fault = self.messages[uid][0], self.faults.get(uid)
        if "HEADER.FIELDS (CONTENT-TYPE)" in asked:
            head = raw.partition(b"\r\n\r\n")[0]
            lines = re.findall(rb"(?im)^content-type:.*(?:\r\n[ \t].*)*", head)
            size = 1000 if fault == LONGER else len(raw)
            words = f"RFC822.SIZE {size} BODY[HEADER.FIELDS (CONTENT-TYPE)]"
            return self._literal(connection, uid, words, b"\r\n".join([*lines, b"", b""]))
        part = re.search(r"<0\.(\d+)>", asked)
        assert part, "a message is asked for up to a limit"
        body = raw[: int(part[1])]
        if fault == CUT:
            head = f"* 1 FETCH (UID {uid} BODY[]<0> {{{len(body)}}}\r\n".encode()
            connection.sendall(head + body[: len(body) // 2])
            return False
        if fault == ENDLESS:
            connection.sendall(b"* 1 FETCH (BODY[]<0> {1099511627776}\r\n" + body)
            return False
        return self._literal(connection, uid, "BODY[]<0>", body)

    def _literal(self, connection: socket.socket, uid: int, words: str, held: bytes) -> bool:
        before, after = (b"", f" UID {uid}") if self.uid_last else (f"UID {uid} ".encode(), "")
        head = b"* %d FETCH (%b%b {%d}\r\n" % (uid - 100, before, words.encode(), len(held))
        connection.sendall(head + held + f"{after})\r\n".encode())
        return True
