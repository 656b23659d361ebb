#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""src/ and the template port are freestanding: proved by compiling them without any libc and
looking at what is left.

Each file is compiled for 64 bits, 32 bits and a big-endian machine with the compiler's own
headers only; all objects of one machine are then linked into one. Nothing but memcpy, memmove,
memset and memcmp may be undefined in it (so no libgcc either), nothing may be writable.
"""

import concurrent.futures
import os
import subprocess
import tempfile

import tree

FLAGS = """-std=c11 -pedantic -ffreestanding -nostdinc -O2 -fno-pic -fno-stack-protector
    -Wall -Wextra -Werror -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wpointer-arith
    -Wundef -Wvla -Wframe-larger-than=512""".split()
ALLOWED = {"memcpy", "memmove", "memset", "memcmp"}
WRITABLE = set("BbDdCcSsGg")

# Name, compiler, prefix of the binary tools.
MACHINES = [
    ("x86-64 gcc", ["gcc"], ""),
    ("x86-64 clang", ["clang"], ""),
    ("i686 gcc", ["i686-linux-gnu-gcc"], "i686-linux-gnu-"),
    ("s390x gcc", ["s390x-linux-gnu-gcc"], "s390x-linux-gnu-"),
]


def run(command, **options):
    return subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          **options)


def compiler_headers(compiler):
    return run(compiler + ["-print-file-name=include"], check=True).stdout.strip()


def compile_all(root, compiler, sources, folder, pool):
    """Answers the object files, or the messages of the compiler."""
    headers = compiler_headers(compiler)

    def compile_one(numbered):
        number, path = numbered
        target = os.path.join(folder, "%d.o" % number)
        done = run(compiler + FLAGS + ["-isystem", headers, "-I", "include", "-I", ".",
                                       "-c", path, "-o", target], cwd=root)
        return target, done.stdout if done.returncode or done.stdout else ""

    results = list(pool.map(compile_one, enumerate(sources)))
    return [target for target, _ in results], [text for _, text in results if text]


def check_symbols(machine, tools, objects, folder):
    whole = os.path.join(folder, "whole.o")
    linked = run([tools + "ld", "-r", "-o", whole] + objects)
    if linked.returncode:
        return ["%s: ld -r: %s" % (machine, linked.stdout)]
    problems = []
    for line in run([tools + "nm", "--format=posix", whole], check=True).stdout.splitlines():
        name, kind = line.split()[:2]
        if kind == "U" and name not in ALLOWED:
            problems.append("%s: needs %s: only %s may be undefined"
                            % (machine, name, ", ".join(sorted(ALLOWED))))
        if kind in WRITABLE:
            problems.append("%s: %s is a writable global (nm type %s)" % (machine, name, kind))
    return problems


def check_machine(root, sources, machine, pool):
    name, compiler, tools = machine
    with tempfile.TemporaryDirectory() as folder:
        objects, messages = compile_all(root, compiler, sources, folder, pool)
        if messages:
            return ["%s: %s" % (name, text) for text in messages]
        return check_symbols(name, tools, objects, folder)


def main():
    root = tree.root_argument(__doc__)
    sources = tree.files(root, ["src", "ports/template"], (".c",))
    if not sources:
        tree.finish(["there is no source in src/"], "")
    problems = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for machine in MACHINES:
            problems += check_machine(root, sources, machine, pool)
    tree.finish(problems, "%d files on %s"
                % (len(sources), ", ".join(name for name, _, _ in MACHINES)))


if __name__ == "__main__":
    main()
