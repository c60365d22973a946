# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmarks through the server share."""

import argparse
import platform
import subprocess


class Failure(Exception):
    pass


def first_line(*command):
    r = subprocess.run(command, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, check=False)
    return r.stdout.split("\n")[0]


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def number_option(kind, least, most):
    def parse(value):
        try:
            n = kind(value)
        except ValueError:
            n = None
        if n is None or not least <= n <= most:
            raise argparse.ArgumentTypeError(
                "%r: expected a number from %g to %g" % (value, least, most))
        return n
    return parse
