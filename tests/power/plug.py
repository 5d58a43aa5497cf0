"""Listens between SQLite and the system: every write, every sync, every file that comes or goes.

The very SQLite library that Python's `sqlite3` uses gets another file system (a VFS of its own),
which does as the usual one and tells a `Disk`. The service under test knows nothing of it.
https://sqlite.org/vfs.html
"""

import _sqlite3
import ctypes
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.power.disk import Disk

# The database, a rollback journal, a WAL: https://sqlite.org/c3ref/c_open_autoproxy.html
_KEPT = 0x00000100 | 0x00000800 | 0x00080000
_FULL = 13
_IOERR_WRITE, _IOERR_FSYNC, _IOERR_DELETE = 10 | 3 << 8, 10 | 4 << 8, 10 | 10 << 8
_library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))

_Open = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_Close = CFUNCTYPE(c_int, c_void_p)
_Write = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_Truncate = CFUNCTYPE(c_int, c_void_p, c_int64)
_Sync = CFUNCTYPE(c_int, c_void_p, c_int)
_Delete = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
_OpenFolder = CFUNCTYPE(c_int, c_char_p, POINTER(c_int))
_SetCall = CFUNCTYPE(c_int, c_void_p, c_char_p, c_void_p)
_GetCall = CFUNCTYPE(c_void_p, c_void_p, c_char_p)


class _Methods(Structure):
    """sqlite3_io_methods: what can be done with an open file."""

    _fields_ = [
        ("iVersion", c_int),
        ("xClose", _Close),
        ("xRead", c_void_p),
        ("xWrite", _Write),
        ("xTruncate", _Truncate),
        ("xSync", _Sync),
        ("rest", c_void_p * 13),
    ]


class _File(Structure):
    """sqlite3_file: its first field is the only one that is everybody's."""

    _fields_ = [("methods", POINTER(_Methods))]


class _Vfs(Structure):
    """sqlite3_vfs: how files are opened."""

    _fields_ = [
        ("iVersion", c_int),
        ("szOsFile", c_int),
        ("mxPathname", c_int),
        ("pNext", c_void_p),
        ("zName", c_char_p),
        ("pAppData", c_void_p),
        ("xOpen", _Open),
        ("xDelete", _Delete),
        ("between", c_void_p * 11),
        ("xSetSystemCall", _SetCall),
        ("xGetSystemCall", _GetCall),
        ("xNextSystemCall", c_void_p),
    ]


class _Plug:
    """One for the process: SQLite never lets go of what was registered."""

    def __init__(self) -> None:
        self.disk: Disk | None = None
        if not hasattr(_library, "sqlite3_vfs_find"):
            raise RuntimeError("This Python hides its SQLite; take one that uses the system's.")
        _library.sqlite3_vfs_find.restype = c_void_p
        self._usual = _Vfs.from_address(_library.sqlite3_vfs_find(None))
        self._ours = _Vfs.from_buffer_copy(self._usual)
        self._ours.zName = b"plug"
        self._ours.xOpen, self._ours.xDelete = _Open(self._opened), _Delete(self._deleted)
        self._methods: dict[int, tuple[_Methods, _Methods]] = {}  # the usual ones, and ours
        self._files: dict[int, tuple[int, _Methods]] = {}  # open: its node, its usual methods
        folder = self._usual.xGetSystemCall(ctypes.addressof(self._usual), b"openDirectory")
        self._open_folder = _OpenFolder(folder)
        self._folder_opened = _OpenFolder(self._folder_is_opened)
        self._fsync = os.fsync

    def put_in(self, disk: Disk) -> None:
        self.disk = disk
        self._be_the_default(self._ours)
        ours = ctypes.cast(self._folder_opened, c_void_p)
        self._usual.xSetSystemCall(ctypes.addressof(self._usual), b"openDirectory", ours)

    def take_out(self) -> None:
        self.disk = None
        self._be_the_default(self._usual)
        self._usual.xSetSystemCall(ctypes.addressof(self._usual), b"openDirectory", None)

    def _be_the_default(self, vfs: _Vfs) -> None:
        assert _library.sqlite3_vfs_register(ctypes.byref(vfs), 1) == 0

    @property
    def _over(self) -> bool:
        return self.disk is not None and self.disk.over

    # ---- what SQLite calls -----------------------------------------------------------------------

    def _opened(self, vfs: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        path = Path(os.fsdecode(ctypes.string_at(name))) if name else None
        if self.disk is not None:
            self.disk.look()  # what went just before is not what comes now
        code: int = self._usual.xOpen(vfs, name, file, flags, out)
        if code == 0 and self.disk is not None and path is not None and flags & _KEPT:
            node = self.disk.node_of(path)
            if node is not None:
                self._listen(file, node)
        return code

    def _deleted(self, vfs: int, name: int, sync_folder: int) -> int:
        if self._over:
            return _IOERR_DELETE
        return int(self._usual.xDelete(vfs, name, sync_folder))

    def _listen(self, file: int, node: int) -> None:
        opened = _File.from_address(file)
        usual = ctypes.addressof(opened.methods.contents)
        if usual not in self._methods:
            ours = _Methods.from_buffer_copy(opened.methods.contents)
            ours.xClose, ours.xWrite = _Close(self._closed), _Write(self._wrote)
            ours.xTruncate, ours.xSync = _Truncate(self._truncated), _Sync(self._synced)
            self._methods[usual] = _Methods.from_address(usual), ours
        methods, ours = self._methods[usual]
        self._files[file] = node, methods
        opened.methods = ctypes.pointer(ours)

    def _closed(self, file: int) -> int:
        _, methods = self._files.pop(file)
        return int(methods.xClose(file))

    def _wrote(self, file: int, data: int, size: int, offset: int) -> int:
        if self._over:
            return _IOERR_WRITE
        if self.disk is not None and self.disk.is_full():
            return _FULL
        node, methods = self._files[file]
        code: int = methods.xWrite(file, data, size, offset)
        if code == 0 and self.disk is not None:
            self.disk.wrote(node, offset, ctypes.string_at(data, size))
        return code

    def _truncated(self, file: int, size: int) -> int:
        if self._over:
            return _IOERR_WRITE
        node, methods = self._files[file]
        code: int = methods.xTruncate(file, size)
        if code == 0 and self.disk is not None:
            self.disk.truncated(node, size)
        return code

    def _synced(self, file: int, flags: int) -> int:
        if self._over:
            return _IOERR_FSYNC
        node, methods = self._files[file]
        if self.disk is not None and self.disk.sync_fails():
            self.disk.failed(node)
            return _IOERR_FSYNC
        code: int = methods.xSync(file, flags)
        if code == 0 and self.disk is not None:
            self.disk.synced(node)
        return code

    def _folder_is_opened(self, path: bytes, out: Any) -> int:
        """SQLite opens a folder only to sync it."""
        code: int = self._open_folder(path, out)
        if code == 0 and self.disk is not None:
            self.disk.folder_synced(Path(os.fsdecode(path)).parent)
        return code

    # ---- what Python calls -----------------------------------------------------------------------

    def synced_by_python(self, descriptor: int) -> None:
        self._fsync(descriptor)
        if self.disk is None:
            return
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            self.disk.folder_synced(path)
        elif (node := self.disk.node_of(path)) is not None:
            self.disk.read_anew(node, path)
            self.disk.synced(node)


_plug: list[_Plug] = []


@contextmanager
def plugged(disk: Disk) -> Iterator[None]:
    """Everything that SQLite does in this process under the disk's folder is told to it."""
    if not _plug:
        _plug.append(_Plug())
    (plug,) = _plug
    plug.put_in(disk)
    try:
        with patch("os.fsync", plug.synced_by_python):
            yield
    finally:
        plug.take_out()
