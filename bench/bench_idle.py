#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Resident memory of `aerostat device` that waits for a front end."""

import os
import statistics
import subprocess
import tempfile
import time

import bench

ROUNDS = 5


def status_field(pid, name):
    with open("/proc/%d/status" % pid) as status:
        for line in status:
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("no %s of process %d" % (name, pid))


def measure(directory):
    sockets = [os.path.join(directory, name) for name in ("balloon", "control")]
    device = subprocess.Popen([os.path.join(bench.BUILD, "aerostat"), "device", "--socket",
                               sockets[0], "--control", sockets[1]], stderr=subprocess.DEVNULL)
    try:
        for _ in range(500):
            if all(map(os.path.exists, sockets)):
                break
            time.sleep(0.01)
        else:
            raise RuntimeError("aerostat device does not listen")
        # Asked once, so that what is loaded when first needed is in.
        subprocess.run([os.path.join(bench.BUILD, "aerostat"), "status", sockets[1]], check=True,
                       stdout=subprocess.DEVNULL)
        return status_field(device.pid, "VmRSS"), status_field(device.pid, "RssAnon")
    finally:
        device.terminate()
        device.wait()


with tempfile.TemporaryDirectory() as place:
    sizes = [measure(place) for _ in range(ROUNDS)]
bench.figure("device_idle_rss_bytes", statistics.median(rss for rss, _ in sizes), "bytes", ROUNDS,
             at_most=6 << 20)
bench.note("of them not shared with other processes", statistics.median(a for _, a in sizes),
           "bytes")
