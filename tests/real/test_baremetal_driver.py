# SPDX-License-Identifier: MIT
"""The virtio-balloon driver in a kernel that runs: what QEMU's device can, and what goes wrong."""

import os
import time

from baremetal_guest import MetalCase
from daemon import until
from guest import GuestError
from qtest_machine import FRAME, MIB

BLOCK = 512 * FRAME
# Digits of "features", by bit.
STATS, OOM, HINT, POISON, REPORTING, PACKED = 1, 2, 3, 4, 5, 34


def processor_seconds(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as stream:
        words = stream.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class Life(MetalCase):
    @staticmethod
    def free(metal):
        """What is free, and what it would be without the balloon's books, which may be kept."""
        return metal.numbers("memory")["free"] + metal.numbers("report")["metadata_bytes"]

    def test_unload_with_a_full_balloon(self):
        metal = self.boot(options="marks=1")
        free = self.free(metal)
        metal.inflate(100 * MIB)
        self.assertEqual(metal.numbers("unload")["driver"], "unbound")
        self.assertEqual(metal.actual(), 0)
        # All memory is back, and the driver's own.
        memory = metal.numbers("memory")
        self.assertEqual(memory["free"], memory["total"])
        metal.ask("validate")
        self.assertEqual(metal.numbers("load")["driver"], "bound")
        # QEMU still wants it.
        metal.wait_at(100 * MIB)
        metal.inflate(0)
        self.assertEqual(self.free(metal), free)

    def test_load_again_and_again(self):
        metal = self.boot(options="marks=1")
        free = self.free(metal)
        metal.target(32 * MIB)
        for _ in range(50):
            metal.ask("unload")
            metal.ask("load")
        metal.wait_at(32 * MIB)
        metal.inflate(0)
        self.assertEqual(self.free(metal), free)
        metal.ask("validate")

    def test_targets_that_flap(self):
        metal = self.boot(options="marks=1")
        metal.ask("sum %d" % (32 * MIB))
        for turn in range(200):
            metal.target((turn * 37 % 200) * MIB)
            if turn % 10 == 0:
                metal.ask("validate")
        metal.inflate(150 * MIB)
        self.check_lent(metal, 150 * MIB)
        metal.inflate(0)
        metal.ask("check")

    def test_idle_kernel_sleeps(self):
        metal = self.boot()
        metal.inflate(64 * MIB)
        time.sleep(0.2)
        before = processor_seconds(metal.process.pid)
        time.sleep(2)
        self.assertLess(processor_seconds(metal.process.pid) - before, 0.2)

    def test_polling_reaches_targets_too(self):
        metal = self.boot(options="marks=1 interrupt=poll")
        self.assertEqual(metal.ready["interrupt"], "poll")
        self.check_round(metal)

    def test_many_commands_at_once(self):
        """More than the kernel's ring of bytes: the rest waits in the line, and nothing is lost."""
        metal = self.boot()
        for _ in range(2000):
            metal.send("memory")
        metal.process.stdin.flush()
        for number in range(1, 2001):
            metal.answer(number)

    def test_what_is_no_command(self):
        metal = self.boot()
        for command in ("nonsense", "dirty", "dirty 1x", "dirty 99999999999999999999", "sum -1",
                        "dirty %d" % (1 << 40), "lent"):
            with self.assertRaises(GuestError, msg=command):
                metal.ask(command)
        # One too long is none; the next is obeyed.
        metal.process.stdin.write(b"x" * 5000 + b"\n")
        metal.ask("memory")

    def test_without_a_device(self):
        metal = self.boot(device=None)
        self.assertEqual(metal.ready["driver"], "absent")
        for command in ("load", "report", "stall", "counters"):
            with self.assertRaises(GuestError, msg=command):
                metal.ask(command)
        metal.ask("unload")
        metal.ask("memory")


class Limits(MetalCase):
    def test_floor_is_kept_whatever_the_host_wants(self):
        metal = self.boot(options="marks=1 floor=32M")
        metal.target(metal.bytes - MIB)
        until(lambda: "floor" in metal.ask("stall"), "the floor is reached")
        self.assertEqual(metal.numbers("report")["actual_frames"] * FRAME,
                         metal.ready["total"] - 32 * MIB)
        metal.ask("dirty %d" % (16 * MIB))
        metal.ask("check")
        metal.ask("free")
        metal.inflate(0)

    def test_memory_in_use_stays(self):
        """There is not so much: the driver takes what is free, and goes on when more is."""
        metal = self.boot(options="marks=1")
        metal.ask("sum %d" % (150 * MIB))
        metal.target(128 * MIB)
        until(lambda: metal.numbers("report")["actual_frames"] * FRAME > 80 * MIB, "it has begun")
        metal.ask("check")
        metal.ask("drop")
        metal.wait_at(128 * MIB)
        metal.inflate(0)
        metal.ask("validate")

    def test_fragments(self):
        """Every other block is in use, so that blocks of 2 MiB are few and frames many."""
        metal = self.boot(options="marks=1 orders=1")
        metal.inflate(100 * MIB)
        metal.ask("sum %d" % (100 * MIB + 5 * FRAME))
        metal.inflate(0)
        metal.inflate(50 * MIB + 3 * FRAME)
        self.check_lent(metal, 50 * MIB + 3 * FRAME)
        metal.ask("check")
        metal.inflate(0)
        metal.ask("drop")
        metal.ask("validate")
        self.assertEqual(metal.numbers("conformance")["failed"], 0)

    def test_large_pages(self):
        """Targets that are no multiple of a page settle."""
        for order in (2, 4):
            with self.subTest(order=order):
                metal = self.boot(options="marks=1 page_order=%d" % order)
                metal.ask("sum %d" % (8 * MIB))
                metal.target(100 * MIB + 3 * FRAME)
                page = FRAME << order
                metal.wait_at(100 * MIB + page)
                before = metal.numbers("counters")
                time.sleep(0.5)
                after = metal.numbers("counters")
                self.assertEqual(after["inflate_requests"], before["inflate_requests"])
                self.assertEqual(after["deflate_requests"], before["deflate_requests"])
                self.assertTrue(all(first % (1 << order) == 0 and count % (1 << order) == 0
                                    for first, count in metal.lent()))
                metal.inflate(0)
                metal.ask("check")
                metal.ask("validate")

    def test_long_requests(self):
        metal = self.boot(options="marks=1 request_frames=16320")
        metal.ask("sum %d" % (8 * MIB))
        metal.inflate(128 * MIB)
        self.check_lent(metal, 128 * MIB)
        counters = metal.numbers("counters")
        self.assertLess(counters["inflate_requests"], 10)
        metal.inflate(0)
        metal.ask("check")

    def test_accesses_are_few(self):
        """The device is told and asked at most 160 times per GiB, and actual is written once."""
        metal = self.boot(options="orders=1", memory=1 << 30)
        before = metal.numbers("counters")
        metal.inflate(768 * MIB)
        after = metal.numbers("counters")
        counts = {name: after[name] - before[name] for name in before}
        per_gib = (counts["notifications"] + counts["config_reads"] + counts["config_writes"]) \
            * 1024 / 768
        self.assertLessEqual(per_gib, 160, counts)
        self.assertLessEqual(counts["config_writes"], 3)


class Features(MetalCase):
    def has(self, metal, *numbers):
        features = metal.ask("driver").split("features=")[1].split()[0]
        for number in numbers:
            self.assertEqual(features[number], "1", number)

    def test_statistics_come_from_the_allocator(self):
        metal = self.boot()
        self.has(metal, STATS)
        metal.inflate(64 * MIB)
        metal.ask("dirty %d" % (32 * MIB))
        metal.qmp("qom-set", path="/machine/peripheral/balloon",
                  property="guest-stats-polling-interval", value=1)
        memory = metal.numbers("memory")

        def current():
            """The first that comes was made when the driver started."""
            stats = metal.get("guest-stats")["stats"]
            return stats if stats["stat-free-memory"] == memory["free"] else None
        stats = until(current, "statistics come", pause=0.1)
        self.assertEqual(stats["stat-total-memory"], memory["total"])
        self.assertEqual(stats["stat-available-memory"], memory["available"])
        self.assertEqual(stats["stat-htlb-pgalloc"], 32 * MIB // BLOCK)
        for name in ("stat-swap-in", "stat-major-faults", "stat-disk-caches"):
            self.assertEqual(stats[name] % (1 << 64), (1 << 64) - 1, name)

    def test_deflate_on_oom(self):
        """A process that needs what the balloon has gets it; the balloon comes back later."""
        metal = self.boot(device="virtio-balloon-pci,deflate-on-oom=on", options="marks=1")
        self.has(metal, OOM)
        metal.ask("sum %d" % (16 * MIB))
        metal.inflate(180 * MIB)
        self.assertEqual(metal.numbers("pressure %d" % (150 * MIB))["exit"], 0)
        until(lambda: metal.actual() < 100 * MIB, "QEMU knows it")
        self.assertIn("cooling", metal.ask("stall"))
        metal.ask("check")
        self.assertEqual(metal.numbers("pressure %d" % (300 * MIB))["exit"], 137)
        metal.ask("validate")
        metal.wait_at(180 * MIB)
        self.check_lent(metal, 180 * MIB)

    def test_no_deflate_on_oom_unless_agreed(self):
        metal = self.boot(options="marks=1")
        metal.inflate(180 * MIB)
        self.assertEqual(metal.numbers("pressure %d" % (150 * MIB))["exit"], 137)
        metal.wait_at(180 * MIB)

    def test_free_pages_are_reported_by_pulling(self):
        metal = self.boot(device="virtio-balloon-pci,free-page-reporting=on",
                          options="marks=1 pull=1 pull_ms=50")
        self.has(metal, REPORTING)
        metal.ask("sum %d" % (16 * MIB))

        def fill_all():
            """What is reported at the moment comes back, however much of it the device has."""
            metal.fill()
            self.assertGreater(metal.resident(), metal.bytes - 24 * MIB)
        fill_all()
        metal.ask("free")
        until(lambda: metal.resident() < 40 * MIB, "free memory is the host's")
        metal.ask("check")
        # Nothing is lost to it: all free memory can be used at once, again and again.
        for _ in range(5):
            fill_all()
            metal.ask("check")
            metal.ask("free")
        metal.inflate(100 * MIB)
        metal.ask("check")
        metal.ask("validate")

    def test_poison(self):
        """Free memory keeps its poison, however often the balloon had it: the kernel looks."""
        metal = self.boot(options="marks=1 poison=0xaaaaaaaa", memory=128 * MIB)
        self.has(metal, POISON)
        metal.ask("sum %d" % (8 * MIB))
        metal.inflate(64 * MIB)
        metal.fill()
        metal.ask("free")
        metal.inflate(0)
        metal.fill()
        metal.ask("check")
        metal.ask("free")

    def check_hints(self, options, device="virtio-balloon-pci"):
        """A migration into nothing: free memory is hinted, none of what is in use is lost."""
        metal = self.boot(device=device + ",free-page-hint=on,iothread=thread",
                          options="marks=1" + options, more=("-object", "iothread,id=thread"))
        self.has(metal, HINT)
        metal.ask("sum %d" % (32 * MIB))
        metal.fill()
        metal.ask("free")
        metal.qmp("migrate", uri="exec:cat >/dev/null")
        until(lambda: metal.qmp("query-migrate").get("status") in ("completed", "failed"),
              "migrated")
        result = metal.qmp("query-migrate")
        self.assertEqual(result["status"], "completed")
        metal.qmp("cont")
        until(lambda: metal.numbers("report")["held_frames"] == 0, "all blocks are back")
        counters = metal.numbers("counters")
        self.assertGreater(counters["hint_frames"] * FRAME, 150 * MIB)
        # What was hinted did not travel.
        self.assertLess(result["ram"]["transferred"], 120 * MIB)
        metal.ask("check")
        metal.fill()
        metal.ask("check")
        metal.ask("validate")

    def test_hints_while_migrating(self):
        self.check_hints("")

    def test_hints_while_migrating_and_polling(self):
        """QEMU shows STOP while a round runs, to whoever reads it again."""
        self.check_hints(" interrupt=poll")

    def test_packed_ring_frame_by_frame(self):
        metal = self.boot(device="virtio-balloon-pci,packed=on", options="marks=1 orders=1")
        self.has(metal, PACKED)
        self.check_round(metal)

    def test_bare_device(self):
        """A device that offers as little as it can."""
        metal = self.boot(device="virtio-balloon-pci,indirect_desc=off,event_idx=off,"
                                 "page-poison=off", options="marks=1")
        self.check_round(metal)

    def test_device_that_is_paused(self):
        """A guest that is stopped and goes on, in the middle of it."""
        metal = self.boot(options="marks=1")
        metal.target(150 * MIB)
        for _ in range(10):
            metal.qmp("stop")
            metal.qmp("cont")
        metal.wait_at(150 * MIB)
        self.check_lent(metal, 150 * MIB)

    def test_reset_of_the_machine(self):
        """Another kernel begins, while requests are with the device."""
        metal = self.boot(options="marks=1", can_reboot=True)
        metal.target(150 * MIB)
        metal.qmp("system_reset")
        self.assertEqual(metal.wait_ready()["driver"], "bound")
        metal.wait_at(150 * MIB)
        self.check_lent(metal, 150 * MIB)
        metal.inflate(0)


class Times(MetalCase):
    def test_kernel_measures_its_resizes(self):
        metal = self.boot()
        began = time.monotonic()
        metal.inflate(100 * MIB)
        took = time.monotonic() - began
        times = metal.numbers("time")
        self.assertEqual((times["from_frames"], times["to_frames"]), (0, 100 * MIB // FRAME))
        self.assertGreater(times["ns"], 0)
        self.assertLess(times["ns"] / 1e9, took + 0.05)
