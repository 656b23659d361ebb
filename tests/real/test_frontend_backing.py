# SPDX-License-Identifier: MIT
"""Guest memory of other kinds: huge pages of tmpfs and hugetlb, a file on a disk, sealed files."""

import fcntl
import os
import random
import subprocess
import tempfile
import unittest

from daemon import until
from device_case import DeviceCase
from frontend import FRAME, MIB, MUST_TELL_HOST, PACKED, REPORTING, USUAL, Memory, Region

HUGE = 2 * MIB
BLOCK = HUGE // FRAME
# The first block that is not used for rings, and how many there are.
FIRST = 16 * MIB // HUGE
BLOCKS = 24


def block_frames(block):
    return range(block * BLOCK, (block + 1) * BLOCK)


class BackingCase(DeviceCase):
    def status(self):
        self.daemon.ask("flush")
        until(lambda: self.daemon.status()["pending_bytes"] == 0, "all is discarded")
        return self.daemon.status()

    def give_all(self, guest, frames, size=256):
        for at in range(0, len(frames), size):
            guest.give(frames[at:at + size])

    def ledger(self):
        return self.daemon.counters("ledger")


class HugePagesOfTmpfs(BackingCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix="aero-huge-")
        cls.addClassCleanup(os.rmdir, folder)
        done = subprocess.run(["mount", "-t", "tmpfs", "-ohuge=always,size=1G", "tmpfs", folder],
                              stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise unittest.SkipTest("no tmpfs with huge pages: " + done.stderr.strip())
        cls.addClassCleanup(subprocess.run, ["umount", folder], check=True)
        cls.folder = folder
        super().setUpClass()

    def huge_memory(self):
        path = os.path.join(self.folder, "guest-memory")
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.unlink(path)
        os.ftruncate(fd, 64 * MIB)
        memory = self.memory(64 * MIB, fd=fd)
        memory.dirty(FIRST * BLOCK, BLOCKS * BLOCK)
        return memory

    def test_blocks_are_discarded_whole(self):
        """Two requests of 256 for each, in any order: one discard or less for each block."""
        memory = self.huge_memory()
        guest = self.guest(memory=memory)
        self.assertEqual(self.daemon.status()["block_bytes"], HUGE)
        before = self.ledger()
        halves = [frames[at:at + 256] for block in range(FIRST, FIRST + BLOCKS)
                  for frames in [list(block_frames(block))] for at in (0, 256)]
        random.Random(1).shuffle(halves)
        resident = memory.resident()
        for half in halves:
            guest.give(half)
        self.status()
        after = self.ledger()
        self.assertEqual(after["blocks_whole"] - before["blocks_whole"], BLOCKS)
        self.assertEqual(after["blocks_split"], before["blocks_split"])
        self.assertLessEqual(after["discards"] - before["discards"], BLOCKS)
        self.assertEqual(resident - memory.resident(), BLOCKS * HUGE)
        self.assertEqual(memory.held(FIRST * BLOCK, BLOCKS * BLOCK), 0)

    def test_incomplete_blocks_wait_and_are_cut_in_the_end(self):
        memory = self.huge_memory()
        guest = self.guest(memory=memory)
        self.daemon.target(MIB)
        frames = list(block_frames(FIRST))[100:356]
        guest.give(frames)
        until(lambda: self.daemon.status()["pending_bytes"] == 0, "50 ms are over")
        self.assertEqual(memory.held(FIRST * BLOCK, BLOCK), 256 * FRAME)
        for frame in (FIRST * BLOCK + 99, FIRST * BLOCK + 356):
            self.assertTrue(memory.is_intact(frame))

    def test_without_must_tell_host_nothing_waits(self):
        memory = self.huge_memory()
        guest = self.guest(USUAL & ~MUST_TELL_HOST | PACKED, memory)
        frames = list(block_frames(FIRST))
        for half in (frames[:256], frames[256:]):
            guest.give(half)
            self.assertEqual(memory.held(half[0], 256), 0)

    def test_random_frames_of_many_blocks(self):
        memory = self.huge_memory()
        guest = self.guest(memory=memory)
        frames = [frame for block in range(FIRST, FIRST + BLOCKS) for frame in block_frames(block)]
        kept = set(frames[::5])
        given = [frame for frame in frames if frame not in kept]
        random.Random(2).shuffle(given)
        self.give_all(guest, given)
        self.assertEqual(self.status()["ledger_bytes"], len(given) * FRAME)
        self.assertTrue(all(memory.is_intact(frame) for frame in kept))
        self.assertEqual(memory.held(FIRST * BLOCK, BLOCKS * BLOCK), len(kept) * FRAME)


class HugePagesOfHugetlb(BackingCase):
    """Nothing but a whole page of 2 MiB can be given back."""

    PAGES = 32
    SETTING = "/proc/sys/vm/nr_hugepages"

    @classmethod
    def setUpClass(cls):
        try:
            with open(cls.SETTING, "r+", encoding="ascii") as stream:
                before = int(stream.read())
                stream.seek(0)
                stream.write(str(before + cls.PAGES))
            cls.addClassCleanup(cls.set_pages, before)
            cls.check_free()
        except (OSError, ValueError) as error:
            raise unittest.SkipTest("no huge pages: %s" % error)
        super().setUpClass()

    @classmethod
    def set_pages(cls, count):
        with open(cls.SETTING, "w", encoding="ascii") as stream:
            stream.write(str(count))

    @classmethod
    def check_free(cls):
        with open("/proc/meminfo", encoding="ascii") as stream:
            lines = dict(line.split(":") for line in stream)
        if int(lines["HugePages_Free"]) < cls.PAGES or "2048 kB" not in lines["Hugepagesize"]:
            raise ValueError("not enough of 2 MiB are free")

    def huge_memory(self):
        fd = os.memfd_create("guest-memory", os.MFD_CLOEXEC | os.MFD_HUGETLB)
        os.ftruncate(fd, 64 * MIB)
        memory = self.memory(64 * MIB, fd=fd)
        # Written to through the mapping: this file takes no write().
        memory.read = lambda gpa, length: memory.map[gpa:gpa + length]
        for block in range(FIRST, FIRST + 8):
            memory.map[block * HUGE:(block + 1) * HUGE] = bytes([block]) * HUGE
        return memory

    def test_only_whole_pages(self):
        memory = self.huge_memory()
        guest = self.guest(memory=memory)
        status = self.daemon.status()
        self.assertEqual((status["block_bytes"], status["discard_unit_bytes"]), (HUGE, HUGE))
        resident = memory.resident()
        frames = list(block_frames(FIRST))
        guest.give(frames[:256])
        guest.give(frames[256:511])
        self.daemon.ask("flush")
        guest.settle()
        self.assertEqual(memory.resident(), resident)
        guest.give(frames[511:])
        until(lambda: memory.resident() == resident - HUGE, "the page is given back")
        self.assertEqual(memory.map[(FIRST + 1) * HUGE], FIRST + 1)
        # One frame comes back before the page is complete: it must be as it was.
        guest.give(list(block_frames(FIRST + 1))[1:])
        guest.frames = list(block_frames(FIRST + 1))[1:]
        guest.deflate(guest.frames[:1])
        guest.give([(FIRST + 1) * BLOCK])
        self.daemon.ask("flush")
        guest.settle()
        self.assertEqual(memory.map[(FIRST + 1) * HUGE:(FIRST + 2) * HUGE],
                         bytes([FIRST + 1]) * HUGE)

    def test_reports_of_less_than_a_page(self):
        memory = self.huge_memory()
        guest = self.guest(USUAL | REPORTING, memory)
        resident = memory.resident()
        guest.report((FIRST * BLOCK + 1, 2 * BLOCK - 2))
        self.assertEqual(memory.resident(), resident)
        guest.report((FIRST * BLOCK + 1, 2 * BLOCK - 1))
        self.assertEqual(memory.resident(), resident - HUGE)
        self.assertEqual(memory.map[FIRST * HUGE:FIRST * HUGE + HUGE], bytes([FIRST]) * HUGE)

    def test_offset_within_a_page(self):
        """Guest and file do not agree on where pages begin: they can hardly be given back."""
        memory = self.huge_memory()
        memory.regions = [Region(0, 64 * MIB - MIB, offset=MIB)]
        self.guest(memory=memory).settle()
        self.daemon.wait_line("does not agree with it, so pages of 2048 KiB can rarely", self.mark)


class Files(BackingCase):
    def test_file_on_a_disk(self):
        with tempfile.TemporaryFile(dir="/var/tmp") as file:
            os.ftruncate(file.fileno(), 64 * MIB)
            memory = Memory(64 * MIB, fd=os.dup(file.fileno()))
            self.addCleanup(memory.close)
            guest = self.guest(memory=memory)
            # Blocks of a disk are counted when they are written, so the device looks at holes.
            memory.dirty(FIRST * BLOCK, 1024)
            os.fsync(memory.fd)
            guest.give(list(range(FIRST * BLOCK, FIRST * BLOCK + 1024))[:1000])
            self.status()
            self.assertEqual(memory.held(FIRST * BLOCK, 1000), 0)
            self.assertTrue(memory.is_intact(FIRST * BLOCK + 1000))
            guest.close()

    def test_sealed_against_growing_and_shrinking(self):
        fd = os.memfd_create("guest-memory", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, 64 * MIB)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
                    | fcntl.F_SEAL_SEAL)
        guest = self.guest(memory=self.memory(fd=fd))
        self.check_round(guest, range(FIRST * BLOCK, FIRST * BLOCK + 1000))
        self.assertEqual([line for line in self.lines() if "self-test" in line], [])

    def test_memory_that_cannot_be_punched(self):
        """A seal against new writable mappings: refused clearly, not used without effect."""
        fd = os.memfd_create("guest-memory", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, 64 * MIB)
        memory = Memory(fd=fd)
        self.addCleanup(memory.close)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, 0x10)  # F_SEAL_FUTURE_WRITE
        with self.connected() as front:
            front.negotiate()
            front.set_memory(memory)
            self.assertTrue(front.is_closed())
        self.daemon.wait_line("guest memory: region at 0, 0x4000000 bytes: mapping it", self.mark)
        self.daemon.wait_line("SET_MEM_TABLE: .*; connection closed", self.mark)


if __name__ == "__main__":
    unittest.main()
