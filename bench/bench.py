# SPDX-License-Identifier: MIT
"""What measuring programs in Python share: rows for bench/run, alternation, counted instructions.

bench/run puts this folder on the path: 'import bench' is enough.
"""

import glob
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("AERO_BUILD", os.path.join(ROOT, "build"))

# How the size of code is measured: as a kernel that is short of room compiles it.
SIZE_FLAGS = ["-std=c11", "-Os", "-ffreestanding", "-fno-asynchronous-unwind-tables",
              "-ffunction-sections", "-fdata-sections", "-Iinclude"]

# The function of a work_ program that is counted, with all it calls.
COUNTED = "bench_measure"


def row(**fields):
    print(json.dumps(fields), flush=True)


def figure(name, value, unit, runs, at_most=None, at_least=None):
    """A figure with its goal: one of at_most and at_least."""
    if (at_most is None) == (at_least is None):
        raise ValueError("%s needs at_most or at_least" % name)
    bound = {"at_most": at_most} if at_least is None else {"at_least": at_least}
    row(figure=name, value=value, unit=unit, runs=runs, **bound)


def note(text, value, unit):
    """A number that explains figures: shown, not kept."""
    row(note=text, value=value, unit=unit)


def skip(reason):
    row(skip=reason)


def alternate(sides, rounds):
    """Calls each of the functions once a round, in turns that rotate, and answers a list of results
    for each: so what disturbs the machine disturbs all of them."""
    results = [[] for _ in sides]
    for number in range(rounds):
        for at in range(len(sides)):
            side = (at + number) % len(sides)
            results[side].append(sides[side]())
    return results


def median_ratio(above, below):
    """The median of the ratios within each round."""
    return statistics.median(a / b for a, b in zip(above, below))


def per_frame(program, workload, title):
    """Instructions per frame, or whatever a workload of a work_ program prints the number of."""
    counted, printed = instructions([os.path.join(BUILD, "bench", program), workload])
    value = counted / int(printed)
    note("%s: %s" % (title, workload), value, "instructions/frame")
    return value


def counted(program, title, figures, notes):
    """Figures (name, at most, workloads: the worst of them) and notes of a work_ program."""
    if not shutil.which("valgrind"):
        skip("valgrind is not installed")
        return
    for name, most, workloads in figures:
        worst = max(per_frame(program, workload, title) for workload in workloads)
        figure(name, worst, "instructions", 1, at_most=most)
    for workload in notes:
        per_frame(program, workload, title)


def instructions(command):
    """Instructions that bench_measure() of a program executes, and what the program printed."""
    done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                           "--toggle-collect=" + COUNTED] + command,
                          check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    counted = int(re.search(r"Collected : (\d+)", done.stderr).group(1))
    if not counted:
        raise RuntimeError("%s never reached %s()" % (command[0], COUNTED))
    return counted, done.stdout


def text_bytes(sources, calls):
    """The size of sources (patterns) compiled by gcc and linked with what calls do not reach left
    out."""
    with tempfile.TemporaryDirectory() as folder:
        objects = []
        for source in sorted(path for pattern in sources
                             for path in glob.glob(os.path.join(ROOT, pattern))):
            objects.append(os.path.join(folder, os.path.basename(source) + ".o"))
            subprocess.run(["gcc"] + SIZE_FLAGS + ["-c", source, "-o", objects[-1]], check=True,
                           cwd=ROOT)
        linked = os.path.join(folder, "linked.o")
        roots = [word for call in calls for word in ("-u", call)]
        subprocess.run(["ld", "-r", "--gc-sections", "-e", calls[0]] + roots + ["-o", linked] +
                       objects, check=True)
        printed = subprocess.run(["size", linked], check=True, text=True,
                                 stdout=subprocess.PIPE).stdout
    return int(printed.splitlines()[1].split()[0])
