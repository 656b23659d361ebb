# SPDX-License-Identifier: MIT
"""The driver's side of virtqueues, split and packed, in memory that the device shares."""

import os
import select
import struct
import time

NEXT, WRITE, INDIRECT = 1, 2, 4
SLOT_BYTES = 4096


class Ring:
    """What both kinds have in common. A ring lies at a guest-physical address, its data slots of
    SLOT_BYTES, one for each entry, behind it."""

    def __init__(self, memory, gpa, size, has_event_idx):
        self.memory = memory
        self.gpa = gpa
        self.size = size
        self.has_event_idx = has_event_idx
        self.slots = (self.device + 8 * size + 4096) & ~4095
        self.tables = self.slots + size * SLOT_BYTES
        self.kick_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.call_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.err_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.kicks = 0
        self.unannounced = 0  # entries made available since the device was last told

    @staticmethod
    def bytes_for(size):
        """Room for a ring of either kind, its slots, and an indirect table for each entry."""
        return 2 * 4096 + 32 * size + size * SLOT_BYTES + size * 1024

    def close(self):
        for fd in (self.kick_fd, self.call_fd, self.err_fd):
            if fd >= 0:
                os.close(fd)
        self.kick_fd = self.call_fd = self.err_fd = -1

    def put16(self, gpa, value):
        self.memory.pack("<H", gpa, value)

    def get16(self, gpa):
        return self.memory.unpack("<H", gpa)[0]

    def give(self, data, kick=True, indirect=False):
        """One request of readable bytes, in the ring's own slots. Answers its id."""
        slot = self.free_slot()
        assert len(data) <= SLOT_BYTES
        self.memory.write(self.slots + slot * SLOT_BYTES, data)
        number = self.add([(self.slots + slot * SLOT_BYTES, len(data), 0)], indirect)
        if kick:
            self.kick()
        return number

    def kick(self):
        """As a driver does: only where the device wants to know."""
        if self.is_kick_wanted():
            self.force_kick()
        self.unannounced = 0

    def force_kick(self):
        self.kicks += 1
        os.eventfd_write(self.kick_fd, 1)

    def write_table(self, slot, buffers):
        """An indirect table of a chain; answers its address and length."""
        gpa = self.tables + slot * 1024
        for i, (address, length, flags) in enumerate(buffers):
            is_last = i + 1 == len(buffers)
            self.write_entry(gpa + 16 * i, address, length, flags, i, is_last)
        return gpa, 16 * len(buffers)

    def wait(self, seconds=20):
        """The next used request, as (id, length); by interrupt, as a driver waits for it."""
        while True:
            self.arm()
            done = self.pop()
            if done:
                return done
            if not select.select([self.call_fd], [], [], seconds)[0]:
                if self.pop():
                    raise AssertionError("used, but there was no interrupt")
                raise AssertionError("a request was not answered within %g s" % seconds)
            os.eventfd_read(self.call_fd)

    def is_quiet(self, seconds):
        """Whether nothing is answered for that long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.pop():
                return False
            time.sleep(0.01)
        return True

    def finish(self, data, indirect=False):
        """One request, given and waited for. Answers its used length."""
        number = self.give(data, indirect=indirect)
        got, length = self.wait()
        assert got == number, (got, number)
        return length

    def has_error(self):
        return bool(select.select([self.err_fd], [], [], 0)[0])


class SplitRing(Ring):
    is_packed = False

    def __init__(self, memory, gpa, size, has_event_idx):
        self.desc = gpa
        self.driver = gpa + 16 * size
        self.device = (self.driver + 6 + 2 * size + 3) & ~3
        self.free = list(range(size - 1, -1, -1))
        self.chains = {}
        self.avail = 0
        self.used = 0
        super().__init__(memory, gpa, size, has_event_idx)

    def clear(self):
        self.memory.write(self.desc, bytes(self.slots - self.desc))

    def go_on(self, base):
        """A driver that knows nothing of requests in flight goes on here."""
        self.avail = self.used = base
        self.put16(self.driver + 2, base)
        self.put16(self.device + 2, base)

    fresh_base = 0

    def base(self):
        return self.avail

    def free_slot(self):
        return self.free[-1]

    def write_entry(self, gpa, address, length, flags, index, is_last):
        flags |= 0 if is_last else NEXT
        self.memory.pack("<QIHH", gpa, address, length, flags, 0 if is_last else index + 1)

    def add(self, buffers, indirect=False):
        """A chain of (address, length, flags), readable ones first. Answers its id."""
        if indirect:
            table, length = self.write_table(self.free[-1], buffers)
            buffers = [(table, length, INDIRECT)]
        places = [self.free.pop() for _ in buffers]
        for i, (address, length, flags) in enumerate(buffers):
            is_last = i + 1 == len(buffers)
            self.memory.pack("<QIHH", self.desc + 16 * places[i], address, length,
                             flags | (0 if is_last else NEXT), 0 if is_last else places[i + 1])
        self.chains[places[0]] = places
        self.offer(places[0])
        return places[0]

    def offer(self, head):
        self.put16(self.driver + 4 + 2 * (self.avail % self.size), head)
        self.avail = (self.avail + 1) & 0xFFFF
        self.unannounced += 1
        self.put16(self.driver + 2, self.avail)

    def is_kick_wanted(self):
        if not self.has_event_idx:
            return not self.get16(self.device) & 1
        event = self.get16(self.device + 4 + 8 * self.size)
        return (self.avail - event - 1) & 0xFFFF < self.unannounced

    def arm(self):
        if self.has_event_idx:
            self.put16(self.driver + 4 + 2 * self.size, self.used)

    def pop(self):
        if self.get16(self.device + 2) == self.used:
            return None
        number, length = self.memory.unpack("<II", self.device + 4 + 8 * (self.used % self.size))
        self.used = (self.used + 1) & 0xFFFF
        # The last one first, so that the head is taken next.
        self.free += reversed(self.chains.pop(number, []))
        return number, length


class PackedRing(Ring):
    is_packed = True
    fresh_base = 0x80008000

    def __init__(self, memory, gpa, size, has_event_idx):
        self.desc = gpa
        self.driver = gpa + 16 * size
        self.device = self.driver + 4
        self.free = list(range(size - 1, -1, -1))
        self.counts = {}
        self.places = 0
        self.avail, self.avail_wrap = 0, 1
        self.used, self.used_wrap = 0, 1
        super().__init__(memory, gpa, size, has_event_idx)

    def clear(self):
        self.memory.write(self.desc, bytes(self.slots - self.desc))

    def base(self):
        return (self.avail | self.avail_wrap << 15 | self.used << 16 | self.used_wrap << 31)

    def go_on(self, base):
        self.avail, self.avail_wrap = base & 0x7FFF, base >> 15 & 1
        self.used, self.used_wrap = base >> 16 & 0x7FFF, base >> 31

    def free_slot(self):
        return self.free[-1]

    def write_entry(self, gpa, address, length, flags, index, is_last):
        del index, is_last
        self.memory.pack("<QIHH", gpa, address, length, 0, flags)

    def add(self, buffers, indirect=False):
        number = self.free.pop()
        if indirect:
            table, length = self.write_table(number, buffers)
            buffers = [(table, length, INDIRECT)]
        self.counts[number] = len(buffers)
        self.places += len(buffers)
        self.unannounced += len(buffers)
        assert self.places <= self.size
        late = None
        for i, (address, length, flags) in enumerate(buffers):
            is_last = i + 1 == len(buffers)
            flags |= (0 if is_last else NEXT) | self.avail_wrap << 7 | (1 - self.avail_wrap) << 15
            gpa = self.desc + 16 * self.avail
            self.memory.pack("<QIH", gpa, address, length, number)
            # The first one makes the whole chain available, so it comes last.
            if i == 0:
                late = (gpa + 14, flags)
            else:
                self.put16(gpa + 14, flags)
            self.avail, self.avail_wrap = self.step(self.avail, self.avail_wrap, 1)
        self.put16(*late)
        return number

    def step(self, at, wrap, count):
        at += count
        return (at - self.size, 1 - wrap) if at >= self.size else (at, wrap)

    def is_kick_wanted(self):
        event, flags = self.memory.unpack("<HH", self.device)
        if flags != 2:
            return flags == 0
        offset, wrap = event & 0x7FFF, event >> 15
        # Where what was added began and ended, counted on the event's lap.
        end = self.avail + (self.size if wrap != self.avail_wrap else 0)
        return end - self.unannounced <= offset < end

    def arm(self):
        if self.has_event_idx:
            self.memory.pack("<HH", self.driver, self.used | self.used_wrap << 15, 2)

    def pop(self):
        _, length, number, flags = self.memory.unpack("<QIHH", self.desc + 16 * self.used)
        if flags >> 7 & 1 != self.used_wrap or flags >> 15 != self.used_wrap:
            return None
        count = self.counts.pop(number)
        self.places -= count
        self.used, self.used_wrap = self.step(self.used, self.used_wrap, count)
        self.free.append(number)
        return number, length if flags & WRITE else 0
