# SPDX-License-Identifier: MIT
"""What the checkers share: finding files, stripping comments, reporting."""

import argparse
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"", re.S)


def root_argument(description):
    """Every checker takes --root, so that the self-test can show it a bad tree."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--root", default=ROOT)
    return os.path.abspath(parser.parse_args().root)


def files(root, folders, endings):
    """Paths below root, sorted; hidden files and build directories left out."""
    found = []
    for folder in folders:
        for where, subfolders, names in os.walk(os.path.join(root, folder)):
            subfolders[:] = [name for name in subfolders
                             if not name.startswith((".", "build")) and name != "__pycache__"]
            found += [os.path.relpath(os.path.join(where, name), root)
                      for name in names if name.endswith(endings)]
    return sorted(found)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as stream:
        return stream.read()


def without_comments(text):
    """Comments become blanks of the same length and lines; strings stay."""
    def blank(match):
        token = match.group(0)
        return token if token.startswith('"') else re.sub(r"[^\n]", " ", token)
    return COMMENT.sub(blank, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def finish(problems, done):
    """Prints the problems, or what was looked at, and answers the exit status."""
    for problem in problems:
        print(problem)
    if not problems:
        print(done)
    sys.exit(1 if problems else 0)
