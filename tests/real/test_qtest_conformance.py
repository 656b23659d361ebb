# SPDX-License-Identifier: MIT
"""QEMU's own virtio-balloon against the list in tests/conformance, on every transport."""

import os
import subprocess
import unittest

from daemon import until
from qtest_machine import DRIVER, FRAME, MIB, QmpError, QtestCase

PROGRAM = os.path.join(os.path.dirname(os.path.dirname(DRIVER)), "qtest_conformance")
CASES = 10
HINTS_CASE = 7
ENDED = ("completed", "failed")
SLOW = 16384
ABSENT = (1 << 64) - 1
STATS = ["stat-swap-in", "stat-swap-out", "stat-major-faults", "stat-minor-faults",
         "stat-free-memory", "stat-total-memory", "stat-available-memory", "stat-disk-caches"]

# Machine, properties of the balloon, more options, transport.
HINTS = "free-page-reporting=on,free-page-hint=on,iothread=io,"
IO = ("-object", "iothread,id=io")
MMIO = "microvm,ioapic2=off"
KINDS = {
    "pci_modern": ("pc", HINTS + "disable-legacy=on", IO, "pci-modern"),
    "pci_legacy": ("pc", HINTS + "disable-modern=on", IO, "pci-legacy"),
    "pci_without_hints": ("pc", "free-page-reporting=on", (), "pci-modern"),
    "mmio": (MMIO, HINTS[:-1], IO + ("-global", "virtio-mmio.force-legacy=false"), "mmio"),
    "mmio_legacy": (MMIO, HINTS[:-1], IO + ("-global", "virtio-mmio.force-legacy=true"), "mmio"),
}


class Operator:
    """Does at a machine what a case asks for; answers a line."""

    def __init__(self, machine):
        self.machine = machine

    def target(self, frames):
        self.machine.balloon(frames * FRAME)
        return "ok"

    def actual(self, _):
        return self.machine.actual() // FRAME

    def ask(self, _):
        """Turned on, it asks at once."""
        self.machine.set("guest-stats-polling-interval", 0)
        self.machine.set("guest-stats-polling-interval", 1)
        return "ok"

    def stat(self, tag):
        value = self.machine.get("guest-stats")["stats"][STATS[tag]] % (1 << 64)
        return "no" if value == ABSENT else value

    def hint(self, what):
        """QEMU hints while it migrates. It says STOP for a moment at the end of each pass over
        memory, and DONE for good; nobody can make it say STOP and stay so."""
        qmp = self.machine.qmp
        if what == 0:
            return "no"
        if what == 2:
            # So slow that it is at work until it is made faster.
            qmp("migrate-set-parameters", max_bandwidth=SLOW)
            qmp("migrate", uri="exec:cat > /dev/null")
            return "ok"
        qmp("migrate-set-parameters", max_bandwidth=1024 * MIB)
        until(lambda: qmp("query-migrate")["status"] in ENDED, "the migration ends")
        # What has been migrated stands still, and is not migrated again.
        qmp("cont")
        return "ok"


class Conformance(QtestCase):
    def test_every_case_of_the_list_is_here(self):
        names = subprocess.run([PROGRAM, "--list"], stdout=subprocess.PIPE, text=True, check=True)
        names = names.stdout.splitlines()
        self.assertEqual(len(names), CASES)
        self.assertIn("hints", names[HINTS_CASE - 1])

    def run_case(self, kind, number):
        model, device, more, transport = KINDS[kind]
        machine = self.machine(model, device, more=more)
        operator = Operator(machine)
        process = subprocess.Popen(
            [PROGRAM, machine.socket, machine.memory_file, str(machine.bytes), transport,
             str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        with process.stdin, process.stdout:
            for line in process.stdout:
                word, _, rest = line.strip().partition(" ")
                if word in ("passed", "failed", "skipped"):
                    break
                process.stdin.write("%s\n" % getattr(operator, word)(int(rest)))
                process.stdin.flush()
            else:
                self.fail("the program died")
        self.assertEqual(process.wait(), 0)
        if word == "skipped":
            self.skipTest(rest)
        self.assertEqual(word, "passed", rest)


def add_cases():
    for kind, (_, device, *_) in KINDS.items():
        for number in range(1, CASES + 1):
            if number == HINTS_CASE and "free-page-hint" not in device:
                continue

            def test(self, kind=kind, number=number):
                self.run_case(kind, number)
            setattr(Conformance, "test_%s_case_%d" % (kind, number), test)


add_cases()

if __name__ == "__main__":
    unittest.main()
