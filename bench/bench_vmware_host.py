#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""VMware's host: instructions per entry by callgrind, discards apart.

Counted is all from the guest's registers to the last discard, but for the host's call that
discards. Batches have 512 entries that rise or fall; entries in random order are notes. The first
figure is of 4 KiB entries and the second of 2 MiB entries, each the worst of its workloads.
"""

import bench

FIGURES = [
    ("vmware_host_instructions_per_frame", 40, ["lock_4k_rising", "lock_4k_falling",
                                                "unlock_4k_rising"]),
    ("vmware_host_instructions_per_2m_block", 40, ["lock_2m_rising", "lock_2m_falling",
                                                   "unlock_2m_rising"]),
]
NOTES = ["lock_4k_shuffled", "unlock_4k_shuffled", "lock_2m_shuffled", "unlock_2m_shuffled"]


if __name__ == "__main__":
    bench.counted("work_vmware_host", "VMware host", FIGURES, NOTES)
