# SPDX-License-Identifier: BSD-3-Clause
# The rules of the source tree, and docs/ARCHITECTURE.md against it;
# test-layout.sh runs it with the top of a tree.
#
# A unit is a file X.c with X.h; in lib/ also what belongs to it, X-*.[ch].
# Quoted includes name a file of lib/ by folder and name, another one by its
# path from the top or, from the same folder, by its name.

import fnmatch
import os
import re
import sys

top = sys.argv[1]
os.chdir(top)
folders = ("lib", "plugins", "filters", "tools", "tests", "bench")

# What each folder of lib/ may use beside itself.
allowed = {
    "base": set(),
    "bdev": {"base"},
    "rpc": {"base"},
    "ramdisk": {"base", "bdev"},
    "nbd": {"base", "bdev"},
    "mirror": {"base", "bdev"},
    "cache": {"base", "bdev"},
    "job": {"base"},
    "transfer": {"base", "bdev", "ramdisk", "job"},
    "save": {"base", "ramdisk", "job"},
}
# And the folders at the top.
allowed_top = {
    "lib": {"lib"},
    "plugins": {"lib", "plugins"},
    "filters": {"lib", "plugins/common", "filters"},
    "tools": {"lib", "tools"},
    "tests": set(folders),
    "bench": {"lib", "bench"},
}

files = sorted(
    os.path.join(d, f)
    for folder in folders
    for d, _, names in os.walk(folder)
    for f in names
    if f.endswith((".c", ".h"))
)
known = set(files)
wrong = []


def unit(path):
    family = r"[-.][^/]*$" if path.startswith("lib/") else r"(-private)?\.[ch]$"
    return re.sub(family, "", path)


def resolve(name, path):
    for candidate in ("lib/" + name, name,
                      os.path.join(os.path.dirname(path), name)):
        if candidate in known:
            return candidate
    return None


headers = {}
graph = {}
for path in files:
    if path.endswith(".h"):
        headers.setdefault(os.path.basename(path), []).append(path)
    with open(path, encoding="utf-8") as f:
        text = f.read()
    for bracket, name in re.findall(
            r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', text, re.M):
        if path.startswith("lib/") and name.startswith("nbdkit-"):
            wrong.append(f"{path}: includes {name}, which lib/ may not know")
        if bracket == "<":
            continue
        target = resolve(name, path)
        if target is None:
            if name != "config.h":
                wrong.append(f'{path}: "{name}" is no file of the tree')
            continue
        source, dest = path.split("/"), target.split("/")
        if dest[0] not in allowed_top[source[0]] and \
                "/".join(dest[:2]) not in allowed_top[source[0]]:
            wrong.append(f"{path}: includes {target}, which is above it")
        elif source[0] == dest[0] == "lib" and source[1] != dest[1] and \
                dest[1] not in allowed[source[1]]:
            wrong.append(f"{path}: includes {target}, of a part that it"
                         " may not know")
        if unit(path) != unit(target):
            graph.setdefault(unit(path), {})[unit(target)] = (path, target)

for name, paths in sorted(headers.items()):
    if len(paths) > 1:
        wrong.append(f"{name}: several headers of this name: "
                     + " ".join(paths))


# Depth first; an edge to a unit that is still open closes a circle.
state = {}


def visit(u, way):
    state[u] = "open"
    for v in sorted(graph.get(u, {})):
        if state.get(v) == "open":
            circle = (way + [u])[(way + [u]).index(v):] + [v]
            wrong.append("include circle: " + "; ".join(
                "%s includes %s" % graph[a][b]
                for a, b in zip(circle, circle[1:])))
        elif v not in state:
            visit(v, way + [u])
    state[u] = "done"


for u in sorted(graph):
    if u not in state:
        visit(u, [])

# docs/ARCHITECTURE.md: the table of files names each file of these folders,
# and the page names no file that does not exist.
documented = "docs/ARCHITECTURE.md"
with open(documented, encoding="utf-8") as f:
    page = f.read()


def expand(name):
    """The files that X.[ch] stands for."""
    stem = name.removesuffix(".[ch]")
    return [name] if stem == name else [stem + ".c", stem + ".h"]


def exists(name):
    if "/" in name:
        return any(fnmatch.fnmatchcase(path, name) for path in known)
    return any(fnmatch.fnmatchcase(os.path.basename(path), name)
               for path in known)


table = page.partition("\n## The files of ")[2].partition("\n## ")[0]
listed = [path for row in re.findall(r"^\| `([^`]+)` \|", table, re.M)
          for path in expand(row)]
for path in sorted(set(listed)):
    if not os.path.exists(path):
        wrong.append(f"{documented}: its table names {path}, which is no file"
                     " of the tree")
    if listed.count(path) > 1:
        wrong.append(f"{documented}: its table names {path} twice")
for path in files:
    if path.split("/")[0] in ("lib", "plugins", "filters", "tools") and \
            path not in listed:
        wrong.append(f"{path}: the table of files in {documented} lacks it")
for name in sorted(set(re.findall(r"[\w/*-]+\.(?:\[ch\]|[ch]\b)", page))):
    for path in expand(name):
        if path not in listed and not exists(path):
            wrong.append(f"{documented}: names {path}, which is no file of"
                         " the tree")

# Invariants are cited by letter and number alone, so a letter has one owner.
owners = {}
for letters, path in re.findall(
        r"^\| ([A-Z]+)1(?:…|, )[A-Z]+\d+ \| `([^`]+)` \|", page, re.M):
    if letters in owners:
        wrong.append(f"{documented}: {letters}1 is defined in"
                     f" {owners[letters]} and in {path}")
    owners[letters] = path
    if path not in known:
        wrong.append(f"{documented}: {letters}1 is defined in {path}, which"
                     " is no file of the tree")
    else:
        with open(path, encoding="utf-8") as f:
            if not re.search(rf"^ \*\s+{letters}1\b", f.read(), re.M):
                wrong.append(f"{path}: it does not define {letters}1, as"
                             f" {documented} says")
if not owners:
    wrong.append(f"{documented}: it has no table of invariants")

# Comments fit into 80 columns, in C and in scripts.


def comment(path):
    """What a line with a comment matches, or None: not such a file."""
    if path.endswith((".c", ".h")):
        return r"\s*(/?\*|.*/\* )"
    if path.endswith((".sh", ".py")):
        return r"\s*#"
    with open(path, "rb") as f:
        first, second = f.readline(200), f.readline(200)
    # libtool's are not ours.
    if first.startswith(b"#!") and b"SPDX" in second:
        return r"\s*#"
    return None


for folder in folders + ("scripts", "examples", "python"):
    for d, _, names in os.walk(folder):
        for path in sorted(os.path.join(d, name) for name in names):
            pattern = comment(path) if os.path.isfile(path) else None
            if pattern is None:
                continue
            with open(path, encoding="utf-8") as f:
                for i, line in enumerate(f, 1):
                    if len(line) > 81 and re.match(pattern, line):
                        wrong.append(f"{path}:{i}: a comment of more than 80"
                                     " columns")

for line in wrong:
    print(line)
print(f"{len(files)} files")
sys.exit(bool(wrong) or len(files) < 100)
