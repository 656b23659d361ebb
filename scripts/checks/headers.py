#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every public header compiles alone: as C11 -pedantic and as C++17, and twice in one file."""

import concurrent.futures
import os
import subprocess

import tree

WARNINGS = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", "-Iinclude"]
COMPILERS = [
    ["gcc", "-std=c11", "-ffreestanding", "-Wundef", "-Wstrict-prototypes", "-xc"],
    ["g++", "-std=c++17", "-Wundef", "-xc++"],
]


def check_header(job):
    root, path, compiler = job
    name = os.path.relpath(path, "include")
    text = "#include <%s>\n#include <%s>\nextern int alone;\n" % (name, name)
    done = subprocess.run(compiler[:-1] + WARNINGS + [compiler[-1], "-"], cwd=root, input=text,
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        return ["%s alone with %s %s:\n%s" % (path, compiler[0], compiler[1], done.stdout)]
    return []


def main():
    root = tree.root_argument(__doc__)
    paths = tree.files(root, ["include"], (".h",))
    problems = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [(root, path, compiler) for path in paths for compiler in COMPILERS]
        for found in pool.map(check_header, jobs):
            problems += found
    tree.finish(problems, "%d headers" % len(paths))


if __name__ == "__main__":
    main()
