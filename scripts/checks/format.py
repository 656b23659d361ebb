#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""clang-format over every C file; with --fix it rewrites them."""

import subprocess
import sys

import tree

FOLDERS = ["include", "src", "hosted", "programs", "tests", "fuzz", "bench", "ports"]


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
    problems = [line for line in done.stdout.splitlines() if ": error: " in line]
    if done.returncode and not problems:
        problems = [done.stdout]
    tree.finish(problems, "%d files" % len(paths))


if __name__ == "__main__":
    main()
