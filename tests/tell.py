# SPDX-License-Identifier: BSD-3-Clause
# Send a command to the control socket of nbd-fault-server.py, and print its
# answer: tell.py SOCKET WORD...  It imports little, since some tests run it a
# hundred times.

import socket
import sys


def tell(path, command):
    """Returns the answer, which begins with "ok" or "error"."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        with sock.makefile('rw') as stream:
            print(command, file=stream, flush=True)
            return stream.readline().strip()


if __name__ == '__main__':
    answer = tell(sys.argv[1], ' '.join(sys.argv[2:]))
    print(answer)
    sys.exit(not answer.startswith('ok'))
