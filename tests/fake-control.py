#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A control server for the tests of mblockctl: disks that are only figures,
and on request the ways in which a server can go wrong.

Usage: fake-control.py SOCKET [MODE]

MODE:
  normal      behave (the default)
  busy        refuse each client as the server does that has too many
  garbage     answer with what is not JSON
  array       answer with JSON that is not an object
  hangup      close when a request comes
  partial     close in the middle of an answer
  silent      read requests, never answer
  wrong-id    answer another request
  no-result   answer without result and error
  no-members  answer with empty results
  circle      give the same page again and again
  long        an answer without end
  late=S      behave, after S seconds without listening
  slow=S      behave, but think S seconds about each request
"""

import json
import os
import socket
import sys
import threading
import time

START = time.time()
PAGE = 4096
lock = threading.Lock()
disks = {}
subscribers = []
ticks = 0


class Refused(Exception):
    def __init__(self, code, message, errno=None, **data):
        self.error = {"code": code, "message": message}
        if errno:
            self.error["data"] = {"errno": errno, **data}


def new_disk(name, size, readonly=False, quota=None, sector=1):
    return {"name": name, "size": size, "sector_size": sector,
            "readonly": readonly, "quota": quota, "shared": 0, "own": 0,
            "connections": 0, "parent": None}


def disk(name):
    if name not in disks:
        raise Refused(-32000, 'there is no disk "%s"' % name, "ENOENT")
    return disks[name]


def public(d):
    return {"name": d["name"], "size": d["size"],
            "sector_size": d["sector_size"], "readonly": d["readonly"],
            "quota": d["quota"], "mapped": d["shared"] + d["own"],
            "owned": d["own"],
            "connections": d["connections"], "parent": d["parent"],
            "parent_exists": d["parent"] in disks}


def event(kind, **more):
    line = json.dumps({"jsonrpc": "2.0", "method": "event", "params":
                       dict(event=kind, **more, time=time.time())}) + "\n"
    for subscriber in list(subscribers):
        send, kinds = subscriber
        if kind in kinds:
            try:
                send(line)
            except SystemExit:          # that client has gone
                subscribers.remove(subscriber)


def check_in_use(name, if_open):
    n = disks[name]["connections"] if name in disks else 0
    if n and if_open == "error":
        raise Refused(-32009, 'name: the disk "%s" is in use by %d clients '
                      '(unix, pid 4711, uid 0; unix, pid 4712, uid 0)'
                      % (name, n), "EBUSY", clients=n)


def put(d, if_exists, kind, if_open="keep", **more):
    if d["name"] in disks:
        if if_exists == "error":
            raise Refused(-32001, 'the disk "%s" exists already' % d["name"],
                          "EEXIST")
        if if_exists == "ignore":
            return {"name": d["name"], "created": False, "replaced": False}
        check_in_use(d["name"], if_open)
        disks[d["name"]] = d
        event("replaced", name=d["name"])
        return {"name": d["name"], "created": False, "replaced": True}
    disks[d["name"]] = d
    event(kind, name=d["name"], **more)
    return {"name": d["name"], "created": True, "replaced": False}


def disk_create(name, size=16 << 20, sector_size=1, readonly=False,
                quota=None, if_exists="error", if_open="keep"):
    if size % sector_size:
        raise Refused(-32002, "size: %d: expected a multiple of the sector "
                      "size, %d" % (size, sector_size), "EINVAL")
    return put(new_disk(name, size, readonly, quota, sector_size), if_exists,
               "created", if_open, size=size)


def disk_destroy(name, if_open="keep", dry_run=False):
    disk(name)
    check_in_use(name, if_open)
    if not dry_run:
        del disks[name]
        event("destroyed", name=name)
    return {"name": name}


def disk_resize(name, size, if_open="keep"):
    d = disk(name)
    if size < d["size"]:
        check_in_use(name, if_open)
    old, d["size"] = d["size"], size
    event("resized", name=name, old_size=old, size=size)
    return {"name": name, "size": size, "old_size": old}


def disk_clone(source, name, readonly=False, quota=None, if_exists="error",
               if_open="keep"):
    s = disk(source)
    d = new_disk(name, s["size"], readonly, quota, s["sector_size"])
    d["parent"] = source
    d["shared"] = s["shared"] + s["own"]
    return put(d, if_exists, "cloned", if_open, source=source)


def disk_set(name, readonly=None, quota="keep", if_exceeded="keep",
             dry_run=False):
    d = disk(name)
    if if_exceeded == "error" and quota not in ("keep", None) and \
            d["own"] > quota:
        raise Refused(-32010, 'quota: %d: the disk "%s" owns %d bytes already'
                      % (quota, name, d["own"]), "EDQUOT")
    if dry_run:
        d = dict(d)
    if readonly is not None:
        d["readonly"] = readonly
    if quota != "keep":
        d["quota"] = quota
    if not dry_run:
        event("set", name=name, readonly=d["readonly"], quota=d["quota"])
    return {"name": name, "readonly": d["readonly"], "quota": d["quota"]}


def disk_rename(name, new_name):
    d = disk(name)
    if new_name in disks:
        raise Refused(-32001, 'new_name: there is a disk "%s" already'
                      % new_name, "EEXIST")
    del disks[name]
    d["name"] = new_name
    disks[new_name] = d
    event("renamed", name=new_name, source=name)
    return {"name": new_name, "old_name": name}


def disk_reset(name, if_open="keep", dry_run=False):
    d = disk(name)
    if d["parent"] not in disks:
        raise Refused(-32011, 'name: the disk "%s" has no parent: it is not a '
                      'clone, or the disk it was cloned from is gone' % name,
                      "ECHILD")
    check_in_use(name, if_open)
    if not dry_run:
        d["own"] = 0
    return {"name": name, "parent": d["parent"]}


def client(id, disk, deleted=False):
    return {"id": id, "disk": disk, "disk_id": 1, "deleted": deleted,
            "address": "unix", "pid": 4710 + id, "uid": 0, "gid": 0,
            "security_context": None, "tls_issuer_dn": None,
            "tls_dn": "CN=vm\033[31m,O=Big Co" if id == 3 else None,
            "since": "2026-01-02T03:04:05.678901Z", "last_request":
            "2026-01-02T03:04:06.000000Z" if id == 1 else None,
            "requests": 1000 * id, "errors": 0, "bytes_read": 1 << 20,
            "bytes_written": 0}


def client_list(name=None, before=None, limit=100):
    all = [client(3, "gone", True), client(2, "busy"), client(1, "busy")]
    found, next = page([c for c in all if name in (None, c["disk"])
                        and (before is None or c["id"] < before)],
                       lambda c: c["id"], min(limit, 2))
    return {"clients": found, "next": next}


def client_disconnect(id, at_once=False):
    if id > 3:
        raise Refused(-32000, "id: there is no client %d" % id, "ENOENT")
    return {"id": id, "closed": id != 1}


def disk_deleted(after=0, limit=100):
    d = new_disk("gone", 1 << 20)
    d["own"] = 4096
    return {"disks": [dict(public(d), id=1, clients=[client(3, "gone", True)])],
            "next": None}


def page(items, key, limit):
    """The first of them, and where to go on."""
    more = len(items) > limit
    items = items[:limit]
    return items, key(items[-1]) if more else None


def names(after, limit):
    later = sorted((n for n in disks if after is None or n > after),
                   key=lambda n: n.encode())
    return page(later, lambda n: n, limit)


def disk_list(after=None, limit=100):
    found, next = names(after, limit)
    return {"disks": [public(disks[n]) for n in found], "next": next}


def disk_info(name):
    d = disk(name)
    return dict(public(d), exclusive=d["own"], shared=d["shared"])


def disk_extents(name, offset=0, length=None, limit=1000, sharing=False):
    """A quarter each: own data and holes in turn, shared, zero, hole."""
    d = disk(name)
    size = d["size"]
    quarter = size // 4 // PAGE * PAGE
    if quarter == 0:
        return {"extents": [{"offset": offset, "length": size - offset,
                             "type": "hole"}], "next": None}
    all, at = [], 0
    step = max(PAGE, quarter // 1024 // PAGE * PAGE)
    while at < quarter:
        n = min(step, quarter - at)
        e = {"offset": at, "length": n,
             "type": "hole" if at // step % 2 else "data"}
        if sharing and e["type"] == "data":
            e["shared"] = False
        all.append(e)
        at += n
    e = {"offset": at, "length": quarter, "type": "data"}
    if sharing:
        e["shared"] = True
    all.append(e)
    all.append({"offset": 2 * quarter, "length": quarter, "type": "zero"})
    all.append({"offset": 3 * quarter, "length": size - 3 * quarter,
                "type": "hole"})
    end = size if length is None else offset + length
    cut = []
    for e in all:
        first = max(e["offset"], offset)
        last = min(e["offset"] + e["length"], end)
        if first < last:
            cut.append(dict(e, offset=first, length=last - first))
    found, next = page(cut, lambda e: e["offset"] + e["length"], limit)
    return {"extents": found, "next": next}


def disk_diff(a, b, offset=0, limit=1000, types=False):
    n = 0 if a == b else 25
    disk(a), disk(b)
    all = [{"offset": i * 65536, "length": PAGE,
            **({"type": "data"} if types else {})} for i in range(n)
           if i * 65536 >= offset]
    found, next = page(all, lambda e: e["offset"] + e["length"], limit)
    return {"extents": found, "next": next}


def disk_stats(d):
    busy = 1000 if d["name"] == "busy" else 10 if d["name"] == "idle" else 0
    n = busy * ticks

    def op(n, size):
        return {"ops": n, "bytes": n * size, "errors": n // 1000,
                "latency": [[256, n // 2], [1024, n - n // 2 - n // 100],
                            [16384, n // 100]] if n else []}
    return {"name": d["name"], "connections": d["connections"],
            "size": d["size"], "mapped": d["shared"] + d["own"],
            "owned": d["own"], "quota": d["quota"],
            "read": op(4 * n, 4096), "write": op(n, 65536),
            "zero": op(n // 10, 4096), "trim": op(0, 0),
            "flush": {"ops": n // 5, "errors": 0}, "cache": op(n // 50, 4096),
            "extents": {"ops": n // 20, "errors": 0},
            "enospc_quota": 3 if d["quota"] else 0, "enospc_memory": 0}


def stats(name=None, after=None, limit=100):
    global ticks
    if after is None:
        ticks += 1
    found, next = ([disk(name)["name"]], None) if name is not None \
        else names(after, limit)
    used = sum(d["own"] for d in disks.values())
    return {"arena": {"limit": 8 << 30, "used": used, "cached": 1 << 20,
                      "disks": len(disks), "clients": 1, "connections": 2,
                      "uptime_seconds": time.time() - START},
            "total": disk_stats(dict(new_disk("busy", 0), quota=1)),
            "latency_sample": 16, "disks": [disk_stats(disks[n]) for n in found],
            "next": next}


def version():
    return {"name": "mramdisk", "version": "0.1.0", "protocol": 1}


def help(method=None):
    found = [m for m in METHODS if method in (None, m)]
    if not found:
        raise Refused(-32602, 'method: there is no method "%s"' % method)
    return {"methods": [{"name": m, "summary": "fake " + m, "result": "-",
                         "params": [{"name": "name", "type": "string",
                                     "required": True, "summary": "a disk",
                                     "default": None}]} for m in found]}


METHODS = {f.__name__: f for f in (
    version, help, disk_create, disk_destroy, disk_resize, disk_clone,
    disk_set, disk_rename, disk_reset, disk_deleted, client_list,
    client_disconnect, disk_list, disk_info, disk_extents, disk_diff, stats)}
EVENTS = ["created", "destroyed", "resized", "cloned", "replaced", "set",
          "memory_low", "quota", "quota_low", "renamed", "origin"]


def answer(request, send):
    params = request.get("params", {})
    name = request["method"]
    if name == "subscribe":
        kinds = params.get("events", EVENTS)
        for k in kinds:
            if k not in EVENTS:
                raise Refused(-32602, "events: unknown event " + k)
        subscribers.append((send, kinds))
        return {"events": kinds}
    if name not in METHODS:
        raise Refused(-32601, "unknown method " + name)
    try:
        return METHODS[name](**params)
    except TypeError as e:
        raise Refused(-32602, str(e))


def misbehave(mode, id, conn, send):
    """Returns False if the connection ends here."""
    if mode == "garbage":
        send("HTTP/1.1 400 Bad Request\n")
    elif mode == "array":
        send("[1, 2]\n")
    elif mode == "hangup":
        return False
    elif mode == "partial":
        send('{"jsonrpc": "2.0", "id": 1, "res')
        return False
    elif mode == "wrong-id":
        send('{"jsonrpc": "2.0", "id": 4711, "result": {}}\n')
    elif mode == "no-result":
        send('{"jsonrpc": "2.0", "id": %d}\n' % id)
    elif mode == "no-members":
        send('{"jsonrpc": "2.0", "id": %d, "result": {}}\n' % id)
    elif mode == "circle":
        send(json.dumps({"jsonrpc": "2.0", "id": id, "result": {
            "disks": [public(new_disk("x", 1))], "next": "x"}}) + "\n")
    elif mode == "long":
        while True:
            send(" " * (1 << 20))
    return True


def serve(conn, mode):
    try:
        serve_client(conn, mode)
    except ConnectionResetError:
        pass                    # the client did not wait for its answers


def serve_client(conn, mode):
    def send(s):
        try:
            conn.sendall(s.encode("utf-8", "surrogatepass"))
        except OSError:
            sys.exit()          # this thread
    if mode == "busy":
        send('{"jsonrpc": "2.0", "id": null, "error": {"code": -32008, '
             '"message": "too many clients"}}\n')
        conn.close()
        return
    for line in conn.makefile("rb"):
        request = json.loads(line)
        id = request["id"]
        if mode.startswith("slow="):
            time.sleep(float(mode[5:]))
        elif mode not in ("normal", "late"):
            if misbehave(mode, id, conn, send):
                continue
            break
        try:
            with lock:
                r = {"result": answer(request, send)}
        except Refused as e:
            r = {"error": e.error}
        send(json.dumps(dict(jsonrpc="2.0", id=id, **r)) + "\n")
    conn.shutdown(socket.SHUT_RDWR)
    conn.close()


def main():
    path = sys.argv[1]
    mode = sys.argv[2] if len(sys.argv) > 2 else "normal"
    if mode.startswith("late="):
        time.sleep(float(mode[5:]))
        mode = "normal"
    for name, size, shared, own in (
            ("golden", 10 << 30, 0, 3 << 30), ("busy", 1 << 30, 96 << 20,
                                               5 << 20),
            ("idle", 16 << 20, 0, 0)):
        disks[name] = d = new_disk(name, size)
        d["shared"], d["own"] = shared, own
    disks["golden"]["readonly"] = True
    disks["busy"].update(quota=1 << 30, connections=2)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path + ".new")
    server.listen(16)
    os.rename(path + ".new", path)      # who sees it can connect
    while True:
        conn, _ = server.accept()
        threading.Thread(target=serve, args=(conn, mode), daemon=True).start()


main()
