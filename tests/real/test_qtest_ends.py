# SPDX-License-Identifier: MIT
"""Our driver and QEMU's device when something ends: resets, sleep, a machine that is gone."""

import signal
import time
import unittest

from daemon import until
from qtest_machine import FRAME, MEMORY, MIB, Driver, QtestCase


class Resets(QtestCase):
    def test_machine_is_reset_with_a_full_balloon(self):
        """QEMU forgets the balloon and keeps the target; a new kernel starts from nothing."""
        for kind, transport in (("pc", "pci-modern"), ("pc", "pci-legacy"),
                                ("microvm,ioapic2=off", "mmio")):
            with self.subTest(kind=kind, transport=transport):
                machine = self.machine(kind)
                with Driver(machine, transport) as driver:
                    driver.wait_live()
                    machine.balloon(64 * MIB)
                    driver.wait_at(64 * MIB)
                    for _ in range(2):
                        driver.ask("pause")
                        machine.qmp("system_reset")
                        until(lambda: machine.qmp.take_events("RESET"), "the reset")
                        driver.ask("reboot")
                        driver.wait_at(64 * MIB)
                    machine.balloon(0)
                    driver.wait_at(0)
                machine.close()

    def test_machine_is_reset_under_the_driver(self):
        """The registers are gone with the BARs. What is asked for is never answered: the driver
        waits, says why, and can be stopped."""
        machine = self.machine("pc")
        with Driver(machine, "pci-modern", "--irq") as driver:
            driver.wait_live()
            machine.balloon(32 * MIB)
            driver.wait_at(32 * MIB)
            machine.qmp("system_reset")
            until(lambda: machine.qmp.take_events("RESET"), "the reset")
            began = time.monotonic()
            driver.ask("stop")
            self.assertLess(time.monotonic() - began, 10)
            self.assertEqual(driver.report()["lent"], 0)

    def test_stop_and_a_new_driver(self):
        machine = self.machine("pc")
        for transport in ("pci-modern", "pci-legacy", "pci-modern"):
            with Driver(machine, transport) as driver:
                driver.wait_live()
                machine.balloon(48 * MIB)
                driver.wait_at(48 * MIB)
                driver.ask("stop")
                self.assertEqual(driver.report()["lent"], 0)
            self.assertEqual(machine.actual(), 0)

    def test_suspend_and_resume(self):
        machine = self.machine("pc")
        with Driver(machine, "pci-modern", "--irq") as driver:
            driver.wait_live()
            driver.ask("mark")
            machine.balloon(48 * MIB)
            driver.wait_at(48 * MIB)
            for _ in range(3):
                driver.ask("suspend")
                report = driver.report()
                self.assertEqual(report["lent"], 0)
                self.assertEqual(report["status"], 0)
                self.assertEqual(machine.actual(), 0)
                driver.ask("resume")
                driver.wait_at(48 * MIB)
            self.assertEqual(driver.ask("check")["wrong"], 0)

    def test_suspend_in_the_middle(self):
        machine = self.machine("pc")
        with Driver(machine, "pci-modern", "--irq", "--request-frames", 16) as driver:
            driver.wait_live()
            machine.balloon(64 * MIB)
            driver.wait(lambda report: report["actual"] > 1000, "it has begun")
            driver.ask("suspend")
            self.assertEqual(driver.report()["lent"], 0)
            driver.ask("resume")
            driver.wait_at(64 * MIB)


class Gone(QtestCase):
    def test_qemu_dies(self):
        """With a full balloon, and in the middle. Nothing waits for ever, and all is back."""
        for moment in (0, 16 * MIB):
            with self.subTest(moment=moment):
                machine = self.machine("pc")
                with Driver(machine, "pci-modern", "--request-frames", 16) as driver:
                    driver.wait_live()
                    machine.balloon(64 * MIB)
                    driver.wait(lambda report: report["actual"] * FRAME >= moment, "it has begun")
                    machine.kill()
                    report = driver.wait(lambda report: not report["is_started"] and
                                         not report["lent"], "the driver takes all back")
                    self.assertRegex(report["qtest"], "hung up")
                machine.close()

    def test_qemu_stands_still(self):
        """No answer for a while: the driver says so, and goes on when QEMU does."""
        machine = self.machine("pc")
        with Driver(machine, "pci-modern", "--irq") as driver:
            driver.wait_live()
            machine.balloon(16 * MIB)
            driver.wait_at(16 * MIB)
            machine.process.send_signal(signal.SIGSTOP)
            time.sleep(0.5)
            machine.process.send_signal(signal.SIGCONT)
            machine.balloon(32 * MIB)
            driver.wait_at(32 * MIB)


class Paused(QtestCase):
    def test_machine_that_never_ran(self):
        machine = self.machine("pc", paused=True)
        with Driver(machine, "pci-modern", "--irq") as driver:
            driver.wait_live()
            driver.ask("mark")
            machine.balloon(64 * MIB)
            driver.wait_at(64 * MIB)
            self.assertLess(machine.resident(), MEMORY - 60 * MIB)

    def test_machine_is_paused_in_between(self):
        machine = self.machine("pc")
        with Driver(machine, "pci-modern", "--irq", "--request-frames", 64) as driver:
            driver.wait_live()
            machine.balloon(64 * MIB)
            machine.qmp("stop")
            self.settle(0.2)
            machine.qmp("cont")
            driver.wait_at(64 * MIB)


if __name__ == "__main__":
    unittest.main()
