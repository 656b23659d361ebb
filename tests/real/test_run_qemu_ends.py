# SPDX-License-Identifier: MIT
"""`aerostat run --guest linux` that does not get to its end, or not even to its beginning."""

import re
import signal
import unittest

from test_run_qemu import QEMU, SMALL
import test_run_qemu


@unittest.skipUnless(QEMU, "there is no qemu-system-x86_64: package qemu-system-x86")
class Ends(test_run_qemu.QemuCase):
    def test_interrupted(self):
        for phase, delay, number in (("Booting", 0, signal.SIGINT),
                                     ("Booting", 1.5, signal.SIGTERM),
                                     ("Inflating", 0.05, signal.SIGINT)):
            with self.subTest(phase=phase, delay=delay):
                self.check_interrupted(phase, delay, number)

    def test_qemu_is_killed(self):
        self.check_killed()

    def test_kernel_that_dies(self):
        """A guest that panics is no guest that was powered off."""
        result, _, _ = self.run_json(1, *SMALL, "--append", "rdinit=/nonexistent")
        self.assertRegex(result["failure"], "panic")

    def test_phases_that_take_too_long(self):
        self.refuse(1, "not ready within|timed out", *SMALL, "--timeout", "0.5")


class Refusals(test_run_qemu.QemuCase):
    def test_options_of_other_guests(self):
        for option, value in (("--features", "none"), ("--memory-dir", "/tmp"),
                              ("--capabilities", "basic"), ("--discard", "none"),
                              ("--idle-ms", "5"), ("--trace", "/tmp/x")):
            self.refuse(2, option + ": not with --guest linux", option, value)
        self.refuse(2, "--memory: Linux needs 256 MiB", "--memory", "64M")

    def test_kernels(self):
        text = self.path("text")
        with open(text, "w", encoding="ascii") as stream:
            stream.write("no kernel\n")
        self.refuse(1, "/nonexistent", "--kernel", "/nonexistent")
        self.refuse(1, re.escape(text), "--kernel", text)

    @unittest.skipUnless(QEMU, "there is no qemu-system-x86_64: package qemu-system-x86")
    def test_missing_qemu_names_its_package(self):
        self.environment["PATH"] = self.folder
        self.refuse(1, "no qemu-system-x86_64 in PATH: install the package qemu-system-x86")


if __name__ == "__main__":
    unittest.main()
