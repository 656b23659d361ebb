# SPDX-License-Identifier: MIT
"""Whose balloon, and whose memory: frames of one guest must never be discarded in the memory of
another, and nobody's balloon is lost because somebody else looked in."""

import itertools
import struct
import time
import unittest

from daemon import until
from device_case import DeviceCase
from frontend import (
    ADD_MEM_REG, FIRST_FRAME, FRAME, GET_FEATURES, GET_MAX_MEM_SLOTS, GET_PROTOCOL_FEATURES,
    GET_QUEUE_NUM, GET_STATUS, MIB, PACKED, PROTOCOL_ALL, PROTOCOL_FEATURES, REM_MEM_REG,
    RESET_DEVICE, SET_FEATURES, SET_MEM_TABLE, SET_PROTOCOL_FEATURES, SET_STATUS, STATUS, USUAL,
    UVA, FrontEnd, Guest, Memory, Region)

# Too few for a 2 MiB block, so that they wait.
FRAMES = range(FIRST_FRAME + 10, FIRST_FRAME + 110)
WITH_STATUS = PROTOCOL_ALL | STATUS
DRIVER_OK = 15


class OwnerCase(DeviceCase):
    # What waits for the rest of its block waits until a flush.
    options = ("--idle-ms", "60000")

    def pending(self):
        return self.daemon.status()["pending_bytes"] // FRAME

    def ledger(self):
        return self.daemon.status()["ledger_bytes"] // FRAME

    def flush(self):
        """Whatever the device is willing to discard, it has when this returns."""
        self.daemon.ask("flush")
        time.sleep(0.1)
        self.daemon.status()

    def give_pending(self, guest, frames=FRAMES):
        guest.memory.dirty(frames[0], len(frames))
        guest.inflate(frames)
        self.assertEqual(self.pending(), len(frames))

    def leave(self, guest):
        """Answers where its rings go on."""
        bases = {role: ring.base() for role, ring in guest.rings.items()}
        guest.close()
        until(lambda: not self.daemon.status()["is_connected"], "the front end is gone")
        return bases

    def go_on(self, memory, bases, order=None, features=USUAL, protocol=PROTOCOL_ALL, prepare=None):
        """The driver of before on a new connection, its rings started in an order."""
        guest = self.guest(features, memory, start=False, protocol=protocol)
        guest.negotiate(features, protocol)
        guest.set_memory(memory)
        if prepare:
            prepare(guest)
        for role in order or guest.rings:
            guest.rings[role].go_on(bases[role])
            guest.start_ring(guest.numbers[role], guest.rings[role], bases[role])
        guest.settle()
        return guest

    def check_intact(self, memory, frames=FRAMES):
        lost = [frame for frame in frames if not memory.is_intact(frame)]
        self.assertFalse(lost, "frames of another guest were discarded")


class AnotherGuest(OwnerCase):
    def check(self, tell, features=USUAL):
        """A guest leaves while frames wait; another comes, with content in the same frames.
        tell: what is said before its inflate ring starts."""
        with self.guest(features) as first:
            self.give_pending(first)
            self.leave(first)
        self.assertEqual(self.pending(), len(FRAMES))
        memory = self.memory()
        memory.dirty(FRAMES[0], len(FRAMES))
        guest = self.guest(features, memory, start=False, protocol=WITH_STATUS)
        guest.negotiate(features, WITH_STATUS)
        for ring in guest.rings.values():
            ring.clear()
        tell(guest)
        guest.settle()
        self.flush()
        self.check_intact(memory)
        self.assertFalse(self.daemon.status()["is_live"])
        for role, ring in guest.rings.items():
            guest.start_ring(guest.numbers[role], ring)
        guest.settle()
        self.flush()
        self.check_intact(memory)
        self.assertEqual((self.ledger(), self.pending()), (0, 0))
        self.check_round(guest, range(FIRST_FRAME, FIRST_FRAME + 300))
        guest.close()

    def test_driver_ok_before_any_ring(self):
        def tell(guest):
            guest.set_memory(guest.memory)
            guest.send(SET_STATUS, struct.pack("<Q", DRIVER_OK))
        for features in (USUAL, USUAL | PACKED):
            with self.subTest(features=hex(features)):
                self.check(tell, features)

    def test_driver_ok_before_the_memory(self):
        def tell(guest):
            guest.send(SET_STATUS, struct.pack("<Q", DRIVER_OK))
            guest.set_memory(guest.memory)
        self.check(tell)

    def test_driver_ok_before_the_inflate_ring(self):
        """Other rings are up already."""
        for roles in (["deflate"], ["stats", "hint", "reporting", "deflate"]):
            def tell(guest, roles=roles):
                guest.set_memory(guest.memory)
                for role in roles:
                    guest.start_ring(guest.numbers[role], guest.rings[role])
                guest.send(SET_STATUS, struct.pack("<Q", DRIVER_OK))
                guest.settle()
                self.flush()
                self.check_intact(guest.memory)
                for role in roles:
                    guest.stop_ring(guest.numbers[role])
            with self.subTest(roles=roles):
                self.check(tell)

    def test_memory_in_several_steps(self):
        def tell(guest):
            guest.set_memory(guest.memory)
            guest.set_memory(guest.memory)
            module = Region(1 << 40, MIB, UVA - (1 << 30))
            payload = bytes(8) + module.pack()
            self.assertEqual(guest.order(ADD_MEM_REG, payload, [guest.memory.fd]), 0)
            self.assertEqual(guest.order(REM_MEM_REG, payload), 0)
        self.check(tell)

    def test_reboot_on_the_same_connection(self):
        """The rings stop, the new kernel uses the frames, and DRIVER_OK comes before its rings."""
        for first_ring in (None, "deflate"):
            with self.subTest(first_ring=first_ring), \
                    self.guest(protocol=WITH_STATUS) as guest:
                self.give_pending(guest)
                for index in guest.numbers.values():
                    guest.stop_ring(index)
                guest.memory.dirty(FRAMES[0], len(FRAMES))
                guest.send(SET_STATUS, struct.pack("<Q", 0))
                for ring in guest.rings.values():
                    ring.clear()
                    ring.go_on(ring.fresh_base)
                if first_ring:
                    guest.start_ring(guest.numbers[first_ring], guest.rings[first_ring])
                guest.send(SET_STATUS, struct.pack("<Q", DRIVER_OK))
                guest.settle()
                self.flush()
                self.check_intact(guest.memory)
                for role, ring in guest.rings.items():
                    if role != first_ring:
                        guest.start_ring(guest.numbers[role], ring)
                guest.settle()
                self.flush()
                self.check_intact(guest.memory)
                self.assertEqual(self.ledger(), 0)


class SomebodyLooksIn(OwnerCase):
    """Between two connections of a guest there is another front end, which starts no inflate ring:
    the balloon is as full as it was, also what waits."""

    def check(self, look):
        memory = self.memory()
        first = self.guest(memory=memory)
        self.give_pending(first, FRAMES)
        bases = self.leave(first)
        never_given = self.daemon.counters("ledger")["never_given_frames"]
        look()
        until(lambda: not self.daemon.status()["is_connected"], "the other one is gone")
        self.assertEqual((self.ledger(), self.pending()), (len(FRAMES), len(FRAMES)))
        again = self.go_on(memory, bases)
        again.frames = list(FRAMES)
        status = self.daemon.status()
        self.assertEqual((status["ledger_bytes"], status["actual_bytes"]),
                         (len(FRAMES) * FRAME, len(FRAMES) * FRAME))
        self.flush()
        self.assertEqual(memory.held(FRAMES[0], len(FRAMES)), 0)
        again.deflate(FRAMES)
        self.assertEqual(self.ledger(), 0)
        self.assertEqual(self.daemon.counters("ledger")["never_given_frames"],
                         never_given)

    def test_connects_and_leaves(self):
        self.check(lambda: FrontEnd(self.daemon.socket_path).close())

    def test_asks(self):
        def look():
            with self.connected() as front:
                front.ask_u64(GET_FEATURES)
                front.ask_u64(GET_PROTOCOL_FEATURES)
                front.send(SET_PROTOCOL_FEATURES, struct.pack("<Q", WITH_STATUS))
                for question in (GET_QUEUE_NUM, GET_MAX_MEM_SLOTS, GET_STATUS):
                    front.ask_u64(question)
                front.config()
        self.check(look)

    def test_negotiates(self):
        def look():
            with self.connected() as front:
                front.negotiate(USUAL, WITH_STATUS)
                front.send(SET_STATUS, struct.pack("<Q", DRIVER_OK))
                front.ask_u64(GET_STATUS)
                front.send(SET_STATUS, struct.pack("<Q", 0))
                front.ask_u64(GET_QUEUE_NUM)
        self.check(look)

    def test_has_memory(self):
        """As a machine that is given up before its driver comes, its memory in several steps."""
        def look():
            with self.connected() as front, Memory() as one, Memory() as other:
                one.dirty(FRAMES[0], len(FRAMES))
                front.negotiate()
                front.set_memory(one)
                front.set_memory(other)
                front.set_memory(one)
                payload = bytes(8) + one.regions[0].pack()
                self.assertEqual(front.order(REM_MEM_REG, payload), 0)
                self.assertEqual(front.order(ADD_MEM_REG, payload, [one.fd]), 0)
                front.ask_u64(GET_QUEUE_NUM)
                self.flush()
                self.check_intact(one)
        self.check(look)

    def test_starts_other_rings(self):
        def look():
            with Guest(self.daemon.socket_path, start=False) as guest:
                guest.negotiate()
                guest.set_memory(guest.memory)
                for role in ("deflate", "stats"):
                    guest.rings[role].clear()
                    guest.start_ring(guest.numbers[role], guest.rings[role])
                guest.settle()
        self.check(look)


class OrderOfRings(OwnerCase):
    def test_balloon_is_found_again_in_any_order(self):
        roles = ["inflate", "deflate", "stats", "hint", "reporting"]
        orders = [roles[at:] + roles[:at] for at in range(5)] + [list(reversed(roles))]

        def driver_ok(guest):
            guest.send(SET_STATUS, struct.pack("<Q", DRIVER_OK))

        for order, (features, prepare) in itertools.product(
                orders, ((USUAL, None), (USUAL | PACKED, None), (USUAL, driver_ok))):
            with self.subTest(order=order, features=hex(features), is_told=prepare is not None):
                memory = self.memory()
                first = self.guest(features, memory)
                self.give_pending(first)
                bases = self.leave(first)
                again = self.go_on(memory, bases, order, features, WITH_STATUS, prepare)
                again.frames = list(FRAMES)
                status = self.daemon.status()
                self.assertEqual((status["ledger_bytes"], status["actual_bytes"]),
                                 (len(FRAMES) * FRAME, len(FRAMES) * FRAME))
                self.assertTrue(status["is_live"])
                again.deflate(FRAMES)
                self.assertEqual(self.ledger(), 0)
                again.close()
                memory.close()


class MemoryMoves(OwnerCase):
    """The map changes while frames wait: they are discarded in the old one."""

    HALF = 64 * MIB
    EDGE = HALF // FRAME

    def halves(self):
        return self.memory(2 * self.HALF, [Region(0, self.HALF),
                                           Region(self.HALF, self.HALF, offset=self.HALF)])

    def replacement(self, frames):
        module = self.memory(self.HALF, [Region(self.HALF, self.HALF)])
        module.dirty(frames[0], len(frames))
        return module

    def check_moved(self, guest, module, frames):
        """module: what lies now at the addresses of frames that waited."""
        self.assertEqual(guest.memory.held(frames[0], len(frames)), 0)
        self.flush()
        self.check_intact(module, frames)
        self.assertEqual((self.ledger(), self.pending()), (0, 0))
        guest.frames = []
        self.check_round(guest, range(FIRST_FRAME, FIRST_FRAME + 300))

    def test_region_is_replaced(self):
        frames = range(self.EDGE + 10, self.EDGE + 110)
        guest = self.guest(memory=self.halves())
        module = self.replacement(frames)
        self.give_pending(guest, frames)
        self.assertEqual(guest.order(REM_MEM_REG, bytes(8) + guest.memory.regions[1].pack()), 0)
        self.assertEqual(guest.memory.held(frames[0], len(frames)), 0)
        self.assertEqual(guest.order(ADD_MEM_REG, bytes(8) + module.regions[0].pack(),
                                     [module.fd]), 0)
        self.check_moved(guest, module, frames)

    def test_table_is_replaced(self):
        frames = range(self.EDGE + 10, self.EDGE + 110)
        guest = self.guest(memory=self.halves())
        module = self.replacement(frames)
        self.give_pending(guest, frames)
        table = (struct.pack("<II", 2, 0) + guest.memory.regions[0].pack()
                 + module.regions[0].pack())
        self.assertEqual(guest.order(SET_MEM_TABLE, table, [guest.memory.fd, module.fd]), 0)
        self.check_moved(guest, module, frames)

    def test_region_is_added(self):
        """Nothing goes, and still nothing that waits is lost."""
        guest = self.guest()
        module = self.replacement(range(self.EDGE, self.EDGE + 10))
        self.give_pending(guest)
        self.assertEqual(guest.order(ADD_MEM_REG, bytes(8) + module.regions[0].pack(),
                                     [module.fd]), 0)
        self.flush()
        self.assertEqual(guest.memory.held(FRAMES[0], len(FRAMES)), 0)
        self.assertEqual((self.ledger(), self.pending()), (len(FRAMES), 0))

    def test_half_of_a_run_goes(self):
        """A run over two regions, of which one goes: the other half is discarded, and stays in the
        balloon."""
        frames = range(self.EDGE - 100, self.EDGE + 100)
        guest = self.guest(memory=self.halves())
        before = self.daemon.counters("ledger")["dropped_frames"]
        self.give_pending(guest, frames)
        self.assertEqual(guest.order(REM_MEM_REG, bytes(8) + guest.memory.regions[1].pack()), 0)
        self.flush()
        self.assertEqual(guest.memory.held(frames[0], 200), 0)
        self.assertEqual((self.ledger(), self.pending()), (100, 0))
        self.assertEqual(self.daemon.counters("ledger")["dropped_frames"], before)

    def test_file_moves_under_the_same_addresses(self):
        """Another part of the file, with a copy of the rings in it."""
        for features in (USUAL, USUAL | PACKED):
            with self.subTest(features=hex(features)):
                memory = self.memory(2 * self.HALF, [Region(0, self.HALF)])
                guest = self.guest(features, memory)
                self.give_pending(guest)
                rings = memory.read(0, FIRST_FRAME * FRAME)
                memory.regions = [Region(0, self.HALF, offset=self.HALF)]
                memory.write(0, rings)
                memory.dirty(FRAMES[0], len(FRAMES))
                guest.set_memory(memory)
                guest.settle()
                self.flush()
                self.check_intact(memory)
                self.assertEqual(self.ledger(), 0)
                guest.frames = []
                self.check_round(guest, range(FIRST_FRAME, FIRST_FRAME + 300))
                guest.close()

    SHIFT = 4 * MIB

    def begin_long_request(self, guest):
        """A request of 1.8 million numbers that is being served when this returns."""
        ring = guest.rings["inflate"]
        before = self.daemon.counters()["inflate_frames"]
        ring.add([(24 * MIB, 7 * MIB, 0)])
        ring.kick()
        until(lambda: self.daemon.counters()["inflate_frames"] > before, "it is being served")
        self.assertIsNone(ring.pop(), "it was served before the map could change")

    def test_ring_moves_while_it_is_served(self):
        """All guest addresses become others; the rings stay where the front end sees them."""
        for features in (USUAL, USUAL | PACKED):
            with self.subTest(features=hex(features)), self.guest(features) as guest:
                self.begin_long_request(guest)
                guest.memory.regions = [Region(self.SHIFT, guest.memory.size, UVA)]
                for ring in guest.rings.values():
                    for part in ("gpa", "desc", "driver", "device", "slots", "tables"):
                        setattr(ring, part, getattr(ring, part) + self.SHIFT)
                guest.set_memory(guest.memory)
                guest.settle()
                guest.rings["inflate"].wait()
                # Frame 0, which was all that it gave, is no memory any more.
                self.assertEqual(self.ledger(), 0)
                self.check_round(guest, range(FIRST_FRAME + 2000, FIRST_FRAME + 2300))

    def test_ring_goes_while_it_is_served(self):
        for features in (USUAL, USUAL | PACKED):
            with self.subTest(features=hex(features)), self.guest(features) as guest:
                mark = self.daemon.mark()
                self.begin_long_request(guest)
                table = struct.pack("<II", 1, 0) + Region(0, MIB, UVA + (1 << 40)).pack()
                guest.send(SET_MEM_TABLE, table, [guest.memory.fd])
                guest.settle()
                self.daemon.wait_line("ring 0 is lost: not in the new memory map", mark)
                self.assertEqual(self.ledger(), 1)


class Reboots(OwnerCase):
    """A full balloon, and a guest that starts anew: how it gets on is said of the new one."""

    TARGET = 16 * MIB
    # Longer than the device waits for a guest that says nothing.
    SECONDS = 2.6

    def fill(self, guest):
        self.daemon.target(self.TARGET)
        guest.inflate(range(FIRST_FRAME, FIRST_FRAME + self.TARGET // FRAME))
        self.assertEqual(self.daemon.status()["stall"], "none")

    def stall(self):
        return self.daemon.status()["stall"]

    def check_fills_slowly(self, guest):
        guest.frames = []
        words = set()
        deadline = time.monotonic() + self.SECONDS
        frame = FIRST_FRAME
        while time.monotonic() < deadline:
            guest.inflate(range(frame, frame + 32))
            words.add(self.stall())
            frame += 32
            time.sleep(0.05)
        self.assertLess(frame, FIRST_FRAME + self.TARGET // FRAME, "it was not slow")
        self.assertEqual(words, {"working"})

    def test_other_connection(self):
        memory = self.memory()
        with self.guest(memory=memory) as guest:
            self.fill(guest)
        until(lambda: self.stall() == "no_driver", "there is no driver")
        with self.guest(memory=memory) as guest:
            self.check_fills_slowly(guest)

    def test_reset_device(self):
        guest = self.guest()
        self.fill(guest)
        guest.send(RESET_DEVICE)
        guest.settle()
        self.assertEqual(self.stall(), "no_driver")
        guest.send(SET_FEATURES, struct.pack("<Q", guest.features | PROTOCOL_FEATURES))
        for role, ring in guest.rings.items():
            ring.clear()
            ring.go_on(ring.fresh_base)
            guest.start_ring(guest.numbers[role], ring)
        guest.settle()
        self.check_fills_slowly(guest)

    def test_new_guest_that_is_silent(self):
        """What the old one did last is not said of the new one, which did nothing."""
        memory = self.memory()
        with self.guest(memory=memory) as guest:
            self.fill(guest)
            guest.deflate(range(FIRST_FRAME, FIRST_FRAME + 256))
            self.assertEqual(self.stall(), "shrinking")
        with self.guest(memory=memory):
            self.assertEqual(self.stall(), "working")
            until(lambda: self.stall() != "working", "it is silent")
            self.assertEqual(self.stall(), "silent")


class Trickle(DeviceCase):
    """Frames that come one by one, each before the idle time of the one before is over."""

    IDLE = 0.2
    options = ("--idle-ms", str(int(IDLE * 1000)))

    def test_incomplete_blocks_wait_a_bounded_time(self):
        guest = self.guest()
        self.daemon.target(32 * MIB)
        guest.memory.dirty(FIRST_FRAME, 4096)
        # Every other frame, so that no block is ever complete.
        frames = iter(range(FIRST_FRAME, FIRST_FRAME + 4096, 2))
        for _ in range(2):
            first = next(frames)
            guest.give([first])
            last = began = time.monotonic()
            longest = 0
            while guest.memory.held(first, 1):
                # The bound is ten idle times; as much again for a slow machine.
                self.assertLess(time.monotonic() - began, 20 * self.IDLE, "it waits for ever")
                guest.give([next(frames)])
                time.sleep(0.01)
                longest = max(longest, time.monotonic() - last)
                last = time.monotonic()
            # Where this test itself was held up, the device was right not to wait any longer.
            if longest < self.IDLE / 2:
                self.assertGreater(last - began, 5 * self.IDLE, "it was not collected")
            # What waited with it goes with it, and the next begins with nothing.
            until(lambda: self.daemon.status()["pending_bytes"] == 0, "the rest of the wave")
        self.assertEqual(self.daemon.counters("ledger")["dropped_frames"], 0)


if __name__ == "__main__":
    unittest.main()
