# SPDX-License-Identifier: BSD-3-Clause
"""Plots for bench/run: curves with direct labels, drawn by gnuplot as SVG."""

import math
import subprocess

from benchlib import Failure

WIDTH, HEIGHT = 820, 440        # pixels
MARGIN = 215                    # on the right, for the labels
INK = "#333333"
LICENCE = "<!-- SPDX-License-Identifier: BSD-3-Clause -->"
# mblock's own curves are blue, and thick.
OTHERS = ["#c4622d", "#4c8c4a", "#7b5aa6", "#8a8a8a"]
MINE_TOO = ["#1f5fa8", "#5b9bd5", "#0f2d52", "#2a9d8f", "#6d8196"]
LABEL_GAP = 0.062               # between two labels, of the plot's height


class Curve:
    """label: beside its end; points: {x: [value of each round]}."""

    def __init__(self, label, points, mine=False):
        self.label = label
        self.points = {x: sorted(v) for x, v in sorted(points.items()) if v}
        self.mine = mine

    def median(self, x):
        v = self.points[x]
        return (v[(len(v) - 1) // 2] + v[len(v) // 2]) / 2


class Axis:
    """unit: in parentheses behind the label; ticks: {value: text} or None."""

    def __init__(self, label, unit, log, ticks=None):
        self.text = "%s (%s)" % (label, unit) if unit else label
        self.log = log
        self.ticks = ticks

    def fit(self, values):
        """Choose the range."""
        low, high = min(values), max(values)
        if self.log:
            self.low, self.high = low / 1.25, high * 1.25
        elif self.ticks:        # words
            self.low, self.high = low - 0.2, high + 0.2
        else:
            self.low, self.high = 0, high * 1.08
        if self.low == self.high:
            self.high += 1

    def place(self, value):
        """From 0 to 1."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def commands(self, name):
        yield "set %srange [%g:%g]" % (name, self.low, self.high)
        yield 'set %slabel "%s"' % (name, self.text)
        if self.log:
            yield "set logscale %s" % name
        if self.ticks:
            yield "set %stics (%s)" % (name, ", ".join(
                '"%s" %g' % (text.replace("%", "%%"), at) for at, text in self.ticks.items()))
        elif self.log:
            yield "set %stics (%s)" % (name, ", ".join(
                '"%s" %g' % ("{:,g}".format(at), at)
                for at in log_ticks(self.low, self.high)))


def log_ticks(low, high):
    """Powers of ten, or more where there are few of these."""
    digits = [1] if high / low > 200 else [1, 2, 5]
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [digit * 10.0 ** p for p in powers for digit in digits
            if low <= digit * 10.0 ** p <= high]


def byte_ticks(mib):
    """For an axis in MiB."""
    return {x: "%g GiB" % (x / 1024) if x >= 1024 else "%g MiB" % x
            for x in mib}


def count_ticks(values):
    return {x: "{:,}".format(x) for x in values}


def spread_out(places):
    """Move labels apart that would be over each other: {key: from 0 to 1}."""
    order = sorted(places, key=lambda k: places[k])
    at = [min(max(places[k], 0.0), 1.0) for k in order]
    for _ in range(200):
        moved = False
        for i in range(len(at) - 1):
            lack = LABEL_GAP - (at[i + 1] - at[i])
            if lack > 1e-6:
                at[i] -= lack / 2
                at[i + 1] += lack / 2
                moved = True
        at[0], at[-1] = max(at[0], 0.0), min(at[-1], 1.0)
        if not moved:
            break
    return dict(zip(order, at))


def colours(curves):
    mine, others = iter(MINE_TOO), iter(OTHERS * 2)
    return {c: next(mine) if c.mine else next(others) for c in curves}


def script(path, title, x, y, curves):
    low_high = [v for c in curves for p in c.points.values()
                for v in (p[0], p[-1])]
    x.fit([at for c in curves for at in c.points])
    y.fit(low_high)
    colour = colours(curves)
    ends = {c: y.place(max(c.median(max(c.points)), y.low)) for c in curves}
    labels = spread_out(ends)
    yield ('set terminal svg size %d,%d font "DejaVu Sans,14" background '
           '"#ffffff"' % (WIDTH, HEIGHT))
    yield 'set output "%s"' % path
    yield "set rmargin at screen %g" % (1 - MARGIN / WIDTH)
    yield 'set title "%s" textcolor rgb "%s"' % (title, INK)
    yield 'set border 3 linecolor rgb "%s"' % INK
    yield "set tics nomirror out"
    yield 'set grid y linecolor rgb "#e4e4e4" linewidth 1'
    yield "unset key"
    yield from x.commands("x")
    yield from y.commands("y")
    for i, c in enumerate(curves):
        yield 'set label %d "%s" at graph 1.02, graph %.3f left textcolor ' \
            'rgb "%s"' % (i + 1, c.label, labels[c], colour[c])
        yield "$data%d << end" % i
        for at in c.points:
            v = c.points[at]
            yield "%g %g %g %g" % (at, c.median(at), v[0], v[-1])
        yield "end"
    drawn = []
    for i, c in enumerate(curves):
        width = 3 if c.mine else 1.6
        drawn.append('$data%d using 1:2:3:4 with yerrorbars linecolor rgb '
                     '"%s" linewidth 1 pointtype 7 pointsize 0.5' %
                     (i, colour[c]))
        drawn.append('$data%d using 1:2 with lines linecolor rgb "%s" '
                     'linewidth %g' % (i, colour[c], width))
    yield "plot " + ", \\\n  ".join(drawn)


def draw(path, title, x, y, curves):
    """Returns whether there was anything to draw."""
    curves = [c for c in curves if c.points]
    if not curves:
        return False
    text = "\n".join(script(path, title, x, y, curves)) + "\n"
    r = subprocess.run(["gnuplot"], input=text, text=True, check=False,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if r.returncode != 0:
        raise Failure("gnuplot: %s" % r.stdout.strip())
    with open(path, encoding="utf-8") as f:
        declaration, rest = f.read().split("\n", 1)
    with open(path, "w", encoding="utf-8") as f:
        f.write("%s\n%s\n%s" % (declaration, LICENCE, rest))
    return True
