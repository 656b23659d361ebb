# SPDX-License-Identifier: MIT
"""QEMU's own virtio-balloon without a guest processor, and our driver as a process beside it."""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from daemon import BUILD, PATIENCE, until

QEMU = shutil.which("qemu-system-x86_64")
DRIVER = os.environ.get("AERO_QTEST_GUEST") or os.path.join(BUILD, "tests", "real", "qtest_guest")
MIB = 1 << 20
FRAME = 4096
PER_MIB = MIB // FRAME
MEMORY = 128 * MIB

# Index of a queue that is not there.
NO_QUEUE = 255

# What the processor runs in place of firmware, from its first instruction on: cli; hlt; jmp to it.
IDLE = b"\xfa\xf4\xeb\xfd"

# Feature bits.
STATS, DEFLATE_ON_OOM, HINT, POISON, REPORTING = 1, 2, 3, 4, 5
INDIRECT, EVENT_IDX, VERSION_1, PACKED = 28, 29, 32, 34


def bits(*numbers):
    return sum(1 << number for number in numbers)


def end_with_parent():
    """In a child: PR_SET_PDEATHSIG, so that a test that is killed leaves no machine behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class QmpError(Exception):
    """QEMU said no."""

    def __init__(self, error):
        super().__init__("%s: %s" % (error["class"], error["desc"]))
        self.kind = error["class"]


class Qmp:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise
        self.stream = self.socket.makefile("r", encoding="utf-8")
        self.events = []
        self.greeting = self.read()
        self("qmp_capabilities")

    def read(self):
        line = self.stream.readline()
        if not line:
            raise EOFError("QEMU is gone")
        return json.loads(line)

    def __call__(self, command, **arguments):
        """Underscores in names of arguments are dashes."""
        request = {"execute": command}
        if arguments:
            request["arguments"] = {name.replace("_", "-"): value
                                    for name, value in arguments.items()}
        self.socket.sendall((json.dumps(request) + "\n").encode())
        while True:
            message = self.read()
            if "event" in message:
                self.events.append(message)
            elif "error" in message:
                raise QmpError(message["error"])
            else:
                return message["return"]

    def take_events(self, name):
        """Those that have come, in their order; query-status makes sure that they are read."""
        self("query-status")
        found = [event["data"] for event in self.events if event["event"] == name]
        self.events = [event for event in self.events if event["event"] != name]
        return found

    def close(self):
        self.stream.close()
        self.socket.close()


class Machine:
    """QEMU, its processor asleep. kind: pc, q35 or microvm; device: properties of the balloon."""

    def __init__(self, kind="pc", device="", memory=MEMORY, more=(), paused=False):
        self.folder = tempfile.mkdtemp(prefix="aero-qtest-", dir="/dev/shm")
        self.memory_file = os.path.join(self.folder, "memory")
        self.socket = os.path.join(self.folder, "qtest")
        self.bytes = memory
        self.qmp = None
        model = "virtio-balloon-device" if kind.startswith("microvm") else "virtio-balloon-pci"
        qmp_path = os.path.join(self.folder, "qmp")
        bios = os.path.join(self.folder, "bios")
        with open(bios, "wb") as stream:
            stream.write(bytes(0xfff0) + IDLE.ljust(16, b"\0"))
        self.log = open(os.path.join(self.folder, "log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [QEMU, "-accel", "tcg", *(("-S",) if paused else ()), "-bios", bios, "-display", "none",
             "-nodefaults", "-no-user-config",
             "-M", kind + ",memory-backend=ram", "-m", str(memory // MIB),
             "-object", "memory-backend-file,id=ram,share=on,size=%d,mem-path=%s"
             % (memory, self.memory_file),
             "-qtest", "unix:%s,server=on,wait=off" % self.socket, "-qtest-log", "none",
             "-qmp", "unix:%s,server=on,wait=off" % qmp_path,
             *more, "-device", "%s,id=balloon%s" % (model, "," + device if device else "")],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            preexec_fn=end_with_parent)
        try:
            until(lambda: os.path.exists(qmp_path) or self.process.poll() is not None, "QEMU")
            if self.process.poll() is not None:
                raise AssertionError("QEMU did not start: " + self.text())
            self.qmp = until(lambda: self.connect(qmp_path), "QEMU listens")
        except BaseException:
            self.close()
            raise

    @staticmethod
    def connect(path):
        try:
            return Qmp(path)
        except OSError:
            return None

    def text(self):
        self.log.seek(0)
        return self.log.read()

    def resident(self):
        """Bytes of host memory behind the guest's."""
        return os.stat(self.memory_file).st_blocks * 512

    def get(self, name):
        return self.qmp("qom-get", path="/machine/peripheral/balloon", property=name)

    def set(self, name, value):
        self.qmp("qom-set", path="/machine/peripheral/balloon", property=name, value=value)

    def balloon(self, held):
        """Asks for a balloon of so many bytes."""
        self.qmp("balloon", value=self.bytes - held)

    def actual(self):
        """The balloon's size as QEMU has it."""
        return self.bytes - self.qmp("query-balloon")["actual"]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.qmp:
            self.qmp.close()
        self.kill()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Driver:
    """Our driver on a machine. As a context: it must end well, with nothing missing."""

    def __init__(self, machine, transport="pci-modern", *options):
        self.machine = machine
        self.process = subprocess.Popen(
            [DRIVER, "--socket", machine.socket, "--memory", machine.memory_file, "--bytes",
             str(machine.bytes), "--transport", transport, *map(str, options)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError("no driver: " + self.end()[1])

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError("the driver died: " + self.end()[1])
        answer = json.loads(line)
        if "error" in answer:
            raise AssertionError("%s: %s" % (command, answer["error"]))
        return answer

    def report(self):
        report = self.ask("report")
        if report["problem"]:
            raise AssertionError(report["problem"])
        return report

    def end(self):
        """Exit status and what it said."""
        _, text = self.process.communicate(timeout=2 * PATIENCE)
        return self.process.returncode, text

    def wait(self, condition, what, seconds=PATIENCE):
        last = {}

        def is_so():
            last.update(self.report())
            return condition(last)
        try:
            until(is_so, what, seconds)
        except AssertionError as error:
            raise AssertionError("%s; %s" % (error, last)) from None
        return last

    def wait_live(self):
        return self.wait(lambda report: report["is_started"] and report["status"] & 4,
                         "the driver has started")

    def wait_at(self, held):
        """The balloon holds that many bytes for driver and device."""
        report = self.wait(lambda report: report["actual"] * FRAME == held,
                           "the balloon has %g MiB" % (held / MIB))
        until(lambda: self.machine.actual() == held, "QEMU knows it", 5)
        return report

    def close(self):
        """It goes in peace: all memory is back, and no rule was broken."""
        if self.process.poll() is None:
            try:
                self.ask("quit")
            except BrokenPipeError:
                pass
        status, text = self.end()
        if status or text:
            raise AssertionError("the driver ended with %d: %s" % (status, text[-4000:]))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            self.process.kill()
            print(self.end()[1][-4000:])
        else:
            self.close()


@unittest.skipUnless(QEMU, "there is no qemu-system-x86_64: package qemu-system-x86")
class QtestCase(unittest.TestCase):
    """Every test starts what it needs; what is left over is removed."""

    def machine(self, *arguments, **options):
        machine = Machine(*arguments, **options)
        self.addCleanup(machine.close)
        return machine

    def assert_near(self, value, wanted, slack):
        self.assertLessEqual(abs(value - wanted), slack, "%g MiB, wanted %g" % (
            value / MIB, wanted / MIB))

    def settle(self, seconds=0.3):
        time.sleep(seconds)
