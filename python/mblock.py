# SPDX-License-Identifier: BSD-3-Clause
"""Manage the RAM disks of a running nbdkit with the plugin mramdisk.

    import mblock
    with mblock.Server("/run/mblock/mramdisk/main/control.sock") as server:
        server.clone("golden", "vm-1", quota=2 << 30)
        print(server.info("vm-1")["owned"])
        server.reset("vm-1")

Each method of Server is one request; mblock-control(7) describes what it does
and what it returns.  Sizes are in bytes.  Any other method of the protocol, also
those of the mnbd filter, can be called with Server.call().

A Server is one connection.  It may be used by one thread at a time.
"""

from __future__ import annotations

import glob
import json
import os
import socket
import stat
from typing import Any, Dict, Iterator, List, Optional, Sequence

__all__ = ["Server", "Error", "NoDisk", "DiskExists", "DiskInUse",
           "ConnectionLost", "find_socket"]

_LONGEST_LINE = 64 << 20


class Error(Exception):
    """The server refused a request.

    code is the protocol's code, errno the name of the error ("ENOENT") or
    None, and data whatever else the server said, as a dict.
    """

    def __init__(self, message: str, code: int, data: Dict[str, Any]) -> None:
        super().__init__(message)
        self.code = code
        self.data = data
        self.errno: Optional[str] = data.get("errno")


class NoDisk(Error):
    """There is no such disk, client or job."""


class DiskExists(Error):
    """There is a disk of that name already."""


class DiskInUse(Error):
    """Clients have the disk open: data["peers"] says who."""


class ConnectionLost(Exception):
    """The server is gone, or does not answer in time.

    If that happened during a change, it is not known whether it was made.
    """


_CLASSES = {-32000: NoDisk, -32001: DiskExists, -32009: DiskInUse}


def find_socket() -> str:
    """The control socket that mblockctl would use: $MBLOCK_SOCKET, or the only
    one below $XDG_RUNTIME_DIR or /run.  Raises FileNotFoundError if there is
    none or more than one.
    """
    given = os.environ.get("MBLOCK_SOCKET")
    if given:
        return given
    for folder in os.environ.get("XDG_RUNTIME_DIR"), "/run":
        if not folder:
            continue
        found = [path for place in ("control.sock", "*/*/control.sock")
                 for path in sorted(glob.glob(os.path.join(
                     glob.escape(folder), "mblock", place)))
                 if stat.S_ISSOCK(os.stat(path).st_mode)]
        if len(found) == 1:
            return found[0]
        if found:
            raise FileNotFoundError("several control sockets: "
                                    + ", ".join(found))
    raise FileNotFoundError("no control socket: set MBLOCK_SOCKET")


class Server:
    """A connection to a control socket.

    Without path, find_socket() finds it.  A response that takes longer than
    timeout seconds raises ConnectionLost; None waits for ever.
    """

    def __init__(self, path: Optional[str] = None,
                 timeout: Optional[float] = 60) -> None:
        self._path = find_socket() if path is None else path
        self._timeout = timeout
        self._id = 0
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(self._path)
        except BaseException:
            self._socket.close()
            raise
        self._file = self._socket.makefile("rb")

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # ------------------------------------------------------------ protocol

    def _read(self) -> Dict[str, Any]:
        try:
            line = self._file.readline(_LONGEST_LINE)
        except OSError as e:
            raise ConnectionLost(f"{self._path}: {e}") from e
        if not line.endswith(b"\n"):
            raise ConnectionLost(f"{self._path}: the server closed the "
                                 "connection")
        message: Dict[str, Any] = json.loads(line)
        return message

    def call(self, method: str, /, **params: Any) -> Dict[str, Any]:
        """Call any method; params that are None are left out, so pass null with
        a value of mblock.NULL.
        """
        self._id += 1
        request = {"jsonrpc": "2.0", "id": self._id, "method": method,
                   "params": {k: None if v is NULL else v
                              for k, v in params.items() if v is not None}}
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError as e:
            raise ConnectionLost(f"{self._path}: {e}") from e
        while True:
            answer = self._read()
            if "method" in answer:      # an event of watch()
                continue
            if answer.get("id") not in (None, self._id):
                continue                # of a call that was interrupted
            if "error" in answer:
                error = answer["error"]
                data = error.get("data") or {}
                kind = _CLASSES.get(error["code"], Error)
                if kind is DiskInUse and "peers" not in data:
                    kind = Error        # something else is busy
                raise kind(error["message"], error["code"], data)
            result: Dict[str, Any] = answer["result"]
            return result

    def _pages(self, method: str, items: str, cursor: str,
               **params: Any) -> Iterator[Dict[str, Any]]:
        at = None
        while True:
            page = self.call(method, limit=1000, **{cursor: at}, **params)
            yield from page[items]
            at = page["next"]
            if at is None:
                return

    # ------------------------------------------------------------- changes

    def create(self, name: str, size: Optional[int] = None, *,
               sector_size: Optional[int] = None, readonly: bool = False,
               quota: Optional[int] = None, if_exists: str = "error",
               force: bool = False) -> bool:
        """Create an empty disk.  Returns False if it was there and if_exists is
        "ignore".
        """
        return bool(self.call("disk_create", name=name, size=size,
                              sector_size=sector_size, readonly=readonly,
                              quota=quota, if_exists=if_exists,
                              if_open=_guard(force))["created"])

    def clone(self, source: str, name: str, *, readonly: bool = False,
              quota: Optional[int] = None, if_exists: str = "error",
              force: bool = False) -> bool:
        """Create a disk with the current content of source."""
        return bool(self.call("disk_clone", source=source, name=name,
                              readonly=readonly, quota=quota,
                              if_exists=if_exists,
                              if_open=_guard(force))["created"])

    def snapshot(self, source: str, name: str) -> bool:
        """Create a read-only clone."""
        return self.clone(source, name, readonly=True)

    def reset(self, name: str, *, force: bool = False) -> str:
        """Take a clone back to its parent, whose name is returned."""
        return str(self.call("disk_reset", name=name,
                             if_open=_guard(force))["parent"])

    def rename(self, name: str, new_name: str) -> None:
        self.call("disk_rename", name=name, new_name=new_name)

    def resize(self, name: str, size: int, *, force: bool = False) -> int:
        """Change the size; returns what it was."""
        return int(self.call("disk_resize", name=name, size=size,
                             if_open=_guard(force))["old_size"])

    def set(self, name: str, *, readonly: Optional[bool] = None,
            quota: Any = None, force: bool = False) -> Dict[str, Any]:
        """Change the read-only flag or the quota; mblock.NULL is no quota."""
        return self.call("disk_set", name=name, readonly=readonly, quota=quota,
                         if_exceeded=None if quota is None else _guard(force))

    def destroy(self, name: str, *, force: bool = False,
                ignore_missing: bool = False) -> None:
        """Destroy a disk.  One that clients have open raises DiskInUse, unless
        force is true.
        """
        try:
            self.call("disk_destroy", name=name, if_open=_guard(force))
        except NoDisk:
            if not ignore_missing:
                raise

    def disconnect(self, name: str, *, at_once: bool = False) -> int:
        """Disconnect the clients of a disk; returns how many there were."""
        n = 0
        for client in list(self.clients(name)):
            try:
                self.call("client_disconnect", id=client["id"],
                          at_once=at_once)
                n += 1
            except NoDisk:      # it has gone by itself
                pass
        return n

    # ------------------------------------------------------------- looking

    def disks(self) -> List[Dict[str, Any]]:
        """All disks, sorted by name."""
        return list(self._pages("disk_list", "disks", "after"))

    def info(self, name: str) -> Dict[str, Any]:
        """Everything about a disk, with what is exclusive and shared."""
        return self.call("disk_info", name=name)

    def exists(self, name: str) -> bool:
        try:
            self.call("disk_set", name=name)
        except NoDisk:
            return False
        return True

    def clients(self, name: Optional[str] = None) -> List[Dict[str, Any]]:
        """Who has disks open, newest first."""
        return list(self._pages("client_list", "clients", "before",
                                name=name))

    def diff(self, a: str, b: str,
             types: Optional[bool] = None) -> List[Dict[str, Any]]:
        """The ranges in which two disks differ; with types, also what the
        second has there."""
        return list(self._pages("disk_diff", "extents", "offset", a=a, b=b,
                                types=types))

    def stats(self) -> Dict[str, Any]:
        """Statistics of the server, without its disks."""
        result = self.call("stats", limit=1)
        del result["disks"], result["next"]
        return result

    def watch(self, events: Optional[Sequence[str]] = None
              ) -> Iterator[Dict[str, Any]]:
        """Yield events as they happen, without end.  Uses a connection of its
        own, which is subscribed when this returns.
        """
        watcher = Server(self._path, self._timeout)
        try:
            watcher.call("subscribe",
                         events=None if events is None else list(events))
        except BaseException:
            watcher.close()
            raise
        watcher._socket.settimeout(None)
        return watcher._events()

    def _events(self) -> Iterator[Dict[str, Any]]:
        with self:
            while True:
                message = self._read()
                if "method" in message:
                    yield message["params"]


class _Null:
    def __repr__(self) -> str:
        return "mblock.NULL"


NULL: Any = _Null()
"""JSON's null as a parameter, such as "no quota" for Server.set()."""


def _guard(force: bool) -> str:
    return "keep" if force else "error"
