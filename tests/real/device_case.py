# SPDX-License-Identifier: MIT
"""A test class with a live device. After each test the device must be as it was before."""

import unittest

from daemon import Control, Daemon, until
from frontend import FIRST_FRAME, FRAME, MIB, Guest, Memory, connected


class DeviceCase(unittest.TestCase):
    """One device for all tests of a class. Each test, however rude, leaves it alive, serving, and
    without anything of the front ends it had."""

    options = ()
    longMessage = True

    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon(*cls.options))
        # Whatever is opened once, with the first front end, is opened now.
        with Guest(cls.daemon.socket_path):
            cls.daemon.wait_line("front end connected")
        cls.daemon.wait_line("front end disconnected")
        # It is told a moment before the descriptors are closed; an answer comes after.
        until(lambda: not cls.daemon.status()["is_connected"], "the first front end is gone")
        cls.idle_fds = cls.daemon.fds()

    def setUp(self):
        self.mark = self.daemon.mark()
        # The last cleanup, when the test's own guests are gone.
        self.addCleanup(self.check_after)

    def check_after(self):
        if not self.daemon.is_alive():
            self.fail("the device has died:\n" + "\n".join(self.daemon.lines(self.mark)))
        for command, members in (("resume", {}), ("inhibit", {"reasons": []}),
                                 ("target", {"bytes": 0})):
            self.daemon.ask(command, **members)
        self.check_idle()
        self.check_serves()
        self.check_idle()

    def lines(self):
        return self.daemon.lines(self.mark)

    def guest(self, *args, **members):
        """A guest that is there until the end of the test."""
        guest = Guest(self.daemon.socket_path, *args, **members)
        self.addCleanup(guest.close)
        return guest

    def client(self):
        """One more client of the control socket."""
        client = Control(self.daemon.control_path)
        self.addCleanup(client.close)
        return client

    def memory(self, *args, **members):
        memory = Memory(*args, **members)
        self.addCleanup(memory.close)
        return memory

    def check_idle(self):
        """Nothing of a front end is left: no descriptor, no mapping."""
        until(lambda: not self.daemon.status()["is_connected"], "no front end is connected")
        until(lambda: self.daemon.fds() == self.idle_fds, "descriptors are closed: %s, not %s"
              % (self.daemon.fds(), self.idle_fds), 5)
        self.assertFalse(self.daemon.maps("guest-memory"), "guest memory is still mapped")

    def check_serves(self):
        """A whole life of a guest: its memory goes and comes back."""
        with Guest(self.daemon.socket_path) as guest:
            self.daemon.target(4 * MIB)
            self.check_round(guest, range(FIRST_FRAME, FIRST_FRAME + 1024))
            self.daemon.target(0)

    def check_round(self, guest, frames):
        """Inflates frames that have content, sees them gone from the host, deflates them again."""
        self.check_inflates(guest, frames)
        guest.deflate(frames)
        status = self.daemon.status()
        self.assertEqual((status["actual_bytes"], status["ledger_bytes"]), (0, 0))

    def check_inflates(self, guest, frames):
        """frames: ascending. What lies just outside of them must stay."""
        memory = guest.memory
        edges = [frames[0] - 1, frames[-1] + 1]
        memory.dirty(edges[0], frames[-1] - frames[0] + 3)
        already = len(guest.frames)
        guest.inflate(frames)
        # The order to discard all that still waits for its block.
        self.daemon.ask("flush")
        until(lambda: self.daemon.status()["pending_bytes"] == 0, "all is discarded")
        status = self.daemon.status()
        wanted = (already + len(frames)) * FRAME
        self.assertEqual((status["actual_bytes"], status["ledger_bytes"]), (wanted, wanted))
        left = memory.held(frames[0], frames[-1] - frames[0] + 1)
        self.assertEqual(left, (frames[-1] - frames[0] + 1 - len(frames)) * FRAME)
        for frame in edges:
            self.assertTrue(memory.is_intact(frame), "frame %d was not ours" % frame)

    def connected(self):
        return connected(self.daemon.socket_path)
