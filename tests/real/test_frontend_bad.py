# SPDX-License-Identifier: MIT
"""Front ends that break the protocol, in every way a message can be wrong.

Each time: one line that names message and field, the connection closed, the device alive and
serving, nothing left of the front end (device_case.py sees to the last two)."""

import os
import socket
import struct
import unittest

from device_case import DeviceCase
from frontend import (
    ADD_MEM_REG, CONFIG, FIRST_FRAME, FRAME, GET_CONFIG, GET_FEATURES, GET_MAX_MEM_SLOTS,
    GET_PROTOCOL_FEATURES, GET_QUEUE_NUM, GET_STATUS, GET_VRING_BASE, INBAND, MIB, NEED_REPLY,
    PACKED, PROTOCOL_ALL, PROTOCOL_FEATURES, REM_MEM_REG, REPLY_ACK, RESET_DEVICE, RESET_OWNER,
    SET_BACKEND_REQ_FD, SET_CONFIG, SET_FEATURES, SET_LOG_BASE, SET_LOG_FD, SET_MEM_TABLE,
    SET_OWNER, SET_PROTOCOL_FEATURES, SET_STATUS, SET_VRING_ADDR, SET_VRING_BASE, SET_VRING_CALL,
    SET_VRING_ENABLE, SET_VRING_ERR, SET_VRING_KICK, SET_VRING_NUM, SLOTS, STATUS, USUAL, UVA,
    VERSION, VRING_KICK, Region)

PROTOCOL = PROTOCOL_ALL | STATUS

# Name, smallest and largest payload, fewest and most descriptors, protocol feature needed.
MESSAGES = {
    GET_FEATURES: ("GET_FEATURES", 0, 0, 0, 0, 0),
    SET_FEATURES: ("SET_FEATURES", 8, 8, 0, 0, 0),
    SET_OWNER: ("SET_OWNER", 0, 0, 0, 0, 0),
    RESET_OWNER: ("RESET_OWNER", 0, 0, 0, 0, 0),
    SET_MEM_TABLE: ("SET_MEM_TABLE", 8, 264, 0, 8, 0),
    SET_LOG_BASE: ("SET_LOG_BASE", 8, 16, 0, 1, 0),
    SET_LOG_FD: ("SET_LOG_FD", 0, 8, 0, 1, 0),
    SET_VRING_NUM: ("SET_VRING_NUM", 8, 8, 0, 0, 0),
    SET_VRING_ADDR: ("SET_VRING_ADDR", 40, 40, 0, 0, 0),
    SET_VRING_BASE: ("SET_VRING_BASE", 8, 8, 0, 0, 0),
    GET_VRING_BASE: ("GET_VRING_BASE", 8, 8, 0, 0, 0),
    SET_VRING_KICK: ("SET_VRING_KICK", 8, 8, 0, 1, 0),
    SET_VRING_CALL: ("SET_VRING_CALL", 8, 8, 0, 1, 0),
    SET_VRING_ERR: ("SET_VRING_ERR", 8, 8, 0, 1, 0),
    GET_PROTOCOL_FEATURES: ("GET_PROTOCOL_FEATURES", 0, 0, 0, 0, 0),
    SET_PROTOCOL_FEATURES: ("SET_PROTOCOL_FEATURES", 8, 8, 0, 0, 0),
    GET_QUEUE_NUM: ("GET_QUEUE_NUM", 0, 0, 0, 0, 0),
    SET_VRING_ENABLE: ("SET_VRING_ENABLE", 8, 8, 0, 0, 0),
    SET_BACKEND_REQ_FD: ("SET_BACKEND_REQ_FD", 0, 0, 1, 1, 0),
    GET_CONFIG: ("GET_CONFIG", 12, 268, 0, 0, CONFIG),
    SET_CONFIG: ("SET_CONFIG", 12, 268, 0, 0, CONFIG),
    RESET_DEVICE: ("RESET_DEVICE", 0, 0, 0, 0, 0),
    VRING_KICK: ("VRING_KICK", 8, 8, 0, 0, INBAND),
    GET_MAX_MEM_SLOTS: ("GET_MAX_MEM_SLOTS", 0, 0, 0, 0, SLOTS),
    ADD_MEM_REG: ("ADD_MEM_REG", 40, 40, 1, 1, SLOTS),
    REM_MEM_REG: ("REM_MEM_REG", 40, 40, 0, 1, SLOTS),
    SET_STATUS: ("SET_STATUS", 8, 8, 0, 0, STATUS),
    GET_STATUS: ("GET_STATUS", 0, 0, 0, 0, STATUS),
}

UNSUPPORTED = {
    19: "SEND_RARP", 20: "NET_SET_MTU", 22: "IOTLB_MSG", 23: "SET_VRING_ENDIAN",
    26: "CREATE_CRYPTO_SESSION", 27: "CLOSE_CRYPTO_SESSION", 28: "POSTCOPY_ADVISE",
    29: "POSTCOPY_LISTEN", 30: "POSTCOPY_END", 31: "GET_INFLIGHT_FD", 32: "SET_INFLIGHT_FD",
    33: "GPU_SET_SOCKET", 41: "GET_SHARED_OBJECT", 42: "SET_DEVICE_STATE_FD",
    43: "CHECK_DEVICE_STATE", 44: "GET_SHMEM_CONFIG",
}


def u64(value):
    return struct.pack("<Q", value)


def pair(index, number):
    return struct.pack("<II", index, number)


def addr(index=0, flags=0, desc=UVA, used=UVA + 8192, avail=UVA + 4096):
    return struct.pack("<IIQQQQ", index, flags, desc, used, avail, 0)


def config(offset, size, flags, data):
    return struct.pack("<III", offset, size, flags) + data


def table(*regions, count=None):
    return (struct.pack("<II", len(regions) if count is None else count, 0)
            + b"".join(region.pack() for region in regions))


class BadCase(DeviceCase):
    def setUp(self):
        super().setUp()
        self.file = self.memory(8 * MIB)
        self.event = os.eventfd(0)
        self.addCleanup(os.close, self.event)

    def negotiated(self, front, features=USUAL, protocol=PROTOCOL):
        front.send(SET_PROTOCOL_FEATURES, u64(protocol))
        front.send(SET_FEATURES, u64(features | PROTOCOL_FEATURES))

    def check_closed(self, front, mark, *patterns):
        """The device hung up, and these lines, no others, say why."""
        self.assertTrue(front.is_closed(), "the connection is still open, log:\n"
                        + "\n".join(self.daemon.lines(mark)))
        lines = [line for line in self.daemon.lines(mark) if line != self.CONNECTED]
        self.assertEqual(len(lines), len(patterns), lines)
        for line, pattern in zip(lines, patterns):
            self.assertRegex(line, "^" + pattern + "$")

    CONNECTED = "vhost-user: front end connected"

    def refused(self, request, payload, fds, *patterns, prepare=None, flags=VERSION, size=None):
        """A new front end sends this after prepare(front), and is shut out. A pattern for each
        line; the last is of the message."""
        with self.subTest(message=MESSAGES.get(request, (str(request),))[0],
                          pattern=patterns[-1]), self.connected() as front:
            if prepare:
                prepare(front)
            front.ask_u64(GET_FEATURES)
            mark = self.daemon.mark()
            front.send(request, payload, fds, flags, size)
            *before, last = patterns
            self.check_closed(front, mark, *before, "vhost-user: " + last + "; connection closed")


class Headers(BadCase):
    def test_version_and_flags(self):
        for request, (name, *_) in MESSAGES.items():
            for flags, text in ((0, "version is 0, not 1"), (2, "version is 2, not 1"),
                                (3, "version is 3, not 1"),
                                (5, "flags are 0x5: a reply to no request"),
                                (0x11, "flags are 0x11: unknown ones"),
                                (0x80000001, "flags are 0x80000001: unknown ones")):
                self.refused(request, b"", (), "%s: %s" % (name, text), flags=flags,
                             prepare=self.negotiated)

    def test_sizes(self):
        for request, (name, low, high, _, _, feature) in MESSAGES.items():
            if feature == INBAND:
                continue
            sizes = [high + 1, 0xFFFF, 0xFFFFFFFF] + ([low - 1, 0] if low else [])
            for size in sizes:
                text = "%s: size is %d, not %d to %d" % (name, size, low, high)
                self.refused(request, b"", (), text, size=size, prepare=self.negotiated)

    def test_descriptors(self):
        for request, (name, low, _, fds_min, fds_max, feature) in MESSAGES.items():
            if feature == INBAND:
                continue
            counts = [fds_max + 1, 8] if fds_max < 8 else []
            for count in counts + ([0] if fds_min else []):
                text = "%s: %d descriptors, not %d to %d" % (name, count, fds_min, fds_max)
                self.refused(request, bytes(low), [self.file.fd] * count, text,
                             prepare=self.negotiated)
            self.refused(request, bytes(low), [self.file.fd] * 9,
                         "more than 8 descriptors in a message, or no room for them",
                         prepare=self.negotiated)

    def test_descriptors_in_pieces(self):
        """Nine of them, some with each part of a message."""
        with self.connected() as front:
            front.ask_u64(GET_FEATURES)
            mark = self.daemon.mark()
            message = struct.pack("<III", SET_MEM_TABLE, VERSION, 264) + bytes(264)
            for i in range(3):
                front.send_bytes(message[i * 4:i * 4 + 4], [self.file.fd] * 3)
            self.check_closed(front, mark,
                              "vhost-user: .*more than 8 descriptors.*; connection closed")

    def test_before_its_feature_is_negotiated(self):
        for request, (name, low, _, fds_min, _, feature) in MESSAGES.items():
            if not feature:
                continue
            bit = feature.bit_length() - 1
            self.refused(request, bytes(low), [self.file.fd] * fds_min,
                         "%s: protocol feature %d is not negotiated" % (name, bit),
                         prepare=lambda front, without=feature: self.negotiated(
                             front, protocol=PROTOCOL & ~without))

    def test_unknown(self):
        for request, name in UNSUPPORTED.items():
            self.refused(request, bytes(8), (), name + ": not supported, and never offered",
                         prepare=self.negotiated)
        for request in (0, 45, 46, 255, 256, 0x01000001, 0xFFFFFFFF):
            self.refused(request, bytes(8), (), "message %d: unknown request" % request,
                         prepare=self.negotiated)

    def test_cut_short(self):
        """The front end leaves within a message, with descriptors on their way."""
        message = struct.pack("<III", SET_MEM_TABLE, VERSION, 40) + self.file.table()
        for length in (1, 4, 11, 12, 13, 51):
            with self.subTest(length=length), self.connected() as front:
                front.ask_u64(GET_FEATURES)
                mark = self.daemon.mark()
                front.send_bytes(message[:length], [self.file.fd])
                front.socket.shutdown(socket.SHUT_WR)
                self.check_closed(front, mark,
                                  "vhost-user: front end disconnected within a message")


class Fields(BadCase):
    def running(self, front, features=USUAL):
        """A ring 0 that runs, on memory that is there."""
        self.negotiated(front, features)
        front.set_memory(self.file)
        front.send(SET_VRING_NUM, pair(0, 16))
        front.send(SET_VRING_ADDR, addr())
        front.send(SET_VRING_KICK, u64(0), [self.event])
        front.send(SET_VRING_ENABLE, pair(0, 1))

    def test_features(self):
        self.refused(SET_FEATURES, u64(1 << 50), (),
                     r"SET_FEATURES: features are 0x4000000000000, of which 0x4000000000000 were "
                     "not offered")
        self.refused(SET_FEATURES, u64(USUAL | 1 << 26), (),
                     "SET_FEATURES: features are 0x13400002b, of which 0x4000000 were not offered")
        self.refused(SET_FEATURES, u64(USUAL ^ 2 | PROTOCOL_FEATURES), (),
                     "SET_FEATURES: features change to 0x130000029 while ring 0 runs",
                     prepare=self.running)
        self.refused(SET_PROTOCOL_FEATURES, u64(1 << 40), (),
                     "SET_PROTOCOL_FEATURES: features are 0x10000000000, of which 0x10000000000 "
                     "were not offered")
        self.refused(SET_PROTOCOL_FEATURES, u64(INBAND | REPLY_ACK), (),
                     "SET_PROTOCOL_FEATURES: features are 0x4008, of which 0x4000 were not offered")

    def test_ring_indices(self):
        there = ", there are 5 rings"
        for index in (5, 6, 255, 0x80000000, 0xFFFFFFFF):
            for request in (SET_VRING_NUM, SET_VRING_BASE, GET_VRING_BASE, SET_VRING_ENABLE):
                self.refused(request, pair(index, 1), (), "%s: index is %d%s"
                             % (MESSAGES[request][0], index, there), prepare=self.negotiated)
            self.refused(SET_VRING_ADDR, addr(index), (),
                         "SET_VRING_ADDR: index is %d%s" % (index, there))
        for request in (SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR):
            name = MESSAGES[request][0]
            for index in (5, 255):
                self.refused(request, u64(index), [self.event], "%s: index is %d%s"
                             % (name, index, there))
            for word in (1 << 9, 1 << 63, 0x200):
                self.refused(request, u64(word), [self.event],
                             "%s: value is %#x: unknown bits" % (name, word))
            self.refused(request, u64(1), (),
                         name + ": value is 0x1 and there are 0 descriptors")
            self.refused(request, u64(0x101), [self.event],
                         name + ": value is 0x101 and there are 1 descriptors")

    def test_ring_sizes_and_bases(self):
        for size in (0, 32769, 0xFFFFFFFF):
            self.refused(SET_VRING_NUM, pair(0, size), (),
                         "SET_VRING_NUM: num is %d, not 1 to 32768" % size)
        self.refused(SET_VRING_NUM, pair(0, 24), (), "SET_VRING_NUM: num is 24, not a power of two")
        self.refused(SET_VRING_BASE, pair(0, 0x10000), (),
                     "SET_VRING_BASE: num is 0x10000, a split ring has 16 bits")
        self.refused(SET_VRING_ENABLE, pair(0, 2), (), "SET_VRING_ENABLE: num is 2, not 0 or 1")
        for request, payload in ((SET_VRING_NUM, pair(0, 32)), (SET_VRING_BASE, pair(0, 1)),
                                 (SET_VRING_ADDR, addr(desc=UVA + 65536))):
            self.refused(request, payload, (), MESSAGES[request][0] + ": ring 0 runs",
                         prepare=self.running)

    def packed(self, front):
        self.negotiated(front, USUAL | PACKED)
        front.set_memory(self.file)
        front.send(SET_VRING_NUM, pair(0, 24))
        front.send(SET_VRING_ADDR, addr())

    def test_packed_base_outside_the_ring(self):
        for base in (24, 24 << 16, 0x7FFF, 0xFFFF0000 | 0x8000):
            def prepare(front, base=base):
                self.packed(front)
                front.send(SET_VRING_BASE, pair(0, base))
            self.refused(SET_VRING_KICK, u64(0), [self.event],
                         "SET_VRING_KICK: ring 0 does not start: .*", prepare=prepare)

    def test_ring_addresses(self):
        for wrong, text in ((dict(desc=UVA + 8), "descriptor is 0x7f0000000008: misaligned"),
                            (dict(avail=UVA + 1), "available is 0x7f0000000001: misaligned"),
                            (dict(used=UVA + 2), "used is 0x7f0000000002: misaligned"),
                            (dict(flags=2), "flags are 0x2: unknown ones")):
            self.refused(SET_VRING_ADDR, addr(**wrong), (), "SET_VRING_ADDR: " + text)
        end = UVA + 8 * MIB
        for place in (dict(desc=UVA - 4096), dict(desc=end - 128), dict(avail=end - 36),
                      dict(used=end - 128), dict(used=0), dict(desc=(1 << 64) - 256),
                      dict(avail=(1 << 64) - 2)):
            def prepare(front, place=place):
                self.negotiated(front)
                front.set_memory(self.file)
                front.send(SET_VRING_NUM, pair(0, 16))
                front.send(SET_VRING_ADDR, addr(**place))
            self.refused(SET_VRING_KICK, u64(0), [self.event],
                         "SET_VRING_KICK: ring 0 does not start: .*", prepare=prepare)

    def test_config(self):
        for request in (GET_CONFIG, SET_CONFIG):
            name = MESSAGES[request][0]
            for payload, text in (
                    (config(0, 4, 2, bytes(4)), "flags are 0x2, not 0 or 1"),
                    (config(0, 0, 0, b""), "0 bytes from offset 0 on, the space has 256"),
                    (config(0, 257, 0, bytes(256)),
                     "257 bytes from offset 0 on, the space has 256"),
                    (config(250, 8, 0, bytes(8)), "8 bytes from offset 250 on, the space has 256"),
                    (config(0xFFFFFFFF, 2, 0, bytes(2)),
                     "2 bytes from offset 4294967295 on, the space has 256"),
                    (config(0, 0xFFFFFFFF, 0, bytes(2)),
                     "4294967295 bytes from offset 0 on, the space has 256"),
                    (config(0, 8, 0, bytes(4)), "size is 16, 8 bytes were (asked for|announced)")):
                self.refused(request, payload, (), name + ": " + text, prepare=self.negotiated)
        self.refused(SET_CONFIG, config(0, 4, 0, b""), (),
                     "SET_CONFIG: size is 12, 4 bytes were announced", prepare=self.negotiated)
        self.refused(SET_CONFIG, config(14, 4, 0, bytes(4)), (), "SET_CONFIG: .*",
                     prepare=self.negotiated)

    def test_status(self):
        self.refused(SET_STATUS, u64(256), (), "SET_STATUS: status is 0x100, not a byte",
                     prepare=self.negotiated)
        self.refused(SET_STATUS, u64((1 << 64) - 1), (),
                     "SET_STATUS: status is 0xffffffffffffffff, not a byte",
                     prepare=self.negotiated)

    def test_back_end_channel(self):
        self.refused(SET_BACKEND_REQ_FD, b"", [self.event],
                     "SET_BACKEND_REQ_FD: the descriptor is not a socket")

    def test_refusals_are_limited(self):
        """Each is answered; who does not learn is shut out, and the log stays short."""
        region = bytes(8) + Region(0, 4097).pack()
        with self.connected() as front:
            self.negotiated(front)
            for _ in range(100):
                self.assertEqual(front.order(ADD_MEM_REG, region, [self.file.fd]), 1)
            mark = self.daemon.mark()
            front.send(ADD_MEM_REG, region, [self.file.fd], VERSION | NEED_REPLY)
            self.check_closed(front, mark, "guest memory: .*", "vhost-user: ADD_MEM_REG: .*",
                              "vhost-user: ADD_MEM_REG: more than 100 messages were refused; "
                              "connection closed")
            self.assertLess(len(self.lines()), 210)


class MemoryTables(BadCase):
    def bad_table(self, text, *regions, fds=None):
        """Refused with one line about the region and one about the message."""
        fds = [self.file.fd] * len(regions) if fds is None else fds
        line = "guest memory: region at (0x)?[0-9a-f]+, (0x)?[0-9a-f]+ bytes: " + text
        self.refused(SET_MEM_TABLE, table(*regions), fds, line, "SET_MEM_TABLE: invalid argument",
                     prepare=self.negotiated)
        if len(regions) == 1:
            self.refused(ADD_MEM_REG, bytes(8) + regions[0].pack(), fds, line,
                         "ADD_MEM_REG: invalid argument", prepare=self.negotiated)

    def test_counts(self):
        for count in (0, 9, 0xFFFFFFFF):
            self.refused(SET_MEM_TABLE, table(count=count), (),
                         "SET_MEM_TABLE: %d regions, not 1 to 8" % count)
        self.refused(SET_MEM_TABLE, table(Region(0, FRAME), count=2), [self.file.fd] * 2,
                     "SET_MEM_TABLE: size is 40, 2 regions need 72")
        self.refused(SET_MEM_TABLE, table(Region(0, FRAME)), (),
                     "SET_MEM_TABLE: 0 descriptors for 1 regions")
        self.refused(SET_MEM_TABLE, table(Region(0, FRAME)), [self.file.fd] * 2,
                     "SET_MEM_TABLE: 2 descriptors for 1 regions")

    def test_numbers(self):
        size = 8 * MIB
        self.bad_table("size is 0", Region(0, 0))
        self.bad_table("size is 0x1001", Region(0, 4097))
        self.bad_table("size is 0xf+000", Region(0, (1 << 64) - FRAME))
        self.bad_table("guest address is 0x800", Region(0x800, FRAME))
        self.bad_table("guest address is 0xf+000", Region((1 << 64) - FRAME, FRAME, UVA))
        self.bad_table("user address is 0xf+000", Region(0, 2 * FRAME, (1 << 64) - FRAME))
        self.bad_table("offset is 0x1", Region(0, FRAME, UVA, 1))
        self.bad_table("offset is 0xf+000", Region(0, FRAME, UVA, (1 << 64) - FRAME))
        self.bad_table("offset is 0x7f+000", Region(0, 2 * FRAME, UVA, (1 << 63) - FRAME))
        self.bad_table("the file has 0x800000 bytes, the region ends at 0x801000",
                       Region(0, size + FRAME))
        self.bad_table("the file has 0x800000 bytes, the region ends at 0x801000",
                       Region(0, FRAME, UVA, size))

    def test_overlaps(self):
        one = Region(0, 2 * MIB, UVA)
        for other in (Region(MIB, 2 * MIB, UVA + (1 << 40)), Region(0, FRAME, UVA + (1 << 40)),
                      Region(4 * MIB, MIB, UVA + MIB), Region(4 * MIB, 4 * MIB, UVA - MIB)):
            self.bad_table("overlaps another region", one, other)
            self.bad_table("overlaps another region", other, one)
        self.refused(ADD_MEM_REG, bytes(8) + Region(MIB, MIB, UVA + (1 << 40)).pack(),
                     [self.file.fd], "guest memory: .* overlaps another region",
                     "ADD_MEM_REG: invalid argument",
                     prepare=lambda front: (self.negotiated(front), front.set_memory(self.file)))

    def test_removal_of_another_region(self):
        for region in (Region(0, 4 * MIB), Region(FRAME, 8 * MIB), Region(0, 8 * MIB, UVA + 1)):
            self.refused(REM_MEM_REG, bytes(8) + region.pack(), (), "REM_MEM_REG: .*",
                         prepare=lambda front: (self.negotiated(front),
                                                front.set_memory(self.file)))

    def test_descriptors_that_are_no_files(self):
        ends = [end.detach() for end in socket.socketpair()]
        others = [os.eventfd(0), *os.pipe(), *ends, os.open("/tmp", os.O_RDONLY),
                  os.open("/dev/zero", os.O_RDWR), os.open("/tmp", os.O_PATH), os.pidfd_open(1)]
        for fd in others:
            self.addCleanup(os.close, fd)
        for fd in others:
            self.bad_table(r"the descriptor is not a regular file \(mode 0?\d*\)",
                           Region(0, FRAME), fds=[fd])

    def test_file_that_cannot_be_written(self):
        read_only = os.open("/proc/self/fd/%d" % self.file.fd, os.O_RDONLY)
        path_only = os.open("/proc/self/fd/%d" % self.file.fd, os.O_PATH)
        for fd in (read_only, path_only):
            self.addCleanup(os.close, fd)
            self.bad_table("the file is not open for reading and writing", Region(0, FRAME),
                           fds=[fd])

    def test_refused_table_leaves_the_old_one(self):
        guest = self.guest()
        guest.inflate(range(FIRST_FRAME, FIRST_FRAME + 100))
        bad = table(Region(0, FRAME), Region(0, FRAME, UVA + (1 << 40)))
        self.assertEqual(guest.order(SET_MEM_TABLE, bad, [guest.memory.fd] * 2), 1)
        self.check_inflates(guest, range(FIRST_FRAME + 200, FIRST_FRAME + 300))


class Channel(BadCase):
    """What comes on the back-end channel ends the channel, not the connection."""

    def check(self, data, text):
        with self.subTest(data=data.hex()), self.guest() as guest:
            mark = self.daemon.mark()
            guest.channel.sendall(data)
            self.daemon.wait_line("vhost-user: back-end channel: " + text, mark)
            self.check_round(guest, range(FIRST_FRAME, FIRST_FRAME + 100))
            self.assertEqual(len(self.daemon.lines(mark)), 1)

    def test_nonsense(self):
        def reply(*fields):
            return struct.pack("<IIIQ", *fields)

        self.check(reply(2, 1, 8, 0), "not a reply of version 1; channel closed")
        self.check(reply(2, 6, 8, 0), "not a reply of version 1; channel closed")
        self.check(reply(2, 5, 4, 0), "a reply is not 8 bytes long; channel closed")
        self.check(reply(4, 5, 8, 0), "a reply to no request; channel closed")
        self.check(os.urandom(64), ".*; channel closed")

    def test_acknowledgements_nobody_wants_are_borne(self):
        with self.guest() as guest:
            for _ in range(100):
                guest.channel.sendall(struct.pack("<IIIQ", 2, 5, 8, 0))
            self.daemon.target(MIB)
            guest.wait_change()

    def test_channel_that_nobody_reads(self):
        """Changes of the configuration become one; nothing waits for the front end."""
        with self.guest() as guest:
            for size in range(20000):
                self.daemon.control.start("target", bytes=size % 64 * MIB)
                self.assertTrue(self.daemon.control.read()["ok"])
            guest.settle()
            self.check_round(guest, range(FIRST_FRAME, FIRST_FRAME + 100))

    def test_channel_is_closed(self):
        with self.guest() as guest:
            guest.channel.close()
            self.daemon.wait_line("back-end channel: the front end closed it", self.mark)
            self.daemon.target(MIB)
            self.check_round(guest, range(FIRST_FRAME, FIRST_FRAME + 100))
            guest.channel = None
            guest.open_channel()
            self.daemon.target(2 * MIB)
            # Told of once for the time in between, perhaps.
            guest.wait_change()
            self.assertEqual(guest.target(), 512)


class BrokenRings(BadCase):
    """What a driver breaks in a ring stops that ring, not the connection."""

    def check(self, text, break_it, features=USUAL):
        for kind in (0, PACKED):
            with self.subTest(text=text, packed=bool(kind)), \
                    self.guest(features | kind, protocol=PROTOCOL) as guest:
                guest.send(SET_STATUS, u64(15))
                guest.inflate(range(FIRST_FRAME, FIRST_FRAME + 10))
                mark = self.daemon.mark()
                ring = guest.rings["inflate"]
                if break_it(guest, ring) is False:
                    continue
                ring.force_kick()
                self.daemon.wait_line("ring 0 is broken: " + text, mark)
                guest.settle()
                self.assertEqual(len(self.daemon.lines(mark)), 1)
                self.assertTrue(ring.has_error())
                self.assertTrue(guest.ask_u64(GET_STATUS) & 64, "the device needs a reset")
                self.assertRegex(self.daemon.status()["queues"][0]["fault_text"], text)
                # The others go on.
                guest.deflate(range(FIRST_FRAME, FIRST_FRAME + 10))

    def test_buffer_outside_memory(self):
        for gpa in (64 * MIB, 64 * MIB - 4, 1 << 50, (1 << 64) - 8):
            def break_it(_, ring, gpa=gpa):
                ring.add([(gpa, 8, 0)])
            self.check("a buffer outside guest memory", break_it)

    def test_indirect_tables(self):
        text = "an indirect table that is not allowed|a buffer outside guest memory"
        for gpa, length in ((4096, 15), (4096, 0), ((1 << 64) - 16, 32), (128 * MIB, 16)):
            def break_it(_, ring, gpa=gpa, length=length):
                ring.add([(gpa, length, 4)])
            self.check(text, break_it)
        # Not negotiated.
        self.check("an indirect table that is not allowed",
                   lambda _, ring: ring.add([(4096, 16, 4)]) and None, USUAL & ~(1 << 28))

    def test_nested_table(self):
        def break_it(_, ring):
            if ring.is_packed:
                return False
            ring.add([(ring.slots, 16, 4)], indirect=True)
            return True
        self.check("an indirect table that is not allowed", break_it)

    def test_readable_after_writable(self):
        """A hint is such a chain turned round."""
        with self.guest() as guest:
            ring = guest.rings["hint"]
            ring.add([(FIRST_FRAME * FRAME, FRAME, 2), (ring.slots, 4, 0)])
            ring.force_kick()
            self.daemon.wait_line("ring 3 is broken: a readable buffer after a writable one",
                                  self.mark)

    def test_chain_without_end(self):
        def loop(_, ring):
            if ring.is_packed:
                return False
            ring.memory.pack("<QIHH", ring.desc, ring.slots, 4, 1, 1)
            ring.memory.pack("<QIHH", ring.desc + 16, ring.slots, 4, 1, 0)
            ring.offer(0)
            return True
        self.check("a chain without end", loop)

    def test_index_beyond_the_ring(self):
        def jump(_, ring):
            if ring.is_packed:
                return False
            ring.put16(ring.driver + 2, ring.avail + ring.size + 1)
            return True
        self.check("more chains available than the ring holds", jump)

    def test_descriptor_beyond_the_ring(self):
        def beyond(_, ring):
            if ring.is_packed:
                return False
            ring.offer(ring.size)
            return True
        self.check("a descriptor index or buffer id out of bounds", beyond)

    def test_reset_mends_it(self):
        guest = self.guest(protocol=PROTOCOL)
        guest.send(SET_STATUS, u64(15))
        guest.rings["inflate"].add([(1 << 50, 8, 0)])
        guest.rings["inflate"].kick()
        self.daemon.wait_line("ring 0 is broken", self.mark)
        guest.send(RESET_DEVICE)
        guest.send(SET_FEATURES, u64(USUAL | PROTOCOL_FEATURES))
        for role, ring in guest.rings.items():
            ring.clear()
            ring.go_on(0)
            guest.start_ring(guest.numbers[role], ring)
        guest.send(SET_STATUS, u64(15))
        guest.settle()
        self.check_round(guest, range(FIRST_FRAME, FIRST_FRAME + 100))


if __name__ == "__main__":
    unittest.main()
