# SPDX-License-Identifier: MIT
"""A real Linux that takes QEMU for VMware, and `aerostat vmware`, the bridge to its driver."""

import os
import re
import shutil
import subprocess
import tempfile
import time
import unittest

from daemon import PATIENCE, PROGRAM, Control, Daemon, until
from guest import FRAME, MIB, Guest, GuestError

QEMU = shutil.which("qemu-system-x86_64")
STATISTICS = "/sys/kernel/debug/vmmemctl"
BLOCK = 512 * FRAME
MEMORY = 384 * MIB
ALL = "basic,batched,batched_2m,signalled_wakeup,64_bit_target"
# The driver asks for its target each second.
POLL = 1.2
COMMANDS = ("start", "target", "lock", "unlock", "guestType", "batchLock", "batchUnlock", "2m-lock",
            "2m-unlock", "doorbellSet")


class VmwareGuest(Guest):
    """The guest alone: whoever has `gdb` and `memory_file` serves its driver."""

    def __init__(self, memory=MEMORY, append=None):
        # Memory in a file system on a disk comes and goes in larger pieces than were asked for.
        self.folder = tempfile.mkdtemp(prefix="aero-vmware-", dir="/dev/shm")
        self.gdb = os.path.join(self.folder, "gdb")
        self.memory_file = os.path.join(self.folder, "memory")
        self.memory_bytes = memory
        super().__init__(None, memory=memory, append=append, more=(
            "--vmware", "--gdb", self.gdb, "--memory-file", self.memory_file))

    def close(self):
        try:
            super().close()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def held(self, first, count):
        """Bytes of host memory behind frames below 3 GiB."""
        at, end, held = first * FRAME, (first + count) * FRAME, 0
        with open(self.memory_file, "rb") as stream:
            while at < end:
                try:
                    at = os.lseek(stream.fileno(), at, os.SEEK_DATA)
                except OSError:
                    break
                hole = min(os.lseek(stream.fileno(), at, os.SEEK_HOLE), end)
                held += max(hole - at, 0)
                at = max(hole, at + 1)
        return held

    def statistics(self):
        """The driver's own: calls and failures by command, and the other numbers by their label."""
        commands, numbers = {}, {}
        for line in self.ask("read " + STATISTICS).split("|"):
            label, _, rest = line.partition(":")
            label = " ".join(label.split())
            found = re.fullmatch(r"\s*(\d+) \((\d+) failed\)", rest)
            if found:
                commands[label] = (int(found.group(1)), int(found.group(2)))
            elif label not in ("is resetting",):
                numbers[label] = int(rest, 0)
        return commands, numbers


class Call:
    """A line of a trace."""

    def __init__(self, line):
        words = line.split()
        self.command, self.status = words[0], words[3]
        self.arguments = (int(words[1], 16), int(words[2], 16))
        self.result = None if words[4] == "-" else int(words[4], 16)
        self.accepted = int(words[5])

    def __repr__(self):
        return "%s%s=%s" % (self.command, self.arguments, self.status)


class Bridge(Daemon):
    """`aerostat vmware` on a guest. As a context: at its end everything must have gone well."""

    def __init__(self, guest, *options, address=None):
        self.own_folder = True
        self.folder = tempfile.mkdtemp(prefix="aero-bridge-")
        self.control_path = os.path.join(self.folder, "c")
        self.log_path = os.path.join(self.folder, "log")
        self.trace_path = os.path.join(self.folder, "trace")
        self.begin = 0
        arguments = [PROGRAM, "vmware", "--gdb", guest.gdb, "--memory-file", guest.memory_file,
                     "--control", self.control_path, "--trace", self.trace_path, *options]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                arguments + (["--text", address] if address else []),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.pid = self.process.pid
        until(lambda: "ready" in self.lines() or not self.is_alive(), "ready")
        if not self.is_alive():
            text = "\n".join(self.lines())
            self.remove()
            raise AssertionError("the bridge did not start: " + text)
        self.control = Control(self.control_path)

    def lines(self, mark=0):
        return [line.replace("aerostat vmware: ", "", 1) for line in super().lines(mark)]

    def trace(self):
        """Calls so far, the last half line left out."""
        with open(self.trace_path, encoding="ascii") as stream:
            text = stream.read()
        lines = text[:text.rfind("\n") + 1].splitlines()
        return [Call(line) for line in lines if line[0] not in "+-"]

    def runs(self, sign="+"):
        """Runs that the guest gave (or with "-" took back): first frame and count."""
        with open(self.trace_path, encoding="ascii") as stream:
            lines = [line.split() for line in stream if line[0] == sign]
        return [(int(words[1], 16), int(words[2], 16)) for words in lines]

    def commands(self):
        """Calls and failures by command, as the guest's statistics have them."""
        counters = self.status()["counters"]["commands"]
        return {name: (counters[name]["calls"], counters[name]["failed"]) for name in COMMANDS}

    def count(self, command):
        return sum(call.command == command for call in self.trace())

    def wait_live(self, seconds=PATIENCE):
        until(lambda: self.status()["is_live"], "the driver has started", seconds, 0.02)

    def wait_at(self, size, seconds=2 * PATIENCE):
        """The balloon holds that much, all of it discarded; blocks of 2 MiB may go past it."""
        last = {}

        def is_there():
            last.update(self.status())
            over = last["actual_bytes"] - size
            return last["is_live"] and 0 <= over < (BLOCK if size else 1) \
                and last["pending_bytes"] == 0
        try:
            until(is_there, "the balloon has %g MiB" % (size / MIB), seconds, 0.02)
        except AssertionError as error:
            raise AssertionError("%s; actual %g, %s\n%s" % (
                error, last["actual_bytes"] / MIB, last["stall_text"],
                "\n".join(map(repr, self.trace()[-20:])))) from None
        return last

    def inflate(self, size):
        self.target(size)
        return self.wait_at(size)


@unittest.skipUnless(QEMU, "there is no qemu-system-x86_64: package qemu-system-x86")
class VmwareCase(unittest.TestCase):
    """One guest for all tests of a module. Each has bridges of its own: a new host begins without
    knowing of anything, so that the driver starts anew."""

    longMessage = True
    shared = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        unittest.addModuleCleanup(VmwareCase.end_guest)

    @staticmethod
    def end_guest():
        guest, VmwareCase.shared = VmwareCase.shared, None
        if guest:
            guest.close()

    @property
    def linux(self):
        if self.shared and not self.shared.is_running():
            self.end_guest()
        if not self.shared:
            started = time.monotonic()
            VmwareCase.shared = VmwareGuest()
            print("# booted in %.1f s" % (time.monotonic() - started))
            # From the first look on the driver counts.
            self.shared.statistics()
        return self.shared

    def bridge(self, *options, live=True):
        """Until the end of the test."""
        guest = self.linux
        bridge = self.enterContext(Bridge(guest, *options, address=guest.ready["text"]))
        if live:
            bridge.wait_live()
        return bridge

    # The driver's account

    def stable(self, bridge):
        """What both have counted, at a moment when no call came in between."""
        for _ in range(20):
            ours = bridge.commands()
            theirs = self.linux.statistics()
            if bridge.commands() == ours:
                return ours, theirs
        self.fail("the driver calls all the time")

    def check_agreed(self, bridge, before):
        """Since then both have counted the same calls and failures, and have the same balloon."""
        ours, (theirs, numbers) = self.stable(bridge)
        for name in COMMANDS:
            host = tuple(a - b for a, b in zip(ours[name], before[0][name]))
            guest = tuple(a - b for a, b in zip(theirs[name], before[1][0][name]))
            self.assertEqual(guest, host, name)
        self.assertEqual(numbers["current"] * FRAME, bridge.status()["actual_bytes"])
        self.check_ledger(bridge)

    def check_ledger(self, bridge):
        """Nothing that does not add up."""
        counters = bridge.status()["counters"]
        for key in ("given_twice_frames", "returned_twice_frames", "never_given_frames",
                    "out_of_range_frames", "unrecorded_frames", "discard_failures"):
            self.assertEqual(counters["ledger"][key], 0, key)
        for key in ("unknown_calls", "foreign_calls", "malformed_entries", "bad_batches"):
            self.assertEqual(counters["device"][key], 0, key)


__all__ = ["ALL", "BLOCK", "FRAME", "MEMORY", "MIB", "POLL", "Bridge", "GuestError", "VmwareCase",
           "VmwareGuest", "until"]
