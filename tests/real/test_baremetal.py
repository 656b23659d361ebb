# SPDX-License-Identifier: MIT
"""The bare-metal kernel on three processors: the port's conformance, and each way to the device."""

from baremetal_guest import MIB, MetalCase

MODERN_MMIO = ("-global", "virtio-mmio.force-legacy=false")
LEGACY_PCI = "virtio-balloon-pci,disable-modern=on,disable-legacy=off"


class Kernels:
    """What must hold on each of them."""

    MACHINE = "virt"
    MMIO_MACHINE = "virt"

    def check_way(self, bus, machine, device, options="", **more):
        metal = self.boot(machine, device, "marks=1 " + options, **more)
        self.assertEqual((metal.ready["driver"], metal.ready["bus"], metal.ready["interrupt"]),
                         ("bound", bus, "line"))
        self.check_round(metal)
        # It slept while there was nothing to do: a request takes no more than an interrupt or two.
        counters = metal.numbers("counters")
        self.assertLess(counters["interrupts"], counters["inflate_requests"])
        self.assertEqual(counters["broken_queues"], 0)
        self.assertEqual(metal.power_off(), 0)

    def test_conformance_suite(self):
        metal = self.boot(self.MACHINE, None, "marks=1")
        self.assertEqual(metal.ready["driver"], "absent")
        result = metal.numbers("conformance")
        said = [line for line in metal.log if line.startswith("conformance: ")]
        self.assertEqual((result["failed"], result["skipped"]), (0, 0), said)
        self.assertGreater(result["passed"], 15)
        self.assertEqual(len(said), result["passed"])
        metal.ask("validate")
        # And again with memory in pieces: what is in use, what is free, and holes.
        metal.ask("sum %d" % (100 * MIB))
        self.assertEqual(metal.numbers("conformance")["failed"], 0)
        metal.ask("check")

    def test_conformance_suite_with_large_pages(self):
        for order in (2, 4):
            with self.subTest(order=order):
                metal = self.boot(self.MACHINE, None, "marks=1 page_order=%d" % order)
                result = metal.numbers("conformance")
                self.assertEqual((result["failed"], result["skipped"]), (0, 0), metal.log)

    def test_conformance_suite_beside_a_balloon(self):
        metal = self.boot(self.MACHINE, options="marks=1 orders=1")
        metal.inflate(64 * MIB)
        result = metal.numbers("conformance")
        self.assertEqual((result["failed"], result["skipped"]), (0, 1))
        self.check_lent(metal, 64 * MIB)
        metal.ask("validate")

    def test_pci(self):
        self.check_way("pci", self.MACHINE, "virtio-balloon-pci")

    def test_pci_packed(self):
        self.check_way("pci", self.MACHINE, "virtio-balloon-pci,packed=on")

    def test_pci_legacy(self):
        self.check_way("pci-legacy", self.MACHINE, LEGACY_PCI)

    def test_mmio(self):
        self.check_way("mmio", self.MMIO_MACHINE, "virtio-balloon-device", more=MODERN_MMIO)

    def test_mmio_legacy(self):
        self.check_way("mmio-legacy", self.MMIO_MACHINE, "virtio-balloon-device",
                       more=("-global", "virtio-mmio.force-legacy=true"))

    def test_frame_by_frame(self):
        metal = self.boot(self.MACHINE, options="marks=1 orders=1")
        self.check_round(metal)

    def test_reboot(self):
        """The kernel starts again on memory that has been used, and finds its device."""
        metal = self.boot(self.MACHINE, options="marks=1", can_reboot=True)
        metal.inflate(64 * MIB)
        metal.ask("reboot")
        self.assertEqual(metal.wait_ready()["driver"], "bound")
        # Until the driver has said that it has none.
        metal.wait_at(64 * MIB)
        metal.inflate(0)
        metal.ask("validate")


class X8664(Kernels, MetalCase):
    ARCH = "x86_64"
    MACHINE = "q35"
    MMIO_MACHINE = "microvm,acpi=off"

    def test_pc(self):
        self.check_way("pci", "pc", "virtio-balloon-pci")

    def test_transitional_device_as_of_old(self):
        self.check_way("pci-legacy", "pc", "virtio-balloon-pci", "transport=pci-legacy")

    def test_microvm_with_acpi(self):
        """Its places are in ACPI's own language, so the command line names one."""
        self.check_way("mmio-legacy", "microvm", "virtio-balloon-device",
                       "virtio_mmio.device=512@0xfeb02e00:47")

    def test_memory_above_4_gib(self):
        metal = self.boot(options="marks=1", memory=6 << 30)
        total = metal.ready["total"]
        self.assertGreater(total, (6 << 30) - 16 * MIB)
        metal.inflate(5 << 30)
        self.assertEqual(metal.numbers("report")["marked_frames"], (5 << 30) // 4096)
        metal.fill()
        metal.ask("check")
        metal.ask("validate")

    def test_panic_ends_with_failure(self):
        metal = self.boot(options="marks=1", more=("-device", "isa-debug-exit,iobase=0xf4"))
        metal.start("panic")
        self.assertEqual(metal.wait_end(), 3)
        self.assertEqual(metal.log[-1], "panic: as was asked for")


class AArch64(Kernels, MetalCase):
    ARCH = "aarch64"

    def test_gic_version_3(self):
        self.check_way("pci", "virt,gic-version=3", "virtio-balloon-pci")

    def test_entered_at_el2(self):
        self.check_way("mmio-legacy", "virt,virtualization=on", "virtio-balloon-device", cpu="max")


class RiscV64(Kernels, MetalCase):
    ARCH = "riscv64"

    def test_panic_ends_with_failure(self):
        metal = self.boot(self.MACHINE, options="marks=1")
        metal.start("panic")
        self.assertNotEqual(metal.wait_end(), 0)
        self.assertEqual(metal.log[-1], "panic: as was asked for")
