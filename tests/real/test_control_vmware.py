# SPDX-License-Identifier: MIT
"""The operator's commands on `aerostat vmware`, with Linux's own driver at the other end."""

import json
import os
import re
import signal
import time
import unittest

import test_control
from daemon import ROOT
from test_control import FAILED, OK, TIMEOUT, run
from vmware_guest import BLOCK, MEMORY, MIB, VmwareCase, until


class Commands(VmwareCase):
    def setUp(self):
        self.served = self.bridge()
        self.control = self.served.control_path

    def check(self, status, *arguments):
        """Answers what a command said, on either stream."""
        done = run(*arguments)
        self.assertEqual(done.status, status, str(done))
        return done.out + done.err

    def empty(self):
        self.check(OK, "target", self.control, "0", "--wait")

    def test_target_waits_until_the_guest_has_done_it(self):
        said = self.check(OK, "target", self.control, "64M", "--wait")
        self.assertIn("64 MiB of 64 MiB", said)
        self.assertEqual(self.served.status()["actual_bytes"], 64 * MIB)
        # A part of a block less: the guest stays where it is, and that is reached, too.
        self.check(OK, "target", self.control, "63M", "--wait", "--timeout", "5")
        self.assertEqual(self.served.status()["actual_bytes"], 64 * MIB)
        said = self.check(OK, "target", self.control, "1T")
        self.assertIn("more than the guest has: lowered to 384 MiB", said)
        self.empty()
        self.assertEqual(self.served.status()["actual_bytes"], 0)

    def test_target_as_a_share_of_memory(self):
        self.check(OK, "target", self.control, "25%", "--wait")
        self.assertEqual(self.served.status()["actual_bytes"], MEMORY // 4)
        self.empty()

    def test_status_for_people(self):
        self.check(OK, "target", self.control, "32M", "--wait")
        said = self.check(OK, "status", self.control)
        for line in (r"machine +driver ready", r"target +32 MiB", r"actual +32 MiB, ",
                     r"guest type +linux, manages [1-9]", r"doorbell +context \d+, resource \d+",
                     r"capabilities +basic batched batched_2m signalled_wakeup\s+64_bit_target",
                     r"locked +0 frames of 4 KiB, 16 blocks of 2 MiB", r"calls +start 1 "):
            self.assertRegex(said, r"(?m)^%s" % line)
        self.assertNotIn("note", said)
        self.empty()

    def test_every_key_of_status_is_in_the_page(self):
        with open(os.path.join(ROOT, "docs/control.md"), encoding="utf-8") as stream:
            words = set(re.findall(r"[a-zA-Z0-9_-]{2,}", " ".join(
                re.findall(r"`[^`]*`", stream.read()))))
        status = json.loads(self.check(OK, "status", self.control, "--json"))
        self.assertEqual(status["protocol"], "vmware")
        for key in test_control.Documentation("keys_of").keys_of(status):
            self.assertIn(key, words)

    def test_watch_tells_what_happens(self):
        watch = test_control.start("watch", self.control)
        try:
            # One that was there before the others are told.
            until(lambda: self.check(OK, "flush", self.control) and self.tell(watch), "an event")
            self.check(OK, "target", self.control, "16M", "--wait")
            self.check(OK, "reset", self.control)
            wanted = {r"(?m)^\S+  %s " % event
                      for event in ("target", "actual", "reached", "reset", "ready")}
            wanted |= {"in answer to ", "linux"}
            text, end = "", time.monotonic() + 30
            while wanted and time.monotonic() < end:
                text += watch.stdout.readline()
                wanted = {pattern for pattern in wanted if not re.search(pattern, text)}
            self.assertEqual(wanted, set(), text)
        finally:
            watch.send_signal(signal.SIGINT)
            watch.communicate(timeout=10)
        self.served.wait_at(16 * MIB)
        self.empty()

    def tell(self, watch):
        """Events until one comes, which says that the watching has begun."""
        self.served.ask("target", bytes=0)
        return test_control.select.select([watch.stdout], [], [], 0.1)[0]

    def test_reset_makes_the_guest_start_anew(self):
        self.check(OK, "target", self.control, "32M", "--wait")
        starts = self.served.status()["counters"]["commands"]["start"]["calls"]
        said = self.check(OK, "reset", self.control)
        self.assertIn("reset", said)
        until(lambda: self.served.status()["counters"]["commands"]["start"]["calls"] > starts,
              "it has started again")
        status = self.served.wait_at(32 * MIB)
        self.assertEqual(status["counters"]["device"]["resets"], 1)
        self.empty()

    def test_pause_holds_the_guest_off_until_resume(self):
        self.check(OK, "target", self.control, "16M", "--wait")
        self.assertIn("paused and drained", self.check(OK, "pause", self.control))
        said = self.check(TIMEOUT, "target", self.control, "32M", "--wait", "--timeout", "1.5")
        self.assertIn("16 MiB of 32 MiB", said)
        self.assertRegex(self.check(OK, "status", self.control), r"(?m)^paused +and drained$")
        self.check(OK, "resume", self.control)
        self.served.wait_at(32 * MIB)
        self.empty()

    def test_inhibit_keeps_memory_where_it_is(self):
        self.check(OK, "inhibit", self.control, "snapshot")
        self.check(OK, "target", self.control, "16M", "--wait")
        status = self.served.status()
        self.assertEqual(status["counters"]["ledger"]["discards"], 0)
        self.assertEqual(status["pending_bytes"], 16 * MIB)
        self.assertIn("16 MiB pending", self.check(OK, "flush", self.control))
        self.check(OK, "inhibit", self.control, "none")
        until(lambda: self.served.status()["pending_bytes"] == 0, "all is discarded")
        self.assertEqual(self.served.status()["counters"]["ledger"]["discard_asked_bytes"],
                         8 * BLOCK)
        self.empty()

    def test_what_the_protocol_has_not_is_refused(self):
        self.assertIn("the VMware balloon has no statistics",
                      self.check(FAILED, "stats", self.control))
        self.assertIn("the VMware balloon has no free page hinting",
                      self.check(FAILED, "hint", self.control, "start"))


if __name__ == "__main__":
    unittest.main()
