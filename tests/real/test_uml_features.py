# SPDX-License-Identifier: MIT
"""A real Linux with other features, kernel parameters and kinds of memory than the usual ones."""

import contextlib
import os
import random
import subprocess
import tempfile
import time
import unittest

from daemon import Daemon, until
from guest import MIB, UML, Guest

SIZE = 64 * MIB
MEMORY = 160 * MIB
# Linux reports only while 32 blocks of 4 MiB are free.
MEMORY_TO_REPORT = 256 * MIB


def names(status):
    return {feature["name"] for feature in status["features"]}


def roles(status):
    """Index of each queue that is for something and runs."""
    return {queue["role"]: queue["index"] for queue in status["queues"]
            if queue["is_started"] and queue["is_enabled"]}


@unittest.skipUnless(UML, "there is no linux.uml: package user-mode-linux")
class Features(unittest.TestCase):
    """Each case is a device and a guest of its own, which go through the same life."""

    @contextlib.contextmanager
    def pair(self, *options, **guest_options):
        with Daemon(*options) as self.daemon:
            with Guest(self.daemon.socket_path, **dict(dict(memory=MEMORY),
                                                       **guest_options)) as guest:
                self.assertEqual(guest.ready["driver"], "bound")
                yield guest
                self.assertEqual(guest.power_off(), "the guest was powered off")

    def move(self, size):
        self.daemon.target(size)

        def has_come():
            # A guest that is still on its way elsewhere may pass through the target.
            status = self.daemon.status()
            return (status["actual_bytes"] == size and status["ledger_bytes"] == size and
                    status["pending_bytes"] == 0)

        until(has_come, "the target is reached, the ledger agrees and all is discarded")
        return self.daemon.status()

    def live(self, guest, is_freed=True):
        """Inflates and deflates, now and then within the other, and finds its memory unchanged."""
        guest.ask("sum %d" % (16 * MIB))
        guest.ask("dirty %d" % (guest.numbers("memory")["available"] - 16 * MIB))
        before = self.daemon.status()["resident_bytes"]
        guest.ask("free")
        fallen = before - self.move(SIZE)["resident_bytes"]
        if is_freed:
            self.assertGreaterEqual(fallen, 0.9 * SIZE)
        guest.ask("check")
        numbers = random.Random(1)
        for _ in range(8):
            self.daemon.target(numbers.randrange(SIZE // MIB) * MIB)
            time.sleep(numbers.random() * 0.03)
        self.move(SIZE // 2)
        self.assertEqual(guest.numbers("unload")["driver"], "unbound")
        self.assertEqual(guest.numbers("load")["driver"], "bound")
        self.move(SIZE // 2)
        self.move(0)
        guest.ask("dirty %d" % (guest.numbers("memory")["available"] - 16 * MIB))
        guest.ask("check")
        guest.ask("free")
        ledger = self.daemon.counters("ledger")
        for key in ("given_twice_frames", "never_given_frames", "out_of_range_frames",
                    "discard_failures"):
            self.assertEqual(ledger[key], 0, key)

    def check_reports(self, guest):
        before = self.daemon.counters()["report_freed_bytes"]
        guest.ask("dirty %d" % (64 * MIB))
        guest.ask("free")
        until(lambda: self.daemon.counters()["report_freed_bytes"] - before > 48 * MIB,
              "reports free memory", 60)

    def check_hints(self, guest):
        free = guest.numbers("memory")["free"]
        self.daemon.ask("hint", action="start")
        until(lambda: self.daemon.status()["hint_state"] == "ended", "all is hinted")
        self.assertGreater(self.daemon.counters()["hint_bytes"], 32 * MIB)
        self.daemon.ask("hint", action="done")
        until(lambda: guest.numbers("memory")["free"] > free - 8 * MIB, "it is free again")

    def test_without_must_tell_host(self):
        with self.pair("--features=-must_tell_host") as guest:
            status = self.daemon.status()
            self.assertNotIn("must_tell_host", names(status))
            self.assertEqual(status["discard_mode"], "request")
            self.live(guest)

    def test_split_ring_and_no_deflation_on_oom(self):
        """Without PAGE_POISON on offer UML enables its rings one by one."""
        with self.pair("--features=-ring_packed,-page_poison,-deflate_on_oom") as guest:
            status = self.daemon.status()
            self.assertFalse({"ring_packed", "deflate_on_oom"} & names(status))
            self.assertEqual(roles(status), {"inflate": 0, "deflate": 1, "stats": 2, "hint": 3,
                                             "reporting": 4})
            self.live(guest)
            total = guest.numbers("memory")["total"]
            self.move(SIZE)
            # What is in the balloon is no memory of this guest any more, and stays there.
            self.assertEqual(guest.numbers("memory")["total"], total - SIZE)
            self.assertEqual(guest.ask("pressure %d" % (400 * MIB)), "exit=137")
            self.assertEqual(self.daemon.status()["actual_bytes"], SIZE)
            guest.ask("check")

    def test_reporting_alone(self):
        features = "-ring_packed,-indirect_desc,-event_idx,-stats_vq,-free_page_hint"
        with self.pair("--features=" + features, memory=MEMORY_TO_REPORT) as guest:
            self.assertEqual(roles(self.daemon.status()),
                             {"inflate": 0, "deflate": 1, "reporting": 2})
            self.check_reports(guest)
            self.assertEqual(self.daemon.ask("stats")["reason"], "not_negotiated")
            self.live(guest)

    def test_hints_alone(self):
        with self.pair("--features=-indirect_desc,-event_idx,-stats_vq,-page_reporting") as guest:
            self.assertEqual(roles(self.daemon.status()), {"inflate": 0, "deflate": 1, "hint": 2})
            self.check_hints(guest)
            self.live(guest)

    def test_statistics_and_reporting(self):
        """Linux closes the gap that the hints leave."""
        with self.pair("--features=-ring_packed,-free_page_hint", "--stats-interval=0.2",
                       memory=MEMORY_TO_REPORT) as guest:
            self.assertEqual(roles(self.daemon.status()),
                             {"inflate": 0, "deflate": 1, "stats": 2, "reporting": 3})
            self.check_reports(guest)
            self.live(guest)
            sequence = self.daemon.ask("stats", timeout_ms=20000)["statistics"]["sequence"]
            until(lambda: self.daemon.counters()["stats_buffers"] > sequence + 3,
                  "statistics come by themselves")

    def test_nothing_but_the_balloon(self):
        """One by one, as other devices do it."""
        with self.pair("--features=deflate_on_oom", "--discard=frame") as guest:
            status = self.daemon.status()
            self.assertEqual(names(status) & {"must_tell_host", "stats_vq", "free_page_hint",
                                              "page_reporting"}, set())
            self.assertEqual((roles(status), status["discard_mode"]),
                             ({"inflate": 0, "deflate": 1}, "frame"))
            self.live(guest)
            # A discard for each frame, counted from the device's start.
            ledger = self.daemon.counters("ledger")
            self.assertEqual(ledger["discards"], ledger["given_frames"])

    def test_discard_none_frees_nothing(self):
        with self.pair("--discard=none", "--features=-page_reporting") as guest:
            self.live(guest, is_freed=False)
            self.assertEqual(self.daemon.counters("memory")["discards"], 0)

    def test_guest_that_zeroes_what_it_frees(self):
        """Linux negotiates PAGE_POISON with the value 0, and counts on zeros when it allocates."""
        with self.pair(append="init_on_free=1", memory=MEMORY_TO_REPORT) as guest:
            status = self.daemon.status()
            self.assertIn("page_poison", names(status))
            self.assertEqual(status["poison_value"], 0)
            self.check_reports(guest)
            self.live(guest)
            # Fresh pages of a file that has only holes: any byte that is not 0 was left over.
            self.move(SIZE)
            self.move(0)
            output = guest.ask("sh truncate -s 64M /mnt/z; tr -d '\\0' </mnt/z | wc -c; rm /mnt/z")
            self.assertEqual(output, "exit=0 output=0")

    def test_huge_pages(self):
        folder = tempfile.mkdtemp(prefix="aero-huge-")
        self.addCleanup(os.rmdir, folder)
        done = subprocess.run(["mount", "-t", "tmpfs", "-ohuge=always,size=1G", "tmpfs", folder],
                              stderr=subprocess.PIPE)
        if done.returncode:
            self.skipTest("tmpfs with huge pages cannot be mounted: "
                          + done.stderr.decode(errors="replace").strip())
        self.addCleanup(subprocess.run, ["umount", folder], check=True)
        with self.pair("--features=-page_reporting", memory=256 * MIB,
                       memory_dir=folder) as guest:
            status = self.daemon.status()
            if status["block_bytes"] != 2 * MIB:
                self.skipTest("no huge pages of 2 MiB here")
            self.live(guest)
            before = self.daemon.counters("ledger")
            self.move(128 * MIB)
            after = self.daemon.counters("ledger")
            whole = after["blocks_whole"] - before["blocks_whole"]
            split = after["blocks_split"] - before["blocks_split"]
            print("# of 128 MiB, %d blocks of 2 MiB were discarded whole, %d in parts"
                  % (whole, split))
            self.assertGreaterEqual(whole, 40)
            self.assertLessEqual(after["discards"] - before["discards"], 128)
            guest.ask("check")


if __name__ == "__main__":
    unittest.main()
