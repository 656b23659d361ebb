#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""clang-format over every C file; with --fix it rewrites them."""

import re
import subprocess
import sys

import tree

FOLDERS = ["include", "src", "hosted", "programs", "tests", "fuzz", "bench", "ports"]


def per_file(text):
    """One line per file: clang-format has one per place, and `make format` mends all of them."""
    places = {}
    for line in text.splitlines():
        match = re.match(r"(.+?):(\d+):\d+: error: ", line)
        if match:
            places.setdefault(match.group(1), []).append(match.group(2))
    return ["%s:%s: should be clang-formatted, %d places" % (path, lines[0], len(lines))
            for path, lines in places.items()]


def main():
    fix = "--fix" in sys.argv
    if fix:
        sys.argv.remove("--fix")
    root = tree.root_argument(__doc__)
    paths = tree.files(root, FOLDERS, (".c", ".h"))
    if fix:
        sys.exit(subprocess.run(["clang-format", "-i"] + paths, cwd=root).returncode)
    done = subprocess.run(["clang-format", "--dry-run", "-Werror"] + paths, cwd=root, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    problems = per_file(done.stdout)
    if done.returncode and not problems:
        problems = [done.stdout]
    tree.finish(problems, "%d files" % len(paths))


if __name__ == "__main__":
    main()
