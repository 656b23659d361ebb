#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""End to end: an unmodified Linux in UML, 2 GiB, 1.5 GiB dirtied, 1 GiB inflated; wall time of our
way against our own per-page mode and against a device that discards nothing, in turns. On 4 KiB
pages and on huge pages (a tmpfs mounted huge=always in a mount namespace of our own)."""

import json
import os
import statistics
import subprocess
import sys
import tempfile

import bench

ROUNDS = int(os.environ.get("AERO_BENCH_ROUNDS", "5"))
AEROSTAT = os.path.join(bench.BUILD, "aerostat")

# Inside its own mount namespace, so that nobody else sees the mount and nothing is left of it.
IN_HUGE = ["unshare", "--mount", "sh", "-c",
           'd=$(mktemp -d) && mount -t tmpfs -o huge=always,size=4G aerostat-bench "$d" || exit 9; '
           '"$@" --memory-dir "$d"; s=$?; umount -l "$d"; rmdir "$d"; exit $s', "sh"]


def run(mode, is_huge):
    """One guest; answers its JSON."""
    command = [AEROSTAT, "run", "--quiet", "--memory", "2G", "--dirty", "1536M", "--balloon", "1G",
               "--append", "init_on_alloc=0", "--features", "-page_reporting",
               "--discard", mode, "--json", "-"]
    done = subprocess.run((IN_HUGE if is_huge else []) + command, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode == 9:
        return None
    try:
        result = json.loads(done.stdout)
    except ValueError:
        sys.exit("aerostat run --discard %s: %s" % (mode, done.stderr))
    # Without discards no memory comes back: only then may a run end badly.
    if mode != "none" and not result["good"]:
        sys.exit("aerostat run --discard %s: %s" % (mode, done.stderr))
    return result


def compare(is_huge):
    pages = "huge pages" if is_huge else "4 KiB pages"
    modes = ["collect", "frame", "none"]
    results = bench.alternate([lambda m=m: run(m, is_huge) for m in modes], ROUNDS)
    seconds = [[r["inflate_seconds"] for r in rs] for rs in results]
    for mode, times in zip(modes, seconds):
        bench.note("1 GiB of Linux on %s, %s" % (pages, mode), statistics.median(times) * 1000,
                   "ms")
    return results, seconds


def small_pages():
    results, (ours, per_page, _) = compare(False)
    bench.figure("inflate_wall_4k_ratio", bench.median_ratio(per_page, ours), "x", ROUNDS,
                 at_least=3)
    bench.figure("discard_calls_per_gib", statistics.median(r["discards"] for r in results[0]),
                 "calls", ROUNDS, at_most=600)
    bench.note("discard calls per GiB deflated",
               max(r["deflate_discards"] for r in results[0]), "calls")


def huge_pages():
    if run("collect", True) is None:
        bench.skip("no tmpfs with huge pages can be mounted: needs root")
        return
    _, (ours, per_page, nothing) = compare(True)
    bench.figure("inflate_wall_2m_ratio", bench.median_ratio(per_page, ours), "x", ROUNDS,
                 at_least=7.5)
    bench.figure("inflate_wall_vs_no_discard_ratio", bench.median_ratio(ours, nothing), "x", ROUNDS,
                 at_most=1.15)


small_pages()
huge_pages()
