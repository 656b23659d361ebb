# SPDX-License-Identifier: MIT
"""Front ends that flood, stall, die, or take the memory away under the device."""

import contextlib
import os
import random
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

from daemon import until
from device_case import DeviceCase
from frontend import (
    FIRST_FRAME, FRAME, GET_CONFIG, GET_FEATURES, MIB, MUST_TELL_HOST, PACKED, SET_MEM_TABLE,
    SET_OWNER, SET_VRING_CALL, SET_VRING_KICK, USUAL, VERSION, Closed, FrontEnd, Guest, Memory)

MANY = 100_000
FRAMES = range(FIRST_FRAME, FIRST_FRAME + 2048)


class LoadCase(DeviceCase):
    """The device stays as small as it was, and answers its operator, whatever is done to it."""

    GROWTH = 16 * MIB
    LATENCY = 2.0

    def setUp(self):
        super().setUp()
        self.before = self.daemon.rss()

    @contextlib.contextmanager
    def bounded(self):
        """While this goes on the operator gets answers; afterwards nothing has grown."""
        slowest = [0.0]
        is_over = threading.Event()
        client = self.client()

        def watch():
            while not is_over.is_set():
                started = time.monotonic()
                client.ask("status")
                slowest[0] = max(slowest[0], time.monotonic() - started)
                is_over.wait(0.02)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()
        self.assertLess(slowest[0], self.LATENCY, "the operator had to wait")
        self.assertLess(self.daemon.rss() - self.before, self.GROWTH)

    def check_rests(self):
        """It does not spin."""
        before = self.daemon.cpu_seconds()
        time.sleep(0.5)
        self.assertLess(self.daemon.cpu_seconds() - before, 0.2)


class Floods(LoadCase):
    def test_questions(self):
        question = struct.pack("<III", GET_FEATURES, VERSION, 0)
        with self.bounded(), self.connected() as front:
            sender = threading.Thread(target=front.send_bytes, args=(question * MANY,))
            sender.start()
            answers = front.receive_bytes(20 * MANY)
            sender.join()
        self.assertEqual(answers, answers[:20] * MANY)

    def test_orders(self):
        with self.bounded(), self.connected() as front:
            front.send_bytes(struct.pack("<III", SET_OWNER, VERSION, 0) * MANY)
            front.ask_u64(GET_FEATURES)

    def test_descriptors(self):
        """Each order replaces the descriptor of the one before."""
        event = os.eventfd(0)
        self.addCleanup(os.close, event)
        with self.bounded(), self.connected() as front:
            for _ in range(MANY // 10):
                front.send(SET_VRING_CALL, struct.pack("<Q", 0), [event])
            front.ask_u64(GET_FEATURES)
            self.assertLessEqual(len(self.daemon.fds()), len(self.idle_fds) + 4)

    def test_memory_tables(self):
        with self.bounded(), self.guest() as guest:
            for _ in range(1000):
                guest.set_memory(guest.memory)
            guest.settle()
            self.check_round(guest, FRAMES)

    def test_kicks(self):
        with self.guest() as guest:
            with self.bounded():
                for _ in range(MANY):
                    os.eventfd_write(guest.rings["inflate"].kick_fd, 1)
                self.check_round(guest, FRAMES)
        self.assertGreater(self.daemon.counters()["kicks"], 10)

    def test_kicks_through_a_pipe_that_is_never_empty(self):
        near, far = os.pipe()
        with self.guest() as guest, open(far, "wb", buffering=0) as stream:
            guest.send(SET_VRING_KICK, struct.pack("<Q", 2), [near])
            os.close(near)
            with self.bounded():
                for _ in range(MANY // 10):
                    stream.write(bytes(100))
                self.check_round(guest, FRAMES)

    def test_connections(self):
        """As many as can be made, hardly any of which get a turn."""
        made = 0
        with self.bounded():
            for _ in range(MANY):
                link = socket.socket(socket.AF_UNIX)
                link.setblocking(False)
                try:
                    link.connect(self.daemon.socket_path)
                    link.send(b"junk")
                    made += 1
                except (BlockingIOError, BrokenPipeError, ConnectionResetError):
                    pass
                link.close()
        self.assertGreater(made, 10)
        self.assertLess(len(self.lines()), 10 * made + 100)

    def test_waiting_front_ends(self):
        with self.guest() as guest:
            waiting = []
            for _ in range(200):
                link = socket.socket(socket.AF_UNIX)
                self.addCleanup(link.close)
                link.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    link.connect(self.daemon.socket_path)
                    waiting.append(link)
            with self.bounded():
                self.check_round(guest, FRAMES)
            self.check_rests()
            self.assertLess(len(self.lines()), 20)
            for link in waiting:
                link.close()

    def test_refused_orders_do_not_fill_the_log(self):
        for _ in range(20):
            with self.connected() as front, contextlib.suppress(Closed):
                for _ in range(1000):
                    front.send(SET_OWNER, b"x")
        self.assertLess(len(self.lines()), 100)

    def test_endless_request(self):
        """A thousand million numbers in one request: all but its own guest are served meanwhile,
        and the front end may leave at any moment."""
        for features in (USUAL, USUAL & ~MUST_TELL_HOST | PACKED):
            guest = self.guest(features)
            ring = guest.rings["inflate"]
            guest.memory.write(ring.tables, b"".join(
                struct.pack("<QIHH", 0, 60 * MIB, *((0, 0) if features & PACKED else
                                                   (int(i < 63), i + 1))) for i in range(64)))
            ring.add([(ring.tables, 1024, 4)])
            with self.bounded():
                ring.force_kick()
                time.sleep(0.5)
                self.assertGreater(self.daemon.counters()["inflate_frames"], 1000)
                self.assertIsNone(ring.pop())
                guest.settle()
                guest.close()
                until(lambda: not self.daemon.status()["is_connected"], "it has left", 10)


class Stalls(LoadCase):
    # Without the bytes that it asks for: 24 bytes, which have an answer of 280.
    QUESTION = struct.pack("<III", GET_CONFIG, VERSION, 12) + struct.pack("<III", 0, 256, 0)

    def fill(self, front):
        """Asks until nothing more fits, without reading an answer. Answers how many bytes."""
        front.socket.setblocking(False)
        total = 0
        idle_since = time.monotonic()
        while time.monotonic() < idle_since + 0.3:
            try:
                total += front.socket.send(self.QUESTION[total % 24:] + self.QUESTION * 100)
                idle_since = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
        front.socket.settimeout(30)
        return total

    def test_reader_that_does_not_read(self):
        with self.connected() as front:
            front.negotiate()
            with self.bounded():
                total = self.fill(front)
                self.check_rests()
                self.assertGreater(total, 100 * 24)
                answers = front.receive_bytes(280 * (total // 24))
            self.assertEqual(answers, answers[:280] * (total // 24))
            if total % 24:
                front.send_bytes(self.QUESTION[total % 24:])
                self.assertEqual(front.receive_bytes(280), answers[:280])
            front.ask_u64(GET_FEATURES)

    def test_reader_that_never_reads_and_leaves(self):
        for is_rude in (True, False):
            with self.connected() as front:
                front.negotiate()
                self.fill(front)
                if not is_rude:
                    front.socket.shutdown(socket.SHUT_WR)
                    time.sleep(0.1)

    def test_call_descriptor_that_is_full(self):
        near, far = os.pipe2(os.O_NONBLOCK)
        with self.guest() as guest:
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(far, bytes(4096))
            # It blocks whoever writes to it.
            os.set_blocking(far, True)
            guest.send(SET_VRING_CALL, struct.pack("<Q", 0), [far])
            with self.bounded():
                guest.settle()
                for frame in FRAMES[:100]:
                    guest.rings["inflate"].give(struct.pack("<I", frame))
                    until(guest.rings["inflate"].pop, "an answer")
        os.close(near)
        os.close(far)

    def test_call_descriptor_that_nobody_holds(self):
        near, far = os.pipe()
        with self.guest() as guest:
            guest.send(SET_VRING_CALL, struct.pack("<Q", 0), [far])
            guest.settle()
            os.close(near)
            os.close(far)
            guest.rings["inflate"].give(struct.pack("<I", FIRST_FRAME))
            until(guest.rings["inflate"].pop, "an answer")
            guest.settle()

    def test_kick_descriptor_that_is_gone(self):
        near, far = os.pipe()
        with self.guest() as guest:
            guest.send(SET_VRING_KICK, struct.pack("<Q", 2), [near])
            guest.settle()
            os.close(near)
            os.close(far)
            self.daemon.wait_line("ring 2: its kick descriptor is gone", self.mark)
            self.check_rests()
            self.check_round(guest, FRAMES)
            self.assertEqual(sum("kick" in line for line in self.lines()), 1)

    def test_kick_descriptor_that_is_a_file(self):
        with self.guest() as guest:
            guest.send(SET_VRING_KICK, struct.pack("<Q", 2), [guest.memory.fd])
            self.daemon.wait_line("ring 2: its kicks cannot be watched", self.mark)
            self.check_round(guest, FRAMES)

    def test_no_descriptors_left(self):
        """Few may be open; the device goes on when it may have more again."""
        limits = resource.prlimit(self.daemon.pid, resource.RLIMIT_NOFILE)
        lowest = max(int(name) for name in os.listdir("/proc/%d/fd" % self.daemon.pid)) + 1
        self.addCleanup(resource.prlimit, self.daemon.pid, resource.RLIMIT_NOFILE, limits)
        resource.prlimit(self.daemon.pid, resource.RLIMIT_NOFILE, (lowest, limits[1]))
        front = FrontEnd(self.daemon.socket_path)
        self.addCleanup(front.close)
        self.daemon.wait_line("accepting a front end: Too many open files", self.mark)
        self.check_rests()
        resource.prlimit(self.daemon.pid, resource.RLIMIT_NOFILE, (lowest + 3, limits[1]))
        front.ask_u64(GET_FEATURES)
        memory = self.memory()
        front.send(SET_MEM_TABLE, memory.table() + bytes(224), [memory.fd] * 8)
        self.assertTrue(front.is_closed())
        self.daemon.wait_line("or no room for them; connection closed", self.mark)


CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from frontend import *
guest = Guest(sys.argv[2], int(sys.argv[3]))
guest.memory.dirty(FIRST_FRAME, 8192)
print("going", flush=True)
while True:
    guest.inflate(range(FIRST_FRAME, FIRST_FRAME + 8192))
    guest.deflate(range(FIRST_FRAME, FIRST_FRAME + 8192))
"""


class Deaths(LoadCase):
    def test_killed_mid_inflation(self):
        here = os.path.dirname(os.path.abspath(__file__))
        for seed in range(8):
            features = (USUAL, USUAL | PACKED, USUAL & ~MUST_TELL_HOST)[seed % 3]
            with self.subTest(seed=seed):
                child = subprocess.Popen(
                    [sys.executable, "-c", CHILD, here, self.daemon.socket_path, str(features)],
                    stdout=subprocess.PIPE)
                self.addCleanup(child.stdout.close)
                self.assertEqual(child.stdout.readline(), b"going\n")
                time.sleep(random.Random(seed).random() * 0.3)
                child.send_signal(signal.SIGKILL)
                child.wait()
                self.check_idle()
                self.check_serves()
        self.assertLess(self.daemon.rss() - self.before, self.GROWTH)

    def test_left_mid_inflation(self):
        """Many times, so that every point of a request is met."""
        memory = self.memory()
        for seed in range(60):
            features = (USUAL, USUAL | PACKED, USUAL & ~MUST_TELL_HOST)[seed % 3]
            with Guest(self.daemon.socket_path, features, memory) as guest:
                for _ in range(8):
                    guest.rings["inflate"].give(struct.pack("<256I", *FRAMES[:256]))
                time.sleep(random.Random(seed).random() * 0.001)


class Truncation(LoadCase):
    """The file becomes shorter under the device: no death by SIGBUS, a line, and the next."""

    LINE = "guest memory: region at .*: a page is gone from its file"

    def check(self, size, action, is_told=True):
        for features in (USUAL, USUAL | PACKED, USUAL & ~MUST_TELL_HOST):
            with self.subTest(features=hex(features)), Memory() as memory, \
                    self.guest(features, memory) as guest:
                mark = self.daemon.mark()
                guest.inflate(FRAMES[:512])
                kick = guest.rings["inflate"].kick_fd
                os.ftruncate(memory.fd, size)
                action(guest, kick)
                if is_told:
                    self.daemon.wait_line(self.LINE, mark)
                    self.assertEqual(sum("is gone" in line for line in self.daemon.lines(mark)), 1)
                guest.settle()
                self.daemon.status()
            self.check_idle()
            self.check_serves()

    def test_rings_gone(self):
        self.check(0, lambda guest, kick: os.eventfd_write(kick, 1))

    def test_rings_gone_and_the_operator_acts(self):
        """Nobody kicks: the device comes upon it by itself, or not at all."""
        def act(guest, _):
            self.daemon.target(MIB)
            self.daemon.ask("flush")
            self.daemon.ask("pause")
            self.daemon.ask("resume")
        self.check(0, act, False)

    def test_frames_gone(self):
        """Frames beyond the end are given: nothing is there to discard."""
        def act(guest, _):
            guest.give(FRAMES[512:768])
            guest.deflate(FRAMES[:512])
        self.check(FIRST_FRAME * FRAME, act, False)

    def test_buffers_gone(self):
        def act(guest, _):
            ring = guest.rings["inflate"]
            ring.add([(60 * MIB, 4096, 0)])
            ring.kick()
            ring.wait()
        self.check(32 * MIB, act)

    def test_file_shrinks_and_grows_all_the_time(self):
        with Memory() as memory, self.guest(memory=memory) as guest:
            is_over = threading.Event()

            def breathe():
                while not is_over.is_set():
                    os.ftruncate(memory.fd, FIRST_FRAME * FRAME)
                    os.ftruncate(memory.fd, memory.size)
            thread = threading.Thread(target=breathe)
            thread.start()
            try:
                for turn in range(30):
                    ring = guest.rings["inflate"]
                    ring.add([((20 + turn) * MIB, 65536, 0)])
                    ring.kick()
                    ring.wait()
                    guest.give(FRAMES[:256])
                    guest.deflate(FRAMES[:256])
            finally:
                is_over.set()
                thread.join()

    def test_ring_after_truncation_is_set_up(self):
        """Truncated between the table and the ring."""
        with Memory() as memory, self.guest(memory=memory, start=False) as guest:
            guest.negotiate()
            guest.set_memory(memory)
            guest.settle()
            os.ftruncate(memory.fd, 0)
            for role, ring in guest.rings.items():
                guest.start_ring(guest.numbers[role], ring)
            guest.settle()
            os.eventfd_write(guest.rings["inflate"].kick_fd, 1)
            self.daemon.wait_line(self.LINE, self.mark)


if __name__ == "__main__":
    unittest.main()
