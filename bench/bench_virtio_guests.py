#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The same QEMU, the same device, the same amount: our bare-metal guest and Debian's Linux with its
own driver (booted with init_on_alloc=0), side by side, and what QEMU itself cannot do without.

Time is from the target until actual has reached it. Instructions are those of the guest, counted by
a plugin over whole runs with a large and with a small balloon: what differs is what the balloon
costs, in and out, by frame.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

import bench

ROUNDS = int(os.environ.get("AERO_BENCH_ROUNDS", "3"))
AEROSTAT = os.path.join(bench.BUILD, "aerostat")
FLOOR = os.path.join(bench.BUILD, "bench", "floor_qemu")
PLUGIN = os.path.join(bench.BUILD, "bench", "qemu_count.so")
QEMU = "qemu-system-x86_64"

MEMORY = 1536
LARGE, SMALL = 1024, 256

# Linux itself has some 120 MiB, so that both begin with as much of the host's memory.
LINUX = ["--guest", "linux", "--dirty", "1200M"]
OURS = ["--guest", "baremetal", "--dirty", "1320M"]
PAGES = OURS + ["--append", "orders=1"]


def run(kind, balloon, environment=None):
    """One guest; answers its JSON."""
    command = [AEROSTAT, "run", "--quiet", "--cpus", "one", "--memory", "%dM" % MEMORY,
               "--balloon", "%dM" % balloon, "--json", "-"] + kind
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=environment)
    try:
        result = json.loads(done.stdout)
    except ValueError:
        result = {}
    # With a small balloon the run itself cannot tell whether memory came back.
    if result.get("actual_bytes") != balloon << 20 or not result["deflate_seconds"]:
        sys.exit("%s: %s" % (" ".join(command), done.stderr))
    return result


def floor():
    """QEMU's calls alone, on the processor that a guest would have."""
    done = subprocess.run(["taskset", "--cpu-list", "0", FLOOR, str(LARGE)], check=True, text=True,
                          stdout=subprocess.PIPE)
    return [float(word) for word in done.stdout.split()]


def wall():
    results = bench.alternate([lambda: run(OURS, LARGE), lambda: run(PAGES, LARGE),
                               lambda: run(LINUX, LARGE), floor], ROUNDS)
    names = ["ours, 2 MiB", "ours, 4 KiB", "Linux"]
    for at, way, most in ((0, "inflate", 0.5), (1, "deflate", 0.6)):
        key = way + "_seconds_per_gib"
        seconds = [[result[key] for result in side] for side in results[:3]]
        least = [pair[at] for pair in results[3]]
        bench.note("QEMU's calls alone, %s" % way, statistics.median(least), "s/GiB")
        for name, times in zip(names, seconds):
            bench.note("%s, %s" % (name, way), statistics.median(times), "s/GiB")
        bench.note("ours to QEMU's calls alone, %s" % way,
                   bench.median_ratio(seconds[0], least), "x")
        bench.figure("baremetal_vs_linux_%s_ratio" % way,
                     bench.median_ratio(seconds[0], seconds[2]), "x", ROUNDS, at_most=most)
    for name, side in zip(names, results):
        bench.note("%s: memory of the host before" % name,
                   statistics.median(r["resident_before_bytes"] for r in side) / 2 ** 20, "MiB")


class Counter:
    """Runs guests in a QEMU that counts what they execute."""

    def __init__(self, folder):
        self.count = os.path.join(folder, "count")
        wrapper = os.path.join(folder, QEMU)
        with open(wrapper, "w", encoding="ascii") as stream:
            stream.write('#!/bin/sh\nexec %s -plugin "file=%s,count=%s" "$@"\n'
                         % (shutil.which(QEMU), PLUGIN, self.count))
        os.chmod(wrapper, 0o755)
        self.environment = dict(os.environ, PATH=folder + os.pathsep + os.environ["PATH"])

    def executed(self, kind, balloon):
        if os.path.exists(self.count):
            os.unlink(self.count)
        run(kind, balloon, self.environment)
        with open(self.count, "rb") as stream:
            return int.from_bytes(stream.read(8), sys.byteorder)

    def per_frame(self, kind):
        more = [self.executed(kind, LARGE) - self.executed(kind, SMALL) for _ in range(ROUNDS)]
        return statistics.median(more) / ((LARGE - SMALL) * 256)


def instructions():
    with tempfile.TemporaryDirectory() as folder:
        counter = Counter(folder)
        linux, pages, blocks = (counter.per_frame(kind) for kind in (LINUX, PAGES, OURS))
    bench.note("Linux, in and out", linux, "instructions/frame")
    bench.note("ours, 4 KiB, in and out", pages, "instructions/frame")
    bench.note("ours, 2 MiB, in and out", blocks, "instructions/frame")
    bench.figure("baremetal_vs_linux_instructions_ratio", pages / linux, "x", ROUNDS, at_most=0.1)
    bench.figure("baremetal_vs_linux_instructions_ratio_2m", blocks / linux, "x", ROUNDS,
                 at_most=0.01)


def main():
    if not shutil.which(QEMU):
        bench.skip("there is no %s" % QEMU)
        return
    wall()
    instructions()


if __name__ == "__main__":
    main()
