# SPDX-License-Identifier: MIT
"""Linux's own vmw_balloon is told to start anew, in answer to each of its commands."""

import unittest

from vmware_guest import ALL, FRAME, MIB, VmwareCase, until

SIZE = 64 * MIB
NONE = (2 ** 64 - 1, 2 ** 64 - 1)


class Resets(VmwareCase):
    """After a reset, whatever command had it for an answer, the driver takes all of its memory back
    without a word, says what it says at its start, and is at its target again."""

    def check_reset(self, command, capabilities=ALL, size=SIZE, nth=1):
        bridge = self.bridge("--capabilities", capabilities, "--inject",
                             "RESET@%s:%d" % (command, nth), live=False)
        bridge.target(size)
        bridge.wait_at(size)
        if command.lower().endswith("unlock"):
            bridge.target(0)
        until(lambda: any(call.status == "reset" and call.command == command
                          for call in bridge.trace()), "it has come to %s" % command)
        bridge.inflate(size)
        before = self.stable(bridge)
        bridge.inflate(0)
        self.check_agreed(bridge, before)
        self.check_sequence(bridge.trace(), command)
        bridge.stop()

    def check_sequence(self, calls, command):
        at = next(i for i, call in enumerate(calls)
                  if call.status == "reset" and call.command == command)
        after = calls[at + 1:]
        start = next(i for i, call in enumerate(after) if call.command == "start")
        # Nothing is given back in between: the host has forgotten it.
        between = [call for call in after[:start] if call.command.lower().endswith("unlock")]
        self.assertEqual(between, [])
        self.assertEqual((after[start - 1].command, after[start - 1].arguments),
                         ("doorbellSet", NONE))
        self.assertEqual(after[start].status, "capabilities")

    def test_at_start(self):
        self.check_reset("start")

    def test_at_guest_type(self):
        self.check_reset("guestType")

    def test_at_doorbell(self):
        """The first call is the removal of a doorbell, the second makes one."""
        self.check_reset("doorbellSet", nth=2)

    def test_at_target(self):
        self.check_reset("target", nth=2)

    def test_at_2m_lock(self):
        self.check_reset("2m-lock")

    def test_at_2m_unlock(self):
        self.check_reset("2m-unlock")

    def test_at_batch_lock(self):
        self.check_reset("batchLock", "basic,batched", nth=9)

    def test_at_batch_unlock(self):
        self.check_reset("batchUnlock", "basic,batched", nth=9)

    def test_at_lock(self):
        self.check_reset("lock", "basic", size=128 * FRAME, nth=50)

    def test_at_unlock(self):
        self.check_reset("unlock", "basic", size=128 * FRAME, nth=50)

    def test_by_the_operator(self):
        bridge = self.bridge()
        self.linux.ask("sum %d" % (16 * MIB))
        bridge.inflate(SIZE)
        bridge.ask("reset")
        until(lambda: bridge.status()["counters"]["device"]["resets"] == 1, "it was told")
        bridge.wait_at(SIZE)
        bridge.inflate(0)
        self.linux.ask("check")
        self.linux.ask("drop")
        self.check_ledger(bridge)


if __name__ == "__main__":
    unittest.main()
