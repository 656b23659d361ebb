#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sizes: a file at most 700 lines, a function 70, parameters 6, a line 100 columns.

Every source starts with the licence line and is in its folder's meson.build, so that a file
that nobody builds cannot pass for tested.
"""

import ast
import json
import os
import re
import subprocess

import tree

MAX_FILE = 700
MAX_FUNCTION = 70
MAX_PARAMETERS = 6
MAX_COLUMNS = 100
FOLDERS = ["include", "src", "hosted", "programs", "ports", "tests", "fuzz", "bench"]
SCRIPTS = ["scripts", "hosted", "bench", "tests", ".ci"]


def is_script(root, path):
    if path.endswith((".py", ".sh")):
        return True
    if os.path.splitext(path)[1] or "/corpus/" in path:
        return False
    with open(os.path.join(root, path), "rb") as stream:
        return stream.read(2) == b"#!"


def check_text(path, text):
    problems = []
    lines = text.split("\n")
    if len(lines) - 1 > MAX_FILE:
        problems.append("%s: %d lines, the limit is %d" % (path, len(lines) - 1, MAX_FILE))
    if "SPDX-License-Identifier: " not in "".join(lines[:2]):
        problems.append("%s:1: no SPDX-License-Identifier line" % path)
    for number, line in enumerate(lines, 1):
        if len(line.expandtabs(8)) > MAX_COLUMNS:
            problems.append("%s:%d: %d columns, the limit is %d"
                            % (path, number, len(line.expandtabs(8)), MAX_COLUMNS))
        if line != line.rstrip():
            problems.append("%s:%d: white space at the end" % (path, number))
    return problems


def count_parameters(signature):
    inner = signature.strip()[1:-1].strip()
    if inner in ("", "void"):
        return 0
    while re.search(r"\([^()]*\)", inner):
        inner = re.sub(r"\([^()]*\)", "", inner)
    return inner.count(",") + 1


def check_c_functions(root, paths):
    """Answers problems and the length of every function, as universal-ctags sees them."""
    problems, lengths = [], []
    if not paths:
        return problems, lengths
    text = subprocess.run(
        ["ctags", "--quiet=yes", "--options=NONE", "--languages=C", "--langmap=C:.c.h",
         "--kinds-C=f", "--fields=+neS", "--output-format=json", "-f", "-", "-L", "-"],
        input="\n".join(paths), cwd=root, check=True, text=True, stdout=subprocess.PIPE).stdout
    for line in text.splitlines():
        tag = json.loads(line)
        where = "%s:%d: %s()" % (tag["path"], tag["line"], tag["name"])
        if "end" in tag:
            lengths.append(tag["end"] - tag["line"] + 1)
            if lengths[-1] > MAX_FUNCTION:
                problems.append("%s: %d lines, the limit is %d"
                                % (where, lengths[-1], MAX_FUNCTION))
        if count_parameters(tag.get("signature", "")) > MAX_PARAMETERS:
            problems.append("%s: more than %d parameters" % (where, MAX_PARAMETERS))
    return problems, lengths


def check_python_functions(root, path):
    problems = []
    for node in ast.walk(ast.parse(tree.read(root, path), path)):
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= MAX_FUNCTION:
            problems.append("%s:%d: %s(): %d lines, the limit is %d"
                            % (path, node.lineno, node.name,
                               node.end_lineno - node.lineno + 1, MAX_FUNCTION))
    return problems


def check_built(root, path):
    """Each .c file stands in a meson.build of its own or a higher folder: by name, or as 'x' for
    test_x.c, fuzz_x.c and their like."""
    name = os.path.basename(path)
    stem = os.path.splitext(name)[0]
    names = [name, stem, re.sub(r"^[a-z]+_", "", stem)]
    folder = os.path.dirname(path)
    while folder:
        recipe = os.path.join(root, folder, "meson.build")
        if os.path.exists(recipe):
            text = re.sub(r"#[^\n]*", "", tree.read(root, os.path.join(folder, "meson.build")))
            if any(re.search(r"['/]%s'" % re.escape(known), text) for known in names):
                return []
        folder = os.path.dirname(folder)
    return ["%s: in no meson.build, so it is never compiled" % path]


def main():
    root = tree.root_argument(__doc__)
    sources = tree.files(root, FOLDERS, (".c", ".h"))
    scripts = [path for path in tree.files(root, SCRIPTS, "") if is_script(root, path)]
    problems, lengths = check_c_functions(root, sources)
    for path in sources + scripts:
        problems += check_text(path, tree.read(root, path))
    for path in scripts:
        if "python" in tree.read(root, path).split("\n")[0] or path.endswith(".py"):
            problems += check_python_functions(root, path)
    for path in sources:
        if path.endswith(".c"):
            problems += check_built(root, path)
    lengths.sort()
    median = lengths[len(lengths) // 2] if lengths else 0
    tree.finish(problems, "%d sources, %d scripts, %d functions, median %d lines"
                % (len(sources), len(scripts), len(lengths), median))


if __name__ == "__main__":
    main()
