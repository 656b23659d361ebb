# SPDX-License-Identifier: MIT
"""Our driver through every transport against QEMU's device: sizes, requests, memory that goes."""

import random
import unittest

from qtest_machine import (EVENT_IDX, FRAME, INDIRECT, MEMORY, MIB, PACKED, PER_MIB, STATS,
                           VERSION_1, Driver, QmpError, QtestCase, bits)

# Machine, more properties, more options, transport, whether there is VERSION_1.
KINDS = {
    "pci modern": ("pc", "", (), "pci-modern", True),
    "pci modern only": ("pc", "disable-legacy=on", (), "pci-modern", True),
    "pci express": ("q35", "", (), "pci-modern", True),
    "pci transitional as legacy": ("pc", "", (), "pci-legacy", False),
    "pci legacy only": ("pc", "disable-modern=on", (), "pci-legacy", False),
    "mmio 2": ("microvm,ioapic2=off", "", ("-global", "virtio-mmio.force-legacy=false"), "mmio",
               True),
    "mmio 1": ("microvm,ioapic2=off", "", ("-global", "virtio-mmio.force-legacy=true"), "mmio",
               False),
}


class Transports(QtestCase):
    def check_resize(self, machine, driver):
        driver.ask("mark")
        full = machine.resident()
        self.assertGreater(full, MEMORY - 16 * MIB)
        machine.balloon(64 * MIB)
        driver.wait_at(64 * MIB)
        self.assert_near(full - machine.resident(), 64 * MIB, MIB)
        machine.balloon(10 * MIB + 3 * FRAME)
        driver.wait_at(10 * MIB + 3 * FRAME)
        # What came back can be used, and what was never given has not changed.
        self.assertEqual(driver.ask("check")["wrong"], 0)
        driver.ask("mark")
        self.assert_near(full - machine.resident(), 10 * MIB, MIB)
        machine.balloon(0)
        self.assertEqual(driver.wait_at(0)["lent"], 0)
        self.assertEqual(driver.ask("check")["wrong"], 0)
        self.assertTrue(driver.ask("memory 4096")["is_same"])
        self.assertTrue(machine.qmp.take_events("BALLOON_CHANGE"))

    def test_inflate_and_deflate_on_every_transport(self):
        for name, (kind, device, more, transport, is_modern) in KINDS.items():
            for irq in ((), ("--irq",)):
                with self.subTest(name=name, irq=bool(irq)):
                    machine = self.machine(kind, device, more=more)
                    with Driver(machine, transport, *irq) as driver:
                        report = driver.wait_live()
                        self.assertEqual(report["is_legacy"], not is_modern)
                        self.assertEqual(report["features"] >> VERSION_1 & 1, is_modern)
                        self.check_resize(machine, driver)
                        # Interrupts of the queues are not needed one by one.
                        report = driver.report()
                        if irq:
                            self.assertGreater(report["irqs"], 0)
                    machine.close()

    def test_ring_formats(self):
        """What QEMU offers and the driver declines, and what QEMU does not offer."""
        cases = [("packed=on", 0, bits(PACKED, INDIRECT, EVENT_IDX)),
                 ("packed=on,event_idx=off", 0, bits(PACKED, INDIRECT)),
                 ("packed=on,indirect_desc=off", 0, bits(PACKED, EVENT_IDX)),
                 ("packed=on,indirect_desc=off,event_idx=off", 0, bits(PACKED)),
                 ("packed=on", bits(PACKED), bits(INDIRECT, EVENT_IDX)),
                 ("event_idx=off", 0, bits(INDIRECT)),
                 ("indirect_desc=off", 0, bits(EVENT_IDX)),
                 ("indirect_desc=off,event_idx=off", 0, 0),
                 ("", bits(INDIRECT, EVENT_IDX), 0)]
        for device, declined, features in cases:
            with self.subTest(device=device, declined=hex(declined)):
                machine = self.machine("pc", device)
                with Driver(machine, "pci-modern", "--irq", "--decline", declined) as driver:
                    report = driver.wait_live()
                    self.assertEqual(report["features"] & bits(PACKED, INDIRECT, EVENT_IDX),
                                     features)
                    self.check_resize(machine, driver)
                machine.close()

    def test_places_of_registers(self):
        """Notifications in a page for each queue, and through ports."""
        for device in ("page-per-vq=on", "modern-pio-notify=on", "disable-legacy=on,packed=on"):
            with self.subTest(device=device):
                machine = self.machine("pc", device)
                with Driver(machine, "pci-modern") as driver:
                    driver.wait_live()
                    self.check_resize(machine, driver)
                machine.close()

    def test_interface_that_is_not_there(self):
        machine = self.machine("pc", "disable-legacy=on")
        with self.assertRaisesRegex(AssertionError, "there is no such device"):
            Driver(machine, "pci-legacy")
        machine = self.machine("pc", "disable-modern=on")
        with self.assertRaisesRegex(AssertionError, "there is no such device"):
            Driver(machine, "pci-modern")
        machine = self.machine("pc")
        with self.assertRaisesRegex(AssertionError, "there is no such device"):
            Driver(machine, "mmio")

    def test_device_that_insists_on_addresses_of_its_own(self):
        """ACCESS_PLATFORM is declined, and QEMU does not keep FEATURES_OK."""
        machine = self.machine("pc", "iommu_platform=on,disable-legacy=on")
        with Driver(machine) as driver:
            driver.wait(lambda report: "cannot balloon" in report["stall"], "it is refused")
            self.assertEqual(driver.report()["status"] & 4, 0)


class Sizes(QtestCase):
    def test_requests_of_any_size_and_number(self):
        for requests, frames, orders in ((1, 1, 1), (1, 256, 1), (3, 7, 0x201), (64, 1024, 0x201),
                                         (4, 8192, 0x201)):
            with self.subTest(requests=requests, frames=frames, orders=orders):
                machine = self.machine("pc")
                size = 2 * MIB if frames < 8 else 96 * MIB
                with Driver(machine, "pci-modern", "--irq", "--requests", requests,
                            "--request-frames", frames, "--orders", orders) as driver:
                    driver.ask("mark")
                    full = machine.resident()
                    machine.balloon(size)
                    report = driver.wait_at(size)
                    self.assert_near(full - machine.resident(), size, MIB)
                    self.assertGreaterEqual(report["counters"]["inflate_requests"],
                                            size // FRAME // frames)
                    machine.balloon(0)
                    driver.wait_at(0)
                    self.assertEqual(driver.ask("check")["wrong"], 0)
                machine.close()

    def test_sizes_that_are_no_multiples(self):
        machine = self.machine("pc")
        with Driver(machine) as driver:
            for frames in (1, 255, 256, 257, 512, 513, 1, 4097, 0):
                machine.balloon(frames * FRAME)
                driver.wait_at(frames * FRAME)

    def test_more_than_there_is(self):
        """QEMU takes a size of one byte. The guest gives what it has, and says why no more."""
        machine = self.machine("pc")
        with Driver(machine) as driver:
            driver.wait_live()
            machine.qmp("balloon", value=1)
            report = driver.wait(lambda report: "has none to give" in report["stall"]
                                 or "no memory" in report["stall"], "nothing is left")
            self.assertGreater(report["actual"], (MEMORY // MIB - 12) * PER_MIB)
            self.assertEqual(report["target"], MEMORY // FRAME - 1)
            machine.balloon(0)
            driver.wait_at(0)

    def test_sizes_that_qemu_refuses_or_cuts(self):
        machine = self.machine("pc")
        with Driver(machine) as driver:
            driver.wait_live()
            with self.assertRaisesRegex(QmpError, "expects a size"):
                machine.qmp("balloon", value=0)
            machine.balloon(MIB)
            driver.wait_at(MIB)
            machine.qmp("balloon", value=1 << 50)
            driver.wait_at(0)

    def test_sizes_that_change_all_the_time(self):
        chance = random.Random(4)
        machine = self.machine("pc")
        with Driver(machine, "pci-modern", "--irq") as driver:
            driver.wait_live()
            driver.ask("mark")
            for _ in range(200):
                machine.balloon(chance.randrange(MEMORY // FRAME - 4096) * FRAME)
                driver.report()
            machine.balloon(32 * MIB)
            driver.wait_at(32 * MIB)
            self.assertEqual(driver.ask("check")["wrong"], 0)

    def test_target_is_set_before_the_driver_comes(self):
        machine = self.machine("pc", paused=True)
        machine.balloon(16 * MIB)
        with Driver(machine) as driver:
            driver.wait_at(16 * MIB)

    def test_notifications_and_accesses_are_few(self):
        machine = self.machine("pc", memory=512 * MIB)
        with Driver(machine, "pci-modern", "--irq") as driver:
            before = driver.wait_live()["accesses"]
            machine.balloon(384 * MIB)
            after = driver.wait_at(384 * MIB)["accesses"]
            used = {name: after[name] - before[name] for name in after}
            # Linux: 3 for each MiB, a notification, a read and a write of configuration space.
            self.assertLess(used["notifications"], 384)
            self.assertLess(used["config_reads"] + used["config_writes"], 20)


if __name__ == "__main__":
    unittest.main()
