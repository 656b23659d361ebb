#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""virtio-balloon: instructions of our driver and our device together, and the driver's size.

Counted is what both ends execute for a frame that goes in and comes out again, by callgrind; the
port copies numbers made before, a discard is counted only. A figure is the worse of rising and
falling frames.
"""

import bench

FIGURES = [
    ("virtio_pair_instructions_per_frame_split_4k", 90, ["split_4k", "split_4k_falling"]),
    ("virtio_pair_instructions_per_frame_packed_4k", 90, ["packed_4k", "packed_4k_falling"]),
    ("virtio_pair_instructions_per_frame_split_2m", 90, ["split_2m"]),
    ("virtio_pair_instructions_per_frame_packed_2m", 90, ["packed_2m"]),
]

# What a kernel compiles that wants this driver over PCI and nothing else, and what it calls.
SOURCES = ["src/core/*.c", "src/guest/balloon*.c", "src/guest/pages*.c",
           "src/guest/virtio_balloon*.c", "src/guest/virtio_queue*.c", "src/guest/virtio_pci*.c",
           "src/guest/virtio_config.c"]
CALLS = ["aero_virtio_balloon_guest_" + name for name in (
    "init", "fini", "step", "interrupt", "reclaim", "report_free", "set_reporting", "suspend",
    "resume", "stop", "report")] + ["aero_virtio_pci_init", "aero_balloon_frames",
                                    "aero_balloon_isolate", "aero_balloon_putback",
                                    "aero_balloon_migrate", "aero_balloon_inhibit"]


def main():
    bench.counted("work_virtio_pair", "virtio pair", FIGURES, [])
    bench.figure("text_bytes_virtio_guest", bench.text_bytes(SOURCES, CALLS), "bytes", 1,
                 at_most=32 * 1024)


if __name__ == "__main__":
    main()
