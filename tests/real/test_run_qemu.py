# SPDX-License-Identifier: MIT
"""`aerostat run --guest linux`: Debian's virtio_balloon against QEMU's own device, over QMP."""

import json
import os
import signal
import time
import unittest

from guest import MIB
import test_run
from test_run_vmware import QEMU

FRAME = 4096
SMALL = ["--memory", "320M", "--balloon", "160M"]
# What only a device of ours tells.
LEDGER_KEYS = ("ledger_bytes", "requests", "runs", "discards", "discard_asked_bytes",
               "discard_freed_bytes", "deflate_requests", "deflate_discards", "counters",
               "resident_under_balloon_bytes", "resident_left_bytes", "discard_mode")
OTHER_KEYS = ("capabilities", "host_calls", "guest_account")


class QemuCase(test_run.RunCase):
    guest = "linux"
    program = "qemu-system-x86_64"
    small = SMALL  # what is ended early

    def command(self, *options):
        return [test_run.PROGRAM, "run", "--guest", self.guest, *options]

    def run_json(self, status, *options):
        """A run that ends with a status; answers its JSON and what it printed."""
        found, out, err = self.run_it(*options, "--json", self.path("json"))
        self.assertEqual(found, status, out + err)
        return self.read_json(), out, err

    def read_json(self):
        with open(self.path("json"), encoding="utf-8") as stream:
            result = json.load(stream)
        self.check_keys(result)
        return result

    def check_good(self, result, balloon):
        self.assertIs(result["good"], True)
        self.assertEqual(result["verdict"], {"is_target_reported": True, "is_ledger_agreed": None,
                                             "is_memory_freed": True, "is_account_agreed": None})
        self.assertEqual(result["actual_bytes"], balloon)
        self.assertEqual(result["frames"] * FRAME, balloon)
        self.assertEqual(result["deflate_frames"], result["frames"])
        for key in LEDGER_KEYS + OTHER_KEYS:
            self.assertIsNone(result[key], key)
        # Whatever lies in the balloon is not resident.
        beside = result["memory_bytes"] - balloon
        self.assertGreater(result["resident_before_bytes"], beside + 32 * MIB)
        self.assertLess(result["resident_inflated_bytes"], beside + 8 * MIB)
        for way in ("inflate", "deflate"):
            self.assertAlmostEqual(result[way + "_seconds_per_gib"],
                                   result[way + "_seconds"] * 1024 * MIB / balloon, 6)
        free = [result["guest_free_%s_bytes" % when] for when in ("before", "inflated", "after")]
        self.assertLess(free[1], free[0] - balloon * 0.9)
        # Fresh ones, not those that the driver hands over when it starts.
        self.assertLess(result["guest_stats"]["free_memory_bytes"], free[0] - balloon * 0.9)
        self.assertGreater(free[2], free[1] + balloon * 0.9)

    def wait_for(self, process, word):
        for line in process.stderr:
            if word in line:
                return
        self.fail("there was no '%s'" % word)

    def find_qemus(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/cmdline" % pid, "rb") as stream:
                    line = stream.read()
            except OSError:
                continue
            if os.path.basename(line.split(b"\0")[0]) == self.program.encode() and \
                    self.runtime.encode() in self.environment_of(pid) + line:
                found.append(int(pid))
        return found

    @staticmethod
    def environment_of(pid):
        """A kernel that needs no files of ours has only TMPDIR to be known by."""
        try:
            with open("/proc/%s/environ" % pid, "rb") as stream:
                return stream.read()
        except OSError:
            return b""

    def check_interrupted(self, phase, delay, number):
        process = self.start(*self.small, "--json", self.path("json"))
        self.wait_for(process, phase)
        time.sleep(delay)
        process.send_signal(number)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 128 + number)
        self.check_nothing_left(10)
        result = self.read_json()
        self.assertIn("stopped by signal", result["failure"])
        self.assertIs(result["good"], False)
        self.assertIsNone(result["verdict"])

    def check_killed(self):
        process = self.start(*self.small, "--json", self.path("json"))
        self.wait_for(process, "dirties")
        killed = self.find_qemus()
        self.assertEqual(len(killed), 1)
        os.kill(killed[0], signal.SIGKILL)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1)
        self.check_nothing_left(10)
        result = self.read_json()
        self.assertIn("signal 9", result["failure"])
        self.assertIsNone(result["actual_bytes"])

    def refuse(self, status, pattern, *options):
        with self.subTest(options=options):
            found, out, err = self.run_it(*options)
            self.assertEqual(found, status, out + err)
            self.assertRegex(out + err, pattern)


@unittest.skipUnless(QEMU, "there is no qemu-system-x86_64: package qemu-system-x86")
class Results(QemuCase):
    def test_defaults(self):
        started = time.monotonic()
        result, out, err = self.run_json(0, "--plot", self.path("plot.svg"))
        print("# %.1f s; per GiB inflated in %.2f s, deflated in %.2f s" % (
            time.monotonic() - started, result["inflate_seconds_per_gib"],
            result["deflate_seconds_per_gib"]))
        for phase in ("Booting Linux", "dirties", "Inflating", "statistics", "Deflating",
                      "Powering"):
            self.assertIn(phase, err)
        self.assertEqual(result["guest"], "linux")
        self.assertEqual((result["memory_bytes"], result["target_bytes"]), (1024 * MIB, 512 * MIB))
        self.check_good(result, 512 * MIB)
        self.assertRegex(result["guest_kernel"], r"^\d+\.\d+")
        self.assertIn("stats_vq", result["features"])
        self.assertIn("version_1", result["features"])
        stats = result["guest_stats"]
        self.assertGreater(stats["total_memory_bytes"], 256 * MIB)
        # Before the balloon took it: Linux takes its frames off the total.
        self.assertLess(stats["total_memory_bytes"], 512 * MIB)
        self.assertEqual(stats["unknown"], {})
        for text in ("by QEMU", "Time per GiB", "Guest statistics", "at least", "Good: "):
            self.assertIn(text, out)
        self.assertNotIn("ledger", out)
        self.assertTrue(os.path.getsize(self.path("plot.svg")))

    def test_resident_memory_falls_while_it_grows(self):
        """QEMU discards before it answers; seen from outside, on the file that is the memory."""
        process = self.start(*self.small, "--json", self.path("json"))
        self.wait_for(process, "Inflating")
        path = "/proc/%d/fd/5" % self.find_qemus()[0]
        levels = []
        while process.poll() is None:
            try:
                levels.append(os.stat(path).st_blocks * 512)
            except OSError:
                break
            time.sleep(0.01)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)
        result = self.read_json()
        high, low = result["resident_before_bytes"], result["resident_inflated_bytes"]
        between = {level for level in levels if low + 8 * MIB < level < high - 8 * MIB}
        self.assertGreater(len(between), 2, (low, high, levels))
        self.assertIn(result["resident_inflated_bytes"] // MIB,
                      range(levels[-1] // MIB - 8, levels[-1] // MIB + 8))

    def test_odd_sizes(self):
        """Any number of pages; a kernel parameter of the user's wins."""
        result, _, err = self.run_json(0, "--memory", "300M", "--balloon", "150M", "--verbose",
                                       "--append", "init_on_alloc=1")
        self.check_good(result, 150 * MIB)
        self.assertIn("init_on_alloc=0 init_on_alloc=1", err)

    def test_nothing_can_be_told(self):
        """So little is resident that the balloon may lie elsewhere: no success."""
        result, out, _ = self.run_json(1, *SMALL[:3], "32M", "--dirty", "8M")
        self.assertIs(result["verdict"]["is_memory_freed"], False)
        self.assertIs(result["verdict"]["is_target_reported"], True)
        self.assertIn("the guest has to dirty more", out)


if __name__ == "__main__":
    unittest.main()
