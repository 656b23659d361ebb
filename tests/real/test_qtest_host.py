# SPDX-License-Identifier: MIT
"""What else a host asks of our driver through QEMU's device: statistics, hints, reports, poison."""

import os
import time
import unittest

from daemon import until
from qtest_machine import (DEFLATE_ON_OOM, FRAME, HINT, MEMORY, MIB, NO_QUEUE, POISON, REPORTING,
                           STATS, Driver, QmpError, QtestCase, bits)

# How QEMU names the sixteen tags, in their order.
NAMES = ["stat-swap-in", "stat-swap-out", "stat-major-faults", "stat-minor-faults",
         "stat-free-memory", "stat-total-memory", "stat-available-memory", "stat-disk-caches",
         "stat-htlb-pgalloc", "stat-htlb-pgfail"]
ABSENT = (1 << 64) - 1


class Statistics(QtestCase):
    def read(self, machine, since=0):
        """Statistics that came after that time."""
        def fresh():
            stats = machine.get("guest-stats")
            return stats if stats["last-update"] > since else None
        return until(fresh, "statistics come", 10, 0.05)

    def test_values_arrive_and_what_is_not_known_is_absent(self):
        machine = self.machine("pc")
        with Driver(machine, "pci-modern", "--irq", "--stats", "0 1000 2 7 7 12345678") as driver:
            driver.wait_live()
            machine.set("guest-stats-polling-interval", 1)
            stats = self.read(machine)
            values = stats["stats"]
            self.assertEqual(values["stat-swap-in"], 1000)
            self.assertEqual(values["stat-major-faults"], 7)
            self.assertEqual(values["stat-disk-caches"], 12345678)
            self.assertEqual(values["stat-total-memory"], MEMORY)
            self.assertEqual(values["stat-free-memory"], driver.report()["free"] * FRAME)
            for name in ("stat-swap-out", "stat-minor-faults", "stat-available-memory",
                         "stat-htlb-pgalloc", "stat-htlb-pgfail"):
                self.assertEqual(values[name] % (1 << 64), ABSENT, name)

    def test_values_are_fresh_at_each_poll(self):
        machine = self.machine("pc")
        with Driver(machine, "pci-modern", "--irq", "--stats", "3 1") as driver:
            driver.wait_live()
            machine.set("guest-stats-polling-interval", 1)
            since = self.read(machine)["last-update"]
            machine.balloon(32 * MIB)
            free = driver.wait_at(32 * MIB)["free"] * FRAME
            driver.ask("stats 3 99")
            for _ in range(3):
                stats = self.read(machine, since)
                since = stats["last-update"]
            self.assertEqual(stats["stats"]["stat-minor-faults"], 99)
            self.assertEqual(stats["stats"]["stat-free-memory"], free)
            buffers = driver.report()["counters"]["stats_buffers"]
            self.assertGreaterEqual(buffers, 4)
            # Turned off, nothing is asked any more.
            machine.set("guest-stats-polling-interval", 0)
            self.settle(0.1)
            buffers = driver.report()["counters"]["stats_buffers"]
            self.settle(1.5)
            self.assertEqual(driver.report()["counters"]["stats_buffers"], buffers)

    def test_every_tag(self):
        values = [1 << tag for tag in range(len(NAMES))]
        text = " ".join("%d %d" % pair for pair in enumerate(values))
        for transport, device in (("pci-modern", "packed=on"), ("pci-legacy", "")):
            with self.subTest(transport=transport):
                machine = self.machine("pc", device)
                with Driver(machine, transport, "--stats", text + " 10 5 15 6") as driver:
                    driver.wait_live()
                    machine.set("guest-stats-polling-interval", 1)
                    stats = self.read(machine)["stats"]
                    self.assertEqual([stats[name] for name in NAMES], values)
                machine.close()

    def test_interval_that_qemu_refuses(self):
        machine = self.machine("pc")
        with Driver(machine) as driver:
            driver.wait_live()
            with self.assertRaises(QmpError):
                machine.set("guest-stats-polling-interval", -1)

    def test_declined(self):
        machine = self.machine("pc")
        with Driver(machine, "pci-modern", "--decline", bits(STATS)) as driver:
            report = driver.wait_live()
            self.assertEqual(report["features"] & bits(STATS), 0)
            self.assertEqual(report["queue_index"][2], NO_QUEUE)
            machine.set("guest-stats-polling-interval", 1)
            machine.balloon(8 * MIB)
            driver.wait_at(8 * MIB)
            self.assertEqual(machine.get("guest-stats")["last-update"], 0)


class Pressure(QtestCase):
    def test_deflate_on_oom(self):
        machine = self.machine("pc", "deflate-on-oom=on")
        with Driver(machine, "pci-modern", "--irq") as driver:
            report = driver.wait_live()
            self.assertTrue(report["features"] & bits(DEFLATE_ON_OOM))
            machine.balloon(64 * MIB)
            driver.wait_at(64 * MIB)
            answer = driver.ask("reclaim oom 1000")
            self.assertEqual(answer["status"], "success")
            self.assertGreaterEqual(answer["frames"], 1000)
            # QEMU hears of it, and after the pause the balloon is filled again.
            until(lambda: machine.actual() < 64 * MIB, "QEMU knows of it")
            self.assertIn("cool", driver.report()["stall"])
            driver.wait_at(64 * MIB)

    def test_without_the_feature_nothing_comes(self):
        machine = self.machine("pc", "deflate-on-oom=off")
        with Driver(machine) as driver:
            driver.wait_live()
            machine.balloon(64 * MIB)
            driver.wait_at(64 * MIB)
            answer = driver.ask("reclaim oom 1000")
            self.assertEqual(answer["frames"], 0)
            self.assertNotEqual(answer["status"], "success")
            self.settle(0.1)
            self.assertEqual(machine.actual(), 64 * MIB)

    def test_short_of_memory_then_there_is_more(self):
        machine = self.machine("pc")
        with Driver(machine) as driver:
            free = driver.wait_live()["free"]
            driver.ask("pin %d" % (free - 1000))
            machine.balloon(64 * MIB)
            driver.wait(lambda report: report["free"] == 0 and report["actual"] == 1000,
                        "all is given")
            driver.ask("unpin %d" % free)
            driver.wait_at(64 * MIB)


class ReportCase(QtestCase):
    def mark(self, machine, driver):
        """All free memory, none of which is with the device; answers what lies behind it."""
        driver.ask("reporting off")
        driver.wait(lambda report: not report["lent"], "the pass has ended")
        driver.ask("mark")
        full = machine.resident()
        driver.ask("reporting on")
        return full


class Poison(ReportCase):
    def test_accepted_where_the_kernel_poisons(self):
        machine = self.machine("pc")
        with Driver(machine, "pci-modern", "--poison", 0xaaaaaaaa) as driver:
            self.assertTrue(driver.wait_live()["features"] & bits(POISON))
            machine.balloon(16 * MIB)
            driver.wait_at(16 * MIB)
            machine.balloon(0)
            driver.wait_at(0)

    def test_declined_where_it_does_not(self):
        for device, options in (("", ()), ("page-poison=off", ()),
                                ("page-poison=off", ("--poison", 0xaaaaaaaa))):
            with self.subTest(device=device, options=options):
                machine = self.machine("pc", device)
                with Driver(machine, "pci-modern", *options) as driver:
                    self.assertFalse(driver.wait_live()["features"] & bits(POISON))
                    machine.balloon(16 * MIB)
                    driver.wait_at(16 * MIB)
                machine.close()

    def test_reports(self):
        """QEMU throws reported memory away only if it may come back as zeros."""
        for poison, is_freed in ((0, True), (0xaaaaaaaa, False)):
            with self.subTest(poison=poison):
                machine = self.machine("pc", "free-page-reporting=on")
                with Driver(machine, "pci-modern", "--poison", poison, "--pull") as driver:
                    self.assertTrue(driver.wait_live()["features"] & bits(REPORTING))
                    full = self.mark(machine, driver)
                    least = full
                    passes = driver.report()["counters"]["report_passes"]
                    while driver.report()["counters"]["report_passes"] < passes + 3:
                        least = min(least, machine.resident())
                    # What is given back to the kernel is filled with poison again.
                    if is_freed:
                        self.assertLess(least, full - 32 * MIB)
                    else:
                        self.assertEqual(least, full)
                machine.close()

    def test_reports_are_not_accepted_without_poison(self):
        """The kernel relies on poison in free pages, and the device does not know of it."""
        machine = self.machine("pc", "free-page-reporting=on,page-poison=off")
        with Driver(machine, "pci-modern", "--poison", 0xaaaaaaaa, "--pull") as driver:
            self.assertFalse(driver.wait_live()["features"] & bits(POISON, REPORTING))


class Reports(ReportCase):
    def test_free_memory_goes_and_the_rest_stays(self):
        for device, transport in (("", "pci-modern"), ("packed=on", "pci-modern"),
                                  ("", "pci-legacy")):
            with self.subTest(device=device, transport=transport):
                machine = self.machine("pc", "free-page-reporting=on," + device)
                with Driver(machine, transport, "--irq", "--pull") as driver:
                    report = driver.wait_live()
                    # QEMU has no queue of hints, so this one is the fourth.
                    self.assertEqual(report["queue_index"], [0, 1, 2, NO_QUEUE, 3])
                    self.assertTrue(report["is_compact"])
                    driver.ask("pin 20")
                    full = self.mark(machine, driver)
                    until(lambda: machine.resident() < full - 16 * MIB, "memory goes", 10)
                    self.assertEqual(driver.ask("check")["wrong"], 0)
                    self.assertGreater(driver.report()["counters"]["report_frames"], 4096)
                    machine.balloon(8 * MIB)
                    driver.wait_at(8 * MIB)
                machine.close()

    def test_turned_on_and_off(self):
        machine = self.machine("pc", "free-page-reporting=on")
        with Driver(machine, "pci-modern", "--irq", "--pull") as driver:
            driver.wait_live()
            driver.wait(lambda report: report["counters"]["report_passes"] > 0, "a pass")
            driver.ask("reporting off")
            driver.wait(lambda report: not report["lent"], "the pass has ended")
            driver.ask("mark")
            full = machine.resident()
            passes = driver.report()["counters"]["report_passes"]
            self.settle(0.4)
            self.assertEqual(machine.resident(), full)
            self.assertLessEqual(driver.report()["counters"]["report_passes"], passes + 1)
            driver.ask("reporting on 0 %d" % (8 * MIB))
            until(lambda: machine.resident() < full, "memory goes again", 10)
            self.assertEqual(driver.ask("check")["wrong"], 0)

    def test_not_offered(self):
        machine = self.machine("pc")
        with Driver(machine, "pci-modern", "--pull") as driver:
            self.assertFalse(driver.wait_live()["features"] & bits(REPORTING))

    def test_hints_offered_and_declined(self):
        """QEMU numbers by what it offers: the queue of reports is the fifth then, as it is in the
        specification, but not in Linux."""
        machine = self.machine("pc", "free-page-reporting=on,free-page-hint=on,iothread=io",
                               more=("-object", "iothread,id=io"))
        with Driver(machine, "pci-modern", "--pull", "--decline", bits(HINT)) as driver:
            report = driver.wait_live()
            self.assertEqual(report["queue_index"], [0, 1, 2, NO_QUEUE, 4])
            full = self.mark(machine, driver)
            until(lambda: machine.resident() < full - 16 * MIB, "memory goes", 10)
            self.assertEqual(driver.ask("check")["wrong"], 0)


class Hints(QtestCase):
    def migrate(self, machine):
        """Into nothing; answers what QEMU tells of it."""
        machine.qmp("migrate", uri="exec:cat > /dev/null")

        def ended():
            found = machine.qmp("query-migrate")
            return found if found.get("status") in ("completed", "failed", "cancelled") else None
        found = until(ended, "the migration ends", 30, 0.02)
        self.assertEqual(found["status"], "completed", found)
        return found["ram"]

    def hinting_machine(self, device=""):
        return self.machine("pc", "free-page-hint=on,iothread=io" + device,
                            more=("-object", "iothread,id=io"))

    def test_free_memory_is_not_sent(self):
        for device, transport in (("", "pci-modern"), (",packed=on", "pci-modern"),
                                  ("", "pci-legacy")):
            with self.subTest(device=device, transport=transport):
                machine = self.hinting_machine(device)
                with Driver(machine, transport, "--irq") as driver:
                    report = driver.wait_live()
                    self.assertTrue(report["features"] & bits(HINT))
                    self.assertEqual(report["queue_index"][3], 3)
                    driver.ask("pin 20")
                    driver.ask("mark")
                    # So slow that there is time for hints.
                    machine.qmp("migrate-set-parameters", max_bandwidth=64 * MIB)
                    ram = self.migrate(machine)
                    report = driver.wait(lambda report: not report["held"], "all is back")
                    self.assertGreaterEqual(report["counters"]["hint_rounds"], 1)
                    self.assertGreater(report["counters"]["hint_frames"], 4096)
                    self.assertLess(ram["normal"], MEMORY // FRAME - 4096)
                    # Hinted pages are still there: nothing was thrown away.
                    self.assertGreater(machine.resident(), MEMORY - 16 * MIB)
                    self.assertEqual(driver.ask("check")["wrong"], 0)
                machine.close()

    def test_declined_all_is_sent(self):
        machine = self.hinting_machine()
        with Driver(machine, "pci-modern", "--decline", bits(HINT)) as driver:
            driver.wait_live()
            driver.ask("mark")
            ram = self.migrate(machine)
            self.assertGreater(ram["normal"], (MEMORY - 16 * MIB) // FRAME)

    def test_after_a_migration_that_is_cancelled(self):
        machine = self.hinting_machine()
        with Driver(machine, "pci-modern", "--irq") as driver:
            driver.wait_live()
            driver.ask("mark")
            machine.qmp("migrate-set-parameters", max_bandwidth=MIB)
            machine.qmp("migrate", uri="exec:cat > /dev/null")
            driver.wait(lambda report: report["counters"]["hint_frames"] > 1000, "hints")
            machine.qmp("migrate_cancel")
            driver.wait(lambda report: not report["held"], "all is back")
            machine.balloon(64 * MIB)
            driver.wait_at(64 * MIB)


if __name__ == "__main__":
    unittest.main()
