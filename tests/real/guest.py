# SPDX-License-Identifier: MIT
"""A real Linux in User Mode Linux, started and led through build/tests/real/guest_launcher."""

import os
import queue
import shutil
import subprocess
import threading
import time
import unittest

from daemon import BUILD, PATIENCE, until
from device_case import DeviceCase

LAUNCHER = os.path.join(BUILD, "tests", "real", "guest_launcher")
UML = shutil.which("linux.uml", path=os.environ.get("PATH", "") + ":/usr/bin")
MIB = 1 << 20
FRAME = 4096


class GuestError(Exception):
    """The guest said no, or is not there any more."""


def numbers(text):
    """"total=1 free=2" as a dictionary; words that are no numbers stay words."""
    pairs = (word.split("=", 1) for word in text.split() if "=" in word)
    return {key: int(value) if value.isdigit() else value for key, value in pairs}


def processes_with(text):
    """Command lines of all processes that have it there."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/cmdline" % name, "rb") as stream:
                    line = stream.read()
            except OSError:
                continue
            if text.encode() in line:
                found.append(line.replace(b"\0", b" ").decode(errors="replace"))
    return found


class Guest:
    def __init__(self, socket_path, memory=256 * MIB, append=None, memory_dir=None, wait=True,
                 more=()):
        arguments = [LAUNCHER, "--memory", str(memory), *more]
        for option, value in (("--socket", socket_path), ("--append", append),
                              ("--memory-dir", memory_dir)):
            if value:
                arguments += [option, value]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, errors="replace")
        self.answers = queue.Queue()
        self.readies = queue.Queue()
        self.log = []
        self.scratch = None
        self.pid = None
        self.story = None  # how it ended
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        if wait:
            self.ready = self.wait_ready()

    def read(self):
        for line in self.process.stdout:
            word, _, text = line.rstrip("\n").partition(" ")
            if word in ("answer", "failed"):
                self.answers.put((word, text))
            elif word == "ready":
                self.readies.put(numbers(text))
            elif word == "ended":
                self.story = text
            elif word == "scratch":
                self.scratch = text
            elif word == "pid":
                self.pid = int(text)
            else:
                self.log.append(text)
        self.answers.put(("failed", "the guest is gone"))
        self.readies.put(None)

    def wait_ready(self):
        ready = self.readies.get(timeout=2 * PATIENCE)
        if ready is None:
            raise GuestError("not ready: %s\n%s" % (self.story, "\n".join(self.log[-20:])))
        return ready

    def start(self, command):
        """Asks and does not wait."""
        try:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise GuestError("the guest is gone") from None

    def ask(self, command, seconds=4 * PATIENCE):
        self.start(command)
        return self.answer(seconds)

    def answer(self, seconds=4 * PATIENCE):
        word, text = self.answers.get(timeout=seconds)
        if word == "failed":
            raise GuestError(text)
        return text

    def numbers(self, command):
        return numbers(self.ask(command))

    def is_running(self):
        return self.process.poll() is None

    def wait_end(self, seconds=2 * PATIENCE):
        self.process.wait(timeout=seconds)
        self.reader.join(PATIENCE)
        return self.story

    def power_off(self):
        self.start("!poweroff")
        return self.wait_end()

    def kill(self):
        if self.is_running():
            self.start("!kill")
        return self.wait_end()

    def close(self):
        """Nothing of it is left."""
        try:
            self.kill()
        except GuestError:
            self.wait_end()
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
        if self.scratch:
            until(lambda: not processes_with(self.scratch), "no process of the guest is left", 10)
            assert not os.path.exists(self.scratch), self.scratch

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@unittest.skipUnless(UML, "there is no linux.uml: package user-mode-linux")
class UmlCase(DeviceCase):
    """A device, and a guest that most tests of the class share. One that a test ended is booted
    again for the next."""

    MEMORY = 256 * MIB
    append = None
    memory_dir = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shared = None
        cls.addClassCleanup(cls.end_guest)

    @classmethod
    def end_guest(cls):
        guest, cls.shared = cls.shared, None
        if guest:
            guest.close()

    def boot(self, **options):
        """A guest; there can be only one."""
        self.end_guest()
        options = dict(dict(memory=self.MEMORY, append=self.append, memory_dir=self.memory_dir),
                       **options)
        started = time.monotonic()
        guest = Guest(self.daemon.socket_path, **options)
        print("# booted in %.1f s" % (time.monotonic() - started))
        self.assertEqual(guest.ready["driver"], "bound")
        return guest

    @property
    def linux(self):
        cls = type(self)
        if cls.shared and not (cls.shared.is_running() and self.daemon.status()["is_live"]):
            self.end_guest()
        if not cls.shared:
            cls.shared = self.boot()
        return cls.shared

    def check_after(self):
        """The shared guest stays, and is to have an empty balloon and nothing kept."""
        if not self.daemon.is_alive():
            self.fail("the device has died:\n" + "\n".join(self.daemon.lines(self.mark)))
        self.daemon.ask("resume")
        self.daemon.ask("inhibit", reasons=[])
        self.daemon.target(0)
        if not self.shared or not self.shared.is_running():
            self.end_guest()
            self.check_idle()
            return
        if not self.daemon.status()["is_live"]:
            self.fail("the guest has lost its device:\n" + "\n".join(self.lines()))
        try:
            self.check_at(0)
            for command in ("drop", "free"):
                self.linux.ask(command)
        except Exception:
            self.end_guest()
            raise

    # What is expected of balloons

    def check_at(self, size, seconds=2 * PATIENCE):
        """The target is reached to the frame, and all of it is discarded."""
        last = {}

        def is_there():
            last.update(self.daemon.status())
            return last["actual_bytes"] == last["ledger_bytes"] == size == last["target_bytes"]
        try:
            until(is_there, "the balloon has %d MiB" % (size / MIB), seconds, 0.01)
        except AssertionError as error:
            self.fail("%s; target %d, actual %d, ledger %d, %s" % (
                error, last["target_bytes"], last["actual_bytes"], last["ledger_bytes"],
                last["stall_text"]))
        until(lambda: self.daemon.status()["pending_bytes"] == 0, "all is discarded")
        self.assertEqual(self.daemon.status()["stall"], "none")

    def inflate(self, size):
        self.daemon.target(size)
        self.check_at(size)

    def resident(self):
        return self.daemon.status()["resident_bytes"]

    def check_accounts(self):
        """Nothing that did not add up, since the device began."""
        counters = self.daemon.status()["counters"]
        for part, keys in (("ledger", ("given_twice_frames", "returned_twice_frames",
                                       "never_given_frames", "out_of_range_frames",
                                       "unrecorded_frames", "discard_failures")),
                           ("device", ("ragged_requests", "stats_extra_buffers",
                                       "broken_queues", "report_discard_failures"))):
            for key in keys:
                self.assertEqual(counters[part][key], 0, key)
