#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""An NBD server for the tests that misbehaves on command.

It serves sparse disks in memory, correctly, except where a fault says
otherwise, and logs what it received, in order, as JSON lines.

Faults
  --fault on=EVENT,do=ACTION[,KEY=VALUE...]      (repeatable)

  EVENT   connect   accepted, nothing sent yet
          greeting  the greeting is out, the client's flags are not read
          option    an option came (opt=GO|INFO|LIST|... narrows it)
          done      the handshake is over
          read write zero trim flush cache extents
          any       any of these seven
  ACTION  close     close the connection
          garbage   send bytes=N (256) that mean nothing; then=close|stay
          error     errno=NAME (EIO), ms=N (0) later; for an option: an error
                    reply
          slow      answer ms=N (100) later; the order may change
          late      carry out the request ms=N (100) later, and only then the
                    connection's next one
          sip       from now on read bytes=N (1024) at a time, ms=N (100) apart
          never     carry out the request but never answer it
          ignore    do not even carry it out, and never answer
          reorder   hold the answers until depth=N (4) are held or nothing
                    came for 50 ms, then send them last first
          partial   send bytes=N (4) of the answer; then=close|stay
          cookie    answer with a cookie that nobody sent
          offset    answer for another offset (extended headers)
          magic     answer with a wrong magic number
          chunks    answer with json=LIST: of a structured reply the chunks as
                    [KIND, ...], the last with the flag that says so.  KIND and
                    what follows: data OFFSET LENGTH, hole OFFSET LENGTH (from
                    the request's offset on), extents CONTEXT LENGTH FLAGS ...,
                    error NUMBER, none.  With extended headers, extents are of
                    the longer kind; counted COUNT CONTEXT LENGTH FLAGS ... has
                    another count, short CONTEXT LENGTH FLAGS ... is of the
                    shorter kind, and long LENGTH claims to be so long
          endless   an option: one more part of the answer, again and again; a
                    request: chunks that say there was an error, in bytes=N
                    (4000)
          trickle   answer with a byte every ms=N (100); an option: with as many
                    bytes as a part of an endless answer has
          down      drop all connections, come back in ms=N (0: never)
          die       end the process at once, as SIGKILL would
  KEY     nth=N     only the Nth time       every=N   each Nth time
          after=N   not the first N times   times=N   at most N times
          flag=NAME only requests with this flag (fua, nohole, fast, df)
          conn=N    only on the Nth connection since the start

Settings (--set KEY=VALUE[,...], or after a name in --export)
  size readonly flush fua trim zero fast_zero cache multi_conn rotational
  df min preferred max description extents(a JSON list of [length,flags])
  and, for the server: handshake (newstyle, unfixed, oldstyle), structured,
  extended (know extended headers), meta, block_info (answer NBD_INFO_BLOCK_SIZE), list (allow NBD_OPT_LIST),
  chunks (cut read replies into pieces of N bytes, last first), go (know
  NBD_OPT_GO; else only EXPORT_NAME).

Control
  --tls DIR knows STARTTLS, with DIR/server-cert.pem and its key.
  --control SOCKET takes one command a line and answers with one line that
  begins with "ok" or "error"; tell.py sends one.  Commands: down, up, drop,
  set KEY=VALUE[,...] [EXPORT], exports NAME[,...], fault FAULT, clear, count
  CMD, connections, quit.
"""

import argparse
import ctypes
import errno
import json
import os
import random
import socket
import ssl
import struct
import sys
import threading
import time
import zlib

NBDMAGIC = 0x4e42444d41474943
IHAVEOPT = 0x49484156454F5054
OLDMAGIC = 0x00420281861253
REPMAGIC = 0x3e889045565a9
REQUEST = 0x25609513
SIMPLE = 0x67446698
STRUCTURED = 0x668e33ef
EXTENDED_REQUEST = 0x21e41c71
EXTENDED = 0x6e8a278c
PAYLOAD_LEN = 32

OPTIONS = {1: 'EXPORT_NAME', 2: 'ABORT', 3: 'LIST', 5: 'STARTTLS',
           6: 'INFO', 7: 'GO', 8: 'STRUCTURED_REPLY',
           9: 'LIST_META_CONTEXT', 10: 'SET_META_CONTEXT',
           11: 'EXTENDED_HEADERS'}
REP_ACK, REP_SERVER, REP_INFO, REP_META = 1, 2, 3, 4
ERR_UNSUP, ERR_POLICY, ERR_INVALID, ERR_UNKNOWN = (
    (1 << 31) | n for n in (1, 2, 3, 6))
COMMANDS = {0: 'read', 1: 'write', 2: 'disc', 3: 'flush', 4: 'trim',
            5: 'cache', 6: 'zero', 7: 'extents'}
FLAGS = {1: 'fua', 2: 'nohole', 4: 'df', 8: 'req_one', 16: 'fast'}
# The only errors that NBD knows, with their numbers on the wire.
ERRORS = {'EPERM': 1, 'EIO': 5, 'ENOMEM': 12, 'EINVAL': 22, 'ENOSPC': 28,
          'EOVERFLOW': 75, 'ENOTSUP': 95, 'ESHUTDOWN': 108}
BLOCK = 4096
MAX_REQUEST = 64 << 20


class Gone(Exception):
    """The connection is over, whoever ended it."""


class Disk:
    """A sparse disk of 4 KiB blocks: absent is a hole, None is an
    allocated zero."""

    def __init__(self):
        self.blocks = {}

    def pieces(self, offset, length):
        while length > 0:
            n = min(BLOCK - offset % BLOCK, length)
            yield offset // BLOCK, offset % BLOCK, n
            offset += n
            length -= n

    def read(self, offset, length):
        out = bytearray(length)
        at = 0
        for block, start, n in self.pieces(offset, length):
            data = self.blocks.get(block)
            if data is not None:
                out[at:at + n] = data[start:start + n]
            at += n
        return bytes(out)

    def write(self, offset, data):
        at = 0
        for block, start, n in self.pieces(offset, len(data)):
            old = self.blocks.get(block)
            if old is None:
                old = self.blocks[block] = bytearray(BLOCK)
            old[start:start + n] = data[at:at + n]
            at += n

    def zero(self, offset, length, hole):
        first = -(-offset // BLOCK)
        last = (offset + length) // BLOCK
        if first < last and hole:
            if last - first > len(self.blocks):
                for block in [b for b in self.blocks if first <= b < last]:
                    del self.blocks[block]
            else:
                for block in range(first, last):
                    self.blocks.pop(block, None)
        elif first < last:
            for block in range(first, last):
                self.blocks[block] = None
        if first > last:
            edges = [(offset, offset + length)]
        else:
            edges = [(offset, first * BLOCK), (last * BLOCK, offset + length)]
        for start, end in edges:
            for block, begin, n in self.pieces(start, end - start):
                data = self.blocks.get(block)
                if data is not None:
                    data[begin:begin + n] = bytes(n)

    def extents(self, offset, length):
        """[length, flags] from offset on, for length bytes in all."""
        end = offset + length
        first, last = offset // BLOCK, -(-end // BLOCK)
        runs = []

        def add(nblocks, flags):
            if nblocks and runs and runs[-1][1] == flags:
                runs[-1][0] += nblocks * BLOCK
            elif nblocks:
                runs.append([nblocks * BLOCK, flags])

        at = first
        for block in sorted(b for b in self.blocks if first <= b < last):
            add(block - at, 3)
            add(1, 2 if self.blocks[block] is None else 0)
            at = block + 1
        add(last - at, 3)
        runs[0][0] -= offset - first * BLOCK
        runs[-1][0] -= last * BLOCK - end
        return runs


def to_bool(text):
    if text in ('1', 'yes', 'true', 'on', True):
        return True
    if text in ('0', 'no', 'false', 'off', False):
        return False
    raise ValueError(f'{text}: expected yes or no')


def to_size(text):
    units = {'K': 10, 'M': 20, 'G': 30, 'T': 40, 'P': 50, 'E': 60}
    if text and text[-1].upper() in units:
        return int(text[:-1], 0) << units[text[-1].upper()]
    return int(text, 0)


def split_pairs(text):
    """KEY=VALUE,... as a list; a JSON list as a value keeps its commas."""
    out, depth, part = [], 0, ''
    for c in text:
        depth += (c == '[') - (c == ']')
        if c == ',' and not depth:
            out.append(part)
            part = ''
        else:
            part += c
    out.append(part)
    return [tuple(p.partition('=')[::2]) for p in out if p]


EXPORT_DEFAULTS = {
    'size': 16 << 20, 'readonly': False, 'flush': True, 'fua': True,
    'trim': True, 'zero': True, 'fast_zero': True, 'cache': True,
    'multi_conn': True, 'rotational': False, 'df': True, 'min': 1,
    'preferred': 4096, 'max': 32 << 20, 'description': '', 'extents': None}
SERVER_DEFAULTS = {
    'handshake': 'newstyle', 'structured': True, 'extended': False,
    'meta': True,
    'block_info': True, 'list': True, 'go': True, 'chunks': 0}


class Export:
    def __init__(self, name):
        self.name = name
        self.disk = Disk()
        self.lock = threading.Lock()
        self.settings = dict(EXPORT_DEFAULTS)

    def flags(self):
        s = self.settings
        bits = 1
        for bit, key in ((1, 'readonly'), (2, 'flush'), (3, 'fua'),
                         (4, 'rotational'), (5, 'trim'), (6, 'zero'),
                         (7, 'df'), (8, 'multi_conn'), (10, 'cache'),
                         (11, 'fast_zero')):
            if s[key] and not (key == 'fast_zero' and not s['zero']):
                bits |= 1 << bit
        return bits


class Fault:
    EVENTS = {'connect', 'greeting', 'option', 'done', 'any', 'read',
              'write', 'zero', 'trim', 'flush', 'cache', 'extents'}
    ACTIONS = {'close', 'garbage', 'error', 'slow', 'late', 'never', 'ignore',
               'reorder', 'partial', 'cookie', 'offset', 'magic', 'down', 'die', 'sip',
               'chunks', 'endless', 'trickle'}
    NUMBERS = {'nth', 'every', 'after', 'times', 'ms', 'bytes', 'depth',
               'conn'}
    WORDS = {'on', 'do', 'errno', 'opt', 'flag', 'then',
             'json'}

    def __init__(self, text):
        self.text = text
        values = dict(split_pairs(text))
        for key in values:
            if key not in self.NUMBERS | self.WORDS:
                raise ValueError(f'{text}: no such key: {key}')
        for key, known in (('on', self.EVENTS), ('do', self.ACTIONS)):
            if values.get(key) not in known:
                raise ValueError(f'{text}: {key}= must be one of '
                                 + ' '.join(sorted(known)))
        if values.get('errno', 'EIO') not in ERRORS:
            raise ValueError(f'{text}: errno= must be one of '
                             + ' '.join(ERRORS))
        self.values = values
        self.numbers = {k: int(v) for k, v in values.items()
                        if k in self.NUMBERS}
        self.seen = self.fired = 0

    def __getattr__(self, key):
        if key in self.NUMBERS:
            return self.numbers.get(key)
        return self.values.get(key)

    def matches(self, event, conn, **what):
        if self.on != event and not (self.on == 'any'
                                     and event in COMMANDS.values()):
            return False
        if self.opt and self.opt != what.get('opt'):
            return False
        if self.flag and self.flag not in what.get('flags', ()):
            return False
        if self.conn and self.conn != conn:
            return False
        self.seen += 1
        if self.nth and self.seen != self.nth:
            return False
        if self.after and self.seen <= self.after:
            return False
        if self.every and self.seen % self.every:
            return False
        if self.times and self.fired >= self.times:
            return False
        self.fired += 1
        return True


class Server:
    def __init__(self, args):
        self.args = args
        self.lock = threading.RLock()
        self.settings = dict(SERVER_DEFAULTS)
        self.exports = {}
        self.hidden = {}
        self.faults = []
        self.connections = set()
        self.accepted = 0
        self.listener = None
        self.counts = {}
        self.log_file = open(args.log, 'a') if args.log else None
        self.log_lock = threading.Lock()

    def log(self, event, **more):
        if self.log_file:
            line = json.dumps({'t': round(time.monotonic(), 6),
                               'event': event, **more})
            with self.log_lock:
                self.log_file.write(line + '\n')
                self.log_file.flush()

    def apply(self, pairs, export=None):
        """Change settings; all the values are checked before any is set."""
        changes = []
        targets = [export] if export else list(self.exports.values())
        for key, value in pairs:
            if key in SERVER_DEFAULTS and export is None:
                default, holders = SERVER_DEFAULTS[key], [self.settings]
            elif key in EXPORT_DEFAULTS:
                default = EXPORT_DEFAULTS[key]
                holders = [e.settings for e in targets]
            else:
                raise ValueError(f'no such setting: {key}')
            if key == 'extents':
                value = json.loads(value)
            elif isinstance(default, bool):
                value = to_bool(value)
            elif isinstance(default, int):
                value = to_size(value)
            elif key == 'handshake' and value not in (
                    'newstyle', 'unfixed', 'oldstyle'):
                raise ValueError(f'no such handshake: {value}')
            changes.append((holders, key, value))
        for holders, key, value in changes:
            for holder in holders:
                holder[key] = value

    def find_fault(self, event, conn, **what):
        with self.lock:
            for fault in self.faults:
                if fault.matches(event, conn, **what):
                    self.log('fault', conn=conn, fault=fault.text)
                    return fault
        return None

    # Listening, and coming back.

    def up(self):
        with self.lock:
            if self.listener:
                return
            if self.args.unix:
                try:
                    os.unlink(self.args.unix)
                except FileNotFoundError:
                    pass
                sock = socket.socket(socket.AF_UNIX)
                sock.bind(self.args.unix)
            else:
                sock = socket.socket(socket.AF_INET)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(('127.0.0.1', self.args.port))
                # The same port again when the server comes back.
                self.args.port = sock.getsockname()[1]
            sock.listen(64)
            self.listener = sock
            self.log('up')
        threading.Thread(target=self.accept_loop, args=(sock,),
                         daemon=True).start()

    def down(self):
        with self.lock:
            if self.listener:
                # shutdown wakes the thread in accept, close alone does not.
                try:
                    self.listener.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                self.listener.close()
                self.listener = None
                if self.args.unix:
                    os.unlink(self.args.unix)
            self.log('down')
            self.drop()

    def drop(self):
        with self.lock:
            for conn in list(self.connections):
                conn.hang_up()

    def accept_loop(self, sock):
        while True:
            try:
                peer, _ = sock.accept()
            except OSError:
                return
            with self.lock:
                if self.listener is not sock:
                    peer.close()
                    return
                self.accepted += 1
                conn = Connection(self, peer, self.accepted)
                self.connections.add(conn)
            conn.start()

    # The control socket.

    def command(self, line):
        word, _, rest = line.partition(' ')
        if word == 'down':
            self.down()
        elif word == 'up':
            self.up()
        elif word == 'drop':
            self.drop()
        elif word == 'set':
            pairs, _, name = rest.partition(' ')
            self.apply(split_pairs(pairs),
                       self.exports[name] if name else None)
        elif word == 'exports':
            with self.lock:
                self.hidden.update(self.exports)
                self.exports = {n: self.hidden.get(n) or Export(n)
                                for n in rest.split(',')}
        elif word == 'fault':
            with self.lock:
                self.faults.append(Fault(rest))
        elif word == 'clear':
            with self.lock:
                self.faults.clear()
        elif word == 'count':
            return f'ok {self.counts.get(rest, 0)}'
        elif word == 'connections':
            return f'ok {len(self.connections)}'
        elif word == 'quit':
            self.down()
            os._exit(0)
        else:
            raise ValueError(f'no such command: {word}')
        return 'ok'

    def control_loop(self, path):
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(path + '.new')
        sock.listen(8)
        os.rename(path + '.new', path)  # who sees it can connect
        while True:
            peer, _ = sock.accept()
            with peer, peer.makefile('rw') as stream:
                for line in stream:
                    try:
                        answer = self.command(line.strip())
                    except (ValueError, KeyError, OSError) as e:
                        answer = f'error: {e}'
                    try:
                        stream.write(answer + '\n')
                        stream.flush()
                    except OSError:
                        break


class Connection(threading.Thread):
    def __init__(self, server, sock, number):
        super().__init__(daemon=True)
        self.server = server
        self.sock = sock
        self.number = number
        self.send_lock = threading.Lock()
        self.structured = self.extended = self.meta = False
        self.held = []
        self.held_timer = None
        self.export = None
        self.dropped = False
        self.sip = None

    def hang_up(self):
        self.dropped = True
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def run(self):
        self.server.log('connect', conn=self.number)
        try:
            if self.handshake():
                self.fault_or_go_on('done')
                self.transmission()
        except (Gone, OSError):
            pass
        finally:
            with self.server.lock:
                self.server.connections.discard(self)
            self.sock.close()
            self.server.log('close', conn=self.number)

    def recv(self, n):
        out = bytearray(n)
        view = memoryview(out)
        while view:
            if self.sip:
                time.sleep(self.sip[1])
            most = self.sip[0] if self.sip else len(view)
            got = self.sock.recv_into(view, min(most, len(view)))
            if not got:
                raise Gone
            view = view[got:]
        return bytes(out)

    def send(self, data):
        with self.send_lock:
            self.sock.sendall(data)

    def stay(self):
        """Say no more, but leave the connection open."""
        while self.sock.recv(65536):
            pass
        raise Gone

    def after_sending(self, fault, default):
        if (fault.then or default) == 'stay':
            self.stay()
        raise Gone

    def trickle(self, fault, data):
        for i in range(len(data)):
            self.send(data[i:i + 1])
            time.sleep((fault.ms or 100) / 1000)

    def start_tls(self, opt):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server.args.tls + '/server-cert.pem',
                                self.server.args.tls + '/server-key.pem')
        self.reply(opt, REP_ACK)
        self.sock = context.wrap_socket(self.sock, server_side=True)

    def endless_option(self, fault, opt, name):
        """Parts that go on for ever, each as long as may be."""
        text = b'n' * 4000
        kind, data = {
            'LIST': (REP_SERVER, struct.pack('>I', 4000) + text + text),
            'SET_META_CONTEXT': (REP_META, struct.pack('>I', 1) + text),
        }.get(name, (REP_INFO, struct.pack('>H', 99) + text))
        part = struct.pack('>QIII', REPMAGIC, opt, kind, len(data)) + data
        if fault.do == 'trickle':
            self.trickle(fault, part)
        while True:
            self.send(part * 50)

    def act(self, fault, reply=b''):
        """Do what needs no request; True if the fault was of that kind."""
        if fault.do == 'close':
            raise Gone
        if fault.do == 'sip':
            self.sip = fault.bytes or 1024, (fault.ms or 100) / 1000
        if fault.do == 'garbage':
            rng = random.Random(fault.fired)
            self.send(rng.randbytes(fault.bytes or 256))
            self.after_sending(fault, 'stay')
        if fault.do == 'partial':
            self.send(reply[:4 if fault.bytes is None else fault.bytes])
            self.after_sending(fault, 'close')
        if fault.do == 'down':
            server = self.server
            if fault.ms:
                threading.Timer(fault.ms / 1000, server.up).start()
            server.down()
            raise Gone
        if fault.do == 'die':
            os._exit(9)
        return False

    def fault_or_go_on(self, event, **what):
        fault = self.server.find_fault(event, self.number, **what)
        if fault:
            if fault.do in ('never', 'ignore'):
                self.stay()
            if fault.do == 'slow':
                time.sleep((fault.ms or 100) / 1000)
            else:
                self.act(fault, struct.pack('>QQ', NBDMAGIC, IHAVEOPT))
        return fault

    # Handshake.

    def pick(self, name):
        with self.server.lock:
            return self.server.exports.get(name)

    def handshake(self):
        style = self.server.settings['handshake']
        self.fault_or_go_on('connect')
        if style == 'oldstyle':
            self.export = self.pick('') or next(
                iter(self.server.exports.values()))
            self.send(struct.pack('>QQQI', NBDMAGIC, OLDMAGIC,
                                  self.export.settings['size'],
                                  self.export.flags()) + bytes(124))
            return True
        self.send(struct.pack('>QQH', NBDMAGIC, IHAVEOPT,
                              3 if style == 'newstyle' else 0))
        self.fault_or_go_on('greeting')
        no_zeroes = struct.unpack('>I', self.recv(4))[0] & 2
        while True:
            magic, opt, length = struct.unpack('>QII', self.recv(16))
            if magic != IHAVEOPT or length > 1 << 16:
                raise Gone
            data = self.recv(length)
            done = self.option(opt, data, no_zeroes)
            if done is not None:
                return done

    def reply(self, opt, kind, data=b''):
        self.send(struct.pack('>QIII', REPMAGIC, opt, kind, len(data)) + data)

    def option(self, opt, data, no_zeroes):
        """True: go on to requests; False: over; None: next option."""
        settings = self.server.settings
        name = OPTIONS.get(opt, str(opt))
        self.server.log('option', conn=self.number, opt=name)
        fault = self.server.find_fault('option', self.number, opt=name)
        if fault:
            if fault.do == 'error':
                self.reply(opt, ERR_POLICY, b'not today')
                return None
            if fault.do in ('never', 'ignore'):
                self.stay()
            elif fault.do == 'slow':
                time.sleep((fault.ms or 100) / 1000)
            elif fault.do in ('endless', 'trickle'):
                self.endless_option(fault, opt, name)
            elif fault.do == 'magic':
                self.send(struct.pack('>QIII', REPMAGIC + 1, opt, REP_ACK, 0))
                return None
            else:
                self.act(fault, struct.pack('>QIII', REPMAGIC, opt,
                                            REP_ACK, 0))
        if name == 'EXPORT_NAME':
            export = self.pick(data.decode())
            if not export:
                raise Gone
            self.export = export
            self.send(struct.pack('>QH', export.settings['size'],
                                  export.flags())
                      + (b'' if no_zeroes else bytes(124)))
            return True
        if settings['handshake'] == 'unfixed':
            raise Gone
        if name == 'ABORT':
            self.reply(opt, REP_ACK)
            return False
        if name == 'STARTTLS' and self.server.args.tls:
            self.start_tls(opt)
            return None
        if name == 'LIST' and settings['list']:
            with self.server.lock:
                exports = list(self.server.exports.values())
            for e in exports:
                raw = e.name.encode()
                self.reply(opt, REP_SERVER, struct.pack('>I', len(raw)) + raw
                           + e.settings['description'].encode())
            self.reply(opt, REP_ACK)
        elif name == 'STRUCTURED_REPLY' and settings['structured']:
            self.structured = True
            self.reply(opt, REP_ACK)
        elif name == 'EXTENDED_HEADERS' and settings['extended']:
            self.structured = self.extended = True
            self.reply(opt, REP_ACK)
        elif name in ('INFO', 'GO') and settings['go']:
            return self.info_or_go(opt, name, data)
        elif name.endswith('META_CONTEXT') and settings['meta']:
            self.meta_context(opt, name, data)
        elif name == 'LIST':
            self.reply(opt, ERR_POLICY, b'the list is private')
        else:
            self.reply(opt, ERR_UNSUP)
        return None

    def info_or_go(self, opt, name, data):
        n = struct.unpack('>I', data[:4])[0]
        export = self.pick(data[4:4 + n].decode())
        wanted = [struct.unpack('>H', data[i:i + 2])[0]
                  for i in range(6 + n, len(data), 2)]
        self.server.log('info', conn=self.number,
                        export=data[4:4 + n].decode())
        if not export:
            self.reply(opt, ERR_UNKNOWN, b'no such export')
            return None
        s = export.settings
        self.reply(opt, REP_INFO, struct.pack('>HQH', 0, s['size'],
                                              export.flags()))
        if 1 in wanted:
            self.reply(opt, REP_INFO, struct.pack('>H', 1)
                       + export.name.encode())
        if 2 in wanted and s['description']:
            self.reply(opt, REP_INFO, struct.pack('>H', 2)
                       + s['description'].encode())
        if self.server.settings['block_info']:
            self.reply(opt, REP_INFO, struct.pack(
                '>HIII', 3, s['min'], s['preferred'], s['max']))
        self.reply(opt, REP_ACK)
        if name == 'GO':
            self.export = export
            return True
        return None

    def meta_context(self, opt, name, data):
        n = struct.unpack('>I', data[:4])[0]
        at = 8 + n
        queries = []
        for _ in range(struct.unpack('>I', data[4 + n:at])[0]):
            length = struct.unpack('>I', data[at:at + 4])[0]
            queries.append(data[at + 4:at + 4 + length].decode())
            at += 4 + length
        hit = 'base:allocation' in queries or 'base:' in queries or (
            not queries and name.startswith('LIST'))
        if hit:
            self.reply(opt, REP_META, struct.pack('>I', 1)
                       + b'base:allocation')
        if name.startswith('SET'):
            self.meta = hit
        self.reply(opt, REP_ACK)

    # Requests.

    def transmission(self):
        while True:
            head = self.recv(32 if self.extended else 28)
            magic, bits, kind, cookie, offset, length = struct.unpack(
                '>IHHQQQ' if self.extended else '>IHHQQI', head)
            if (magic != (EXTENDED_REQUEST if self.extended else REQUEST)
                    or (bits & PAYLOAD_LEN
                        != (PAYLOAD_LEN if self.extended and kind == 1
                            else 0))):
                self.server.log('bad-magic', conn=self.number)
                raise Gone
            name = COMMANDS.get(kind, str(kind))
            if kind == 1 and length > MAX_REQUEST:
                raise Gone
            data = self.recv(length) if kind == 1 else b''
            flags = [n for b, n in FLAGS.items() if bits & b]
            self.request(name, flags, cookie, offset, length, data)

    def request(self, name, flags, cookie, offset, length, data):
        server = self.server
        record = {'conn': self.number, 'cmd': name, 'offset': offset,
                  'length': length, 'flags': flags}
        if data:
            record['crc'] = zlib.crc32(data)
        with server.lock:
            server.counts[name] = server.counts.get(name, 0) + 1
        if name == 'disc':
            server.log('request', **record)
            raise Gone
        fault = server.find_fault(name, self.number, flags=flags)
        if fault and fault.do == 'late':
            time.sleep((fault.ms or 100) / 1000)
        if fault and fault.do == 'error':
            error, body = ERRORS[fault.errno or 'EIO'], None
        elif fault and fault.do in ('ignore', 'close', 'down', 'die'):
            error, body = 0, None
        else:
            error, body = self.execute(name, flags, offset, length, data)
        record['error'] = error
        server.log('request', **record)
        do = fault.do if fault else None
        if do == 'cookie':
            cookie ^= 0x5555555555555555
        if do == 'offset':
            offset ^= 1
        reply = self.build(name, cookie, offset, length, error, body, flags)
        if do == 'magic':
            reply = b'\xde\xad\xbe\xef' + reply[4:]
        if do in ('never', 'ignore'):
            return
        if do == 'chunks':
            reply = self.chunks(json.loads(fault.json), cookie, offset)
        if do == 'endless':
            n = 4000 if fault.bytes is None else fault.bytes
            part = self.chunk((1 << 15) | 1, struct.pack('>IH', 5, n)
                              + b'e' * n, 0, cookie, offset)
            # No TLS record ends with a chunk, for half is odd: libnbd returns
            # only between two chunks, and when it has used up a record.
            half = len(part) // 2
            self.send(part[:half])
            block = (part[half:] + part[:half]) * (400000 // len(part))
            while True:
                self.send(block)
        if do == 'trickle':
            self.trickle(fault, reply)
            return
        if do == 'slow' or (do == 'error' and fault.ms):
            threading.Timer((fault.ms or 100) / 1000, self.send_late,
                            (reply,)).start()
        elif do == 'reorder':
            self.hold(reply, fault.depth or 4)
        else:
            if fault:
                self.act(fault, reply)
            self.send(reply)

    def send_late(self, reply):
        try:
            self.send(reply)
        except OSError:
            pass

    def hold(self, reply, depth):
        with self.server.lock:
            self.held.append(reply)
            if self.held_timer:
                self.held_timer.cancel()
            if len(self.held) < depth:
                self.held_timer = threading.Timer(0.05, self.release)
                self.held_timer.start()
                return
        self.release()

    def release(self):
        with self.server.lock:
            held, self.held = self.held[::-1], []
        for reply in held:
            self.send_late(reply)

    def refused(self, name, flags, offset, length):
        s = self.export.settings
        changes = name in ('write', 'zero', 'trim')
        if changes and s['readonly']:
            return 'EPERM'
        if name == 'flush':
            return None if s['flush'] else 'EINVAL'
        allowed = {'zero': s['zero'], 'trim': s['trim'], 'cache': s['cache'],
                   'extents': self.meta}
        if not allowed.get(name, True):
            return 'EINVAL'
        if 'fua' in flags and not s['fua']:
            return 'EINVAL'
        if 'fast' in flags and not s['fast_zero']:
            return 'EINVAL'
        if offset + length > s['size']:
            return 'ENOSPC' if changes else 'EINVAL'
        if length == 0 or offset % s['min'] or (
                length % s['min'] and offset + length != s['size']):
            return 'EINVAL'
        if name in ('read', 'write') and length > s['max']:
            return 'EINVAL'
        return None

    def execute(self, name, flags, offset, length, data):
        no = self.refused(name, flags, offset, length)
        if no:
            return ERRORS[no], None
        disk, body = self.export.disk, None
        with self.export.lock:
            # What a dropped connection still had queued dies with it:
            # carried out now, it could undo what came since on a new one.
            if self.dropped:
                raise Gone
            if name == 'read':
                body = disk.read(offset, length)
            elif name == 'write':
                disk.write(offset, data)
            elif name in ('zero', 'trim'):
                disk.zero(offset, length, 'nohole' not in flags)
            elif name == 'extents':
                body = self.extents(flags, offset, length)
        return 0, body

    def extents(self, flags, offset, length):
        fixed = self.export.settings['extents']
        if fixed:
            runs, at = [], 0
            for n, bits in fixed:
                start = max(at, offset)
                end = min(at + n, offset + length)
                if start < end:
                    runs.append([end - start, bits])
                at += n
            runs = runs or [[length, 0]]
        else:
            runs = self.export.disk.extents(offset, length)
        if 'req_one' in flags:
            runs = runs[:1]
        return runs

    def chunk(self, kind, payload, done, cookie, offset, length=None):
        if length is None:
            length = len(payload)
        if self.extended:
            return struct.pack('>IHHQQQ', EXTENDED, done, kind, cookie,
                               offset, length) + payload
        return struct.pack('>IHHQI', STRUCTURED, done, kind, cookie,
                           length) + payload

    def extents_chunk(self, context, numbers, count=None):
        """The kind and the payload of a chunk."""
        if not self.extended:
            return 5, struct.pack('>I%dI' % len(numbers), context, *numbers)
        count = len(numbers) // 2 if count is None else count
        return 6, struct.pack('>II%dQ' % len(numbers), context, count,
                              *numbers)

    def chunks(self, parts, cookie, at):
        """A structured reply as the test wants it."""
        out = b''
        for i, (kind, *what) in enumerate(parts):
            number, payload = {
                'data': lambda o, n: (1, struct.pack('>Q', (at + o) % 2**64)
                                      + b'c' * n),
                'hole': lambda o, n: (2, struct.pack('>QI', (at + o) % 2**64,
                                                     n)),
                'extents': lambda c, *n: self.extents_chunk(c, n),
                'counted': lambda x, c, *n: self.extents_chunk(c, n, x),
                'short': lambda *n: (5, struct.pack('>%dI' % len(n), *n)),
                'long': lambda n: (6, b''),
                'error': lambda n: ((1 << 15) | 1, struct.pack('>IH', n, 0)),
                'none': lambda: (0, b''),
            }[kind](*what)
            out += self.chunk(number, payload, i == len(parts) - 1, cookie,
                              at, what[0] if kind == 'long' else None)
        return out

    def build(self, name, cookie, offset, length, error, body, flags):
        """The whole reply, ready to be sent or spoilt."""
        if not self.structured:
            return struct.pack('>IIQ', SIMPLE, error, cookie) + (body or b'')

        def chunk(kind, payload, done):
            return self.chunk(kind, payload, done, cookie, offset)
        if error:
            return chunk((1 << 15) | 1, struct.pack('>IH', error, 0), 1)
        if name == 'extents' and body is not None:
            return chunk(*self.extents_chunk(1, sum(body, [])), 1)
        if name == 'read' and body is not None:
            step = self.server.settings['chunks']
            if not step or 'df' in flags:
                return chunk(1, struct.pack('>Q', offset) + body, 1)
            out = b''
            for at in reversed(range(0, length, step)):
                part = body[at:at + step]
                if part.count(0) == len(part):
                    out += chunk(2, struct.pack('>QI', offset + at,
                                                len(part)), 0)
                else:
                    out += chunk(1, struct.pack('>Q', offset + at) + part, 0)
            return out + chunk(0, b'', 1)
        if self.extended:
            return chunk(0, b'', 1)
        return struct.pack('>IIQ', SIMPLE, error, cookie)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--unix')
    parser.add_argument('--port', type=int, default=0)
    parser.add_argument('--portfile')
    parser.add_argument('--pidfile')
    parser.add_argument('--log')
    parser.add_argument('--control')
    parser.add_argument('--tls')
    parser.add_argument('--set', action='append', default=[])
    parser.add_argument('--export', action='append', default=[])
    parser.add_argument('--fault', action='append', default=[])
    parser.add_argument('--script', help='a JSON file: {"set": [..], '
                        '"export": [..], "fault": [..]}')
    parser.add_argument('--start-down', action='store_true')
    args = parser.parse_args()
    if args.script:
        with open(args.script) as f:
            for key, values in json.load(f).items():
                getattr(args, key).extend(values)

    # The server goes with the test that started it.
    ctypes.CDLL(None).prctl(1, 15)
    server = Server(args)
    try:
        for text in args.export or ['']:
            name = text.split(',')[0]
            server.exports[name] = Export(name)
        for text in args.set:
            server.apply(split_pairs(text))
        for text in args.export:
            name, _, rest = text.partition(',')
            server.apply(split_pairs(rest), server.exports[name])
        server.faults = [Fault(text) for text in args.fault]
    except ValueError as e:
        sys.exit(f'nbd-fault-server: {e}')
    if not args.start_down:
        server.up()
    if args.portfile:
        with open(args.portfile, 'w') as f:
            f.write(str(args.port))
    if args.pidfile:
        with open(args.pidfile, 'w') as f:
            f.write(str(os.getpid()))
    if args.control:
        server.control_loop(args.control)
    while True:
        time.sleep(3600)


if __name__ == '__main__':
    main()
