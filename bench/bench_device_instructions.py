#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Instructions per frame of the virtio-balloon device, by callgrind: its own work in user space.

Requests have 256 frames, as Linux sends them. Counted is all from the kick to the last discard, but
for the host's call that discards. Frames that lie at random and alone (inflate_random) need a
discard each; how much they cost until they are answered is a note of its own, and so are frames in
random order that fill blocks. A figure is the worst of its workloads.
"""

import bench

FIGURES = [
    ("device_instructions_per_frame_runs", 15,
     ["inflate_runs_64", "inflate_runs_256", "inflate_linux", "inflate_linux_thp"]),
    ("device_instructions_per_frame_random", 100,
     ["inflate_random", "inflate_shuffled"]),
]
NOTES = ["inflate_random_answered", "deflate_runs_64", "deflate_linux", "deflate_random",
         "request_runs_64", "request_linux", "request_random"]


if __name__ == "__main__":
    bench.counted("work_device", "device", FIGURES, NOTES)
