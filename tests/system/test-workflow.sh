#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The workflow for a forge is YAML, its commands are shell and name scripts of
# this tree, its matrix has all suites and both compilers, and no job that runs
# in a container takes a path from outside of it.

. "$(dirname "$0")/../functions.sh"

top=$testdir/..
workflow=$top/.github/workflows/ci.yml
[ -e "$workflow" ] || skip "there is no workflow"
requires python3
python3 -c 'import yaml' 2>/dev/null || skip "python3-yaml is not installed"

cat >workflow.py <<'END'
import os, re, subprocess, sys, yaml

top, path = sys.argv[1:]
workflow = yaml.safe_load(open(path))
# YAML 1.1 takes the word "on" for a boolean.
assert set(workflow[True]) == {"push", "pull_request"}, workflow[True]
suites = ["bookworm", "trixie", "sid"]
wrong = []


def matrix_of(job):
    return job.get("strategy", {}).get("matrix", {})


def check_run(job, script, container):
    """A step's commands, as the shell gets them."""
    if container and re.search(r"\$\{\{ *(github\.workspace|runner\.temp)",
                               str(script)):
        wrong.append("%s: a path of the machine, in a container" % job)
    shell = re.sub(r"\$\{\{[^}]*\}\}", "x", script["run"])
    said = subprocess.run(["bash", "-n"], input=shell, text=True,
                          stderr=subprocess.PIPE)
    if said.returncode:
        wrong.append("%s: %s" % (job, said.stderr))
    for word in re.findall(r"(?:^|\s)((?:\./|scripts/)[\w./-]+)", shell):
        if not os.access(os.path.join(top, word), os.R_OK):
            wrong.append("%s: there is no %s" % (job, word))


for name, job in workflow["jobs"].items():
    if "timeout-minutes" not in job:
        wrong.append("%s: it has no time limit" % name)
    if matrix_of(job).get("suite", suites) != suites:
        wrong.append("%s: expected the suites %s" % (name, suites))
    for used in re.findall(r"matrix\.(\w+)", str(job)):
        if used not in matrix_of(job):
            wrong.append("%s: its matrix has no %s" % (name, used))
    for step in job["steps"]:
        if "run" in step:
            check_run(name, step, "container" in job)
        elif "uses" not in step:
            wrong.append("%s: a step does nothing: %s" % (name, step))
if matrix_of(workflow["jobs"]["tests"]).get("compiler") != ["gcc", "clang"]:
    wrong.append("tests: expected gcc and clang")
if wrong:
    sys.exit("\n".join(wrong))
END
python3 workflow.py "$top" "$workflow" || fail "see above"
