# SPDX-License-Identifier: MIT
"""`aerostat run --guest baremetal`: our driver in our own small kernel, on three processors."""

import os
import re
import shutil
import signal
import time
import unittest

from daemon import BUILD
from guest import MIB
import test_run_qemu
from test_run_qemu import FRAME, LEDGER_KEYS

SMALL = ["--memory", "128M", "--balloon", "64M"]


def missing(arch):
    """Why that one cannot be run, or ''."""
    if not shutil.which("qemu-system-" + arch):
        return "there is no qemu-system-" + arch
    path = os.path.join(BUILD, "ports", "baremetal", "aerostat-%s.elf" % arch)
    return "" if os.path.exists(path) else "there is no " + path


class MetalCase(test_run_qemu.QemuCase):
    arch = "x86_64"

    def setUp(self):
        super().setUp()
        self.guest = "baremetal-" + self.arch
        self.program = "qemu-system-" + self.arch

    def check_metal(self, result, balloon):
        """The driver's own account, besides what the host saw."""
        self.assertIs(result["good"], True)
        self.assertEqual(result["guest"], "baremetal-" + self.arch)
        self.assertEqual(result["guest_kernel"], "aerostat-" + self.arch)
        self.assertEqual(result["verdict"], {"is_target_reported": True, "is_ledger_agreed": None,
                                             "is_memory_freed": True, "is_account_agreed": True})
        self.assertEqual(result["actual_bytes"], balloon)
        self.assertEqual(result["frames"] * FRAME, balloon)
        for key in set(LEDGER_KEYS) - {"requests", "deflate_requests", "counters"}:
            self.assertIsNone(result[key], key)
        beside = result["memory_bytes"] - balloon
        self.assertLess(result["resident_inflated_bytes"], beside + 4 * MIB)
        account = result["guest_account"]
        self.assertEqual(account["differences"], [])
        self.assertEqual(account["frames_inflated"] * FRAME, balloon)
        self.assertEqual(account["frames_after"], 0)
        # The guest's clock begins later and ends earlier than ours.
        for way in ("inflate_seconds", "deflate_seconds"):
            self.assertLess(account[way], result[way] + 0.05)
        free = [result["guest_free_%s_bytes" % when] for when in ("before", "inflated", "after")]
        self.assertLess(free[1], free[0] - balloon * 0.9)
        self.assertLess(result["guest_stats"]["free_memory_bytes"], free[0] - balloon * 0.9)
        # All of them come back, but for what the driver keeps its books in.
        self.assertLess(free[0] - free[2], MIB // 4)
        counters = result["counters"]["driver"]
        self.assertEqual(result["requests"], counters["inflate_requests"])
        self.assertGreaterEqual(result["requests"], balloon // MIB)
        self.assertEqual((counters["broken_queues"], counters["device_resets"]), (0, 0))

    def check_arch(self):
        result, out, err = self.run_json(0, *SMALL)
        self.check_metal(result, 64 * MIB)
        self.assertIn("Booting the bare-metal kernel", err)
        self.assertIn("account agrees with QEMU's", out)
        self.assertIn("stats_vq", result["features"])
        self.assertGreater(result["guest_stats"]["total_memory_bytes"], 100 * MIB)


class Metal(MetalCase):
    @unittest.skipIf(missing("x86_64"), missing("x86_64"))
    def test_defaults(self):
        started = time.monotonic()
        result, _, _ = self.run_json(0, "--plot", self.path("plot.svg"))
        print("# %.1f s; per GiB inflated in %.2f s, deflated in %.2f s" % (
            time.monotonic() - started, result["inflate_seconds_per_gib"],
            result["deflate_seconds_per_gib"]))
        self.assertEqual((result["memory_bytes"], result["target_bytes"]), (1024 * MIB, 512 * MIB))
        self.check_metal(result, 512 * MIB)
        # Several requests in flight: far fewer notifications than requests, and `actual` once.
        counters = result["counters"]["driver"]
        self.assertLess(counters["notifications"], (counters["inflate_requests"] +
                                                    counters["deflate_requests"]) // 2)
        self.assertLess(counters["config_writes"], 8)

    @unittest.skipIf(missing("x86_64"), missing("x86_64"))
    def test_short_name(self):
        """Without an architecture it is a PC; odd sizes are met to the page."""
        self.guest = "baremetal"
        result, _, _ = self.run_json(0, "--memory", "100M", "--balloon", "41943040")
        self.check_metal(result, 40 * MIB)
        result, _, _ = self.run_json(0, "--memory", "100M", "--balloon", "50003968")
        self.check_metal(result, 50003968)

    @unittest.skipIf(missing("aarch64"), missing("aarch64"))
    def test_aarch64(self):
        self.arch = "aarch64"
        MetalCase.setUp(self)
        self.check_arch()

    @unittest.skipIf(missing("riscv64"), missing("riscv64"))
    def test_riscv64(self):
        self.arch = "riscv64"
        MetalCase.setUp(self)
        self.check_arch()

    @unittest.skipIf(missing("x86_64"), missing("x86_64"))
    def test_balloon_that_does_not_fit(self):
        """The guest keeps what it needs; the run says where it stopped, in time."""
        result, _, _ = self.run_json(1, "--memory", "128M", "--balloon", "98%", "--timeout", "8")
        self.assertRegex(result["failure"], r"timed out: .*target 125\.4 MiB, actual 1[12]\d\.\d")
        self.assertIsNone(result["verdict"])


@unittest.skipIf(missing("x86_64"), missing("x86_64"))
class Ends(MetalCase):
    # Large, so that there is something to interrupt.
    small = ["--memory", "1G", "--balloon", "75%"]

    def test_interrupted(self):
        for phase, delay, number in (("Booting", 0, signal.SIGINT), ("dirties", 0, signal.SIGTERM),
                                     ("Inflating", 0.05, signal.SIGINT)):
            with self.subTest(phase=phase, delay=delay):
                self.check_interrupted(phase, delay, number)

    def test_qemu_is_killed(self):
        self.check_killed()

    def test_kernel_that_panics(self):
        result, _, _ = self.run_json(1, *SMALL, "--append", "page_order=9")
        self.assertRegex(result["failure"], "panicked.*page_order is 0 to 4")


class Refusals(MetalCase):
    def test_options_of_other_guests(self):
        for option, value in (("--features", "none"), ("--modules", "/tmp"),
                              ("--discard", "none"), ("--trace", "/tmp/x")):
            self.refuse(2, option + ": not with --guest baremetal-x86_64", option, value)
        self.refuse(2, "--memory: the bare-metal kernel needs 64 MiB", "--memory", "32M")

    def test_kernels(self):
        self.refuse(1, "no kernel at /nonexistent", "--kernel", "/nonexistent")

    @unittest.skipIf(missing("x86_64"), missing("x86_64"))
    def test_what_qemu_cannot_boot_is_told_in_its_words(self):
        text = self.path("text")
        with open(text, "w", encoding="ascii") as stream:
            stream.write("no kernel\n")
        self.refuse(1, "last words: qemu.*kernel", "--kernel", text)

    def test_missing_qemu_names_its_package(self):
        kernel = self.path("kernel")
        with open(kernel, "w", encoding="ascii") as stream:
            stream.write("any")
        self.environment["PATH"] = self.folder
        for arch, package in (("x86_64", "x86"), ("aarch64", "arm"), ("riscv64", "misc")):
            self.guest = "baremetal-" + arch
            self.refuse(1, re.escape("no qemu-system-%s in PATH: install the package "
                                     "qemu-system-%s" % (arch, package)), "--kernel", kernel)


if __name__ == "__main__":
    unittest.main()
