# SPDX-License-Identifier: MIT
"""A real Linux, and one of both ends dies: the guest, or the device under it."""

import os
import random
import signal
import time
import unittest

from daemon import Daemon, until
from guest import MIB, Guest, GuestError, UmlCase

SIZE = 160 * MIB


class GuestDies(UmlCase):
    def test_killed_mid_inflation(self):
        """The whole guest, or its kernel alone, whose helpers would keep the memory."""
        is_midway = 0
        for seed in range(4):
            self.daemon.target(0)
            guest = self.boot()
            self.addCleanup(guest.close)
            guest.ask("dirty %d" % (64 * MIB))
            self.daemon.target(SIZE)
            time.sleep(random.Random(seed).random() * 0.08)
            is_midway += self.daemon.status()["actual_bytes"] < SIZE
            if seed % 2:
                guest.start("!kill")
            else:
                os.kill(guest.pid, signal.SIGKILL)
            guest.wait_end()
            guest.close()
            self.check_idle()
            status = self.daemon.status()
            self.assertEqual((status["resident_bytes"], status["guest_memory_bytes"]), (0, 0))
        print("# %d of 4 deaths were within the inflation" % is_midway)
        # The next one is served, and finds the target waiting.
        linux = self.linux
        self.check_at(SIZE)
        linux.ask("sum %d" % (24 * MIB))
        self.inflate(0)
        linux.ask("check")
        self.check_accounts()

    def test_panic_with_a_full_balloon(self):
        guest = self.boot()
        self.addCleanup(guest.close)
        self.inflate(SIZE)
        with self.assertRaises(GuestError):
            guest.ask("sh echo c >/proc/sysrq-trigger")
        self.assertIn("Kernel panic", guest.wait_end())
        guest.close()
        self.check_idle()


class DeviceDies(unittest.TestCase):
    """What becomes of the guest is in docs/uml-guests.md: it lives on without its device."""

    def test_killed_mid_inflation_and_started_again(self):
        for seed in range(2):
            with self.subTest(seed=seed), Daemon() as first:
                with Guest(first.socket_path) as guest:
                    self.lose_device(first, guest, random.Random(seed).random() * 0.06)
                    with Daemon(folder=first.folder) as second:
                        self.serve_another(second)
                # The first one's exit status is that of SIGKILL, as it should be.
                first.process.returncode = 0

    def lose_device(self, daemon, guest, delay):
        guest.ask("sum %d" % (24 * MIB))
        daemon.target(SIZE)
        time.sleep(delay)
        daemon.kill()
        # The socket's file is still there.
        self.assertTrue(os.path.exists(daemon.socket_path))
        until(lambda: guest.numbers("driver")["driver"] == "absent", "the device is taken away")
        # The rest of its memory is as it was.
        guest.ask("check")
        self.assertTrue(guest.is_running())

    def serve_another(self, daemon):
        mark = daemon.mark()
        with Guest(daemon.socket_path) as guest:
            guest.ask("sum %d" % (24 * MIB))
            daemon.target(SIZE)
            until(lambda: daemon.status()["ledger_bytes"] == SIZE
                  and daemon.status()["actual_bytes"] == SIZE, "the balloon is full")
            guest.ask("check")
            self.assertEqual(guest.power_off(), "the guest was powered off")
        self.assertEqual(sum("front end connected" in line for line in daemon.lines(mark)), 1)
        status = daemon.status()
        self.assertEqual((status["is_connected"], status["guest_memory_bytes"]), (False, 0))

    def test_ended_with_a_full_balloon(self):
        """SIGTERM: the device ends at once, and leaves no file."""
        with Daemon() as daemon, Guest(daemon.socket_path) as guest:
            guest.ask("sum %d" % (24 * MIB))
            daemon.target(SIZE)
            until(lambda: daemon.status()["actual_bytes"] == SIZE, "the balloon is full")
            started = time.monotonic()
            self.assertEqual(daemon.stop(), 0)
            self.assertLess(time.monotonic() - started, 5)
            self.assertFalse(os.path.exists(daemon.socket_path))
            guest.ask("check")

    def test_is_full_when_the_guest_powers_off(self):
        with Daemon() as daemon, Guest(daemon.socket_path) as guest:
            daemon.target(SIZE)
            until(lambda: daemon.status()["actual_bytes"] == SIZE, "the balloon is full")
            self.assertEqual(guest.power_off(), "the guest was powered off")
            until(lambda: not daemon.status()["is_connected"], "the front end is gone")
            self.assertEqual(daemon.status()["target_bytes"], SIZE)


if __name__ == "__main__":
    unittest.main()
