# SPDX-License-Identifier: MIT
"""Linux's own vmw_balloon, served by `aerostat vmware`: it inflates, follows and deflates."""

import time
import unittest

from vmware_guest import BLOCK, FRAME, MIB, POLL, VmwareCase, until

SIZE = 96 * MIB


class Inflates(VmwareCase):
    def check_start(self, bridge, capabilities):
        """The sequence with which a driver begins, in its order."""
        wanted = (["doorbellSet"] if capabilities & 0x10 else []) + ["guestType", "target"]

        def started():
            calls = bridge.trace()
            at = next((i for i, call in enumerate(calls) if call.command == "start"), len(calls))
            return calls[at - 1:] if len(calls) > at + len(wanted) else None
        calls = until(started, "the driver has started")
        self.assertEqual((calls[0].command, calls[0].arguments),
                         ("doorbellSet", (2 ** 64 - 1, 2 ** 64 - 1)))
        self.assertEqual((calls[1].arguments[0], calls[1].result), (0x3e, capabilities))
        self.assertEqual([call.command for call in calls[2:len(wanted) + 2]], wanted)

    def fill_and_free(self):
        """Whatever the balloon takes then has been used before."""
        available = self.linux.numbers("memory")["available"]
        self.linux.ask("dirty %d" % (available - 24 * MIB))
        self.linux.ask("free")

    def check_round(self, bridge, size, capabilities):
        """In and out again, with all accounts compared and what the guest keeps intact."""
        self.check_start(bridge, capabilities)
        before = self.stable(bridge)
        self.linux.ask("sum %d" % (16 * MIB))
        self.fill_and_free()
        resident = bridge.status()["resident_bytes"]
        status = bridge.inflate(size)
        self.assertLess(status["resident_bytes"], resident - 0.9 * size)
        self.assertEqual(sum(count for _, count in bridge.runs()) * FRAME, size)
        self.assertEqual(sum(self.linux.held(*run) for run in bridge.runs()), 0)
        self.check_agreed(bridge, before)
        self.linux.ask("check")
        bridge.inflate(0)
        self.linux.ask("check")
        self.linux.ask("drop")
        self.check_agreed(bridge, before)

    def test_by_blocks_of_2m(self):
        bridge = self.bridge()
        self.check_round(bridge, SIZE, 0x3e)
        self.assertEqual((bridge.count("2m-lock"), bridge.count("2m-unlock")), (1, 1))
        self.assertEqual(bridge.count("batchLock"), 0)

    def test_by_batches_of_4k(self):
        bridge = self.bridge("--capabilities", "basic,batched")
        self.check_round(bridge, SIZE, 0x6)
        self.assertEqual(bridge.count("2m-lock"), 0)
        self.assertEqual(bridge.count("batchLock"), SIZE // FRAME // 512)
        self.assertEqual(bridge.count("batchUnlock"), SIZE // FRAME // 512)
        self.assertTrue(all(call.arguments[1] == 512 for call in bridge.trace()
                            if call.command == "batchLock"))

    def test_frame_by_frame(self):
        bridge = self.bridge("--capabilities", "basic")
        self.check_start(bridge, 0x2)
        before = self.stable(bridge)
        bridge.inflate(BLOCK)
        bridge.inflate(0)
        self.check_agreed(bridge, before)
        self.assertEqual((bridge.count("lock"), bridge.count("unlock")), (512, 512))
        self.assertEqual(bridge.count("batchLock") + bridge.count("2m-lock"), 0)

    def test_old_host_grants_basic_without_saying(self):
        bridge = self.bridge("--old-host")
        before = self.stable(bridge)
        bridge.inflate(64 * FRAME)
        bridge.inflate(0)
        self.check_agreed(bridge, before)
        self.assertEqual((bridge.count("lock"), bridge.count("unlock")), (64, 64))
        start = next(call for call in bridge.trace() if call.command == "start")
        self.assertEqual((start.status, start.result), ("success", None))

    def test_without_doorbell(self):
        bridge = self.bridge("--capabilities", "basic,batched,batched_2m,64_bit_target")
        self.check_round(bridge, SIZE, 0x2e)
        bells = [call for call in bridge.trace() if call.command == "doorbellSet"]
        self.assertEqual({call.arguments for call in bells}, {(2 ** 64 - 1, 2 ** 64 - 1)})
        self.assertIsNone(bridge.status()["doorbell"])

    def test_with_doorbell(self):
        """Linux makes one even without a VMCI device; nothing can ring it."""
        bridge = self.bridge()
        until(lambda: bridge.status()["doorbell"], "there is one")
        bridge.inflate(BLOCK)
        bridge.inflate(0)

    def test_grants_nothing_that_helps(self):
        """A driver that may do nothing must not spin; it is to take what the next host grants."""
        bridge = self.bridge("--capabilities", "64_bit_target")
        time.sleep(3 * POLL)
        self.assertLess(len(bridge.trace()), 30)
        bridge.stop()
        self.bridge().inflate(BLOCK)


class Follows(VmwareCase):
    def test_lower_target_midway(self):
        """Each answer carries the target: the driver stops within a batch."""
        bridge = self.bridge("--capabilities", "basic,batched")
        before = self.stable(bridge)
        bridge.target(SIZE)
        until(lambda: bridge.status()["actual_bytes"] >= 8 * MIB, "it has begun", pause=0.001)
        bridge.target(40 * MIB)
        bridge.wait_at(40 * MIB)
        given = sum(count for _, count in bridge.runs()) * FRAME
        self.assertLess(given, SIZE)
        bridge.inflate(0)
        self.check_agreed(bridge, before)

    def test_higher_target_midway(self):
        bridge = self.bridge("--capabilities", "basic,batched")
        bridge.target(32 * MIB)
        until(lambda: bridge.status()["actual_bytes"] >= 4 * MIB, "it has begun", pause=0.001)
        bridge.inflate(SIZE)
        # It was one inflation: the target was never reached in between.
        self.assertEqual(bridge.count("batchLock"), SIZE // FRAME // 512)
        bridge.inflate(0)

    def test_target_zero_midway(self):
        bridge = self.bridge("--capabilities", "basic,batched")
        before = self.stable(bridge)
        bridge.target(SIZE)
        until(lambda: bridge.status()["actual_bytes"] >= 8 * MIB, "it has begun", pause=0.001)
        bridge.inflate(0)
        self.check_agreed(bridge, before)

    def test_small_excess_stays_until_zero(self):
        """Less than 2 MiB too much is not given back, unless the target is zero."""
        bridge = self.bridge()
        bridge.inflate(8 * MIB)
        bridge.target(8 * MIB - 511 * FRAME)
        time.sleep(2 * POLL)
        self.assertEqual(bridge.status()["actual_bytes"], 8 * MIB)
        self.assertEqual(bridge.count("2m-unlock"), 0)
        bridge.target(8 * MIB - 512 * FRAME)
        bridge.wait_at(6 * MIB)
        bridge.inflate(0)

    def test_paused_for_a_snapshot(self):
        bridge = self.bridge()
        bridge.inflate(16 * MIB)
        answer = bridge.ask("pause")
        self.assertTrue(answer["is_drained"])
        bridge.target(32 * MIB)
        time.sleep(2 * POLL)
        self.assertEqual(bridge.status()["actual_bytes"], 16 * MIB)
        bridge.ask("resume")
        bridge.wait_at(32 * MIB)
        bridge.inflate(0)


if __name__ == "__main__":
    unittest.main()
