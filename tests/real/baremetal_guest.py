# SPDX-License-Identifier: MIT
"""The bare-metal kernel in QEMU, with QEMU's own balloon; led over its serial line and QMP."""

import os
import queue
import shutil
import subprocess
import tempfile
import threading
import unittest

from daemon import BUILD, PATIENCE, until
from guest import GuestError, numbers
from qtest_machine import FRAME, MIB, Qmp

MEMORY = 256 * MIB
# Where memory begins, and what the processor is.
ARCHES = {"x86_64": (0, None), "aarch64": (1 << 30, "cortex-a72"), "riscv64": (2 << 30, None)}


def kernel(arch):
    return os.path.join(BUILD, "ports", "baremetal", "aerostat-%s.elf" % arch)


def qemu(arch):
    return shutil.which("qemu-system-" + arch)


class Metal:
    """machine: as QEMU's -M; device: the balloon, or None; options: the kernel's."""

    def __init__(self, arch="x86_64", machine="q35", device="virtio-balloon-pci", options="",
                 memory=MEMORY, cpu=None, more=(), can_reboot=False):
        self.base, own_cpu = ARCHES[arch]
        self.bytes = memory
        self.folder = tempfile.mkdtemp(prefix="aero-metal-", dir="/dev/shm")
        self.memory_file = os.path.join(self.folder, "memory")
        self.qmp = None
        self.number = 0
        self.log = []
        self.answers = queue.Queue()
        self.readies = queue.Queue()
        qmp_path = os.path.join(self.folder, "qmp")
        cpu = cpu or own_cpu
        self.process = subprocess.Popen(
            [qemu(arch), "-M", machine + ",memory-backend=ram", "-accel", "tcg",
             *(("-cpu", cpu) if cpu else ()), "-m", str(memory // MIB),
             "-object", "memory-backend-file,id=ram,share=on,size=%d,mem-path=%s"
             % (memory, self.memory_file),
             "-nodefaults", "-no-user-config", "-display", "none",
             *(() if can_reboot else ("-no-reboot",)),
             "-kernel", kernel(arch), "-append", options,
             "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
             "-qmp", "unix:%s,server=on,wait=off" % qmp_path, *more,
             *(("-device", device + ",id=balloon") if device else ())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        try:
            self.ready = self.wait_ready()
            self.qmp = Qmp(qmp_path)
        except BaseException:
            self.close()
            raise

    def read(self):
        for line in self.process.stdout:
            line = line.decode(errors="replace").rstrip("\n")
            words = line.split(" ", 3)
            if line.startswith("AEROSTAT ready "):
                self.readies.put(numbers(line))
            elif words[0] == "AEROSTAT" and len(words) > 2:
                self.answers.put((words[1], int(words[2]), words[3] if len(words) > 3 else ""))
            else:
                self.log.append(line)
        self.answers.put(("gone", 0, "the guest is gone"))
        self.readies.put(None)

    def wait_ready(self):
        try:
            ready = self.readies.get(timeout=PATIENCE)
        except queue.Empty:
            ready = None
        if ready is None:
            raise GuestError("not ready: " + "\n".join(self.log[-20:]))
        return ready

    def send(self, command):
        self.number += 1
        self.process.stdin.write(b"%d %s\n" % (self.number, command.encode()))

    def start(self, command):
        """Asks and does not wait."""
        self.send(command)
        self.process.stdin.flush()
        return self.number

    def answer(self, number):
        word, answered, text = self.answers.get(timeout=2 * PATIENCE)
        if word == "gone":
            raise GuestError("\n".join(self.log[-20:] + [text]))
        if answered != number:
            raise GuestError("answer %d to command %d" % (answered, number))
        if word != "ok":
            raise GuestError(text)
        return text

    def ask(self, command):
        return self.answer(self.start(command))

    def numbers(self, command):
        return numbers(self.ask(command))

    # The host's side

    def resident(self):
        """Bytes of host memory behind the guest's."""
        return os.stat(self.memory_file).st_blocks * 512

    def held(self, first, count):
        """Those behind a run of frames, where memory is in one piece."""
        at, end = first * FRAME - self.base, (first + count) * FRAME - self.base
        held = 0
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

    def lent(self):
        """Runs of frames in the balloon; with marks=1."""
        runs, at = [], 0
        while True:
            run = self.numbers("lent %d" % at)
            if not run["count"]:
                return runs
            runs.append((run["first"], run["count"]))
            at = run["first"] + run["count"]

    def target(self, size):
        self.qmp("balloon", value=self.bytes - size)

    def actual(self):
        return self.bytes - self.qmp("query-balloon")["actual"]

    def get(self, name):
        return self.qmp("qom-get", path="/machine/peripheral/balloon", property=name)

    def wait_at(self, size):
        """The balloon has that size for QEMU, and for the guest."""
        last = {}

        def is_there():
            if self.actual() != size:
                return False
            last.update(self.numbers("report"))
            return last["actual_frames"] * FRAME == size and last["stall"] == 0
        try:
            until(is_there, "the balloon has %g MiB" % (size / MIB))
        except AssertionError as error:
            raise AssertionError("%s; %g MiB, %s; %s" % (
                error, self.actual() / MIB, last, self.ask("stall"))) from None

    def inflate(self, size):
        self.target(size)
        self.wait_at(size)

    def fill(self, leave=4 * MIB):
        """All of its memory that is free, so that the host has a page for each."""
        self.ask("dirty %d" % max(self.numbers("memory")["available"] - leave, 0))

    def wait_end(self):
        """Exit status."""
        status = self.process.wait(timeout=PATIENCE)
        self.reader.join(PATIENCE)
        return status

    def power_off(self):
        self.ask("poweroff")
        return self.wait_end()

    def close(self):
        if self.qmp:
            self.qmp.close()
        self.process.kill()
        self.process.wait()
        self.reader.join(PATIENCE)
        self.process.stdin.close()
        self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class MetalCase(unittest.TestCase):
    """Every test boots what it needs. What is broken is broken for the kernel too: it panics when a
    frame is freed twice, or has two owners."""

    ARCH = "x86_64"
    longMessage = True

    def setUp(self):
        super().setUp()
        if not qemu(self.ARCH):
            self.skipTest("there is no qemu-system-%s: package qemu-system-%s" % (
                self.ARCH, {"aarch64": "arm", "riscv64": "misc"}.get(self.ARCH, "x86")))
        if not os.path.exists(kernel(self.ARCH)):
            self.skipTest("there is no %s: packages clang and lld" % kernel(self.ARCH))

    def boot(self, *arguments, **options):
        metal = Metal(self.ARCH, *arguments, **options)
        self.addCleanup(metal.close)
        return metal

    def check_lent(self, metal, size):
        """So many bytes are in the balloon, and the host has no page for any."""
        runs = metal.lent()
        self.assertEqual(sum(count for _, count in runs) * FRAME, size)
        self.assertEqual([run for run in runs if metal.held(*run)], [])

    def check_round(self, metal, size=128 * MIB):
        """In and out, with all memory written before, between and after, and nothing lost."""
        metal.ask("sum %d" % (16 * MIB))
        metal.fill()
        metal.ask("free")
        full = metal.resident()
        self.assertGreater(full, metal.bytes - 24 * MIB)
        metal.inflate(size)
        self.check_lent(metal, size)
        # But for what was left when memory was filled.
        self.assertLess(metal.resident(), full - size + 6 * MIB)
        # Whatever is not in the balloon is written, and nothing of what is.
        metal.fill()
        self.check_lent(metal, size)
        metal.ask("check")
        metal.ask("free")
        metal.inflate(0)
        self.assertEqual(metal.lent(), [])
        metal.fill()
        metal.ask("check")
        metal.ask("free")
        metal.ask("drop")
        metal.ask("validate")
