#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Instructions per frame of the core, by callgrind: the same on every machine and in every run.

Each workload of work_core includes the loop that drives it and the calls (6 to 14 instructions).
"""

import os
import shutil

import bench

# Workload, figure, most instructions per frame; figures of None are notes.
WORKLOADS = [
    ("scan_rising_64", "scan_instructions_per_frame_ascending", 5),
    ("scan_falling_64", "scan_instructions_per_frame_descending", 5),
    ("insert_random", None, None),
    ("take_runs_isolated", "frame_set_take_instructions_isolated", 50),
    ("scan_falling_256", None, None),
    ("insert_runs_64", None, None),
    ("insert_runs_256", None, None),
    ("remove_random", None, None),
    ("take_runs_scattered", None, None),
    ("take_first_isolated", None, None),
    ("next_remove_isolated", None, None),
    ("next_remove_scattered", None, None),
    ("insert_take_requests", None, None),
    ("fold_falling_64", None, None),
    ("fold_random_256", None, None),
]


def main():
    if not shutil.which("valgrind"):
        bench.skip("valgrind is not installed")
        return
    program = os.path.join(bench.BUILD, "bench", "work_core")
    for workload, figure, most in WORKLOADS:
        counted, printed = bench.instructions([program, workload])
        per_frame = counted / int(printed)
        if figure:
            bench.figure(figure, per_frame, "instructions", 1, at_most=most)
        else:
            bench.note(workload, per_frame, "instructions/frame")


if __name__ == "__main__":
    main()
