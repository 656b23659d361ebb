#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""clang-tidy over src, hosted and programs, as the build directory compiles them.

    scripts/checks/tidy.py BUILD [ROOT]

A file that was clean is remembered under BUILD/tidy/ by the hash of its preprocessed text and of
.clang-tidy, and not looked at again until either changes.
"""

import concurrent.futures
import hashlib
import json
import os
import shlex
import subprocess
import sys

import tree

FOLDERS = ("src/", "hosted/", "programs/")

# glibc's tolower() as a macro counts as nesting of ours. A third of the analyzer's usual budget
# per function takes a third of its time, and found the same in this code.
EXTRA = ["-D__NO_CTYPE", "-Xclang", "-analyzer-config", "-Xclang", "max-nodes=75000"]


def preprocessed(entry):
    """What the compiler sees, or None if it does not compile (clang-tidy then says why)."""
    command = [word for word in shlex.split(entry["command"]) if not word.startswith("-M")]
    at = command.index("-o")
    # -MQ and -MF have an argument, which is an object or .d file.
    kept = [word for word in command[:at] if not word.endswith((".o", ".d"))]
    done = subprocess.run(["clang", "-E", "-w"] + kept[1:] + [entry["file"]],
                          cwd=entry["directory"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL)
    return done.stdout if done.returncode == 0 else None


def path_of(root, entry):
    return os.path.relpath(os.path.join(entry["directory"], entry["file"]), root)


def tidy(root, build, entry, rules):
    path = path_of(root, entry)
    text = preprocessed(entry)
    marker = None
    if text is not None:
        name = hashlib.sha256(rules + path.encode() + text).hexdigest()
        marker = os.path.join(build, "tidy", name)
        if os.path.exists(marker):
            return ""
    done = subprocess.run(["clang-tidy", "--quiet", "-p", build]
                          + ["--extra-arg=" + word for word in EXTRA] + [path],
                          cwd=root, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode == 0:
        if marker:
            open(marker, "w").close()
        return ""
    return done.stdout + (done.stderr if not done.stdout else "")


def main():
    if len(sys.argv) not in (2, 3) or not os.path.isdir(sys.argv[1]):
        sys.exit("usage: scripts/checks/tidy.py BUILD [ROOT]: BUILD is a build directory")
    build = os.path.abspath(sys.argv[1])
    root = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else tree.ROOT
    os.makedirs(os.path.join(build, "tidy"), exist_ok=True)
    rules = (tree.read(root, ".clang-tidy") + str(EXTRA)).encode()
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as stream:
        commands = json.load(stream)
    wanted = {}
    for entry in commands:
        if path_of(root, entry).startswith(FOLDERS):
            wanted.setdefault(path_of(root, entry), entry)
    problems = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for text in pool.map(lambda entry: tidy(root, build, entry, rules), wanted.values()):
            problems += [text] if text else []
    if not wanted:
        problems.append("no source in compile_commands.json")
    tree.finish(problems, "%d files" % len(wanted))


if __name__ == "__main__":
    main()
