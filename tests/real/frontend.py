# SPDX-License-Identifier: MIT
"""A vhost-user front end that speaks raw bytes, and a guest with a balloon driver behind it."""

import array
import contextlib
import mmap
import os
import select
import socket
import struct
import time

from rings import PackedRing, Ring, SplitRing

# Messages of the front end
GET_FEATURES, SET_FEATURES, SET_OWNER, RESET_OWNER, SET_MEM_TABLE = 1, 2, 3, 4, 5
SET_LOG_BASE, SET_LOG_FD, SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE = 6, 7, 8, 9, 10
GET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR = 11, 12, 13, 14
GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, GET_QUEUE_NUM, SET_VRING_ENABLE = 15, 16, 17, 18
SET_BACKEND_REQ_FD, GET_CONFIG, SET_CONFIG, RESET_DEVICE, VRING_KICK = 21, 24, 25, 34, 35
GET_MAX_MEM_SLOTS, ADD_MEM_REG, REM_MEM_REG, SET_STATUS, GET_STATUS = 36, 37, 38, 39, 40

# Messages of the back end
CONFIG_CHANGE_MSG = 2

VERSION, REPLY, NEED_REPLY = 1, 4, 8

# Protocol features
MQ, REPLY_ACK, BACKEND_REQ, CONFIG, RESET, INBAND, SLOTS, STATUS = (
    1 << bit for bit in (0, 3, 5, 9, 13, 14, 15, 16))
PROTOCOL_ALL = MQ | REPLY_ACK | BACKEND_REQ | CONFIG | RESET | SLOTS
PROTOCOL_FEATURES = 1 << 30

# Features of the device
MUST_TELL_HOST, STATS, ON_OOM, HINT, POISON, REPORTING = (1 << bit for bit in range(6))
INDIRECT_DESC, EVENT_IDX, VERSION_1, PACKED, IN_ORDER = (
    1 << bit for bit in (28, 29, 32, 34, 35))
USUAL = MUST_TELL_HOST | STATS | HINT | REPORTING | INDIRECT_DESC | EVENT_IDX | VERSION_1

FRAME = 4096
MIB = 1 << 20
UVA = 0x7F00_0000_0000
FIRST_FRAME = 16 * MIB // FRAME  # rings and buffers lie below


class Region:
    def __init__(self, gpa, size, uva=None, offset=0):
        self.gpa = gpa
        self.size = size
        self.uva = UVA + gpa if uva is None else uva
        self.offset = offset

    def pack(self):
        return struct.pack("<QQQQ", self.gpa, self.size, self.uva, self.offset)


class Memory:
    """Guest memory: one file, seen as one or more regions."""

    def __init__(self, size=64 * MIB, regions=None, fd=None):
        self.fd = os.memfd_create("guest-memory", os.MFD_CLOEXEC) if fd is None else fd
        self.size = size
        if fd is None:
            os.ftruncate(self.fd, size)
        self.map = mmap.mmap(self.fd, size)
        self.regions = regions or [Region(0, size)]

    def close(self):
        if self.fd >= 0:
            self.map.close()
            os.close(self.fd)
        self.fd = -1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def offset(self, gpa):
        for region in self.regions:
            if region.gpa <= gpa < region.gpa + region.size:
                return gpa - region.gpa + region.offset
        raise ValueError("no guest memory at %#x" % gpa)

    def uva(self, gpa):
        for region in self.regions:
            if region.gpa <= gpa < region.gpa + region.size:
                return gpa - region.gpa + region.uva
        raise ValueError("no guest memory at %#x" % gpa)

    def pack(self, form, gpa, *values):
        struct.pack_into(form, self.map, self.offset(gpa), *values)

    def unpack(self, form, gpa):
        return struct.unpack_from(form, self.map, self.offset(gpa))

    def write(self, gpa, data):
        at = self.offset(gpa)
        self.map[at:at + len(data)] = data

    def read(self, gpa, length):
        """Without making pages, as reading through the mapping would."""
        return os.pread(self.fd, length, self.offset(gpa))

    def resident(self):
        return os.fstat(self.fd).st_blocks * 512

    def held(self, first, count):
        """How many bytes of these frames the host has given memory."""
        at = self.offset(first * FRAME)
        end = at + count * FRAME
        total = 0
        while at < end:
            try:
                at = os.lseek(self.fd, at, os.SEEK_DATA)
            except OSError:
                break
            hole = os.lseek(self.fd, at, os.SEEK_HOLE)
            total += max(0, min(hole, end) - at)
            at = hole
        return total

    def dirty(self, first, count):
        """Every frame gets content of its own, so that a lost or swapped one is found."""
        for frame in range(first, first + count):
            os.pwrite(self.fd, content(frame), self.offset(frame * FRAME))

    def is_intact(self, frame):
        return self.read(frame * FRAME, FRAME) == content(frame)

    def is_zero(self, frame):
        return not any(self.read(frame * FRAME, FRAME))

    def table(self):
        return (struct.pack("<II", len(self.regions), 0)
                + b"".join(region.pack() for region in self.regions))


def content(frame):
    return struct.pack("<QQ", frame, ~frame & (1 << 64) - 1) * (FRAME // 16)


class Closed(Exception):
    """The device hung up."""


class FrontEnd:
    """A connection. Nothing is sent but what the caller says."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.connect(path)
        self.socket.settimeout(30)
        self.channel = None
        self.changes = 0

    def connect(self, path):
        """Waits for a place in the queue, which is short, but not for ever."""
        deadline = time.monotonic() + 30
        self.socket.setblocking(False)
        while True:
            try:
                return self.socket.connect(path)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.002)

    def close(self):
        self.socket.close()
        if self.channel:
            self.channel.close()

    def send_bytes(self, data, fds=()):
        """Descriptors come with the first byte."""
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            sent = self.socket.sendmsg([data], ancillary)
            if sent < len(data):
                self.socket.sendall(data[sent:])
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed from error

    def send(self, request, payload=b"", fds=(), flags=VERSION, size=None):
        size = len(payload) if size is None else size
        self.send_bytes(struct.pack("<III", request, flags, size) + payload, fds)

    def receive_bytes(self, count):
        data = b""
        while len(data) < count:
            try:
                part = self.socket.recv(count - len(data))
            except ConnectionResetError as error:
                raise Closed from error
            if not part:
                raise Closed
            data += part
        return data

    def receive(self):
        """Answers request, flags and payload of a reply."""
        request, flags, size = struct.unpack("<III", self.receive_bytes(12))
        return request, flags, self.receive_bytes(size)

    def ask(self, request, payload=b""):
        self.send(request, payload)
        got, flags, answer = self.receive()
        assert (got, flags) == (request, VERSION | REPLY), (got, flags)
        return answer

    def ask_u64(self, request, payload=b""):
        return struct.unpack("<Q", self.ask(request, payload))[0]

    def order(self, request, payload=b"", fds=()):
        """A message with an acknowledgement; answers 0 or why not."""
        self.send(request, payload, fds, VERSION | NEED_REPLY)
        got, flags, answer = self.receive()
        assert (got, flags) == (request, VERSION | REPLY), (got, flags)
        return struct.unpack("<Q", answer)[0]

    def is_closed(self, seconds=30):
        """Whether the device hangs up."""
        if not select.select([self.socket], [], [], seconds)[0]:
            return False
        try:
            return not self.socket.recv(1)
        except ConnectionResetError:
            return True

    # Conversations

    def negotiate(self, features=USUAL, protocol=PROTOCOL_ALL):
        offered = self.ask_u64(GET_FEATURES)
        assert offered & PROTOCOL_FEATURES and not features & ~offered, hex(offered)
        self.ask_u64(GET_PROTOCOL_FEATURES)
        self.send(SET_PROTOCOL_FEATURES, struct.pack("<Q", protocol))
        self.send(SET_OWNER)
        if protocol & BACKEND_REQ:
            self.open_channel()
        self.send(SET_FEATURES, struct.pack("<Q", features | PROTOCOL_FEATURES))

    def open_channel(self):
        self.channel, theirs = socket.socketpair()
        self.send(SET_BACKEND_REQ_FD, b"", [theirs.fileno()])
        theirs.close()

    def set_memory(self, memory):
        self.send(SET_MEM_TABLE, memory.table(), [memory.fd] * len(memory.regions))

    def start_ring(self, index, ring, base=None, is_enabled=True):
        base = ring.fresh_base if base is None else base
        self.send(SET_VRING_NUM, struct.pack("<II", index, ring.size))
        self.send(SET_VRING_BASE, struct.pack("<II", index, base))
        self.send(SET_VRING_ADDR, struct.pack(
            "<IIQQQQ", index, 0, ring.memory.uva(ring.desc), ring.memory.uva(ring.device),
            ring.memory.uva(ring.driver), 0))
        self.send(SET_VRING_CALL, struct.pack("<Q", index), [ring.call_fd])
        self.send(SET_VRING_ERR, struct.pack("<Q", index), [ring.err_fd])
        self.send(SET_VRING_KICK, struct.pack("<Q", index), [ring.kick_fd])
        self.enable_ring(index, is_enabled)

    def enable_ring(self, index, is_enabled=True):
        self.send(SET_VRING_ENABLE, struct.pack("<II", index, is_enabled))

    def stop_ring(self, index):
        """Answers the base to go on from."""
        return struct.unpack("<II", self.ask(GET_VRING_BASE, struct.pack("<II", index, 0)))[1]

    def read_config(self, offset=0, size=16):
        answer = self.ask(GET_CONFIG, struct.pack("<III", offset, size, 0) + bytes(size))
        return answer[12:]

    def write_config(self, offset, data):
        self.send(SET_CONFIG, struct.pack("<III", offset, len(data), 0) + data)

    def config(self):
        """num_pages, actual, hint command, poison."""
        return struct.unpack("<IIII", self.read_config())

    def wait_change(self, seconds=30):
        """Waits for a change of the configuration, on the back-end channel."""
        if not select.select([self.channel], [], [], seconds)[0]:
            raise AssertionError("the configuration did not change within %g s" % seconds)
        header = self.channel.recv(12, socket.MSG_WAITALL)
        request, flags, size = struct.unpack("<III", header)
        assert (request, flags, size) == (CONFIG_CHANGE_MSG, VERSION, 0), (request, flags, size)
        self.changes += 1


ROLES = {"stats": (STATS, 2), "hint": (HINT, 3), "reporting": (REPORTING, 4)}


def number_queues(features, numbering):
    """Index of each queue, by the specification or with the gaps closed."""
    numbers = {"inflate": 0, "deflate": 1}
    for role, (feature, index) in ROLES.items():
        if features & feature:
            numbers[role] = index if numbering == "spec" else len(numbers)
    return numbers


class Guest(FrontEnd):
    """A front end with memory, rings, and a driver that does as it is told."""

    def __init__(self, path, features=USUAL, memory=None, numbering="spec", ring_size=16,
                 protocol=PROTOCOL_ALL, start=True):
        super().__init__(path)
        self.features = features
        self.protocol = protocol
        self.owns_memory = memory is None
        self.memory = memory or Memory()
        self.numbers = number_queues(features, numbering)
        self.frames = []
        self.rings = {}
        self.is_indirect = bool(features & INDIRECT_DESC)
        kind = PackedRing if features & PACKED else SplitRing
        gpa = self.memory.regions[0].gpa + FRAME
        for role in self.numbers:
            self.rings[role] = kind(self.memory, gpa, ring_size, bool(features & EVENT_IDX))
            gpa += (Ring.bytes_for(ring_size) + 4095) & ~4095
        assert gpa <= self.memory.regions[0].gpa + FIRST_FRAME * FRAME
        try:
            if start:
                self.start()
        except BaseException:
            self.close()
            raise

    def start(self, bases=None):
        """bases: where to go on, by role; a driver that starts anew has none."""
        self.negotiate(self.features, self.protocol)
        self.set_memory(self.memory)
        for role, ring in self.rings.items():
            if not bases:
                ring.clear()
            self.start_ring(self.numbers[role], ring, bases and bases[role])
        self.settle()

    def settle(self):
        """All that was sent before is done when this returns."""
        self.ask_u64(GET_QUEUE_NUM)

    def close(self):
        super().close()
        for ring in self.rings.values():
            ring.close()
        if self.owns_memory:
            self.memory.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # The driver

    def target(self):
        return struct.unpack("<I", self.read_config(0, 4))[0]

    def write_actual(self, frames=None):
        frames = len(self.frames) if frames is None else frames
        self.write_config(4, struct.pack("<I", frames))
        self.settle()

    def give(self, frames):
        """One request of up to 1024 frames, answered."""
        length = self.rings["inflate"].finish(struct.pack("<%dI" % len(frames), *frames),
                                              self.is_indirect)
        assert length == 0, length

    def inflate(self, frames):
        frames = list(frames)
        for at in range(0, len(frames), 256):
            self.give(frames[at:at + 256])
            self.frames += frames[at:at + 256]
            self.write_actual()

    def deflate(self, frames):
        frames = list(frames)
        for at in range(0, len(frames), 256):
            some = frames[at:at + 256]
            length = self.rings["deflate"].finish(struct.pack("<%dI" % len(some), *some),
                                                  self.is_indirect)
            assert length == 0, length
            gone = set(some)
            self.frames = [frame for frame in self.frames if frame not in gone]
            self.write_actual()

    def give_stats(self, values):
        """values: number by tag. The device keeps the buffer until it wants fresh ones."""
        return self.rings["stats"].give(
            b"".join(struct.pack("<HQ", tag, value) for tag, value in values.items()))

    def send_hint_command(self, command):
        self.rings["hint"].finish(struct.pack("<I", command))

    def hint(self, first, count):
        ring = self.rings["hint"]
        ring.add([(first * FRAME, count * FRAME, 2)])
        ring.kick()
        ring.wait()

    def report(self, *ranges):
        ring = self.rings["reporting"]
        ring.add([(first * FRAME, count * FRAME, 2) for first, count in ranges],
                 self.is_indirect)
        ring.kick()
        ring.wait()


@contextlib.contextmanager
def connected(path):
    front = FrontEnd(path)
    try:
        yield front
    finally:
        front.close()
