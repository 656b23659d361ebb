# SPDX-License-Identifier: MIT
"""`aerostat run --guest vmware` that does not get to its end, or not even to its beginning."""

import os
import re
import signal
import time
import unittest

from test_run_vmware import QEMU, SMALL
import test_run_vmware


@unittest.skipUnless(QEMU, "there is no qemu-system-x86_64: package qemu-system-x86")
class Ends(test_run_vmware.VmwareCase):
    def wait_for(self, process, word):
        for line in process.stderr:
            if word in line:
                return
        self.fail("there was no '%s'" % word)

    def test_interrupted(self):
        for phase, delay in (("Booting", 0), ("Booting", 1.5), ("Inflating", 0.05)):
            with self.subTest(phase=phase, delay=delay):
                process = self.start(*SMALL, "--json", self.path("json"))
                self.wait_for(process, phase)
                time.sleep(delay)
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=60)
                self.assertEqual(process.returncode, 130)
                self.check_nothing_left(10)
                result = self.read_json()
                self.assertIn("stopped by signal", result["failure"])
                self.assertIs(result["good"], False)
                self.assertIsNone(result["verdict"])

    def test_qemu_is_killed(self):
        process = self.start(*SMALL, "--json", self.path("json"))
        self.wait_for(process, "dirties")
        killed = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and self.is_qemu(pid)]
        self.assertEqual(len(killed), 1)
        os.kill(killed[0], signal.SIGKILL)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1)
        self.check_nothing_left(10)
        result = self.read_json()
        self.assertIn("signal 9", result["failure"])
        self.assertIsNone(result["actual_bytes"])
        # What was read before stays; what was not is null.
        self.assertIsNone(result["guest_account"])
        self.assertIsNotNone(result["capabilities"])

    def is_qemu(self, pid):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as stream:
                line = stream.read()
        except OSError:
            return False
        return os.path.basename(line.split(b"\0")[0]) == b"qemu-system-x86_64" and \
            self.runtime.encode() in line


class Refusals(test_run_vmware.VmwareCase):
    def check(self, status, pattern, *options):
        with self.subTest(options=options):
            found, out, err = self.run_it(*options)
            self.assertEqual(found, status, out + err)
            self.assertRegex(out + err, pattern)

    def test_options_of_other_guests(self):
        self.check(2, "--features: not with --guest vmware", "--features", "none")
        self.check(2, "--memory-dir: not with --guest vmware", "--memory-dir", "/tmp")
        self.check(2, "--memory: Linux needs 256 MiB", "--memory", "64M")
        self.check(2, "--balloon: as much", "--balloon", "1G")

    def test_kernels(self):
        text = self.path("text")
        with open(text, "w", encoding="ascii") as stream:
            stream.write("no kernel\n")
        self.check(1, "/nonexistent", "--kernel", "/nonexistent")
        self.check(1, re.escape(text), "--kernel", text)


if __name__ == "__main__":
    unittest.main()
