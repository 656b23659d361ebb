#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every function in a public header has a contract block that fits its prototype.

The block stands right before the prototype, names its parameters in order and has the lines
Shape, Owner, Errors, Context and Source. A header has at most 400 lines.
"""

import re

import tree

MAX_HEADER_LINES = 400
PARTS = ["Shape", "Owner", "Errors", "Context", "Source"]
CONTEXTS = ("any", "atomic", "sleep", "that of")

BLOCK = re.compile(r"/\*\*\n.*?\*/", re.S)
TITLE = re.compile(r"^ \* (\w+)\(\) - \S")
PARAMETER = re.compile(r"^ \* @(\w+|\.\.\.):\s*\S", re.M)
PROTOTYPE = re.compile(r"^[A-Za-z_][\w \t\n*]*?\b(\w+)[ \t]*\(", re.M)


def blank(text, start, end):
    return text[:start] + re.sub(r"[^\n]", " ", text[start:end]) + text[end:]


def without_directives(text):
    """Preprocessor lines, with their continuations, and the C++ linkage braces become blanks."""
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: re.sub(r"[^\n]", " ", m.group(0)),
                  text, flags=re.M)
    match = re.search(r"extern \"C\" \{", text)
    if match:
        text = blank(text, match.start(), match.end())
        last = text.rindex("}")
        text = blank(text, last, last + 1)
    return text


def closing(text, start, pair):
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] == pair[0]) - (text[at] == pair[1])
        if depth == 0:
            return at
    return len(text) - 1


def flatten(text):
    """Everything inside braces becomes blanks: members are no prototypes."""
    at = text.find("{")
    while at >= 0:
        end = closing(text, at, "{}")
        text = blank(text, at + 1, end)
        at = text.find("{", end)
    return text


def split_parameters(text):
    parts, depth, last = [], 0, 0
    for at, char in enumerate(text):
        depth += (char in "([") - (char in ")]")
        if char == "," and depth == 0:
            parts.append(text[last:at])
            last = at + 1
    return parts + [text[last:]]


def parameter_name(text):
    text = text.strip()
    if text in ("void", ""):
        return None
    if text == "...":
        return text
    pointer = re.search(r"\(\s*\*\s*(\w+)", text)
    if pointer:
        return pointer.group(1)
    names = re.findall(r"\w+", re.sub(r"\[[^\]]*\]", "", text))
    return names[-1] if len(names) > 1 else "(unnamed)"


def prototypes(text):
    """Yields (offset, name, parameters) of each function declared or defined at top level."""
    text = flatten(without_directives(tree.without_comments(text)))
    for match in PROTOTYPE.finditer(text):
        head = match.group(0)
        if head.startswith(("typedef", "_Static_assert", "static_assert", "__attribute__")):
            continue
        end = closing(text, match.end() - 1, "()")
        names = [parameter_name(part) for part in split_parameters(text[match.end():end])]
        yield match.start(), match.group(1), [name for name in names if name]


def check_block(name, parameters, block):
    problems = []
    lines = block.split("\n")
    title = TITLE.match(lines[1])
    if not title or title.group(1) != name:
        problems.append("the block's first line is not ' * %s() - ...'" % name)
    named = PARAMETER.findall(block)
    if named != parameters:
        problems.append("block names (%s), prototype (%s)"
                        % (", ".join(named), ", ".join(parameters)))
    for part in PARTS:
        if not re.search(r"^ \* %s:\s*\S" % part, block, re.M):
            problems.append("no line '%s:'" % part)
    context = re.search(r"^ \* Context:\s*(\S.*)", block, re.M)
    if context and not re.match(r"(%s)\b" % "|".join(CONTEXTS), context.group(1)):
        problems.append("Context starts with none of: " + ", ".join(CONTEXTS))
    return problems


def check_header(path, text):
    problems = []
    if text.count("\n") > MAX_HEADER_LINES:
        problems.append("%s: %d lines, the limit is %d"
                        % (path, text.count("\n"), MAX_HEADER_LINES))
    blocks = {match.end(): match for match in BLOCK.finditer(text)}
    used = set()
    for offset, name, parameters in prototypes(text):
        where = "%s:%d: %s()" % (path, tree.line_of(text, offset), name)
        end = len(text[:offset].rstrip())
        if end not in blocks:
            problems.append(where + ": no contract block right before it")
            continue
        used.add(end)
        problems += ["%s: %s" % (where, problem)
                     for problem in check_block(name, parameters, blocks[end].group(0))]
    for end in sorted(set(blocks) - used):
        if TITLE.match(blocks[end].group(0).split("\n")[1]):
            problems.append("%s:%d: contract block without a prototype"
                            % (path, tree.line_of(text, blocks[end].start())))
    return problems, len(used)


def main():
    root = tree.root_argument(__doc__)
    paths = tree.files(root, ["include/aerostat"], (".h",))
    problems, count = [], 0
    for path in paths:
        found, fitting = check_header(path, tree.read(root, path))
        problems += found
        count += fitting
    tree.finish(problems, "%d prototypes in %d headers" % (count, len(paths)))


if __name__ == "__main__":
    main()
