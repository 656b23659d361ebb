#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""VMware's driver: instructions per frame by callgrind, and the size of its code.

Counted is what engine, page core and driver do to inflate and to deflate again; the port copies
numbers made before, the host does nothing. A figure is the worst of its workloads: frames that
rise, fall, or come in groups of 64. Frames in random order are a note.
"""

import bench

FIGURES = [
    ("vmware_guest_instructions_per_frame_4k", 50, ["rising", "falling", "groups"]),
    ("vmware_guest_instructions_per_frame_2m", 1, ["large_rising", "large_random"]),
]
NOTES = ["rising_in", "random", "random_in"]

# What a kernel compiles that wants this driver and nothing else, and what it calls.
SOURCES = ["src/core/*.c", "src/guest/balloon*.c", "src/guest/pages*.c", "src/guest/vmware*.c"]
CALLS = ["aero_vmware_guest_init", "aero_vmware_guest_fini", "aero_vmware_guest_doorbell",
         "aero_vmware_guest_report_text", "aero_vmware_backdoor_call",
         "aero_vmware_backdoor_is_present", "aero_balloon_step", "aero_balloon_notify",
         "aero_balloon_reclaim", "aero_balloon_frames", "aero_balloon_isolate",
         "aero_balloon_putback", "aero_balloon_migrate", "aero_balloon_freeze",
         "aero_balloon_thaw", "aero_balloon_inhibit", "aero_balloon_stop"]
TEXT_MOST = 24 * 1024


def main():
    bench.counted("work_vmware_guest", "VMware guest", FIGURES, NOTES)
    bench.figure("text_bytes_vmware_guest", bench.text_bytes(SOURCES, CALLS), "bytes", 1,
                 at_most=TEXT_MOST)


if __name__ == "__main__":
    main()
