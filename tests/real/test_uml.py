# SPDX-License-Identifier: MIT
"""An unmodified Linux and our device: the balloon's life in one guest."""

import random
import time
import unittest

from daemon import until
from guest import MIB, GuestError, UmlCase

# What Linux 6.1 sends; huge page counters only where it has huge pages, which UML has not.
STATISTICS = {"swap_in_bytes", "swap_out_bytes", "major_faults", "minor_faults",
              "free_memory_bytes", "total_memory_bytes", "available_memory_bytes",
              "disk_caches_bytes"}


class Linux(UmlCase):
    def setUp(self):
        # Booted before the test begins to count what the device says.
        self.assertTrue(self.linux.is_running())
        super().setUp()

    def fill(self, linux, spare=14 * MIB):
        """The guest writes to nearly all of its memory, so that the host backs it."""
        available = linux.numbers("memory")["available"]
        linux.ask("dirty %d" % (available - spare))
        return self.resident()

    def test_inflate_and_deflate(self):
        linux, size = self.linux, 128 * MIB
        linux.ask("sum %d" % (24 * MIB))
        before = self.fill(linux)
        linux.ask("free")
        seconds = self.time_inflation(size)
        fallen = before - self.resident()
        print("# %d MiB in %.2f s, resident fell by %.1f MiB"
              % (size / MIB, seconds, fallen / MIB))
        self.assertGreaterEqual(fallen, 0.95 * size)
        linux.ask("check")
        # What is in the balloon is not to be had.
        with self.assertRaisesRegex(GuestError, "refused"):
            linux.ask("dirty %d" % (200 * MIB))
        discards = self.daemon.counters("ledger")["discards"]
        self.inflate(0)
        self.assertEqual(self.daemon.counters("ledger")["discards"], discards)
        linux.ask("check")
        self.fill(linux)
        linux.ask("check")
        self.check_accounts()

    def time_inflation(self, size):
        """Inflates, answers the seconds it took."""
        started = time.monotonic()
        self.daemon.target(size)
        until(lambda: self.daemon.status()["actual_bytes"] == size, "inflated", pause=0.001)
        seconds = time.monotonic() - started
        self.check_at(size)
        return seconds

    def test_oscillating_targets(self):
        linux, size = self.linux, 160 * MIB
        linux.ask("sum %d" % (24 * MIB))
        seconds = self.time_inflation(size)
        numbers = random.Random(20)
        is_midway = turn = 0
        # On a busy machine more of them come too late.
        while turn < 20 or (is_midway < 6 and turn < 200):
            turn += 1
            self.daemon.target(numbers.randrange(80) * MIB + turn % 2 * size // 2)
            time.sleep(numbers.random() * seconds / 2)
            status = self.daemon.status()
            is_midway += status["actual_bytes"] != status["target_bytes"]
        print("# %d of %d changes were within a way" % (is_midway, turn))
        self.assertGreater(is_midway, 5)
        self.inflate(77 * MIB)
        linux.ask("check")
        self.inflate(0)
        linux.ask("check")
        self.check_accounts()

    def test_statistics(self):
        linux = self.linux
        sequence = 0
        for kept in (0, 48 * MIB, 0):
            linux.ask("free")
            if kept:
                linux.ask("dirty %d" % kept)
            memory = linux.numbers("memory")
            answer = self.daemon.ask("stats", timeout_ms=20000)
            self.assertTrue(answer["is_fresh"], answer["reason"])
            statistics = answer["statistics"]
            self.assertGreater(statistics["sequence"], sequence)
            sequence = statistics["sequence"]
            values = statistics["values"]
            self.assertEqual(set(values), STATISTICS)
            self.assertEqual(values["total_memory_bytes"], memory["total"])
            for key in ("free", "available"):
                self.assertAlmostEqual(values[key + "_memory_bytes"], memory[key], delta=4 * MIB)
            self.assertGreater(values["minor_faults"], 0)
            self.assertEqual(values["swap_out_bytes"], 0)
            self.assertEqual(statistics["unknown"], {})
            self.assertEqual(set(statistics["missing"]) & STATISTICS, set())

    def test_reporting_frees_memory_by_itself(self):
        linux, size = self.linux, 128 * MIB
        linux.ask("sum %d" % (24 * MIB))
        linux.ask("dirty %d" % size)
        full = self.resident()
        before = self.daemon.counters()
        linux.ask("free")
        started = time.monotonic()
        until(lambda: full - self.resident() > 0.75 * size, "reports of three quarters", 60, 0.05)
        after = self.daemon.counters()
        freed = after["report_freed_bytes"] - before["report_freed_bytes"]
        print("# %.1f MiB in %.1f s, %d reports" % (
            freed / MIB, time.monotonic() - started, after["reports"] - before["reports"]))
        self.assertGreater(freed, 0.75 * size)
        self.assertEqual(self.daemon.status()["ledger_bytes"], 0)
        linux.ask("check")
        linux.ask("dirty %d" % size)
        linux.ask("check")

    def test_hints(self):
        linux = self.linux
        linux.ask("sum %d" % (24 * MIB))
        free = linux.numbers("memory")["free"]
        discards = self.discards()
        self.assertEqual(self.daemon.ask("hint", action="start")["hint_state"], "requested")
        until(lambda: self.daemon.status()["hint_state"] == "ended", "all is hinted")
        hinted = self.daemon.counters()["hint_bytes"]
        print("# %.1f MiB hinted of %.1f MiB free" % (hinted / MIB, free / MIB))
        # Linux hints blocks of 4 MiB.
        self.assertGreater(hinted, 0.5 * free)
        self.assertLess(linux.numbers("memory")["free"], 0.5 * free)
        self.daemon.ask("hint", action="stop")
        self.daemon.ask("hint", action="done")
        until(lambda: linux.numbers("memory")["free"] > free - 8 * MIB, "it is free again")
        self.assertEqual(self.discards(), discards)
        linux.ask("check")
        # Another round is another one.
        self.daemon.ask("hint", action="start")
        until(lambda: self.daemon.status()["hint_state"] == "ended", "all is hinted")
        self.daemon.ask("hint", action="done")
        until(lambda: linux.numbers("memory")["free"] > free - 8 * MIB, "it is free again")
        linux.ask("dirty %d" % (128 * MIB))
        linux.ask("check")

    def discards(self):
        """Those for which nothing but reports can be the reason."""
        counters = self.daemon.status()["counters"]
        return counters["memory"]["discards"] - counters["device"]["report_discards"]

    def test_pause_at_any_point(self):
        linux, size = self.linux, 160 * MIB
        linux.ask("sum %d" % (24 * MIB))
        seconds = self.time_inflation(size)
        is_midway = 0
        seed = 0
        while seed < 14 or (is_midway < 4 and seed < 60):
            seed += 1
            self.inflate(0)
            self.daemon.target(size)
            time.sleep(random.Random(seed).random() * seconds * 0.8)
            answer = self.daemon.ask("pause")
            self.assertTrue(answer["is_drained"])
            status = self.daemon.status()
            is_midway += 0 < status["ledger_bytes"] < size
            self.check_still(status)
            self.daemon.ask("resume")
            self.check_at(size)
            if seed % 4 == 0:
                linux.ask("check")
        print("# %d of %d points were within the inflation" % (is_midway, seed))
        self.assertGreaterEqual(is_midway, 4)
        self.check_accounts()

    def check_still(self, first):
        deadline = time.monotonic() + 0.15
        while time.monotonic() < deadline:
            now = self.daemon.status()
            self.assertEqual((now["ledger_bytes"], now["pending_bytes"]),
                             (first["ledger_bytes"], 0))
            self.assertEqual(now["counters"]["memory"], first["counters"]["memory"])
            # The guest runs on and may touch a few pages; none may go.
            self.assertGreaterEqual(now["resident_bytes"], first["resident_bytes"])
            self.assertLess(now["resident_bytes"], first["resident_bytes"] + MIB)
            time.sleep(0.01)

    def test_pause_holds_deflation_too(self):
        self.inflate(96 * MIB)
        self.daemon.ask("pause")
        first = self.daemon.status()
        self.daemon.target(0)
        self.check_still(first)
        self.assertEqual(self.daemon.status()["stall"], "paused")
        self.daemon.ask("resume")
        self.check_at(0)

    def test_more_than_the_guest_has(self):
        linux = self.linux
        linux.ask("sum %d" % (24 * MIB))
        answer = self.daemon.target(1 << 40)
        memory = self.daemon.status()["guest_memory_bytes"]
        self.assertEqual((answer["clamped_by"], answer["target_bytes"]), ("guest_memory", memory))
        until(lambda: self.daemon.status()["stall"] == "short", "the guest has no more", 60, 0.05)
        actual = self.daemon.status()["actual_bytes"]
        print("# %.0f of %.0f MiB were given" % (actual / MIB, memory / MIB))
        self.assertGreater(actual, 0.7 * memory)
        self.inflate(64 * MIB)
        linux.ask("check")
        self.assertGreater(linux.numbers("memory")["available"], 64 * MIB)
        self.check_accounts()

    def test_guest_under_pressure_takes_memory_back(self):
        linux, size = self.linux, 160 * MIB
        linux.ask("sum %d" % (16 * MIB))
        self.inflate(size)
        self.assertEqual(linux.ask("pressure %d" % (80 * MIB)), "exit=0")
        status = self.daemon.status()
        self.assertLess(status["actual_bytes"], size)
        self.assertEqual(status["ledger_bytes"], status["actual_bytes"])
        self.assertEqual(status["stall"], "shrinking")
        linux.ask("check")
        # Linux does not inflate again by itself; told again, it does.
        self.inflate(size)
        linux.ask("check")
        self.check_accounts()

    def test_driver_is_unloaded_and_loaded(self):
        linux, size = self.linux, 64 * MIB
        linux.ask("sum %d" % (24 * MIB))
        self.inflate(size)
        for _ in range(3):
            self.assertEqual(linux.numbers("unload")["driver"], "unbound")
            status = self.daemon.status()
            self.assertEqual((status["actual_bytes"], status["ledger_bytes"]), (0, 0))
            self.assertEqual(linux.numbers("load")["driver"], "bound")
            self.check_at(size)
            self.assertTrue(self.daemon.ask("stats", timeout_ms=20000)["is_fresh"])
            linux.ask("check")
        self.check_accounts()

    def test_reboot_with_a_full_balloon(self):
        linux, size = self.linux, 128 * MIB
        self.inflate(size)
        for _ in range(2):
            linux.ask("reboot")
            ready = linux.wait_ready()
            self.assertEqual(ready["driver"], "bound")
            self.check_at(size)
            self.assertLess(linux.numbers("memory")["free"], 128 * MIB)
        lines = self.lines()
        self.assertEqual(sum("front end connected" in line for line in lines), 2, lines)
        self.check_accounts()


if __name__ == "__main__":
    unittest.main()
