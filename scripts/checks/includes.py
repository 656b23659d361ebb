#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Include rules: arrows run down only, and src/ needs no libc.

programs -> hosted -> src/guest | src/host -> src/core; wire headers include nothing of ours.
"""

import os
import re

import tree

FREESTANDING = {"stdint.h", "stddef.h", "stdbool.h", "limits.h", "stdatomic.h"}
INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]+(?:<([^>\n]+)>|\"([^\"\n]+)\")", re.M)

# Folder: what a file below it may never include, with the reason. First match counts.
FORBIDDEN = [
    ("include/aerostat/wire/", r".",
     "wire headers include nothing of ours"),
    ("include/aerostat/guest/", r"include/aerostat/host/", "guest and host never meet"),
    ("include/aerostat/host/", r"include/aerostat/guest/", "guest and host never meet"),
    ("include/", r"src/|hosted/|programs/|tests/", "public headers need only public headers"),
    ("src/core/", r"src/(guest|host)/|include/aerostat/(guest|host)/",
     "core knows neither guest nor host"),
    ("src/guest/", r"src/host/|include/aerostat/host/", "guest and host never meet"),
    ("src/host/", r"src/guest/|include/aerostat/guest/", "guest and host never meet"),
    ("hosted/", r"src/", "hosted uses the public headers of the library"),
    ("programs/", r"src/", "programs use public and hosted headers"),
]
UPWARDS = [
    ("src/", r"hosted/|programs/|tests/", "arrows run down only"),
    ("hosted/", r"programs/|tests/", "arrows run down only"),
    ("programs/", r"tests/", "programs do not need tests"),
]


def resolve(root, path, name, quoted):
    """The included file as a path below root, or None if it is a system header."""
    candidates = [os.path.join("include", name)]
    if quoted:
        candidates = [os.path.join(os.path.dirname(path), name), name] + candidates
    for candidate in candidates:
        candidate = os.path.normpath(candidate)
        if os.path.exists(os.path.join(root, candidate)):
            return candidate
    return None


def check_own(path, target, where):
    problems = []
    for table in (FORBIDDEN, UPWARDS):
        for folder, forbidden, reason in table:
            if not path.startswith(folder):
                continue
            if not problems and re.match(forbidden, target):
                problems.append("%s: includes %s: %s" % (where, target, reason))
            break
    return problems


def check_file(root, path):
    problems = []
    text = tree.without_comments(tree.read(root, path))
    for match in INCLUDE.finditer(text):
        name = match.group(1) or match.group(2)
        where = "%s:%d" % (path, tree.line_of(text, match.start(match.lastindex)))
        target = resolve(root, path, name, match.group(2) is not None)
        if target:
            problems += check_own(path, target, where)
        elif match.group(2):
            problems.append("%s: \"%s\" is not in the tree" % (where, name))
        elif path.startswith(("src/", "include/")) and name not in FREESTANDING:
            problems.append("%s: includes <%s>: only %s are freestanding"
                            % (where, name, " ".join(sorted(FREESTANDING))))
    return problems


def main():
    root = tree.root_argument(__doc__)
    paths = tree.files(root, ["include", "src", "hosted", "programs"], (".c", ".h"))
    problems = []
    for path in paths:
        problems += check_file(root, path)
    tree.finish(problems, "%d files" % len(paths))


if __name__ == "__main__":
    main()
