# SPDX-License-Identifier: MIT
"""Front ends that keep to the protocol: every message, every kind of ring and memory."""

import itertools
import os
import select
import struct
import unittest

from daemon import Daemon, until
from device_case import DeviceCase
from frontend import (
    ADD_MEM_REG, EVENT_IDX, FIRST_FRAME, FRAME, GET_CONFIG, GET_FEATURES,
    GET_MAX_MEM_SLOTS, GET_PROTOCOL_FEATURES, GET_QUEUE_NUM, GET_STATUS, GET_VRING_BASE, HINT,
    IN_ORDER, INDIRECT_DESC, MIB, MUST_TELL_HOST, ON_OOM, PACKED, POISON, PROTOCOL_ALL,
    PROTOCOL_FEATURES, REM_MEM_REG, REPORTING, RESET_DEVICE, RESET_OWNER, SET_CONFIG, SET_FEATURES,
    SET_LOG_BASE, SET_LOG_FD, SET_MEM_TABLE, SET_OWNER, SET_PROTOCOL_FEATURES, SET_STATUS,
    SET_VRING_ADDR, SET_VRING_BASE, SET_VRING_CALL, SET_VRING_ENABLE, SET_VRING_ERR,
    SET_VRING_KICK, SET_VRING_NUM, STATS, STATUS, USUAL, UVA, VERSION, VERSION_1, FrontEnd, Guest,
    Memory, Region, connected)

OFFERED = (MUST_TELL_HOST | STATS | ON_OOM | HINT | POISON | REPORTING | INDIRECT_DESC | EVENT_IDX
           | VERSION_1 | PACKED | IN_ORDER | PROTOCOL_FEATURES)
FRAMES = range(FIRST_FRAME, FIRST_FRAME + 2048)


class Messages(DeviceCase):
    def test_questions(self):
        with self.connected() as front:
            self.assertEqual(front.ask_u64(GET_FEATURES), OFFERED)
            offered = front.ask_u64(GET_PROTOCOL_FEATURES)
            # BACKEND_SEND_FD (10) too; in-band notifications are off.
            self.assertEqual(offered, PROTOCOL_ALL | STATUS | 1 << 10)
            self.assertEqual(front.ask_u64(GET_QUEUE_NUM), 5)
            front.send(SET_PROTOCOL_FEATURES, struct.pack("<Q", offered))
            self.assertEqual(front.ask_u64(GET_MAX_MEM_SLOTS), 32)
            self.assertEqual(front.ask_u64(GET_STATUS), 0)
            self.assertEqual(front.read_config(0, 256), bytes(256))
            # A question that also wants an acknowledgement has one answer.
            front.send(GET_FEATURES, flags=VERSION | 8)
            self.assertEqual(front.receive()[2], struct.pack("<Q", OFFERED))
            self.assertEqual(front.ask_u64(GET_FEATURES), OFFERED)

    def test_every_order_is_acknowledged(self):
        """Also that descriptors that nobody needs are not kept: check_idle() counts."""
        memory = self.memory(fd=None)
        ring = memory.fd
        fds = [os.eventfd(0) for _ in range(3)]
        for fd in fds:
            self.addCleanup(os.close, fd)
        u64 = lambda value: struct.pack("<Q", value)
        pair = lambda index, number: struct.pack("<II", index, number)
        addr = struct.pack("<IIQQQQ", 0, 1, UVA, UVA + 8192, UVA + 4096, 7)
        region = bytes(8) + Region(1 << 40, MIB, UVA - (1 << 30)).pack()
        orders = [
            (SET_PROTOCOL_FEATURES, u64(PROTOCOL_ALL | STATUS), ()),
            (SET_OWNER, b"", ()), (SET_FEATURES, u64(USUAL | PROTOCOL_FEATURES), ()),
            (SET_LOG_BASE, u64(0) + u64(0), [memory.fd]), (SET_LOG_FD, b"", fds[:1]),
            (SET_LOG_BASE, u64(0), ()), (SET_LOG_FD, u64(0), ()),
            (SET_VRING_NUM, pair(0, 256), ()), (SET_VRING_BASE, pair(0, 0), ()),
            (SET_VRING_ADDR, addr, ()), (SET_VRING_CALL, u64(0), fds[:1]),
            (SET_VRING_CALL, u64(0x100), ()), (SET_VRING_CALL, u64(0), fds[:1]),
            (SET_VRING_ERR, u64(0), fds[1:2]), (SET_VRING_ERR, u64(0x100), ()),
            (SET_MEM_TABLE, memory.table(), [ring]), (SET_VRING_KICK, u64(0), fds[2:]),
            (SET_VRING_ENABLE, pair(0, 1), ()), (SET_VRING_ADDR, addr, ()),
            (SET_CONFIG, struct.pack("<IIII", 4, 4, 0, 0), ()),
            (SET_CONFIG, struct.pack("<IIII", 4, 4, 1, 0), ()),
            (ADD_MEM_REG, region, [memory.fd]), (REM_MEM_REG, region, ()),
            (ADD_MEM_REG, region, [memory.fd]), (REM_MEM_REG, region, [memory.fd]),
            (SET_STATUS, u64(1 | 2 | 8 | 4), ()), (SET_VRING_ENABLE, pair(0, 0), ()),
            (RESET_OWNER, b"", ()), (RESET_DEVICE, b"", ()), (SET_STATUS, u64(0), ()),
        ]
        with self.connected() as front:
            for request, payload, descriptors in orders:
                with self.subTest(request=request, payload=payload.hex()):
                    self.assertEqual(front.order(request, payload, descriptors), 0)
            self.assertEqual(struct.unpack("<II", front.ask(GET_VRING_BASE, pair(0, 0))), (0, 0))
        self.daemon.wait_line("front end disconnected", self.mark)
        self.assertEqual([line for line in self.lines() if "closed" in line], [])

    def test_one_byte_at_a_time(self):
        memory = self.memory()
        stream = []
        with self.connected() as front:
            front.send_bytes = lambda data, fds=(): stream.append((data, fds))
            front.send(GET_FEATURES)
            front.send(SET_PROTOCOL_FEATURES, struct.pack("<Q", PROTOCOL_ALL))
            front.send(SET_FEATURES, struct.pack("<Q", USUAL | PROTOCOL_FEATURES))
            front.set_memory(memory)
            front.send(GET_CONFIG, struct.pack("<III", 0, 16, 0) + bytes(16))
            del front.send_bytes
            for data, fds in stream:
                for i in range(len(data)):
                    front.send_bytes(data[i:i + 1], fds if i == 0 else ())
            self.assertEqual(front.receive()[0], GET_FEATURES)
            self.assertEqual(front.receive()[0], GET_CONFIG)
            self.assertEqual(self.daemon.status()["guest_memory_bytes"], memory.size)

    def test_many_messages_in_one_piece(self):
        with self.connected() as front:
            front.send_bytes(struct.pack("<III", GET_FEATURES, 1, 0) * 500)
            for _ in range(500):
                self.assertEqual(front.receive()[0], GET_FEATURES)

    def test_config_space(self):
        self.daemon.target(3 * MIB)
        with self.guest() as guest:
            self.assertEqual(guest.config(), (768, 0, 0, 0))
            self.assertEqual(guest.read_config(3, 6), bytes(6))
            self.assertEqual(guest.read_config(0, 3), struct.pack("<I", 768)[:3])
            self.assertEqual(guest.read_config(14, 8), bytes(8))
            # Byte by byte counts with the last; the device's own fields are not the driver's.
            for i, byte in enumerate(struct.pack("<I", 0x01020304)):
                guest.write_config(4 + i, bytes([byte]))
                guest.settle()
                actual = self.daemon.status()["actual_bytes"]
                self.assertEqual(actual, 0x01020304 * FRAME if i == 3 else 0)
            guest.write_config(0, struct.pack("<IIII", 9, 5, 8, 0xAA))
            self.assertEqual(guest.config(), (768, 5, 0, 0xAA))
            self.assertEqual(self.daemon.status()["poison_value"], 0xAA)

    def test_target_is_told(self):
        with self.guest() as guest:
            for size in (1, 200, 0, 63):
                self.daemon.target(size * MIB)
                guest.wait_change()
                self.assertEqual(guest.target(), min(size, 64) * 256)
            answer = self.daemon.target(1 << 50)
            self.assertEqual((answer["target_bytes"], answer["clamped_by"],
                              answer["clamped_from_bytes"]),
                             (64 * MIB, "guest_memory", 1 << 50))

    def plain_guest(self):
        """A front end that does not accept PROTOCOL_FEATURES, and so does not enable rings: they
        run when they are started."""
        guest = self.guest(start=False)
        guest.send(SET_OWNER)
        self.start_plainly(guest)
        return guest

    def start_plainly(self, guest):
        guest.send(SET_FEATURES, struct.pack("<Q", USUAL))
        guest.set_memory(guest.memory)
        guest.enable_ring = lambda *_: None
        guest.write_actual = guest.settle
        for role, ring in guest.rings.items():
            ring.clear()
            ring.go_on(0)
            guest.start_ring(guest.numbers[role], ring)

    def test_front_end_without_protocol_features(self):
        guest = self.plain_guest()
        guest.inflate(FRAMES)
        self.assertEqual(self.daemon.status()["ledger_bytes"], len(FRAMES) * FRAME)

    def test_driver_that_goes_without_protocol_features(self):
        """UML disables no rings then, and asks for the features. What it held is not written to
        any more: it may be somebody else's."""
        guest = self.plain_guest()
        guest.inflate(FRAMES)
        guest.give_stats({4: 4})
        until(lambda: self.daemon.counters()["stats_buffers"], "the buffer was read")
        self.assertEqual(guest.ask_u64(GET_FEATURES), OFFERED)
        rings = guest.memory.read(0, FIRST_FRAME * FRAME)
        self.assertEqual(self.daemon.ask("stats", timeout_ms=100)["reason"], "no_driver")
        for ring in guest.rings.values():
            ring.force_kick()
        guest.settle()
        self.assertEqual(guest.memory.read(0, FIRST_FRAME * FRAME), rings)
        # It comes again.
        guest.frames = []
        self.start_plainly(guest)
        guest.settle()
        self.assertEqual(self.daemon.status()["ledger_bytes"], 0)
        guest.inflate(FRAMES)
        self.assertEqual(self.daemon.status()["ledger_bytes"], len(FRAMES) * FRAME)

    def test_second_front_end_waits(self):
        with self.guest() as first:
            second = FrontEnd(self.daemon.socket_path)
            self.addCleanup(second.close)
            second.send(GET_FEATURES)
            self.daemon.wait_line("another front end waits", self.mark)
            self.assertFalse(select.select([second.socket], [], [], 0.2)[0])
            self.check_round(first, FRAMES)
            first.socket.shutdown(2)
            self.assertEqual(second.receive()[2], struct.pack("<Q", OFFERED))
            second.close()

    def test_status(self):
        """A driver is there when a ring is up: QEMU's generic device stops at FEATURES_OK."""
        guest = self.guest(protocol=PROTOCOL_ALL | STATUS)
        guest.send(SET_STATUS, struct.pack("<Q", 1 | 2 | 8))
        guest.inflate([FIRST_FRAME])
        self.assertEqual(guest.ask_u64(GET_STATUS), 15)
        self.assertEqual(self.daemon.status()["ledger_bytes"], FRAME)
        # QEMU pauses a machine this way: the balloon is as full as before.
        guest.send(SET_STATUS, struct.pack("<Q", 0))
        guest.settle()
        status = self.daemon.status()
        self.assertEqual((status["is_live"], status["ledger_bytes"]), (False, FRAME))
        self.assertEqual(guest.ask_u64(GET_STATUS), 0)
        guest.send(RESET_DEVICE)
        guest.settle()
        self.assertEqual(self.daemon.status()["ledger_bytes"], 0)

    def test_reset_device(self):
        guest = self.guest()
        guest.inflate(FRAMES)
        guest.send(RESET_DEVICE)
        guest.settle()
        status = self.daemon.status()
        self.assertEqual((status["ledger_bytes"], status["actual_bytes"], status["is_live"]),
                         (0, 0, False))
        self.assertEqual(status["features"], [])
        # The same connection goes on with a new driver.
        guest.frames = []
        guest.send(SET_FEATURES, struct.pack("<Q", USUAL | PROTOCOL_FEATURES))
        for role, ring in guest.rings.items():
            ring.clear()
            ring.avail = ring.used = 0
            guest.start_ring(guest.numbers[role], ring)
        self.check_round(guest, FRAMES)


class Rings(DeviceCase):
    def formats(self):
        for kind, indirect, event, order in itertools.product(
                (0, PACKED), (0, INDIRECT_DESC), (0, EVENT_IDX), (0, IN_ORDER)):
            yield MUST_TELL_HOST | VERSION_1 | kind | indirect | event | order

    def test_every_format(self):
        for features in self.formats():
            for size in (2, 16) + ((5,) if features & PACKED else ()):
                with self.subTest(features=hex(features), size=size), \
                        self.guest(features, ring_size=size) as guest:
                    self.check_round(guest, range(FIRST_FRAME, FIRST_FRAME + 1100))

    def test_many_requests_at_once(self):
        """A full ring, several laps of it; buffers of several parts, cut anywhere."""
        for features in self.formats():
            if features & PACKED and features & INDIRECT_DESC:
                continue
            with self.subTest(features=hex(features)), \
                    self.guest(features & ~INDIRECT_DESC) as guest:
                self.flood_ring(guest, 40)

    def flood_ring(self, guest, laps):
        ring = guest.rings["inflate"]
        frame = FIRST_FRAME
        for _ in range(laps):
            for _ in range(4):
                data = struct.pack("<8I", *range(frame, frame + 8))
                frame += 8
                at = ring.slots + ring.free[-1] * 4096
                guest.memory.write(at, data)
                # 32 bytes in parts of 3, 0, 21 and 8.
                ring.add([(at, 3, 0), (at + 3, 0, 0), (at + 3, 21, 0), (at + 24, 8, 0)])
            ring.kick()
            for _ in range(4):
                ring.wait()
        held = self.daemon.status()["ledger_bytes"]
        self.assertEqual(held, (frame - FIRST_FRAME) * FRAME)
        self.assertEqual(self.daemon.status()["queues"][0]["fault_text"], None)

    def test_long_requests(self):
        """More numbers than any driver sends, in one buffer and in many."""
        for features in (USUAL, USUAL | PACKED):
            with self.subTest(features=hex(features)), self.guest(features) as guest:
                ring = guest.rings["inflate"]
                frames = range(FIRST_FRAME, FIRST_FRAME + 6000)
                at = (FIRST_FRAME - 16) * FRAME
                guest.memory.write(at, struct.pack("<6000I", *frames))
                ring.add([(at + i * 400, 400, 0) for i in range(60)], indirect=True)
                ring.kick()
                ring.wait()
                self.assertEqual(self.daemon.status()["ledger_bytes"], 6000 * FRAME)
                guest.rings["deflate"].add([(at, 24000, 0)])
                guest.rings["deflate"].kick()
                guest.rings["deflate"].wait()
                self.assertEqual(self.daemon.status()["ledger_bytes"], 0)

    def test_largest_ring(self):
        for features in (USUAL, USUAL | PACKED):
            memory = self.memory(256 * MIB)
            features &= ~(STATS | HINT | REPORTING)
            with self.subTest(features=hex(features)), \
                    self.guest(features, memory, start=False) as guest:
                self.replace_rings(guest, 32768)
                guest.start()
                for _ in range(3):
                    guest.inflate(range(60000, 60100))
                    guest.deflate(range(60000, 60100))

    @staticmethod
    def replace_rings(guest, size):
        """Rings without slots of their own for each entry: they would not fit."""
        for number, role in enumerate(guest.rings):
            old = guest.rings[role]
            old.close()
            ring = type(old)(guest.memory, MIB + number * 2 * MIB, size, old.has_event_idx)
            ring.slots = 8 * MIB + number * MIB
            ring.tables = 10 * MIB + number * MIB
            ring.free = list(range(15, -1, -1))
            guest.rings[role] = ring

    def test_stop_and_go_on(self):
        """GET_VRING_BASE answers where to go on, on any lap."""
        for features in (USUAL, USUAL | PACKED):
            with self.subTest(features=hex(features)), self.guest(features) as guest:
                for turn in range(30):
                    guest.inflate(range(FIRST_FRAME + turn * 8, FIRST_FRAME + turn * 8 + 8))
                    if turn % 3:
                        continue
                    ring = guest.rings["inflate"]
                    base = guest.stop_ring(0)
                    self.assertEqual(base, ring.base())
                    ring.give(struct.pack("<I", FIRST_FRAME + 1000 + turn))
                    guest.start_ring(0, ring, base)
                    ring.wait()
                self.assertEqual(self.daemon.status()["ledger_bytes"], 250 * FRAME)

    def test_polled_ring(self):
        """A front end that says nobody will kick."""
        guest = self.guest()
        guest.send(SET_VRING_KICK, struct.pack("<Q", 0x100))
        guest.settle()
        for frame in range(FIRST_FRAME, FIRST_FRAME + 3):
            guest.rings["inflate"].give(struct.pack("<I", frame), kick=False)
            guest.rings["inflate"].wait()

    def test_disabled_ring_rests(self):
        guest = self.guest()
        guest.enable_ring(0, False)
        guest.settle()
        guest.rings["inflate"].give(struct.pack("<I", FIRST_FRAME))
        guest.settle()
        self.assertTrue(guest.rings["inflate"].is_quiet(0.1))
        guest.enable_ring(0)
        guest.rings["inflate"].wait()


class GuestMemory(DeviceCase):
    def test_regions_with_a_hole(self):
        """Two halves of a file in the other order, a hole between them, an offset in the file."""
        regions = [Region(16 * MIB, 16 * MIB, UVA, 32 * MIB),
                   Region(64 * MIB, 32 * MIB, UVA + (1 << 32), 0)]
        memory = self.memory(64 * MIB, regions)
        with self.guest(memory=memory) as guest:
            first, second = 30 * MIB // FRAME, 64 * MIB // FRAME
            self.check_round(guest, range(first, first + 100))
            self.check_round(guest, range(second + 1, second + 1000))
            # The hole, and beyond the end: counted, not touched.
            before = self.daemon.counters("ledger")["out_of_range_frames"]
            guest.give([8192 + 10, 48 * MIB // FRAME, 96 * MIB // FRAME, 0xFFFFFFFF, 0])
            after = self.daemon.counters("ledger")["out_of_range_frames"]
            self.assertEqual(after - before, 5)
            self.assertEqual(self.daemon.status()["ledger_bytes"], 0)

    def test_run_across_the_edge_of_a_region(self):
        """Neighbours for the guest, far apart in the file."""
        regions = [Region(0, 32 * MIB, UVA, 32 * MIB), Region(32 * MIB, 32 * MIB, UVA + (1 << 32))]
        memory = self.memory(64 * MIB, regions)
        with self.guest(memory=memory) as guest:
            self.check_round(guest, range(8192 - 600, 8192 + 600))

    def test_memory_comes_and_goes(self):
        with self.guest() as guest:
            module = Memory(32 * MIB, [Region(1 << 36, 32 * MIB, UVA + (1 << 40))])
            self.addCleanup(module.close)
            payload = bytes(8) + module.regions[0].pack()
            first = (1 << 36) // FRAME
            module.dirty(first, 512)
            self.assertEqual(guest.order(ADD_MEM_REG, payload, [module.fd]), 0)
            self.assertEqual(self.daemon.status()["guest_memory_bytes"], 96 * MIB)
            before = module.resident()
            guest.give(list(range(first, first + 512)))
            self.daemon.ask("flush")
            until(lambda: module.resident() <= before - 512 * FRAME, "the module was discarded")
            self.assertEqual(guest.order(REM_MEM_REG, payload), 0)
            self.assertNotEqual(guest.order(REM_MEM_REG, payload), 0)
            self.assertEqual(self.daemon.status()["guest_memory_bytes"], 64 * MIB)
            guest.give([first + 600])
            # What went is in no balloon any more, also when it comes again.
            self.assertEqual(self.daemon.status()["ledger_bytes"], 0)
            self.assertEqual(guest.order(ADD_MEM_REG, payload, [module.fd]), 0)
            self.assertEqual(self.daemon.status()["ledger_bytes"], 0)
            guest.give(list(range(first, first + 512)))
            self.assertEqual(self.daemon.status()["ledger_bytes"], 512 * FRAME)
            self.assertEqual(guest.order(REM_MEM_REG, payload), 0)
            self.check_round(guest, FRAMES)

    def test_memory_table_changes_under_running_rings(self):
        """The same memory at other user addresses, as after hot-plug in some front ends."""
        for features in (USUAL, USUAL | PACKED):
            with self.subTest(features=hex(features)), self.guest(features) as guest:
                guest.inflate(FRAMES)
                for _ in range(3):
                    guest.set_memory(guest.memory)
                guest.memory.regions = [Region(0, 20 * MIB), Region(
                    20 * MIB, 44 * MIB, UVA + 20 * MIB, 20 * MIB)]
                guest.set_memory(guest.memory)
                guest.settle()
                self.assertEqual(self.daemon.status()["ledger_bytes"], len(FRAMES) * FRAME)
                guest.deflate(FRAMES)
                self.check_round(guest, FRAMES)

    def test_part_of_the_memory_goes(self):
        """A hole of 1 MiB in the balloon: those frames are in it no more, the others are."""
        guest = self.guest()
        guest.inflate(FRAMES)
        guest.memory.regions = [Region(0, 20 * MIB), Region(21 * MIB, 43 * MIB, None, 21 * MIB)]
        guest.set_memory(guest.memory)
        guest.settle()
        self.assertEqual(self.daemon.status()["ledger_bytes"], len(FRAMES) * FRAME - MIB)
        before = self.daemon.counters("ledger")
        guest.deflate(FRAMES)
        after = self.daemon.counters("ledger")
        self.assertEqual(after["out_of_range_frames"] - before["out_of_range_frames"], 256)
        self.assertEqual(after["never_given_frames"], before["never_given_frames"])
        self.assertEqual(self.daemon.status()["ledger_bytes"], 0)
        # Other memory at the same address is other memory.
        guest.inflate(FRAMES[:256])
        guest.memory.regions = [Region(0, 16 * MIB), Region(16 * MIB, 16 * MIB, None, 32 * MIB)]
        guest.set_memory(guest.memory)
        guest.settle()
        self.assertEqual(self.daemon.status()["ledger_bytes"], 0)

    def test_all_slots(self):
        """32 regions of one file, so one descriptor each and no more."""
        with self.guest() as guest:
            for number in range(1, 32):
                region = Region(number << 32, MIB, UVA + (number << 40), (number % 32) * MIB)
                self.assertEqual(guest.order(ADD_MEM_REG, bytes(8) + region.pack(),
                                             [guest.memory.fd]), 0)
            region = Region(33 << 32, MIB, UVA + (33 << 40), 0)
            self.assertNotEqual(guest.order(ADD_MEM_REG, bytes(8) + region.pack(),
                                            [guest.memory.fd]), 0)
            self.daemon.wait_line("ADD_MEM_REG: no space|ADD_MEM_REG", self.mark)
            self.check_round(guest, FRAMES)


class Once(unittest.TestCase):
    def test_ends_with_its_front_end(self):
        with Daemon("--once") as daemon:
            with Guest(daemon.socket_path) as guest:
                guest.inflate(FRAMES)
            self.assertEqual(daemon.process.wait(30), 0)
            self.assertIn("the front end has left, ending", daemon.lines())

    def test_offers_what_it_is_told(self):
        transport = INDIRECT_DESC | EVENT_IDX | VERSION_1 | PACKED | IN_ORDER | PROTOCOL_FEATURES
        with Daemon("--features", "must_tell_host,stats_vq") as daemon, \
                connected(daemon.socket_path) as front:
            self.assertEqual(front.ask_u64(GET_FEATURES), MUST_TELL_HOST | STATS | transport)
        with Daemon("--features", "-ring_packed,-page_reporting") as daemon, \
                connected(daemon.socket_path) as front:
            self.assertEqual(front.ask_u64(GET_FEATURES), OFFERED & ~(PACKED | REPORTING))


if __name__ == "__main__":
    unittest.main()
