# SPDX-License-Identifier: MIT
"""Linux's own vmw_balloon, and something goes wrong: refusals, unloading, lost ends."""

import os
import signal
import time
import unittest

from daemon import PATIENCE
from guest import processes_with
from vmware_guest import FRAME, MIB, POLL, Bridge, GuestError, VmwareCase, until

SIZE = 64 * MIB
NONE = (2 ** 64 - 1, 2 ** 64 - 1)


class Refusals(VmwareCase):
    def test_single_frames_in_every_block(self):
        """Sixteen refused blocks of 2 MiB are split and offered in frames; only those frames that
        the host does not want stay with the guest."""
        bridge = self.bridge("--refuse", "7-0xffffff/512=pinned")
        before = self.stable(bridge)
        bridge.inflate(24 * MIB)
        self.check_agreed(bridge, before)
        status = bridge.status()["counters"]
        self.assertGreaterEqual(status["refused"]["pinned"], 16 + 16)
        self.assertEqual(status["device"]["locked_2m"], 0)
        given = [(first, first + count) for first, count in bridge.runs()]
        self.assertTrue(given)
        self.assertEqual([run for run in given if (run[0] - 8) // 512 != (run[1] - 8) // 512], [])
        bridge.inflate(0)
        self.check_agreed(bridge, before)

    def test_some_blocks(self):
        """Fewer than sixteen: others are found, the refused ones are simply freed."""
        bridge = self.bridge("--refuse", "100-0xffffff/16384=invalid")
        before = self.stable(bridge)
        bridge.inflate(160 * MIB)
        self.check_agreed(bridge, before)
        status = bridge.status()["counters"]
        self.assertLess(status["refused"]["invalid"], 16)
        self.assertGreater(status["refused"]["invalid"], 0)
        self.assertEqual(status["device"]["locked_4k"], 0)
        bridge.inflate(0)
        self.check_agreed(bridge, before)

    def test_frames_in_batches(self):
        bridge = self.bridge("--capabilities", "basic,batched", "--refuse",
                             "5-0xffffff/2048=not_needed")
        before = self.stable(bridge)
        bridge.target(24 * MIB)
        bridge.wait_at(24 * MIB)
        self.check_agreed(bridge, before)
        for first, count in bridge.runs():
            self.assertFalse(any(frame % 2048 == 5 for frame in range(first, first + count)))
        bridge.inflate(0)
        self.check_agreed(bridge, before)

    def test_frames_that_are_not_given_back(self):
        """The driver keeps what the host does not let go, and asks again."""
        bridge = self.bridge("--capabilities", "basic,batched", "--refuse",
                             "0-0xffffff/1024=busy@unlock")
        bridge.inflate(16 * MIB)
        kept = [frame for first, count in bridge.runs() for frame in range(first, first + count)
                if frame % 1024 == 0]
        self.assertTrue(kept)
        bridge.target(0)
        until(lambda: bridge.status()["actual_bytes"] == len(kept) * FRAME, "all but these is back")
        asked = bridge.count("batchUnlock")
        until(lambda: bridge.count("batchUnlock") > asked, "it asks again")
        self.assertEqual(bridge.status()["actual_bytes"], len(kept) * FRAME)
        self.check_ledger(bridge)

    def test_whole_calls(self):
        """The host is busy: the round ends, the next one goes on."""
        bridge = self.bridge("--inject", "busy@2m-lock:1x2", "--inject", "failure@target:4")
        before = self.stable(bridge)
        bridge.inflate(SIZE)
        self.assertEqual([call.status for call in bridge.trace() if call.command == "2m-lock"],
                         ["busy", "busy", "success"])
        bridge.inflate(0)
        until(lambda: any(call.status == "failure" for call in bridge.trace()), "it has failed")
        self.check_agreed(bridge, before)


class Unloading(VmwareCase):
    def search(self, *options):
        """A bridge that nobody tells where the code is."""
        return self.enterContext(Bridge(self.linux, *options))

    def check_unload(self, bridge, size):
        free = self.linux.numbers("memory")["free"]
        bridge.inflate(size)
        self.assertLess(self.linux.numbers("memory")["free"], free - 0.7 * size)
        answer = self.linux.ask("unload")
        self.assertIn("driver=absent", answer)
        self.assertGreater(self.linux.numbers("memory")["free"], free - 4 * MIB)
        calls = bridge.trace()
        self.assertEqual([(call.command, call.arguments[0]) for call in calls[-2:]],
                         [("doorbellSet", NONE[0]), ("start", 0)])
        self.assertEqual(bridge.status()["ledger_bytes"], 0)
        bridge.wait_line("unloaded", seconds=PATIENCE)
        self.assertFalse(bridge.status()["is_connected"])
        self.check_ledger(bridge)

    def load(self):
        self.linux.ask("load")
        # It counts anew.
        self.linux.statistics()

    def test_with_a_full_balloon_and_again(self):
        """The bridge finds the code by itself, also where it lies after the next load."""
        bridge = self.search()
        bridge.wait_live()
        self.check_unload(bridge, SIZE)
        bridge.target(32 * MIB)
        self.load()
        bridge.wait_live(2 * PATIENCE)
        bridge.wait_at(32 * MIB)
        bridge.inflate(0)

    def test_with_frames_of_4k(self):
        bridge = self.search("--capabilities", "basic,batched")
        bridge.wait_live()
        self.addCleanup(self.load)
        self.check_unload(bridge, 16 * MIB)

    def test_before_anybody_serves(self):
        """A driver without a host is unloaded as well, and a bridge waits for one."""
        self.assertIn("driver=absent", self.linux.ask("unload"))
        bridge = self.search("--target", "8M")
        bridge.wait_line("no module of the guest is a balloon driver")
        self.load()
        bridge.wait_at(8 * MIB)
        bridge.inflate(0)


class LosesAnEnd(VmwareCase):
    def test_bridge_ends_with_a_full_balloon(self):
        """The guest goes on; the next host knows of nothing, so that the driver starts anew."""
        self.linux.ask("sum %d" % (16 * MIB))
        bridge = self.bridge()
        bridge.inflate(SIZE)
        self.assertEqual(bridge.stop(), 0)
        time.sleep(2 * POLL)
        self.linux.ask("check", seconds=PATIENCE)
        bridge = self.bridge()
        bridge.wait_at(0)
        self.assertEqual(bridge.trace()[0].status, "reset")
        bridge.inflate(8 * MIB)
        bridge.inflate(0)
        self.linux.ask("check")
        self.linux.ask("drop")

    def test_bridge_is_killed(self):
        """The guest stands still at its next call, until another debugger comes."""
        self.linux.ask("sum %d" % (16 * MIB))
        guest = self.linux
        with Bridge(guest, address=guest.ready["text"]) as bridge:
            bridge.wait_live()
            bridge.inflate(SIZE)
            bridge.kill()
            # As it was ended so, and left its socket behind.
            bridge.process.returncode = 0
            os.unlink(bridge.control_path)
            bridge.stop = lambda: 0
        time.sleep(2 * POLL)
        guest.start("check")
        time.sleep(POLL)
        self.assertTrue(guest.answers.empty(), "the guest stands still")
        bridge = self.bridge()
        self.assertIn("md5=", guest.answer(PATIENCE))
        bridge.inflate(8 * MIB)
        bridge.inflate(0)
        guest.ask("drop")

    def test_qemu_is_killed(self):
        guest = self.linux
        bridge = self.bridge()
        bridge.target(SIZE)
        bridge.wait_at(SIZE)
        os.kill(guest.pid, signal.SIGKILL)
        until(lambda: not bridge.is_alive(), "the bridge ends")
        self.assertIn("QEMU has closed the debugger's connection: it has ended, or was killed",
                      "\n".join(bridge.lines()))
        self.assertEqual(bridge.process.returncode, 1)
        bridge.process.returncode = 0
        self.assertFalse(os.path.exists(bridge.control_path))
        until(lambda: not processes_with(guest.gdb), "no process of it is left")
        self.end_guest()

    def test_nobody_listens(self):
        guest = self.linux
        gdb, guest.gdb = guest.gdb, guest.gdb + "-not"
        try:
            with self.assertRaisesRegex(AssertionError, "no QEMU answers at"):
                Bridge(guest)
        finally:
            guest.gdb = gdb

    def test_address_of_something_else(self):
        """It is said, and nothing is served; the guest goes on."""
        guest = self.linux
        bridge = self.enterContext(Bridge(guest, address="0xffffffff81000000"))
        bridge.wait_line("driver's code is said to be|is no code of a balloon driver")
        self.assertFalse(bridge.status()["is_connected"])
        guest.ask("memory")
        with self.assertRaises(GuestError):
            guest.ask("read /nowhere")


if __name__ == "__main__":
    unittest.main()
